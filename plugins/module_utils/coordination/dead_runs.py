# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the journal's account of dead runs to an end: sets the records that are finished, closes what is done."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import QuiesceError
from ..zfs.names import pool_of
from .engine import Engine
from .journal import ENDED, GONE, QUIESCING, RELEASING, RunRecord
from .seal import seal_again


@dataclass
class Ended:
    """`sealed` are the ZFS snapshots whose record was set; `problems` are sentences."""

    sealed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def end(engine: Engine, pool: str = "") -> Ended:
    """Set the finished records of dead runs, those of one `pool` only if it is named, and close the runs of which
    nothing is left. A record is set exactly as the run wrote it to the journal, or not at all.
    """
    done = Ended()
    for run in engine.journal.unsealed_runs():
        if not engine.locks.is_alive(run):
            _seal(engine, run, pool, done)
    for dead in engine.journal.runs((QUIESCING, RELEASING)):
        if not engine.locks.is_alive(dead.id) and _is_done(engine, dead):
            engine.journal.set_state(dead.id, ENDED)
    return done


def _seal(engine: Engine, run: str, pool: str, done: Ended) -> None:
    kept = engine.journal.seals(run)
    if not kept or (pool and pool_of(kept[0].snapshot) != pool):
        return  # it has just ended by itself, or is of another pool
    try:
        sealed, unsealed = seal_again(engine, run)
    except QuiesceError as error:
        sealed, unsealed = [], {kept[0].snapshot: error.problem}
    done.sealed += sealed
    for snapshot, reason in unsealed.items():
        done.problems.append(
            f"The record of {snapshot} is finished but could not be written, so it reads as crash: {reason}; "
            "the next recovery tries again."
        )


def _is_done(engine: Engine, run: RunRecord) -> bool:
    return all(entry.state == GONE for entry in engine.journal.entries(run.id)) and not engine.journal.seals(run.id)
