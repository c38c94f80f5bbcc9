# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides which datasets a turn of a snapshot task snapshots, and the name of the ZFS snapshots. Changes nothing.

The decision is made while the turn holds the lock of its datasets, because another task may use the same name.
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
from ..zfs.names import SnapshotName

Facts = Mapping[str, Mapping[str, str]]  # snapshot -> properties, see lifetimes.facts


@dataclass(frozen=True)
class Instant:
    """The time for the name of the snapshot, and the time `since` which the task's snapshots belong to this turn.

    Both are in seconds since 1970. `since` is None for a manual run, which always takes a new snapshot.
    """

    named: float
    since: float | None


def choice(task: SnapshotTask, datasets: Sequence[str], found: Facts, instant: Instant) -> tuple[str, list[str]]:
    """Return the name (after the @) of the snapshot to take, and the datasets to snapshot.

    The datasets that an earlier attempt of this turn has already snapshotted are left out, and its name is used again
    if no other dataset has a snapshot with this name.
    """
    done = _done(task, found, instant)
    lacking = [dataset for dataset in datasets if dataset not in done]
    remaining = frozenset(lacking)
    used = {short for dataset, short in map(SnapshotName.of, found) if dataset in remaining}
    before = next((short for short in done.values() if short not in used), None)
    moment = datetime.fromtimestamp(instant.named).astimezone()
    return before or unused_name(task.naming_schema, moment, used.__contains__), lacking


def _done(task: SnapshotTask, found: Facts, instant: Instant) -> dict[str, str]:
    """Return the snapshots that earlier attempts of this turn have taken: dataset -> name of the snapshot.

    Snapshots that are not complete do not count, because another attempt may be better, nor do those of the future.
    """
    if instant.since is None:
        return {}
    done, since, now = {}, int(instant.since), time.time()
    for name, values in found.items():
        if values.get(record.TASK) == task.key and since <= _creation(values) <= now and _is_good(task, values):
            dataset, short = SnapshotName.of(name)
            done[dataset] = short
    return done


def nothing_to_do(zfs: Zfs, task: SnapshotTask, datasets: Sequence[str], found: Facts, instant: Instant) -> str:
    """Return why no snapshot is needed, or "". If the last one is not complete, another one is needed."""
    done = _done(task, found, instant)
    if done.keys() >= set(datasets):
        return f"{SnapshotName(datasets[0], done[datasets[0]])} was already taken"
    newest = _newest(task, found)
    names = {newest.get(dataset, "") for dataset in datasets}
    if task.allow_empty or len(names) != 1 or "" in names:
        return ""
    (short,) = names
    if not all(_is_good(task, found[str(SnapshotName(dataset, short))]) for dataset in datasets):
        return ""
    if snapshots.written_since(zfs, short, datasets):
        return ""
    return f"nothing was written since {SnapshotName(task.dataset, short)} (allow_empty is false)"


def _newest(task: SnapshotTask, found: Facts) -> dict[str, str]:
    """Return the name (after the @) of the task's newest snapshot of each dataset. Ignores snapshots of the future."""
    newest: dict[str, tuple[int, str]] = {}
    now = time.time()
    for name, values in found.items():
        if values.get(record.TASK) == task.key and _creation(values) <= now:
            dataset, short = SnapshotName.of(name)
            newest[dataset] = max(newest.get(dataset, (-1, "")), (int(values["createtxg"]), short))
    return {dataset: short for dataset, (_unused, short) in newest.items()}


def _is_good(task: SnapshotTask, values: Mapping[str, str]) -> bool:
    """Return whether a snapshot of the task is complete, or plain because the task does not quiesce VMs."""
    return not task.vmware_sync or record.is_complete(values)


def _creation(values: Mapping[str, str]) -> int:
    return int(values.get("creation", "0"))
