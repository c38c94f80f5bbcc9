# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates, reads, reverts to and removes VMware snapshots, always by managed object ID and never including children."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Iterator, Sequence

from . import inventory, sdk
from .session import Session, understands
from .vms import Disk, disks_of

# VirtualMachineGuestQuiesceSpec.timeout must be 5 to 240 minutes (vSphere API 6.5).
_QUIESCE_MINUTES = (5, 240)


@dataclass(frozen=True)
class VmSnapshot:
    """One node of a VM's snapshot tree."""

    moid: str
    name: str
    description: str
    quiesced: bool
    manifest: str  # backupManifest: the name of the VSS writers' manifest, or ""


@dataclass(frozen=True)
class VmState:
    """The state of a VM that a run checks between its steps."""

    power: str
    consolidation_needed: bool
    snapshots: tuple[VmSnapshot, ...]
    instance_uuid: str = ""
    seen: bool = True  # False: the server shows outdated values or none
    disks: tuple[Disk, ...] | None = None  # None if not requested or not readable
    vmx_path: str = ""  # "" if not requested or not readable

    def named(self, name: str) -> list[VmSnapshot]:
        return [snapshot for snapshot in self.snapshots if snapshot.name == name]


_STATE_PATHS = (
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.consolidationNeeded",
    "snapshot.rootSnapshotList",
    "config.instanceUuid",
)


@understands
def start_create(session: Session, vm_moid: str, name: str, description: str, quiesce: bool, limit: float) -> str:
    """Start to create a VMware snapshot without memory. Returns the task's managed object ID.

    `limit` (seconds) is the quiesce timeout for the guest, adjusted to the range that vSphere allows. The call is not
    repeated after a broken connection; the caller must first check whether a snapshot with this name exists.
    """
    spec = None
    if quiesce:
        minutes = min(max(math.ceil(limit / 60), _QUIESCE_MINUTES[0]), _QUIESCE_MINUTES[1])
        spec = sdk.vim.vm.GuestQuiesceSpec(timeout=minutes)
    machine = session.managed_object(sdk.vim.VirtualMachine, vm_moid)
    task = session.call(
        "create a snapshot",
        machine.CreateSnapshotEx_Task,
        name=name,
        description=description,
        memory=False,
        quiesceSpec=spec,
        repeatable=False,
    )
    return str(task._moId)


@understands
def start_remove(session: Session, snapshot_moid: str) -> str:
    """Start to remove one VMware snapshot without its children. Returns the task's managed object ID.

    The call is not repeated after a broken connection, because the first call may have reached the server.
    """
    node = session.managed_object(sdk.vim.vm.Snapshot, snapshot_moid)
    task = session.call(
        "remove a snapshot", node.RemoveSnapshot_Task, removeChildren=False, consolidate=True, repeatable=False
    )
    return str(task._moId)


@understands
def start_revert(session: Session, snapshot_moid: str) -> str:
    """Start to revert a VM to one VMware snapshot, without powering it on. Returns the task's managed object ID.

    The VM gets the settings back that it had when the VMware snapshot was taken, its network cards included.
    """
    node = session.managed_object(sdk.vim.vm.Snapshot, snapshot_moid)
    task = session.call("revert to a snapshot", node.RevertToSnapshot_Task, suppressPowerOn=True, repeatable=False)
    return str(task._moId)


@understands
def start_consolidate(session: Session, vm_moid: str) -> str:
    """Start to consolidate the VM's disks. Returns the task's managed object ID. Safe to repeat."""
    machine = session.managed_object(sdk.vim.VirtualMachine, vm_moid)
    return str(session.call("consolidate disks", machine.ConsolidateVMDisks_Task)._moId)


@understands
def states(session: Session, vms: Sequence[str]) -> dict[str, VmState]:
    """Return the state of VMs by managed object ID, in one bulk read.

    A deleted VM is absent. A VM that the account may not read is not `seen`.
    """
    machines = inventory.objects_of(session, sdk.vim.VirtualMachine, vms)
    found = inventory.read(session, machines, _STATE_PATHS, "read the snapshots of VMs", patient=True)
    return {moid: state_of(properties) for moid, properties in found.items()}


@dataclass(frozen=True)
class Bearer:
    """A VM that has a VMware snapshot."""

    moid: str
    name: str
    instance_uuid: str
    power: str


