# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the journal's account of dead runs to an end: sets the records that are finished, closes what is done."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ..errors import QuiesceError, ZfsTimeout
from ..snapshots.seal import seal_again
from ..state.engine import Engine
from ..state.journal import ENDED, GONE, QUIESCING, RELEASING, RunRecord
from ..zfs.names import pool_of
from .runs_v1 import NO_ANSWER

_SLOW = 15.0  # seconds after which a failure says that the pool does not answer


@dataclass
class Ended:
    """`sealed` are the ZFS snapshots whose record was set; `problems` are sentences."""

    sealed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def end(engine: Engine, pool: str = "", slow: set[str] | None = None) -> Ended:
    """Set the finished records of dead runs, those of one `pool` only if it is named, and close the runs of which
    nothing is left. A record is set exactly as the run wrote it to the journal, or not at all.

    `slow` are pools that did not answer in time, and is added to: one that is suspended costs one time limit, not one
    for each run.
    """
    slow = set() if slow is None else slow
    done = Ended()
    for run in engine.journal.unsealed_runs():
        if not engine.locks.is_alive(run):
            _seal(engine, run, pool, slow, done)
    for dead in engine.journal.runs((QUIESCING, RELEASING)):
        if not engine.locks.is_alive(dead.id) and _is_done(engine, dead):
            engine.journal.set_state(dead.id, ENDED)
    return done


def _seal(engine: Engine, run: str, pool: str, slow: set[str], done: Ended) -> None:
    kept = engine.journal.seals(run)
    if not kept or (pool and pool_of(kept[0].snapshot) != pool):
        return  # it has just ended by itself, or is of another pool
    its_pool, begun = pool_of(kept[0].snapshot), time.monotonic()
    try:
        if its_pool in slow:
            raise ZfsTimeout(NO_ANSWER.format(pool=its_pool))
        sealed, unsealed = seal_again(engine, run)
    except QuiesceError as error:
        sealed, unsealed = [], {kept[0].snapshot: error.problem}
    if unsealed and time.monotonic() - begun > _SLOW:
        slow.add(its_pool)
    done.sealed += sealed
    for snapshot, reason in unsealed.items():
        done.problems.append(
            f"The record of {snapshot} is finished but could not be written, so it reads as crash: {reason}; "
            "the next recovery tries again."
        )


def _is_done(engine: Engine, run: RunRecord) -> bool:
    return all(entry.state == GONE for entry in engine.journal.entries(run.id)) and not engine.journal.seals(run.id)
