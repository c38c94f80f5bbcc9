# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention carried out: judge a task's ZFS snapshots (schedule/retention.py) and destroy those whose time is over.

A snapshot is a task's when its dataset is one that the task takes today, and when its key was set on this host (source
`local`). A replica has the same key, as `received`, and a lifetime of its own: that of whoever keeps it.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Collection, Iterator, Mapping, Sequence

from ..records.manifest import PREFIX
from ..records.record import KEYS, RUN, TASK, is_complete
from ..schedule.occurrences import last_due
from ..schedule.retention import Taken, judge, lifetime
from ..state.snapshot_tasks import SnapshotTask, SnapshotTasks
from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.datasets import takes
from ..zfs.destroy import destroy
from ..zfs.names import dataset_of, is_within

_PROPERTIES = ("creation", "createtxg", "userrefs", "clones", *KEYS)
_UNFINISHED = "its run has not ended"
_RECEIVED_TASK = snapshots.RECEIVED + TASK
OUTSIDE = "its dataset is none that the task takes"
RECEIVED = "it was received, so it is not the task's"
SPARED = (
    "more than its lifetime has passed by the clock since the task's last turn, so this turn destroys nothing; check"
    " the clock of this host before the next one does"
)


def facts(zfs: Zfs, datasets: Sequence[str]) -> dict[str, dict[str, str]]:
    """What retention has to know of the snapshots of `datasets` and below: a task may have been recursive once.

    TASK is there only where it was set on this host.
    """
    return snapshots.facts(zfs, datasets, _PROPERTIES, PREFIX, local=(TASK,))


def spared(stored: SnapshotTasks, tasks: Sequence[SnapshotTask], now: float) -> set[str]:
    """The keys of the tasks of which this turn is to destroy nothing, because more than a lifetime has passed by the
    clock since the last turn.

    The clock may be wrong, and everything would be old then. It is not doubted where the schedule explains that time,
    as with a lifetime of a day and a turn each week, nor twice in a row.
    """
    found = set()
    for task in tasks:
        last, was_spared = stored.last_turn(task.id)
        keep = lifetime(task.lifetime_value, task.lifetime_unit).total_seconds()
        if last and not was_spared and now - last > keep and not _regular(task, last, now):
            found.add(task.key)
    return found


def _regular(task: SnapshotTask, last: float, now: float) -> bool:
    """Whether the schedule has at most one turn in this time, which is the one that is taken now."""
    due = last_due(task.schedule, last, now) if task.enabled else None
    return due is not None and last_due(task.schedule, last, due - 1.0) is None


def retire(
    zfs: Zfs,
    tasks: Sequence[SnapshotTask],
    found: Mapping[str, Mapping[str, str]],
    dry: bool,
    is_alive: Callable[[str], bool] = lambda run: False,
    spare: Collection[str] = (),
) -> dict[str, Any]:
    """Destroy those of `found` (as `facts` returns them) that one of `tasks` took and whose lifetime is over.

    Those of a run that `is_alive` stay, because their records are not finished, and so do those of tasks whose key is
    in `spare`. Plain data: `destroyed` (or, with `dry`, those that would be) are names; `kept` are name and reason of
    the others with a task's key.
    """
    now = time.time()
    local, received = _by_task(found, TASK), _by_task(found, _RECEIVED_TASK)
    doomed: dict[str, str] = {}  # name -> createtxg
    kept: dict[str, str] = {}  # name -> reason
    for task in tasks:
        mine = []
        for name, inside in _below(task, local.get(task.key, ())):
            if inside:
                mine.append(_taken(name, found[name]))
            else:
                kept[name] = OUTSIDE
        for verdict in judge(mine, task.key, lifetime(task.lifetime_value, task.lifetime_unit), now):
            name = verdict.snapshot.name
            if not verdict.destroy:
                kept[name] = verdict.reason
            elif task.key in spare:
                kept[name] = SPARED
            else:
                doomed[name] = found[name]["createtxg"]
        kept.update({name: RECEIVED for name, inside in _below(task, received.get(task.key, ())) if inside})
    living = {run for run in {found[name].get(RUN, "") for name in doomed} if run and is_alive(run)}
    refused = {name: _UNFINISHED for name in doomed if found[name].get(RUN, "") in living}
    for name in refused:
        del doomed[name]
    if doomed and not dry:
        refused.update(destroy(zfs, doomed))
    kept.update(refused)
    return {
        "destroyed": [name for name in doomed if name not in refused],
        "kept": [{"name": name, "reason": reason} for name, reason in kept.items()],
    }


def _by_task(found: Mapping[str, Mapping[str, str]], key: str) -> dict[str, list[str]]:
    """The names of the snapshots by what they carry under `key`."""
    names: dict[str, list[str]] = {}
    for name, values in found.items():
        if key in values:
            names.setdefault(values[key], []).append(name)
    return names


def _below(task: SnapshotTask, names: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Those of the snapshots on the task's dataset or below it, each with whether the task takes its dataset."""
    left_out = frozenset(task.exclude)
    for name in names:
        dataset = dataset_of(name)
        if is_within(dataset, task.dataset):
            yield name, takes(dataset, task.dataset, task.recursive, left_out)


def _taken(name: str, values: Mapping[str, str]) -> Taken:
    return Taken(
        name=name,
        creation=int(values["creation"]),
        task=values.get(TASK, ""),
        complete=is_complete(values),
        held=values.get("userrefs", "0") != "0",
        cloned=bool(values.get("clones")),
        born=int(values["createtxg"]),
    )
