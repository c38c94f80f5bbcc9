# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a restore, as plain data: what would be done, and what forbids it. Check mode ends here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator

from ..state.restores import DISK, FOLDER, MOUNT
from ..text import counted, printable, size_text
from ..vsphere.hosts import Host
from ..vsphere.networks import Network
from ..vsphere.registration import Home
from .datastore_place import DatastorePlace
from .folder_copy import CopyPlan
from .replace import LivingVm
from .request import KEEP, RestoreRequest
from .result import RestoreResult, VmRestored
from .sources import Source


@dataclass(frozen=True)
class PlannedVm:
    """One VM of a restore, with the name that it gets. What could not be planned is None, and a refusal says why.

    `living` is the VM that is replaced. `copy` is None unless the way is FOLDER.
    """

    source: Source
    name: str
    folder: str  # the name of the folder of the copy
    place: DatastorePlace | None = None
    home: Home | None = None
    host: Host | None = None
    copy: CopyPlan | None = None
    network: Network | None = None
    living: LivingVm | None = None


@dataclass(frozen=True)
class MountPlan:
    """How clones become datastores: the host that mounts them, its addresses, the server and the NFS version."""

    host: Host
    clients: tuple[str, ...]
    server: str
    version: str


@dataclass(frozen=True)
class Helper:
    """The VM that gets a disk."""

    moid: str
    name: str
    instance_uuid: str
    host_moid: str


@dataclass(frozen=True)
class RestorePlan:
    """`clones` are the ZFS snapshots to clone. `disk` is the descriptor of the disk to attach, a path in its dataset.

    `refusals` are sentences that forbid the restore, `warnings` sentences that a person should know.
    """

    request: RestoreRequest
    vms: tuple[PlannedVm, ...] = ()
    clones: tuple[str, ...] = ()
    mount: MountPlan | None = None
    helper: Helper | None = None
    disk: str = ""
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def snapshots(self) -> tuple[str, ...]:
        """The ZFS snapshots that the restore needs."""
        return self.clones or tuple(dict.fromkeys(str(vm.source.snapshot) for vm in self.vms))

    def expected(self) -> RestoreResult:
        """Return the result of the restore, as far as the plan knows it. Nothing is restored yet."""
        with_vms, helper = self.request.way not in (DISK, MOUNT), self.helper
        attached = {"vm": helper.name, "moid": helper.moid, "file": self.disk} if helper is not None else None
        return RestoreResult(
            "",
            str(self.request.snapshot),
            self.request.way,
            [_expected(vm) for vm in self.vms] if with_vms else [],
            attached=attached,
            warnings=list(self.warnings),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results: that of the expected result, with the steps and what forbids them."""
        return {**self.expected().as_dict(), "steps": list(self.steps()), "refusals": list(self.refusals)}

    def steps(self) -> Iterator[str]:
        """Yield what the restore does, for people."""
        if self.mount is not None:
            host = printable(self.mount.host.name, 80)
            yield f"clone {', '.join(self.clones)}"
            yield f"export {counted(len(self.clones), 'clone')} to {host} and mount it there"
        if self.request.way == DISK and self.helper is not None:
            yield f"attach {printable(self.disk, 200)} to '{printable(self.helper.name, 80)}'"
        if self.request.way in (DISK, MOUNT):
            return
        for vm in self.vms:
            yield from self._steps_of(vm)

    def _steps_of(self, vm: PlannedVm) -> Iterator[str]:
        name = f"'{printable(vm.name, 80)}'"
        if self.request.way == FOLDER and vm.copy is not None:
            how = "sharing its blocks" if vm.copy.shares else "copying all its data"
            folder = printable(vm.source.vm.folder, 200)
            yield f"copy {folder} ({size_text(vm.copy.bytes)}) from {vm.source.snapshot}, {how}"
        if vm.host is not None:
            yield f"register it on {printable(vm.host.name, 80)}"
        if vm.source.vmware_snapshot:
            yield f"revert it to '{vm.source.vmware_snapshot}' and remove that VMware snapshot"
        yield _network_step(vm, self.request.cards)
        if vm.living is not None:
            how = "shut down or power off" if vm.living.force else "shut down"
            aside = printable(vm.living.aside, 80)
            yield f"{how} '{printable(vm.living.name, 80)}' and rename it to '{aside}'"
        yield f"name the restored VM {name} (level {vm.source.level})"
        if self.request.power_on:
            yield f"power on {name}"


def _expected(vm: PlannedVm) -> VmRestored:
    return VmRestored(
        vm.source.name,
        vm.name,
        level=vm.source.level,
        reason=vm.source.reason,
        reverted_to=vm.source.vmware_snapshot,
        host=vm.host.name if vm.host is not None else "",
        replaced=vm.living.aside if vm.living is not None else "",
    )


def _network_step(vm: PlannedVm, network: str) -> str:
    if network == KEEP:
        return "keep its network cards as they were"
    if vm.network is not None:
        return f"connect its network cards to '{printable(vm.network.name, 80)}'"
    return "disconnect its network cards"
