# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges the ZFS snapshots of snapshot tasks: which have expired, and why the others are kept. Destroys nothing.

A ZFS snapshot belongs to a task if the task includes its dataset now, and if the task's key was set on this host
(source `local`). A replica has the same key as `received`; its owner decides about its lifetime.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Collection, Iterable, Iterator, Mapping, Sequence

from ..errors import DatasetNotFound
from ..grouping import grouped
from ..records import verified
from ..records.manifest import PREFIX
from ..records.record import KEYS, TASK, is_complete
from ..schedule.occurrences import last_due
from ..schedule.retention import Taken, judge, lifetime
from ..state.snapshot_tasks import SnapshotTask, SnapshotTasks
from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.datasets import takes
from ..zfs.names import dataset_of, is_within, upwards

_PROPERTIES = ("creation", "createtxg", "userrefs", "clones", *KEYS, verified.KEY)
RECEIVED_TASK = snapshots.RECEIVED + TASK
OUTSIDE = "the task does not include its dataset"
RECEIVED = "it was received, so it does not belong to the task"
SPARED = (
    "according to the clock, more than its lifetime has passed since the task last ran, so nothing is destroyed this"
    " time; check the clock of this host before the next run"
)


@dataclass(frozen=True)
class Judgement:
    """What retention does with a ZFS snapshot that has the key of `task`. `reason` says why."""

    task: SnapshotTask
    destroy: bool
    reason: str


def facts(zfs: Zfs, datasets: Sequence[str], included: Iterable[str] = ()) -> dict[str, dict[str, str]]:
    """Return the properties that retention needs, for the snapshots of `datasets` and their children.

    `included` are further datasets, which need not exist any more.

    Children are included because a task may have been recursive before. TASK is included only if it was set on this
    host.
    """
    found = snapshots.facts(zfs, datasets, _PROPERTIES, PREFIX, local=(TASK,))
    for dataset in sorted(included):
        with suppress(DatasetNotFound):
            found.update(snapshots.facts(zfs, [dataset], _PROPERTIES, PREFIX, local=(TASK,)))
    return found


def spared(stored: SnapshotTasks, tasks: Sequence[SnapshotTask], now: float) -> set[str]:
    """Return the keys of the tasks whose snapshots must not be destroyed this time, because the clock may be wrong.

    This is the case if more than a lifetime has passed since the task last ran, according to the clock: all snapshots
    would be expired. The clock is accepted if the schedule explains the time, for example a lifetime of a day and a
    weekly run. It is also accepted the next time.
    """
    found = set()
    for task in tasks:
        last, was_spared = stored.last_turn(task.id)
        keep = lifetime(task.lifetime_value, task.lifetime_unit).total_seconds()
        if last and not was_spared and now - last > keep and not _regular(task, last, now):
            found.add(task.key)
    return found


def _regular(task: SnapshotTask, last: float, now: float) -> bool:
    """Return whether the schedule has at most one run in this time, which is the current one."""
    due = last_due(task.schedule, last, now) if task.enabled else None
    return due is not None and last_due(task.schedule, last, due - 1.0) is None


def judged(
    tasks: Iterable[SnapshotTask],
    found: Mapping[str, Mapping[str, str]],
    now: float,
    spare: Collection[str] = (),
    included: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> dict[str, Judgement]:
    """Judge the snapshots of `tasks` among `found` (as returned by `facts`), by name.

    Snapshots of tasks whose key is in `spare` are kept. `included` are further datasets that belong to a task, by its
    key. `now` is in seconds since 1970.
    """
    local, received = _by_task(found, TASK), _by_task(found, RECEIVED_TASK)
    judgements: dict[str, Judgement] = {}
    for task in tasks:
        more = included.get(task.key, ())
        ours = list(_below(task, local.get(task.key, ()), more))
        judgements.update({name: Judgement(task, False, OUTSIDE) for name, inside in ours if not inside})
        own = [_taken(name, found[name]) for name, inside in ours if inside]
        for verdict in judge(own, task.key, lifetime(task.lifetime_value, task.lifetime_unit), now):
            is_spared = verdict.destroy and task.key in spare
            judgements[verdict.snapshot.name] = Judgement(
                task, verdict.destroy and not is_spared, SPARED if is_spared else verdict.reason
            )
        copies = _below(task, received.get(task.key, ()), more)
        judgements.update({name: Judgement(task, False, RECEIVED) for name, inside in copies if inside})
    return judgements


def _by_task(found: Mapping[str, Mapping[str, str]], key: str) -> dict[str, list[str]]:
    """Group the names of the snapshots by their property `key`."""
    return grouped((values[key], name) for name, values in found.items() if key in values)


def _below(task: SnapshotTask, names: Sequence[str], included: Collection[str]) -> Iterator[tuple[str, bool]]:
    """Yield the snapshots of the task's dataset, its children and the `included` datasets, each with whether the task
    includes its dataset.
    """
    left_out = frozenset(task.exclude)
    for name in names:
        dataset = dataset_of(name)
        excluded = not left_out.isdisjoint(upwards(dataset))
        if is_within(dataset, task.dataset) or dataset in included:
            inside = takes(dataset, task.dataset, task.recursive, left_out)
            yield name, inside or (dataset in included and not excluded)


def _taken(name: str, values: Mapping[str, str]) -> Taken:
    return Taken(
        name=name,
        creation=int(values["creation"]),
        task=values.get(TASK, ""),
        complete=is_complete(values),
        held=values.get("userrefs", "0") != "0",
        cloned=bool(values.get("clones")),
        born=int(values["createtxg"]),
        verified=verified.is_verified(values),
    )
