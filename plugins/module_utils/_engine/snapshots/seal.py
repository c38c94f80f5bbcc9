# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Raises the records of a run: creates them from both looks, writes them to the journal, sets them on ZFS snapshots.

If the process is killed before the end, the ZFS snapshots read as crash, and a recovery sets the records from the
journal.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
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

_LONGEST_REST = 1500  # bytes of a VM in a manifest that are unknown at the plan: the reason and the VMware snapshot
_SECONDS = 60.0  # time limit for the records of a run ...
_SECONDS_EACH = 0.1  # ... plus this for each ZFS snapshot


def records(
    run: Record, snapshots: Sequence[str], holds: Sequence[Hold], problems: Sequence[Problem]
) -> dict[str, Record]:
    """Return the record of each ZFS snapshot: the VMs with files on its dataset, and the problems that may affect it.

    `run` has the fields that all records share.
    """
    run_level, run_complete = _judge(holds, problems)
    holds_on = _by_dataset(holds, snapshots)
    by_snapshot = {}
    for snapshot in snapshots:
        dataset = dataset_of(snapshot)
        concerned = [problem for problem in problems if problem.concerns(dataset)]
        level, complete = _judge(holds_on[dataset], concerned)
        by_snapshot[snapshot] = replace(
            run,
            consistency=level,
            complete=complete,
            run_consistency=run_level,
            run_complete=run_complete,
            vms=[result.manifest_entry(hold) for hold in holds_on[dataset]],
            problems=texts(concerned),
        )
    return by_snapshot


def check_room(plan: Plan) -> None:
    """Raise InputError if the record of a dataset would be too long to be read later. Call it before any VM is held."""
    holds = [Hold.planned(member) for member in plan.members]
    for dataset, here in _by_dataset(holds, plan.snapshots).items():
        if sum(len(json.dumps(result.manifest_entry(hold))) + _LONGEST_REST for hold in here) > MOST_BYTES:
            raise InputError(
                f"The record of one ZFS snapshot cannot list the {counted(len(here), 'VM')} on {dataset}",
                "Move some of them to another dataset, or report this as a bug",
            )


def _by_dataset(holds: Iterable[Hold], snapshots: Sequence[str]) -> dict[str, list[Hold]]:
    """Return the VMs of each dataset, in their order. A VM whose disks cannot be read may be on any dataset."""
    by_dataset: dict[str, list[Hold]] = {dataset_of(snapshot): [] for snapshot in snapshots}
    for hold in holds:
        for dataset in by_dataset if hold.datasets is None else hold.datasets:
            if dataset in by_dataset:
                by_dataset[dataset].append(hold)
    return by_dataset


def _judge(holds: Iterable[Hold], problems: Sequence[Problem]) -> tuple[str, bool]:
    """Return the lowest level, and whether the record is complete: no problem, and each VM is as its policy asks."""
    holds = list(holds)
    complete = not problems and all(hold.satisfied for hold in holds)
    return lowest([CRASH] * bool(problems) + [hold.level for hold in holds]), complete


def seal(
    engine: Engine, run: str, by_snapshot: Mapping[str, Record], createtxgs: Mapping[str, str]
) -> tuple[dict[str, str], str]:
    """Raise the records of the run's ZFS snapshots.

    Returns the ZFS snapshots that are not sealed, each with the reason, and why the journal could not be written ("" if
    it was). The records are set even if the journal cannot be written.
    """
    assignments = [
        Assignment(snapshot, createtxgs.get(snapshot, ""), record.seal()) for snapshot, record in by_snapshot.items()
    ]
    unwritten = ""
    try:
        engine.journal.keep_seals(run, assignments)
    except RegistryError as error:
        unwritten = error.problem
    return _set(engine, run, assignments), unwritten


def seal_again(engine: Engine, run: str) -> tuple[list[str], dict[str, str]]:
    """Set the records of a dead run from the journal.

    Returns the ZFS snapshots that are sealed now, and the others with the reason. A ZFS snapshot that no longer exists
    is in neither: its record is deleted from the journal.
    """
    assignments = engine.journal.seals(run)
    unsealed = _set(engine, run, assignments)
    sealed = [one.snapshot for one in assignments if one.snapshot not in unsealed]
    return sealed, {snapshot: reason for snapshot, reason in unsealed.items() if reason != GONE}


def _set(engine: Engine, run: str, assignments: Sequence[Assignment]) -> dict[str, str]:
    seconds = _SECONDS + _SECONDS_EACH * len(assignments)
    reasons = assign(engine.zfs, RUN, run, assignments, seconds)
    done = [name for name, reason in reasons.items() if reason in ("", GONE)]
    ignore_registry_errors(partial(engine.journal.drop_seals, run, done))
    return {snapshot: reason for snapshot, reason in reasons.items() if reason}
