# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Works on many VMs at once: one flow per VM, a limited number of running flows, and one waiter for all tasks.

A flow is a generator. It yields a `StartTask`, a `Call` or a `Sleep` and is resumed with the `Outcome`. The steps for
one VM read from top to bottom, while one thread runs the flows of hundreds of VMs. Only calls run in separate threads:
a vCenter takes about 20 ms to answer each call, so 100 calls in a row would hold the first VM for 2 seconds longer.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Callable, Generator, Iterable, Union

from ..errors import VSphereError
from ..policy import Limits
from ..vsphere.session import CONNECTIONS, Session
from ..vsphere.tasks import TaskEnd, TaskWaiter

LONGEST_WAIT = 1  # seconds of one wait for updates: the maximum delay until a stop or a time limit is noticed
_RECONNECT_PAUSE = 1.0  # seconds between tries while the server does not answer


@dataclass(frozen=True)
class StartTask:
    """Start a task and wait for its end. `begin` starts it and returns its managed object ID, or raises VSphereError.

    `deadline` is a monotonic time. A deadline or a stop resumes the flow, but does not stop the task.
    """

    begin: Callable[[], str]
    deadline: float


@dataclass(frozen=True)
class Call:
    """Make a call that starts no task. It runs in another thread and may raise VSphereError."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Sleep:
    """Continue after `seconds`, or immediately if the scheduler is stopped."""

    seconds: float


@dataclass(frozen=True)
class Outcome:
    """How a `StartTask` ended: with a `result`, with an `error`, lost by the server (`vanished`), or `unfinished`.

    `began` is False if it is not known that the task was started. `error` is then the error of the call. After a
    ConnectionFailed the server may have started the task. Without an error the scheduler was stopped before the call.
    `task` is the managed object ID of the task, if known. `answer` is what a `Call` returned.
    """

    result: str | None = None
    error: VSphereError | None = None
    vanished: bool = False
    unfinished: bool = False
    began: bool = True
    task: str = ""
    answer: Any = None


Request = Union[StartTask, Call]
Flow = Generator[Union[Request, Sleep], Outcome, None]


@dataclass
class Job:
    """The flow of a VM, and the ESXi host whose limit it counts for. `flow` is called when the job starts."""

    host_moid: str
    flow: Callable[[], Flow]


class TaskScheduler:
    """Runs the jobs of one server.

    Once `stopped` returns True, no job starts and every wait ends. `between` is called regularly after flows continued,
    for work that is done once for many of them.
    """

    def __init__(
        self, session: Session, limits: Limits, stopped: Callable[[], bool], between: Callable[[], None] = lambda: None
    ) -> None:
        self._session = session
        self._waiter = TaskWaiter(session)
        self._limits = limits
        self._stopped = stopped
        self._between = between
        self._flows: dict[Flow, str] = {}  # running flow -> host
        self._hosts: Counter[str] = Counter()
        self._requests: list[tuple[Flow, Request]] = []  # calls to make next
        self._tasks: dict[str, tuple[Flow, float]] = {}  # task -> waiting flow, deadline
        self._paused: list[tuple[float, Flow]] = []

    def run(self, jobs: Iterable[Job]) -> None:
        """Run all jobs to their end. Jobs that have not started when the scheduler is stopped are skipped."""
        waiting = deque(jobs)
        with ThreadPoolExecutor(max_workers=CONNECTIONS) as callers:
            try:
                while self._flows or (waiting and not self._stopped()):
                    self._admit(waiting)
                    self._start(callers)
                    self._wake()
                    if not self._requests:
                        self._wait()
                    self._between()
            finally:
                self._waiter.close()

    def _admit(self, waiting: "deque[Job]") -> None:
        """Start waiting jobs in their order, within the limits. A host at its limit does not delay other hosts."""
        for _unused in range(len(waiting)):
            if self._stopped() or len(self._flows) >= self._limits.per_vcenter:
                return
            job = waiting.popleft()
            if self._hosts[job.host_moid] >= self._limits.per_host:
                waiting.append(job)
                continue
            flow = job.flow()
            self._flows[flow] = job.host_moid
            self._hosts[job.host_moid] += 1
            self._resume(flow, None)

    def _resume(self, flow: Flow, outcome: Outcome | None) -> None:
        """Continue the flow until it yields its next request."""
        try:
            request = next(flow) if outcome is None else flow.send(outcome)
        except StopIteration:
            self._hosts[self._flows.pop(flow)] -= 1
            return
        if isinstance(request, Sleep):
            self._paused.append((time.monotonic() + request.seconds, flow))
        else:
            self._requests.append((flow, request))

    def _start(self, callers: ThreadPoolExecutor) -> None:
        """Make the requested calls in parallel, and wait until all are answered."""
        requests, self._requests = self._requests, []
        if len(requests) > 1:
            calls = [callers.submit(self._call, request) for _unused, request in requests]
            wait(calls)  # one wait for all: a wait for each call would switch between threads each time
            answers = [call.result() for call in calls]
        else:
            answers = [self._call(request) for _unused, request in requests]
        for (flow, _unused), started in zip(requests, answers):
            if isinstance(started, Outcome):
                self._resume(flow, started)
            elif started.task in self._tasks:
                # The server returned the task of another call. The result of this call is unknown: the flow must look.
                error = self._session.no_answer("start a task", ValueError("a task that another call started"))
                self._resume(flow, Outcome(error=error, began=False))
            else:
                self._tasks[started.task] = (flow, started.deadline)
                self._waiter.watch(started.task)

    def _call(self, request: Request) -> _Started | Outcome:
        """Make a call. Returns the started task, or else the outcome. Runs in any thread."""
        if self._stopped():
            return Outcome(unfinished=True, began=False)
        try:
            if isinstance(request, Call):
                return Outcome(answer=request.function())
            return _Started(request.begin(), request.deadline)
        except VSphereError as error:
            return Outcome(error=error, began=False)

    def _wake(self) -> None:
        """Resume the flows whose pause or time limit is over, or all waiting flows if the scheduler is stopped."""
        now = time.monotonic()
        stopped = self._stopped()
        due = [flow for at, flow in self._paused if stopped or at <= now]
        self._paused = [(at, flow) for at, flow in self._paused if flow not in due]
        for flow in due:
            self._resume(flow, Outcome(unfinished=stopped))
        for task, (flow, deadline) in list(self._tasks.items()):
            if stopped or deadline <= now:
                del self._tasks[task]
                self._waiter.forget(task)
                self._resume(flow, Outcome(unfinished=True, task=task))

    def _wait(self) -> None:
        """Wait for the end of a task. If there is no task, wait for the end of a pause."""
        if self._tasks:
            self._collect()
        elif self._paused:
            nearest = min(at for at, _unused in self._paused)
            time.sleep(max(0.0, min(LONGEST_WAIT, nearest - time.monotonic())))

    def _collect(self) -> None:
        """Wait once for tasks to end, and resume their flows. Without an answer the next call tries again."""
        nearest = min(deadline for _unused, deadline in self._tasks.values())
        pause = min((at for at, _unused in self._paused), default=nearest)
        seconds = int(max(0.0, min(LONGEST_WAIT, min(nearest, pause) - time.monotonic())) + 0.999)
        try:
            ends = self._waiter.wait(seconds)
        except VSphereError:
            time.sleep(_RECONNECT_PAUSE)
            return
        for end in ends:
            flow, _unused = self._tasks.pop(end.task)
            self._resume(flow, _outcome(end))


@dataclass(frozen=True)
class _Started:
    """A running task (managed object ID), and the monotonic time until which its flow waits for it."""

    task: str
    deadline: float


def _outcome(end: TaskEnd) -> Outcome:
    return Outcome(result=end.result, error=end.error, vanished=end.vanished, task=end.task)
