# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test vmware_snapshot_recover after runs that were killed while they held VMs."""

from __future__ import annotations

import threading
from itertools import count
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery import recover
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.creation import Creation
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import endpoint_of
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.identity import NAME_PREFIX, description
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal_entries import (
    ABSENT,
    CREATED,
    INTENDED,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import Session
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_snapshots import start_create
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.snapshots import create

from tests import records_v1
from tests.lab.places import GUEST
from tests.lab.simulator import Simulator

from .conftest import StartVcenter
from .scene import Scene, answer, calls, foreign, nfs, nodes, run_module, start_module, vm_of

RECOVER = "vmware_snapshot_recover"
SOON = {"connect_timeout": 2.0, "call_timeout": 3.0}
_numbers = count(1)


def finished(vcenter: Simulator, method: str, vm: str) -> None:
    vcenter.wait_for(
        lambda entry: (
            entry["method"].startswith(method) and (entry.get("event"), entry.get("vm_name")) == ("finished", vm)
        ),
        seconds=90,
    )


def start_run(scene: Scene, name: str) -> Any:
    options = {"dataset": scene.tree, "name": name, "aliases": [GUEST], **SOON}
    return start_module("vmware_coordinated_snapshot", options)


def kill_run(scene: Scene, vcenter: Simulator) -> str:
    """Kill a run while it holds two VMs and creates the snapshot of the third one.

    Return the planned name of its ZFS snapshot.
    """
    name = f"killed-{next(_numbers)}"
    vcenter.clear_trace()
    vcenter.rule(method="CreateSnapshot.*", vm="app", effect="task_hang", count=1)
    process = start_run(scene, name)
    for vm in ("web", "db"):
        finished(vcenter, "CreateSnapshot", vm)
    vcenter.wait_for(lambda entry: (entry.get("event"), entry.get("vm_name")) == ("started", "app"))
    process.kill()
    process.communicate()
    vcenter.release()
    finished(vcenter, "CreateSnapshot", "app")
    return name


def ours(vcenter: Simulator) -> list[str]:
    """Return the VMs with a VMware snapshot of the engine."""
    return sorted(
        vm
        for vm, trees in vcenter.snapshots().items()
        if any(node["name"].startswith(NAME_PREFIX) for node in nodes(trees))
    )


def let_time_pass(scene: Scene, since: str = "2020-01-01") -> None:
    """Make the entries of the journal old."""
    with scene.engine.journal._database.transaction() as connection:
        connection.execute("UPDATE vm_snapshot SET changed = ?", (f"{since}T00:00:00.000+00:00",))


def names(result: dict[str, Any], what: str) -> list[str]:
    return sorted(item["vm"] for item in result[what])


@pytest.fixture
def session(scene: Scene, vcenter: Simulator) -> Iterator[Session]:
    """Return a session of another user."""
    credential = scene.engine.credentials.list_all()[0]
    with scene.engine.connect(endpoint_of(credential), vcenter.user, Secret(vcenter.password)) as opened:
        yield opened


def take(session: Session, vcenter: Simulator, vm: str, name: str, description: str = "") -> None:
    """Take a VMware snapshot as another user."""
    task = start_create(session, {m["name"]: m["moid"] for m in vcenter.machines()}[vm], name, description, False, 60)
    vcenter.wait_for(lambda entry: (entry.get("event"), entry.get("task")) == ("finished", task))


def test_what_a_killed_run_left_is_listed_removed_and_then_no_more(scene: Scene, vcenter: Simulator) -> None:
    kill_run(scene, vcenter)
    assert ours(vcenter) == ["app", "db", "web"]
    listed = run_module(RECOVER, SOON, check=True)
    assert listed["changed"] and names(listed, "removed") == ["app", "db", "web"] == ours(vcenter)
    removed = run_module(RECOVER, SOON)
    assert removed["changed"] and names(removed, "removed") == names(listed, "removed") and ours(vcenter) == []
    assert {item["vmware_snapshot"] for item in removed["removed"]} == {
        item["vmware_snapshot"] for item in listed["removed"]
    }
    again = run_module(RECOVER, SOON)
    assert not again["changed"] and again["removed"] == again["left"] == []
    assert calls(vcenter)["RemoveSnapshot_Task"] == 3


def test_the_next_run_recovers_first_also_when_its_snapshot_is_there(scene: Scene, vcenter: Simulator) -> None:
    done = scene.take(snapshot="one")
    kill_run(scene, vcenter)
    result = scene.take(snapshot="one")
    assert not result["created"] and result["run_id"] == done["run_id"] and ours(vcenter) == []
    kill_run(scene, vcenter)
    result = scene.take(snapshot="four")
    assert result["created"] and names(result["recovery"], "removed") == ["app", "db", "web"] and ours(vcenter) == []


def test_a_scan_finds_what_a_lost_database_knew(scene: Scene, vcenter: Simulator) -> None:
    kill_run(scene, vcenter)
    with scene.engine.journal._database.transaction() as connection:  # simulates a lost journal
        connection.execute("DELETE FROM vm_snapshot")
        connection.execute("DELETE FROM run")
    without = run_module(RECOVER, SOON)
    assert not without["changed"] and ours(vcenter) == ["app", "db", "web"]
    listed = run_module(RECOVER, {**SOON, "scan": True}, check=True)
    assert names(listed, "removed") == ["app", "db", "web"] and scene.engine.journal.open_entries() == []
    found = run_module(RECOVER, {**SOON, "scan": True})
    assert found["changed"] and names(found, "removed") == ["app", "db", "web"] and ours(vcenter) == []


def test_a_run_that_is_alive_is_left_alone(scene: Scene, vcenter: Simulator) -> None:
    vcenter.rule(method="CreateSnapshot.*", vm="app", effect="task_hang", count=1)
    process = start_run(scene, "alive")
    for vm in ("web", "db"):
        finished(vcenter, "CreateSnapshot", vm)
    assert ours(vcenter) == ["db", "web"]
    for options in (SOON, {**SOON, "scan": True}):
        result = run_module(RECOVER, options)
        assert not result["changed"] and result["removed"] == result["left"] == []
    assert ours(vcenter) == ["db", "web"]
    vcenter.release()
    done = answer(process)
    assert done["created"] and done["consistency"] == "filesystem" and ours(vcenter) == []


def test_other_peoples_snapshots_stay(scene: Scene, vcenter: Simulator, session: Session) -> None:
    kill_run(scene, vcenter)
    run = scene.engine.journal.open_entries()[0].run
    take(session, vcenter, "web", "backup on top")
    take(session, vcenter, "web", "another on top")
    take(session, vcenter, "db", f"{NAME_PREFIX}{run}", "made by hand, without our mark")
    take(session, vcenter, "app", f"{NAME_PREFIX}{run}9", f"[vmware-zfs host=0123456789ab run={run}9 snapshot=a@b]")
    stranger = [node for node in nodes(vcenter.snapshots()["app"]) if node["name"] == f"{NAME_PREFIX}{run}9"]
    result = run_module(RECOVER, {**SOON, "scan": True})
    assert names(result, "removed") == ["app", "db", "web"]
    (top,) = vcenter.snapshots()["web"]
    assert top["name"] == "backup on top" and [child["name"] for child in top["children"]] == ["another on top"]
    assert [node["moid"] for node in nodes(vcenter.snapshots()["app"])] == [stranger[0]["moid"]]
    assert scene.engine.host.id != "0123456789ab"


def test_a_managed_object_id_that_is_another_ones_by_now_is_not_trusted(
    scene: Scene, vcenter: Simulator, session: Session
) -> None:
    """The vCenter was installed again. Its IDs start again, so that the IDs in the journal belong to other VMs."""
    take(session, vcenter, "web", "precious")
    moids = {machine["name"]: machine["moid"] for machine in vcenter.machines()}
    (precious,) = nodes(vcenter.snapshots()["web"])
    kill_run(scene, vcenter)
    with scene.engine.journal._database.transaction() as connection:
        connection.execute(
            "UPDATE vm_snapshot SET snapshot = ?, vm = ?, state = ? WHERE vm_name = 'db'",
            (precious["moid"], moids["web"], CREATED),
        )
    result = run_module(RECOVER, SOON)
    assert names(result, "removed") == ["app", "db", "web"] and ours(vcenter) == []
    assert foreign(vcenter)["web"] == ["precious"]


def test_vms_that_moved_were_renamed_or_registered_anew_are_followed(scene: Scene, vcenter: Simulator) -> None:
    kill_run(scene, vcenter)
    where = {machine["name"]: machine["host"] for machine in vcenter.machines()}
    vcenter.vm("web", host=next(host for host in ("DC0_C0_H0", "DC0_C0_H1") if host != where["web"]))
    vcenter.vm("web", name="renamed")
    vcenter.unregister("db")
    vcenter.register_again("db")
    listed = run_module(RECOVER, SOON, check=True)
    assert names(listed, "removed") == ["app", "db", "web"]
    result = run_module(RECOVER, SOON)
    assert names(result, "removed") == ["app", "db", "web"] and ours(vcenter) == []


@pytest.mark.parametrize("comes_back", ["soon", "late"])
def test_a_vm_that_is_gone_is_accepted_and_may_come_back(scene: Scene, vcenter: Simulator, comes_back: str) -> None:
    kill_run(scene, vcenter)
    vcenter.unregister("db")
    result = run_module(RECOVER, SOON)
    assert names(result, "removed") == ["app", "web"] and result["left"] == [] and names(result, "watched") == ["db"]
    if comes_back == "soon":
        vcenter.register_again("db")
        assert names(run_module(RECOVER, SOON), "removed") == ["db"] and ours(vcenter) == []
        return
    let_time_pass(scene)
    assert run_module(RECOVER, SOON)["watched"] == [] and scene.engine.journal.open_entries() == []
    vcenter.register_again("db")
    assert not run_module(RECOVER, SOON)["changed"] and ours(vcenter) == ["db"]
    assert names(run_module(RECOVER, {**SOON, "scan": True}), "removed") == ["db"] and ours(vcenter) == []


def test_a_server_that_is_away_keeps_its_entries(scene: Scene, vcenter: Simulator) -> None:
    kill_run(scene, vcenter)
    vcenter.network("reset")
    result = run_module(RECOVER, SOON)
    assert result["failed"] and "3 VMware snapshots may still exist" in result["msg"]
    assert "could not be reached" in result["msg"] and names(result, "left") == ["app", "db", "web"]
    assert len(scene.engine.journal.open_entries()) == 3
    listed = run_module(RECOVER, SOON, check=True)
    assert listed["failed"] and names(listed, "left") == ["app", "db", "web"]
    vcenter.network("up")
    assert names(run_module(RECOVER, SOON), "removed") == ["app", "db", "web"] and ours(vcenter) == []


def test_the_credentials_of_today_are_used(scene: Scene, vcenter: Simulator) -> None:
    kill_run(scene, vcenter)
    credentials = scene.engine.credentials
    (then,) = credentials.list_all()
    credentials.delete(then.id)
    result = run_module(RECOVER, SOON)
    assert result["failed"] and "store one with vmware_cred" in result["msg"] and len(result["left"]) == 3
    wrong = [scene.enrol(vcenter, tree, password="not the password") for tree in (scene.tree, f"{scene.tree}/nested")]
    vcenter.clear_trace()
    result = run_module(RECOVER, SOON)
    assert result["failed"] and "refused the login" in result["msg"] and len(result["left"]) == 3
    assert calls(vcenter)["Login"] == 1  # another attempt, for any file system, would lock the account
    for credential in wrong:
        credentials.delete(credential.id)
    scene.enrol(vcenter)
    assert names(run_module(RECOVER, SOON), "removed") == ["app", "db", "web"] and ours(vcenter) == []


def test_another_account_of_the_server_does_not_stand_in_for_the_one_that_took_it(
    scene: Scene, vcenter: Simulator
) -> None:
    kill_run(scene, vcenter)
    (entry, *_others) = scene.engine.journal.open_entries()
    assert entry.username == vcenter.user
    vcenter.add_user("looker@vsphere.local")
    (own,) = scene.engine.credentials.list_all()
    scene.engine.credentials.delete(own.id)
    scene.enrol(vcenter, f"{scene.tree}/nested", username="looker@vsphere.local")  # cannot remove anything
    assert names(run_module(RECOVER, SOON), "left") == ["app", "db", "web"]
    scene.enrol(vcenter)
    assert names(run_module(RECOVER, SOON), "removed") == ["app", "db", "web"] and ours(vcenter) == []


def test_one_vm_that_may_not_be_read_keeps_no_other_waiting(scene: Scene, vcenter: Simulator) -> None:
    kill_run(scene, vcenter)
    vcenter.deny("System.Read", "db")
    result = run_module(RECOVER, SOON)
    assert result["failed"] and names(result, "removed") == ["app", "web"] and names(result, "left") == ["db"]
    scan = run_module(RECOVER, {**SOON, "scan": True}, check=True)
    assert [problem for problem in scan["problems"] if "No stored account can read the snapshots of" in problem]
    let_time_pass(scene)
    assert names(run_module(RECOVER, SOON), "left") == ["db"], "nor is it taken for absent after half an hour"
    vcenter.grant_all()
    assert names(run_module(RECOVER, SOON), "removed") == ["db"] and ours(vcenter) == []


def test_a_server_with_another_name_is_found_by_a_scan(scene: Scene, vcenter: Simulator) -> None:
    kill_run(scene, vcenter)
    with scene.engine.journal._database.transaction() as connection:
        connection.execute("UPDATE vm_snapshot SET hostname = 'vc-old.example'")
    result = run_module(RECOVER, SOON)
    assert names(result, "left") == ["app", "db", "web"]
    assert "No credential for vc-old.example" in result["msg"] and "recover --scan" in result["msg"]
    listed = run_module(RECOVER, {**SOON, "scan": True}, check=True)
    assert names(listed, "removed") == ["app", "db", "web"] and listed["left"] == []
    found = run_module(RECOVER, {**SOON, "scan": True})
    assert names(found, "removed") == ["app", "db", "web"] and found["left"] == [] and ours(vcenter) == []
    assert scene.engine.journal.open_entries() == []


def test_a_removal_that_fails_is_left_with_its_reason(scene: Scene, vcenter: Simulator) -> None:
    kill_run(scene, vcenter)
    vcenter.rule(method="RemoveSnapshot_Task", vm="db", effect="task_fault", fault="GenericVmConfigFault")
    result = run_module(RECOVER, SOON)
    assert result["failed"] and names(result, "removed") == ["app", "web"] and names(result, "left") == ["db"]
    assert "GenericVmConfigFault" in result["left"][0]["reason"] and ours(vcenter) == ["db"]
    vcenter.clear_rules()
    assert names(run_module(RECOVER, SOON), "removed") == ["db"] and ours(vcenter) == []


def test_absence_is_not_believed_of_a_vm_whose_host_is_not_connected(scene: Scene, vcenter: Simulator) -> None:
    """After a power cut of the whole site, vCenter shows VMs without their configuration and without snapshots."""
    kill_run(scene, vcenter)
    for out_of_sight in (
        {"runtime.connectionState": "inaccessible", "config": None, "snapshot": None},
        {"runtime.connectionState": "disconnected", "snapshot": None},
    ):
        vcenter.vm("web|db|app", properties=out_of_sight)
        result = run_module(RECOVER, SOON)
        assert result["failed"] and names(result, "left") == ["app", "db", "web"] and not result["removed"]
        assert all("not connected to vCenter" in item["reason"] for item in result["left"])
        let_time_pass(scene)  # not even after half an hour
    vcenter.vm(".*", properties={})
    assert names(run_module(RECOVER, SOON), "removed") == ["app", "db", "web"] and ours(vcenter) == []


def test_a_task_that_vcenter_lost_sight_of_is_watched(scene: Scene, vcenter: Simulator) -> None:
    """The host continues the task and shows the VMware snapshot after it reconnects."""
    vcenter.rule(method="CreateSnapshot.*", vm="web", effect="task_fault", fault="HostNotConnected")
    result = scene.take()
    assert vm_of(result, "web")["level"] == "crash" and not result["complete"]
    (entry,) = scene.engine.journal.open_entries()
    assert (entry.vm_name, entry.state) == ("web", ABSENT)
    vcenter.clear_rules()
    with scene.engine.connect(endpoint_of(scene.engine.credentials.list_all()[0]), vcenter.user,
                              Secret(vcenter.password)) as session:  # fmt: skip
        take(session, vcenter, "web", entry.name)
    assert names(run_module(RECOVER, SOON), "removed") == ["web"] and ours(vcenter) == []


def test_a_quiesced_creation_that_comes_after_the_one_without_was_removed_is_found(
    scene: Scene, vcenter: Simulator, session: Session
) -> None:
    """vCenter reports that the guest took too long, but the host continues."""
    vcenter.rule(
        method="CreateSnapshot.*", vm="web", effect="task_fault", fault="SystemError", count=1,
        message="The operation timed out while quiescing the guest.",
    )  # fmt: skip
    result = scene.take(on_quiesce_failure="crash_consistent")
    assert vm_of(result, "web")["level"] == "crash" and calls(vcenter)["CreateSnapshotEx_Task"] == 4
    (entry,) = scene.engine.journal.open_entries()
    assert (entry.vm_name, entry.state, entry.creation) == ("web", ABSENT, Creation.REPEATED)
    take(session, vcenter, "web", entry.name)
    assert names(run_module(RECOVER, SOON), "removed") == ["web"] and ours(vcenter) == []


def test_what_a_restored_vm_has_to_be_reverted_to_is_left_to_people(
    scene: Scene, vcenter: Simulator, session: Session
) -> None:
    done = scene.take()
    mark = description(scene.engine.host, done["run_id"], done["zfs_snapshots"][0])
    vcenter.vm("web", power="off")
    take(session, vcenter, "web", f"{NAME_PREFIX}{done['run_id']}", mark)
    result = run_module(RECOVER, {**SOON, "scan": True})
    assert (
        result["failed"]
        and "revert it to this VMware snapshot" in result["left"][0]["reason"]
        and ours(vcenter) == ["web"]
    )
    # A powered-on VM writes data, so that reverting it would lose data.
    vcenter.vm("web", power="on")
    assert names(run_module(RECOVER, {**SOON, "scan": True}), "removed") == ["web"] and ours(vcenter) == []
    assert scene.record(done["zfs_snapshots"][0]).consistency == done["consistency"]


def test_a_run_that_the_journal_may_forget_keeps_its_record(scene: Scene, vcenter: Simulator, session: Session) -> None:
    """A VM was restored from an old ZFS snapshot and powered on without changes."""
    run = "20200131T020000-1f2e3d4c"
    name = f"{scene.tree}@old"
    said = records_v1.properties(run, scene.engine.host.id, vms=[{"level": "filesystem"}])
    create(scene.engine.zfs, [name], said, timeout=60)
    take(session, vcenter, "web", f"{NAME_PREFIX}{run}", description(scene.engine.host, run, name))
    result = run_module(RECOVER, {**SOON, "scan": True})
    assert names(result, "removed") == ["web"] and result["lowered"] == [] and ours(vcenter) == []
    assert scene.record(name).consistency == "filesystem"


def test_runs_that_1_0_0_left_unfinished_are_settled_once(scene: Scene, vcenter: Simulator) -> None:
    """Their records may be too high: of a run that stopped waiting and of a run that was killed."""
    vms = [{"moid": "vm-1", "level": "filesystem"}, {"moid": "vm-2", "level": "still"}]
    for run, state in (("gave-up", "lost"), ("died", "snapshotting"), ("came", "lost")):
        names = [f"{scene.tree}@{run}", f"{scene.tree}/nested@{run}"]
        scene.engine.journal.open_run(run, "", scene.tree, names, state)
        if run != "came":
            create(scene.engine.zfs, names, records_v1.properties(run, vms=vms), timeout=60)
    result = run_module(RECOVER, SOON)
    lowered = [f"{scene.tree}{child}@{run}" for run in ("died", "gave-up") for child in ("", "/nested")]
    assert sorted(result["lowered"]) == sorted(lowered) and result["changed"] and not result["problems"]
    said = {run: scene.record(f"{scene.tree}/nested@{run}") for run in ("died", "gave-up")}
    assert {run: [vm["level"] for vm in record.vms] for run, record in said.items()} == {
        "died": ["filesystem", "crash"], "gave-up": ["crash", "crash"],
    }  # fmt: skip
    assert {(record.consistency, record.complete) for record in said.values()} == {("crash", False)}
    assert run_module(RECOVER, SOON)["lowered"] == []
    assert {run.id: run.state for run in scene.engine.journal.runs()} == {
        "died": "ended", "gave-up": "ended", "came": "lost",  # it may still appear
    }  # fmt: skip
    create(scene.engine.zfs, [f"{scene.tree}@came"], records_v1.properties("came", vms=vms), timeout=60)
    assert run_module(RECOVER, SOON)["lowered"] == [f"{scene.tree}@came"]
    assert scene.record(f"{scene.tree}@came").consistency == "crash"
    assert {run.state for run in scene.engine.journal.runs()} == {"ended"}


def test_a_creation_that_is_carried_out_after_the_run_gave_up_is_found(scene: Scene, vcenter: Simulator) -> None:
    """The server accepts the call, responds too late, and executes it after the end of the run."""
    vcenter.rule(method="CreateSnapshot.*", vm="web", effect="call_late", count=1)
    result = answer(start_module("vmware_coordinated_snapshot", {
        "dataset": scene.tree, "name": "given-up", "aliases": [GUEST], "connect_timeout": 2, "call_timeout": 1,
        "vm_timeout": 3, "max_hold": 60,
    }))  # fmt: skip
    assert result["created"] and ours(vcenter) == [], result
    (entry,) = scene.engine.journal.open_entries()
    assert (entry.vm_name, entry.state) == ("web", ABSENT)
    early = run_module(RECOVER, SOON)
    assert not early["changed"] and early["left"] == [] and names(early, "watched") == ["web"]
    vcenter.clear_trace()
    vcenter.clear_rules()
    finished(vcenter, "CreateSnapshot", "web")
    assert ours(vcenter) == ["web"]
    assert names(run_module(RECOVER, SOON), "removed") == ["web"] and ours(vcenter) == []


def test_a_first_creation_that_comes_after_the_second_was_removed_is_found(scene: Scene, vcenter: Simulator) -> None:
    """The run asks twice because the first response is lost, and is then killed. Only the journal has its state."""
    vcenter.rule(method="CreateSnapshot.*", vm="web", effect="call_late", count=1)
    vcenter.rule(method="CreateSnapshot.*", vm="app", effect="task_hang", count=1)
    process = start_module("vmware_coordinated_snapshot", {
        "dataset": scene.tree, "name": "twice", "aliases": [GUEST], "connect_timeout": 2, "call_timeout": 1,
    })  # fmt: skip
    finished(vcenter, "CreateSnapshot", "web")
    process.kill()
    process.communicate()
    vcenter.release()
    finished(vcenter, "CreateSnapshot", "app")
    result = run_module(RECOVER, SOON)
    assert names(result, "removed") == ["app", "db", "web"] and names(result, "watched") == ["web"]
    (entry,) = scene.engine.journal.open_entries()
    assert ours(vcenter) == [] and (entry.vm_name, entry.state, entry.creation) == ("web", ABSENT, Creation.REPEATED)
    vcenter.clear_trace()
    vcenter.clear_rules()
    finished(vcenter, "CreateSnapshot", "web")
    assert ours(vcenter) == ["web"]
    assert names(run_module(RECOVER, SOON), "removed") == ["web"] and ours(vcenter) == []
    let_time_pass(scene)
    assert run_module(RECOVER, SOON)["watched"] == [] == scene.engine.journal.open_entries()


def test_what_stays_absent_is_closed_after_half_an_hour(scene: Scene, vcenter: Simulator) -> None:
    kill_run(scene, vcenter)
    assert len(names(run_module(RECOVER, SOON), "removed")) == 3
    with scene.engine.journal._database.transaction() as connection:  # as if they had no result yet
        connection.execute("UPDATE vm_snapshot SET state = ?, snapshot = ''", (INTENDED,))
    assert len(names(run_module(RECOVER, SOON), "watched")) == 3
    assert {entry.state for entry in scene.engine.journal.open_entries()} == {ABSENT}
    # First the clock is set back, then more than half an hour passes.
    for since, still_open in (("2999-01-01", 3), ("2020-01-01", 0)):
        let_time_pass(scene, since)
        result = run_module(RECOVER, SOON)
        assert not result["changed"] and len(result["watched"]) == still_open
        assert len(scene.engine.journal.open_entries()) == still_open


def test_two_recoveries_at_once(scene: Scene, vcenter: Simulator) -> None:
    kill_run(scene, vcenter)
    vcenter.rule(method="RemoveSnapshot_Task", vm="web", effect="task_hang", count=1)
    first = start_module(RECOVER, SOON)
    vcenter.wait_for(lambda entry: (entry.get("event"), entry["method"]) == ("started", "RemoveSnapshot_Task"))
    refused = run_module(RECOVER, {**SOON, "lock_timeout": 0.5})
    assert refused["failed"] and "Another recovery did not end within 0.5 seconds" in refused["msg"]
    assert recover.before_run(scene.engine, "tank").removed == []  # a run does not wait for it
    threading.Timer(0.5, vcenter.release).start()
    second = run_module(RECOVER, SOON)
    assert names(answer(first), "removed") == ["app", "db", "web"] and not second["changed"] and ours(vcenter) == []


def test_nothing_to_do_needs_no_server(scene: Scene, start_vcenter: StartVcenter, tmp_path: Path) -> None:
    vcenter = start_vcenter(nfs("vmware", scene.tree, {"name": "web"}))
    scene.enrol(vcenter)
    vcenter.stop()
    assert run_module(RECOVER, SOON)["changed"] is False
    scan = run_module(RECOVER, {**SOON, "scan": True})
    assert scan["changed"] is False and "could not be reached" in scan["problems"][0]
