# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creating the VMware snapshots of a run: one flow per VM."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Callable, Generator, Iterable

from ..errors import ConnectionFailed, RegistryError, VSphereError, VSphereFault
from ..planning.plan import QUIESCE, Member
from ..planning.server_logins import ServerLogin
from ..policy import Policy
from ..records.levels import CRASH
from ..state.creation import Creation
from ..state.journal import Journal, ignore_registry_errors
from ..text import vm_on
from ..vsphere import faults, vm_snapshots
from ..vsphere.session import Session
from .scheduler import Flow, Job, Outcome, Sleep, StartTask, TaskScheduler

_RETRY = 1.0  # seconds before a busy VM is asked again


@dataclass
class Hold:
    """What a run did with one VM. Times are on the monotonic clock, None until they come.

    `snapshot_moid` is the managed object ID of its VMware snapshot; by `creation` it may be half of one.
    `datasets` are those of the run that hold files of it, by the plan and by each look; None: it may have some on any.
    `hindrance` ("quiesce" or "vm") says what has gone wrong with it, "" if nothing has.
    """

    member: Member
    entry: int = 0
    creation: Creation = Creation.UNASKED
    snapshot_moid: str = ""
    quiesced: bool = False  # asked for; whether it happened is read from the tree
    datasets: frozenset[str] | None = None
    hindrance: str = ""
    level: str = CRASH
    reason: str = ""
    started: float | None = None
    released: float | None = None

    @classmethod
    def planned(cls, member: Member) -> Hold:
        """Of a VM with which nothing was done yet."""
        datasets = frozenset(member.datasets) or None
        return cls(member, datasets=datasets, level=member.level, reason=member.reason, hindrance=member.hindrance)

    def was_seen_on(self, datasets: frozenset[str]) -> None:
        """Its files were found on these datasets, too."""
        if self.datasets is not None:
            self.datasets |= datasets

    def is_on(self, dataset: str) -> bool:
        """Whether it has files on the dataset, or may have."""
        return self.datasets is None or dataset in self.datasets

    def leave_behind(self, hindrance: str, reason: str) -> None:
        """The run goes on without it."""
        self.level, self.hindrance, self.reason = CRASH, hindrance, reason


def holds_of(login: ServerLogin, holds: Iterable[Hold]) -> list[Hold]:
    """Those of the `holds` that are on a site's server."""
    mine = {credential.id for credential in login.credentials}
    return [hold for hold in holds if hold.member.credential in mine]


