# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One coordinated run: check, lock, recover, plan, and carry out the plan (see hold_run.py)."""

from __future__ import annotations

import gc
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Iterable, Iterator, Sequence

from ..errors import DatasetNotFound, InputError, PolicyRefused, RunFailed
from ..planning import spans
from ..planning.connector import with_connector
from ..planning.earlier_runs import EarlierRuns
from ..planning.plan import Plan, make_plan
from ..planning.problem import Problem
from ..planning.request import Request
from ..planning.selection import Selection, select_datasets
from ..planning.server_logins import ServerLogin, open_logins, unknown_volumes
from ..planning.vm_treatments import may_include, rules_of
from ..records.record import Record
from ..recovery import recover
from ..recovery.result import Recovery
from ..snapshots import result, waves
from ..snapshots.hold_run import HoldRun
from ..snapshots.run_result import RunResult, combine
from ..snapshots.run_snapshots import RunSnapshots
from ..snapshots.seal import check_room
from ..snapshots.stop import Stop, on_signals
from ..state import identity
from ..state.dataset_policies import DatasetPolicies
from ..state.engine import Engine
from ..state.journal import ignore_registry_errors
from ..state.journal_entries import ENDED
from ..zfs import snapshots
from ..zfs.command import READ_TIMEOUT
from ..zfs.names import check_dataset, check_snapshot, is_within, pool_of


@dataclass(frozen=True)
class Begun:
    """A run that holds the lock of its datasets. `recovery` is the result of the recovery before the run.

    `stored` are the policies that were stored for datasets when the run chose what to lock.
    """

    run: str
    stop: Stop
    recovery: Recovery = field(default_factory=Recovery)
    stored: Sequence[DatasetPolicies] = ()


def preview(engine: Engine, request: Request) -> RunResult:
    """Return what `execute` would do: the result of ZFS snapshots that already exist, or the plan. Changes nothing."""
    _check(request)
    engine = with_connector(engine)
    selection, names = _select(engine, request)
    existing = result.of_existing(engine.zfs, names, request.policy, engine.policies.list_all())
    return existing or foresee(engine, request, selection)


def foresee(engine: Engine, request: Request, selection: Selection) -> RunResult:
    """Return what `take` would do. Changes nothing."""
    with ExitStack() as stack:
        _unused, plan, parts = _plan(engine, request, selection, engine.policies.list_all(), stack)
    if not request.policy.wave_size:
        return result.of_plan(plan)
    return combine([result.of_plan(wave) for wave in parts], plan.snapshots)


def execute(engine: Engine, request: Request) -> RunResult:
    """Take the coordinated snapshot. ZFS snapshots that already exist are not changed, and their result is returned.

    Raises InputError before any VM is touched, LockTimeout, and RunFailed with the result so far in `details`.
    """
    _check(request)
    engine = with_connector(engine)
    with begin(engine, request, Stop()) as begun:
        # Listed while the lock is held: datasets may have changed while the run waited for it.
        selection, names = _select(engine, request)
        existing = result.of_existing(engine.zfs, names, request.policy, begun.stored)
        return existing or take(engine, request, begun, selection)


@contextmanager
def begin(engine: Engine, request: Request, stop: Stop) -> Iterator[Begun]:
    """Lock the datasets of the request until the block ends, and recover what earlier runs left.

    Signals that end a process set `stop` instead. Raises LockTimeout.
    """
    run = identity.new_run_id()
    stored = engine.policies.list_all()
    with engine.locks.run(run, _to_lock(request, stored), request.lock_timeout), on_signals(stop):
        yield Begun(run, stop, recover.before_run(engine, pool_of(request.dataset)), stored)


def _to_lock(request: Request, stored: Iterable[DatasetPolicies]) -> str:
    """Return the dataset whose tree a run locks: the whole pool if a policy may include other datasets of it.

    Two runs that each waited for a dataset of the other would wait until lock_timeout.
    """
    near = [one for one in stored if is_within(request.dataset, one.dataset) or is_within(one.dataset, request.dataset)]
    return pool_of(request.dataset) if may_include(rules_of(request.policy, near)) else request.dataset


def take(engine: Engine, request: Request, begun: Begun, selection: Selection) -> RunResult:
    """Take the coordinated snapshot of the selection under a name that is not in use.

    Raises the errors of `execute`.
    """
    with ExitStack() as stack:
        logins, plan, parts = _plan(engine, request, selection, begun.stored, stack)
        if plan.refusals:
            raise PolicyRefused(
                f"The policy does not allow this run: {'; '.join(refusal.rstrip('.') for refusal in plan.refusals)}",
                "Fix the cause, exclude the VM with exclude_vms, or relax on_vm_failure, on_quiesce_failure or the"
                " policy of the VM",
                **result.of_plan(plan).as_dict(),
            )
        inside = selection.names
        if request.task:
            engine.tasks.note_included(request.task, [name for name in plan.datasets if name not in inside])
        done = _hold(engine, request, begun, plan, parts, logins)
        return replace(done, recovery=begun.recovery.as_dict())


