# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention carried out: judge a task's ZFS snapshots (schedule/retention.py) and destroy those whose time is over."""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping, Sequence

from ..registry.snapshot_tasks import SnapshotTask
from ..schedule.retention import Taken, judge, lifetime
from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.destroy import destroy
from ..zfs.names import is_within
from .manifest import PREFIX
from .record import KEYS, RUN, TASK, is_complete

_PROPERTIES = ("creation", "createtxg", "userrefs", "clones", *KEYS)
_UNFINISHED = "its run has not ended"


def facts(zfs: Zfs, datasets: Sequence[str]) -> dict[str, dict[str, str]]:
    """What retention has to know of the snapshots of `datasets` and below: a task may have been recursive once."""
    return snapshots.facts(zfs, datasets, _PROPERTIES, PREFIX)


def retire(
    zfs: Zfs,
    tasks: Sequence[SnapshotTask],
    found: Mapping[str, Mapping[str, str]],
    dry: bool,
    is_alive: Callable[[str], bool] = lambda run: False,
) -> dict[str, Any]:
    """Destroy those of `found` (as `facts` returns them) that one of `tasks` took and whose lifetime is over.

    Those of a run that `is_alive` stay: their records are not finished. Plain data: `destroyed` (or, with `dry`, those
    that would be) are names; `kept` are name and reason of the tasks' other snapshots.
    """
    now = time.time()
    taken: dict[str, list[Taken]] = {}
    for name, values in found.items():
        taken.setdefault(values.get(TASK, ""), []).append(_taken(name, values))
    verdicts = []
    for task in tasks:
        mine = [snapshot for snapshot in taken.get(task.key, ()) if is_within(snapshot.dataset, task.dataset)]
        verdicts += judge(mine, task.key, lifetime(task.lifetime_value, task.lifetime_unit), now)
    doomed = {
        verdict.snapshot.name: found[verdict.snapshot.name]["createtxg"] for verdict in verdicts if verdict.destroy
    }
    runs = {name: found[name].get(RUN, "") for name in doomed}
    living = {run for run in set(runs.values()) if run and is_alive(run)}
    refused = {name: _UNFINISHED for name, run in runs.items() if run in living}
    for name in refused:
        del doomed[name]
    if doomed and not dry:
        refused.update(destroy(zfs, doomed))
    return {
        "destroyed": [name for name in doomed if name not in refused],
        "kept": [
            {"name": verdict.snapshot.name, "reason": refused.get(verdict.snapshot.name, verdict.reason)}
            for verdict in verdicts
            if not verdict.destroy or verdict.snapshot.name in refused
        ],
    }


def _taken(name: str, values: Mapping[str, str]) -> Taken:
    return Taken(
        name=name,
        creation=int(values["creation"]),
        task=values.get(TASK, ""),
        complete=is_complete(values),
        held=values.get("userrefs", "0") != "0",
        cloned=bool(values.get("clones")),
    )
