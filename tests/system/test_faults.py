# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the faults that a run must survive. Each test verifies with the trace of the simulator that the fault occurred,
that no VMware snapshot of the engine is left, and that all other VMware snapshots are kept."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any, Callable

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    ConnectionFailed,
    RunFailed,
    SnapshotExists,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery import recover
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runs import run
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots import hold_run
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import endpoint_of
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.identity import NAME_PREFIX
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal_entries import UNCONSOLIDATED
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import sdk, tls, vm_snapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_snapshots import (
    start_create,
    start_remove,
)

from tests.lab.places import GUEST
from tests.lab.simulator import Simulator

from .conftest import StartVcenter, during_zfs
from .scene import (
    Scene,
    answer,
    calls,
    ended,
    foreign,
    levels,
    meanwhile,
    nfs,
    nodes,
    start_module,
    struck,
    vm_of,
)

CREATE = "CreateSnapshot.*"
REMOVE = "RemoveSnapshot_Task"
BEST = {"web": "filesystem", "db": "application", "app": "filesystem"}


def until(vcenter: Simulator, event: str, method: str = "", vm: str = "") -> Callable[[], Any]:
    """Return a step that waits for an event of a task, optionally of one VM."""
    return lambda: vcenter.wait_for(
        lambda entry: (
            entry.get("event") == event and method in ("", entry["method"]) and vm in ("", entry.get("vm_name"))
        )
    )


# ---- the guest cannot be quiesced


QUIESCE_FAILURES = {
    "typed": {"effect": "task_fault", "fault": "ApplicationQuiesceFault"},
    "half": {"effect": "half_snapshot", "fault": "ApplicationQuiesceFault"},
    "generic": {"effect": "task_fault", "fault": "FileFault", "message": "The guest failed during quiescing."},
    "generic-half": {"effect": "half_snapshot", "fault": "FileFault", "message": "The guest failed during quiescing."},
}


def start_failing(scene: Scene, start_vcenter: StartVcenter, **more: Any) -> Simulator:
    """Start a vCenter with one VM per quiesce failure and one working VM."""
    vms = [{"name": name} for name in ("well", *QUIESCE_FAILURES)]
    vcenter = start_vcenter(nfs("vmware", scene.tree, *vms))
    scene.enrol(vcenter)
    for name, failure in QUIESCE_FAILURES.items():
        vcenter.rule(method=CREATE, vm=name, **failure, **more)
    return vcenter


def test_a_failed_quiesce_goes_on_without(scene: Scene, start_vcenter: StartVcenter) -> None:
    vcenter = start_failing(scene, start_vcenter, count=1)
    result = scene.take()
    assert struck(vcenter, "task_fault") == struck(vcenter, "half_snapshot") == 2
    assert levels(result) == {"well": "filesystem", **{name: "crash" for name in QUIESCE_FAILURES}}
    assert (result["consistency"], result["complete"]) == ("crash", False)
    assert {vm["name"]: vm["level"] for vm in scene.record(result["zfs_snapshot"]).vms} == levels(result)
    for name, failure in QUIESCE_FAILURES.items():
        reason = vm_of(result, name)["reason"]
        assert "quiescing failed" in reason and failure.get("message", failure["fault"]) in reason
        tried = [entry for entry in ended(vcenter, "CreateSnapshot") if entry["vm_name"] == name]
        assert len(tried) == 2 and tried[1]["quiesced"] is False
        # The leftover of the failure was removed before the second snapshot, so that they did not become a chain.
        removed = [entry for entry in ended(vcenter, "RemoveSnapshot") if entry["vm_name"] == name]
        assert len(removed) == (2 if failure["effect"] == "half_snapshot" else 1)
    scene.assert_released(vcenter)


def test_a_failed_quiesce_is_skipped_or_fails_the_run(scene: Scene, start_vcenter: StartVcenter) -> None:
    vcenter = start_failing(scene, start_vcenter)
    result = scene.take(on_quiesce_failure="skip", on_vm_failure="fail")
    assert struck(vcenter, "task_fault") == struck(vcenter, "half_snapshot") == 2
    assert levels(result) == {"well": "filesystem", **{name: "crash" for name in QUIESCE_FAILURES}}
    scene.assert_released(vcenter)

    error = scene.fail(snapshot="refused", on_quiesce_failure="fail")
    assert struck(vcenter, "task_fault") + struck(vcenter, "half_snapshot") > 4
    assert "The VM '" in str(error) and "could not be quiesced" in str(error)
    assert "No ZFS snapshot was taken" in str(error) and "the VMs have been released" in str(error)
    assert not scene.exists(f"{scene.tree}@refused")
    scene.assert_released(vcenter)


