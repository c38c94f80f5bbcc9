# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the records on real ZFS: they contain only proven levels and apply only to their snapshot.

Records of VMs that move are tested in tests/scenarios with ZFS in memory.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import RegistryError, SnapshotExists
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery import recover
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import SnapshotTask
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import turn as turns

from tests.lab.simulator import Simulator

from .conftest import during_zfs
from .scene import Scene, levels

BEST = {"web": "filesystem", "db": "application", "app": "filesystem"}
PREFIX = "quiesce.vmware_zfs:"


def properties(scene: Scene, name: str) -> dict[str, str]:
    """Return the properties of this project on a ZFS snapshot."""
    rows = scene.engine.zfs.rows("get", "-H", "-p", "-s", "local", "-o", "property,value", "all", name)
    return {key.removeprefix(PREFIX): value for key, value in rows if key.startswith(PREFIX)}


# ---- The seal


def test_a_record_that_cannot_be_written_fails_the_run_and_is_written_by_the_next(
    scene: Scene, vcenter: Simulator, before_zfs: Any
) -> None:
    before_zfs('[ "$1" = program ] && { echo "pool I/O is suspended" >&2; exit 1; }\nexec $zfs "$@"')
    error = scene.fail(snapshot="unsealed")
    name = f"{scene.tree}@unsealed"
    assert f"The record of 1 ZFS snapshot could not be written, for example of {name}: 'zfs program' failed" in str(
        error
    )
    assert "the VMs have been released; it reads as crash until a recovery writes the record" in str(error)
    assert (error.details["created"], error.details["consistency"], error.details["complete"]) == (True, "crash", False)
    assert levels(error.details) == dict.fromkeys(BEST, "crash")
    record = scene.record(name)
    assert (record.sealed, record.consistency, record.complete, record.vms) == (False, "crash", False, [])
    assert properties(scene, name).keys() == {"run", "host", "consistency", "complete"}
    scene.assert_released(vcenter)

    scene.engine.zfs.binary = "zfs"
    result = scene.take()
    assert result["recovery"]["sealed"] == [name] and result["recovery"]["lowered"] == []
    record = scene.record(name)
    assert record.sealed and record.complete and {vm["name"]: vm["level"] for vm in record.vms} == BEST
    assert scene.take()["recovery"]["sealed"] == []


@pytest.mark.parametrize("what", ["destroyed", "renamed", "recreated", "recreated with its properties"])
def test_the_seal_touches_no_other_snapshot(scene: Scene, vcenter: Simulator, before_zfs: Any, what: str) -> None:
    name = f"{scene.tree}@other"
    change = {
        "destroyed": f"$zfs destroy {name}",
        "renamed": f"$zfs rename {name} {name}-2",
        "recreated": f"$zfs destroy {name}; $zfs snapshot {name}",
        "recreated with its properties": (
            f"run=$($zfs get -H -o value {PREFIX}run {name}); $zfs destroy {name}; $zfs snapshot"
            f" -o {PREFIX}run=$run -o {PREFIX}consistency=crash -o {PREFIX}complete=no {name}"
        ),
    }[what]
    before_zfs(f'[ "$1" = program ] && {{ {change}; }}\nexec $zfs "$@"')
    error = scene.fail(snapshot="other")
    assert f"The ZFS snapshot {name} has no record: it was destroyed, renamed or replaced" in str(error)
    scene.engine.zfs.binary = "zfs"
    assert scene.engine.journal.unsealed_runs() == []
    for left in (name, f"{name}-2"):
        if scene.exists(left):
            said = properties(scene, left)
            assert "sealed" not in said and said.get("consistency", "crash") == "crash"
    scene.engine.zfs.run("destroy", f"{name}-2" if what == "renamed" else name) if what != "destroyed" else None
    scene.assert_released(vcenter)


