# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Completes dead runs in the journal: sets their complete records on ZFS snapshots and closes runs that are done."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import QuiesceError
from ..snapshots.seal import seal_again
from ..state.engine import Engine
from ..state.journal_entries import ENDED, GONE, QUIESCING, RELEASING, RunRecord
from ..zfs.names import pool_of
from .slow_pools import SlowPools


@dataclass
class Ended:
    """`sealed` are the ZFS snapshots on which a record was set; `problems` are sentences."""

    sealed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def end(engine: Engine, pool: str = "", slow: SlowPools | None = None) -> Ended:
    """Set the complete records of dead runs (only on `pool`, if given), and close runs that have nothing left to do.

    A record is set exactly as the run wrote it to the journal, or not at all.
    """
    slow = slow or SlowPools()
    done = Ended()
    for run in engine.journal.unsealed_runs():
        if not engine.locks.is_alive(run):
            _seal(engine, run, pool, slow, done)
    for dead in engine.journal.runs((QUIESCING, RELEASING)):
        if not engine.locks.is_alive(dead.id) and _is_done(engine, dead):
            engine.journal.set_state(dead.id, ENDED)
    return done


def _seal(engine: Engine, run: str, pool: str, slow: SlowPools, done: Ended) -> None:
    kept = engine.journal.seals(run)
    if not kept or (pool and pool_of(kept[0].snapshot) != pool):
        return  # the run has just ended by itself, or belongs to another pool
    its_pool, begun = pool_of(kept[0].snapshot), None
    try:
        begun = slow.begin(its_pool)
        sealed, unsealed = seal_again(engine, run)
    except QuiesceError as error:
        sealed, unsealed = [], {kept[0].snapshot: error.problem}
    if unsealed:
        slow.failed(its_pool, begun)
    done.sealed += sealed
    for snapshot, reason in unsealed.items():
        done.problems.append(
            f"The record of {snapshot} is complete but could not be written, so its level is crash: {reason}; "
            "the next recovery tries again."
        )


def _is_done(engine: Engine, run: RunRecord) -> bool:
    return all(entry.state == GONE for entry in engine.journal.entries(run.id)) and not engine.journal.seals(run.id)
