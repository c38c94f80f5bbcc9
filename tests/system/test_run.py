# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test runs without faults: the snapshots, the records, and the number of calls."""

from __future__ import annotations

import json
import threading
from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Limits
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.identity import NAME_PREFIX

from tests.lab.storage_host import StorageHost

from .conftest import StartVcenter
from .scene import Scene, answer, calls, ended, foreign, levels, nfs, run_module, start_module, vm_of

Simulator = Any


def test_all_datasets_in_one_atomic_step_with_their_record(
    scene: Scene, start_vcenter: StartVcenter, tree: str
) -> None:
    vcenter = start_vcenter(
        nfs("vmware", tree, {"name": "web"}, {"name": "db", "guest": "windows", "snapshots": 2}),
        nfs("nested", f"{tree}/nested", {"name": "50%/app"}),
        nfs("ds1", f"{tree}/ds1", {"name": "one"}),
        nfs("ds10", f"{tree}/ds10", {"name": "ten"}),
        {"name": "local", "type": "local", "vms": [{"name": "scratch"}]},
    )
    scene.enrol(vcenter)
    before = foreign(vcenter)

    result = scene.take(recursive=True, exclude=(f"{tree}/ds10",))

    name = result["zfs_snapshot"].split("@")[1]
    assert set(result["zfs_snapshots"]) == {f"{dataset}@{name}" for dataset in (tree, f"{tree}/ds1", f"{tree}/nested")}
    assert result["created"] and result["complete"] and not result["problems"]
    assert result["consistency"] == "filesystem"
    assert levels(result) == {"web": "filesystem", "db": "application", "50%/app": "filesystem", "one": "filesystem"}

    # One transaction: ZFS assigns the same number to all of them.
    rows = scene.engine.zfs.rows("get", "-H", "-p", "-o", "value", "createtxg", *result["zfs_snapshots"])
    assert len(set(map(tuple, rows))) == 1
    assert not scene.exists(f"{tree}/ds10@{name}")
    rows = scene.engine.zfs.rows("get", "-H", "-o", "name,property,source", "all", *result["zfs_snapshots"])
    ours = [(snapshot, source) for snapshot, key, source in rows if key == "quiesce.vmware_zfs:consistency"]
    assert sorted(ours) == sorted((snapshot, "local") for snapshot in result["zfs_snapshots"])

    # The records match the trace, each for the VMs on its dataset.
    records = {dataset: scene.record(f"{dataset}@{name}") for dataset in (tree, f"{tree}/ds1", f"{tree}/nested")}
    for record in records.values():
        assert record.sealed and record.run == result["run_id"] and record.complete and record.run_complete
        assert (record.consistency, record.run_consistency) == ("filesystem", "filesystem")
    assert {dataset: {vm["name"]: vm["level"] for vm in record.vms} for dataset, record in records.items()} == {
        tree: {"web": "filesystem", "db": "application"},
        f"{tree}/ds1": {"one": "filesystem"},
        f"{tree}/nested": {"50%/app": "filesystem"},
    }
    created = {entry["snapshot"]: entry for entry in ended(vcenter, "CreateSnapshot")}
    vms = [vm for record in records.values() for vm in record.vms]
    assert {vm["vmware_snapshot_moid"] for vm in vms} == set(created)
    for vm in vms:
        entry = created[vm["vmware_snapshot_moid"]]
        assert (entry["vm_name"], entry["vm"], entry["quiesced"]) == (vm["name"], vm["moid"], True)
        assert (
            vm["instance_uuid"] and vm["vmx_path"].startswith("[") and vm["server"] == f"{vcenter.host}:{vcenter.port}"
        )

    # All VMware snapshots existed during the ZFS snapshot. None contains memory, and none is removed with children.
    assert "scratch" not in {entry["vm_name"] for entry in created.values()}
    removed = ended(vcenter, "RemoveSnapshot")
    assert max(entry["time"] for entry in created.values()) < min(entry["time"] for entry in removed)
    for entry in vcenter.trace():
        if entry["kind"] == "call" and entry["method"].startswith("CreateSnapshot"):
            assert entry["args"]["memory"] is False and entry["args"]["name"] == NAME_PREFIX + result["run_id"]
        if entry["kind"] == "call" and entry["method"] == "RemoveSnapshot_Task":
            assert entry["args"]["removeChildren"] is False
    assert foreign(vcenter) == before and len(before["db"]) == 2
    scene.assert_released(vcenter)
    assert result["vmware_snapshots_left"] == 0
    holds = [vm["hold_seconds"] for vm in result["vms"]]
    assert 0 < max(holds) <= result["hold_window_seconds"]


