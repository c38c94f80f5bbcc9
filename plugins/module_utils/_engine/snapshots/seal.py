# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Raises the records of a run: made from what both looks have shown, kept in the journal, set on the ZFS snapshots.

A kill before the end leaves crash, and the journal's bytes for a recovery to set. Nothing else ever sets them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Iterable, Mapping, Sequence

from ..errors import InputError, RegistryError
from ..planning.plan import Plan
from ..planning.problem import Problem, texts
from ..records.levels import CRASH, lowest
from ..records.manifest import MOST_BYTES
from ..records.record import RUN, Record
from ..state.engine import Engine
from ..state.journal import ignore_registry_errors
from ..text import counted
from ..zfs.names import dataset_of
from ..zfs.properties import GONE, Assignment, assign
from . import result
from .quiesce import Hold

_LONGEST_REST = 1500  # bytes of a VM in a manifest that a plan does not know yet: the reason and the VMware snapshot
_SECONDS = 60.0  # for the records of a run ...
_SECONDS_EACH = 0.1  # ... and for each ZFS snapshot on top


def records(
    run: Record, snapshots: Sequence[str], holds: Sequence[Hold], problems: Sequence[Problem]
) -> dict[str, Record]:
    """The record of each ZFS snapshot: about the VMs with files on its dataset, and the problems that may concern it.

    `run` has what all of them share.
    """
    run_level, run_complete = _judge(holds, problems)
    holds_on = _by_dataset(holds, snapshots)
    found = {}
    for snapshot in snapshots:
        dataset = dataset_of(snapshot)
        concerned = [problem for problem in problems if problem.concerns(dataset)]
        level, complete = _judge(holds_on[dataset], concerned)
        found[snapshot] = replace(
            run,
            consistency=level,
            complete=complete,
            run_consistency=run_level,
            run_complete=run_complete,
            vms=[result.manifest_entry(hold) for hold in holds_on[dataset]],
            problems=texts(concerned),
        )
    return found


def check_room(plan: Plan) -> None:
    """Raise InputError, before any VM is held, where the record of a dataset would be too long to be read again."""
    holds = [Hold.planned(member) for member in plan.members]
    for dataset, here in _by_dataset(holds, plan.snapshots).items():
        if sum(len(json.dumps(result.manifest_entry(hold))) + _LONGEST_REST for hold in here) > MOST_BYTES:
            raise InputError(
                f"{counted(len(here), 'VM')} on {dataset} are more than the record of one ZFS snapshot can list",
                "Move some of them to another dataset, or report this as a bug",
            )


def _by_dataset(holds: Iterable[Hold], snapshots: Sequence[str]) -> dict[str, list[Hold]]:
    """The VMs of each dataset, in their order; one whose disks cannot be read may be on any."""
    found: dict[str, list[Hold]] = {dataset_of(snapshot): [] for snapshot in snapshots}
    for hold in holds:
        for dataset in found if hold.datasets is None else hold.datasets:
            if dataset in found:
                found[dataset].append(hold)
    return found


def _judge(holds: Iterable[Hold], problems: Sequence[Problem]) -> tuple[str, bool]:
    """The level of them all, and whether each that was to be quiesced was."""
    levels = [(hold.level, hold.member.wanted) for hold in holds]
    complete = not problems and all(level != CRASH for level, wanted in levels if wanted)
    return lowest([CRASH] * bool(problems) + [level for level, _unused in levels]), complete


def seal(
    engine: Engine, run: str, found: Mapping[str, Record], createtxgs: Mapping[str, str]
) -> tuple[dict[str, str], str]:
    """Raise the records of the run's ZFS snapshots.

    Returns those that are not sealed, each with the reason, and why the journal could not be written, "" if it could:
    a run that lives seals all the same.
    """
    assignments = [
        Assignment(snapshot, createtxgs.get(snapshot, ""), record.seal()) for snapshot, record in found.items()
    ]
    unwritten = ""
    try:
        engine.journal.keep_seals(run, assignments)
    except RegistryError as error:
        unwritten = error.problem
    return _set(engine, run, assignments), unwritten


def seal_again(engine: Engine, run: str) -> tuple[list[str], dict[str, str]]:
    """Set what the journal has of a dead run; return the ZFS snapshots that are sealed now, and the others with why.

    One that is gone is none of either: its record is dropped.
    """
    assignments = engine.journal.seals(run)
    unsealed = _set(engine, run, assignments)
    sealed = [one.snapshot for one in assignments if one.snapshot not in unsealed]
    return sealed, {snapshot: reason for snapshot, reason in unsealed.items() if reason != GONE}


def _set(engine: Engine, run: str, assignments: Sequence[Assignment]) -> dict[str, str]:
    seconds = _SECONDS + _SECONDS_EACH * len(assignments)
    said = assign(engine.zfs, RUN, run, assignments, seconds)
    ignore_registry_errors(
        lambda: engine.journal.drop_seals(run, [name for name, reason in said.items() if reason in ("", GONE)])
    )
    return {snapshot: reason for snapshot, reason in said.items() if reason}
