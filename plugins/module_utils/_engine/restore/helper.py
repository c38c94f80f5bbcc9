# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the VM that gets a disk of another VM."""

from __future__ import annotations

from ..errors import InputError
from ..text import printable
from ..vsphere import inventory, sdk
from ..vsphere.session import Session, understands
from .plan import Helper

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
