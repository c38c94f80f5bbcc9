# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One turn of a snapshot task: is it due, has anything changed, snapshot, then destroy those whose time is over."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Mapping, Sequence

from ..errors import QuiesceError
from ..registry.snapshot_tasks import SnapshotTask
from ..schedule.naming import unused_name
from ..schedule.occurrences import last_due, next_due
from ..vsphere.session import Timeouts, connect
from ..zfs import snapshots
from ..zfs.datasets import list_datasets, select
from ..zfs.names import check_snapshot
from . import identity, record, retire
from .consistency import CRASH, lowest
from .engine import Engine
from .journal import ENDED, RunRecord, best_effort
from .request import Request
from .run import execute, preview

_PUNCTUAL = 300.0  # seconds beyond the jitter; a later snapshot is named after when it was taken, not when it was due
_ZFS_SECONDS = 300.0


def check(task: SnapshotTask) -> None:
    """Raise InputError for settings that no run could follow, before anything is stored."""
    _request(task, "").policy.check()


def overview(engine: Engine, task: SnapshotTask) -> dict[str, Any]:
    """The task as plain data, with `next_run` (when it is due next, also if that is past and it only waits for its
    place within the jitter; local time, ISO 8601; None when it is disabled) and `last_run`: the newest run that the
    journal knows of, or None.
    """
    now = time.time()
    waiting = last_due(task.schedule, max(engine.tasks.handled(task.id), now - task.jitter), now)
    next_run = (waiting or next_due(task.schedule, now)) if task.enabled else None
    return {
        **task.as_dict(),
        "next_run": datetime.fromtimestamp(next_run).astimezone().isoformat(timespec="minutes") if next_run else None,
        "last_run": _last_run(engine.journal.last_run(task.key)),
    }


def _last_run(waves: Sequence[RunRecord]) -> dict[str, Any] | None:
    """A run's waves in one summary, which is never better than the worst of them."""
    if not waves:
        return None
    results = [run.result for run in waves]
    levels = [level for result in results if (level := result.get("consistency")) is not None]
    complete = [result.get("complete") for result in results]
    windows = [result["hold_window_seconds"] for result in results if result.get("hold_window_seconds") is not None]
    return {
        **summary(waves[0]),
        "state": next((run.state for run in waves if run.state != ENDED), ENDED),
        "created": any(result.get("created", False) for result in results),
        "consistency": lowest(levels) if len(levels) == len(results) else None,
        "complete": None if None in complete else all(complete),
        "hold_window_seconds": max(windows, default=None),
    }


def summary(run: RunRecord) -> dict[str, Any]:
    """A run of the journal as plain data; what is not known of it is None."""
    return {
        "run_id": run.id,
        "started": run.started,
        "zfs_snapshot": run.snapshots[0],
        "state": run.state,
        "created": run.result.get("created", False),
        "consistency": run.result.get("consistency"),
        "complete": run.result.get("complete"),
        "hold_window_seconds": run.result.get("hold_window_seconds"),
    }


def take_turn(engine: Engine, task: SnapshotTask, scheduled: bool = False, dry: bool = False) -> dict[str, Any]:
    """A turn of the task, by hand or, with `scheduled`, only if its schedule says so. Returns plain data:

    task: its id; skipped: why no snapshot was taken, or ""; snapshot: the result of the run, or None; retired: see
    retire.py. With `dry` nothing is changed. Raises what a run raises; retention then waits for the next turn.
    """
    now = time.time()
    if not scheduled:
        return _turn(engine, task, _Instant(now, since=None), dry)
    if not task.enabled:
        return _outcome(task, skipped="it is disabled")
    due = engine.tasks.begin(task.id, now, partial(last_due, task.schedule))
    if due is None:
        return _outcome(task, skipped="it is not due")
    try:
        punctual = now - due < _PUNCTUAL + task.jitter
        return _turn(engine, task, _Instant(due if punctual else now, since=due), dry)
    finally:
        best_effort(lambda: engine.tasks.end(task.id, due))


@dataclass(frozen=True)
class _Instant:
    """What the snapshot is named after, and from when on one of the task is this turn's (seconds since 1970).

    By hand none is: whoever asks twice wants two.
    """

    named: float
    since: float | None


