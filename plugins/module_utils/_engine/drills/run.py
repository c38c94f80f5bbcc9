# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out a drill. Every change is in the journal before it is made, and all of it is taken away at the end."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Iterator

from ..errors import QuiesceError, RestoreFailed
from ..policy import Limits
from ..records.verdicts import NOT_TRIED, TRIED
from ..restore import undo
from ..restore.bring_back import VmToBring
from ..restore.clone_datastores import CloneDatastores, create_datastores
from ..restore.flow import Patience, Requests
from ..restore.names import drill_name
from ..restore.pins import HOLD_TAG
from ..restore.plan import PlannedVm, RestorePlan
from ..restore.steps import HOLD, VmSteps
from ..restore.to_bring import from_clone
from ..snapshots.scheduler import Job, TaskScheduler
from ..snapshots.stop import Stop, on_signals
from ..state import identity, locks, restores
from ..state.engine import Engine
from ..state.journal import ignore_registry_errors
from ..state.restores import RestoreRecord
from ..text import counted, printable
from ..vsphere.session import Session
from ..vsphere.vm_now import Watch
from ..zfs import holds
from . import evidence
from .drilling import Drilling, Round
from .gate import Gate
from .plan import DrillPlan, drilled
from .planner import make_plan
from .request import DrillRequest
from .result import DrillResult, VmDrilled

_AHEAD = 2  # VMs that are prepared while others run
_MANY = 5  # sentences in a message
_LEFT = "Not everything could be taken away"


def execute(engine: Engine, session: Session, request: DrillRequest) -> DrillResult:
    """Carry out a drill, and return its verdicts. All of it is taken away, except what the result lists in `left`.

    Raises RestoreFailed with the plan or the result in `details` if no VM could be tried.
    """
    plan = make_plan(engine, session, request)
    if plan.refusals:
        sentences = " ".join(plan.refusals[:_MANY])
        raise RestoreFailed(f"No VM was tried: {sentences.rstrip('.')}", "Nothing was changed", **plan.as_dict())
    stop = Stop()
    record = RestoreRecord(
        identity.new_run_id(),
        str(request.snapshot),
        restores.DRILL,
        ", ".join(vm.source.name for vm in plan.vms),
        "",
        session.endpoint.hostname,
        session.endpoint.port,
        session.username,
    )
    with engine.locks.alive(record.id, request.snapshot.dataset, locks.DRILL), on_signals(stop):
        engine.restores.open(record)
        return _Drill(engine, session, plan, record, stop).run()


