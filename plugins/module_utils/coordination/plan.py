# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run will do, as plain data: the datasets, the VMs at stake, and what becomes of each. Changes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Iterable, Mapping, Sequence

from ..errors import VSphereError
from ..matching import Match, disk_datasets
from ..text import printable, vm_on
from ..vsphere.vms import Disk, Vm, list_vms
from .consistency import APPLICATION, CRASH, FILESYSTEM, STILL, lowest
from .request import Policy, Request
from .sites import Site

QUIESCE, SNAPSHOT, NOTHING = "quiesce", "snapshot", "nothing"  # what is done to a VM; `snapshot`: without quiescing it


@dataclass(frozen=True)
class Member:
    """A VM with a disk on the datasets. `level` is the best that it can reach, `reason` says why no better.

    `wanted` is false for a VM that was excluded: it lowers the consistency of the whole, but nobody asked for more.
    """

    server: str
    server_id: str
    credential: int  # id of the credential by whose login it was seen
    moid: str
    name: str
    instance_uuid: str
    vmx_path: str
    host: str
    guest: str
    power: str
    action: str
    level: str
    reason: str = ""
    datasets: tuple[str, ...] = ()  # those of the run that hold its disks; none when its disks cannot be read
    spans: tuple[str, ...] = ()  # datasets and foreign datastores that hold more of its disks
    wanted: bool = True
    hindrance: str = ""  # "quiesce" or "vm": which failure this already is before anything is tried


@dataclass(frozen=True)
class Plan:
    """A run as plain data. `problems` are servers and datastores that cannot take part; `refusals` forbid the run.

    `bystanders` are VMs (server's ID, managed object ID) on the datastores without a disk on the datasets. `seen_on`
    tells of every VM, by the same key, the datastores that it was seen on; `carriers` of every datastore that lies on
    datasets of the run (server's ID, managed object ID) which ones those are.
    """

    dataset: str
    snapshots: tuple[str, ...]
    members: tuple[Member, ...]
    problems: tuple[str, ...]
    refusals: tuple[str, ...]
    bystanders: frozenset[tuple[str, str]] = frozenset()
    seen_on: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    carriers: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(name.split("@")[0] for name in self.snapshots)

    def best(self) -> str:
        """The level that the whole can reach at best."""
        return lowest([CRASH] * bool(self.problems) + [member.level for member in self.members])

    def can_be_complete(self) -> bool:
        return not self.problems and all(member.level != CRASH for member in self.members if member.wanted)


def make_plan(request: Request, datasets: Sequence[str], sites: Sequence[Site], problems: Sequence[str]) -> Plan:
    """Plan the snapshot of `datasets` (by name); `problems` are those that opening the sites met."""
    targets = frozenset(datasets)
    problems = list(problems)
    members: dict[tuple[str, str], Member] = {}
    bystanders: set[tuple[str, str]] = set()
    seen_on: dict[tuple[str, str], frozenset[str]] = {}
    with ThreadPoolExecutor(max_workers=max(1, len(sites))) as pool:
        for site, found in zip(sites, pool.map(lambda site: _read(site, targets), sites)):
            if isinstance(found, VSphereError):
                problems.append(str(found))
                continue
            for vm in found:
                key = (site.session.server_id, vm.moid)  # two accounts, or two names of a server, show the same VM
                seen_on[key] = seen_on.get(key, frozenset()) | vm.datastores
                lies_on = [places(disk, site.matches) for disk in vm.disks]
                if vm.readable and targets.isdisjoint(set().union(*lies_on)):
                    bystanders.add(key)
                elif key not in members:
                    members[key] = _member(site, vm, lies_on, targets, request.policy)
    ordered = tuple(sorted(members.values(), key=lambda member: (member.server, member.name, member.moid)))
    return Plan(
        dataset=request.dataset,
        snapshots=tuple(f"{name}@{request.snapshot}" for name in datasets),
        members=ordered,
        problems=tuple(problems),
        refusals=tuple(_refusals(ordered, problems, request.policy)),
        bystanders=frozenset(bystanders),
        seen_on=seen_on,
        carriers=_carriers(sites, targets),
    )