LEVELS: list[tuple[dict[str, Any], str, str]] = [
    ({"name": "linux"}, "filesystem", ""),
    ({"name": "vss", "guest": "windows"}, "application", ""),
    ({"name": "no-vss", "guest": "windows", "vss": False}, "filesystem", "no VSS manifest"),
    ({"name": "client", "guest": "windows", "guest_id": "windows9_64Guest"}, "filesystem", ""),
    ({"name": "bsd", "properties": {"guest.guestFamily": "otherGuestFamily"}}, "crash", "this guest operating system"),
    ({"name": "no-tools", "tools": "not_installed"}, "crash", "VMware Tools are not installed"),
    ({"name": "tools-down", "tools": "not_running"}, "crash", "VMware Tools are not running"),
    (
        {
            "name": "liar",
            "tools": "not_running",
            "properties": {"guest.toolsRunningStatus": "guestToolsRunning", "guest.guestFamily": "linuxGuest"},
        },
        "crash",
        "without quiescing the guest",
    ),
    ({"name": "gpu", "pci_passthrough": True}, "crash", "PCI passthrough device"),
    ({"name": "vgpu", "vgpu": True}, "filesystem", ""),
    ({"name": "rdm", "disks": [{"kind": "rdm_physical"}]}, "crash", "raw device mapping in physical mode"),
    ({"name": "virtual-rdm", "disks": [{"kind": "rdm_virtual"}]}, "filesystem", ""),
    ({"name": "cluster", "bus_sharing": "physicalSharing"}, "crash", "shares its SCSI bus"),
    ({"name": "ft", "fault_tolerance": True}, "crash", "its host does not support snapshots of this VM"),
    ({"name": "chain", "snapshots": 32}, "crash", "its snapshot chain is 32 long"),
    ({"name": "chain-31", "snapshots": 31}, "filesystem", ""),
    (
        {"name": "independent", "disks": [{}, {"kind": "independent_persistent"}]},
        "crash",
        "do not include its independent disk Hard disk 2",
    ),
    ({"name": "host-away", "properties": {"runtime.connectionState": "disconnected"}}, "crash", "is not connected"),
    ({"name": "template", "template": True}, "still", "it is a template"),
    ({"name": "off", "power": "off"}, "still", "it is powered off"),
    ({"name": "off-gpu", "power": "off", "pci_passthrough": True}, "still", "it is powered off"),
    ({"name": "suspended", "power": "suspended"}, "still", "it is suspended"),
    ({"name": "scratch-1"}, "crash", "excluded by exclude_vms ('scratch-*')"),
    ({"name": "scratch-off", "power": "off"}, "still", "it is powered off"),
]
UNTOUCHED = {
    "gpu", "rdm", "cluster", "ft", "chain", "host-away", "template", "off", "off-gpu", "suspended", "scratch-1",
    "scratch-off",
}  # fmt: skip


def test_every_kind_of_vm_reaches_its_level_and_says_why_no_more(
    scene: Scene, start_vcenter: StartVcenter, tree: str
) -> None:
    vcenter = start_vcenter(nfs("vmware", tree, *(vm for vm, _unused, _unused in LEVELS)))
    scene.enrol(vcenter)
    before = foreign(vcenter)

    planned = scene.plan(exclude_vms=("scratch-*",))
    result = scene.take(exclude_vms=("scratch-*",))

    assert levels(result) == {vm["name"]: level for vm, level, _unused in LEVELS}
    for vm, _unused, reason in LEVELS:
        said = vm_of(result, vm["name"])["reason"]
        assert reason in said and (said == "" if reason == "" else True), (vm["name"], said)
    assert levels(planned) == {**levels(result), "liar": "filesystem", "no-vss": "application"}  # detected by trying
    assert (result["consistency"], result["complete"]) == ("crash", False)
    touched = {entry["vm_name"] for entry in ended(vcenter, "CreateSnapshot")}
    assert touched == {vm["name"] for vm, _unused, _unused in LEVELS} - UNTOUCHED
    quiesced = {entry["vm_name"] for entry in ended(vcenter, "CreateSnapshot") if entry["quiesced"]}
    assert quiesced == touched - {"liar", "tools-down", "no-tools"}
    record = scene.record(result["zfs_snapshot"])
    assert {vm["name"]: vm["level"] for vm in record.vms} == levels(result)
    assert foreign(vcenter) == before
    scene.assert_released(vcenter)


