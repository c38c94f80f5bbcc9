# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives many VMs at once: a flow per VM, a bounded number of flows under way, one waiter for all their tasks.

A flow is a generator. It yields a `StartTask` or a `Sleep` and is resumed with the `Outcome`. The steps for one VM read
from top to bottom, while one thread runs the flows of hundreds of VMs. Only the calls that start tasks run in separate
threads: a vCenter takes about 20 ms to answer each call, so 100 calls in a row would hold the first VM for 2 seconds
longer.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Callable, Generator, Iterable, Union

from ..errors import VSphereError
from ..policy import Limits
from ..vsphere.session import CONNECTIONS, Session
from ..vsphere.tasks import TaskEnd, TaskWaiter

LONGEST_WAIT = 1  # seconds that one wait for updates lasts: a stop or a time limit is noticed this late at the most
_RECONNECT_PAUSE = 1.0  # seconds between tries while the server does not answer


@dataclass(frozen=True)
class StartTask:
    """Wait for a task to end. `begin` starts it and returns its managed object ID, or raises VSphereError.

    `deadline` is on the monotonic clock. A deadline or a stop resumes the flow while the task goes on.
    """

    begin: Callable[[], str]
    deadline: float


@dataclass(frozen=True)
class Sleep:
    """Go on after `seconds`, or at once when the drive is stopped."""

    seconds: float


@dataclass(frozen=True)
class Outcome:
    """How a `StartTask` ended: with a `result`, with an `error`, forgotten by the server (`vanished`), or not yet.

    `began` is False when it is not known to have been started: `error` is then the call's, not the task's, and a
    ConnectionFailed leaves open what the server did; without one it was never asked for, because the drive was stopped.
    `task` is its ID if it has one.
    """

    result: str | None = None
    error: VSphereError | None = None
    vanished: bool = False
    unfinished: bool = False
    began: bool = True
    task: str = ""


Flow = Generator[Union[StartTask, Sleep], Outcome, None]


@dataclass
class Job:
    """A VM's flow and the ESXi host that it burdens. `flow` is called when its turn comes."""

    host_moid: str
    flow: Callable[[], Flow]


class TaskScheduler:
    """Runs the jobs of one server. `stopped` is asked often; once it is true, no job begins and every wait ends.

    `between` is called after flows have gone on, for what is better done once for many of them.
    """

    def __init__(
        self,
        session: Session,
        limits: Limits,
        stopped: Callable[[], bool],
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self._session = session
        self._waiter = TaskWaiter(session)
        self._limits = limits
        self._stopped = stopped
        self._between = between
        self._flows: dict[Flow, str] = {}  # under way -> host
        self._hosts: Counter[str] = Counter()
        self._wishes: list[tuple[Flow, StartTask]] = []  # what is to be started next
        self._tasks: dict[str, tuple[Flow, float]] = {}  # task -> flow that waits for it, deadline
        self._paused: list[tuple[float, Flow]] = []

    def run(self, jobs: Iterable[Job]) -> None:
        """Run all jobs to their end; jobs that have not begun when the drive is stopped are left out."""
        waiting = deque(jobs)
        with ThreadPoolExecutor(max_workers=CONNECTIONS) as callers:
            try:
                while self._flows or (waiting and not self._stopped()):
                    self._admit(waiting)
                    self._start(callers)
                    self._wake()
                    if not self._wishes:
                        self._wait()
                    self._between()
            finally:
                self._waiter.close()

    def _admit(self, waiting: "deque[Job]") -> None:
        """Begin waiting jobs in their order, as far as the limits allow; a full host does not hold up the others."""
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
        """Let the flow go on to what it waits for next."""
        try:
            wish = next(flow) if outcome is None else flow.send(outcome)
        except StopIteration:
            self._hosts[self._flows.pop(flow)] -= 1
            return
        if isinstance(wish, Sleep):
            self._paused.append((time.monotonic() + wish.seconds, flow))
        else:
            self._wishes.append((flow, wish))

    def _start(self, callers: ThreadPoolExecutor) -> None:
        """Start the tasks that flows wait for, side by side, and wait until all are started."""
        wishes, self._wishes = self._wishes, []
        if len(wishes) > 1:
            calls = [callers.submit(self._call, wish) for _unused, wish in wishes]
            wait(calls)  # once for all: this thread would take turns with theirs for each
            answers = [call.result() for call in calls]
        else:
            answers = [self._call(wish) for _unused, wish in wishes]
        for (flow, wish), started in zip(wishes, answers):
            if isinstance(started, Outcome):
                self._resume(flow, started)
            elif started in self._tasks:
                # Whatever the server did, this task is not what came of it: the flow has to look.
                error = self._session.no_answer("start a task", ValueError("a task that another call has started"))
                self._resume(flow, Outcome(error=error, began=False))
            else:
                self._tasks[started] = (flow, wish.deadline)
                self._waiter.watch(started)

    def _call(self, wish: StartTask) -> str | Outcome:
        """The task's ID, or why it was not started. Runs in any thread."""
        if self._stopped():
            return Outcome(unfinished=True, began=False)
        try:
            return wish.begin()
        except VSphereError as error:
            return Outcome(error=error, began=False)

    def _wake(self) -> None:
        """Resume the flows whose pause or time limit has passed, or all that wait once the drive is stopped."""
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
        """Wait for what comes first: the end of a task, or else of a pause."""
        if self._tasks:
            self._collect()
        elif self._paused:
            nearest = min(at for at, _unused in self._paused)
            time.sleep(max(0.0, min(LONGEST_WAIT, nearest - time.monotonic())))

    def _collect(self) -> None:
        """Wait once for tasks to end and resume their flows. A server that does not answer is asked again later."""
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


def _outcome(end: TaskEnd) -> Outcome:
    return Outcome(result=end.result, error=end.error, vanished=end.vanished, task=end.task)