def test_a_quiesce_that_vsphere_leaves_out_is_noticed_by_the_policy(
    scene: Scene, start_vcenter: StartVcenter, tree: str
) -> None:
    says_running = {"guest.toolsRunningStatus": "guestToolsRunning", "guest.guestFamily": "linuxGuest"}
    vcenter = start_vcenter(
        nfs("vmware", tree, {"name": "liar", "tools": "not_running", "properties": says_running}, {"name": "web"})
    )
    scene.enrol(vcenter)
    error = scene.fail(snapshot="left-out", on_quiesce_failure="fail")
    assert [entry["quiesced"] for entry in ended(vcenter, "CreateSnapshot") if entry["vm_name"] == "liar"] == [False]
    assert "the VM 'liar'" in str(error) and "without quiescing the guest" in str(error)
    assert not scene.exists(f"{tree}@left-out")
    scene.assert_released(vcenter)


def test_a_vm_that_cannot_be_quiesced_is_refused_before_anything_is_touched(
    scene: Scene, start_vcenter: StartVcenter, tree: str
) -> None:
    vcenter = start_vcenter(
        nfs(
            "vmware",
            tree,
            {"name": "web"},
            {"name": "mute", "tools": "not_installed"},
            {"name": "gpu", "pci_passthrough": True},
        )
    )
    scene.enrol(vcenter)
    for policy, name in (({"on_quiesce_failure": "fail"}, "mute"), ({"on_vm_failure": "fail"}, "gpu")):
        error = scene.fail(snapshot="never", **policy)
        assert f"The VM '{name}'" in str(error) and len(error.details["refusals"]) == 1
        assert scene.plan(snapshot="never", **policy)["refusals"] == error.details["refusals"]
    assert not ended(vcenter, "CreateSnapshot") and not scene.exists(f"{tree}@never")
    skipped = scene.take(on_quiesce_failure="skip")
    assert {entry["vm_name"] for entry in ended(vcenter, "CreateSnapshot")} == {"web"}
    assert levels(skipped)["mute"] == "crash"
    excluded = scene.take(on_quiesce_failure="fail", on_vm_failure="fail", exclude_vms=("mute", "gpu"))
    assert excluded["complete"] and excluded["consistency"] == "crash"  # as good as requested, and not better


# ---- the snapshot of a VM fails, hangs, or is lost


def test_a_snapshot_fault_lowers_its_vm_alone(scene: Scene, vcenter: Simulator) -> None:
    vcenter.rule(method=CREATE, vm="web", effect="task_fault", fault="FileLocked", message="a file is locked")
    vcenter.rule(method=CREATE, vm="app", effect="call_fault", fault="InvalidState")
    result = scene.take()
    assert struck(vcenter, "task_fault") == 1 and struck(vcenter, "call_fault") == 1
    assert levels(result) == {**BEST, "web": "crash", "app": "crash"}
    assert "a file is locked" in vm_of(result, "web")["reason"]
    scene.assert_released(vcenter)

    error = scene.fail(snapshot="one-fails", on_vm_failure="fail")
    assert "could not be snapshotted" in str(error) and not scene.exists(f"{scene.tree}@one-fails")
    scene.assert_released(vcenter)


def test_a_missing_privilege_is_named(scene: Scene, vcenter: Simulator) -> None:
    vcenter.deny("VirtualMachine.State.CreateSnapshot", "db")
    result = scene.take()
    assert levels(result) == {**BEST, "db": "crash"}
    assert "lacks the privilege VirtualMachine.State.CreateSnapshot" in vm_of(result, "db")["reason"]
    assert [entry["fault"] for entry in vcenter.trace() if entry.get("fault")] == ["NoPermission"]
    scene.assert_released(vcenter)