def test_vms_are_chosen_by_their_disks_not_by_names(scene: Scene, start_vcenter: StartVcenter, tree: str) -> None:
    vcenter = start_vcenter(
        nfs("ds1", f"{tree}/ds1", {"name": "one"}, {"name": "apart", "disks": [{}, {"datastore": "ds10"}]}),
        nfs("ds10", f"{tree}/ds10", {"name": "ten"}, {"name": "guest", "disks": [{}, {"datastore": "ds1"}]}),
        nfs("ds1", f"{tree}/nested", {"name": "other"}, datacenter="DC1"),
        {"name": "elsewhere", "server": "192.0.2.9", "path": f"/{tree}/ds1", "vms": [{"name": "stranger"}]},
        {"name": "local", "type": "local", "vms": [
            {"name": "iso-only", "iso": "ds1"}, {"name": "part", "disks": [{}, {"datastore": "ds1"}]},
        ]},
        datacenters=("DC0", "DC1"),
    )  # fmt: skip
    scene.enrol(vcenter, f"{tree}/ds1")

    result = scene.take(f"{tree}/ds1")

    assert set(levels(result)) == {"one", "apart", "guest", "part"}
    assert vm_of(result, "apart")["spans"] == vm_of(result, "guest")["spans"] == [f"{tree}/ds10"]
    assert vm_of(result, "part")["spans"] == ["the datastore local"]
    assert vm_of(result, "one")["spans"] == []
    assert {entry["vm_name"] for entry in ended(vcenter, "CreateSnapshot")} == set(levels(result))
    assert result["consistency"] == "filesystem" and not result["problems"]  # the VM with the ISO is known
    scene.assert_released(vcenter)


def test_a_dataset_without_running_vms_is_still(scene: Scene, start_vcenter: StartVcenter, tree: str) -> None:
    vcenter = start_vcenter(nfs("vmware", tree, {"name": "off", "power": "off"}, {"name": "golden", "template": True}))
    scene.enrol(vcenter)
    result = scene.take()
    assert (result["consistency"], result["complete"], result["hold_window_seconds"]) == ("still", True, 0.0)
    assert not ended(vcenter, "CreateSnapshot")
    assert scene.record(result["zfs_snapshot"]).consistency == "still"


def test_check_mode_changes_nothing_and_the_run_does_what_it_planned(scene: Scene, vcenter: Simulator) -> None:
    scene.engine.journal.open_entries()
    vcenter.clear_trace()
    planned = scene.plan(snapshot="planned")
    assert not {method for method in calls(vcenter) if method.endswith("_Task")}
    assert not scene.exists(planned["zfs_snapshot"])
    assert scene.engine.journal.runs() == [] and planned["created"] is False

    result = scene.take(snapshot="planned")
    for what in ("zfs_snapshots", "consistency", "complete", "problems"):
        assert result[what] == planned[what], what
    plan = {vm["moid"]: (vm["name"], vm["action"], vm["level"], vm["reason"]) for vm in planned["vms"]}
    assert {vm["moid"]: (vm["name"], vm["action"], vm["level"], vm["reason"]) for vm in result["vms"]} == plan


