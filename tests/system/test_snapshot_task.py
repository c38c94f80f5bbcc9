# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the runs of snapshot tasks on real ZFS: taken, skipped and expired snapshots."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import main as cli
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.observe import lifetimes
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import SnapshotTask
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import retire
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import turn as turns
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import program
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.destroy import destroy

from tests.lab.places import GUEST
from tests.lab.simulator import Simulator
from tests.lab.storage_host import StorageHost

from .conftest import StartVcenter
from .scene import Scene, ended, nfs, run_module

SCHEMA = "auto-%Y-%m-%d_%H-%M"
TASK, RUN = "quiesce.vmware_zfs:task", "quiesce.vmware_zfs:run"


def store(scene: Scene, **options: Any) -> SnapshotTask:
    """Store a snapshot task on the dataset of the session. By default, it takes plain ZFS snapshots."""
    settings = {
        "dataset": scene.tree, "aliases": [GUEST], "vmware_sync": False, "lifetime_value": 1, "lifetime_unit": "HOUR",
        "naming_schema": f"t{time.monotonic_ns()}-%s", **options,
    }  # fmt: skip
    return scene.engine.tasks.insert(SnapshotTask("").merged(settings))


def turn(scene: Scene, task: SnapshotTask, **how: bool) -> dict[str, Any]:
    return turns.take_turn(scene.engine, task, **how).require_success().as_dict()


def make(scene: Scene, task: SnapshotTask, *names: str, complete: bool = False, source: str = "") -> None:
    """Take ZFS snapshots as the task does."""
    record = {TASK: task.key, "quiesce.vmware_zfs:held_until": "9999999999"}
    record.update(
        {"quiesce.vmware_zfs:complete": "yes", "quiesce.vmware_zfs:consistency": "filesystem"} if complete else {}
    )
    for name in names:
        scene.engine.zfs.run("snapshot", *(f"-o{key}={value}" for key, value in record.items()), name)
        time.sleep(1.0)  # the property creation has a resolution of one second


def later(monkeypatch: pytest.MonkeyPatch, hours: float) -> None:
    """Apply retention as if this time had passed."""
    now = time.time() + hours * 3600
    monkeypatch.setattr(time, "time", lambda: now)


def retention(scene: Scene, task: SnapshotTask, dry: bool = False) -> dict[str, Any]:
    return asdict(retire.retire(scene.engine.zfs, [task], lifetimes.facts(scene.engine.zfs, [scene.tree]), dry))


def test_a_turn_quiesces_the_vms_and_marks_what_it_took(scene: Scene, vcenter: Simulator) -> None:
    task = store(scene, vmware_sync=True, recursive=True, exclude=[f"{scene.tree}/ds10"])
    done = turn(scene, task)
    taken = done["snapshot"]
    assert taken["created"] and taken["consistency"] == "filesystem" and taken["complete"] and not done["skipped"]
    assert {name.split("@")[0] for name in taken["zfs_snapshots"]} == {
        scene.tree, f"{scene.tree}/ds1", f"{scene.tree}/nested",
    }  # fmt: skip
    assert len(ended(vcenter, "CreateSnapshot")) == 3
    scene.assert_released(vcenter)
    assert scene.record(taken["zfs_snapshot"]).task == task.key
    assert [kept["reason"] for kept in done["retired"]["kept"]] == ["its lifetime has not expired"] * 3
    overview = turns.overview(scene.engine, task)
    assert overview["last_run"]["zfs_snapshot"] == taken["zfs_snapshot"] and overview["next_run"]


def test_a_task_without_a_credential_snapshots_for_crash_and_says_so(scene: Scene) -> None:
    """Taking no snapshot would be worse, and a higher level would be wrong."""
    done = turn(scene, store(scene, vmware_sync=True))
    assert done["snapshot"]["consistency"] == "crash" and not done["snapshot"]["complete"]
    assert any("No credential is stored" in problem for problem in done["snapshot"]["problems"])


