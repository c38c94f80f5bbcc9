# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The looks before and after the ZFS snapshot: the level of each VM and the location of its disks, read from vSphere.

A VMware snapshot or a disk that both looks show was there the whole time in between. Anything unreadable counts as
crash. A look returns its findings and changes nothing, so a look that ends too late has no effect.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import AbstractSet, Iterable, Mapping, Sequence

from ..planning.locations import locations_of_disk, locations_of_file
from ..planning.plan import Member
from ..planning.problem import Problem
from ..planning.server_logins import ServerLogin
from ..records import levels
from ..records.levels import APPLICATION, CRASH, FILESYSTEM, STILL
from ..state.creation import Creation
from ..text import counted, printable
from ..vsphere.vm_snapshots import VmState
from ..vsphere.vms import Disk, datastore_of
from .quiesce import Hold

_GONE = "it was removed or left the datastores during the run"
_OUT_OF_SIGHT = "its host is no longer connected to vCenter, or its VMware snapshots cannot be read"
_UNREADABLE = "its disks cannot be read, so their location is unknown"
_SWITCHED_ON = "it was powered on during the run"

_Chains = dict[int, tuple[tuple[str, str], ...]]  # device key -> files of the disk, the one in use first


@dataclass(frozen=True)
class Finding:
    """The level of a VM in a look. `hindrance` is the kind of failure, "quiesce" or "vm", or "" without a failure."""

    level: str
    reason: str = ""
    hindrance: str = ""


