# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a flow that restores a VM: reads, and tasks whose answers may be lost.

A part is a generator of the scheduler's requests with a result. Parts raise QuiesceError.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, Generator, Mapping, Protocol, TypeVar, Union

from ..errors import (
    ConnectionFailed,
    QuiesceError,
    RestoreFailed,
    RestoreUnfinished,
    VSphereError,
    VSphereFault,
)
from ..policy import Limits
from ..snapshots.scheduler import Call, Flow, Job, Outcome, Sleep, StartTask, TaskScheduler
from ..vsphere import faults
from ..vsphere.session import Session

Result = TypeVar("Result")
Part = Generator[Union[StartTask, Call, Sleep], Outcome, Result]

_RETRY = 1.0  # seconds before a request is repeated


class Steps(Protocol):
    """The journal of one restore. Each step is written before it is carried out, and again after that."""

    def intend(self, kind: str, data: Mapping[str, Any]) -> int:
        """Write a step before it is carried out, and return its ID."""

    def done(self, step: int, **more: Any) -> None:
        """Record that a step was carried out. `more` is added to its data."""

    def undone(self, step: int) -> None:
        """Record that nothing of a step exists any more."""


@dataclass(frozen=True)
class Patience:
    """Time limits in seconds: for a task, for a server that does not answer, for a power-on, for a guest that starts
    (0: do not wait for it), and for a guest that shuts down.
    """

    task: float = 900.0
    server: float = 60.0
    power_on: float = 300.0
    guest: float = 180.0
    shutdown: float = 300.0


class Requests:
    """Makes the requests of one VM. `count` is their number, without waits that many VMs share."""

    def __init__(self, session: Session, patience: Patience) -> None:
        self.session, self.patience = session, patience
        self.count = 0

    def ask(self, function: Callable[..., Result], *arguments: Any, requests: int = 1) -> Part[Result]:
        """Return the result of `function(session, *arguments)`, which only reads. Waits for a server that is away."""
        deadline = time.monotonic() + self.patience.server
        while True:
            self.count += requests
            outcome = yield Call(partial(function, self.session, *arguments))
            if outcome.unfinished:
                raise stopped()
            if outcome.error is None:
                return outcome.answer  # type: ignore[no-any-return]
            if not isinstance(outcome.error, ConnectionFailed) or time.monotonic() >= deadline:
                raise outcome.error
            yield from pause(_RETRY)

    def carry_out(
        self,
        what: str,
        begin: Callable[..., str],
        *arguments: Any,
        look: Callable[[Session], str] = lambda session: "",
        seconds: float | None = None,
    ) -> Part[str]:
        """Carry out the task that `begin(session, *arguments)` starts, and return its result.

        If the answer is lost, `look` shows whether the task took effect: it returns the result, or "". If not, the task
        is started again. `what` names the task in messages ("The registration of the VM"). `seconds` is a time limit.
        """
        limit = self.patience.task if seconds is None else seconds
        deadline, lost = time.monotonic() + limit, False
        while True:
            self.count += 1
            outcome = yield StartTask(partial(begin, self.session, *arguments), deadline)
            if outcome.unfinished:
                raise unfinished(what, limit, deadline)
            if outcome.error is None and not outcome.vanished:
                return outcome.result or ""
            lost = lost or is_lost(outcome)
            found = (yield from self.ask(look)) if lost else ""
            if found:
                return found
            if not (is_lost(outcome) or is_busy(outcome.error)) or time.monotonic() >= deadline:
                raise failed(what, outcome.error)
            yield from pause(_RETRY)


def pause(seconds: float) -> Part[None]:
    """Wait. Raises RestoreFailed if the restore is stopped."""
    outcome = yield Sleep(seconds)
    if outcome.unfinished:
        raise stopped()


def is_lost(outcome: Outcome) -> bool:
    """Return whether it is unknown if the task took effect."""
    error = outcome.error
    if isinstance(error, VSphereFault):
        return error.kind in faults.UNSEEN_FAULTS
    return outcome.vanished or isinstance(error, ConnectionFailed)


def is_busy(error: VSphereError | None) -> bool:
    return isinstance(error, VSphereFault) and error.kind in faults.BUSY_FAULTS


def is_kind(error: QuiesceError, *kinds: str) -> bool:
    """Return whether a fault of one of these types of the vSphere API caused an error."""
    return any(isinstance(one, VSphereFault) and one.kind in kinds for one in (error, error.__cause__))


def failed(what: str, error: VSphereError | None) -> RestoreFailed:
    """Return the error for a task that failed, or that the server lost (None). `what` names the task."""
    if error is None:
        return RestoreFailed(f"{what} failed: the server lost the task", "Try again")
    failure = RestoreFailed(f"{what} failed: {error.problem}", error.remedy, **error.details)
    failure.__cause__ = error
    return failure


def stopped() -> RestoreFailed:
    return RestoreUnfinished("The restore was stopped", "Start it again")


def unfinished(what: str, seconds: float, deadline: float) -> RestoreFailed:
    """Return the error for a task that has not ended at its deadline, or when the restore was stopped."""
    if time.monotonic() < deadline:
        return stopped()
    return RestoreUnfinished(
        f"{what} did not end within {seconds:g} s", "See the tasks of the VM in the vSphere client"
    )


def run_alone(session: Session, part: Part[Result]) -> Result:
    """Run one part to its end, and return its result or raise its error."""
    results: list[Result] = []
    errors: list[QuiesceError] = []

    def flow() -> Flow:
        try:
            results.append((yield from part))
        except QuiesceError as error:
            errors.append(error)

    TaskScheduler(session, Limits(), stopped=lambda: False).run([Job("", flow)])
    if errors:
        raise errors[0]
    return results[0]