def test_the_module_is_idempotent_by_name(scene: Scene, vcenter: Simulator, tree: str) -> None:
    options = {"dataset": tree, "name": "by-name", "aliases": ["10.0.2.15"]}
    checked = run_module("vmware_coordinated_snapshot", options, check=True, diff=True)
    assert checked["changed"] and checked["diff"]["after"] == {"zfs_snapshots": [f"{tree}@by-name"]}
    assert not scene.exists(f"{tree}@by-name")

    first = run_module("vmware_coordinated_snapshot", options, diff=True)
    assert first["changed"] and first["diff"] == checked["diff"] and first["consistency"] == "filesystem"
    assert vcenter.password not in json.dumps(first)
    vcenter.clear_trace()
    again = run_module("vmware_coordinated_snapshot", options, diff=True)
    assert not again["changed"] and again["diff"]["after"] == again["diff"]["before"]
    assert vcenter.trace() == []
    for what in ("run_id", "consistency", "complete", "zfs_snapshots"):
        assert again[what] == first[what], what
    assert levels(again) == levels(first)
    scene.assert_released(vcenter)


def test_the_naming_schema_names_the_snapshot(scene: Scene, vcenter: Simulator, tree: str) -> None:
    result = run_module(
        "vmware_coordinated_snapshot",
        {"dataset": tree, "naming_schema": "nightly-%Y%m%dT%H%M.%S", "aliases": ["10.0.2.15"]},
        check=True,
    )
    name = result["zfs_snapshot"].removeprefix(f"{tree}@nightly-")
    assert len(name) == len("20260131T0200.00") and name[:2] == "20" and name[8] == "T"


@pytest.mark.parametrize(
    ("limits", "most", "most_per_host"),
    [(Limits(3, 8), 3, 1), (Limits(32, 1), 4, 1), (Limits(6, 8), 6, 2)],
    ids=["vcenter", "host", "both"],
)
def test_the_limits_are_kept(
    scene: Scene, start_vcenter: StartVcenter, tree: str, limits: Limits, most: int, most_per_host: int
) -> None:
    vcenter = start_vcenter(nfs("vmware", tree, {"name": "web", "count": 12}))
    scene.enrol(vcenter)
    result = scene.take(limits=limits)
    assert result["complete"]
    stats = vcenter.stats()
    for method in ("CreateSnapshotEx_Task", "RemoveSnapshot_Task"):
        assert stats["most"][method] == most  # exactly this number runs concurrently
        assert max(host.get(method, 0) for host in stats["per_host"].values()) == most_per_host
    scene.assert_released(vcenter)


@pytest.mark.parametrize("latency", [0.0, 0.03])
def test_a_hundred_vms_cost_few_requests(scene: Scene, start_vcenter: StartVcenter, tree: str, latency: float) -> None:
    vcenter = start_vcenter(nfs("vmware", tree, {"name": "web", "count": 100}))
    scene.enrol(vcenter)
    if latency:  # as with a vCenter; tasks that start one after another must not need a filter each
        vcenter.rule(method=".*Snapshot.*_Task", effect="call_delay", seconds=latency)
    result = scene.take()
    assert result["complete"] and len(result["vms"]) == 100
    asked = calls(vcenter)
    waits = asked.pop("WaitForUpdatesEx")
    assert asked.total() <= 2.5 * 100 + 40, asked
    assert waits <= 100
    scene.assert_released(vcenter)


@pytest.mark.parametrize(
    "options",
    [
        {"api_version": "6.5"},
        {"esxi": True},
        {"esxi": True, "api_version": "6.5"},
        {"api_version": "9.0.0.0", "oldest_api_version": "9.0.0.0"},
        {"esxi": True, "api_version": "9.0.0.0", "oldest_api_version": "9.0.0.0"},
    ],
)
def test_old_and_new_vcenters_and_single_esxi_hosts(
    scene: Scene, start_vcenter: StartVcenter, tree: str, options: dict[str, Any]
) -> None:
    server = start_vcenter(nfs("vmware", tree, {"name": "web"}, {"name": "db", "guest": "windows"}), **options)
    scene.enrol(server)
    result = scene.take()
    assert levels(result) == {"web": "filesystem", "db": "application"} and result["complete"]
    scene.assert_released(server)


