# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates the VMware snapshots of a run, with one flow per VM."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Callable, Generator, Iterable, TypeVar, Union

from ..errors import ConnectionFailed, RegistryError, VSphereError, VSphereFault
from ..planning.plan import QUIESCE, Member
from ..planning.server_logins import ServerLogin
from ..policy import Policy
from ..records.levels import CRASH
from ..state.creation import Creation
from ..state.journal import Journal, ignore_registry_errors
from ..text import vm_on
from ..vm_policies import PREFERRED
from ..vsphere import faults, vm_snapshots
from ..vsphere.session import Session
from .scheduler import Flow, Job, Outcome, Sleep, StartTask, TaskScheduler

Result = TypeVar("Result")
_Steps = Generator[Union[StartTask, Sleep], Outcome, Result]  # a part of a flow, with a result

_RETRY = 1.0  # seconds before a request to a busy VM is repeated


@dataclass
class Hold:
    """What a run did with one VM. `started` and `released` are monotonic times, None until they happen.

    `snapshot_moid` identifies its VMware snapshot. `creation` shows whether that snapshot may be incomplete. `datasets`
    are the datasets of the run with files of the VM, from the plan and each look; None means that it may have files on
    any of them. `hindrance` is the kind of failure, "quiesce" or "vm", or "" without a failure.
    """

    member: Member
    entry: int = 0
    creation: Creation = Creation.UNASKED
    snapshot_moid: str = ""
    quiesced: bool = False  # requested; the snapshot tree shows whether it happened
    datasets: frozenset[str] | None = None
    hindrance: str = ""
    level: str = CRASH
    reason: str = ""
    started: float | None = None
    released: float | None = None

    @classmethod
    def planned(cls, member: Member) -> Hold:
        """Return the hold of a VM before the run does anything."""
        datasets = frozenset(member.datasets) or None
        return cls(member, datasets=datasets, level=member.level, reason=member.reason, hindrance=member.hindrance)

    def was_seen_on(self, datasets: frozenset[str]) -> None:
        """Add datasets where a look found files of the VM."""
        if self.datasets is not None:
            self.datasets |= datasets

    def is_on(self, dataset: str) -> bool:
        """Return whether the VM has, or may have, files on the dataset."""
        return self.datasets is None or dataset in self.datasets

    @property
    def satisfied(self) -> bool:
        """Whether the VM does not make a record incomplete."""
        return self.member.is_satisfied_by(self.level)

    def leave_behind(self, hindrance: str, reason: str) -> None:
        """Continue the run without the VM."""
        self.level, self.hindrance, self.reason = CRASH, hindrance, reason


def holds_of(login: ServerLogin, holds: Iterable[Hold]) -> list[Hold]:
    """Return the holds of the VMs that this login showed."""
    ids = {credential.id for credential in login.credentials}
    return [hold for hold in holds if hold.member.credential in ids]


