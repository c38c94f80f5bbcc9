# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One turn of a snapshot task: is it due, has anything changed, snapshot, then destroy those whose time is over."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, Iterator, Mapping, Sequence

from ..errors import InputError, QuiesceError, RunFailed
from ..planning.connector import with_connector
from ..planning.request import Request
from ..records import record
from ..records.levels import CRASH, lowest
from ..runs.run import Begun, begin, foresee, take
from ..schedule.occurrences import last_due, next_due
from ..snapshots.stop import Stop
from ..state import identity
from ..state.engine import Engine
from ..state.journal import ignore_registry_errors
from ..state.journal_entries import ENDED, RunRecord
from ..state.snapshot_tasks import SnapshotTask
from ..text import vm_on
from ..vsphere.session import Timeouts, connect
from ..zfs import snapshots
from ..zfs.datasets import left_out, list_datasets, select
from ..zfs.names import check_snapshot
from . import retire
from .to_take import Facts, Instant, choice, nothing_to_do

_PUNCTUAL = 300.0  # seconds beyond the jitter; a later snapshot is named after when it was taken, not when it was due
AGAIN_AFTER = 300.0  # seconds until a turn that could not begin is tried again; the role's unit has them as well
_ZFS_SECONDS = 300.0


def check(task: SnapshotTask) -> None:
    """Raise InputError for settings that no run could follow, before anything is stored."""
    _request(task, "").check()
    _timeouts(task).check()


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

    task: its id; skipped: why no snapshot was taken, or ""; snapshot: the result of the run, or None; incomplete: why
    the snapshot is not complete, in sentences, [] when it is or was not to be; tolerated: whether the task allows that;
    retired: see retire.py, None when it was not applied. With `dry` nothing is changed.

    Retention is applied also when the run fails. Raises what a run raises, with the turn so far in `details["turn"]`;
    `details["again"]` is there when the turn stays due, because it failed before it held or took anything.
    """
    now = time.time()
    if not scheduled:
        return _turn(engine, task, Instant(now, since=None), dry)
    if not task.enabled:
        return _outcome(task, skipped="it is disabled")
    due = engine.tasks.begin(task.id, now, partial(last_due, task.schedule))
    if due is None:
        return _outcome(task, skipped="it is not due")
    punctual = now - due < _PUNCTUAL + task.jitter
    try:
        turn = _turn(engine, task, Instant(due if punctual else now, since=due), dry)
    except QuiesceError as error:
        if error.details.get("again"):
            ignore_registry_errors(lambda: engine.tasks.again(task.id, due))
        elif not error.details.pop("interrupted", False):  # otherwise once more, as after a power cut
            ignore_registry_errors(lambda: engine.tasks.end(task.id, due))
        raise
    ignore_registry_errors(lambda: engine.tasks.end(task.id, due))
    return turn


def _is_worth_another_try(task: SnapshotTask, error: QuiesceError, turn: Mapping[str, Any], instant: Instant) -> bool:
    """Whether a failed turn is tried again before the next one is due.

    Not an invalid request, and not a run that was refused or held VMs: to hold them every five minutes would be worse
    than to miss a snapshot. What is left is, above all, a pool that is imported late.
    """
    if instant.since is None or turn["snapshot"] is not None or isinstance(error, (InputError, RunFailed)):
        return False
    following = next_due(task.schedule, instant.since)
    return following is None or time.time() + AGAIN_AFTER < following


def _outcome(task: SnapshotTask, skipped: str = "") -> dict[str, Any]:
    nothing: dict[str, Any] = {"snapshot": None, "incomplete": [], "retired": None}
    return {"task": task.id, "skipped": skipped, "tolerated": task.tolerate_incomplete, **nothing}


def _turn(engine: Engine, task: SnapshotTask, instant: Instant, dry: bool) -> dict[str, Any]:
    turn, stop = _outcome(task), Stop()
    engine = with_connector(engine, partial(connect, timeouts=_timeouts(task)))
    failure: QuiesceError | None = None
    found: Facts | None = None
    try:
        with _begin(engine, task, stop, dry) as begun:
            taken, found = _take(engine, task, instant, begun)
            turn.update(taken)
    except QuiesceError as error:
        failure = error
        if "zfs_snapshots" in error.details:
            turn["snapshot"] = dict(error.details)
    if turn["snapshot"] is not None and not dry:
        turn["incomplete"] = _why_incomplete(task, turn["snapshot"])
    again = failure is not None and _is_worth_another_try(task, failure, turn, instant)
    if not stop.interrupted:
        try:
            turn["retired"] = _retire(engine, task, found, dry, note=not again)
        except QuiesceError as error:
            failure = failure or error
    if failure is not None:
        failure.details.update(turn=turn, **({"again": True} if again else {}))
        if stop.interrupted:
            failure.details["interrupted"] = True
        raise failure
    return turn


def _retire(engine: Engine, task: SnapshotTask, found: Facts | None, dry: bool, note: bool) -> dict[str, Any]:
    """Without `note` the turn is not noted: it is tried again, and a clock that is doubted stays so until then."""
    spare = retire.spared(engine.tasks, [task], time.time())
    found = retire.facts(engine.zfs, [task.dataset]) if found is None else found
    retired = retire.retire(engine.zfs, [task], found, dry, engine.locks.is_alive, spare)
    if note and not dry:
        ignore_registry_errors(lambda: engine.tasks.turned(task.id, time.time(), bool(spare)))
    return retired


# ---- The snapshot


@contextmanager
def _begin(engine: Engine, task: SnapshotTask, stop: Stop, dry: bool) -> Iterator[Begun | None]:
    """The run of the turn, which nobody else takes snapshots beside; None for a dry one, which locks nothing."""
    if dry:
        yield None
    elif task.vmware_sync:
        with begin(engine, _request(task, ""), stop) as begun:
            yield begun
    else:
        run = identity.new_run_id()
        with engine.locks.run(run, task.dataset, task.lock_timeout):
            yield Begun(run, stop)


def _take(
    engine: Engine, task: SnapshotTask, instant: Instant, begun: Begun | None
) -> tuple[dict[str, Any], Facts | None]:
    """`skipped` or `snapshot` of the turn, with what is there, None when that has changed since."""
    everything, which = list_datasets(engine.zfs, task.dataset), (task.dataset, task.recursive, task.exclude)
    datasets = [dataset.name for dataset in select(everything, *which)]
    found = retire.facts(engine.zfs, [task.dataset])
    skipped = nothing_to_do(engine.zfs, task, datasets, found, instant)
    if skipped:
        return {"skipped": skipped}, found
    name, lacking = choice(task, datasets, found, instant)
    names = [check_snapshot(dataset, name) for dataset in lacking]
    if not task.vmware_sync:
        taken = _plain_snapshot(engine, task, names, begun)
        taken["warnings"] = left_out(everything, *which)
        return {"snapshot": taken}, None if begun else found
    request, only = _request(task, name), frozenset(lacking)
    if begun is None:
        return {"snapshot": foresee(engine, request, only)}, found
    return {"snapshot": take(engine, request, begun, only)}, None


def _timeouts(task: SnapshotTask) -> Timeouts:
    return Timeouts(task.connect_timeout, task.call_timeout)


def _request(task: SnapshotTask, snapshot: str) -> Request:
    return Request.from_options(task.settings(), snapshot, task.key)


def _plain_snapshot(engine: Engine, task: SnapshotTask, names: Sequence[str], begun: Begun | None) -> dict[str, Any]:
    """A ZFS snapshot without VMware, whose record claims nothing and is never sealed."""
    result: dict[str, Any] = {"zfs_snapshot": names[0], "zfs_snapshots": list(names), "consistency": CRASH}
    if begun is None:
        return {**result, "created": False}
    engine.journal.open_run(begun.run, task.key, task.dataset, names)
    result["created"] = True
    properties = record.Record(begun.run, engine.host.id, task.key).first(plain=True)
    try:
        snapshots.create(engine.zfs, names, properties, _ZFS_SECONDS)
    except QuiesceError:
        result["created"], result["consistency"] = False, None
        raise
    finally:
        engine.journal.end_run(begun.run, {**result, "complete": False})
    return result


def _why_incomplete(task: SnapshotTask, taken: Mapping[str, Any]) -> list[str]:
    """Why a snapshot that was taken is not complete, in sentences; [] when it is, or was not to be.

    VMs that are off or excluded are no reason: they were not to be quiesced.
    """
    if not (task.vmware_sync and taken["created"]) or taken["complete"]:
        return []
    policy = _request(task, "").policy
    reasons = [
        f"The {vm_on(vm['name'], vm['server'])}: {vm['reason']}"
        for vm in taken["vms"]
        if vm["level"] == CRASH and policy.excluded_by(vm["name"], vm["instance_uuid"], vm["moid"]) is None
    ]
    return list(dict.fromkeys([*taken["problems"], *reasons])) or ["No record says that it is complete."]