def test_a_vm_that_hangs_is_left_behind_and_released_when_it_wakes(scene: Scene, vcenter: Simulator) -> None:
    vcenter.rule(method=CREATE, vm="web", effect="task_hang")
    woken = meanwhile(until(vcenter, "finished", REMOVE), vcenter.release)
    result = scene.take(vm_timeout=1.0, max_hold=60.0)
    woken.join()
    assert struck(vcenter, "task_hang") == 1
    assert levels(result) == {**BEST, "web": "crash"}
    assert "not ready within 1 seconds" in vm_of(result, "web")["reason"]
    # The others were released while it was hanging. It was created after the ZFS snapshot and was also removed.
    late = next(entry for entry in ended(vcenter, "CreateSnapshot") if entry["vm_name"] == "web")
    assert "fault" not in late and late["time"] > ended(vcenter, "RemoveSnapshot")[0]["time"]
    scene.assert_released(vcenter)


def test_a_busy_vm_is_asked_again(scene: Scene, vcenter: Simulator) -> None:
    busy = {"effect": "task_fault", "fault": "TaskInProgress", "fields": {"Task": {"Type": "Task", "Value": "task-0"}}}
    vcenter.rule(method=CREATE, vm="web", count=2, **busy)
    vcenter.rule(method=REMOVE, vm="db", count=7, **busy)
    result = scene.take()
    assert struck(vcenter, "task_fault") == 9
    assert levels(result) == BEST and result["complete"]
    scene.assert_released(vcenter)


LOST_ANSWERS: dict[str, dict[str, Any]] = {
    "vanish-done": {"effect": "task_vanish"},
    "vanish-undone": {"effect": "task_vanish", "carried_out": False},
    "drop-before": {"effect": "drop_before"},
    "drop-after": {"effect": "drop_after"},
    "malformed": {"effect": "malformed"},
    "truncated": {"effect": "truncated"},
    "no-soap": {"effect": "http_status", "status": 502},
}


