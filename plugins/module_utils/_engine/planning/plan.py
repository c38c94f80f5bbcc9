# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run will do, as plain data: the datasets, the VMs at stake, and what becomes of each. Changes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Callable, Collection, Iterable, Mapping, Sequence

from ..errors import VSphereError
from ..matching.match import Match, disk_datasets
from ..policy import Policy
from ..records.levels import APPLICATION, CRASH, FILESYSTEM, STILL, lowest
from ..text import printable, vm_on
from ..vsphere.vm_watch import VmWatch
from ..vsphere.vms import Disk, Vm, datastore_of
from ..zfs.names import dataset_of
from .problem import Problem
from .request import Request
from .server_logins import ServerLogin

NOT_FROZEN = "quiescing is not known to freeze a guest of its kind"
QUIESCE, SNAPSHOT, NOTHING = "quiesce", "snapshot", "nothing"  # what is done to a VM; `snapshot`: without quiescing it


@dataclass(frozen=True)
class Member:
    """A VM with files on the datasets. `level` is the best that it can reach, `reason` says why no better.

    `wanted` is false for a VM that was excluded: it lowers the consistency of the whole, but nobody asked for more.
    """

    server: str
    server_id: str
    credential: int  # id of the credential by whose login it was seen
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
    datasets: tuple[str, ...] = ()  # those of the run that hold files of it; none when its disks cannot be read
    spans: tuple[str, ...] = ()  # datasets and foreign datastores that hold more of its files
    wanted: bool = True
    hindrance: str = ""  # "quiesce" or "vm": which failure this already is before anything is tried
    disks: tuple[PlacedDisk, ...] = ()
    needed_consolidation: bool = False  # before the run did anything


@dataclass(frozen=True)
class PlacedDisk:
    """A disk as the plan saw it: its chain, the name of the datastore that holds the file in use, and the datasets of
    this host that hold any of its files.
    """

    disk: Disk
    datastore: str
    datasets: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A run as plain data. `problems` are servers and datastores that cannot take part; `refusals` forbid the run.
    `warnings` lower nothing: datasets that are left out, and what was asked for and has no effect.
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

    def best(self) -> str:
        """The level that the whole can reach at best."""
        return lowest([CRASH] * bool(self.problems) + [member.level for member in self.members])

    def can_be_complete(self) -> bool:
        return not self.problems and all(member.level != CRASH for member in self.members if member.wanted)


def make_plan(
    request: Request,
    datasets: Sequence[str],
    logins: Sequence[ServerLogin],
    problems: Sequence[Problem],
    leftover: Callable[[ServerLogin, Vm], str] = lambda login, vm: "",
) -> Plan:
    """Plan the snapshot of `datasets` (by name); `problems` are those that opening the sites met, and `leftover` says
    what an earlier run left on a VM that is therefore not snapshotted.
    """
    targets = frozenset(datasets)
    problems = list(problems)
    views: list[tuple[ServerLogin, Vm]] = []
    with ThreadPoolExecutor(max_workers=max(1, len(logins))) as pool:
        for login, found in zip(logins, pool.map(lambda login: _read(login, targets), logins)):
            if isinstance(found, VSphereError):
                problems.append(Problem(str(found), targets & login.carried or None))
            else:
                views += [(login, vm) for vm in found]
    members = [
        _member(login, vm, everywhere, targets, _verdict(vm, request.policy, leftover(login, vm)))
        for login, vm in each_once(views)
        if not targets.isdisjoint(everywhere := places_of(vm, login)) or not vm.readable
    ]
    ordered = sorted(_without_shared(members), key=lambda member: (member.server, member.name, member.moid))
    return Plan(
        dataset=request.dataset,
        snapshots=tuple(f"{name}@{request.snapshot}" for name in datasets),
        members=tuple(ordered),
        problems=tuple(problems),
        refusals=tuple(_refusals(ordered, problems, request.policy)),
        warnings=tuple(_warnings(request, [vm for _unused, vm in views], problems)),
    )


def each_once(views: Iterable[tuple[ServerLogin, Vm]]) -> list[tuple[ServerLogin, Vm]]:
    """Every VM once, as an account shows it that may read it, if one may: two accounts, or two names of a server, show
    the same VM. The instance UUID tells apart the VMs of two vCenters of which one is a copy of the other.
    """
    readable: dict[tuple[str, str, str], tuple[ServerLogin, Vm]] = {}
    unread: dict[tuple[str, str], tuple[ServerLogin, Vm]] = {}
    for login, vm in views:
        if vm.readable:
            readable.setdefault((login.session.server_id, vm.moid, vm.instance_uuid), (login, vm))
        else:
            unread.setdefault((login.session.server_id, vm.moid), (login, vm))
    read = {(server, moid) for server, moid, _unused in readable}
    return [*readable.values(), *(view for key, view in unread.items() if key not in read)]


