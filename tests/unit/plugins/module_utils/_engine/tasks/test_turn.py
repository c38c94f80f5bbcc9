# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns of snapshot tasks: what is taken, under which name, what is tried again, and the result."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import main as cli
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import output, turn_report
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    ConnectionFailed,
    DatasetNotFound,
    InputError,
    PolicyRefused,
    QuiesceError,
    RegistryError,
    RunFailed,
    TaskNotFound,
    ZfsError,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.manifest import PREFIX
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import Engine, open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import SnapshotTask
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import retire
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import turn as turns
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.model import CREATE, Expected, Scenario, nfs, rule, vm
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.play import Stage
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.vsphere import Vcenter, connect
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.zfs import ROOT, Fault, Storage, many

HOUR, YEAR = 3600, 365 * 86400
VMS = ((nfs(vm("web"), vm("db")),),)


class PowerCut(BaseException):
    """The process ends here."""


@pytest.fixture
def zfs() -> Storage:
    return many(2)


@pytest.fixture
def engine(zfs: Storage, tmp_path: Path) -> Iterator[Engine]:
    with open_engine(Paths(tmp_path / "state", tmp_path / "key", tmp_path / "run")) as opened:
        yield replace(opened, zfs=zfs)


def store(engine: Engine, **settings: Any) -> SnapshotTask:
    given = {"dataset": ROOT, "lifetime_value": 1, "lifetime_unit": "DAY", "vmware_sync": False, **settings}
    return engine.tasks.insert(SnapshotTask("").merged(given))


def make_due(engine: Engine, task: SnapshotTask, hours: float = 2.0) -> None:
    """Let the task be due for this long."""
    with engine.tasks._database.transaction() as connection:
        connection.execute("UPDATE task SET handled = ? WHERE id = ?", (time.time() - hours * HOUR, task.id))


def take_old(zfs: Storage, task: SnapshotTask, name: str, ago: float, dataset: str = ROOT) -> str:
    """Add a snapshot that the task took this many seconds ago."""
    zfs.take([f"{dataset}@{name}"], {PREFIX + "task": task.key}, int(time.time() - ago))
    return f"{dataset}@{name}"


def turn(engine: Engine, task: SnapshotTask, **how: bool) -> dict[str, Any]:
    return turns.take_turn(engine, task, **how).require_success().as_dict()


def fails_with(error: QuiesceError) -> Callable[..., Any]:
    def fail(*_arguments: Any, **_options: Any) -> Any:
        raise error

    return fail


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Advance the clock by this many seconds."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + seconds)


@contextmanager
def stage(folder: Path, monkeypatch: pytest.MonkeyPatch, *servers: Any, datasets: Any = (ROOT,)) -> Iterator[Stage]:
    """Yield an engine with servers, for turns that quiesce VMs."""
    scenario = Scenario("a task", servers or VMS, Expected(), datasets=datasets)
    with Stage(scenario, lambda number, config: Vcenter(config), connect, folder) as made:

        def log_in(endpoint: Any, username: str, password: Any, timeouts: Any) -> Any:
            return made._log_in(endpoint, username, password)

        monkeypatch.setattr(turns, "connect", log_in)
        yield made


# ---- What the turn takes


def test_a_snapshot_of_the_future_silences_nothing(engine: Engine, zfs: Storage) -> None:
    task = store(engine)
    take_old(zfs, task, "future", -YEAR)
    make_due(engine, task)
    done = turn(engine, task, scheduled=True)
    assert not done["skipped"] and done["snapshot"]["created"]


def test_a_snapshot_of_the_future_is_not_what_the_next_is_compared_with(engine: Engine, zfs: Storage) -> None:
    task = store(engine, allow_empty=False)
    old = take_old(zfs, task, "old", HOUR)
    take_old(zfs, task, "future", -YEAR)
    assert turn(engine, task)["skipped"] == f"nothing was written since {old} (allow_empty is false)"


