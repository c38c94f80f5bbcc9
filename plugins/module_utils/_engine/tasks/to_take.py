# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a turn of a snapshot task has to take: of which datasets, and under which name. Changes nothing.

Decided by what is there while the turn holds the lock of its datasets, because another task may have used the name.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Mapping, Sequence

from ..records import record
from ..schedule.naming import unused_name
from ..state.snapshot_tasks import SnapshotTask
from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.names import dataset_of

Facts = Mapping[str, Mapping[str, str]]  # of each snapshot, see retire.facts


@dataclass(frozen=True)
class Instant:
    """What the snapshot is named after, and from when on one of the task is this turn's (seconds since 1970).

    By hand none is: whoever asks twice wants two.
    """

    named: float
    since: float | None


def choice(task: SnapshotTask, datasets: Sequence[str], found: Facts, instant: Instant) -> tuple[str, list[str]]:
    """The name (behind the @) of the snapshot to take, which is free on all the datasets to take it of.

    These are all but those that an earlier try of this turn has done, which have that try's name.
    """
    done = _done(task, found, instant)
    lacking = [dataset for dataset in datasets if dataset not in done]
    theirs = frozenset(lacking)
    used = {name.partition("@")[2] for name in found if dataset_of(name) in theirs}
    before = next((short for short in done.values() if short not in used), None)
    moment = datetime.fromtimestamp(instant.named).astimezone()
    return before or unused_name(task.naming_schema, moment, used.__contains__), lacking


def _done(task: SnapshotTask, found: Facts, instant: Instant) -> dict[str, str]:
    """What earlier tries of this turn have taken: the name of the snapshot of each dataset that needs no other.

    One that is not complete is worth another try, and one that is dated in the future belongs to no turn.
    """
    if instant.since is None:
        return {}
    done, since, now = {}, int(instant.since), time.time()
    for name, values in found.items():
        if values.get(record.TASK) == task.key and since <= _creation(values) <= now and _is_good(task, values):
            dataset, _unused, short = name.partition("@")
            done[dataset] = short
    return done


def nothing_to_do(zfs: Zfs, task: SnapshotTask, datasets: Sequence[str], found: Facts, instant: Instant) -> str:
    """Why no snapshot is needed, or "". One that is not complete is worth another try, also of the same data."""
    done = _done(task, found, instant)
    if done.keys() >= set(datasets):
        return f"{datasets[0]}@{done[datasets[0]]} was taken already"
    newest = _newest(task, found)
    names = {newest.get(dataset, "") for dataset in datasets}
    if task.allow_empty or len(names) != 1 or "" in names:
        return ""
    (short,) = names
    if not all(_is_good(task, found[f"{dataset}@{short}"]) for dataset in datasets):
        return ""
    if snapshots.written_since(zfs, short, datasets):
        return ""
    return f"nothing was written since {task.dataset}@{short} (allow_empty is false)"


def _newest(task: SnapshotTask, found: Facts) -> dict[str, str]:
    """The name (behind the @) of the task's newest snapshot of each dataset that has one, those aside that are dated in
    the future.
    """
    newest: dict[str, tuple[int, str]] = {}
    now = time.time()
    for name, values in found.items():
        if values.get(record.TASK) == task.key and _creation(values) <= now:
            dataset, _unused, short = name.partition("@")
            newest[dataset] = max(newest.get(dataset, (-1, "")), (int(values["createtxg"]), short))
    return {dataset: short for dataset, (_unused, short) in newest.items()}


def _is_good(task: SnapshotTask, values: Mapping[str, str]) -> bool:
    """Whether a snapshot of the task is all that it can be."""
    return not task.vmware_sync or record.is_complete(values)


def _creation(values: Mapping[str, str]) -> int:
    return int(values.get("creation", "0"))