def _carriers(sites: Iterable[Site], targets: frozenset[str]) -> dict[tuple[str, str], frozenset[str]]:
    """Each datastore (server's ID, managed object ID) that lies on any of `targets`, with those."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    for site in sites:
        for moid in site.carrying(targets):
            key = (site.session.server_id, moid)
            found[key] = found.get(key, frozenset()) | targets.intersection(site.matches[moid].datasets)
    return found


def _read(site: Site, targets: Iterable[str]) -> list[Vm] | VSphereError:
    try:
        return list_vms(site.session, site.carrying(targets))
    except VSphereError as error:
        return error


def places(disk: Disk, matches: Mapping[str, Match]) -> set[str]:
    """Where the disk's files lie: names of datasets, or "the datastore X" for one that lies on none of this host."""
    found_on: set[str] = set()
    for datastore, path in disk.files:
        match = matches.get(datastore)
        found = disk_datasets(match, path) if match else ()
        name = printable(match.datastore.name if match else datastore or "of another kind", 80)
        found_on.update(found or [f"the datastore {name}"])
    return found_on


def _member(site: Site, vm: Vm, lies_on: Sequence[set[str]], targets: frozenset[str], policy: Policy) -> Member:
    verdict = _verdict(vm, policy)
    everywhere: set[str] = set().union(*lies_on)
    member = Member(
        server=site.server,
        server_id=site.session.server_id,
        credential=site.credentials[0].id,
        moid=vm.moid,
        name=vm.name,
        instance_uuid=vm.instance_uuid,
        vmx_path=vm.vmx_path,
        host=vm.host,
        guest=vm.guest,
        power=vm.power,
        datasets=tuple(sorted(everywhere & targets)),
        spans=tuple(sorted(everywhere - targets)),
        **asdict(verdict),
    )
    left_out = [
        disk.label for disk, place in zip(vm.disks, lies_on) if disk.independent and targets.intersection(place)
    ]
    if verdict.action != NOTHING and left_out and verdict.level != CRASH:
        what = f"its independent disk {', '.join(left_out)} is left out of VMware snapshots"
        return replace(member, level=CRASH, reason=what)
    return member


@dataclass(frozen=True)
class _Verdict:
    action: str
    level: str
    reason: str = ""
    wanted: bool = True
    hindrance: str = ""


def _verdict(vm: Vm, policy: Policy) -> _Verdict:
    excluded = policy.excluded_by(vm.name, vm.instance_uuid, vm.moid)
    if vm.known and not vm.running:
        state = "suspended" if vm.power == "suspended" else "powered off"
        return _Verdict(NOTHING, STILL, "it is a template" if vm.template else f"it is {state}")
    if excluded is not None:
        return _Verdict(NOTHING, CRASH, f"excluded by exclude_vms ('{excluded}')", wanted=False)
    if not vm.known:
        return _Verdict(NOTHING, CRASH, vm.why_unknown, hindrance="vm")
    if vm.obstacles:
        return _Verdict(NOTHING, CRASH, "no snapshot can be taken: " + "; ".join(vm.obstacles), hindrance="vm")
    if vm.tools != "running":
        action = SNAPSHOT if policy.on_quiesce_failure == "crash_consistent" else NOTHING
        return _Verdict(action, CRASH, f"VMware Tools are {vm.tools}, so it cannot be quiesced", hindrance="quiesce")
    if vm.guest == "other":
        return _Verdict(QUIESCE, CRASH, "quiescing is not known to freeze a guest of its kind")
    return _Verdict(QUIESCE, APPLICATION if vm.guest == "windows server" else FILESYSTEM)


def _refusals(members: Sequence[Member], problems: Sequence[str], policy: Policy) -> Iterable[str]:
    """What the policy does not let pass, known before anything is changed."""
    forbidden = policy.forbidden()
    if "vm" in forbidden:
        yield from problems
    for member in members:
        if member.hindrance in forbidden:
            yield f"The {vm_on(member.name, member.server)}: {member.reason}"
