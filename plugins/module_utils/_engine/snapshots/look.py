# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The looks before and after the ZFS snapshot: what each VM has reached and where its disks are, read from vSphere and
never assumed.

A VMware snapshot and a disk that are there in both looks were there in between. What cannot be read is crash. A look
returns what it found and changes nothing, so that one that ends too late changes nothing either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import AbstractSet, Iterable, Mapping, Sequence

from ..planning.plan import Member, places, places_of_file
from ..planning.problem import Problem
from ..planning.server_logins import ServerLogin
from ..records import levels
from ..records.levels import APPLICATION, CRASH, FILESYSTEM, STILL
from ..state.creation import Creation
from ..text import counted, printable
from ..vsphere.vm_snapshots import VmState
from ..vsphere.vms import Disk, datastore_of
from .quiesce import Hold

_GONE = "it was removed, or its files left the datastores, during the run"
_OUT_OF_SIGHT = "its host is not connected to vCenter any more, or its snapshots cannot be read"
_UNREADABLE = "its disks cannot be read, so where they are is not known"
_SWITCHED_ON = "it was powered on during the run"

_Chains = dict[int, tuple[tuple[str, str], ...]]  # device key -> files of the disk, the one in use first


@dataclass(frozen=True)
class Finding:
    """The level of a VM by a look. `hindrance` ("quiesce" or "vm") says what has gone wrong, "" if nothing has."""

    level: str
    reason: str = ""
    hindrance: str = ""


