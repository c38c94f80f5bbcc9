# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that release 1.0.0 left unfinished, settled by its rules: their records may say more than is known.

1.0.0 wrote the best record that was possible together with the ZFS snapshot. A run of its that died before it had
looked again is in the state `snapshotting`, one that gave up waiting in `lost`; no run of today has these states.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Callable

from ..errors import QuiesceError, ZfsTimeout
from ..records.levels import CRASH, STILL
from ..records.manifest import PREFIX
from ..records.record import RUN
from ..records.record_v1 import HELD_UNTIL, parse
from ..state.engine import Engine
from ..state.journal import GONE, RELEASING, REMOVING, RunRecord, ignore_registry_errors
from ..zfs import snapshots
from ..zfs.names import pool_of
from ..zfs.properties import GONE as REPLACED
from ..zfs.properties import Assignment, assign

SNAPSHOTTING, LOST = "snapshotting", "lost"
_SECONDS = 15.0  # a pool that hangs must not keep VMs from being released
NO_ANSWER = "the pool {pool} did not answer in time before; check it with 'zpool status'"
_FORGET_AFTER = timedelta(days=7)  # a ZFS snapshot whose command did not return is not expected any longer


def settle(engine: Engine, pool: str = "", slow: set[str] | None = None) -> tuple[list[str], list[str]]:
    """To be done before the VMs of these runs are released: while they are held, a ZFS snapshot that exists was taken
    with them held. Those of one `pool` only if it is named. Returns (ZFS snapshots whose record was lowered, problems).

    `slow` are pools that did not answer in time, and is added to: the VMs wait for a suspended one once, not once for
    each run.
    """
    slow = set() if slow is None else slow
    lowered: list[str] = []
    problems: list[str] = []
    for run in engine.journal.runs((SNAPSHOTTING, LOST)):
        if engine.locks.is_alive(run.id) or (pool and pool_of(run.snapshots[0]) != pool):
            continue
        its_pool = pool_of(run.snapshots[0])
        try:
            if its_pool in slow:
                raise ZfsTimeout(NO_ANSWER.format(pool=its_pool))
            lowered += _settle_one(engine, run)
        except QuiesceError as error:
            if isinstance(error, ZfsTimeout):
                slow.add(its_pool)
            problems.append(f"The record of {run.snapshots[0]} was not checked: {error.problem}.")
            # Its VMs are released now, so that a ZFS snapshot that is found later may have come too late.
            ignore_registry_errors(partial(engine.journal.set_state, run.id, LOST))
    return lowered, problems


def _settle_one(engine: Engine, run: RunRecord) -> list[str]:
    there = snapshots.existing(engine.zfs, run.snapshots, timeout=_SECONDS)
    held = run.state == SNAPSHOTTING and not any(
        entry.state in (REMOVING, GONE) for entry in engine.journal.entries(run.id)
    )
    lowered: list[str] = []
    if there and held:
        problem = "the run that took it ended early, so that nobody saw whether it was powered on meanwhile"
        lowered = _lower(engine, run, there, problem, lambda level: level == STILL)
    elif there:
        problem = "the run that took it ended early, and the VMs may have been released before"
        lowered = _lower(engine, run, there, problem, lambda level: True)
    elif datetime.now(timezone.utc) - datetime.fromisoformat(run.started) < _FORGET_AFTER:
        engine.journal.set_state(run.id, LOST)
        return []
    engine.journal.set_state(run.id, RELEASING)
    return lowered


def _lower(
    engine: Engine, run: RunRecord, there: list[str], problem: str, concerns: Callable[[str], bool]
) -> list[str]:
    """Lower the record that the ZFS snapshots of a run share, for the VMs of the levels that it `concerns`."""
    own = snapshots.own_of_each(engine.zfs, there, (RUN, HELD_UNTIL))
    names = [name for name in run.snapshots if own.get(name, {}).get(RUN) == run.id and HELD_UNTIL in own.get(name, {})]
    values = snapshots.properties(engine.zfs, names[0], PREFIX) if names else None
    if values is None:
        return []
    said = parse(values, as_written=True)
    vms = [vm for vm in said.vms if concerns(vm["level"]) and vm["level"] != CRASH]
    if not vms and (said.vms or (said.consistency == CRASH and not said.complete)):
        return []
    said.lower(problem, vms)
    # The first is the one that is read, and the last that is written: while it says what it said, this is not done.
    assignments = [Assignment(name, "", said.properties()) for name in reversed(names)]
    refused = assign(engine.zfs, RUN, run.id, assignments, _SECONDS)
    failed = next((f"{name}: {reason}" for name, reason in refused.items() if reason not in ("", REPLACED)), "")
    if failed:
        raise QuiesceError(f"the record could not be lowered, first of {failed}")
    return names
