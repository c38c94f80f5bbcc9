# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out a restore. Every change is in the journal before it is made, and is undone if the restore fails."""

from __future__ import annotations

import time
from typing import Callable, Sequence

from ..errors import QuiesceError, RestoreFailed
from ..snapshots.stop import Stop, on_signals
from ..state import identity
from ..state.engine import Engine
from ..state.locks import RESTORE
from ..state.restores import CLONE, DISK, FOLDER, RestoreRecord
from ..text import counted, printable, size_text
from ..vsphere.session import Session
from ..zfs import holds
from . import folder_copy, undo
from .attach import attach
from .bring_back import BringBack, VmToBring
from .clone_datastores import CloneDatastores, create_datastores
from .flow import Patience
from .pins import HOLD_TAG
from .plan import PlannedVm, RestorePlan
from .planner import make_plan, place_of_copy
from .request import RestoreRequest
from .result import RestoreResult, VmRestored
from .steps import HOLD, VmSteps
from .to_bring import from_clone, from_folder, record_brought

_MANY = 5  # sentences in a message


def execute(engine: Engine, session: Session, request: RestoreRequest) -> RestoreResult:
    """Carry out a restore. VMs that fail are undone, and the others stay.

    Raises RestoreFailed: before the first change with the plan in `details` if something forbids the restore, or with
    the result if something failed.
    """
    plan = make_plan(session, engine.zfs, request)
    if plan.refusals:
        sentences = " ".join(plan.refusals[:_MANY])
        raise RestoreFailed(f"Nothing was restored: {sentences.rstrip('.')}", "Nothing was changed", **plan.as_dict())
    stop = Stop()
    restore = _record(session, plan)
    with engine.locks.alive(restore.id, request.snapshot.dataset, RESTORE), on_signals(stop):
        engine.restores.open(restore)
        return _Restore(engine, session, plan, restore, stop).run()


def _record(session: Session, plan: RestorePlan) -> RestoreRecord:
    request = plan.request
    return RestoreRecord(
        identity.new_run_id(),
        str(request.snapshot),
        request.way,
        ", ".join(vm.source.name for vm in plan.vms),
        request.attach_to if request.way == DISK else ", ".join(vm.name for vm in plan.vms),
        session.endpoint.hostname,
        session.endpoint.port,
        session.username,
    )


