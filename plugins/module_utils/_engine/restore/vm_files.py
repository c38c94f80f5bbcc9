# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files of a VM say: its configuration (.vmx, .vmtx) and its VMware snapshots (.vmsd).

Pure functions of texts. All names and paths in the results are untrusted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Iterator

from ..vsphere.inventory import unescape
from .settings_text import Settings, damaged, parse_settings

TEMPLATE = ".vmtx"
CONFIGURATIONS = (".vmx", TEMPLATE)
PERSISTENT = "persistent"
_NODE = re.compile(r"((?:scsi|sata|ide|nvme)\d{1,3}):\d{1,3}\Z")
_CARD = re.compile(r"ethernet(\d{1,3})\.present\Z")
_UUID = re.compile(r"[0-9a-f]{32}\Z")
_NETWORKS = ("networkName", "dvs.portgroupId", "opaqueNetwork.id")
_NO_DISK = ("cdrom", "passthru")  # parts of a deviceType
_WORKING_DIR = "workingDir"
_WRITTEN = (_WORKING_DIR, "nvram", "extendedConfigFile", "log.fileName")  # files and folders that a VM writes to
_PORT = re.compile(r"((?:serial|parallel)\d{1,2})\.filetype\Z")
_MOST_SNAPSHOTS = 1000  # of a VM; vSphere allows 32 in a chain
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class NetworkCard:
    """`label` is the name of the device in vSphere, `key` the one in the file. `generated`: its MAC address was chosen
    by vSphere. `network` is the name of a network or the ID of a distributed port group.
    """

    label: str
    key: str
    mac: str
    generated: bool
    network: str
    connected: bool


@dataclass(frozen=True)
class DiskUse:
    """A disk as a VM or a VMware snapshot names it. `node` is the device, for example scsi0:1. `file` is as written."""

    node: str
    file: str
    mode: str = PERSISTENT

    @property
    def independent(self) -> bool:
        """Whether VMware snapshots do not include the disk."""
        return self.mode.lower().startswith("independent")

    @property
    def absolute(self) -> bool:
        """Whether the path is absolute. It then points at the living disk, even from a copy of the file."""
        return self.file.startswith("/")

    @property
    def in_folder(self) -> bool:
        """Whether the disk is in the folder of the VM's configuration, as far as the path shows."""
        return is_in_folder(self.file)


@dataclass(frozen=True)
class Configuration:
    """A .vmx or .vmtx file.

    `file` is its name, or its path below the dataset's mountpoint. UUIDs are in the form of vSphere's API, or "" if
    they are missing or invalid. `elsewhere` are the settings that name a file or folder outside of the folder of the
    file to which the VM writes: key and path. `suspended`: the VM would resume from a memory file.
    """

    file: str
    name: str
    bios_uuid: str
    vc_uuid: str
    template: bool
    encrypted: bool
    vtpm: bool
    suspended: bool
    change_tracking: bool
    memory: int
    elsewhere: tuple[tuple[str, str], ...]
    cards: tuple[NetworkCard, ...]
    disks: tuple[DiskUse, ...]

    @property
    def working_dir(self) -> str:
        """Where VMware snapshots are stored, or "" for the folder of the file."""
        return dict(self.elsewhere).get(_WORKING_DIR, "")


@dataclass(frozen=True)
class VmSnapshot:
    """A VMware snapshot in a .vmsd file. `parent` is the uid of another one, or 0. `disks` are the files that it keeps
    unchanged.
    """

    uid: int
    name: str
    description: str
    parent: int
    created: datetime | None
    disks: tuple[DiskUse, ...]


@dataclass(frozen=True)
class VmSnapshots:
    """A .vmsd file. `current` is the uid of the VMware snapshot that the VM runs on, or 0."""

    current: int = 0
    all: tuple[VmSnapshot, ...] = ()

    def named(self, prefix: str) -> tuple[VmSnapshot, ...]:
        """Return the VMware snapshots whose names begin with `prefix`."""
        return tuple(snapshot for snapshot in self.all if snapshot.name.startswith(prefix))

    def has_children(self, uid: int) -> bool:
        return any(snapshot.parent == uid for snapshot in self.all)


def is_in_folder(file: str) -> bool:
    """Return whether a path in a file of a VM is only a name, so that it means a file in the same folder."""
    return bool(file) and "/" not in file and "\0" not in file and file not in (".", "..")


def parse_configuration(text: str, file: str) -> Configuration:
    """Parse the text of a .vmx or .vmtx file. Raises VmFileDamaged."""
    settings = parse_settings(text, file)
    if not any(key in settings.values for key in ("displayname", "config.version", "virtualhw.version")):
        raise damaged(file, "it is not the configuration of a VM")
    return Configuration(
        file=file,
        name=unescape(settings.get("displayName")) or file.rpartition("/")[2].rpartition(".")[0],
        bios_uuid=_uuid(settings.get("uuid.bios")),
        vc_uuid=_uuid(settings.get("vc.uuid")),
        template=file.lower().endswith(TEMPLATE),
        encrypted=_is_encrypted(settings),
        vtpm=any(settings.is_true(key) for key in ("vtpm.present", "tpm.present", "encryption.required.vtpm")),
        suspended=bool(settings.get("checkpoint.vmState")),
        change_tracking=settings.is_true("ctkEnabled"),
        memory=max(0, settings.number("memSize")),
        elsewhere=tuple(_elsewhere(settings)),
        cards=_cards(settings),
        disks=_disks(settings),
    )