def test_two_vcenters_take_part_side_by_side(scene: Scene, start_vcenter: StartVcenter, tree: str) -> None:
    servers = [
        start_vcenter(nfs("vmware", tree, {"name": name}), create_seconds=1.0, remove_seconds=1.0)
        for name in ("here", "there")
    ]
    for server in servers:
        scene.enrol(server)
    scene.enrol(servers[0], f"{tree}/nested")  # a second credential of the same account: one login
    result = scene.take(recursive=True)
    assert levels(result) == {"here": "filesystem", "there": "filesystem"} and result["complete"]
    assert {vm["server"] for vm in result["vms"]} == {f"{server.host}:{server.port}" for server in servers}
    assert [calls(server)["Login"] for server in servers] == [1, 1]
    assert [calls(server)["Logout"] for server in servers] == [1, 1]
    creations = [ended(server, "CreateSnapshot")[0]["time"] for server in servers]
    removals = [ended(server, "RemoveSnapshot", "started")[0]["time"] for server in servers]
    assert abs(creations[0] - creations[1]) < 1.0 and abs(removals[0] - removals[1]) < 1.0
    scene.assert_released(*servers)


def test_a_vcenter_that_is_stored_under_two_names_holds_each_vm_once(
    scene: Scene, vcenter: Simulator, tree: str
) -> None:
    scene.enrol(vcenter, hostname="127.0.0.1")
    result = scene.take()
    assert levels(result) == {"web": "filesystem", "db": "application", "app": "filesystem"}
    assert len(result["vms"]) == 3 and result["complete"], result["problems"]
    scene.assert_released(vcenter)


def test_the_same_vm_in_two_datasets_that_are_snapshotted_at_once(
    scene: Scene, start_vcenter: StartVcenter, tree: str
) -> None:
    vcenter = start_vcenter(
        nfs("ds1", f"{tree}/ds1", {"name": "both", "disks": [{}, {"datastore": "ds10"}]}),
        nfs("ds10", f"{tree}/ds10", {"name": "ten"}),
        create_seconds=0.5, remove_seconds=0.5,
    )  # fmt: skip
    scene.enrol(vcenter)
    common = {"name": "at-once", "aliases": ["10.0.2.15"]}
    processes = [
        start_module("vmware_coordinated_snapshot", {"dataset": f"{tree}/{name}", **common}) for name in ("ds1", "ds10")
    ]
    results = [answer(process) for process in processes]
    assert [levels(result)["both"] for result in results] == ["filesystem", "filesystem"], results
    assert len({result["run_id"] for result in results}) == 2
    made = {entry["snapshot"] for entry in ended(vcenter, "CreateSnapshot") if "fault" not in entry}
    assert len(made) == 3
    scene.assert_released(vcenter)


def test_a_second_run_over_a_dataset_within_is_told_who_holds_it(scene: Scene, vcenter: Simulator, tree: str) -> None:
    vcenter.rule(method="CreateSnapshot.*", vm="web", effect="task_hang")
    done: list[dict[str, Any]] = []
    options = {"dataset": tree, "name": "holder", "aliases": ["10.0.2.15"]}
    holder = start_module("vmware_coordinated_snapshot", options)
    watcher = threading.Thread(target=lambda: done.append(answer(holder)))
    watcher.start()
    vcenter.wait_for(lambda entry: entry.get("event") == "started")
    refused = scene.fail(f"{tree}/nested", lock_timeout=0.3)
    assert type(refused).__name__ == "LockTimeout"
    assert f"(process {holder.pid}) has locked {tree} since 20" in str(refused)
    vcenter.release()
    watcher.join()
    assert done[0]["consistency"] == "filesystem"
    scene.assert_released(vcenter)


# ---- Waves


@pytest.fixture
def in_parts(start_vcenter: StartVcenter, scene: Scene, tree: str) -> Simulator:
    """A vCenter with VMs on three datasets of the session. `both` is on two of them."""
    vcenter = start_vcenter(
        nfs("ds1", f"{tree}/ds1", {"name": "first"}, {"name": "both", "disks": [{}, {"datastore": "ds10"}]}),
        nfs("ds10", f"{tree}/ds10", {"name": "tenth"}),
        nfs("nested", f"{tree}/nested", {"name": "nested", "guest": "windows", "guest_id": "windows2019srv_64Guest"}),
    )
    scene.enrol(vcenter)
    return vcenter


