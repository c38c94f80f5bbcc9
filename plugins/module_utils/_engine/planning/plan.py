# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a run, as plain data: the datasets, the VMs on them, and what the run does with each VM."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Callable, Collection, Iterable, Sequence

from ..errors import VSphereError
from ..policy import Policy
from ..records import apart
from ..records.levels import APPLICATION, CRASH, FILESYSTEM, STILL, lowest
from ..text import printable, vm_on
from ..vm_policies import FAIL, NEVER, PREFERRED
from ..vsphere.vm_watch import VmWatch
from ..vsphere.vms import Disk, Vm
from ..zfs.names import SnapshotName, dataset_of, is_within
from .locations import locations_of_disk, locations_of_path, locations_of_vm
from .problem import Problem
from .request import Request
from .server_logins import ServerLogin
from .vm_facts import FoundVm, facts_of, paths_for
from .vm_treatments import Treatment, choose, doubts_of, rules_of, warnings_of

NOT_FROZEN = "quiescing is not known to freeze this guest operating system"
QUIESCE, SNAPSHOT, NOTHING = "quiesce", "snapshot", "nothing"  # actions; `snapshot` means without quiescing


@dataclass(frozen=True)
class Member:
    """A VM with files on the datasets. `level` is the best level that it can reach, `reason` why it is not higher."""

    server: str
    server_id: str
    credential: int  # id of the credential whose login showed the VM
    moid: str
    name: str
    instance_uuid: str
    vmx_path: str
    host_moid: str
    guest: str
    power: str
    action: str
    level: str
    reason: str = ""
    datasets: tuple[str, ...] = ()  # datasets of the run with files of the VM; empty if its disks cannot be read
    spans: tuple[str, ...] = ()  # other datasets, and datastores on none, with files of the VM
    excluded: bool = False  # by a policy: lowers the level of the run, but does not make it incomplete
    hindrance: str = ""  # "quiesce" or "vm": the kind of failure that is known before the run starts
    disks: tuple[PlacedDisk, ...] = ()
    needed_consolidation: bool = False  # before the run
    treatment: Treatment = field(default_factory=Treatment)
    other_datasets: tuple[str, ...] = ()  # other datasets of this host with disks or the .vmx file of the VM

    def is_satisfied_by(self, level: str) -> bool:
        """Return whether a record is complete although, or because, the VM has reached this level."""
        return self.excluded or self.treatment.allows(level)