def test_nested_tasks_of_one_minute_take_one_each(
    engine: Engine, zfs: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    zfs.datasets.append(f"{ROOT}/vm00001/below")
    tasks = [store(engine, dataset=name, recursive=True) for name in zfs.datasets]
    taken = [turn(engine, task)["snapshot"] for task in tasks]
    assert all(one["created"] for one in taken)
    assert {zfs.taken[one["zfs_snapshot"]][PREFIX + "task"] for one in taken} == {task.key for task in tasks}
    assert len(zfs.snapshots) == 3 + 2 + 1
    below = [name for name in zfs.snapshots if name.startswith(f"{ROOT}/vm00001/below@")]
    assert below[1] == f"{below[0]}-{int(now)}" and below[2] == f"{below[0]}-{int(now)}-2"


@pytest.mark.parametrize("vmware_sync", [True, False])
def test_the_name_is_chosen_when_the_other_task_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vmware_sync: bool
) -> None:
    """The state at the beginning of the turn may have changed when it gets the lock."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    with stage(tmp_path, monkeypatch) as world:
        task = store(world.engine, vmware_sync=vmware_sync)
        lock = world.engine.locks.run

        @contextmanager
        def after_the_other(*arguments: Any) -> Iterator[None]:
            with lock(*arguments):
                world.zfs.take([f"{ROOT}@{time.strftime('auto-%Y-%m-%d_%H-%M', time.localtime(now))}"], {}, int(now))
                yield

        monkeypatch.setattr(world.engine.locks, "run", after_the_other)
        taken = turn(world.engine, task)["snapshot"]
    assert taken["created"] and taken["zfs_snapshot"].endswith(f"-{int(now)}")


def test_the_second_try_after_a_power_cut_takes_what_waves_have_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = (ROOT, f"{ROOT}/one", f"{ROOT}/two")
    servers = tuple(nfs(vm(name), name=name, dataset=f"{ROOT}/{name}") for name in ("one", "two"))
    with stage(tmp_path, monkeypatch, servers, datasets=datasets) as world:
        engine, zfs = world.engine, world.zfs
        task = store(engine, recursive=True, vmware_sync=True, wave_size=1)
        make_due(engine, task)

        def cut(when: str, command: str) -> None:
            if (when, command) == ("before", "snapshot") and zfs.commands["snapshot"] == 2:
                raise PowerCut

        zfs.watch = cut
        with monkeypatch.context() as nothing_is_written:
            nothing_is_written.setattr(engine.tasks, "end", lambda *_arguments: None)
            with pytest.raises(PowerCut):
                turn(engine, task, scheduled=True)
        first = dict(zfs.snapshots)
        zfs.watch = lambda when, command: None
        done = turn(engine, task, scheduled=True)
        assert turn(engine, task, scheduled=True)["skipped"] == "it is not due"
    assert 0 < len(first) < 3
    taken = done["snapshot"]
    assert taken["created"] and taken["complete"]
    assert {*taken["zfs_snapshots"], *first} == set(zfs.snapshots) and len(zfs.snapshots) == 3
    assert len({name.split("@")[1] for name in zfs.snapshots}) == 1


def test_what_the_first_try_has_taken_is_not_taken_again(engine: Engine, zfs: Storage) -> None:
    task = store(engine)
    make_due(engine, task)
    taken = take_old(zfs, task, "first", 1)
    assert turn(engine, task, scheduled=True)["skipped"] == f"{taken} was already taken"


# ---- What is tried again


def test_a_pool_that_is_imported_late_costs_no_snapshot(
    engine: Engine, zfs: Storage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = store(engine, schedule={"minute": "0", "hour": "*/12"})
    make_due(engine, task, hours=24)
    now = time.time() // (12 * HOUR) * 12 * HOUR + HOUR  # far from the next due minute
    monkeypatch.setattr(time, "time", lambda: now)
    make_due(engine, task, hours=24)
    there, zfs.datasets = zfs.datasets, []
    monkeypatch.setattr(cli, "open_engine", lambda *_arguments, **_options: nullcontext(engine))
    for _unused in range(5):
        assert cli.main(["run", str(task.id), "--scheduled"]) == 75
    assert "tries again in five minutes" in capsys.readouterr().err
    zfs.datasets = there
    assert turn(engine, task, scheduled=True)["snapshot"]["created"]
    assert turn(engine, task, scheduled=True)["skipped"] == "it is not due"


@pytest.mark.parametrize(
    ("error", "scheduled", "manual"),
    [(RegistryError("The state is locked"), 75, 1), (TaskNotFound("There is no snapshot task 7"), 1, 1)],
)
def test_a_state_that_cannot_be_opened_costs_no_snapshot(
    monkeypatch: pytest.MonkeyPatch, error: RegistryError, scheduled: int, manual: int
) -> None:
    monkeypatch.setattr(cli, "open_engine", fails_with(error))
    assert (cli.main(["run", "7", "--scheduled"]), cli.main(["run", "7"])) == (scheduled, manual)


def test_no_try_is_left_when_the_next_turn_comes_as_soon(engine: Engine, zfs: Storage) -> None:
    task = store(engine, schedule={"minute": "*"})
    make_due(engine, task)
    zfs.datasets = []
    result = turns.take_turn(engine, task, scheduled=True)
    assert isinstance(result.failure, DatasetNotFound) and not result.again
    zfs.datasets = [ROOT]
    seen_to = engine.tasks.handled(task.id)
    assert time.time() - seen_to < 120


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (InputError("it cannot be meant"), False),
        (RunFailed("VMs were held"), False),
        (PolicyRefused("the policy"), False),
        (ZfsError("the modules are not loaded"), True),
    ],
)
def test_only_what_held_nothing_is_tried_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, error: QuiesceError, again: bool
) -> None:
    task = store(engine, schedule={"minute": "0", "hour": "0", "dom": "1", "month": "1"})
    make_due(engine, task, hours=3 * 366 * 24)

    monkeypatch.setattr(turns, "list_datasets", fails_with(error))
    result = turns.take_turn(engine, task, scheduled=True)
    monkeypatch.undo()
    assert result.failure is error and result.again is again
    skipped = turn(engine, task, scheduled=True)["skipped"]
    assert skipped == ("" if again else "it is not due")


def test_the_unit_waits_as_long_as_the_engine_counts_on() -> None:
    folder = Path(turns.__file__).parents[4] / "roles" / "runtime" / "templates"
    unit = (folder / "vmware-zfs-task@.service.j2").read_text()
    assert f"--on-active={turns.AGAIN_AFTER / 60:g}min " in unit and f"!= {turn_report.AGAIN} ]" in unit


# ---- Retention, with or without a snapshot


def test_without_room_for_a_snapshot_the_old_ones_go(engine: Engine, zfs: Storage) -> None:
    task = store(engine)
    old, newest = take_old(zfs, task, "old", 3 * 86400), take_old(zfs, task, "newer", 2 * 86400)
    zfs.faults = [Fault("snapshot", said="out of space")]
    result = turns.take_turn(engine, task)
    with pytest.raises(ZfsError, match="out of space"):
        result.require_success()
    assert list(zfs.snapshots) == [newest]
    assert result.retired is not None and result.retired.destroyed == [old]


@pytest.mark.parametrize("refused", [True, False])
def test_without_room_while_vms_are_held_the_old_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refused: bool
) -> None:
    with stage(tmp_path, monkeypatch, (nfs(vm("web", tools="not_running" if refused else "running")),)) as world:
        task = store(world.engine, vmware_sync=True, on_quiesce_failure="fail")
        old = take_old(world.zfs, task, "old", 3 * 86400)
        newest = take_old(world.zfs, task, "newer", 2 * 86400)
        world.zfs.faults = [] if refused else [Fault("snapshot", said="out of space")]
        monkeypatch.setattr(cli, "open_engine", lambda *_arguments, **_options: nullcontext(world.engine))
        assert cli.main(["run", str(task.id)]) == 1
        told = capsys.readouterr()
        assert list(world.zfs.snapshots) == [newest]
    assert f"destroyed {old}" in told.out and "took " not in told.out
    assert ("VMware Tools" if refused else "out of space") in told.err


def stopped() -> AbstractContextManager[None]:
    os.kill(os.getpid(), signal.SIGTERM)
    return nullcontext()


def test_a_turn_that_is_stopped_destroys_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stage(tmp_path, monkeypatch) as world:
        task = store(world.engine, vmware_sync=True)
        old = take_old(world.zfs, task, "old", 3 * 86400)
        take_old(world.zfs, task, "newer", 2 * 86400)
        with monkeypatch.context() as host:
            host.setattr(world.engine.locks, "recovery", stopped)
            result = turns.take_turn(world.engine, task)
        with pytest.raises(RunFailed, match="SIGTERM"):
            result.require_success()
        assert old in world.zfs.snapshots and result.retired is None


def test_a_turn_that_a_reboot_ended_is_taken_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The instant is not done: the timer starts the task again after the boot."""
    with stage(tmp_path, monkeypatch) as world:
        task = store(world.engine, vmware_sync=True)
        make_due(world.engine, task)
        with monkeypatch.context() as host:
            host.setattr(world.engine.locks, "recovery", stopped)
            with pytest.raises(RunFailed, match="SIGTERM"):
                turn(world.engine, task, scheduled=True)
        assert turn(world.engine, task, scheduled=True)["snapshot"]["created"]
        assert turn(world.engine, task, scheduled=True)["skipped"] == "it is not due"