def parse_snapshots(text: str, file: str) -> VmSnapshots:
    """Parse the text of a .vmsd file, which is empty for a VM without VMware snapshots. Raises VmFileDamaged."""
    settings = parse_settings(text, file)
    count = settings.number("snapshot.numSnapshots")
    if not 0 <= count <= _MOST_SNAPSHOTS:
        raise damaged(file, f"it lists {count} VMware snapshots; at most {_MOST_SNAPSHOTS} are possible")
    if "snapshot.numsnapshots" not in settings.values and "snapshot0.uid" in settings.values:
        raise damaged(file, "it ends before the number of its VMware snapshots")
    found = VmSnapshots(settings.number("snapshot.current"), tuple(_snapshot(settings, n) for n in range(count)))
    _check_tree(found, file)
    return found


def _is_encrypted(settings: Settings) -> bool:
    """Return whether the file has keys of an encryption. `encryption.required = "FALSE"` is not one."""
    return any(
        key.startswith("encryption.") and value and value.lower() != "false" for key, value in settings.values.items()
    )


def _uuid(text: str) -> str:
    """Return a UUID of the form `56 4d ... 9e-10 5d ...` in the form of vSphere's API."""
    digits = re.sub(r"[ -]", "", text.lower())
    if not _UUID.match(digits):
        return ""
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _elsewhere(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the settings that let the VM write outside of its folder, with the path."""
    ports = [match[1] for key in settings.values if (match := _PORT.match(key)) and settings.get(key) == "file"]
    for key in (*_WRITTEN, *(f"{port}.fileName" for port in ports)):
        path = settings.get(key).removeprefix("./")
        if path not in ("", ".") and not is_in_folder(path):
            yield key, path


def _cards(settings: Settings) -> tuple[NetworkCard, ...]:
    numbers = sorted(int(match[1]) for key in settings.values if (match := _CARD.match(key)) and settings.is_true(key))
    return tuple(_card(settings, number) for number in numbers)


def _card(settings: Settings, number: int) -> NetworkCard:
    key = f"ethernet{number}"
    generated = settings.get(f"{key}.addressType", "generated").lower() != "static"
    return NetworkCard(
        label=f"Network adapter {number + 1}",
        key=key,
        mac=settings.get(f"{key}.generatedAddress" if generated else f"{key}.address").lower(),
        generated=generated,
        network=next(filter(None, (settings.get(f"{key}.{name}") for name in _NETWORKS)), ""),
        connected=settings.get(f"{key}.startConnected").lower() != "false",
    )


def _disks(settings: Settings) -> tuple[DiskUse, ...]:
    nodes = [key.rpartition(".")[0] for key in settings.values if key.endswith(".filename")]
    uses = (_disk(settings, node) for node in sorted(nodes, key=_node_order) if _NODE.match(node))
    return tuple(use for use in uses if use is not None)


def _disk(settings: Settings, node: str) -> DiskUse | None:
    """Return the disk at a device, or None for a device that is not present or is not a disk."""
    file, kind = settings.get(f"{node}.fileName"), settings.get(f"{node}.deviceType").lower()
    controller_off = settings.get(f"{node.partition(':')[0]}.present").lower() == "false"
    if not settings.is_true(f"{node}.present") or controller_off or any(word in kind for word in _NO_DISK):
        return None
    if not file or file.lower().endswith(".iso"):
        return None
    return DiskUse(node, file, settings.get(f"{node}.mode") or PERSISTENT)


def _node_order(node: str) -> tuple[str, ...]:
    """Sort scsi0:10 behind scsi0:9."""
    return tuple(part.zfill(4) if part.isdigit() else part for part in re.split(r"(\d+)", node))


def _snapshot(settings: Settings, place: int) -> VmSnapshot:
    key = f"snapshot{place}"
    uid, disks = settings.number(f"{key}.uid"), settings.number(f"{key}.numDisks")
    if uid <= 0:
        raise damaged(settings.file, f"{key}.uid is missing or invalid")
    if not 0 <= disks <= _MOST_SNAPSHOTS:
        raise damaged(settings.file, f"{key} has {disks} disks")
    high, low = settings.number(f"{key}.createTimeHigh"), settings.number(f"{key}.createTimeLow")
    return VmSnapshot(
        uid=uid,
        name=settings.get(f"{key}.displayName"),
        description=settings.get(f"{key}.description"),
        parent=settings.number(f"{key}.parent"),
        created=_instant(high, low),
        disks=tuple(_kept_disk(settings, f"{key}.disk{number}") for number in range(disks)),
    )


def _kept_disk(settings: Settings, key: str) -> DiskUse:
    node, file = settings.get(f"{key}.node"), settings.get(f"{key}.fileName")
    if not node or not file:
        raise damaged(settings.file, f"{key}.node or {key}.fileName is missing")
    return DiskUse(node, file)


def _instant(high: int, low: int) -> datetime | None:
    """Return the time of two signed 32-bit halves of the microseconds since 1970."""
    try:
        return _EPOCH + timedelta(microseconds=(high << 32) | (low & 0xFFFFFFFF)) if high or low else None
    except OverflowError:
        return None


def _check_tree(found: VmSnapshots, file: str) -> None:
    """Raise VmFileDamaged unless each uid is unique, and each parent exists and is not a descendant."""
    parents = {snapshot.uid: snapshot.parent for snapshot in found.all}
    if len(parents) != len(found.all):
        raise damaged(file, "two of its VMware snapshots have the same uid")
    missing = {found.current, *parents.values()} - {0, *parents}
    if missing:
        raise damaged(file, f"it refers to the VMware snapshot {min(missing)}, which it does not list")
    rooted = {0}
    for uid in parents:
        path = []
        while uid not in rooted and uid not in path:
            path.append(uid)
            uid = parents[uid]
        if uid not in rooted:
            raise damaged(file, f"the VMware snapshot {uid} is its own ancestor")
        rooted.update(path)