@dataclass
class Quiesce:
    """The first half of a run on one server: creates the VMware snapshot of every hold, within the policy's limits.

    `name` and `description` are those of every VMware snapshot of the run; `deadline` is when the run's hold must end;
    `give_up` tells the whole run that it has failed; `stopped` is true once the run is to be ended; `made` is told how
    many more VMware snapshots there are.
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
    made: Callable[[int], None] = lambda count: None
    _created: dict[int, str] = field(default_factory=dict)  # entry -> snapshot, not yet in the journal

    def run(self) -> None:
        """Returns when every VMware snapshot is there, has failed, or is out of time."""
        jobs = [Job(hold.member.host_moid, lambda hold=hold: self._create(hold)) for hold in self.holds]  # type: ignore[misc]
        TaskScheduler(
            self.session,
            self.policy.limits,
            stopped=lambda: self.stopped() or time.monotonic() >= self.deadline,
            between=self._note_created,
        ).run(jobs)
        for hold in self.holds:
            if hold.started is None:
                self._fail(hold, "the run ended before its turn came")

    def _create(self, hold: Hold) -> Flow:
        hold.started = time.monotonic()
        deadline = min(hold.started + self.policy.vm_timeout, self.deadline)
        hold.quiesced = hold.member.action == QUIESCE
        while True:
            before = hold.creation
            _learn(hold, Creation.ASKED)
            outcome = yield StartTask(lambda: self._begin(hold, deadline), deadline)
            error = outcome.error
            if outcome.unfinished and not outcome.began:
                hold.creation = before
                self._fail(hold, "the run ended before its VMware snapshot was asked for")
                return
            if outcome.unfinished:
                _learn(hold, Creation.UNANSWERED)
                self._fail(
                    hold, f"its VMware snapshot was not ready within {time.monotonic() - hold.started:.0f} seconds"
                )
                return
            if outcome.vanished or (not outcome.began and isinstance(error, ConnectionFailed)):
                # The answer is lost, not the deed: look before the creation is repeated.
                _learn(hold, Creation.UNANSWERED)
                look = yield from self._look_for(hold, deadline)
                if look.made:
                    self._succeed(hold, look.made)
                    return
                if look.found:
                    hold.snapshot_moid = look.found
                    self._fail(hold, "its VMware snapshot is there, but nobody saw whether its creation succeeded")
                    return
                if not look.absent or hold.creation is Creation.REPEATED:
                    self._fail(hold, f"its VMware snapshot cannot be created: {error or 'the server lost the task'}")
                    return
                if not self._may_ask_again(hold):
                    return
            elif error is None:
                self._succeed(hold, outcome.result or "")
                return
            elif isinstance(error, VSphereFault) and error.kind in faults.BUSY_FAULTS:
                _learn(hold, Creation.FAILED)
                stopped = yield Sleep(_RETRY)
                if stopped.unfinished or time.monotonic() >= deadline:
                    self._fail(hold, error.problem)
                    return
            else:
                # A failed creation has been seen to leave half a snapshot: release looks for it.
                if isinstance(error, VSphereFault) and error.kind in faults.UNSEEN_FAULTS:
                    _learn(hold, Creation.UNANSWERED)
                else:
                    _learn(hold, Creation.FAILED)
                if not (hold.quiesced and isinstance(error, VSphereFault) and faults.is_of_quiescing(error)):
                    self._fail(hold, error.problem)
                    return
                if not self._go_on_unquiesced(hold, error):
                    hold.leave_behind("quiesce", error.problem)
                    return
                why_left = yield from self._remove_half(hold, deadline)
                if why_left:
                    self._fail(hold, f"{hold.reason}; what that left cannot be removed: {why_left}")
                    return
                if not self._may_ask_again(hold):
                    return

    def _may_ask_again(self, hold: Hold) -> bool:
        """Whether the journal has it that two may come to be, of which one may be late: nobody would know of it."""
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
        _learn(hold, Creation.MADE)

    def _note_created(self) -> None:
        created, self._created = self._created, {}
        ignore_registry_errors(lambda: self.journal.created(created))
        self.made(len(created))

    def _fail(self, hold: Hold, reason: str) -> None:
        hold.leave_behind("vm", reason)
        if self.policy.on_vm_failure == "fail":
            self.give_up(f"The {vm_on(hold.member.name, hold.member.server)} could not be snapshotted: {reason}")

    def _go_on_unquiesced(self, hold: Hold, error: VSphereError) -> bool:
        """Apply on_quiesce_failure; whether the VM is to be snapshotted without quiescing it."""
        if self.policy.on_quiesce_failure == "fail":
            self.give_up(f"The {vm_on(hold.member.name, hold.member.server)} could not be quiesced: {error.problem}")
        if self.policy.on_quiesce_failure != "crash_consistent":
            return False
        hold.quiesced, hold.hindrance, hold.reason = False, "quiesce", f"quiescing failed: {error.problem}"
        return True

    def _remove_half(self, hold: Hold, deadline: float) -> Generator[StartTask | Sleep, Outcome, str]:
        """Remove what a failed quiesce left, so that the next snapshot does not become its child; returns why not.

        What may still be there is not buried under another one: release removes it, and a recovery after that.
        """
        why = ""
        while True:
            try:
                state = vm_snapshots.states(self.session, [hold.member.moid]).get(hold.member.moid)
            except VSphereError as error:
                return error.problem
            half = next(iter(state.named(self.name) if state else ()), None)
            if half is None:
                return ""
            if why:
                return why
            outcome = yield StartTask(lambda half=half: vm_snapshots.start_remove(self.session, half.moid), deadline)  # type: ignore[misc]
            if isinstance(outcome.error, VSphereFault) and outcome.error.kind in faults.BUSY_FAULTS:
                stopped = yield Sleep(_RETRY)
                if not stopped.unfinished and time.monotonic() < deadline:
                    continue
            why = outcome.error.problem if outcome.error else "its removal did not end, or changed nothing"

    def _look_for(self, hold: Hold, deadline: float) -> Generator[StartTask | Sleep, Outcome, _Look]:
        """What came of a creation whose answer was lost."""
        while True:
            try:
                creations = vm_snapshots.creations(self.session, hold.member.moid)
                if not creations.running:
                    state = vm_snapshots.states(self.session, [hold.member.moid]).get(hold.member.moid)
                    if state is None or state.seen:
                        found = [one.moid for one in (state.named(self.name) if state else ())]
                        made = next((moid for moid in found if moid in creations.made), "")
                        return _Look(made=made, found=next(iter(found), ""), absent=not found)
            except VSphereError as error:
                hold.reason = error.problem
            stopped = yield Sleep(_RETRY)
            if stopped.unfinished or time.monotonic() >= deadline:
                return _Look()


@dataclass(frozen=True)
class _Look:
    """A look for a VMware snapshot: the managed object ID of one whose creation succeeded, or of one that may be half
    of one, or whether none is there.
    """

    made: str = ""
    found: str = ""
    absent: bool = False


def _learn(hold: Hold, creation: Creation) -> None:
    """Note what is known of the creation. Once two may come to be, whatever one of them does says too little."""
    if hold.creation is not Creation.REPEATED:
        hold.creation = creation
