# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One coordinated run: check, lock, recover, plan, and then what hold_run.py does."""

from __future__ import annotations

import gc
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Collection, Iterator, Sequence

from ..errors import DatasetNotFound, InputError, PolicyRefused, RunFailed, ZfsError
from ..planning.connector import with_connector
from ..planning.earlier_runs import EarlierRuns
from ..planning.plan import Plan, make_plan
from ..planning.problem import Problem
from ..planning.request import Request
from ..planning.server_logins import ServerLogin, datasets_around, open_logins, unknown_volumes
from ..records.record import Record
from ..recovery import recover
from ..recovery.result import Recovery
from ..snapshots import result, waves
from ..snapshots.hold_run import HoldRun
from ..snapshots.run_snapshots import RunSnapshots
from ..snapshots.seal import check_room
from ..snapshots.stop import Stop, on_signals
from ..state import identity
from ..state.engine import Engine
from ..state.journal import ignore_registry_errors
from ..state.journal_entries import ENDED
from ..zfs import snapshots
from ..zfs.command import READ_TIMEOUT
from ..zfs.datasets import left_out, list_datasets, select
from ..zfs.names import check_dataset, check_snapshot, pool_of


@dataclass(frozen=True)
class Begun:
    """A run that holds the lock of its datasets. `recovery` is what it did first."""

    run: str
    stop: Stop
    recovery: Recovery = field(default_factory=Recovery)


def preview(engine: Engine, request: Request) -> dict[str, Any]:
    """What `execute` would do, without doing it: the result of a snapshot that exists already, or the plan."""
    names = _check(engine, request)
    engine = with_connector(engine)
    return result.of_existing(engine.zfs, names, request.policy) or foresee(engine, request)


def foresee(engine: Engine, request: Request, only: Collection[str] | None = None) -> dict[str, Any]:
    """What `take` would do, as plain data."""
    with ExitStack() as stack:
        _unused, plan, parts = _plan(engine, request, stack, only)
    if not request.policy.wave_size:
        return result.of_plan(plan)
    return result.together([result.of_plan(wave) for wave in parts], plan.snapshots)


def execute(engine: Engine, request: Request) -> dict[str, Any]:
    """Take the coordinated snapshot and return its result; one that exists already is returned unchanged.

    Raises InputError before anything is changed, LockTimeout, and RunFailed with the result so far in `details`.
    """
    names = _check(engine, request)
    engine = with_connector(engine)
    with begin(engine, request, Stop()) as begun:
        return result.of_existing(engine.zfs, names, request.policy) or take(engine, request, begun)


@contextmanager
def begin(engine: Engine, request: Request, stop: Stop) -> Iterator[Begun]:
    """Hold the lock of the request's datasets until the block ends, and recover what earlier runs left.

    Signals that end a process ask `stop` meanwhile. Raises LockTimeout.
    """
    run = identity.new_run_id()
    with engine.locks.run(run, request.dataset, request.lock_timeout), on_signals(stop):
        yield Begun(run, stop, recover.before_run(engine, pool_of(request.dataset)))


def take(engine: Engine, request: Request, begun: Begun, only: Collection[str] | None = None) -> dict[str, Any]:
    """Take the coordinated snapshot, whose name is free, and return its result; of the request's datasets those that
    `only` names. Raises what `execute` raises.
    """
    with ExitStack() as stack:
        logins, plan, parts = _plan(engine, request, stack, only)
        if plan.refusals:
            raise PolicyRefused(
                f"The policy does not allow this run: {'; '.join(plan.refusals)}",
                "Mend it, exclude the VM with exclude_vms, or relax on_vm_failure or on_quiesce_failure",
                **result.of_plan(plan),
            )
        done = _hold(engine, request, begun.run, plan, parts, logins, begun.stop)
        return {**done, "recovery": begun.recovery.as_dict()}