@dataclass
class Quiesce:
    """The first half of a run on one server: creates the VMware snapshot of every hold, within the policy's limits.

    All VMware snapshots of the run have the same `name` and `description`. `deadline` is the monotonic time at which
    creation must end. `give_up` ends the whole run with a reason. `stopped` returns whether the run must end.
    `on_created` is called with the number of new VMware snapshots.
    """

    session: Session
    journal: Journal
    policy: Policy
    name: str
    description: str
    deadline: float
    give_up: Callable[[str], None]
    stopped: Callable[[], bool]
    holds: list[Hold] = field(default_factory=list)
    on_created: Callable[[int], None] = lambda count: None
    _created: dict[int, str] = field(default_factory=dict)  # entry -> snapshot, not yet in the journal

    def run(self) -> None:
        """Return when every VMware snapshot exists, has failed, or has reached its time limit."""
        jobs = [Job(hold.member.host_moid, partial(self._create, hold)) for hold in self.holds]
        TaskScheduler(
            self.session,
            self.policy.limits,
            stopped=lambda: self.stopped() or time.monotonic() >= self.deadline,
            between=self._note_created,
        ).run(jobs)
        for hold in self.holds:
            if hold.started is None:
                self._fail(hold, "the run ended before it reached this VM")

    def _create(self, hold: Hold) -> Flow:
        hold.started = time.monotonic()
        deadline = min(hold.started + hold.member.treatment.vm_timeout, self.deadline)
        hold.quiesced = hold.member.action == QUIESCE
        repeat = True
        while repeat:
            repeat = yield from self._try_to_create(hold, deadline)

    def _try_to_create(self, hold: Hold, deadline: float) -> _Steps[bool]:
        """Request the VMware snapshot once. Returns whether to request it again."""
        before = hold.creation
        _set_creation(hold, Creation.ASKED)
        outcome = yield StartTask(partial(self._begin, hold, deadline), deadline)
        error = outcome.error
        if outcome.unfinished and not outcome.began:
            hold.creation = before
            self._fail(hold, "the run ended before its VMware snapshot was requested")
        elif outcome.unfinished:
            _set_creation(hold, Creation.UNANSWERED)
            seconds = time.monotonic() - (hold.started or 0.0)
            self._fail(hold, f"its VMware snapshot was not ready within {seconds:.0f} seconds")
        elif outcome.vanished or (not outcome.began and isinstance(error, ConnectionFailed)):
            return (yield from self._answer_was_lost(hold, error, deadline))
        elif error is not None:
            return (yield from self._creation_failed(hold, error, deadline))
        else:
            self._succeed(hold, outcome.result or "")
        return False

    def _answer_was_lost(self, hold: Hold, error: VSphereError | None, deadline: float) -> _Steps[bool]:
        """Only the answer is lost, not necessarily the snapshot: look for it before the creation is repeated."""
        _set_creation(hold, Creation.UNANSWERED)
        result = yield from self._find_created(hold, deadline)
        if result.created_moid:
            self._succeed(hold, result.created_moid)
        elif result.existing_moid:
            hold.snapshot_moid = result.existing_moid
            self._fail(hold, "its VMware snapshot exists, but it is unknown whether its creation succeeded")
        elif not result.absent or hold.creation is Creation.REPEATED:
            self._fail(hold, f"its VMware snapshot cannot be created: {error or 'the server lost the task'}")
        else:
            return self._note_repetition(hold)
        return False

    def _creation_failed(self, hold: Hold, error: VSphereError, deadline: float) -> _Steps[bool]:
        kind = error.kind if isinstance(error, VSphereFault) else ""
        # A failed creation can leave an incomplete snapshot: release looks for it.
        _set_creation(hold, Creation.UNANSWERED if kind in faults.UNSEEN_FAULTS else Creation.FAILED)
        if kind in faults.BUSY_FAULTS:
            stopped = yield Sleep(_RETRY)
            if not stopped.unfinished and time.monotonic() < deadline:
                return True
            self._fail(hold, error.problem)
        elif not (hold.quiesced and isinstance(error, VSphereFault) and faults.is_of_quiescing(error)):
            self._fail(hold, error.problem)
        elif not self._allows_unquiesced(hold, error):
            hold.leave_behind("quiesce", error.problem)
        elif why_left := (yield from self._remove_incomplete(hold, deadline)):
            self._fail(hold, f"{hold.reason}; its incomplete VMware snapshot cannot be removed: {why_left}")
        else:
            return self._note_repetition(hold)
        return False

    def _note_repetition(self, hold: Hold) -> bool:
        """Note in the journal that a second VMware snapshot may appear. Without that note, a late first one would be
        unknown, so the creation is not repeated. Returns whether the note was written.
        """
        try:
            self.journal.repeat(hold.entry)
        except RegistryError as failure:
            self._fail(hold, failure.problem)
            return False
        if hold.creation is Creation.UNANSWERED:
            hold.creation = Creation.REPEATED
        return True

    def _begin(self, hold: Hold, deadline: float) -> str:
        return vm_snapshots.start_create(
            self.session, hold.member.moid, self.name, self.description, hold.quiesced, deadline - time.monotonic()
        )

    def _succeed(self, hold: Hold, snapshot_moid: str) -> None:
        hold.snapshot_moid = self._created[hold.entry] = snapshot_moid
        _set_creation(hold, Creation.MADE)

    def _note_created(self) -> None:
        created, self._created = self._created, {}
        ignore_registry_errors(partial(self.journal.created, created))
        self.on_created(len(created))

    def _fail(self, hold: Hold, reason: str) -> None:
        hold.leave_behind("vm", reason)
        if "vm" in hold.member.treatment.forbidden:
            self.give_up(f"The {vm_on(hold.member.name, hold.member.server)} could not be snapshotted: {reason}")

    def _allows_unquiesced(self, hold: Hold, error: VSphereError) -> bool:
        """Return whether the policy of the VM allows a VMware snapshot without quiescing. It may also end the run."""
        treatment = hold.member.treatment
        if "quiesce" in treatment.forbidden:
            self.give_up(f"The {vm_on(hold.member.name, hold.member.server)} could not be quiesced: {error.problem}")
        if treatment.quiesce != PREFERRED:
            return False
        hold.quiesced, hold.hindrance, hold.reason = False, "quiesce", f"quiescing failed: {error.problem}"
        return True

    def _remove_incomplete(self, hold: Hold, deadline: float) -> _Steps[str]:
        """Remove the VMware snapshot of a failed quiesce, so that the next one does not become its child.

        Returns why it may still exist, or "". If it may, no other snapshot is created on top of it. Release removes it,
        or else a recovery.
        """
        failure = ""
        while True:
            try:
                state = vm_snapshots.states(self.session, [hold.member.moid]).get(hold.member.moid)
            except VSphereError as error:
                return error.problem
            incomplete = next(iter(state.named(self.name) if state else ()), None)
            if incomplete is None:
                return ""
            if failure:
                return failure
            outcome = yield StartTask(partial(vm_snapshots.start_remove, self.session, incomplete.moid), deadline)
            if isinstance(outcome.error, VSphereFault) and outcome.error.kind in faults.BUSY_FAULTS:
                stopped = yield Sleep(_RETRY)
                if not stopped.unfinished and time.monotonic() < deadline:
                    continue
            failure = outcome.error.problem if outcome.error else "its removal did not finish or had no effect"

    def _find_created(self, hold: Hold, deadline: float) -> _Steps[_CreationResult]:
        """Find the result of a creation whose answer was lost."""
        while True:
            try:
                creations = vm_snapshots.creations(self.session, hold.member.moid)
                if not creations.running:
                    state = vm_snapshots.states(self.session, [hold.member.moid]).get(hold.member.moid)
                    if state is None or state.seen:
                        moids = [snapshot.moid for snapshot in (state.named(self.name) if state else ())]
                        created = next((moid for moid in moids if moid in creations.made), "")
                        return _CreationResult(created, next(iter(moids), ""), absent=not moids)
            except VSphereError as error:
                hold.reason = error.problem
            stopped = yield Sleep(_RETRY)
            if stopped.unfinished or time.monotonic() >= deadline:
                return _CreationResult()


@dataclass(frozen=True)
class _CreationResult:
    """The VMware snapshot of a creation whose answer was lost.

    `created_moid` is one whose creation succeeded, `existing_moid` one that may be incomplete. `absent`: none exists.
    """

    created_moid: str = ""
    existing_moid: str = ""
    absent: bool = False


def _set_creation(hold: Hold, creation: Creation) -> None:
    """Note the state of the creation. REPEATED stays: if two creations may succeed, the state of one proves nothing."""
    if hold.creation is not Creation.REPEATED:
        hold.creation = creation
