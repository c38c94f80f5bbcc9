# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of the ZFS snapshots of runs that died: their records must not say more than is known."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Container, Iterable, Mapping

from ..errors import QuiesceError
from ..zfs import snapshots
from ..zfs.datasets import list_datasets
from ..zfs.names import pool_of
from . import identity, record
from .consistency import CRASH, STILL
from .engine import Engine
from .identity import Origin
from .journal import ENDED, GONE, LOST, QUIESCING, RELEASING, REMEMBERED, REMOVING, SNAPSHOTTING, RunRecord, best_effort

_FORGET_AFTER = timedelta(days=7)  # a ZFS snapshot whose command did not return is not expected any longer
_LOOK_SECONDS = 15.0  # a pool that hangs must not keep VMs from being released


def settle(engine: Engine) -> tuple[list[str], list[str]]:
    """Bring the journal's account of dead runs to an end; return (ZFS snapshots whose record was lowered, problems).

    A run that died while its ZFS snapshot was being taken is decided before its VMs are released: the snapshot
    exists, so it was taken while they were held, or the run counts as `lost`, and a snapshot that appears later is no
    better than crash.
    """
    lowered: list[str] = []
    problems: list[str] = []
    for run in engine.journal.runs((QUIESCING, SNAPSHOTTING, RELEASING, LOST)):
        if engine.locks.is_alive(run.id):
            continue
        try:
            lowered += _settle_one(engine, run)
        except QuiesceError as error:
            problems.append(
                f"What became of {run.snapshots[0]} is not known: {error.problem}; the next recovery looks again."
            )
            if run.state == SNAPSHOTTING:
                best_effort(lambda run=run: engine.journal.set_state(run.id, LOST))  # type: ignore[misc]
    return lowered, problems


def _settle_one(engine: Engine, run: RunRecord) -> list[str]:
    entries = engine.journal.entries(run.id)
    lowered: list[str] = []
    if run.state in (SNAPSHOTTING, LOST):
        found = snapshots.existing(engine.zfs, run.snapshots, timeout=_LOOK_SECONDS)
        held = run.state == SNAPSHOTTING and not any(entry.state in (REMOVING, GONE) for entry in entries)
        if found and not held:
            lowered = _lower(engine, run, "the run that took it ended early, and the VMs may have been released before")
        elif found:
            problem = "the run that took it ended early, so that nobody saw whether it was powered on meanwhile"
            lowered = _lower(engine, run, problem, lambda vm: vm["level"] == STILL)
        if not found and datetime.now(timezone.utc) - datetime.fromisoformat(run.started) < _FORGET_AFTER:
            engine.journal.set_state(run.id, LOST)
            return []
        engine.journal.set_state(run.id, RELEASING)
    if all(entry.state == GONE for entry in entries):
        engine.journal.set_state(run.id, ENDED)
    return lowered


def is_forgotten(run: str) -> bool:
    """Whether the run began so long ago that the journal need not know it any more, though it had been settled."""
    begun = identity.begun(run)
    return begun is not None and begun < datetime.now(timezone.utc) - REMEMBERED


def adopt(engine: Engine, origin: Origin) -> None:
    """Enter a run that the journal has lost: its ZFS snapshots, also those still to come, are no better than crash.

    To be done before its VMs are released. They may be of any dataset of the pool: a wave's are of some, and its
    VMware snapshots name but one.
    """
    if engine.journal.run(origin.run) is not None or is_forgotten(origin.run):
        return
    dataset, _unused, name = origin.snapshot.partition("@")
    try:
        names = [f"{found.name}@{name}" for found in list_datasets(engine.zfs, pool_of(dataset))]
        names.sort(key=lambda found: found != origin.snapshot)
    except QuiesceError:  # it is gone, or its pool hangs
        names = [origin.snapshot]
    engine.journal.open_run(origin.run, "", dataset, names, LOST)


def lower_younger(engine: Engine) -> tuple[list[str], list[str]]:
    """Lower the records of this host's ZFS snapshots that are younger than their hold, whatever the journal knows.

    Read as they should be they count as crash all the same. Returns (their names, problems).
    """
    lowered: list[str] = []
    problems: list[str] = []
    keys = ("creation", *(record.PREFIX + key for key in ("run", "host", "held_until", "consistency", "complete")))
    try:
        pools = sorted({dataset.pool for dataset in list_datasets(engine.zfs)})
    except QuiesceError as error:
        return [], [str(error)]
    for pool in pools:
        try:
            found = snapshots.facts(engine.zfs, [pool], keys, record.PREFIX)
            for names in _too_late(engine, found):
                taken = record.read(engine.zfs, names[0], as_written=True)
                if taken is None:
                    continue
                better = any(vm["level"] != CRASH for vm in taken.vms)  # also where the whole is crash, for another VM
                if better or any(record.says_too_much(found[name]) for name in names):
                    record.lower(taken, record.TOO_LATE)
                    record.rewrite(engine.zfs, names, taken)
                    lowered += names
        except QuiesceError as error:
            problems.append(f"Which ZFS snapshots of the pool {pool} came too late is not known: {error}")
    return lowered, problems


def _too_late(engine: Engine, found: Mapping[str, Mapping[str, str]]) -> Iterable[list[str]]:
    """The snapshots of this host that are younger than their hold, those of a dead run together, with one record."""
    runs: dict[str, list[str]] = {}
    for name, values in found.items():
        if values.get(record.PREFIX + "host") == engine.host.id and record.came_too_late(values):
            runs.setdefault(values[record.PREFIX + "run"], []).append(name)
    return [names for run, names in runs.items() if not engine.locks.is_alive(run)]


def lower_vms(engine: Engine, run: str, vms: Container[str]) -> list[str]:
    """Lower what the ZFS snapshots of a run say of VMs (managed object IDs) whose VMware snapshots were found missing.

    Returns those whose record that changed.
    """
    problem = "its VMware snapshot was gone when the run was recovered"
    known = engine.journal.run(run)
    if known is None or known.state == QUIESCING:
        return []
    return _lower(engine, known, problem, lambda vm: vm["moid"] in vms and vm["level"] != STILL)


def _lower(
    engine: Engine, run: RunRecord, problem: str, concerns: Callable[[Any], bool] = lambda vm: True
) -> list[str]:
    """Lower the record of the ZFS snapshots that a run took, for the VMs that it `concerns`, where it says more."""
    found = snapshots.existing(engine.zfs, run.snapshots, timeout=_LOOK_SECONDS)
    bearing = set(snapshots.bearing(engine.zfs, found, record.PREFIX + "run", run.id))
    found = [name for name in run.snapshots if name in bearing]
    taken = record.read(engine.zfs, found[0], as_written=True) if found else None
    if taken is None:
        return []
    vms = [vm for vm in taken.vms if concerns(vm) and vm["level"] != CRASH]
    if not vms and (taken.vms or (taken.consistency == CRASH and not taken.complete)):
        return []
    record.lower(taken, problem, vms)
    record.rewrite(engine.zfs, found, taken)
    return found
