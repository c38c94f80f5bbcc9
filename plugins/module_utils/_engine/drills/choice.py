# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the ZFS snapshot of a drill: the one that is named, or the newest complete one of a snapshot task."""

from __future__ import annotations

from ..errors import InputError
from ..grouping import grouped
from ..observe.lifetimes import facts
from ..records.record import TASK, is_complete
from ..restore.request import parse_snapshot
from ..state.snapshot_tasks import SnapshotTask
from ..zfs.command import Zfs
from ..zfs.names import SnapshotName, check_snapshot


def snapshot_of(zfs: Zfs, task: SnapshotTask, named: str = "") -> SnapshotName:
    """Return the ZFS snapshot `named` (`dataset@name`, or only `name`), or the newest complete one of the task.

    Raises InputError if the task has none.
    """
    if named and "@" not in named:
        check_snapshot(task.dataset, named)
        return SnapshotName(task.dataset, named)
    return parse_snapshot(named) if named else _newest_complete(zfs, task)


def _newest_complete(zfs: Zfs, task: SnapshotTask) -> SnapshotName:
    """Return the newest ZFS snapshot of the task that is complete on all datasets on which the task took it."""
    own = {name: values for name, values in facts(zfs, [task.dataset]).items() if values.get(TASK) == task.key}
    for full in sorted(own, key=lambda name: int(own[name]["createtxg"]), reverse=True):
        name = SnapshotName.of(full)
        same = grouped((SnapshotName.of(other).name, other) for other in own)[name.name]
        if name.dataset == task.dataset and all(is_complete(own[other]) for other in same):
            return name
    raise InputError(
        f"The snapshot task {task} has no complete ZFS snapshot",
        f"See what its snapshots lack with 'vmware-zfs points {task.dataset}', or name a snapshot",
    )
