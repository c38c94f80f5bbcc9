# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A turn of a snapshot task: check whether it is due, take a snapshot if necessary, and destroy expired snapshots."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, Iterator, Mapping, Sequence

from ..errors import InputError, QuiesceError, RunFailed
from ..observe import lifetimes
from ..planning.connector import with_connector
from ..planning.request import Request
from ..planning.selection import Selection, select_datasets, selection_of
from ..records import record
from ..records.apart import consistency_text
from ..records.levels import CRASH, lowest, lowest_known, reaches
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
from ..zfs.datasets import list_datasets
from ..zfs.names import check_snapshot
from . import retire
from .to_take import Facts, Instant, choice, nothing_to_do
from .turn_result import TurnResult

_PUNCTUAL = 300.0  # seconds after the jitter; a later snapshot is named after its actual time, not its due time
AGAIN_AFTER = 300.0  # seconds until a turn that could not begin is tried again; also set in the role's unit
_ZFS_SECONDS = 300.0


def check(task: SnapshotTask) -> None:
    """Raise InputError for invalid settings, before they are stored."""
    _request(task, "").check()
    _timeouts(task).check()


def overview(engine: Engine, task: SnapshotTask) -> dict[str, Any]:
    """Return the task as plain data, with `next_run` and `last_run`.

    `next_run` is when it is due next (local time, ISO 8601), or None if it is disabled. It can be in the past while the
    task waits because of its jitter. `last_run` is the newest run in the journal, or None.
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
    """Return one summary of a run's waves, with the worst level of them."""
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
        "consistency_text": _text_of(results) if len(levels) == len(results) else None,
        "complete": None if None in complete else all(complete),
        "hold_window_seconds": max(windows, default=None),
    }


