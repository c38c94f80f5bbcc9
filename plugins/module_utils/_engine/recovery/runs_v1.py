# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Completes runs that release 1.0.0 left unfinished, by the rules of 1.0.0. Their records may show a level too high.

Release 1.0.0 wrote the best possible record together with the ZFS snapshot. A run of 1.0.0 that died before it checked
the VMs again has the state `snapshotting`; one that stopped waiting has `lost`. Later releases do not use these states.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Callable

from ..errors import QuiesceError
from ..records.levels import CRASH, STILL
from ..records.manifest import PREFIX
from ..records.record import RUN
from ..records.record_v1 import HELD_UNTIL, parse
from ..state.engine import Engine
from ..state.journal import ignore_registry_errors
from ..state.journal_entries import GONE, RELEASING, REMOVING, RunRecord
from ..zfs import snapshots
from ..zfs.names import pool_of
from ..zfs.properties import GONE as REPLACED
from ..zfs.properties import Assignment, assign
from .slow_pools import SlowPools

SNAPSHOTTING, LOST = "snapshotting", "lost"
_SECONDS = 15.0  # a pool that hangs must not delay the release of VMs
_FORGET_AFTER = timedelta(days=7)  # a ZFS snapshot whose command did not return will not appear after that time


def settle(engine: Engine, pool: str = "", slow: SlowPools | None = None) -> tuple[list[str], list[str]]:
    """Complete these runs (only on `pool`, if given). Returns (ZFS snapshots whose level was reduced, problems).

    This must be done before the VMs of these runs are released. As long as they are held, an existing ZFS snapshot was
    taken while they were held.
    """
    slow = slow or SlowPools()
    lowered: list[str] = []
    problems: list[str] = []
    for run in engine.journal.runs((SNAPSHOTTING, LOST)):
        if engine.locks.is_alive(run.id) or (pool and pool_of(run.snapshots[0]) != pool):
            continue
        its_pool, begun = pool_of(run.snapshots[0]), None
        try:
            begun = slow.begin(its_pool)
            lowered += _settle_one(engine, run)
        except QuiesceError as error:
            slow.failed(its_pool, begun, error)
            problems.append(f"The record of {run.snapshots[0]} was not checked: {error.problem}.")
            # Its VMs are released now, so a ZFS snapshot that is found later may have been taken too late.
            ignore_registry_errors(partial(engine.journal.set_state, run.id, LOST))
    return lowered, problems


def _settle_one(engine: Engine, run: RunRecord) -> list[str]:
    present = snapshots.existing(engine.zfs, run.snapshots, timeout=_SECONDS)
    held = run.state == SNAPSHOTTING and not any(
        entry.state in (REMOVING, GONE) for entry in engine.journal.entries(run.id)
    )
    lowered: list[str] = []
    if present and held:
        problem = "the run that took it ended early and did not check whether the VM was powered on in the meantime"
        lowered = _lower(engine, run, present, problem, lambda level: level == STILL)
    elif present:
        problem = "the run that took it ended early, and the VMs may have been released before"
        lowered = _lower(engine, run, present, problem, lambda level: True)
    elif datetime.now(timezone.utc) - datetime.fromisoformat(run.started) < _FORGET_AFTER:
        engine.journal.set_state(run.id, LOST)
        return []
    engine.journal.set_state(run.id, RELEASING)
    return lowered


def _lower(
    engine: Engine, run: RunRecord, present: list[str], problem: str, concerns: Callable[[str], bool]
) -> list[str]:
    """Reduce the levels that the problem `concerns` to crash, in the record that the run's ZFS snapshots share."""
    own = snapshots.own_of_each(engine.zfs, present, (RUN, HELD_UNTIL))
    names = [name for name in run.snapshots if own.get(name, {}).get(RUN) == run.id and HELD_UNTIL in own.get(name, {})]
    values = snapshots.properties(engine.zfs, names[0], PREFIX) if names else None
    if values is None:
        return []
    record = parse(values, as_written=True)
    vms = [vm for vm in record.vms if concerns(vm["level"]) and vm["level"] != CRASH]
    if not vms and (record.vms or (record.consistency == CRASH and not record.complete)):
        return []
    record.lower(problem, vms)
    # The first ZFS snapshot is read above and written last, so an interrupted change is repeated.
    assignments = [Assignment(name, "", record.properties()) for name in reversed(names)]
    refused = assign(engine.zfs, RUN, run.id, assignments, _SECONDS)
    failed = next((f"{name}: {reason}" for name, reason in refused.items() if reason not in ("", REPLACED)), "")
    if failed:
        raise QuiesceError(f"the record could not be changed, for example on {failed}")
    return names
