# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The privileges that a restore needs, by the object on which it needs them, and those that an account lacks.

The privileges of each call are those of the vSphere API reference. The copy does not exist yet when they are checked.
It inherits them from its folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Iterable, Mapping

from ..vsphere import sdk
from ..vsphere.privileges import lacking_on
from ..vsphere.session import Session

FOLDER, POOL, HOST, NETWORK, HELPER, LIVING = "folder", "pool", "host", "network", "helper", "living"

_NAMED = ("VirtualMachine.Inventory.Register", "VirtualMachine.Inventory.Unregister", "VirtualMachine.Config.Rename")
_BY_USE: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "template": {FOLDER: _NAMED},
    "register": {FOLDER: (*_NAMED, "VirtualMachine.Config.AdvancedConfig"), POOL: ("Resource.AssignVMToPool",)},
    "revert": {FOLDER: ("VirtualMachine.State.RevertToSnapshot", "VirtualMachine.State.RemoveSnapshot")},
    "disconnect": {FOLDER: ("VirtualMachine.Config.EditDevice", "VirtualMachine.Interact.DeviceConnection")},
    "network": {FOLDER: ("VirtualMachine.Config.EditDevice",), NETWORK: ("Network.Assign",)},
    "change_tracking": {FOLDER: ("VirtualMachine.Config.ChangeTracking",)},
    "suspended": {FOLDER: ("VirtualMachine.Interact.PowerOff",)},
    "power_on": {
        FOLDER: (
            "VirtualMachine.Interact.PowerOn",
            "VirtualMachine.Interact.AnswerQuestion",
            "VirtualMachine.Interact.PowerOff",
        )
    },
    "replace": {LIVING: ("VirtualMachine.Interact.PowerOff", "VirtualMachine.Config.Rename")},
    "mount": {HOST: ("Host.Config.Storage",)},
    "attach": {HELPER: ("VirtualMachine.Config.AddExistingDisk", "VirtualMachine.Config.RemoveDisk")},
}
USES = tuple(_BY_USE)

# What a role allows, as an administrator chooses it: the ways to restore, and what a restore can do in addition.
_COPY = ("register", "revert", "disconnect", "change_tracking", "suspended")
_BY_WAY = {
    "folder": _COPY,
    "clone": (*_COPY, "mount"),
    "drill": (*_COPY, "mount", "network", "power_on"),
    "mount": ("mount",),
    "disk": ("mount", "attach"),
    "network": ("network",),
    "power_on": ("power_on",),
    "replace": ("replace",),
}
WAYS = tuple(_BY_WAY)


@dataclass(frozen=True)
class Target:
    """An object on which a restore needs privileges: its role in the restore, managed object ID, and name."""

    role: str
    moid: str
    name: str


@dataclass(frozen=True)
class Missing:
    """A privilege that the account lacks on an object."""

    privilege: str
    name: str

    def __str__(self) -> str:
        return f"{self.privilege} on '{self.name}'"


def needed(uses: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the privileges for these uses (of USES), by the role of the object, each once."""
    found: dict[str, dict[str, None]] = {}
    for use in uses:
        for role, privileges in _BY_USE[use].items():
            found.setdefault(role, {}).update(dict.fromkeys(privileges))
    return {role: tuple(privileges) for role, privileges in found.items()}


def of_ways(ways: Iterable[str]) -> tuple[str, ...]:
    """Return all privileges for these ways (of WAYS), sorted: those of a vSphere role that allows nothing else."""
    uses = (use for way in ways for use in _BY_WAY[way])
    return tuple(sorted({privilege for privileges in needed(uses).values() for privilege in privileges}))


def missing(session: Session, uses: Collection[str], targets: Iterable[Target]) -> list[Missing]:
    """Return the privileges that the account lacks on the objects of a restore. An ESXi host cannot be asked."""
    kinds = {
        FOLDER: sdk.vim.Folder,
        POOL: sdk.vim.ResourcePool,
        HOST: sdk.vim.HostSystem,
        NETWORK: sdk.vim.Network,
        HELPER: sdk.vim.VirtualMachine,
        LIVING: sdk.vim.VirtualMachine,
    }
    wanted, objects = needed(uses), _by_role(targets)
    found = [
        Missing(*one)
        for role, names in objects.items()
        if role in wanted
        for one in lacking_on(session, kinds[role], names, wanted[role])
    ]
    return list(dict.fromkeys(found))


def _by_role(targets: Iterable[Target]) -> dict[str, dict[str, str]]:
    """Return the names of the objects by managed object ID, by role. One object is often the target of many VMs."""
    found: dict[str, dict[str, str]] = {}
    for target in targets:
        found.setdefault(target.role, {}).setdefault(target.moid, target.name)
    return found
