# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler with many flows and one waiter. The waiter and the clock are fakes."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from functools import partial
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import ConnectionFailed, VSphereFault
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Limits
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots import scheduler
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.scheduler import (
    Call,
    Flow,
    Job,
    Outcome,
    Sleep,
    StartTask,
    TaskScheduler,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.tasks import TaskEnd


class World:
    """A clock that advances only during waits, and a server whose tasks take 1 second each."""

    def __init__(self) -> None:
        self.now = 100.0
        self.seconds: dict[str, float] = {}  # seconds of a task if not 1
        self.ends: dict[str, TaskEnd] = {}  # result of a task if it does not succeed
        self.away = 0  # number of waits that fail
        self.running: dict[str, float] = {}
        self.watched: set[str] = set()
        self.waits = 0
        self.closed = 0
        self.most: Counter[str] = Counter()
        self.begun: list[str] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    # Methods of TaskWaiter

    def watch(self, task: str) -> None:
        self.watched.add(task)

    def forget(self, task: str) -> None:
        self.watched.discard(task)

    def wait(self, seconds: int) -> list[TaskEnd]:
        assert self.watched, "a wait for nothing"
        self.waits += 1
        if self.away:
            self.away -= 1
            raise ConnectionFailed("the server is away")
        due = min(self.running[task] for task in self.watched)
        self.now = max(self.now, min(due, self.now + seconds))
        done = sorted(task for task in self.watched if self.running[task] <= self.now)
        for task in done:
            self.watched.discard(task)
            del self.running[task]
        return [self.ends.get(task, TaskEnd(task, result=f"made by {task}")) for task in done]

    def close(self) -> None:
        self.closed += 1

    # For flows

    def task(self, name: str, deadline: float = 1e9) -> StartTask:
        def begin() -> str:
            self.begun.append(name)
            self.running[name] = self.now + self.seconds.get(name, 1.0)
            hosts = Counter(task.split("/")[0] for task in self.running)
            for host, number in hosts.items():
                self.most[host] = max(self.most[host], number)
            self.most["all"] = max(self.most["all"], len(self.running))
            return name

        return StartTask(begin, deadline)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(scheduler, "TaskWaiter", lambda session: made)
    monkeypatch.setattr(scheduler, "time", made)
    monkeypatch.setattr(scheduler, "CONNECTIONS", 1)  # so that tasks start in order
    return made


class Server:
    """The part of a session that the scheduler uses."""

    def no_answer(self, purpose: str, error: BaseException) -> ConnectionFailed:
        return ConnectionFailed(f"this is not an answer to '{purpose}': {error}")


def run(world: World, jobs: list[Job], limits: Limits | None = None, stopped: Any = lambda: False) -> None:
    session: Any = Server()
    TaskScheduler(session, limits or Limits(), stopped).run(jobs)


def simple(world: World, names: list[str], outcomes: dict[str, Outcome]) -> list[Job]:
    """Jobs with one task each. A name is `host/vm`."""

    def flow(name: str) -> Flow:
        outcomes[name] = yield world.task(name)

    return [Job(name.split("/")[0], partial(flow, name)) for name in names]


def test_tasks_run_side_by_side_and_bring_their_results(world: World) -> None:
    outcomes: dict[str, Outcome] = {}
    run(world, simple(world, ["a/1", "a/2", "b/1"], outcomes))
    assert {name: outcome.result for name, outcome in outcomes.items()} == {
        name: f"made by {name}" for name in ("a/1", "a/2", "b/1")
    }
    assert world.now == 101.0 and world.waits == 1 and world.closed == 1


def test_limits_hold_and_a_full_host_does_not_hold_up_the_others(world: World) -> None:
    outcomes: dict[str, Outcome] = {}
    names = [*(f"a/{number}" for number in range(6)), *(f"b/{number}" for number in range(3))]
    run(world, simple(world, names, outcomes), Limits(per_vcenter=4, per_host=2))
    assert set(outcomes) == set(names)
    assert world.most == {"a": 2, "b": 2, "all": 4}
    assert world.begun[:4] == ["a/0", "a/1", "b/0", "b/1"]


def test_a_flow_goes_through_its_steps(world: World) -> None:
    seen: list[Outcome] = []

    def flow() -> Flow:
        seen.append((yield world.task("h/1")))
        seen.append((yield Sleep(2.5)))
        seen.append((yield world.task("h/2")))

    run(world, [Job("h", flow)])
    assert [outcome.result for outcome in seen] == ["made by h/1", None, "made by h/2"]
    assert not any(outcome.unfinished for outcome in seen) and world.now == 104.5


def test_a_task_that_cannot_be_started_is_told_to_its_flow_alone(world: World) -> None:
    outcomes: dict[str, Outcome] = {}

    def refused() -> str:
        raise VSphereFault("InvalidState", "it is in the wrong state")

    def flow() -> Flow:
        outcomes["refused"] = yield StartTask(refused, 1e9)

    run(world, [Job("a", flow), *simple(world, ["a/1"], outcomes)])
    assert not outcomes["refused"].began and str(outcomes["refused"].error) == "it is in the wrong state."
    assert outcomes["a/1"].result == "made by a/1"


def test_a_call_is_answered_in_another_thread_and_waits_for_no_task(world: World) -> None:
    seen: list[Outcome] = []
    threads: list[str] = []

    def call() -> list[str]:
        threads.append(threading.current_thread().name)
        return ["vm-1"]

    def flow() -> Flow:
        seen.append((yield Call(call)))

    run(world, [Job("a", flow), Job("a", flow)])
    assert [outcome.answer for outcome in seen] == [["vm-1"], ["vm-1"]] and world.waits == 0
    assert threading.current_thread().name not in threads


def test_a_call_that_fails_is_told_to_its_flow_alone(world: World) -> None:
    outcomes: dict[str, Outcome] = {}

    def lost() -> None:
        raise ConnectionFailed("the server is away")

    def flow() -> Flow:
        outcomes["lost"] = yield Call(lost)

    run(world, [Job("a", flow), *simple(world, ["a/1"], outcomes)])
    assert str(outcomes["lost"].error) == "the server is away." and outcomes["lost"].answer is None
    assert outcomes["a/1"].result == "made by a/1"


def test_a_stopped_scheduler_makes_no_call(world: World) -> None:
    outcomes: list[Outcome] = []
    made: list[str] = []

    def flow() -> Flow:
        outcomes.append((yield Sleep(1)))
        outcomes.append((yield Call(lambda: made.append("a call"))))

    run(world, [Job("a", flow)], stopped=lambda: world.now > 100)
    assert [outcome.unfinished for outcome in outcomes] == [True, True] and made == []


def test_ends_are_told_as_they_are(world: World) -> None:
    outcomes: dict[str, Outcome] = {}
    world.ends["a/1"] = TaskEnd("a/1", vanished=True)
    world.ends["a/2"] = TaskEnd("a/2", error=VSphereFault("FileLocked", "locked"))
    run(world, simple(world, ["a/1", "a/2"], outcomes))
    assert outcomes["a/1"].vanished and outcomes["a/1"].began
    assert outcomes["a/2"].error is not None and outcomes["a/2"].began


@pytest.mark.parametrize("turns", ["at once", "one after the other"])
def test_a_task_that_another_flow_waits_for_is_no_answer(world: World, turns: str) -> None:
    """Both creations may have started. The second flow gets an error and looks."""
    outcomes: dict[str, Outcome] = {}

    def flow(name: str, pause: float) -> Flow:
        yield Sleep(pause)
        outcomes[name] = yield world.task("a/same")
        if name == "second":
            outcomes["again"] = yield world.task("a/other")

    late = 0.0 if turns == "at once" else 2.0
    world.seconds["a/same"] = 10.0
    asked = itertools.count()

    def stopped() -> bool:
        assert next(asked) < 1000, "it goes round in circles"
        return False

    run(world, [Job("a", lambda: flow("first", 0.0)), Job("a", lambda: flow("second", late))], stopped=stopped)
    assert outcomes["first"].result == "made by a/same" and outcomes["again"].result == "made by a/other"
    second = outcomes["second"]
    assert isinstance(second.error, ConnectionFailed) and not second.began and not second.unfinished
    assert str(second.error) == "this is not an answer to 'start a task': a task that another call started."


def test_a_time_limit_ends_the_wait_but_not_the_others(world: World) -> None:
    outcomes: dict[str, Outcome] = {}
    world.seconds.update({"a/slow": 50.0, "a/fast": 10.0})

    def flow() -> Flow:
        outcomes["a/slow"] = yield world.task("a/slow", deadline=103.0)
        assert world.now == pytest.approx(103.0, abs=1.0)

    run(world, [Job("a", flow), *simple(world, ["a/fast"], outcomes)])
    assert outcomes["a/slow"] == Outcome(unfinished=True, task="a/slow")
    assert outcomes["a/fast"].result == "made by a/fast" and world.now == 110.0


def test_a_server_that_is_away_is_asked_again(world: World) -> None:
    outcomes: dict[str, Outcome] = {}
    world.away = 3
    run(world, simple(world, ["a/1"], outcomes))
    assert outcomes["a/1"].result == "made by a/1" and world.waits == 4


def test_a_server_that_stays_away_does_not_outlast_the_time_limit(world: World) -> None:
    outcomes: dict[str, Outcome] = {}
    world.away = 1000

    def flow() -> Flow:
        outcomes["a/1"] = yield world.task("a/1", deadline=105.0)

    run(world, [Job("a", flow)])
    assert outcomes["a/1"].unfinished and world.now <= 106.0


def test_a_stop_ends_every_wait_and_begins_nothing_more(world: World) -> None:
    outcomes: dict[str, Outcome] = {}
    world.seconds.update({f"a/{number}": 100.0 for number in range(4)})

    def pausing() -> Flow:
        outcomes["pause"] = yield Sleep(500.0)

    jobs = [Job("b", pausing), *simple(world, [f"a/{number}" for number in range(4)], outcomes)]
    run(world, jobs, Limits(per_vcenter=3, per_host=2), stopped=lambda: world.now >= 103.0)
    assert world.begun == ["a/0", "a/1"]
    assert set(outcomes) == {"pause", "a/0", "a/1"} and all(outcome.unfinished for outcome in outcomes.values())
    assert world.now <= 104.0 and world.closed == 1


def test_a_drive_that_is_stopped_already_begins_nothing(world: World) -> None:
    outcomes: dict[str, Outcome] = {}
    run(world, simple(world, ["a/1"], outcomes), stopped=lambda: True)
    assert outcomes == {} and world.begun == []


def test_tasks_are_started_side_by_side(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "CONNECTIONS", 16)
    together = threading.Barrier(16, timeout=20.0)
    outcomes: dict[str, Outcome] = {}

    def flow(name: str) -> Flow:
        task = world.task(name)

        def begin() -> str:
            together.wait()  # until all 16 calls have arrived, or the barrier breaks
            return task.begin()

        outcomes[name] = yield StartTask(begin, task.deadline)

    run(world, [Job("a", partial(flow, f"a/{number}")) for number in range(16)], Limits(16, 16))
    assert len(outcomes) == 16 and world.most["all"] == 16 and world.waits == 1


def test_what_a_stop_comes_before_is_not_asked_for(world: World) -> None:
    outcomes: dict[str, Outcome] = {}
    run(world, simple(world, ["a/1", "a/2"], outcomes), stopped=lambda: bool(world.begun))
    assert world.begun == ["a/1"]
    assert outcomes == {
        "a/1": Outcome(unfinished=True, task="a/1"),
        "a/2": Outcome(unfinished=True, began=False),
    }


def test_between_comes_after_the_last_flow_too(world: World) -> None:
    outcomes: dict[str, Outcome] = {}
    seen: list[int] = []
    jobs = simple(world, ["a/1", "a/2", "a/3"], outcomes)
    session: Any = None
    TaskScheduler(session, Limits(2, 2), lambda: False, between=lambda: seen.append(len(outcomes))).run(jobs)
    assert seen == [2, 3]