def _text_of(results: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the consistency of several waves for people. An older release did not store all that it needs."""
    vms = list({(vm["server"], vm["moid"]): vm for result in results for vm in result.get("vms", ())}.values())
    others = lowest_known(result.get("required_consistency", result["consistency"]) for result in results)
    consistency = lowest(result["consistency"] for result in results)
    return consistency_text(consistency, others, vms)


def summary(run: RunRecord) -> dict[str, Any]:
    """Return a run of the journal as plain data. Unknown values are None."""
    return {
        "run_id": run.id,
        "started": run.started,
        "zfs_snapshot": run.snapshots[0],
        "state": run.state,
        "created": run.result.get("created", False),
        "consistency": run.result.get("consistency"),
        "consistency_text": run.result.get("consistency_text", run.result.get("consistency")),
        "complete": run.result.get("complete"),
        "hold_window_seconds": run.result.get("hold_window_seconds"),
    }


def take_turn(engine: Engine, task: SnapshotTask, scheduled: bool = False, dry: bool = False) -> TurnResult:
    """Run the task, manually or, with `scheduled`, only if it is due. With `dry`, nothing is changed.

    Retention is also applied if the run fails. The result contains the error of a failed turn. Raises only errors that
    occur before the turn begins.
    """
    now = time.time()
    if not scheduled:
        return _turn(engine, task, Instant(now, since=None), Stop(), dry)
    if not task.enabled:
        return _result(task, skipped="it is disabled")
    due = engine.tasks.begin(task.id, now, partial(last_due, task.schedule))
    if due is None:
        return _result(task, skipped="it is not due")
    punctual = now - due < _PUNCTUAL + task.jitter
    stop = Stop()
    turn = _turn(engine, task, Instant(due if punctual else now, since=due), stop, dry)
    if turn.again:
        ignore_registry_errors(lambda: engine.tasks.again(task.id, due))
    elif turn.failure is None or not stop.interrupted:  # an interrupted one is tried again, as after a power failure
        ignore_registry_errors(lambda: engine.tasks.end(task.id, due))
    return turn


def _is_worth_another_try(task: SnapshotTask, turn: TurnResult, instant: Instant) -> bool:
    """Return whether a failed turn is tried again before the next one is due.

    This is not done after an invalid request, or after a run that was refused or that held VMs, because holding VMs
    every five minutes is worse than a missing snapshot. The most important remaining case is a pool that is imported
    late.
    """
    if instant.since is None or turn.snapshot is not None or isinstance(turn.failure, (InputError, RunFailed)):
        return False
    following = next_due(task.schedule, instant.since)
    return following is None or time.time() + AGAIN_AFTER < following


def _result(task: SnapshotTask, skipped: str = "") -> TurnResult:
    return TurnResult(task.id, tolerated=task.tolerate_incomplete, skipped=skipped)


def _turn(engine: Engine, task: SnapshotTask, instant: Instant, stop: Stop, dry: bool) -> TurnResult:
    turn = _result(task)
    engine = with_connector(engine, partial(connect, timeouts=_timeouts(task)))
    found: Facts | None = None
    try:
        with _begin(engine, task, stop, dry) as begun:
            turn.skipped, turn.snapshot, found = _take(engine, task, instant, begun)
    except QuiesceError as error:
        turn.failure = error
        if "zfs_snapshots" in error.details:
            turn.snapshot = dict(error.details)
    if turn.snapshot is not None and not dry:
        turn.incomplete = _why_incomplete(task, turn.snapshot)
    turn.again = turn.failure is not None and _is_worth_another_try(task, turn, instant)
    if not stop.interrupted:
        try:
            turn.retired = _retire(engine, task, found, dry, note=not turn.again)
        except QuiesceError as error:
            turn.failure = turn.failure or error
    return turn


def _retire(engine: Engine, task: SnapshotTask, found: Facts | None, dry: bool, note: bool) -> retire.Retirement:
    """Apply retention. Without `note`, its time is not stored, so that a clock that may be wrong is checked again."""
    spare = lifetimes.spared(engine.tasks, [task], time.time())
    included = engine.tasks.included(task.key)
    found = _facts(engine, task) if found is None else found
    retired = retire.retire(engine.zfs, [task], found, dry, engine.locks.is_alive, spare, {task.key: included})
    if note and not dry:
        ignore_registry_errors(lambda: engine.tasks.turned(task.id, time.time(), bool(spare)))
    return retired


def _facts(engine: Engine, task: SnapshotTask) -> Facts:
    return lifetimes.facts(engine.zfs, [task.dataset], engine.tasks.included(task.key))


# ---- The snapshot


@contextmanager
def _begin(engine: Engine, task: SnapshotTask, stop: Stop, dry: bool) -> Iterator[Begun | None]:
    """Begin the run of the turn and lock its datasets. Yields None for a dry run, which locks nothing."""
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
) -> tuple[str, dict[str, Any] | None, Facts | None]:
    """Return `skipped` and `snapshot` of the turn, and the facts of existing snapshots, or None if these changed."""
    selection = _selection(engine, task)
    found = _facts(engine, task)
    skipped = nothing_to_do(engine.zfs, task, selection.names, found, instant)
    if skipped:
        return skipped, None, found
    name, lacking = choice(task, selection.names, found, instant)
    names = [check_snapshot(dataset, name) for dataset in lacking]
    if not task.vmware_sync:
        taken = _plain_snapshot(engine, task, names, begun)
        taken["warnings"] = list(selection.warnings)
        return "", taken, None if begun else found
    request, selection = _request(task, name), selection.only(frozenset(lacking))
    if begun is None:
        return "", foresee(engine, request, selection).as_dict(), found
    return "", take(engine, request, begun, selection).as_dict(), None


def _selection(engine: Engine, task: SnapshotTask) -> Selection:
    """Return the datasets of the task. Without VMware, only the datasets of the task are listed, not the whole pool."""
    if task.vmware_sync:
        return select_datasets(engine.zfs, _request(task, ""))
    return selection_of(list_datasets(engine.zfs, task.dataset), task.dataset, task.recursive, task.exclude)


def _timeouts(task: SnapshotTask) -> Timeouts:
    return Timeouts(task.connect_timeout, task.call_timeout)


def _request(task: SnapshotTask, snapshot: str) -> Request:
    return Request.from_options(task.settings(), snapshot, task.key)


def _plain_snapshot(engine: Engine, task: SnapshotTask, names: Sequence[str], begun: Begun | None) -> dict[str, Any]:
    """Take a ZFS snapshot without VMware. Its record has the level crash and is never sealed."""
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


def _asks_for_more(vm: Mapping[str, Any]) -> str:
    return f"its level is {vm['level']}, and {vm['policy']} asks for {vm['accept']}"


def _why_incomplete(task: SnapshotTask, taken: Mapping[str, Any]) -> list[str]:
    """Return sentences that explain why a snapshot is not complete; empty if it is, or did not have to be.

    VMs that are off or excluded are not included, because they did not have to be quiesced.
    """
    if not (task.vmware_sync and taken["created"]) or taken["complete"]:
        return []
    reasons = [
        f"The {vm_on(vm['name'], vm['server'])}: {vm['reason'] or _asks_for_more(vm)}"
        for vm in taken["vms"]
        if not vm["excluded"] and not reaches(vm["level"], vm["accept"])
    ]
    return list(dict.fromkeys([*taken["problems"], *reasons])) or ["It has no record that is complete."]