class _Restore:
    """A restore that is carried out. `_steps` is the journal of what its VMs share."""

    def __init__(self, engine: Engine, session: Session, plan: RestorePlan, restore: RestoreRecord, stop: Stop) -> None:
        self._engine, self._session, self._plan, self._restore, self._stop = engine, session, plan, restore, stop
        self._steps = VmSteps(engine.restores, restore.id)
        self._begun = time.monotonic()
        vms = [_vm(vm) for vm in plan.vms] if plan.request.way in (FOLDER, CLONE) else []
        self._result = RestoreResult(restore.id, restore.snapshot, plan.request.way, vms, warnings=list(plan.warnings))

    def run(self) -> RestoreResult:
        """Carry the plan out. Whatever ends it early, what was done is undone, as far as possible."""
        try:
            self._carry_out()
        except QuiesceError as error:
            raise self._failure(error) from error
        except BaseException:
            undo.undo(self._engine, self._session, self._restore)
            raise
        self._result.seconds = round(time.monotonic() - self._begun, 3)
        failed = [vm for vm in self._result.vms if vm.error]
        if failed and not any(vm.restored for vm in self._result.vms):
            raise self._failure(RestoreFailed(failed[0].error.rstrip(".")))
        self._finish()
        if failed:
            raise RestoreFailed(
                f"{counted(len(failed), 'VM')} of {len(self._result.vms)} failed, for example"
                f" '{printable(failed[0].name, 80)}': {failed[0].error.rstrip('.')}",
                "The other VMs are restored; restore the failed ones again after the cause is fixed",
                **self._result.as_dict(),
            )
        return self._result

    def _finish(self) -> None:
        """Store the result, and undo what is not handed over. Recovery continues with what is left of that."""
        self._engine.restores.keep_result(self._restore.id, self._result.as_dict())
        left = undo.undo(self._engine, self._session, self._restore)
        self._result.warnings += [f"{sentence}; recovery tries again every hour." for sentence in left]

    def _failure(self, error: QuiesceError) -> RestoreFailed:
        """Undo the restore, and return the error that says why it failed and what is left."""
        left = undo.undo(self._engine, self._session, self._restore)
        if left:
            remedy = f"Not everything could be undone: {'. '.join(left[:_MANY])}. Recovery tries again every hour"
        else:
            remedy = f"{error.remedy}. Nothing is left of the restore" if error.remedy else "Nothing is left of it"
        return RestoreFailed(error.problem, remedy, **{**self._result.as_dict(), "left": left})

    def _carry_out(self) -> None:
        way = self._plan.request.way
        for name in self._plan.snapshots:
            self._hold(name)
        if way == FOLDER:
            self._bring_back([self._copied(vm, done) for vm, done in zip(self._plan.vms, self._result.vms)])
        else:
            datastores = self._datastores()
            if way == CLONE:
                ids = self._restore.id
                self._bring_back([from_clone(vm, datastores, ids, self._plan.request) for vm in self._plan.vms])
                return
            if way == DISK:
                self._attach(datastores)
            self._steps.hand_over()

    def _hold(self, snapshot: str) -> None:
        """Hold a ZFS snapshot while it is read. A clone holds it afterwards."""
        tag = HOLD_TAG + self._restore.id
        with self._steps.step(HOLD, {"snapshot": snapshot, "tag": tag}):
            holds.hold(self._engine.zfs, [snapshot], tag)

    def _datastores(self) -> CloneDatastores:
        self._require_going_on()
        plan = self._plan
        if plan.mount is None:
            raise ValueError("a plan without refusals has a host for its clones")
        self._engine.report(
            f"Cloning {', '.join(plan.clones)} and mounting it on {printable(plan.mount.host.name, 80)}"
        )
        datastores = create_datastores(self._engine.zfs, self._session, plan.clones, plan.mount, self._steps)
        self._result.datastores = datastores.as_list()
        return datastores

    def _attach(self, datastores: CloneDatastores) -> None:
        self._require_going_on()
        plan, source = self._plan, self._plan.vms[0].source
        if plan.helper is None:
            raise ValueError("a plan without refusals has a VM that gets the disk")
        file = datastores.path(source.snapshot.dataset, plan.disk)
        self._engine.report(f"Attaching {printable(file, 200)} to '{plan.helper.name}'")
        attach(self._session, plan.helper, file, [one.place for one in datastores.all], self._steps)
        self._result.attached = {"vm": plan.helper.name, "moid": plan.helper.moid, "file": file}

    def _copied(self, vm: PlannedVm, done: VmRestored) -> VmToBring | None:
        """Copy the folder of a VM. Returns None if that failed, and then nothing of the copy is left."""
        place, report = place_of_copy(vm, self._restore.id), self._engine.report
        if vm.copy is None:
            raise ValueError("a plan without refusals has a copy for each VM")
        try:
            self._require_going_on()
            with self._of(vm).step("folder", place.as_dict()):
                report(f"Copying {printable(vm.source.name, 80)} to {printable(place.path, 200)}")
                copied = folder_copy.copy_folder(self._engine.zfs, vm.copy, place, _progress(report, vm))
        except QuiesceError as error:
            done.error = str(error)
            self._undo_vm(vm)
            return None
        done.bytes, done.shared = copied.bytes, copied.shared
        return from_folder(vm, place, self._restore.id, self._plan.request)

    def _bring_back(self, wanted: Sequence[VmToBring | None]) -> None:
        """Register the VMs and all that follows, many at once. What fails is undone for that VM only."""
        going = [
            (vm, done, bring) for vm, done, bring in zip(self._plan.vms, self._result.vms, wanted) if bring is not None
        ]
        self._engine.report(f"Registering {counted(len(going), 'VM')}")
        request, begun = self._plan.request, time.monotonic()
        patience = Patience(guest=request.boot_timeout)
        bringing = BringBack(self._session, request.limits, patience, self._stop.asked)
        brought = bringing.run([(bring, self._of(vm)) for vm, _done, bring in going])
        for (vm, done, _bring), result in zip(going, brought):
            record_brought(done, result)
            done.seconds = round(time.monotonic() - begun, 3)
            if not done.restored:
                self._undo_vm(vm)

    def _undo_vm(self, vm: PlannedVm) -> None:
        """Undo a VM that failed. What could not be undone is tried again, and reported, at the end of the restore."""
        undo.undo_vm(self._engine, self._session, self._restore.id, vm.source.vm.path)

    def _of(self, vm: PlannedVm) -> VmSteps:
        return VmSteps(self._engine.restores, self._restore.id, vm.source.vm.path)

    def _require_going_on(self) -> None:
        if self._stop.asked():
            raise RestoreFailed(f"The restore was stopped: {self._stop.reason}", "Start it again")


def _vm(vm: PlannedVm) -> VmRestored:
    host = vm.host.name if vm.host is not None else ""
    return VmRestored(vm.source.name, vm.name, level=vm.source.level, reason=vm.source.reason, host=host)


def _progress(report: Callable[[str], None], vm: PlannedVm) -> folder_copy.Progress:
    """Return a function that reports each tenth of a copy."""
    tenths = [0]

    def progress(done: int, total: int) -> None:
        tenth = 10 * done // total if total else 10
        if tenth > tenths[0]:
            tenths[0] = tenth
            report(f"{printable(vm.source.name, 80)}: {10 * tenth} % of {size_text(total)} copied")

    return progress