def _without_shared(members: Collection[Member]) -> Iterable[Member]:
    """The members. One that is off, and of which a running VM has a disk, is no better than crash: an administrator or
    a backup product attached it there, and it is written to.
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
            placed.disk.label: writers[place]
            for placed in member.disks
            if member.level == STILL
            and placed.disk.files
            and (place := (member.server_id, placed.disk.files[0])) in writers
        }
        for label, writer in in_use.items():
            what = f"its {label} is attached to the VM '{printable(writer, 80)}', which runs"
            member = replace(member, level=CRASH, reason=what)
        yield member


def _warnings(request: Request, seen: Iterable[Vm], problems: Sequence[Problem]) -> Iterable[str]:
    """Entries of exclude_vms without effect, such as one with a spelling mistake: its VM would be held all the same."""
    unsure = ", as far as its servers could be asked" if problems else ""
    for entry in request.policy.matching_nothing((vm.name, vm.instance_uuid, vm.moid) for vm in seen):
        what = f"exclude_vms has '{printable(entry, 80)}', which matches no VM on {request.dataset}{unsure}"
        yield f"{what}; correct it or remove it."


def _read(login: ServerLogin, targets: Iterable[str]) -> list[Vm] | VSphereError:
    try:
        login.watch = VmWatch(login.session, login.carrying(targets))
        return login.watch.vms()
    except VSphereError as error:
        return error


def places(disk: Disk, matches: Mapping[str, Match]) -> set[str]:
    """Where the disk's files lie: names of datasets, or "the datastore X" for one that lies on none of this host."""
    found: set[str] = set()
    for datastore, path in disk.files:
        found |= places_of_file(datastore, path, matches)
    return found


def places_of(vm: Vm, login: ServerLogin) -> set[str]:
    """Where all of its files lie: the .vmx, each disk with its parents, and its snapshot, delta and swap files.

    An image in a drive is no file of it. What else it has on a datastore, such as a swap file that was placed there,
    may lie on any dataset of that datastore.
    """
    found = set().union(*(places(disk, login.matches) for disk in vm.disks))
    accounted = {datastore for disk in vm.disks for datastore, _unused in disk.files} | vm.images
    for file in filter(None, (vm.vmx_path, vm.snapshot_directory)):
        accounted |= _holding(file, vm, login)
        found |= _places_of_path(file, vm, login)
    for moid in vm.datastores - accounted:
        if moid in login.matches:
            found.update(login.matches[moid].datasets)
    return found


def _places_of_path(path: str, vm: Vm, login: ServerLogin) -> set[str]:
    """The same of a path of the VM's that names its datastore: "[datastore] folder/file"."""
    return set().union(*(places_of_file(moid, path, login.matches) for moid in _holding(path, vm, login)))


def _holding(path: str, vm: Vm, login: ServerLogin) -> set[str]:
    """The datastores (managed object IDs) that such a path may mean."""
    named = login.called(datastore_of(path))
    return named & vm.datastores or named


def places_of_file(datastore_moid: str, path: str, matches: Mapping[str, Match]) -> set[str]:
    """The same of a file on a datastore (managed object ID)."""
    match = matches.get(datastore_moid)
    name = printable(match.datastore.name if match else datastore_moid or "of another kind", 80)
    return set(disk_datasets(match, path) if match else ()) or {f"the datastore {name}"}


def _member(login: ServerLogin, vm: Vm, everywhere: set[str], targets: frozenset[str], verdict: _Verdict) -> Member:
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
        datasets=tuple(sorted(everywhere & targets)) if vm.readable else (),
        spans=tuple(sorted(everywhere - targets)),
        disks=tuple(_placed(disk, login) for disk in vm.disks),
        needed_consolidation=vm.consolidation_needed,
        **asdict(verdict),
    )
    left_out = [
        placed.disk.label
        for placed in member.disks
        if placed.disk.independent and targets.intersection(placed.datasets)
    ]
    if verdict.action != NOTHING and left_out and verdict.level != CRASH:
        what = f"its independent disk {', '.join(left_out)} is left out of VMware snapshots"
        return replace(member, level=CRASH, reason=what)
    if vm.power == "suspended" and verdict.level == STILL:
        # Without its memory it cannot go on: its disks alone are as after a power cut (API VirtualMachineFileInfo).
        elsewhere = _places_of_path(vm.snapshot_directory or vm.vmx_path, vm, login) - targets
        if elsewhere:
            place = ", ".join(sorted(elsewhere))
            what = f"it is suspended, and its memory is on {place}, which is not in the ZFS snapshot"
            return replace(member, level=CRASH, reason=what)
    return member


def _placed(disk: Disk, login: ServerLogin) -> PlacedDisk:
    match = login.matches.get(disk.files[0][0]) if disk.files else None
    datasets = places(disk, login.matches) & login.carried
    return PlacedDisk(disk, match.datastore.name if match else "", tuple(sorted(datasets)))


@dataclass(frozen=True)
class _Verdict:
    action: str
    level: str
    reason: str = ""
    wanted: bool = True
    hindrance: str = ""


def _verdict(vm: Vm, policy: Policy, leftover: str) -> _Verdict:
    excluded = policy.excluded_by(vm.name, vm.instance_uuid, vm.moid)
    if vm.known and not vm.running:
        state = "suspended" if vm.power == "suspended" else "powered off"
        return _Verdict(NOTHING, STILL, "it is a template" if vm.template else f"it is {state}")
    if excluded is not None:
        return _Verdict(NOTHING, CRASH, f"excluded by exclude_vms ('{excluded}')", wanted=False)
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
    """What the policy does not let pass, known before anything is changed."""
    forbidden = policy.forbidden()
    if "vm" in forbidden:
        yield from (problem.text for problem in problems)
    for member in members:
        if member.hindrance in forbidden:
            yield f"The {vm_on(member.name, member.server)}: {member.reason}"