def test_a_journal_that_cannot_be_written_does_not_keep_a_run_from_sealing(
    scene: Scene, vcenter: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise RegistryError("The state database is locked by another process", "Try again")

    monkeypatch.setattr(Journal, "keep_seals", refuse)
    result = scene.take()
    assert levels(result) == BEST and result["complete"] and scene.record(result["zfs_snapshot"]).complete
    assert len(result["problems"]) == 1
    assert result["problems"][0].startswith("The records were set, but could not be written to the journal: The state")


def test_a_zfs_snapshot_that_is_first_seen_after_the_release_stays_crash(
    scene: Scene, vcenter: Simulator, before_zfs: Any
) -> None:
    take = 'until [ -e go ]; do sleep 0.1; done; exec $zfs "$@"'
    folder = before_zfs(f'[ "$1" = snapshot ] && {{ ( {take} ) & sleep 60; }}\nexec $zfs "$@"')
    error = scene.fail(snapshot="late", vm_timeout=3.0, max_hold=6.0)
    assert "No ZFS snapshot was taken: 'zfs snapshot' did not end within" in str(error)
    scene.assert_released(vcenter)
    scene.engine.zfs.binary = "zfs"
    (folder / "go").touch()
    deadline = time.monotonic() + 30
    while not scene.exists(f"{scene.tree}@late"):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    recover.recover(scene.engine)
    record = scene.record(f"{scene.tree}@late")
    assert (record.sealed, record.consistency, record.complete) == (False, "crash", False)


# ---- Policies


def test_what_the_second_look_shows_is_destroyed_where_the_policy_forbids_it(
    scene: Scene, vcenter: Simulator, before_zfs: Any
) -> None:
    event = during_zfs(before_zfs, lambda: vcenter.vm("web", disks=[]))
    error = scene.fail(snapshot="refused", on_vm_failure="fail")
    event.join()
    said = "The ZFS snapshot was destroyed again, because the policy does not allow its record: the VM 'web'"
    assert said in str(error) and "one of its disks was removed during the run" in str(error)
    assert not scene.exists(f"{scene.tree}@refused") and scene.engine.journal.unsealed_runs() == []
    assert (error.details["created"], error.details["consistency"], error.details["complete"]) == (False, None, False)
    scene.assert_released(vcenter)


def test_an_existing_snapshot_is_judged_by_the_policy(scene: Scene, vcenter: Simulator) -> None:
    scene.take(snapshot="good")
    assert not scene.take(snapshot="good", on_vm_failure="fail", on_quiesce_failure="fail")["created"]
    vcenter.vm("web", tools="not_running")
    scene.take(snapshot="poor")
    vcenter.vm("web", tools="running")
    assert scene.take(snapshot="poor", on_vm_failure="fail")["consistency"] == "crash"  # only for VM failures
    for error in (scene.fail(snapshot="poor", on_quiesce_failure="fail"),):
        assert isinstance(error, SnapshotExists) and "the policy does not allow its record (crash)" in str(error)
    scene.engine.zfs.run("snapshot", "-o", f"{PREFIX}run=20260131T020000-1f2e3d4c", f"{scene.tree}@bare")
    assert scene.take(snapshot="bare")["consistency"] == "crash"
    assert "its record is not complete" in str(scene.fail(snapshot="bare", on_vm_failure="fail"))


def test_a_snapshot_without_vmware_says_so_and_takes_the_lock(scene: Scene) -> None:
    task = scene.engine.tasks.insert(
        SnapshotTask("").merged({"dataset": scene.tree, "vmware_sync": False, "naming_schema": "plain-%s"})
    )
    with scene.engine.locks.run("another", scene.tree, 1.0), pytest.raises(Exception, match="run another"):
        turns.take_turn(scene.engine, SnapshotTask(**{**task.__dict__, "lock_timeout": 0.2})).require_success()
    name = turns.take_turn(scene.engine, task).require_success().as_dict()["snapshot"]["zfs_snapshot"]
    assert properties(scene, name)["mode"] == "plain" and "sealed" not in properties(scene, name)
    record = scene.record(name)
    assert (record.consistency, record.complete) == ("crash", False)
    assert record.problems == ["taken without VMware (vmware_sync is false)"]