@dataclass
class Look:
    """The findings of a look at the VMs of a server, by managed object ID, and the `problems` of the whole server.

    `datasets` are the datasets of the run that now have, or may have, files of the VM.
    """

    findings: dict[str, Finding] = field(default_factory=dict)
    datasets: dict[str, frozenset[str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    failure: str = ""  # why the look has no findings
    chains: dict[str, _Chains] = field(default_factory=dict)
    vmx_paths: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sight:
    """What a look reads and compares. `now` are the VMs on the datastores of the login, `datasets` those of the run.

    `holds` are the VMs that the login showed, `members` all VMs of the plan. `name` is the name of the run's VMware
    snapshots.
    """

    login: ServerLogin
    now: Mapping[str, VmState]
    datasets: AbstractSet[str]
    holds: Sequence[Hold]
    members: Iterable[Member]
    name: str

    def has(self, disk: Disk) -> bool:
        """Return whether the disk has a file on the datasets."""
        return not self.datasets.isdisjoint(locations_of_disk(disk, self.login.matches))

    def locations(self, state: VmState) -> frozenset[str]:
        """Return the datasets of the run that have, or may have, files of a VM: all of the login's if its disks cannot
        be read.
        """
        if state.disks is None:
            return self.login.datasets.intersection(self.datasets)
        locations = set().union(*(locations_of_disk(disk, self.login.matches) for disk in state.disks))
        for moid in self.login.datastores_named(datastore_of(state.vmx_path)):
            locations |= locations_of_file(moid, state.vmx_path, self.login.matches)
        return frozenset(locations & self.datasets)


def first_look(sight: Sight) -> Look:
    """Return the level that each of the holds has reached, and where its disks are."""
    look = _look(sight)
    for hold in sight.holds:
        moid, state = hold.member.moid, sight.now.get(hold.member.moid)
        finding = _reached(hold, state, sight.name)
        if finding.level != CRASH and state is not None and state.disks is not None:
            look.chains[moid] = {disk.key: disk.files for disk in state.disks}
            look.vmx_paths[moid] = state.vmx_path
            moved = _moved_since_plan(hold, state, sight)
            finding = Finding(CRASH, moved, "vm") if moved else finding
        look.findings[moid] = finding
    return look


def second_look(sight: Sight, first: Look) -> Look:
    """Return whether the level of each VM that is better than crash still holds after the `first` look.

    Read `sight.now` only after the ZFS snapshot was seen.
    """
    look = _look(sight)
    for hold in (hold for hold in sight.holds if hold.level != CRASH):
        moid = hold.member.moid
        ended = _ended(hold, sight.now.get(moid), sight.name) or _moved_since_look(moid, first, sight)
        look.findings[moid] = Finding(CRASH, ended, "vm") if ended else Finding(hold.level, hold.reason)
    return look


def _look(sight: Sight) -> Look:
    """Return the common part of both looks: new VMs, and where the files of the known VMs are."""
    moids = [hold.member.moid for hold in sight.holds if hold.member.moid in sight.now]
    return Look(datasets={moid: sight.locations(sight.now[moid]) for moid in moids}, problems=_unknown_vms(sight))


# ---- The VMware snapshot


def _reached(hold: Hold, state: VmState | None, name: str) -> Finding:
    """Return the level of a VM, from its power state and its VMware snapshot."""
    if hold.level == CRASH and (not hold.snapshot_moid or hold.creation is Creation.UNANSWERED):
        return Finding(CRASH, hold.reason, hold.hindrance)
    if state is None or not state.seen or state.disks is None:
        return Finding(CRASH, _GONE if state is None else _UNREADABLE if state.seen else _OUT_OF_SIGHT, "vm")
    if hold.level == STILL:
        return Finding(CRASH, _SWITCHED_ON, "vm") if state.power == "poweredOn" else Finding(STILL, hold.reason)
    snapshot = next((each for each in state.named(name) if each.moid == hold.snapshot_moid), None)
    if snapshot is None:
        return Finding(CRASH, "its VMware snapshot was gone before the ZFS snapshot was taken", "vm")
    if hold.quiesced and not snapshot.quiesced:
        return Finding(
            CRASH,
            "vSphere created its VMware snapshot without quiescing the guest: check VMware Tools in the guest",
            "quiesce",
        )
    if not hold.quiesced:
        return Finding(CRASH, hold.reason, hold.hindrance)
    reached = levels.of_quiesced(hold.member.guest, snapshot.manifest)
    reason = hold.reason
    if hold.level == APPLICATION and reached == FILESYSTEM:
        reason = "its VMware snapshot has no VSS manifest, so its applications were not prepared"
    return Finding(levels.lowest((hold.level, reached)), reason)


def _ended(hold: Hold, state: VmState | None, name: str) -> str:
    """Return why the VM was not held until now, or ""."""
    if state is None:
        return _GONE
    if not state.seen:
        return _OUT_OF_SIGHT
    if hold.level == STILL:
        return _SWITCHED_ON if state.power == "poweredOn" else ""
    if not any(snapshot.moid == hold.snapshot_moid for snapshot in state.named(name)):
        return "its VMware snapshot was removed during the run by another user or product"
    return ""


# ---- The disks


def _moved_since_plan(hold: Hold, state: VmState, sight: Sight) -> str:
    """Return how the disks differ from those of the plan, or "".

    If the run created a VMware snapshot, the file in use is its delta file, which may be anywhere (workingDir). Any
    other new file of a chain belongs to the state that the VM is reverted to later, so it must be on the datasets.
    """
    now = {disk.key: disk for disk in state.disks or ()}
    for placed in hold.member.disks:
        disk = now.pop(placed.disk.key, None)
        if disk is None:
            return f"its {placed.disk.label} was removed during the run"
        if not set(placed.disk.files).issubset(disk.files):
            return f"its {placed.disk.label} was moved during the run"
        below = disk.files[1:] if hold.snapshot_moid else disk.files
        new = tuple(file for file in below if file not in placed.disk.files)
        locations = locations_of_disk(Disk("", new, False), sight.login.matches)
        if not sight.datasets.isdisjoint(placed.datasets) and not locations <= sight.datasets:
            return f"its {placed.disk.label} got a delta file outside the datasets during the run"
    return _added(now, sight) or _vmx_moved(hold.member.vmx_path, state)


def _moved_since_look(moid: str, first: Look, sight: Sight) -> str:
    """Return how the disks differ from those of the first look, or "". New files on top of a chain do not count."""
    state = sight.now[moid]
    if state.disks is None:
        return _UNREADABLE
    now = {disk.key: disk for disk in state.disks}
    for key, files in first.chains[moid].items():
        disk = now.pop(key, None)
        if disk is None:
            return "one of its disks was removed during the run"
        if disk.files[len(disk.files) - len(files) :] != files:
            return f"its {disk.label} was moved during the run"
    return _added(now, sight) or _vmx_moved(first.vmx_paths[moid], state)


def _added(disks: Mapping[int, Disk], sight: Sight) -> str:
    return next((f"its {disk.label} was added during the run" for disk in disks.values() if sight.has(disk)), "")


def _vmx_moved(before: str, state: VmState) -> str:
    return "its .vmx file was moved during the run" if state.vmx_path != before else ""


def _unknown_vms(sight: Sight) -> list[Problem]:
    """Return a problem for running VMs with files on the datasets that are not in the plan, because they came after it.

    If a vCenter is a copy of another, both use the same managed object IDs. Only the instance UUID differs.
    """
    planned: dict[str, set[str]] = {}
    for member in sight.members:
        if member.server_id == sight.login.session.server_id:
            planned.setdefault(member.moid, set()).add(member.instance_uuid)
    unknown: dict[str, frozenset[str]] = {}
    for moid, state in sight.now.items():
        may_run = state.power == "poweredOn" or not state.seen
        uuids = planned.get(moid, set())
        is_planned = uuids and (not state.instance_uuid or "" in uuids or state.instance_uuid in uuids)
        if not is_planned and may_run and (locations := sight.locations(state)):
            unknown[moid] = locations
    if not unknown:
        return []
    text = f"{counted(len(unknown), 'running VM')} appeared on the datastores of {sight.login.server} during the run: "
    return [Problem(text + printable(", ".join(unknown)), frozenset().union(*unknown.values()))]