def _hold(
    engine: Engine, request: Request, begun: Begun, plan: Plan, parts: Sequence[Plan], logins: Sequence[ServerLogin]
) -> RunResult:
    """Carry out the waves (`parts`) of the plan one by one. The first wave that fails ends the run."""
    ids = identity.wave_ids(begun.run, len(parts))
    results: list[RunResult] = []
    failure: RunFailed | None = None
    with ExitStack() as stack:
        gc.freeze()  # otherwise Python would scan all types of pyVmomi repeatedly while VMs are held
        stack.callback(gc.unfreeze)
        for wave_id, wave in zip(ids, parts):
            engine.journal.open_run(wave_id, request.task, request.dataset, wave.snapshots)
        for number, (wave_id, wave) in enumerate(zip(ids, parts), 1):
            if len(parts) > 1:
                engine.report(f"Wave {number} of {len(parts)}")
            done, failure = HoldRun(engine, request, wave_id, wave, logins, begun.stop).execute()
            results.append(done)
            if failure is not None:
                break
    for unstarted in ids[len(results) :]:
        ignore_registry_errors(partial(engine.journal.set_state, unstarted, ENDED))
    if not request.policy.wave_size:
        if failure is not None:
            raise failure
        return results[0]
    if isinstance(failure, PolicyRefused):
        _destroy(engine, ids, results[:-1])
    combined = combine(results, _not_gone(plan, parts, results))
    if failure is not None:
        where = f"In wave {len(results)} of {len(parts)}: " if len(parts) > 1 else ""
        raise RunFailed(where + failure.problem, failure.remedy, **combined.as_dict()) from failure
    return combined


def _not_gone(plan: Plan, parts: Sequence[Plan], results: Sequence[RunResult]) -> list[str]:
    """Return the ZFS snapshots of the plan, without those whose dataset no longer existed when its wave started."""
    planned = {name for wave in parts[: len(results)] for name in wave.snapshots}
    gone = planned.difference(name for done in results for name in done.zfs_snapshots)
    return [name for name in plan.snapshots if name not in gone]


def _destroy(engine: Engine, ids: Sequence[str], results: Sequence[RunResult]) -> None:
    """Destroy the ZFS snapshots of earlier waves of a run that the policy does not allow, and update their results."""
    for wave_id, wave in zip(ids, results):
        run_snapshots = RunSnapshots(Record(wave_id, engine.host.id), wave.zfs_snapshots, seen=wave.created)
        run_snapshots.destroy(engine.zfs, READ_TIMEOUT)
        if not run_snapshots.exists:
            wave.created, wave.consistency, wave.required_consistency, wave.complete = False, None, None, False
        undestroyed = (run_snapshots.undestroyed or {}).items()
        wave.problems += [f"{snapshot} still exists: {reason}." for snapshot, reason in undestroyed]
        ignore_registry_errors(partial(engine.journal.end_run, wave_id, wave.as_dict()))


def _check(request: Request) -> None:
    """Raise InputError for a request that is invalid whatever datasets and credentials exist."""
    request.policy.check()
    check_dataset(request.dataset)
    check_snapshot(request.dataset, request.snapshot)


def _select(engine: Engine, request: Request) -> tuple[Selection, list[str]]:
    """Return the datasets of the request and the names of its ZFS snapshots. Raises InputError and ZfsError."""
    selection = select_datasets(engine.zfs, request)
    if not request.task and not engine.credentials.find_for_datasets(selection.names):
        raise InputError(_no_credential(request), "Store one with vmware_cred")
    return selection, [check_snapshot(name, request.snapshot) for name in selection.names]


def _plan(
    engine: Engine, request: Request, selection: Selection, stored: Sequence[DatasetPolicies], stack: ExitStack
) -> tuple[list[ServerLogin], Plan, list[Plan]]:
    """Return the logins (`stack` logs out), the plan and its waves; without waves, the plan is the only one.

    A policy can include further datasets. Other VMs and other servers may use them, so the plan is then made again.
    """
    engine.report(f"Looking for the VMs on {request.dataset}")
    earlier = EarlierRuns(engine)
    if not selection.chosen:
        raise DatasetNotFound(
            f"None of the datasets below {request.dataset} that still need a snapshot exists",
            "No action is needed; the next turn snapshots the datasets that exist then",
        )
    while True:
        with ExitStack() as attempt:
            near = [one for one in stored if any(is_within(name, one.dataset) for name in selection.names)]
            request = replace(request, stored=tuple(near))
            logins, plan = _plan_of(engine, request, selection, earlier, attempt)
            more, warnings = spans.further(plan, request, selection, partial(snapshots.existing, engine.zfs))
            if not more:
                stack.push(attempt.pop_all())
                break
        engine.report(f"Including {', '.join(more)}, because VMs also have files there")
        selection = selection.including(more)
    plan = replace(plan, warnings=(*selection.warnings, *plan.warnings, *warnings))
    parts = waves.cut(plan, request.policy.wave_size)
    for wave in parts:
        snapshots.check_room(engine.zfs, wave.snapshots, Record("x" * 64, engine.host.id, request.task).first())
        check_room(wave)
    return logins, plan, parts


def _plan_of(
    engine: Engine, request: Request, selection: Selection, earlier: EarlierRuns, stack: ExitStack
) -> tuple[list[ServerLogin], Plan]:
    """Return the logins (`stack` logs out) and the plan for exactly the datasets of the selection."""
    for name in selection.names:
        check_snapshot(name, request.snapshot)
    credentials = engine.credentials.find_for_datasets(selection.names)
    logins, problems = open_logins(
        stack,
        credentials,
        engine.credentials.password,
        selection.around,
        engine.zfs.host,
        request.aliases,
        engine.connect,
        engine.report,
    )
    if not credentials:  # a crash-consistent snapshot from a task is better than none
        problems.append(Problem(f"{_no_credential(request)}; store one with vmware_cred."))
    problems += unknown_volumes(selection.chosen, logins)
    return logins, make_plan(request, selection.names, logins, problems, earlier.leftover_of)


def _no_credential(request: Request) -> str:
    return f"No credential is stored for the VMs on {request.dataset}"