class _Drill:
    """A drill that is carried out. `_tried` are the VMs that are powered on, with their results."""

    def __init__(self, engine: Engine, session: Session, plan: DrillPlan, record: RestoreRecord, stop: Stop) -> None:
        self._engine, self._session, self._plan, self._record, self._stop = engine, session, plan, record, stop
        self._steps = VmSteps(engine.restores, record.id)
        self._begun = time.monotonic()
        self._tried = list(_named(plan.vms, record.id))
        expected = plan.expected()
        self._result = DrillResult(
            record.id,
            expected.zfs_snapshot,
            expected.host,
            [*(done for _vm, done in self._tried), *plan.judged],
            expected.problems,
            expected.warnings,
        )

    def run(self) -> DrillResult:
        """Carry the plan out. Whatever ends it early, what was done is taken away, as far as possible."""
        try:
            if self._plan.restore is not None:
                self._try_vms(self._plan.restore)
        except QuiesceError as error:
            raise self._failure(error) from error
        except BaseException:
            undo.undo(self._engine, self._session, self._record)
            raise
        return self._ended()

    def _try_vms(self, plan: RestorePlan) -> None:
        for name in plan.snapshots:
            tag = HOLD_TAG + self._record.id
            with self._steps.step(HOLD, {"snapshot": name, "tag": tag}):
                holds.hold(self._engine.zfs, [name], tag)
        if plan.mount is None:
            raise ValueError("a plan without refusals has a host for its clones")
        self._engine.report(
            f"Cloning {', '.join(plan.clones)} and mounting it on {printable(plan.mount.host.name, 80)}"
        )
        datastores = create_datastores(self._engine.zfs, self._session, plan.clones, plan.mount, self._steps)
        self._run_flows(plan, datastores)

    def _run_flows(self, plan: RestorePlan, datastores: CloneDatastores) -> None:
        """Try all VMs. Those that wait for their turn are prepared, so that one VM starts when another has ended."""
        request = self._plan.request
        self._engine.report(f"Trying {counted(len(self._tried), 'VM')}, {request.at_a_time} at a time")
        shared = Round(
            request,
            self._engine.zfs.host,
            Gate(request.at_a_time, self._plan.memory),
            Watch(self._session),
            self._stop.asked,
            self._begin,
        )
        drillings = [self._drilling(plan, datastores, shared, vm, done) for vm, done in self._tried]
        jobs = [Job(one.host_moid, one.flow) for one in drillings]
        many = request.at_a_time + _AHEAD
        TaskScheduler(self._session, Limits(many, many), self._stop.asked).run(jobs)

    def _drilling(
        self, plan: RestorePlan, datastores: CloneDatastores, shared: Round, vm: PlannedVm, done: VmDrilled
    ) -> Drilling:
        bring = _marked(from_clone(vm, datastores, self._record.id, plan.request), done.drill_name, self._record.id)
        steps = VmSteps(self._engine.restores, self._record.id, done.key)
        requests = Requests(self._session, Patience())
        return Drilling(bring, vm.source, steps, requests, shared, done)

    def _begin(self, vm: VmDrilled) -> None:
        """Record that the VM has its turn."""
        self._engine.report(f"Starting '{printable(vm.name, 80)}'")
        begin = partial(self._engine.drills.begin, vm.key, vm.name, self._record.snapshot, self._record.id)
        ignore_registry_errors(begin)

    def _ended(self) -> DrillResult:
        """Store the verdicts, and take everything away. Recovery continues with what is left."""
        result = self._result
        self._record_turns()
        result.seconds = round(time.monotonic() - self._begun, 3)
        failures = evidence.store(self._engine.zfs, result)
        result.warnings += failures
        result.recorded = not failures and result.verdict in TRIED
        result.left = undo.undo(self._engine, self._session, self._record)
        result.seconds = round(time.monotonic() - self._begun, 3)
        ignore_registry_errors(partial(self._engine.restores.keep_result, self._record.id, result.as_dict()))
        return result

    def _record_turns(self) -> None:
        for vm in self._result.vms:
            if vm.boot_seconds is None and vm.verdict != NOT_TRIED:
                begin = partial(self._engine.drills.begin, vm.key, vm.name, self._record.snapshot, self._record.id)
                ignore_registry_errors(begin)
            ignore_registry_errors(partial(self._engine.drills.end, vm.key, self._record.id, vm.verdict))

    def _failure(self, error: QuiesceError) -> RestoreFailed:
        """Take everything away, and return the error that says why no VM was tried, and what is left."""
        result = self._result
        result.left = undo.undo(self._engine, self._session, self._record)
        result.seconds = round(time.monotonic() - self._begun, 3)
        if result.left:
            remedy = f"{_LEFT}: {'. '.join(result.left[:_MANY])}. Recovery tries again every hour"
        else:
            remedy = f"{error.remedy}. Nothing is left of the drill" if error.remedy else "Nothing is left of it"
        return RestoreFailed(error.problem, remedy, **result.as_dict())


def _named(vms: tuple[PlannedVm, ...], drill: str) -> Iterator[tuple[PlannedVm, VmDrilled]]:
    """Yield the VMs with their results, which have the names of the VMs in the drill."""
    used: dict[str, int] = {}
    for vm in vms:
        done = drilled(vm.source)
        done.drill_name = drill_name(done.name, drill)
        number = used[done.drill_name] = used.get(done.drill_name, 0) + 1
        done.drill_name = drill_name(done.name, drill, number)
        yield vm, done


def _marked(vm: VmToBring, name: str, drill: str) -> VmToBring:
    """Return the VM with the name and the mark of the drill. The restore does not power it on."""
    return replace(vm, name=name, temporary_name=name, mark=drill, power_on=False)