def _hold(
    engine: Engine,
    request: Request,
    run: str,
    plan: Plan,
    parts: Sequence[Plan],
    logins: Sequence[ServerLogin],
    stop: Stop,
) -> dict[str, Any]:
    """Carry out the plan wave by wave; `parts` are its waves. The first that fails is the last."""
    names = identity.wave_ids(run, len(parts))
    done: list[dict[str, Any]] = []
    with ExitStack() as stack:
        gc.freeze()  # Python would walk through all of pyVmomi's types again and again while VMs are held
        stack.callback(gc.unfreeze)
        for name, wave in zip(names, parts):
            engine.journal.open_run(name, request.task, request.dataset, wave.snapshots)
        for number, (name, wave) in enumerate(zip(names, parts), 1):
            if len(parts) > 1:
                engine.report(f"Wave {number} of {len(parts)}")
            try:
                done.append(HoldRun(engine, request, name, wave, logins, stop).execute())
            except RunFailed as error:
                for unbegun in names[number:]:
                    ignore_registry_errors(partial(engine.journal.set_state, unbegun, ENDED))
                if not request.policy.wave_size:
                    raise
                if isinstance(error, PolicyRefused):
                    _destroy(engine, names, done)
                before = f"In wave {number} of {len(parts)}: " if len(parts) > 1 else ""
                details = result.together([*done, error.details], _there(plan, parts, [*done, error.details]))
                raise RunFailed(before + error.problem, error.remedy, **details) from error
    return result.together(done, _there(plan, parts, done)) if request.policy.wave_size else done[0]


def _there(plan: Plan, parts: Sequence[Plan], done: Sequence[dict[str, Any]]) -> list[str]:
    """The ZFS snapshots of the plan without those whose datasets were gone when the turn of their wave came."""
    asked = {name for wave in parts[: len(done)] for name in wave.snapshots}
    gone = asked.difference(name for wave in done for name in wave["zfs_snapshots"])
    return [name for name in plan.snapshots if name not in gone]


def _destroy(engine: Engine, names: Sequence[str], done: list[dict[str, Any]]) -> None:
    """Destroy what earlier waves took of a run that the policy does not allow, and say so in their results."""
    for name, wave in zip(names, done):
        run_snapshots = RunSnapshots(Record(name, engine.host.id), wave["zfs_snapshots"], seen=wave["created"])
        run_snapshots.destroy(engine.zfs, READ_TIMEOUT)
        if not run_snapshots.exists:
            wave.update(created=False, consistency=None, complete=False)
        wave["problems"] += [
            f"{snapshot} is still there: {reason}." for snapshot, reason in (run_snapshots.left or {}).items()
        ]
        ignore_registry_errors(partial(engine.journal.end_run, name, wave))


def _check(engine: Engine, request: Request) -> list[str]:
    """The names of the ZFS snapshots to take, once everything that can be checked without a server is found good."""
    request.policy.check()
    check_dataset(request.dataset)
    found = list_datasets(engine.zfs, request.dataset)
    chosen = select(found, request.dataset, request.recursive, request.exclude)
    if not request.task and not engine.credentials.find_for_datasets([dataset.name for dataset in chosen]):
        raise InputError(_no_credential(request), "Store one with vmware_cred")
    return [check_snapshot(dataset.name, request.snapshot) for dataset in chosen]


def _plan(
    engine: Engine, request: Request, stack: ExitStack, only: Collection[str] | None
) -> tuple[list[ServerLogin], Plan, list[Plan]]:
    """The servers, which `stack` logs out of, the plan, and its waves: the plan alone where none are wanted."""
    engine.report(f"Looking for the VMs on {request.dataset}")
    earlier = EarlierRuns(engine)
    around = datasets_around(engine.zfs, pool_of(request.dataset))
    chosen = select(around, request.dataset, request.recursive, request.exclude)
    if chosen[0].receiving:
        raise ZfsError(
            f"No snapshot of {request.dataset} can be taken, because a 'zfs receive' into it is not complete",
            f"Let it end, or remove what is there with 'zfs receive -A {request.dataset}'",
        )
    chosen = [dataset for dataset in chosen if only is None or dataset.name in only]
    if not chosen:
        raise DatasetNotFound(
            f"None of the datasets below {request.dataset} that still need a snapshot is there",
            "Nothing has to be done; the next turn takes what is there then",
        )
    names = [dataset.name for dataset in chosen]
    credentials = engine.credentials.find_for_datasets(names)
    logins, problems = open_logins(
        stack, credentials, engine.credentials.password, around, request.aliases, engine.connect, engine.report
    )
    if not credentials:  # a task goes on, for crash, rather than take nothing night after night
        problems.append(Problem(f"{_no_credential(request)}; store one with vmware_cred."))
    problems += unknown_volumes(chosen, logins)
    plan = make_plan(request, names, logins, problems, earlier.leftover_of)
    warnings = left_out(around, request.dataset, request.recursive, request.exclude)
    plan = replace(plan, warnings=(*warnings, *plan.warnings))
    parts = waves.cut(plan, request.policy.wave_size)
    for wave in parts:
        snapshots.check_room(wave.snapshots, Record("x" * 64, engine.host.id, request.task).first())
        check_room(wave)
    return logins, plan, parts


def _no_credential(request: Request) -> str:
    return f"No credential is stored for the VMs on {request.dataset}"