def test_vmware_sync_false_takes_plain_snapshots(scene: Scene, vcenter: Simulator) -> None:
    task = store(scene, recursive=True)
    done = turn(scene, task)["snapshot"]
    record = scene.record(done["zfs_snapshot"])
    assert (record.task, record.consistency, record.complete) == (task.key, "crash", False)
    assert len(done["zfs_snapshots"]) == 4 and not ended(vcenter, "CreateSnapshot")


def test_a_scheduled_turn_waits_for_its_minute(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    task = store(scene, schedule={"minute": "*"})
    assert turn(scene, task, scheduled=True)["skipped"] == "it is not due"
    now = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: now)
    assert turn(scene, task, scheduled=True)["snapshot"]["created"]
    assert turn(scene, task, scheduled=True)["skipped"] == "it is not due"
    disabled = scene.engine.tasks.update(task.merged({"enabled": False}))
    assert turn(scene, disabled, scheduled=True)["skipped"] == "it is disabled"


def test_a_place_within_the_jitter_changes_no_name(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is not lost while it waits for its delay. A later run is named after its start time."""
    schema = f"place{time.monotonic_ns()}-%s"
    task = store(scene, schedule={"minute": "0"}, jitter=900, naming_schema=schema)
    due = int(time.time() // 3600 + 1) * 3600
    for hours, late, named in ((0, 890, due), (1, 1190, due + 3600), (2, 1210, due + 7200 + 1210)):
        now = due + hours * 3600 + late
        monkeypatch.setattr(time, "time", lambda now=now: float(now))
        waits = late <= 900
        shown = datetime.fromisoformat(turns.overview(scene.engine, task)["next_run"]).timestamp()
        assert shown == due + hours * 3600 + (0 if waits else 3600)
        taken = turn(scene, task, scheduled=True)["snapshot"]["zfs_snapshot"]
        assert taken == f"{scene.tree}@{schema[:-2]}{named}"
        shown = datetime.fromisoformat(turns.overview(scene.engine, task)["next_run"]).timestamp()
        assert shown == due + (hours + 1) * 3600


def test_a_name_that_is_taken_costs_no_snapshot(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example, if the clock is set back: the minute is repeated, and the name may already be in use."""
    task = store(scene, naming_schema=f"again{time.monotonic_ns()}-{SCHEMA}")
    now = time.time() // 60 * 60 + 120
    names = []
    for offset in (1, 3, 5):
        monkeypatch.setattr(time, "time", lambda offset=offset: now + offset)
        names.append(turn(scene, task)["snapshot"]["zfs_snapshot"])
    assert len(set(names)) == 3 and names[1] == f"{names[0]}-{int(now + 3)}"
    assert scene.exists(names[0]) and scene.exists(names[1]) and scene.exists(names[2])


def test_allow_empty_false_skips_what_did_not_change(scene: Scene, storage_host: StorageHost) -> None:
    task = store(scene, allow_empty=False, recursive=True)
    first = turn(scene, task)["snapshot"]["zfs_snapshot"]
    assert turn(scene, task)["skipped"] == f"nothing was written since {first} (allow_empty is false)"
    storage_host.ssh(["sh", "-ec", f"date +%N >/{scene.tree}/nested/change; zpool sync"])
    assert turn(scene, task)["snapshot"]["created"]


def test_what_is_not_complete_is_taken_again_although_nothing_changed(scene: Scene, vcenter: Simulator) -> None:
    task = store(scene, allow_empty=False, vmware_sync=True)
    vcenter.rule(method="CreateSnapshot.*", vm="app", effect="task_fault", fault="ApplicationQuiesceFault")
    assert not turn(scene, task)["snapshot"]["complete"]
    vcenter.clear_rules()
    assert turn(scene, task)["snapshot"]["complete"]
    assert turn(scene, task)["skipped"].startswith("nothing was written since")


@pytest.fixture
def cluttered(scene: Scene) -> Iterator[str]:
    """A separate dataset for held, cloned and sent snapshots, because other tests use the same tree."""
    dataset = scene.tree + "/ds1"
    yield dataset
    zfs = scene.engine.zfs
    zfs.run("release", "keep", dataset + "@held")
    zfs.run("destroy", scene.tree + "/clone")
    zfs.run("destroy", "-r", scene.tree + "/copy")
    zfs.run("inherit", TASK, dataset)


def test_a_task_in_waves_is_as_good_as_the_worst_of_them(scene: Scene, start_vcenter: StartVcenter) -> None:
    vcenter = start_vcenter(
        nfs("ds1", f"{scene.tree}/ds1", {"name": "first"}), nfs("nested", f"{scene.tree}/nested", {"name": "second"})
    )
    scene.enrol(vcenter)
    vcenter.rule(method="CreateSnapshot.*", vm="second", effect="task_fault", fault="SnapshotFault", count=1)
    task = store(scene, vmware_sync=True, recursive=True, allow_empty=False, wave_size=1)
    shown = []
    for _unused in range(2):
        assert turn(scene, task)["snapshot"]["created"]  # also the second time, because the first one was not complete
        last = turns.overview(scene.engine, task)["last_run"]
        assert last["zfs_snapshot"].startswith(f"{scene.tree}@") and last["hold_window_seconds"] > 0
        shown.append((last["consistency"], last["complete"], last["state"]))
    assert shown == [("crash", False, "ended"), ("filesystem", True, "ended")]
    assert "nothing was written" in turn(scene, task)["skipped"]
    scene.assert_released(vcenter)


def test_retention_takes_only_what_it_may(
    scene: Scene, cluttered: str, storage_host: StorageHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    zfs, task = scene.engine.zfs, store(scene, recursive=True)
    name = cluttered + "@"
    make(scene, task, name + "old", name + "held", name + "cloned", name + "received")
    make(scene, task, name + "good", complete=True)
    make(scene, task, name + "newest")
    zfs.run("snapshot", name + "persons")  # matches no task and is older than all expired snapshots
    zfs.run("snapshot", "-o", f"{TASK}=another", name + "others")
    zfs.run("set", f"{TASK}={task.key}", cluttered)  # its snapshots only inherit it
    zfs.run("hold", "keep", name + "held")
    zfs.run("clone", name + "cloned", scene.tree + "/clone")
    storage_host.ssh(["sh", "-ec", f"zfs send -p {name}received | zfs receive -u {scene.tree}/copy"])

    assert retention(scene, task)["destroyed"] == []
    later(monkeypatch, 2)
    judged = retention(scene, task, dry=True)
    gone = {name + "old", name + "received"}
    assert set(judged["destroyed"]) == gone and scene.exists(*gone)
    done = retention(scene, task)
    assert done == judged
    reasons = {kept["name"].split("@")[1]: kept["reason"] for kept in done["kept"] if "/ds1@" in kept["name"]}
    assert reasons == {
        "newest": "it is the newest of its task",
        "good": "it is the newest that is complete",
        "cloned": "it has a clone",
        "held": "it is held (zfs holds)",
    }
    assert {kept["name"] for kept in done["kept"] if "/copy@" in kept["name"]} == {f"{scene.tree}/copy@received"}
    left = zfs.run("list", "-H", "-o", "name", "-t", "snapshot", "-r", f"{scene.tree}/ds1").split()
    assert {entry.split("@")[1] for entry in left} >= {"persons", "others", *reasons} and not gone & set(left)


def test_received_snapshots_go_only_when_they_were_claimed_and_in_scope(
    scene: Scene, storage_host: StorageHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica below the dataset of the task has its key. After a failback, an administrator claims the snapshots."""
    task = store(scene, recursive=True)
    make(scene, task, scene.tree + "/nested@r1", scene.tree + "/nested@r2")
    restored = f"{scene.tree}/restored"
    storage_host.ssh(["sh", "-ec", f"zfs send -R {scene.tree}/nested@r2 | zfs receive -u {restored}"])
    later(monkeypatch, 2)
    judged = retention(scene, task)
    assert f"{restored}@r1" not in judged["destroyed"] and f"{scene.tree}/nested@r1" in judged["destroyed"]
    assert {"name": f"{restored}@r1", "reason": lifetimes.RECEIVED} in judged["kept"]
    claim = f"zfs get -H -r -t snapshot -s received -o name,value {TASK} {restored}"
    storage_host.ssh(["bash", "-c", f'{claim} | while read -r name key; do zfs set "{TASK}=$key" "$name"; done'])
    for narrower in ({"exclude": (restored,)}, {"recursive": False}):
        judged = retention(scene, replace(task, **narrower))
        assert {"name": f"{restored}@r1", "reason": lifetimes.OUTSIDE} in judged["kept"] and not judged["destroyed"]
    done = retention(scene, task)
    scene.engine.zfs.run("destroy", "-r", restored)
    assert done["destroyed"] == [f"{restored}@r1"]


def test_what_is_read_below_dot_zfs_goes_all_the_same(
    scene: Scene, storage_host: StorageHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = store(scene)
    make(scene, task, scene.tree + "@read", scene.tree + "@later")
    storage_host.ssh(["ls", f"/{scene.tree}/.zfs/snapshot/read/"])
    later(monkeypatch, 2)
    assert retention(scene, task)["destroyed"] == [scene.tree + "@read"]
    assert not scene.exists(scene.tree + "@read")


def test_another_snapshot_of_the_same_name_is_not_destroyed(scene: Scene) -> None:
    zfs, name = scene.engine.zfs, scene.tree + "@mistaken"
    zfs.run("snapshot", name)
    assert destroy(zfs, {name: "1"}) == {name: "another snapshot has this name now"}
    born = zfs.run("get", "-H", "-p", "-o", "value", "createtxg", name).strip()
    assert destroy(zfs, {name: born, scene.tree + "@never": "7"}) == {} and not scene.exists(name)


def test_many_go_in_few_processes(scene: Scene, storage_host: StorageHost, monkeypatch: pytest.MonkeyPatch) -> None:
    task = store(scene, recursive=True)
    script = f"for i in $(seq 16); do zfs snapshot -o {TASK}={task.key} {scene.tree}/ds10@many-$i; done"
    storage_host.ssh(["sh", "-ec", script], timeout=300)
    monkeypatch.setattr(program, "MOST_SNAPSHOTS", 10)
    later(monkeypatch, 2)
    before = scene.engine.zfs.processes
    assert len(retention(scene, task)["destroyed"]) == 15
    assert scene.engine.zfs.processes - before == 3  # one query, two channel programs


def test_the_command_runs_and_lists_tasks(
    scene: Scene, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = store(scene, schedule={"minute": "0", "hour": "2"})
    assert cli.main(["run", str(task.id), "--dry-run"]) == 0
    assert f"would take {scene.tree}@" in capsys.readouterr().out
    assert cli.main(["run", str(task.id)]) == 0
    assert f"took {scene.tree}@" in capsys.readouterr().out
    assert cli.main(["run", str(task.id), "--scheduled"]) == 0
    assert "not due" in capsys.readouterr().out
    assert cli.main(["tasks"]) == 0
    assert f"{scene.tree}" in (listed := capsys.readouterr().out) and "0 2 * * *" in listed
    assert cli.main(["tasks", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"][-1]["id"] == task.id
    assert cli.main(["run", "4711"]) == 1
    assert "There is no snapshot task with the id 4711" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        cli.main(["run", "1", "--scheduled", "--dry-run"])


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for unit files and a systemctl that only records its arguments. Molecule uses the real one."""
    from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import timers

    folder = tmp_path / "system"
    folder.mkdir()
    (folder / timers.SERVICE).touch()
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/said\ncase $1 in show) cat {tmp_path}/shown ;; '
        f'enable) printf "UnitFileState=enabled\\nActiveState=active\\n" >{tmp_path}/shown ;; '
        f'disable) printf "UnitFileState=disabled\\nActiveState=inactive\\n" >{tmp_path}/shown ;; esac\n'
    )
    systemctl.chmod(0o755)
    monkeypatch.setattr(timers.Timers.__init__, "__defaults__", (folder, str(systemctl)))
    return folder


def test_the_module_has_task_and_timer_and_changes_nothing_twice(scene: Scene, units: Path) -> None:
    wanted = {
        "dataset": scene.tree,
        "lifetime_value": 1,
        "lifetime_unit": "WEEK",
        "schedule": {"minute": "0", "hour": "0"},
    }
    checked = run_module("vmware_snapshot_task", wanted, check=True, diff=True)
    assert checked["changed"] and not scene.engine.tasks.list_all() and checked["task"]["id"] is None
    made = run_module("vmware_snapshot_task", wanted, diff=True)
    assert made["changed"] and made["diff"]["after"] == checked["diff"]["after"]
    timer = units / f"vmware-zfs-task@{made['task']['id']}.timer"
    assert "OnCalendar=*-*-* 00:00:00\n" in timer.read_text()
    assert not run_module("vmware_snapshot_task", wanted)["changed"]
    assert not run_module("vmware_snapshot_task", {"id": made["task"]["id"]}, check=True)["changed"]

    spread = run_module("vmware_snapshot_task", {**wanted, "jitter": 600}, check=True, diff=True)
    assert spread["changed"] and "RandomizedDelaySec=30s\n" in timer.read_text()
    assert (spread["diff"]["before"]["jitter"], spread["diff"]["after"]["jitter"]) == (30, 600)
    assert run_module("vmware_snapshot_task", {**wanted, "jitter": 600}, diff=True)["diff"] == spread["diff"]
    assert "RandomizedDelaySec=600s\nFixedRandomDelay=yes\n" in timer.read_text()
    assert not run_module("vmware_snapshot_task", {**wanted, "jitter": 600})["changed"]
    assert run_module("vmware_snapshot_task", wanted)["task"]["jitter"] == 30, "what is left out takes its default"

    changed = run_module("vmware_snapshot_task", {**wanted, "schedule": {"hour": "3"}})
    assert changed["changed"] and "OnCalendar=*-*-* 03:00:00\n" in timer.read_text()
    assert changed["task"]["schedule"]["minute"] == "00", "a schedule is one value"
    disabled = run_module("vmware_snapshot_task", {"id": made["task"]["id"], "enabled": False}, diff=True)
    assert disabled["diff"]["before"]["timer"]["active"] and not disabled["diff"]["after"]["timer"]["active"]
    assert run_module("vmware_snapshot_task_info", {})["tasks"][0]["next_run"] is None
    gone = run_module("vmware_snapshot_task", {"id": made["task"]["id"], "state": "absent"})
    assert gone["changed"] and not timer.exists() and not scene.engine.tasks.list_all()
    assert not run_module("vmware_snapshot_task", {"id": made["task"]["id"], "state": "absent"})["changed"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataset": "tank/nowhere"}, "The dataset 'tank/nowhere' does not exist"),
        ({"exclude": ["tank/other"], "recursive": True}, "exclude names 'tank/other'"),
        ({"vm_timeout": 999}, "longer than max_hold"),
        ({"naming_schema": "daily"}, "lacks %Y"),
        ({"schedule": {"month": "2", "dom": "30"}}, "never runs"),
        ({"schedule": {"minute": "*/15"}, "jitter": 900}, "runs of this schedule are 900 s apart"),
    ],
)
def test_a_task_that_cannot_be_meant_is_refused(scene: Scene, units: Path, options: dict[str, Any], said: str) -> None:
    answer = run_module("vmware_snapshot_task", {"dataset": scene.tree, **options})
    assert answer["failed"] and said in answer["msg"], answer
    assert not scene.engine.tasks.list_all() and len(list(units.iterdir())) == 1


def test_without_the_runtime_no_task_is_stored(scene: Scene, units: Path) -> None:
    next(units.iterdir()).unlink()
    answer = run_module("vmware_snapshot_task", {"dataset": scene.tree})
    assert answer["failed"] and "apply the role quiesce.vmware_zfs.runtime first" in answer["msg"]
    assert not scene.engine.tasks.list_all()