@dataclass(frozen=True)
class Search:
    """The result of a search. `read` are the VMs (managed object IDs) whose snapshots could be read; `unread` maps the
    managed object IDs of the others to their names.
    """

    found: tuple[tuple[Bearer, VmSnapshot], ...]
    read: frozenset[str]
    unread: dict[str, str]


@understands
def search(session: Session, prefix: str) -> Search:
    """Find all VMware snapshots of the server whose name begins with `prefix`.

    This reads the whole inventory. Only recovery uses it.
    """
    paths = ["name", "config.instanceUuid", "runtime.powerState", "snapshot.rootSnapshotList"]
    found = inventory.read_all(session, sdk.vim.VirtualMachine, paths, "search the snapshots of all VMs", patient=True)
    unread = {
        moid: inventory.unescape(properties.get("name", moid))
        for moid, properties in found.items()
        if "snapshot.rootSnapshotList" in properties.get(inventory.UNREAD, ())
    }
    bearers = tuple(
        (
            Bearer(
                moid,
                inventory.unescape(properties.get("name", "")),
                properties.get("config.instanceUuid", ""),
                str(properties.get("runtime.powerState", "poweredOn")),
            ),
            snapshot,
        )
        for moid, properties in found.items()
        for snapshot in _flatten(properties.get("snapshot.rootSnapshotList", ()))
        if snapshot.name.startswith(prefix)
    )
    return Search(bearers, frozenset(found.keys() - unread.keys()), unread)


@dataclass(frozen=True)
class Creations:
    """Snapshot creations among a VM's recent tasks (about ten minutes).

    `running`: one is queued or running. `made`: managed object IDs of the snapshots that were created.
    """

    running: bool
    made: frozenset[str]


@understands
def creations(session: Session, vm_moid: str) -> Creations:
    """Find out what happened to snapshot creations whose response was lost."""
    machine = session.managed_object(sdk.vim.VirtualMachine, vm_moid)
    tasks = inventory.read_referenced(
        session,
        [machine],
        "recentTask",
        sdk.vim.Task,
        ["info.descriptionId", "info.state", "info.result"],
        "look for a task",
    )
    found = [task for task in tasks.values() if "createsnapshot" in str(task.get("info.descriptionId", "")).lower()]
    return Creations(
        running=any(task.get("info.state") in ("queued", "running") for task in found),
        made=frozenset(
            str(getattr(task.get("info.result"), "_moId", "")) for task in found if task.get("info.state") == "success"
        ),
    )


@understands
def find_by_instance_uuid(session: Session, uuid: str) -> list[str]:
    """Return the managed object IDs of the VMs with this instance UUID, regardless of their location.

    There may be several, because a restored VM can have the instance UUID of the original.
    """
    found = session.call(
        "find a VM by its instance UUID",
        session.content.searchIndex.FindAllByUuid,
        uuid=uuid,
        vmSearch=True,
        instanceUuid=True,
    )
    return [str(machine._moId) for machine in found or ()]


def state_of(properties: inventory.Properties) -> VmState:
    """Return the state of a VM, including its disks if they are among `properties`."""
    return VmState(
        power=str(properties.get("runtime.powerState", "poweredOn")),
        consolidation_needed=bool(properties.get("runtime.consolidationNeeded", False)),
        snapshots=tuple(_flatten(properties.get("snapshot.rootSnapshotList", ()))),
        instance_uuid=str(properties.get("config.instanceUuid") or ""),
        seen=str(properties.get("runtime.connectionState", "connected")) == "connected"
        and "snapshot.rootSnapshotList" not in properties.get(inventory.UNREAD, ()),
        disks=disks_of(properties["config.hardware.device"]) if "config.hardware.device" in properties else None,
        vmx_path=str(properties.get("config.files.vmPathName") or ""),
    )


def _flatten(trees: Sequence[Any]) -> Iterator[VmSnapshot]:
    for tree in trees:
        yield VmSnapshot(
            moid=tree.snapshot._moId,
            name=inventory.unescape(tree.name),
            description=tree.description or "",
            quiesced=bool(tree.quiesced),
            manifest=tree.backupManifest or "",
        )
        yield from _flatten(tree.childSnapshotList or ())