def spans(vcenter: Simulator) -> dict[str, tuple[float, float]]:
    """Return the start of the creation and the end of the removal for each VM."""
    began = {entry["vm_name"]: entry["time"] for entry in ended(vcenter, "CreateSnapshot", "started")}
    return {entry["vm_name"]: (began[entry["vm_name"]], entry["time"]) for entry in ended(vcenter, "RemoveSnapshot")}


def test_waves_hold_one_after_the_other(scene: Scene, in_parts: Simulator, tree: str) -> None:
    plan = scene.plan(recursive=True, wave_size=2)
    result = scene.take(recursive=True, wave_size=2, snapshot="waves")
    parts = [[f"{tree}@waves", f"{tree}/ds1@waves", f"{tree}/ds10@waves"], [f"{tree}/nested@waves"]]
    assert [wave["zfs_snapshots"] for wave in result["waves"]] == parts
    assert [len(wave["zfs_snapshots"]) for wave in plan["waves"]] == [3, 1] and not plan["created"]

    held = spans(in_parts)
    assert held["nested"][0] > max(held[name][1] for name in ("first", "both", "tenth"))
    assert max(held[name][0] for name in ("first", "both", "tenth")) < min(held[name][1] for name in ("first", "both"))
    assert levels(result) == {
        "first": "filesystem",
        "both": "filesystem",
        "tenth": "filesystem",
        "nested": "application",
    }
    assert result["consistency"] == "filesystem" and result["complete"] and result["created"]
    assert result["hold_window_seconds"] == max(wave["hold_window_seconds"] for wave in result["waves"])

    records = {name: scene.record(name) for wave in result["waves"] for name in wave["zfs_snapshots"]}
    assert [{vm["name"] for vm in record.vms} for record in records.values()] == [
        set(), {"first", "both"}, {"both", "tenth"}, {"nested"},
    ]  # fmt: skip
    assert [record.consistency for record in records.values()] == ["still", "filesystem", "filesystem", "application"]
    assert [record.run for record in records.values()] == [*[result["run_id"]] * 3, f"{result['run_id']}-2"]
    scene.assert_released(in_parts)

    again = scene.take(recursive=True, wave_size=2, snapshot="waves")
    assert not again["created"] and again["consistency"] == "filesystem" and levels(again) == levels(result)
    assert [wave["zfs_snapshots"] for wave in again["waves"]] == parts


def test_a_wave_that_the_policy_refuses_takes_the_earlier_ones_with_it(
    scene: Scene, in_parts: Simulator, tree: str
) -> None:
    in_parts.rule(method="CreateSnapshot.*", vm="nested", effect="task_fault", fault="SnapshotFault")
    error = scene.fail(recursive=True, wave_size=2, snapshot="part", on_vm_failure="fail")
    assert str(error).startswith("In wave 2 of 2: No ZFS snapshot was taken: The VM 'nested'")
    assert not error.details["created"] and not error.details["complete"] and error.details["consistency"] is None
    assert [wave["created"] for wave in error.details["waves"]] == [False, False]
    assert not scene.exists(f"{tree}@part", f"{tree}/ds1@part", f"{tree}/ds10@part", f"{tree}/nested@part")
    scene.assert_released(in_parts)


def test_a_wave_that_fails_is_the_last(scene: Scene, in_parts: Simulator, tree: str, before_zfs: Any) -> None:
    before_zfs(f'case "$*" in snapshot*{tree}/nested@part) echo "out of space" >&2; exit 1;; esac\nexec $zfs "$@"')
    error = scene.fail(recursive=True, wave_size=2, snapshot="part")
    assert str(error).startswith("In wave 2 of 2: No ZFS snapshot was taken: 'zfs snapshot' failed: out of space")
    assert error.details["created"] and not error.details["complete"]
    assert [wave["created"] for wave in error.details["waves"]] == [True, False]
    assert scene.record(f"{tree}/ds1@part").complete and not scene.exists(f"{tree}/nested@part")
    scene.assert_released(in_parts)


