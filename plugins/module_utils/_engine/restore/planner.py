# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the plan of a restore. It reads everything that can forbid the restore, and changes nothing."""

from __future__ import annotations

import posixpath
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Iterator, Mapping, Sequence

from ..errors import InputError, QuiesceError
from ..planning.selection import datasets_around
from ..state.restores import DISK, DRILL, FOLDER, MOUNT
from ..text import printable
from ..vsphere import registration
from ..vsphere.host_addresses import addresses_of_host
from ..vsphere.networks import Network, find_network
from ..vsphere.registration import Home
from ..vsphere.session import Session
from ..vsphere.vm_homes import RegisteredAt, read_homes
from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.datasets import Dataset
from ..zfs.names import SnapshotName, dataset_of, pool_of
from . import folder_copy
from .clones import PlannedClone, plan_clones
from .datastore_place import DatastorePlace, find_places, first
from .helper import disk_of, find_helper
from .host_choice import HostChoice
from .names import default_name, folder_name, snapshot_date
from .obstacles import obstacles
from .plan import MountPlan, PlannedVm, RestorePlan
from .privileges import missing
from .remarks import remarks
from .rename import shortened_to_fit
from .replace import LivingVm, name_aside
from .request import RestoreRequest
from .sources import Source, find_sources, snapshots_below
from .uses import targets_of, uses_of

_MOST_NUMBERS = 100  # tried for a name that is taken


def make_plan(session: Session, zfs: Zfs, request: RestoreRequest) -> RestorePlan:
    """Return the plan. Its `refusals` forbid the restore. Raises InputError for an unknown snapshot or VM."""
    request.check()
    datasets = datasets_around(zfs, pool_of(request.snapshot.dataset))
    hosts = HostChoice(session, request.host, slots=request.way != FOLDER)
    planner = _Planner(session, zfs, request, datasets, hosts)
    if request.way == MOUNT:
        return planner.mount()
    sources = find_sources(zfs, request.snapshot, request.vms, datasets)
    return planner.disk(sources[0]) if request.way == DISK else planner.vms(sources)


def plan_vms(
    session: Session, zfs: Zfs, request: RestoreRequest, sources: Sequence[Source], datasets: Sequence[Dataset]
) -> RestorePlan:
    """Return the plan for VMs that were found already. `datasets` are those of the pool."""
    return _Planner(session, zfs, request, datasets, HostChoice(session, request.host)).vms(sources)