@dataclass(frozen=True)
class PlacedDisk:
    """A disk at the time of the plan: `datastore` is the name of the datastore with the file in use, `datasets` are
    the datasets of this host with any file of its chain.
    """

    disk: Disk
    datastore: str
    datasets: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The plan of a run.

    `problems` are servers and datastores that cannot take part. `refusals` are the reasons why the policy forbids the
    run. `warnings` do not lower the level: datasets that are left out, and parts of the request without effect.
    """

    dataset: str
    snapshots: tuple[str, ...]
    members: tuple[Member, ...]
    problems: tuple[Problem, ...]
    refusals: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(map(dataset_of, self.snapshots))

    def best_level(self) -> str:
        """Return the best level that the whole run can reach."""
        return lowest([CRASH] * bool(self.problems) + [member.level for member in self.members])

    def best_level_of_required(self) -> str | None:
        """Return the best level without the VMs that are excluded or accepted at crash; None if there are no others."""
        vms = [{"level": one.level, "excluded": one.excluded, "accept": one.treatment.accept} for one in self.members]
        return apart.level_of_others(self.best_level(), vms, bool(self.problems))

    def can_be_complete(self) -> bool:
        return not self.problems and all(member.is_satisfied_by(member.level) for member in self.members)


def make_plan(
    request: Request,
    datasets: Sequence[str],
    logins: Sequence[ServerLogin],
    problems: Sequence[Problem],
    leftover: Callable[[ServerLogin, Vm], str] = lambda login, vm: "",
) -> Plan:
    """Plan the snapshot of `datasets` (names). Changes nothing.

    `problems` are those from opening the logins. `leftover` returns what an earlier run left on a VM, or "". A VM with
    a leftover gets no VMware snapshot.
    """
    targets = frozenset(datasets)
    problems = list(problems)
    rules = rules_of(request.policy, request.stored)
    views: list[tuple[ServerLogin, Vm]] = []
    with ThreadPoolExecutor(max_workers=max(1, len(logins))) as pool:
        for login, vms in zip(logins, pool.map(partial(_read, targets, paths_for(rules)), logins)):
            if isinstance(vms, VSphereError):
                problems.append(Problem(str(vms), targets & login.datasets or None))
            else:
                views += [(login, vm) for vm in vms]
    found = [FoundVm(login, vm, frozenset(locations_of_vm(vm, login))) for login, vm in unique_vms(views)]
    facts, unread = facts_of(found, rules, targets)
    problems += unread
    members = []
    for one, known in zip(found, facts):
        if one.vm.readable and targets.isdisjoint(one.locations):
            continue
        treatment = choose(rules, known, request.policy)
        verdict = _verdict(one.vm, treatment, leftover(one.login, one.vm))
        members.append(_member(one, targets, treatment, verdict))
    ordered = sorted(_without_shared(members), key=lambda member: (member.server, member.name, member.moid))
    where = f"{request.dataset} (not all servers could be queried)" if problems else request.dataset
    covered = [name for name in datasets if request.recursive and is_within(name, request.dataset)]
    warnings = [
        *warnings_of(rules, facts, where, [request.dataset, *covered]),
        *doubts_of((member.name, member.treatment) for member in ordered),
    ]
    return Plan(
        dataset=request.dataset,
        snapshots=tuple(str(SnapshotName(name, request.snapshot)) for name in datasets),
        members=tuple(ordered),
        problems=tuple(problems),
        refusals=tuple(_refusals(ordered, problems, request.policy)),
        warnings=tuple(warnings),
    )


def unique_vms(views: Iterable[tuple[ServerLogin, Vm]]) -> list[tuple[ServerLogin, Vm]]:
    """Return each VM once, if possible as seen by an account that may read it.

    Two accounts, or two names of one server, show the same VM. The instance UUID separates the VMs of two vCenters if
    one vCenter is a copy of the other.
    """
    readable: dict[tuple[str, str, str], tuple[ServerLogin, Vm]] = {}
    unreadable: dict[tuple[str, str], tuple[ServerLogin, Vm]] = {}
    for login, vm in views:
        if vm.readable:
            readable.setdefault((login.session.server_id, vm.moid, vm.instance_uuid), (login, vm))
        else:
            unreadable.setdefault((login.session.server_id, vm.moid), (login, vm))
    read = {(server, moid) for server, moid, _unused in readable}
    return [*readable.values(), *(view for key, view in unreadable.items() if key not in read)]


def _without_shared(members: Collection[Member]) -> Iterable[Member]:
    """Return the members. The level of a VM that is off becomes crash if one of its disks is attached to a running VM,
    which writes to it. An administrator or a backup product may have attached the disk.
    """
    writers = {
        (member.server_id, placed.disk.files[0]): member.name
        for member in members
        if member.power == "poweredOn" and member.level != STILL
        for placed in member.disks
        if placed.disk.files
    }
    for member in members:
        in_use = {
            placed.disk.label: writers[file]
            for placed in member.disks
            if member.level == STILL
            and placed.disk.files
            and (file := (member.server_id, placed.disk.files[0])) in writers
        }
        for label, writer in in_use.items():
            reason = f"its {label} is attached to the running VM '{printable(writer, 80)}'"
            member = replace(member, level=CRASH, reason=reason)
        yield member


def _read(targets: Iterable[str], more: Sequence[str], login: ServerLogin) -> list[Vm] | VSphereError:
    try:
        login.watch = VmWatch(login.session, login.datastores_on(targets), more)
        return login.watch.vms()
    except VSphereError as error:
        return error


def _member(found: FoundVm, targets: frozenset[str], treatment: Treatment, verdict: _Verdict) -> Member:
    login, vm, locations = found.login, found.vm, found.locations
    member = Member(
        server=login.server,
        server_id=login.session.server_id,
        credential=login.credentials[0].id,
        moid=vm.moid,
        name=vm.shown,
        instance_uuid=vm.instance_uuid,
        vmx_path=vm.vmx_path,
        host_moid=vm.host_moid,
        guest=vm.guest,
        power=vm.power,
        datasets=tuple(sorted(locations & targets)) if vm.readable else (),
        spans=tuple(sorted(locations - targets)),
        disks=tuple(_placed(disk, login) for disk in vm.disks),
        needed_consolidation=vm.consolidation_needed,
        treatment=treatment,
        other_datasets=tuple(sorted(_other_datasets(vm, login) - targets)),
        **asdict(verdict),
    )
    independent = [
        placed.disk.label
        for placed in member.disks
        if placed.disk.independent and targets.intersection(placed.datasets)
    ]
    if verdict.action != NOTHING and independent and verdict.level != CRASH:
        reason = f"VMware snapshots do not include its independent disk {', '.join(independent)}"
        return replace(member, level=CRASH, reason=reason)
    if vm.power == "suspended" and verdict.level == STILL:
        # Without its memory the VM cannot resume: its disks are as after a power cut (API VirtualMachineFileInfo).
        elsewhere = locations_of_path(vm.snapshot_directory or vm.vmx_path, vm, login) - targets
        if elsewhere:
            place = ", ".join(sorted(elsewhere))
            reason = f"it is suspended, and its memory is on {place}, which is not in the ZFS snapshot"
            return replace(member, level=CRASH, reason=reason)
    return member


def _other_datasets(vm: Vm, login: ServerLogin) -> set[str]:
    """Return the datasets of this host that hold disks or the .vmx file of the VM: without them it does not start."""
    places = locations_of_path(vm.vmx_path, vm, login) if vm.vmx_path else set()
    return places.union(*(locations_of_disk(disk, login.matches) for disk in vm.disks)) & login.datasets


def _placed(disk: Disk, login: ServerLogin) -> PlacedDisk:
    match = login.matches.get(disk.files[0][0]) if disk.files else None
    datasets = locations_of_disk(disk, login.matches) & login.datasets
    return PlacedDisk(disk, match.datastore.name if match else "", tuple(sorted(datasets)))


@dataclass(frozen=True)
class _Verdict:
    action: str
    level: str
    reason: str = ""
    excluded: bool = False
    hindrance: str = ""


def _verdict(vm: Vm, treatment: Treatment, leftover: str) -> _Verdict:
    if vm.known and not vm.running:
        state = "suspended" if vm.power == "suspended" else "powered off"
        return _Verdict(NOTHING, STILL, "it is a template" if vm.template else f"it is {state}")
    if treatment.exclude and not treatment.doubt:
        return _Verdict(NOTHING, CRASH, f"excluded by {treatment.policy}", excluded=True)
    if not vm.known:
        return _Verdict(NOTHING, CRASH, vm.why_unknown, hindrance="vm")
    if treatment.exclude:
        reason = f"it may be excluded, but that is not certain: {treatment.doubt}"
        return _Verdict(NOTHING, CRASH, reason, hindrance="vm")
    if leftover:
        return _Verdict(NOTHING, CRASH, leftover, hindrance="vm")
    if vm.obstacles:
        return _Verdict(NOTHING, CRASH, "no snapshot can be taken: " + "; ".join(vm.obstacles), hindrance="vm")
    if treatment.quiesce == NEVER:
        return _Verdict(SNAPSHOT, CRASH, f"it is not quiesced, as {treatment.policy} says")
    if vm.tools != "running":
        action = SNAPSHOT if treatment.quiesce == PREFERRED else NOTHING
        return _Verdict(action, CRASH, f"VMware Tools are {vm.tools}, so it cannot be quiesced", hindrance="quiesce")
    if vm.guest == "other":
        return _Verdict(QUIESCE, CRASH, NOT_FROZEN)
    return _Verdict(QUIESCE, APPLICATION if vm.guest == "windows server" else FILESYSTEM)


def _refusals(members: Sequence[Member], problems: Sequence[Problem], policy: Policy) -> Iterable[str]:
    """Return why the policy forbids the run, as far as this is known before the first change."""
    if "vm" in policy.forbidden():
        yield from (problem.text for problem in problems)
    for member in members:
        vm = vm_on(member.name, member.server)
        if member.hindrance in member.treatment.forbidden:
            yield f"The {vm}: {member.reason}"
        if member.other_datasets and member.treatment.on_span == FAIL:
            others = ", ".join(member.other_datasets)
            yield f"The {vm}: it also has files on {others}, which {member.treatment.policy} forbids"