def test_a_result_of_waves_is_never_better_than_the_worst_of_them(scene: Scene, in_parts: Simulator, tree: str) -> None:
    in_parts.rule(method="CreateSnapshot.*", vm="nested", effect="task_fault", fault="SnapshotFault")
    result = scene.take(recursive=True, wave_size=2, snapshot="worst")
    for one in (result, scene.take(recursive=True, snapshot="worst")):  # and when read later
        assert one["consistency"] == "crash" and not one["complete"]
        assert [wave["complete"] for wave in one["waves"]] == [True, False]


def test_a_part_that_somebody_else_took_is_no_part_of_the_result(
    scene: Scene, vcenter: Simulator, storage_host: StorageHost, tree: str
) -> None:
    scene.take(snapshot="mixed")
    children = [f"{tree}/{child}@mixed" for child in ("nested", "ds1", "ds10")]
    storage_host.ssh(["zfs", "snapshot", *children])
    said = str(scene.fail(recursive=True, snapshot="mixed"))
    assert "@mixed already exists and has no consistency record" in said


# ---- Missing and partially received datasets

# Datasets that are being received, and with an interrupted first or second stream.
RECEIVE = """
for name in "" /gone /source; do zfs create "$1$name"; done
zfs create -s -V 1M "$1/lun"
for part in a b; do
    head -c 3000000 /dev/urandom >"/$1/source/$part"
    zfs snapshot "$1/source@$part"
done
(
    { zfs send "$1/source@a" | head -c 1000000; sh -c 'echo $$ >/run/receiving; exec sleep 120'; } |
        zfs receive -u "$1/now"
) >/dev/null 2>&1 &
zfs send "$1/source@a" | head -c 1000000 | zfs receive -s -u "$1/half" 2>/dev/null || true
zfs send "$1/source@a" | zfs receive -u "$1/whole"
zfs send -i @a "$1/source@b" | head -c 1000000 | zfs receive -s -u "$1/whole" 2>/dev/null || true
until zfs list "$1/now" >/dev/null 2>&1; do sleep 0.1; done
[ "$(zfs get -H -o value receive_resume_token "$1/whole")" != - ]
"""


@pytest.fixture
def receiving(storage_host: StorageHost, tree: str) -> Iterator[str]:
    root = f"{tree}/receiving"
    storage_host.ssh(["sh", "-ec", RECEIVE, "receive", root])
    yield root
    storage_host.ssh(["sh", "-ec", 'kill "$(cat /run/receiving)"; zfs destroy -r "$1"', "end", root])


def test_what_is_half_received_and_what_is_destroyed_meanwhile_spoil_nothing(
    scene: Scene, start_vcenter: StartVcenter, receiving: str, before_zfs: Any
) -> None:
    vcenter = start_vcenter(nfs("receiving", receiving, {"name": "web"}))
    scene.enrol(vcenter, receiving)
    half = scene.fail(f"{receiving}/half")
    assert "because a 'zfs receive' into it is not complete" in half.problem and not ended(vcenter, "Create")

    lun = f"{receiving}/lun"
    planned = scene.plan(receiving, recursive=True)
    assert [problem.split(",")[0] for problem in planned["problems"]] == [
        f"It is unknown which VMs use the volume {lun}"
    ]
    assert (planned["consistency"], planned["complete"]) == ("crash", False)

    gone = f"{receiving}/gone"
    before_zfs(f'[ "$1" = snapshot ] && $zfs destroy {gone} 2>/dev/null\nexec $zfs "$@"')
    result = scene.take(receiving, recursive=True, exclude=(lun,))
    there = {name.split("@")[0].removeprefix(receiving) for name in result["zfs_snapshots"]}
    assert there == {"", "/source", "/whole"}, "a second stream that was interrupted hinders nothing"
    assert result["complete"] and levels(result) == {"web": "filesystem"} and result["problems"] == []
    assert [warning.split(" ")[2].removeprefix(receiving) for warning in result["warnings"]] == [
        "/half", "/now", "/gone",
    ]  # fmt: skip
    assert all(scene.record(name).sealed for name in result["zfs_snapshots"])
    scene.assert_released(vcenter)