@dataclass
class _Planner:
    """Collects the plan. `refusals` are sentences that forbid the restore."""

    session: Session
    zfs: Zfs
    request: RestoreRequest
    datasets: Sequence[Dataset]
    hosts: HostChoice
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _registered_on: dict[str, dict[str, RegisteredAt]] = field(default_factory=dict)  # by datastore
    _networks: dict[str, Network] = field(default_factory=dict)  # by host

    def vms(self, sources: Sequence[Source]) -> RestorePlan:
        """Return the plan for VMs that are registered again, from copies of their folders or from clones."""
        with self._refused():
            self._read_ahead(sources)
        planned = [self._vm(source) for source in sources]
        for name, number in Counter(vm.name for vm in planned).items():
            if number > 1 and self.request.way != DRILL:  # a drill numbers them
                self.refusals.append(
                    f"{number} restored VMs would be named '{printable(name, 80)}'; restore them one by one."
                )
        plan = RestorePlan(self.request, tuple(planned))
        if self.request.way != FOLDER:
            taken = {vm.host.moid: vm.host for vm in planned if vm.host is not None}
            if len(taken) > 1:
                self.refusals.append(
                    "The original VMs are on several ESXi hosts; name the host that gets the restored ones."
                )
            plan = self._with_mount(plan, self._clones(sources), next(iter(taken), ""))
        return self._complete(plan)

    def disk(self, source: Source) -> RestorePlan:
        """Return the plan for one disk of a VM that another VM gets."""
        plan = RestorePlan(self.request, (PlannedVm(source, source.name, ""),), disk=disk_of(source, self.request.disk))
        with self._refused():
            plan = replace(plan, helper=find_helper(self.session, self.request.attach_to))
        return self._complete(
            self._with_mount(plan, self._clones([source]), plan.helper.host_moid if plan.helper is not None else "")
        )

    def mount(self) -> RestorePlan:
        """Return the plan for a whole ZFS snapshot as a datastore."""
        existing = snapshots_below(self.zfs, self.request.snapshot, self.datasets)
        return self._complete(self._with_mount(RestorePlan(self.request), tuple(existing), ""))

    @cached_property
    def _places(self) -> dict[str, list[DatastorePlace]]:
        return find_places(self.session, self.zfs, self.datasets, self.request.aliases)

    @cached_property
    def _date(self) -> str:
        return snapshot_date(self.zfs, self.request.snapshot)

    @contextmanager
    def _refused(self) -> Iterator[None]:
        """Turn an error into a refusal, so that a plan shows all of them."""
        try:
            yield
        except QuiesceError as error:
            self.refusals.append(str(error))

    def _complete(self, plan: RestorePlan) -> RestorePlan:
        with self._refused():
            lacking = missing(self.session, uses_of(plan), targets_of(plan))
            if lacking:
                raise InputError(
                    f"The account '{printable(self.session.username, 80)}' lacks {', '.join(map(str, lacking))}",
                    "Grant it a role with these privileges, as vmware_vsphere_role does, or use another account",
                )
        return replace(plan, refusals=tuple(dict.fromkeys(self.refusals)), warnings=tuple(dict.fromkeys(self.warnings)))

    def _vm(self, source: Source) -> PlannedVm:
        name = self.request.name or (source.name if self.request.replace else default_name(source.name, self._date))
        folder = folder_name(self.request.name or default_name(source.name, self._date))
        vm = PlannedVm(source, name, folder)
        forbidding = obstacles(source.vm, self.request.way)
        self.refusals += [f"'{printable(source.name, 80)}': {sentence}" for sentence in forbidding]
        self.warnings += [
            f"'{printable(source.name, 80)}': {one}" for one in remarks(source.vm) if one not in forbidding
        ]
        with self._refused():
            vm = self._with_home(vm)
        if self.request.way == FOLDER:
            with self._refused():
                vm = self._with_copy(vm)
        return vm

    def _read_ahead(self, sources: Sequence[Source]) -> None:
        """Read the ESXi hosts of all living VMs at once. The requested host is read when it is needed."""
        preferred: dict[DatastorePlace, set[str]] = {}
        for source in () if self.request.host else sources:
            for place in self._places.get(source.snapshot.dataset, [])[:1]:
                hosts = self.hosts.hosts(place.datacenter)
                living = self._registered(place, hosts[0].datacenter_moid).get(place.path(source.vm.path))
                preferred.setdefault(place, set()).add(living.home.host_moid if living is not None else "")
        for place, moids in preferred.items():
            chosen = [host for host in self.hosts.hosts(place.datacenter) if host.moid in moids]
            self.hosts.read_ahead(chosen, place.version)

    def _with_home(self, vm: PlannedVm) -> PlannedVm:
        """Choose where the VM is registered: where the living VM is, if there is one and its host can take it."""
        dataset = vm.source.snapshot.dataset
        places = self._places.get(dataset, [])
        if not places and self.request.way != FOLDER and self.request.host:
            return self._on_requested_host(vm)
        place = first(places, dataset)
        hosts = self.hosts.hosts(place.datacenter)
        datacenter = hosts[0].datacenter_moid
        registered = self._registered(place, datacenter)
        living = registered.get(place.path(vm.source.vm.path))
        self._refuse_namesake(vm.source.name, living, registered)
        before = living.complete_home(self.session) if living is not None else Home(datacenter, "", "")
        needs_memory = self.request.power_on and self.request.way != DRILL  # not all VMs of a drill run at a time
        memory = vm.source.vm.configuration.memory if needs_memory else 0
        mounts = 0 if self.request.way == FOLDER else 1
        chosen = self.hosts.choose(hosts, before.host_moid, memory, mounts, place.version, place.moid)
        host = chosen.host.moid
        folder = before.folder_moid or registration.vm_folder_of(self.session, datacenter)
        pool = before.pool_moid if before.host_moid == host else ""
        home = Home(datacenter, folder, host, pool or chosen.pool_moid)
        vm = replace(vm, place=place, host=chosen.host, home=home, network=self._network(host))
        return self._with_living(vm, home, living)

    def _on_requested_host(self, vm: PlannedVm) -> PlannedVm:
        """Choose the requested host for a VM on a clone of a replica, which no datastore of the server is on."""
        host = self.hosts.one()
        capacity = self.hosts.capacity(host, "3")
        folder = registration.vm_folder_of(self.session, host.datacenter_moid)
        home = Home(host.datacenter_moid, folder, host.moid, capacity.pool_moid)
        return self._with_living(replace(vm, host=host, home=home, network=self._network(host.moid)), home, None)

    def _network(self, host_moid: str) -> Network | None:
        """Return the requested network for the cards of VMs on a host, or None."""
        if self.request.has_network and host_moid not in self._networks:
            self._networks[host_moid] = find_network(self.session, host_moid, self.request.cards)
        return self._networks.get(host_moid)

    def _refuse_namesake(self, name: str, living: RegisteredAt | None, registered: Mapping[str, RegisteredAt]) -> None:
        """Refuse to replace a VM if it is not certain which one to replace. After a replacement, the VM that uses the
        original files was set aside, and another one has its name."""
        if not self.request.replace or (living is not None and living.now.name == name):
            return
        if any(one.now.name == name for one in registered.values()):
            files = (
                f"its files belong to '{printable(living.now.name, 80)}' now" if living else "it has other files now"
            )
            self.refusals.append(
                f"It is not certain which VM to replace: a VM is named '{printable(name, 80)}', but {files}; restore"
                " next to it, and replace it by hand."
            )

    def _registered(self, place: DatastorePlace, datacenter: str) -> dict[str, RegisteredAt]:
        if place.moid not in self._registered_on:
            self._registered_on[place.moid] = read_homes(self.session, place.moid, datacenter)
        return self._registered_on[place.moid]

    def _with_living(self, vm: PlannedVm, home: Home, living: RegisteredAt | None) -> PlannedVm:
        """Add the living VM if it is replaced, and refuse names that are taken."""
        taken = vm.name
        if self.request.replace and living is None:
            self.warnings.append(f"No VM uses the files of '{printable(vm.source.name, 80)}' now, so none is replaced.")
        elif self.request.replace and living is not None:
            now = living.now
            taken = self._free_name(home.folder_moid, name_aside(now.name, datetime.now().strftime("%Y-%m-%d")))
            replaced = LivingVm(
                living.moid, now.name, now.instance_uuid, now.vmx_path, home.folder_moid, taken, self.request.force
            )
            vm = replace(vm, name=now.name, living=replaced)
        if self.request.way != DRILL and registration.find_in_folder(self.session, home.folder_moid, taken):
            self.refusals.append(
                f"The name '{printable(taken, 80)}' is taken by another VM in the same folder; choose another name."
            )
        return vm

    def _free_name(self, folder_moid: str, name: str) -> str:
        """Return the name, or the name with the first number that makes it free: the living VM may be the second one
        that is replaced on a day."""
        names = (name, *(shortened_to_fit(name, f"-{number}") for number in range(2, _MOST_NUMBERS)))
        return next((one for one in names if not registration.find_in_folder(self.session, folder_moid, one)), name)

    def _with_copy(self, vm: PlannedVm) -> PlannedVm:
        """Plan the copy of the folder of the VM. Raises InputError if the new folder exists or there is no room."""
        source, number = vm.source, 1
        while vm.living is not None and self.zfs.host.exists(place_of_copy(vm, "").path) and number < _MOST_NUMBERS:
            number += 1  # the user did not choose this name
            vm = replace(vm, folder=f"{folder_name(default_name(source.name, self._date))}-{number}")
        folder_copy.require_free(self.zfs.host, place_of_copy(vm, ""))
        copy = folder_copy.plan_copy(self.zfs, source.mountpoint, str(source.snapshot), source.vm.folder)
        return replace(vm, copy=copy)

    def _clones(self, sources: Sequence[Source]) -> tuple[str, ...]:
        """Return the ZFS snapshots to clone: those of each dataset with files of a VM."""
        found = dict.fromkeys(str(source.snapshot) for source in sources)
        known = {one.name for one in self.datasets}  # a replica has other datasets than its record says
        for source in sources:
            wanted = [str(SnapshotName(name, self.request.snapshot.name)) for name in source.datasets if name in known]
            there = snapshots.existing(self.zfs, wanted) if wanted else []
            found.update(dict.fromkeys(there))
            for name in wanted:
                if name not in there:
                    self.refusals.append(
                        f"'{printable(source.name, 80)}' has files on {printable(dataset_of(name), 200)}, which has no"
                        " ZFS snapshot of this name; choose another one."
                    )
        return tuple(found)

    def _with_mount(self, plan: RestorePlan, clones: tuple[str, ...], host_moid: str) -> RestorePlan:
        """Add the host that mounts the clones. `host_moid` is the one of the VMs, "" for the requested one."""
        with self._refused():
            planned = plan_clones(self.zfs, "plan", clones, self.datasets)
            place = next((one for name in clones for one in self._places.get(dataset_of(name), ())), None)
            server = self.request.server or (place.server if place is not None else "")
            if not server:
                raise InputError(
                    "The address of this storage host for ESXi hosts is not known, because no datastore of the server"
                    " is on these datasets",
                    "Set server to a name or address of this storage host",
                )
            plan = replace(plan, clones=clones, mount=self._mount(planned, place, server, host_moid))
        return plan

    def _mount(
        self, planned: Sequence[PlannedClone], place: DatastorePlace | None, server: str, host_moid: str
    ) -> MountPlan:
        known = self.hosts.hosts(place.datacenter) if place is not None else []
        host = next((one for one in known if one.moid == host_moid), None) or self.hosts.one()
        version = place.version if place is not None else "3"
        obstacle = self.hosts.capacity(host, version).obstacle(mounts=sum(not one.inside for one in planned))
        if obstacle:
            raise InputError(
                f"The ESXi host {printable(host.name, 80)} {obstacle}", "Fix the cause, or name another host"
            )
        clients = self.request.clients or addresses_of_host(self.session, host.moid)
        return MountPlan(host, tuple(clients), server, version)


def place_of_copy(vm: PlannedVm, restore: str) -> folder_copy.Place:
    """Return where the folder of a restored VM is created: next to its original folder."""
    source = vm.source
    parent = posixpath.dirname(posixpath.join(source.mountpoint, source.vm.folder))
    return folder_copy.Place.beside(parent, vm.folder, restore)
