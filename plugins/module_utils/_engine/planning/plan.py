# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a run, as plain data: the datasets, the VMs on them, and what the run does with each VM."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Callable, Collection, Iterable, Sequence

from ..errors import VSphereError
from ..policy import Policy
from ..records.levels import APPLICATION, CRASH, FILESYSTEM, STILL, lowest
from ..text import printable, vm_on
from ..vsphere.vm_watch import VmWatch
from ..vsphere.vms import Disk, Vm
from ..zfs.names import SnapshotName, dataset_of
from .locations import locations_of_disk, locations_of_path, locations_of_vm
from .problem import Problem
from .request import Request
from .server_logins import ServerLogin

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
    excluded: bool = False  # by exclude_vms: lowers the level of the run, but does not make it incomplete
    hindrance: str = ""  # "quiesce" or "vm": the kind of failure that is known before the run starts
    disks: tuple[PlacedDisk, ...] = ()
    needed_consolidation: bool = False  # before the run


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

    def can_be_complete(self) -> bool:
        return not self.problems and all(member.level != CRASH or member.excluded for member in self.members)


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
    views: list[tuple[ServerLogin, Vm]] = []
    with ThreadPoolExecutor(max_workers=max(1, len(logins))) as pool:
        for login, vms in zip(logins, pool.map(lambda login: _read(login, targets), logins)):
            if isinstance(vms, VSphereError):
                problems.append(Problem(str(vms), targets & login.datasets or None))
            else:
                views += [(login, vm) for vm in vms]
    members = [
        _member(login, vm, locations, targets, _verdict(vm, request.policy, leftover(login, vm)))
        for login, vm in unique_vms(views)
        if not targets.isdisjoint(locations := locations_of_vm(vm, login)) or not vm.readable
    ]
    ordered = sorted(_without_shared(members), key=lambda member: (member.server, member.name, member.moid))
    return Plan(
        dataset=request.dataset,
        snapshots=tuple(str(SnapshotName(name, request.snapshot)) for name in datasets),
        members=tuple(ordered),
        problems=tuple(problems),
        refusals=tuple(_refusals(ordered, problems, request.policy)),
        warnings=tuple(_warnings(request, [vm for _unused, vm in views], problems)),
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


def _warnings(request: Request, vms: Iterable[Vm], problems: Sequence[Problem]) -> Iterable[str]:
    """Yield a warning for each entry of exclude_vms that matches no VM, for example because of a typo."""
    where = f"{request.dataset} (not all servers could be queried)" if problems else request.dataset
    for entry in request.policy.unused_exclusions((vm.name, vm.instance_uuid, vm.moid) for vm in vms):
        yield f"exclude_vms has '{printable(entry, 80)}', which matches no VM on {where}; correct or remove the entry."


def _read(login: ServerLogin, targets: Iterable[str]) -> list[Vm] | VSphereError:
    try:
        login.watch = VmWatch(login.session, login.datastores_on(targets))
        return login.watch.vms()
    except VSphereError as error:
        return error


def _member(login: ServerLogin, vm: Vm, locations: set[str], targets: frozenset[str], verdict: _Verdict) -> Member:
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


def _verdict(vm: Vm, policy: Policy, leftover: str) -> _Verdict:
    excluded_by = policy.excluded_by(vm.name, vm.instance_uuid, vm.moid)
    if vm.known and not vm.running:
        state = "suspended" if vm.power == "suspended" else "powered off"
        return _Verdict(NOTHING, STILL, "it is a template" if vm.template else f"it is {state}")
    if excluded_by is not None:
        return _Verdict(NOTHING, CRASH, f"excluded by exclude_vms ('{excluded_by}')", excluded=True)
    if not vm.known:
        return _Verdict(NOTHING, CRASH, vm.why_unknown, hindrance="vm")
    if leftover:
        return _Verdict(NOTHING, CRASH, leftover, hindrance="vm")
    if vm.obstacles:
        return _Verdict(NOTHING, CRASH, "no snapshot can be taken: " + "; ".join(vm.obstacles), hindrance="vm")
    if vm.tools != "running":
        action = SNAPSHOT if policy.on_quiesce_failure == "crash_consistent" else NOTHING
        return _Verdict(action, CRASH, f"VMware Tools are {vm.tools}, so it cannot be quiesced", hindrance="quiesce")
    if vm.guest == "other":
        return _Verdict(QUIESCE, CRASH, NOT_FROZEN)
    return _Verdict(QUIESCE, APPLICATION if vm.guest == "windows server" else FILESYSTEM)


def _refusals(members: Sequence[Member], problems: Sequence[Problem], policy: Policy) -> Iterable[str]:
    """Return why the policy forbids the run, as far as this is known before the first change."""
    forbidden = policy.forbidden()
    if "vm" in forbidden:
        yield from (problem.text for problem in problems)
    for member in members:
        if member.hindrance in forbidden:
            yield f"The {vm_on(member.name, member.server)}: {member.reason}"