def _outcome(task: SnapshotTask, skipped: str) -> dict[str, Any]:
    return {"task": task.id, "skipped": skipped, "snapshot": None, "retired": None}


def _turn(engine: Engine, task: SnapshotTask, instant: _Instant, dry: bool) -> dict[str, Any]:
    chosen = select(list_datasets(engine.zfs, task.dataset), task.dataset, task.recursive, task.exclude)
    datasets = [dataset.name for dataset in chosen]
    found = retire.facts(engine.zfs, [task.dataset])
    turn = _outcome(task, _nothing_to_do(engine, task, datasets, found, instant))
    if not turn["skipped"]:
        others = {name.split("@")[1] for name, values in found.items() if not _of_turn(task, values, instant)}
        name = unused_name(task.naming_schema, datetime.fromtimestamp(instant.named).astimezone(), others.__contains__)
        turn["snapshot"] = _snapshot(engine, task, name, datasets, dry)
        if not dry:
            found = retire.facts(engine.zfs, [task.dataset])
    turn["retired"] = retire.retire(engine.zfs, [task], found, dry, engine.locks.is_alive)
    return turn


def _of_turn(task: SnapshotTask, values: Mapping[str, str], instant: _Instant) -> bool:
    mine = values.get(record.TASK) == task.key
    return mine and instant.since is not None and _creation(values) >= int(instant.since)


def _nothing_to_do(
    engine: Engine,
    task: SnapshotTask,
    datasets: Sequence[str],
    found: Mapping[str, Mapping[str, str]],
    instant: _Instant,
) -> str:
    """Why no snapshot is needed, or "". One that is not complete is worth another try, also of the same data."""
    newest = _newest(task, found)
    names = {newest.get(dataset, "") for dataset in datasets}
    if len(names) != 1 or "" in names:
        return ""
    (short,) = names
    latest = f"{task.dataset}@{short}"
    if task.vmware_sync and not all(record.is_complete(found[f"{dataset}@{short}"]) for dataset in datasets):
        return ""
    if _of_turn(task, found[latest], instant):
        return f"{latest} was taken already"
    if task.allow_empty or snapshots.written_since(engine.zfs, short, datasets):
        return ""
    return f"nothing was written since {latest} (allow_empty is false)"


def _newest(task: SnapshotTask, found: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The name (behind the @) of the task's newest snapshot of each dataset that has one."""
    newest: dict[str, tuple[int, str]] = {}
    for name, values in found.items():
        if values.get(record.TASK) == task.key:
            dataset, _unused, short = name.partition("@")
            newest[dataset] = max(newest.get(dataset, (-1, "")), (_creation(values), short))
    return {dataset: short for dataset, (_unused, short) in newest.items()}


def _snapshot(engine: Engine, task: SnapshotTask, name: str, datasets: Sequence[str], dry: bool) -> dict[str, Any]:
    if task.vmware_sync:
        timeouts = Timeouts(task.connect_timeout, task.call_timeout)
        patient = replace(engine, connect=partial(connect, timeouts=timeouts))
        return (preview if dry else execute)(patient, _request(task, name))
    names = [check_snapshot(dataset, name) for dataset in datasets]
    result = {"zfs_snapshot": names[0], "zfs_snapshots": names, "consistency": CRASH, "created": not dry}
    if not dry:
        _plain_snapshot(engine, task, names, result)
    return result


def _request(task: SnapshotTask, snapshot: str) -> Request:
    return Request.from_options(task.settings(), snapshot, task.key)


def _plain_snapshot(engine: Engine, task: SnapshotTask, names: Sequence[str], result: dict[str, Any]) -> None:
    """A ZFS snapshot without VMware, whose record claims nothing and is never sealed."""
    run = identity.new_run_id()
    with engine.locks.run(run, task.dataset, task.lock_timeout):
        if snapshots.existing(engine.zfs, names):
            result["created"] = False
            return
        engine.journal.open_run(run, task.key, task.dataset, names)
        properties = record.Record(run, engine.host.id, task.key).first(plain=True)
        try:
            snapshots.create(engine.zfs, names, properties, _ZFS_SECONDS)
        except QuiesceError:
            result["created"], result["consistency"] = False, None
            raise
        finally:
            engine.journal.end_run(run, {**result, "complete": False})


def _creation(values: Mapping[str, str]) -> int:
    return int(values.get("creation", "0"))
