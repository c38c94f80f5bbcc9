# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a disk of a VM in a ZFS snapshot, and the VM that gets it."""

from __future__ import annotations

import posixpath

from ..errors import InputError
from ..text import counted, printable
from ..vsphere import inventory, sdk
from ..vsphere.session import Session, understands
from .plan import Helper
from .sources import Source

_PATHS = ("name", "config.instanceUuid", "config.template", "runtime.host", "runtime.connectionState")
_PURPOSE = "find the VM that gets the disk"


@understands
def find_helper(session: Session, wanted: str) -> Helper:
    """Return the VM with this name or managed object ID. Raises InputError if there is none, or several."""
    found = inventory.read_all(session, sdk.vim.VirtualMachine, ["name"], _PURPOSE, patient=True)
    named = [moid for moid, one in found.items() if wanted in (moid, inventory.unescape(one.get("name", "")))]
    if len(named) != 1:
        raise InputError(
            f"{session.endpoint} has {len(named) or 'no'} VM{'s' if named else ''} '{printable(wanted, 80)}'",
            "Give the managed object ID of one of them" if named else "Check the name of the VM that gets the disk",
        )
    machine = session.managed_object(sdk.vim.VirtualMachine, named[0])
    values = inventory.read(session, [machine], _PATHS, _PURPOSE)[named[0]]
    name = printable(inventory.unescape(values.get("name", "")), 80)
    if values.get("config.template"):
        raise InputError(f"'{name}' is a template and cannot get a disk", "Choose a VM")
    if str(values.get("runtime.connectionState")) != "connected":
        raise InputError(f"The host of '{name}' is not connected", "Connect it, or choose another VM")
    return Helper(named[0], name, str(values.get("config.instanceUuid", "")), values["runtime.host"]._moId)


def disk_of(source: Source, number: int) -> str:
    """Return the descriptor of a disk as the VMware snapshot of the run keeps it, as a path in the dataset.

    Without such a VMware snapshot, this is the disk that the VM uses.
    """
    disks = source.vm.disks
    if number > len(disks):
        raise InputError(
            f"'{printable(source.name, 80)}' has {counted(len(disks), 'disk')}, so there is no disk {number}",
            "'vmware-zfs points' lists its disks",
        )
    use = disks[number - 1].use
    ours = next((one for one in source.vm.snapshots.all if one.name == source.vmware_snapshot), None)
    kept = next((one for one in ours.disks if one.node == use.node), use) if ours is not None else use
    if not kept.in_folder:
        raise InputError(
            f"The disk {number} of '{printable(source.name, 80)}' is not in its folder: {printable(kept.file, 200)}",
            "Mount the ZFS snapshot instead, and attach the disk by hand",
        )
    return posixpath.join(source.vm.folder, kept.file)