def test_a_failing_retention_does_not_hide_what_was_taken(
    engine: Engine, zfs: Storage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = store(engine)
    take_old(zfs, task, "old", 3 * 86400)
    zfs.faults = [Fault("program", said="no such pool")]
    monkeypatch.setattr(cli, "open_engine", lambda *_arguments, **_options: nullcontext(engine))
    assert cli.main(["run", str(task.id)]) == 1
    assert f"took {ROOT}@" in capsys.readouterr().out


# ---- A clock that may be wrong


def test_a_clock_that_jumps_by_more_than_the_lifetime_costs_nothing_at_once(
    engine: Engine, zfs: Storage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = store(engine)
    for _unused in range(2):
        turn(engine, task)
    before = list(zfs.snapshots)
    later(monkeypatch, YEAR)
    monkeypatch.setattr(cli, "open_engine", lambda *_arguments, **_options: nullcontext(engine))
    assert cli.main(["run", str(task.id)]) == 0
    assert set(before) < set(zfs.snapshots)
    assert "so nothing is destroyed this time; check the clock of this host" in capsys.readouterr().out
    assert set(turn(engine, task)["retired"]["destroyed"]) == set(before)


def test_a_clock_that_is_doubted_stays_so_while_the_turn_is_tried_again(
    engine: Engine, zfs: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = store(engine, schedule={"minute": "0", "hour": "0", "dom": "1", "month": "1"}, lifetime_value=1)
    old = take_old(zfs, task, "old", 3 * 86400)
    take_old(zfs, task, "newer", 2 * 86400)
    engine.tasks.turned(task.id, time.time() - 10 * 86400, False)
    make_due(engine, task, hours=3 * 366 * 24)
    monkeypatch.setattr(turns, "list_datasets", fails_with(ZfsError("it is being received")))
    for _unused in range(3):
        result = turns.take_turn(engine, task, scheduled=True)
        assert isinstance(result.failure, ZfsError) and result.again and old in zfs.snapshots
    monkeypatch.undo()
    assert turn(engine, task, scheduled=True)["retired"]["destroyed"] == [] and old in zfs.snapshots


def test_a_lifetime_that_is_shorter_than_the_schedule_is_kept(
    engine: Engine, zfs: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = store(engine, schedule={"minute": "0", "hour": "2", "dow": "sun"}, lifetime_value=1, lifetime_unit="DAY")
    first = turn(engine, task)["snapshot"]["zfs_snapshot"]
    destroyed = []
    for week in range(1, 4):
        with monkeypatch.context() as clock:
            later(clock, week * 7 * 86400)
            destroyed.append(turn(engine, task)["retired"]["destroyed"])
    assert destroyed[0] == [first] and all(destroyed)


def test_the_clock_is_not_doubted_twice_in_a_row(engine: Engine, zfs: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task is disabled, and another scheduler runs it each week."""
    task = store(engine, enabled=False)
    counts = []
    for week in range(4):
        with monkeypatch.context() as clock:
            later(clock, week * 7 * 86400)
            counts.append(len(turn(engine, task)["retired"]["destroyed"]))
    assert counts == [0, 0, 2, 0]


# ---- A turn that is not complete


@pytest.fixture
def mute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A server with a VM that cannot be quiesced and one that is off. The command uses the same engine."""
    with stage(tmp_path, monkeypatch, (nfs(vm("web"), vm("mute"), vm("off", power="off")),)) as world:
        fault = rule("task_fault", CREATE, "mute", fault="ApplicationQuiesceFault")
        world.servers[0].rule(**fault.fields())
        monkeypatch.setattr(cli, "open_engine", lambda *_arguments, **_options: nullcontext(world.engine))
        yield world


def test_a_turn_that_is_not_complete_takes_its_snapshot_and_fails(
    mute: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = store(mute.engine, vmware_sync=True)
    old = take_old(mute.zfs, task, "old", 3 * 86400)
    monkeypatch.setattr(output, "marked", lambda stream, priority: f"<{priority}>")
    assert cli.main(["run", str(task.id)]) == 3
    said = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"<0>took {ROOT}@") for line in said) and f"<0>destroyed {old}" in said
    (why,) = [line for line in said if line.startswith("<4>not complete: ")]
    assert "VM 'mute'" in why and "ApplicationQuiesceFault" in why
    assert said[-1].startswith("<4>the snapshot was taken, but it is not complete; ")
    assert cli.main(["run", str(task.id), "--json"]) == 3
    assert len(json.loads(capsys.readouterr().out)["incomplete"]) == 1


MUTE = {"match": {"name": "mute"}}


@pytest.mark.parametrize(
    "settings",
    [
        {"tolerate_incomplete": True},
        {"exclude_vms": ["mute"]},
        {"vmware_sync": False},
        {"policies": [{**MUTE, "accept": "crash"}]},
        {"policies": [{**MUTE, "exclude": True}]},
    ],
)
def test_what_is_tolerated_excluded_or_not_quiesced_at_all_fails_nothing(mute: Stage, settings: dict[str, Any]) -> None:
    task = store(mute.engine, **{"vmware_sync": True, **settings})
    assert cli.main(["run", str(task.id)]) == 0


def test_a_turn_shows_the_policy_of_each_vm_and_what_it_asks_for(
    mute: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    policies = [{**MUTE, "accept": "crash"}, {"match": {"name": "w*"}, "accept": "application"}]
    task = store(mute.engine, vmware_sync=True, policies=policies)
    assert cli.main(["run", str(task.id), "--dry-run"]) == 0
    planned = capsys.readouterr().out
    assert (
        ": filesystem (policy 2 (name 'w*'))" in planned
        and "VM 'mute'" in planned
        and "policy 1 (name 'mute')" in planned
    )
    assert cli.main(["run", str(task.id)]) == 3
    said = capsys.readouterr().out
    assert "(level filesystem (1 VM accepted at crash: mute))" in said
    assert "its level is filesystem, and policy 2 (name 'w*') asks for application" in said
    (shown,) = (turns.overview(mute.engine, one) for one in mute.engine.tasks.list_all())
    assert shown["last_run"]["consistency_text"] == "filesystem (1 VM accepted at crash: mute)"


def test_retention_also_destroys_what_a_policy_has_included(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = f"{ROOT}/one", f"{ROOT}/two"
    spanning = (nfs(vm("app", disks=[{}, {"datastore": "ds2"}]), name="ds1", dataset=one), nfs(name="ds2", dataset=two))
    include = [{"match": {"name": "app"}, "on_span": "include"}]
    with stage(tmp_path, monkeypatch, spanning, datasets=(ROOT, one, two)) as world:
        task = store(world.engine, dataset=one, vmware_sync=True, policies=include)
        old = [take_old(world.zfs, task, "old", 3 * 86400, dataset) for dataset in (one, two)]
        assert sorted(turn(world.engine, task)["retired"]["destroyed"]) == old
        assert world.engine.tasks.included(task.key) == {two}
        taken = [name for name in world.zfs.snapshots if name.startswith(f"{two}@")]
        later(monkeypatch, 7 * 86400)
        without = task.merged({"policies": []})
        kept = {one.name: one.reason for one in turns._retire(world.engine, without, None, False, False).kept}
        assert kept[taken[0]] == "it is the newest of its task"  # still a snapshot of the task, without the policy
        world.zfs.datasets.remove(two)
        assert turns._retire(world.engine, task, None, False, False).destroyed == []


def test_a_server_that_is_away_makes_a_turn_incomplete(
    mute: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(*_login: Any, timeouts: Any) -> Any:
        raise ConnectionFailed("vc.lab cannot be reached")

    monkeypatch.setattr(turns, "connect", away)
    task = store(mute.engine, vmware_sync=True)
    assert cli.main(["run", str(task.id)]) == 3
    assert "not complete: vc.lab cannot be reached" in capsys.readouterr().out


def test_an_excluded_vm_makes_no_snapshot_less_complete(mute: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its snapshots have the level crash, and retention keeps the newest. The next turn has nothing to do."""
    task = store(mute.engine, vmware_sync=True, exclude_vms=["mute"], allow_empty=False)
    taken = turn(mute.engine, task)["snapshot"]
    assert (taken["consistency"], taken["complete"]) == ("crash", True)
    assert turn(mute.engine, task)["skipped"].startswith("nothing was written since")
    take_old(mute.zfs, task, "newer", 0)
    later(monkeypatch, 7 * 86400)
    for _unused in range(2):
        retired = turns._retire(mute.engine, task, None, False, False)
    assert not retired.destroyed and taken["zfs_snapshot"] in mute.zfs.snapshots
    assert retire.Kept(taken["zfs_snapshot"], "it is the newest that is complete") in retired.kept


# ---- Destroyed snapshots


def test_a_snapshot_that_was_destroyed_is_marked(
    engine: Engine, zfs: Storage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "open_engine", lambda *_arguments, **_options: nullcontext(engine))
    names = [turn(engine, store(engine, naming_schema=f"{number}-%s"))["snapshot"]["zfs_snapshot"] for number in "123"]
    zfs.replace(names[0])
    zfs.replace(names[1], names[1])  # another one with that name
    assert cli.main(["status"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert ["  destroyed  " in next(line for line in said if name in line) for name in names] == [True, True, False]
    shown = {run.snapshots[0]: run.id for run in engine.journal.runs()}
    for name in names:
        assert cli.main(["show", shown[name]]) == 0
        assert (f"{name} has been destroyed" in capsys.readouterr().out) is (name != names[2])


def test_nothing_is_called_destroyed_while_its_pool_is_away(
    engine: Engine, zfs: Storage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "open_engine", lambda *_arguments, **_options: nullcontext(engine))
    turn(engine, store(engine))
    zfs.datasets, zfs.snapshots = [], {}
    assert cli.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["destroyed"] is None
    zfs.faults = [Fault("list", timeout=True)]
    assert cli.main(["status"]) == 0 and "destroyed" not in capsys.readouterr().out