def strike_each(scene: Scene, vcenter: Simulator, method: str, faults: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Run a snapshot in which each VM has the fault in its name once."""
    rules = {vcenter.rule(method=method, vm=name, count=1, **fault): name for name, fault in faults.items()}
    result = scene.take()
    hit = [rules[entry["rule"]] for entry in vcenter.trace() if entry["kind"] == "call" and entry.get("rule")]
    assert sorted(hit) == sorted(faults)
    assert levels(result) == {name: "filesystem" for name in faults} and result["complete"]
    assert result["vmware_snapshots_left"] == 0 and scene.record(result["zfs_snapshot"]).complete
    assert {vm["reason"] for vm in result["vms"]} == {""}  # a recovered fault is not reported as a reason
    scene.assert_released(vcenter)
    return result


def test_a_creation_whose_answer_or_task_is_lost_is_looked_up(scene: Scene, start_vcenter: StartVcenter) -> None:
    lost = {name: fault for name, fault in LOST_ANSWERS.items() if name != "vanish-done"}
    vcenter = start_vcenter(nfs("vmware", scene.tree, *({"name": name} for name in lost)))
    scene.enrol(vcenter)
    result = strike_each(scene, vcenter, CREATE, lost)
    done = [*ended(vcenter, "CreateSnapshot"), *ended(vcenter, "CreateSnapshot", "vanished")]
    made = [entry["vm_name"] for entry in done if entry.get("snapshot") and not entry.get("fault")]
    assert sorted(made) == sorted(levels(result))  # each was created exactly once


@pytest.mark.parametrize("how", ["half a snapshot", "nobody knows"])
def test_a_snapshot_whose_creation_nobody_saw_succeed_is_crash(scene: Scene, vcenter: Simulator, how: str) -> None:
    if how == "half a snapshot":
        vcenter.rule(method=CREATE, vm="web", effect="drop_after", count=1)
        vcenter.rule(method=CREATE, vm="web", effect="half_snapshot", fault="SnapshotFault", count=1)
    else:
        vcenter.rule(method=CREATE, vm="web", effect="task_vanish", count=1)
    result = scene.take()
    assert levels(result) == {**BEST, "web": "crash"} and (result["consistency"], result["complete"]) == (
        "crash",
        False,
    )
    (web,) = (vm for vm in result["vms"] if vm["name"] == "web")
    assert "it is unknown whether its creation succeeded" in web["reason"] and web["vmware_snapshot_moid"]
    assert result["vmware_snapshots_left"] == 0
    scene.assert_released(vcenter)


# ---- the removal fails


FAILED_REMOVALS: dict[str, dict[str, Any]] = {
    "task-fault": {"effect": "task_fault", "fault": "GenericVmConfigFault"},
    "call-fault": {"effect": "call_fault", "fault": "InvalidState"},
    **LOST_ANSWERS,
}


def test_a_removal_that_fails_once_is_repeated(scene: Scene, start_vcenter: StartVcenter) -> None:
    vcenter = start_vcenter(nfs("vmware", scene.tree, *({"name": name} for name in FAILED_REMOVALS)))
    scene.enrol(vcenter)
    strike_each(scene, vcenter, REMOVE, FAILED_REMOVALS)


def test_a_removal_that_fails_for_good_is_reported_and_made_up_for_by_the_next_run(
    scene: Scene, vcenter: Simulator
) -> None:
    rule = vcenter.rule(method=REMOVE, vm="web", effect="task_fault", fault="FileLocked", message="a file is locked")
    error = scene.fail(snapshot="sticky")
    assert struck(vcenter, "task_fault") == 5
    assert isinstance(error, RunFailed) and "1 VMware snapshot could not be removed" in str(error)
    assert "of the VM 'web'" in str(error) and "a file is locked" in str(error)
    assert error.details["created"] and error.details["vmware_snapshots_left"] == 1
    assert scene.record(f"{scene.tree}@sticky").complete  # it was held longer than required
    left = [node["name"] for node in nodes(vcenter.snapshots()["web"])]
    assert left == [NAME_PREFIX + error.details["run_id"]]
    assert [entry.vm_name for entry in scene.engine.journal.open_entries()] == ["web"]

    vcenter.clear_rules(rule)
    result = scene.take()
    assert [item["vm"] for item in result["recovery"]["removed"]] == ["web"]
    assert levels(result) == BEST
    scene.assert_released(vcenter)


def test_disks_that_need_consolidation_are_consolidated(scene: Scene, vcenter: Simulator) -> None:
    vcenter.rule(method=REMOVE, vm="web", effect="needs_consolidation")
    result = scene.take()
    assert struck(vcenter, "needs_consolidation") == 1
    assert [entry["vm_name"] for entry in ended(vcenter, "ConsolidateVMDisks")] == ["web"]
    assert not any(machine["consolidation_needed"] for machine in vcenter.machines())
    assert levels(result) == BEST and vm_of(result, "web")["reason"] == ""

    vcenter.rule(method="ConsolidateVMDisks_Task", effect="task_fault", fault="FileLocked", message="a file is locked")
    result = scene.take()
    assert levels(result) == BEST and "need consolidation, which failed" in vm_of(result, "web")["reason"]
    assert [entry.state for entry in scene.engine.journal.open_entries()] == [UNCONSOLIDATED]

    result = scene.take()
    assert vm_of(result, "web")["level"] == "crash" and "a file is locked" in vm_of(result, "web")["reason"]
    vcenter.clear_rules()
    assert levels(scene.take()) == BEST
    assert not any(machine["consolidation_needed"] for machine in vcenter.machines())
    scene.assert_released(vcenter)


# ---- the session and the network


def test_a_session_that_ends_is_taken_up_again(scene: Scene, vcenter: Simulator) -> None:
    for method in (CREATE, REMOVE, "WaitForUpdatesEx", "RetrievePropertiesEx"):
        vcenter.rule(method=method, effect="call_fault", fault="NotAuthenticated", count=1)
    result = scene.take()
    assert struck(vcenter, "call_fault") == 4 and calls(vcenter)["Login"] == 5
    assert levels(result) == BEST and result["complete"]
    scene.assert_released(vcenter)


def test_sessions_that_all_expire_while_vms_are_held(scene: Scene, vcenter: Simulator, before_zfs: Any) -> None:
    event = during_zfs(before_zfs, vcenter.expire_sessions)
    result = scene.take()
    event.join()
    assert "NotAuthenticated" in {entry.get("fault") for entry in vcenter.trace()}
    assert levels(result) == BEST and result["complete"]
    scene.assert_released(vcenter)


def test_a_wait_that_is_cut_is_taken_up_again(
    scene: Scene, vcenter: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects = ("drop_before", "drop_after", "malformed", "truncated")
    quiesce = hold_run.HoldRun._quiesce

    def quiesce_badly(self: hold_run.HoldRun) -> None:
        for effect in effects:
            vcenter.rule(method="WaitForUpdatesEx|CreateFilter|CreatePropertyCollector", effect=effect, count=2)
        quiesce(self)

    monkeypatch.setattr(hold_run.HoldRun, "_quiesce", quiesce_badly)
    result = scene.take()
    assert [struck(vcenter, effect) for effect in effects] == [2, 2, 2, 2]
    assert levels(result) == BEST and result["complete"]
    scene.assert_released(vcenter)


def test_a_server_that_dies_while_it_releases_is_waited_for(
    scene: Scene, start_vcenter: StartVcenter, tree: str
) -> None:
    vms = nfs("vmware", tree, {"name": "web"}, {"name": "app"})
    vcenter = start_vcenter(vms, state=True, remove_seconds=1.0)
    scene.enrol(vcenter)
    back = threading.Timer(8.0, vcenter.restart)
    event = meanwhile(until(vcenter, "started", REMOVE), vcenter.kill, back.start)
    result = scene.take(vm_timeout=60.0, max_hold=120.0)
    event.join()
    assert vcenter.running
    assert levels(result) == {"web": "filesystem", "app": "filesystem"} and result["complete"]
    assert min(vm["hold_seconds"] for vm in result["vms"]) > 8.0  # longer than the rejections of a responding server
    scene.assert_released(vcenter)


def test_a_server_that_is_down_lowers_the_record_or_forbids_the_run(
    scene: Scene, vcenter: Simulator, start_vcenter: StartVcenter, tree: str
) -> None:
    away = start_vcenter(nfs("vmware", tree, {"name": "lost"}))
    scene.enrol(away)
    away.kill()
    result = scene.take()
    assert levels(result) == BEST and (result["consistency"], result["complete"]) == ("crash", False)
    assert len(result["problems"]) == 1 and f"{away.host}:{away.port} could not be reached" in result["problems"][0]
    record = scene.record(result["zfs_snapshot"])
    assert (record.consistency, record.complete, record.problems) == ("crash", False, result["problems"])

    error = scene.fail(snapshot="one-down", on_vm_failure="fail")
    assert "could not be reached" in str(error) and not scene.exists(f"{tree}@one-down")
    scene.assert_released(vcenter)


def test_a_server_that_falls_silent_keeps_nobody_elses_vms(
    scene: Scene, vcenter: Simulator, start_vcenter: StartVcenter, tree: str
) -> None:
    silent = start_vcenter(nfs("vmware", tree, {"name": "lost"}))
    scene.enrol(silent)
    rule = silent.rule(method=CREATE, effect="black_hole")
    freed = meanwhile(until(vcenter, "finished", REMOVE), silent.clear_rules)
    result = scene.take(vm_timeout=3.0, max_hold=30.0)
    freed.join()
    assert rule and struck(silent, "black_hole") >= 1
    assert levels(result) == {**BEST, "lost": "crash"} and result["consistency"] == "crash"
    assert max(vm_of(result, name)["hold_seconds"] for name in BEST) < 25.0
    scene.assert_released(vcenter, silent)


# ---- connections


def test_no_creation_waits_for_a_handshake(scene: Scene, vcenter: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake takes at least as long as a call, so all handshakes are done before the first VM is held."""
    asked: list[str] = []
    late: list[str] = []
    create, wrap = vm_snapshots.start_create, tls.VerifyingContext.wrap_socket

    def note_creation(session: Any, vm: str, *arguments: Any) -> str:
        asked.append(vm)
        return create(session, vm, *arguments)

    def note_handshake(self: Any, *arguments: Any, **options: Any) -> Any:
        late.extend(asked[:1])
        return wrap(self, *arguments, **options)

    monkeypatch.setattr(vm_snapshots, "start_create", note_creation)
    monkeypatch.setattr(tls.VerifyingContext, "wrap_socket", note_handshake)
    assert levels(scene.take()) == BEST
    assert len(asked) > 1 and late == []


def test_a_server_that_is_away_is_reported_by_the_call_that_needs_it(scene: Scene, vcenter: Simulator) -> None:
    session = scene.engine.connect(*login(scene))
    vcenter.kill()
    session.stub.DropConnections()
    session.open_connections(8)
    with pytest.raises(ConnectionFailed, match="could not be reached to ask the time"):
        clock = session.managed_object(sdk.vim.ServiceInstance, "ServiceInstance")
        session.call("ask the time", clock.CurrentTime)
    session.close()


# ---- others work on the same VMs


def test_a_foreign_snapshot_on_top_survives(
    scene: Scene, start_vcenter: StartVcenter, tree: str, before_zfs: Any
) -> None:
    vcenter = start_vcenter(nfs("vmware", tree, {"name": "web", "snapshots": 2}))
    scene.enrol(vcenter)
    moid = vcenter.machines()[0]["moid"]
    session = scene.engine.connect(*login(scene))

    def administrator() -> None:
        start_create(session, moid, "by hand", "", False, 60.0)
        vcenter.wait_for(lambda entry: entry.get("event") == "finished" and len(ended(vcenter, "CreateSnapshot")) == 2)

    event = during_zfs(before_zfs, administrator)
    result = scene.take()
    event.join()
    session.close()
    assert levels(result) == {"web": "filesystem"}
    assert foreign(vcenter) == {"web": ["before-upgrade-1", "before-upgrade-2", "by hand"]}
    scene.assert_released(vcenter)


def login(scene: Scene) -> Any:
    """Return the login of the only credential of the engine."""
    credential = scene.engine.credentials.list_all()[0]
    return endpoint_of(credential), credential.username, scene.engine.credentials.password(credential)


def remove_ours(scene: Scene, vcenter: Simulator, vm: str) -> None:
    """Remove the VMware snapshot of a VM as another user."""
    with scene.engine.connect(*login(scene)) as session:
        node = next(nodes(vcenter.snapshots()[vm]))
        start_remove(session, node["moid"])
        vcenter.wait_for(lambda entry: entry.get("event") == "finished" and entry["method"] == REMOVE)


def test_somebody_removes_ours_before_the_last_look(scene: Scene, vcenter: Simulator) -> None:
    vcenter.rule(method=CREATE, vm="app", effect="task_hang")
    other = meanwhile(
        lambda: vcenter.wait_for(lambda entry: entry.get("event") == "finished" and entry["vm_name"] == "web"),
        lambda: remove_ours(scene, vcenter, "web"),
        vcenter.release,
    )
    result = scene.take()
    other.join()
    assert levels(result) == {**BEST, "web": "crash"}
    assert vm_of(result, "web")["reason"] == "its VMware snapshot was gone before the ZFS snapshot was taken"
    assert scene.record(result["zfs_snapshot"]).consistency == "crash"
    scene.assert_released(vcenter)


def test_somebody_removes_ours_between_the_last_look_and_the_zfs_snapshot(
    scene: Scene, vcenter: Simulator, before_zfs: Any
) -> None:
    event = during_zfs(before_zfs, lambda: remove_ours(scene, vcenter, "web"))
    result = scene.take()
    event.join()
    assert levels(result) == {**BEST, "web": "crash"}
    record = scene.record(result["zfs_snapshot"])
    assert (record.consistency, record.complete) == ("crash", False)
    assert {vm["name"]: vm["level"] for vm in record.vms} == levels(result)
    assert record.problems == [
        "The VM 'web': its VMware snapshot was removed during the run by another user or product"
    ]
    assert result["problems"] == record.problems
    scene.assert_released(vcenter)


@pytest.mark.parametrize("when", ["before the last look", "after it"])
def test_what_vcenter_lost_sight_of_during_the_run_is_crash(
    scene: Scene, vcenter: Simulator, before_zfs: Any, when: str
) -> None:
    """vCenter then shows a cached snapshot tree."""

    def lose() -> None:
        vcenter.vm("web", properties={"runtime.connectionState": "disconnected"})

    if when == "after it":
        event = during_zfs(before_zfs, lose)
    else:
        vcenter.rule(method=CREATE, vm="app", effect="task_hang")
        event = meanwhile(until(vcenter, "finished", vm="web"), lose, vcenter.release)
    error = scene.fail()  # because the removal of its VMware snapshot cannot be verified either
    event.join()
    result = error.details
    assert levels(result) == {**BEST, "web": "crash"} and not result["complete"]
    assert "no longer connected to vCenter" in vm_of(result, "web")["reason"]
    assert {vm["name"]: vm["level"] for vm in scene.record(result["zfs_snapshot"]).vms} == levels(result)
    vcenter.vm("web", properties={})
    recover.recover(scene.engine)
    scene.assert_released(vcenter)


@pytest.mark.parametrize("watcher", ["gone", "stopped"])
def test_who_watches_keeps_no_vm_on_hold(scene: Scene, vcenter: Simulator, watcher: str) -> None:
    """Examples: `vmware-zfs run 1 | head -1`, a broken SSH connection, a terminal after Ctrl-S."""
    go_on = threading.Event()
    told: list[str] = []

    def report(step: str) -> None:
        told.append(step)
        if watcher == "stopped":
            go_on.wait()
        raise BrokenPipeError

    with open_engine(scene.paths, report=report, connect=scene.engine.connect) as engine:
        result = run.execute(engine, scene.request()).as_dict()
        scene.assert_released(vcenter)
    assert levels(result) == BEST and told
    go_on.set()


@pytest.mark.parametrize("when", ["before the last look", "after it"])
def test_a_vm_that_is_powered_on_during_the_run_is_crash(
    scene: Scene, start_vcenter: StartVcenter, tree: str, before_zfs: Any, when: str
) -> None:
    vcenter = start_vcenter(nfs("vmware", tree, {"name": "web"}, {"name": "sleeper", "power": "off"}))
    scene.enrol(vcenter)

    def power_on() -> None:
        vcenter.vm("sleeper", power="on")

    if when == "after it":
        event = during_zfs(before_zfs, power_on)
    else:
        vcenter.rule(method=CREATE, vm="web", effect="task_hang")
        event = meanwhile(until(vcenter, "started", vm="web"), power_on, vcenter.release)
    result = scene.take()
    event.join()
    assert levels(result) == {"web": "filesystem", "sleeper": "crash"}
    assert vm_of(result, "sleeper")["reason"] == "it was powered on during the run"
    record = scene.record(result["zfs_snapshot"])
    assert (record.consistency, record.complete) == ("crash", False)
    assert {vm["name"]: vm["level"] for vm in record.vms} == levels(result)
    scene.assert_released(vcenter)


def test_a_vm_that_is_registered_during_the_run_lowers_the_whole(scene: Scene, vcenter: Simulator) -> None:
    vcenter.rule(method=CREATE, vm="web", effect="task_hang", count=1)
    event = meanwhile(
        until(vcenter, "started", vm="web"), lambda: vcenter.register("vmware", name="newcomer"), vcenter.release
    )
    result = scene.take()
    event.join()
    assert levels(result) == BEST and (result["consistency"], result["complete"]) == ("crash", False)
    assert "1 running VM appeared on the datastores" in result["problems"][0]
    assert scene.record(result["zfs_snapshot"]).problems == result["problems"]
    scene.assert_released(vcenter)


def test_a_vm_that_moves_to_another_host_while_it_is_held(scene: Scene, vcenter: Simulator, before_zfs: Any) -> None:
    where = {machine["name"]: machine["host"] for machine in vcenter.machines()}
    elsewhere = next(host for host in ("DC0_C0_H0", "DC0_C0_H1") if host != where["web"])
    event = during_zfs(before_zfs, lambda: vcenter.vm("web", host=elsewhere, name="renamed"))
    result = scene.take()
    event.join()
    assert {machine["name"]: machine["host"] for machine in vcenter.machines()}["renamed"] == elsewhere
    assert levels(result) == BEST and result["complete"]
    scene.assert_released(vcenter)


def test_a_vm_that_is_registered_again_while_it_is_held(scene: Scene, vcenter: Simulator, before_zfs: Any) -> None:
    event = during_zfs(before_zfs, lambda: (vcenter.unregister("web"), vcenter.register_again("web")))
    result = scene.take()
    event.join()
    assert set(levels(result)) == set(BEST)
    scene.assert_released(vcenter)


# ---- ZFS refuses


def test_zfs_refuses_and_the_vms_are_released(scene: Scene, vcenter: Simulator, before_zfs: Any) -> None:
    before_zfs('[ "$1" = snapshot ] && { echo "cannot create snapshots : out of space" >&2; exit 1; }\nexec $zfs "$@"')
    error = scene.fail(snapshot="no-room")
    assert "No ZFS snapshot was taken: 'zfs snapshot' failed: cannot create snapshots : out of space" in str(error)
    assert "the VMs have been released" in str(error)
    assert len(ended(vcenter, "CreateSnapshot")) == len(ended(vcenter, "RemoveSnapshot")) == 3
    assert (error.details["created"], error.details["consistency"]) == (False, None)
    scene.assert_released(vcenter)


def test_zfs_that_is_killed_may_have_taken_it_and_a_listing_shows_that(
    scene: Scene, vcenter: Simulator, before_zfs: Any
) -> None:
    before_zfs('[ "$1" = snapshot ] && { $zfs "$@"; kill -9 $$; }\nexec $zfs "$@"')
    assert levels(scene.take(snapshot="seen")) == BEST and scene.record(f"{scene.tree}@seen").complete
    before_zfs('[ "$1" = snapshot ] && kill -9 $$\nexec $zfs "$@"')
    error = scene.fail(snapshot="not-taken")
    assert "No ZFS snapshot was taken: 'zfs snapshot' was killed by signal 9" in str(error)
    assert not scene.exists(f"{scene.tree}@not-taken")
    scene.assert_released(vcenter)


def test_a_name_that_is_taken(scene: Scene, vcenter: Simulator, tree: str, before_zfs: Any) -> None:
    scene.engine.zfs.run("snapshot", f"{tree}@by-hand", f"{tree}/nested@in-part")
    for name, said in (("by-hand", "has no consistency record"), ("in-part", "is missing on 3 of")):
        error = scene.fail(snapshot=name, recursive=name == "in-part")
        assert isinstance(error, SnapshotExists) and said in str(error) and "choose another name" in str(error)
    assert vcenter.trace() == []
    # Another process uses the name between the first check and the snapshot.
    event = during_zfs(before_zfs, lambda: scene_zfs(scene, f"{tree}/ds1@race"))
    error = scene.fail(snapshot="race", recursive=True)
    event.join()
    assert "dataset already exists" in str(error) and not scene.exists(f"{tree}@race", f"{tree}/nested@race")
    scene.assert_released(vcenter)


def scene_zfs(scene: Scene, snapshot: str) -> None:
    type(scene.engine.zfs)("zfs").run("snapshot", snapshot)


def test_max_hold_releases_the_vms_without_a_zfs_snapshot(scene: Scene, vcenter: Simulator) -> None:
    vcenter.rule(method=CREATE, vm="web", effect="task_slow", seconds=6)
    started = time.monotonic()
    error = scene.fail(snapshot="too-slow", vm_timeout=3.0, max_hold=3.0)
    assert struck(vcenter, "task_slow") == 1 and time.monotonic() - started < 20
    assert "the VMs were not ready within max_hold (3 seconds)" in str(error)
    assert not scene.exists(f"{scene.tree}@too-slow")
    # The others were removed immediately. The slow one was created later, after the run had stopped waiting.
    assert "1 VMware snapshot could not be removed" in str(error) and "its creation is still running" in str(error)
    assert [entry.vm_name for entry in scene.engine.journal.open_entries()] == ["web"]
    vcenter.wait_for(lambda entry: entry.get("event") == "finished" and entry["vm_name"] == "web")
    result = scene.take()
    assert [item["vm"] for item in result["recovery"]["removed"]] == ["web"]
    scene.assert_released(vcenter)


def test_a_zfs_that_hangs_does_not_keep_the_vms(scene: Scene, vcenter: Simulator, before_zfs: Any) -> None:
    before_zfs('[ "$1" = snapshot ] && exec sleep 600\nexec $zfs "$@"')
    error = scene.fail(vm_timeout=4.0, max_hold=4.0)
    assert "'zfs snapshot' did not end within" in str(error) and "the VMs have been released" in str(error)
    assert len(ended(vcenter, "RemoveSnapshot")) == 3
    scene.assert_released(vcenter)


# ---- the run is stopped


@pytest.mark.parametrize(
    ("number", "when"), [(signal.SIGTERM, "creating"), (signal.SIGINT, "creating"), (signal.SIGTERM, "removing")]
)
def test_a_signal_ends_the_run_after_it_has_released_everything(
    scene: Scene, start_vcenter: StartVcenter, tree: str, number: signal.Signals, when: str
) -> None:
    vcenter = start_vcenter(nfs("vmware", tree, {"name": "web", "count": 4}), create_seconds=0.5, remove_seconds=0.5)
    scene.enrol(vcenter)
    name = f"signal-{number}-{when}"
    options = {"dataset": tree, "name": name, "aliases": [GUEST], "limit_per_vcenter": 2}
    process = start_module("vmware_coordinated_snapshot", options)
    method = "CreateSnapshotEx_Task" if when == "creating" else REMOVE
    vcenter.wait_for(lambda entry: entry.get("event") == "finished" and entry["method"] == method)
    os.kill(process.pid, number)
    result = answer(process)
    if when == "creating":
        assert result["failed"] and f"it was interrupted by {number.name}" in result["msg"]
        assert "the VMs have been released" in result["msg"] and not scene.exists(f"{tree}@{name}")
        assert len(ended(vcenter, "CreateSnapshot")) < 4 + 1
    else:
        assert result["created"] and scene.record(f"{tree}@{name}").complete
    scene.assert_released(vcenter)
