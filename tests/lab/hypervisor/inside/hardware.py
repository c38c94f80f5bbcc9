# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hardware of a VM, as the settings in its .vmx file state it: disks, network cards, memory, encryption."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from . import descriptors, identity, volumes

_NODE = re.compile(r"(scsi|sata|nvme|ide)(\d+):(\d+)\.fileName")
_CARD = re.compile(r"(ethernet(\d+))\.present")
# The keys of a controller's first device and of the controller, and how many devices it has.
_KEYS = {"ide": (3000, 200, 2), "scsi": (2000, 1000, 16), "sata": (16000, 15000, 30), "nvme": (32000, 31000, 15)}
_ADDRESS_TYPES = {"generated": "generated", "vpx": "assigned", "static": "manual"}
_KEY = re.compile(r"fqid/([^/]*)/([^/]*)/([^,)/]*)")
# What `hardware` returns under another name, or what only the hypervisor needs.
_KNOWN = re.compile(
    r"\.encoding|(scsi|sata|nvme|ide|ethernet)\d+[.:].*|displayName|annotation|guestOS|memSize|numvcpus|nvram|"
    r"config\.version|virtualHW\.version|uuid\.(bios|location)|vc\.uuid|vtpm\.present|ctkEnabled|workingDir|encryption\..*"
)


def disk_files(settings: dict[str, str]) -> dict[str, str]:
    """Return the files of the hard disks by their nodes, for example `scsi0:0`, in the order of their keys."""
    found = {key[: -len(".fileName")]: name for key, name in settings.items() if _is_disk(settings, key, name)}
    return dict(sorted(found.items(), key=lambda item: disk_key(item[0])))


def _is_disk(settings: dict[str, str], key: str, name: str) -> bool:
    node = key[: -len(".fileName")]
    there = settings.get(f"{node}.present", "TRUE").upper() == "TRUE"
    kind = settings.get(f"{node}.deviceType", "disk").lower()
    return _NODE.fullmatch(key) is not None and there and "cdrom" not in kind and name.endswith(".vmdk")


def disk_key(node: str) -> int:
    """Return the device key of a disk."""
    kind, bus, unit = _split(node)
    first, _controller, devices = _KEYS[kind]
    return first + bus * devices + unit


def free_node(settings: dict[str, str], bus: int = 0) -> str:
    """Return a free node of a SCSI controller. Raises StopIteration if there is none. Unit 7 is the controller."""
    taken = {key.split(".")[0] for key in settings if settings.get(f"{key.split('.')[0]}.present") == "TRUE"}
    return next(f"scsi{bus}:{unit}" for unit in range(16) if unit != 7 and f"scsi{bus}:{unit}" not in taken)


def _split(node: str) -> tuple[str, int, int]:
    kind, bus, unit = re.fullmatch(r"([a-z]+)(\d+):(\d+)", node).groups()  # type: ignore[union-attr]
    return kind, int(bus), int(unit)


def mode(settings: dict[str, str], node: str) -> str:
    """Return the mode of a disk as the API names it."""
    return settings.get(f"{node}.mode", "persistent").replace("-", "_")


def is_in_snapshots(settings: dict[str, str], node: str, disk: Path) -> bool:
    """Return whether snapshots include a disk: not if it is independent or a raw LUN."""
    return mode(settings, node) == "persistent" and descriptors.kind(disk) == "flat"


def hardware(settings: dict[str, str], folder: Path) -> dict[str, Any]:
    """Return what the settings state, in the words of the API. Missing files cause no error."""
    disks = [_disk(settings, node, volumes.resolve(folder, name)) for node, name in disk_files(settings).items()]
    provider, key = _encryption_key(settings.get("encryption.keySafe", ""))
    return {
        "name": settings.get("displayName", ""), "bios_uuid": identity.from_vmx(settings.get(identity.BIOS, "")),
        "instance_uuid": identity.from_vmx(settings.get(identity.VCENTER, "")), "disks": disks,
        "annotation": settings.get("annotation", ""), "guest_os": settings.get("guestOS", ""),
        "memory_mb": int(settings.get("memSize", "32")), "cpus": int(settings.get("numvcpus", "1")),
        "cards": _cards(settings), "tpm": _is_true(settings, "vtpm.present"), "key_provider": provider, "key_id": key,
        "change_tracking": _is_true(settings, "ctkEnabled"), "working_dir": settings.get("workingDir", ""),
        "extra": {key: value for key, value in settings.items() if not _KNOWN.fullmatch(key)},
    }  # fmt: skip


def _is_true(settings: dict[str, str], key: str, default: str = "FALSE") -> bool:
    return settings.get(key, default).upper() == "TRUE"


def _disk(settings: dict[str, str], node: str, path: Path) -> dict[str, Any]:
    kind, bus, unit = _split(node)
    files, sectors = descriptors.known_chain(path)
    return {
        "node": node, "key": disk_key(node), "controller": _KEYS[kind][1] + bus, "unit": unit,
        "mode": mode(settings, node), "kind": descriptors.kind(path), "bytes": sectors * 512,
        "files": [str(file) for file in files],
    }  # fmt: skip


def _cards(settings: dict[str, str]) -> list[dict[str, Any]]:
    found = [match for key in settings if (match := _CARD.fullmatch(key)) and _is_true(settings, key)]
    return [_card(settings, match[1], int(match[2])) for match in sorted(found, key=lambda match: int(match[2]))]


def _card(settings: dict[str, str], name: str, number: int) -> dict[str, Any]:
    kind = settings.get(f"{name}.addressType", "generated")
    address = settings.get(f"{name}.address" if kind == "static" else f"{name}.generatedAddress", "")
    return {
        "key": 4000 + number, "adapter": settings.get(f"{name}.virtualDev", "e1000"), "mac": address,
        "mac_type": _ADDRESS_TYPES.get(kind, kind), "network": settings.get(f"{name}.networkName", ""),
        "portgroup": settings.get(f"{name}.dvs.portgroupId", ""),
        "start_connected": _is_true(settings, f"{name}.startConnected", "TRUE"),
    }  # fmt: skip


def _encryption_key(key_safe: str) -> tuple[str, str]:
    """Return the key provider and the ID of the key of an encrypted VM, from `encryption.keySafe`."""
    plain = re.sub(r"%([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), key_safe)
    found = _KEY.search(plain)
    return (found[2], found[3]) if found else ("", "unknown" if key_safe else "")
