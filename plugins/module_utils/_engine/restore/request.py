# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore is asked to do, checked as far as that is possible without a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Sequence

from ..errors import InputError
from ..policy import Limits
from ..seconds import check_seconds
from ..state.restores import CLONE, DISK, FOLDER, MOUNT
from ..text import printable
from ..zfs.names import SnapshotName, check_dataset, check_snapshot

KEEP, DISCONNECT = "keep", "disconnect"  # the network cards stay as they are in the snapshot, or are disconnected
MAX_NAME = 80  # characters of a VM's name in vSphere


@dataclass(frozen=True)
class RestoreRequest:
    """A restore.

    `vms` are names, instance UUIDs or .vmx paths; empty only for MOUNT. `host` is the name of the ESXi host
    that runs the VMs or mounts the snapshot; "" lets the plan choose. `name` is the name of the restored VM; "" means
    the default. `network` is a port group, KEEP, DISCONNECT, or "" for the default: to keep the cards of a VM that
    replaces the living one, and to disconnect those of any other. `disk` is the number of a virtual disk (1 is the
    first) for DISK, and `attach_to` the VM that gets it. `replace`: in place of the living VM, which is shut down, or
    with `force` powered off. `server` is the address of this storage host for the datastore of a clone; "" means that
    of the datastore of the dataset. `clients` are the addresses of the ESXi host; empty means those that vSphere shows.
    `boot_timeout` is in seconds; 0 does not wait for the guest.
    """

    snapshot: SnapshotName
    vms: tuple[str, ...] = ()
    way: str = FOLDER
    host: str = ""
    name: str = ""
    network: str = ""
    replace: bool = False
    force: bool = False
    disk: int = 0
    attach_to: str = ""
    power_on: bool = False
    server: str = ""
    clients: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    boot_timeout: float = 300.0
    limits: Limits = field(default_factory=Limits)

    @property
    def cards(self) -> str:
        """What becomes of the network cards: a port group, KEEP or DISCONNECT."""
        return self.network or (KEEP if self.replace else DISCONNECT)

    @property
    def has_network(self) -> bool:
        """Whether the network cards get a port group."""
        return self.cards not in (KEEP, DISCONNECT)

    def check(self) -> None:
        """Raise InputError for a request that is invalid whatever the snapshot contains."""
        check_dataset(self.snapshot.dataset)
        check_snapshot(*self.snapshot)
        check_seconds("boot_timeout", self.boot_timeout, zero=True)
        self.limits.check()
        for problem, remedy in _contradictions(self):
            raise InputError(problem, remedy)
        if self.name:
            check_name(self.name)


def way_of(instant: bool, one_disk: bool) -> str:
    """Return the way to restore VMs, or one disk of a VM."""
    return DISK if one_disk else CLONE if instant else FOLDER


def parse_snapshot(text: str) -> SnapshotName:
    """Return the ZFS snapshot that `text` names. Raises InputError if it is not `dataset@name`."""
    name = SnapshotName.of(text)
    if not name.name:
        raise InputError(
            f"'{printable(text, 80)}' is not the name of a ZFS snapshot",
            "Give it as dataset@name; 'vmware-zfs points DATASET' lists them",
        )
    check_dataset(name.dataset)
    check_snapshot(*name)
    return name


def check_name(name: str) -> str:
    """Return a name for a VM that vSphere and a folder accept. Raises InputError otherwise."""
    fits = name == name.strip() and name.isprintable() and 0 < len(name) <= MAX_NAME
    if not fits or "/" in name or name.startswith("."):
        raise InputError(
            f"'{printable(name, 100)}' is not a valid name for a restored VM",
            f"Use 1 to {MAX_NAME} printable characters without a slash, and no dot at the beginning",
        )
    return name


def _contradictions(request: RestoreRequest) -> Sequence[tuple[str, str]]:
    """Return what is wrong with the combination of options: problem and remedy."""
    rules = (
        (request.way == MOUNT and request.vms, "A whole snapshot was to be mounted, but VMs were named", "Name no VM"),
        (request.way != MOUNT and not request.vms, "No VM was named", "Name the VMs; 'vmware-zfs points' lists them"),
        (len(set(request.vms)) < len(request.vms), "A VM was named twice", "Name each VM once"),
        (request.name and len(request.vms) != 1, "A name was given for several VMs", "Restore them one by one"),
        (request.way == MOUNT and not request.host, "No ESXi host was named", "Name the host that mounts the snapshot"),
        (request.way == DISK and len(request.vms) != 1, "A disk of several VMs was requested", "Name one VM"),
        (request.way == DISK and request.disk < 1, "The number of the disk is missing", "Number the disks from 1"),
        (request.way == DISK and not request.attach_to, "No VM was named that gets the disk", "Set attach_to"),
        (request.way != DISK and request.attach_to, "attach_to needs the number of a disk", "Set disk as well"),
        (request.way == DISK and request.name, "A disk gets no name", "Remove name"),
        (request.way == DISK and request.replace, "A disk cannot replace a VM", "Choose one of disk and replace"),
        (request.force and not request.replace, "force has no effect without replace", "Remove it, or set replace"),
        (request.replace and request.name, "A VM that replaces another one keeps its name", "Remove name or replace"),
        (
            request.way in (DISK, MOUNT) and (request.power_on or request.network),
            f"A restore of the kind '{request.way}' has no VM to power on or to connect",
            "Remove power_on and network",
        ),
    )
    return [(problem, remedy) for wrong, problem, remedy in rules if wrong]