@dataclass
class Look:
    """What a look at the VMs of a server found: by the VM's managed object ID, and `problems` of the whole.

    `datasets` are those that hold, or may hold, files of the VM now.
    """

    findings: dict[str, Finding] = field(default_factory=dict)
    datasets: dict[str, frozenset[str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    failure: str = ""  # why there is nothing to be found in it
    chains: dict[str, _Chains] = field(default_factory=dict)
    vmx_paths: dict[str, str] = field(default_factory=dict)


def first_look(
    login: ServerLogin,
    now: Mapping[str, VmState],
    datasets: AbstractSet[str],
    holds: Sequence[Hold],
    members: Iterable[Member],
    name: str,
) -> Look:
    """The level that each of the `holds` has reached, and where its disks are.

    `now` are the VMs on the site's datastores, `members` all that the plan knows on this server, and `name` is that of
    the run's VMware snapshots.
    """
    look = _look(login, now, datasets, holds, members)
    for hold in holds:
        moid, state = hold.member.moid, now.get(hold.member.moid)
        finding = _reached(hold, state, name)
        if finding.level != CRASH and state is not None and state.disks is not None:
            look.chains[moid] = {disk.key: disk.files for disk in state.disks}
            look.vmx_paths[moid] = state.vmx_path
            moved = _moved_since_plan(hold, state, login, datasets)
            finding = Finding(CRASH, moved, "vm") if moved else finding
        look.findings[moid] = finding
    return look


def second_look(
    login: ServerLogin,
    now: Mapping[str, VmState],
    datasets: AbstractSet[str],
    holds: Sequence[Hold],
    members: Iterable[Member],
    name: str,
    first: Look,
) -> Look:
    """What the `first` look found of each VM that is better than crash, as far as it lasted until now.

    `now` has to be read once the ZFS snapshot was seen.
    """
    look = _look(login, now, datasets, holds, members)
    for hold in (hold for hold in holds if hold.level != CRASH):
        moid = hold.member.moid
        ended = _ended(hold, now.get(moid), name) or _moved_since_look(now[moid], moid, first, login, datasets)
        look.findings[moid] = Finding(CRASH, ended, "vm") if ended else Finding(hold.level, hold.reason)
    return look


def _look(
    login: ServerLogin,
    now: Mapping[str, VmState],
    datasets: AbstractSet[str],
    holds: Iterable[Hold],
    members: Iterable[Member],
) -> Look:
    """What both looks have in common: who came, and where the files of the others are."""
    states = [(hold.member.moid, state) for hold in holds if (state := now.get(hold.member.moid)) is not None]
    return Look(
        datasets={moid: frozenset(_places(state, login) & datasets) for moid, state in states},
        problems=_strangers(login, datasets, members, now),
    )


# ---- The VMware snapshot


def _reached(hold: Hold, state: VmState | None, name: str) -> Finding:
    """The level of a VM by its power state and its VMware snapshot."""
    if hold.level == CRASH and (not hold.snapshot_moid or hold.creation is Creation.UNANSWERED):
        return Finding(CRASH, hold.reason, hold.hindrance)
    if state is None or not state.seen or state.disks is None:
        return Finding(CRASH, _GONE if state is None else _UNREADABLE if state.seen else _OUT_OF_SIGHT, "vm")
    if hold.level == STILL:
        return Finding(CRASH, _SWITCHED_ON, "vm") if state.power == "poweredOn" else Finding(STILL, hold.reason)
    found = next((one for one in state.named(name) if one.moid == hold.snapshot_moid), None)
    if found is None:
        return Finding(CRASH, "its VMware snapshot was gone before the ZFS snapshot", "vm")
    if hold.quiesced and not found.quiesced:
        return Finding(
            CRASH, "vSphere took its snapshot without quiescing it: check VMware Tools in the guest", "quiesce"
        )
    if not hold.quiesced:
        return Finding(CRASH, hold.reason, hold.hindrance)
    reached = levels.of_quiesced(hold.member.guest, found.manifest)
    reason = hold.reason
    if hold.level == APPLICATION and reached == FILESYSTEM:
        reason = "its VMware snapshot holds no VSS manifest, so its applications were not prepared"
    return Finding(levels.lowest((hold.level, reached)), reason)


def _ended(hold: Hold, state: VmState | None, name: str) -> str:
    """Why the VM was not held until now, or ""."""
    if state is None:
        return _GONE
    if not state.seen:
        return _OUT_OF_SIGHT
    if hold.level == STILL:
        return _SWITCHED_ON if state.power == "poweredOn" else ""
    if not any(snapshot.moid == hold.snapshot_moid for snapshot in state.named(name)):
        return "somebody else removed its VMware snapshot during the run"
    return ""


# ---- The disks


def _moved_since_plan(hold: Hold, state: VmState, login: ServerLogin, datasets: AbstractSet[str]) -> str:
    """How the disks differ from those that the plan saw, or "".

    Our own delta, where there is one, is the file in use now, wherever workingDir puts it. Other files that have come
    into the chain belong to what the VM has to be reverted to, and so have to be on the datasets.
    """
    now = {disk.key: disk for disk in state.disks or ()}
    for placed in hold.member.disks:
        disk = now.pop(placed.disk.key, None)
        if disk is None:
            return f"its {placed.disk.label} was removed during the run"
        if not set(placed.disk.files).issubset(disk.files):
            return f"its {placed.disk.label} was moved during the run"
        below = disk.files[1:] if hold.snapshot_moid else disk.files
        between = tuple(file for file in below if file not in placed.disk.files)
        if not datasets.isdisjoint(placed.datasets) and not _lies_on(Disk("", between, False), login, datasets):
            return f"its {placed.disk.label} got a delta file elsewhere during the run"
    return _added(now, login, datasets) or _vmx_moved(hold.member.vmx_path, state)


def _moved_since_look(state: VmState, moid: str, first: Look, login: ServerLogin, datasets: AbstractSet[str]) -> str:
    """How the disks differ from those of the first look, or "". What was put on top of a chain since does not count."""
    if state.disks is None:
        return _UNREADABLE
    now = {disk.key: disk for disk in state.disks}
    for key, files in first.chains[moid].items():
        disk = now.pop(key, None)
        if disk is None:
            return "a disk of it was removed during the run"
        if disk.files[len(disk.files) - len(files) :] != files:
            return f"its {disk.label} was moved during the run"
    return _added(now, login, datasets) or _vmx_moved(first.vmx_paths[moid], state)


def _added(disks: Mapping[int, Disk], login: ServerLogin, datasets: AbstractSet[str]) -> str:
    for disk in disks.values():
        if not datasets.isdisjoint(places(disk, login.matches)):
            return f"its {disk.label} was added during the run"
    return ""


def _vmx_moved(before: str, state: VmState) -> str:
    return "its .vmx file was moved during the run" if state.vmx_path != before else ""


def _lies_on(disk: Disk, login: ServerLogin, datasets: AbstractSet[str]) -> bool:
    return places(disk, login.matches) <= datasets


def _strangers(
    login: ServerLogin, datasets: AbstractSet[str], members: Iterable[Member], now: Mapping[str, VmState]
) -> list[Problem]:
    """Running VMs with files on the datasets that the plan does not know: they came after it.

    One of a vCenter that was copied is known by its instance UUID: managed object IDs are the same on both.
    """
    known: dict[str, set[str]] = {}
    for member in members:
        if member.server_id == login.session.server_id:
            known.setdefault(member.moid, set()).add(member.instance_uuid)
    came: dict[str, set[str]] = {}
    for moid, state in now.items():
        may_run = state.power == "poweredOn" or not state.seen
        uuids = known.get(moid, set())
        planned = uuids and (not state.instance_uuid or "" in uuids or state.instance_uuid in uuids)
        if not planned and may_run and (places := _places(state, login) & datasets):
            came[moid] = places
    if not came:
        return []
    text = f"{counted(len(came), 'running VM')} came to the datastores of {login.server} during the run: "
    return [Problem(text + printable(", ".join(came)), frozenset().union(*came.values()))]


def _places(state: VmState, login: ServerLogin) -> set[str]:
    """The datasets that hold, or may hold, files of a VM; all of the site's for one whose disks cannot be read."""
    if state.disks is None:
        return set(login.carried)
    found = set().union(*(places(disk, login.matches) for disk in state.disks))
    for moid in login.called(datastore_of(state.vmx_path)):
        found |= places_of_file(moid, state.vmx_path, login.matches)
    return found
