# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs with policies, with a fake vSphere: datasets that are included, stored policies, labels, records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import SnapshotExists, TagsUnreadable
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Policy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runs.run import execute, preview
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vm_policies import parse, parse_stored
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.model import (
    CREATE,
    TREE,
    Expected,
    Moment,
    Scenario,
    nfs,
    rule,
    vm,
)
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.play import Stage
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.vsphere import Vcenter, connect

ONE, TWO = f"{TREE}/one", f"{TREE}/two"
INCLUDE = parse([{"match": {"name": "app"}, "on_span": "include"}])
FIREWALL = vm("fw01", properties={"guest.guestFamily": "otherGuestFamily"})
ACCEPT = parse([{"match": {"name": "fw*"}, "accept": "crash"}])


def start(number: int, config: Mapping[str, Any]) -> Vcenter:
    return Vcenter(config)


def stage(folder: Path, *datastores: Any, datasets: tuple[str, ...] = (TREE,), **more: Any) -> Stage:
    return Stage(Scenario("policies", (datastores,), Expected(), datasets=datasets, **more), start, connect, folder)


def spanning(folder: Path, **more: Any) -> Stage:
    """A VM with a disk on another dataset, on which there is another VM."""
    app = vm("app", disks=[{}, {"datastore": "ds2"}])
    return stage(
        folder,
        nfs(app, name="ds1", dataset=ONE),
        nfs(vm("web"), name="ds2", dataset=TWO),
        datasets=(TREE, ONE, TWO),
        **more,
    )


def of_one(policies: Any = INCLUDE, **more: Any) -> Request:
    return Request(ONE, "one", policy=Policy(policies=policies, max_hold=20.0, vm_timeout=10.0), **more)


def test_on_span_include_takes_the_other_dataset_with_its_vms_into_the_instant(tmp_path: Path) -> None:
    with spanning(tmp_path) as there:
        shown = preview(there.engine, of_one()).as_dict()
        result = execute(there.engine, of_one()).as_dict()
        records = record.read(there.zfs, [f"{ONE}@one", f"{TWO}@one"])
    for each in (shown, result):
        assert each["zfs_snapshots"] == [f"{ONE}@one", f"{TWO}@one"]
        assert {one["name"]: (one["level"], one["spans"]) for one in each["vms"]} == {
            "app": ("filesystem", []), "web": ("filesystem", []),
        }  # fmt: skip
    assert result["complete"] and there.zfs.commands["snapshot"] == 1
    assert [[one["name"] for one in found.vms] for found in records.values()] == [["app"], ["app", "web"]]
    assert all(found.complete and found.run_complete for found in records.values())


def test_on_span_include_locks_the_pool_before_it_looks(tmp_path: Path) -> None:
    locked: list[str] = []
    with spanning(tmp_path) as there:
        there.engine = replace(
            there.engine, report=lambda step: locked.extend(one.dataset for one in there.engine.locks.holders())
        )
        execute(there.engine, of_one())
    assert set(locked) == {"tank"}


@pytest.mark.parametrize("policies", [(), parse([{"match": {"name": "app"}, "on_span": "report"}])])
def test_without_it_other_datasets_are_reported(tmp_path: Path, policies: Any) -> None:
    with spanning(tmp_path) as there:
        result = execute(there.engine, of_one(policies)).as_dict()
    assert result["zfs_snapshots"] == [f"{ONE}@one"] and result["vms"][0]["spans"] == [TWO]


def test_on_span_fail_refuses_the_run_before_it_changes_anything(tmp_path: Path) -> None:
    with spanning(tmp_path) as there:
        asked = of_one(parse([{"match": {"name": "app"}, "on_span": "fail"}]))
        (refusal,) = preview(there.engine, asked).refusals or []
        with pytest.raises(Exception, match=f"also has files on {TWO}, which policy 1"):
            execute(there.engine, asked)
        assert not there.order.count(Moment(CREATE)) and there.zfs.snapshots == {}
    assert f"it also has files on {TWO}" in refusal


def test_a_dataset_that_is_excluded_is_not_included(tmp_path: Path) -> None:
    with spanning(tmp_path) as there:
        asked = replace(of_one(), dataset=TREE, recursive=True, exclude=(TWO,))
        result = execute(there.engine, asked).as_dict()
    assert f"{TWO}@one" not in result["zfs_snapshots"]
    assert any(f"{TWO}, which cannot be included: exclude names it" in one for one in result["warnings"])


def test_a_dataset_whose_snapshot_exists_is_not_included(tmp_path: Path) -> None:
    with spanning(tmp_path) as there:
        execute(there.engine, replace(of_one(()), dataset=TWO))
        result = execute(there.engine, of_one()).as_dict()
    assert result["zfs_snapshots"] == [f"{ONE}@one"] and result["complete"]
    assert any(f"the ZFS snapshot {TWO}@one exists already" in one for one in result["warnings"])


def test_what_is_stored_for_a_dataset_holds_for_every_run(tmp_path: Path) -> None:
    with stage(tmp_path, nfs(vm("web"), FIREWALL)) as there:
        there.engine.policies.put("tank", ACCEPT)
        shown = preview(there.engine, Request(TREE, "one")).as_dict()
        result = there.run().result
    for each in (shown, result):
        policies = {one["name"]: one["policy"] for one in each["vms"]}
        assert policies == {"web": "", "fw01": "policy 1 of tank (name 'fw*')"} and each["complete"]
        assert each["consistency"] == "crash" and each["required_consistency"] == "filesystem"
        assert (each["vms_excluded"], each["vms_accepted"]) == (0, 1)


def test_a_stored_policy_that_cannot_be_read_stops_only_itself(tmp_path: Path) -> None:
    broken = parse_stored([{"match": {"name": "web"}, "future": 1}, *({"match": {"name": "fw*"}, "accept": "crash"},)])
    with stage(tmp_path, nfs(vm("web"), FIREWALL)) as there:
        there.engine.policies.put(TREE, broken)
        result = there.run().result
    assert result["complete"] and result["consistency_text"] == "filesystem (1 VM accepted at crash: fw01)"
    assert ["cannot be used" in one for one in result["warnings"]] == [True]


def test_the_record_has_what_policies_made_of_its_vms(tmp_path: Path) -> None:
    with stage(tmp_path, nfs(vm("web"), FIREWALL, vm("scratch"))) as there:
        asked = Request(
            TREE, "one", policy=Policy(policies=ACCEPT, exclude_vms=("scratch",), max_hold=20.0, vm_timeout=10.0)
        )
        taken = execute(there.engine, asked).as_dict()
        again = execute(there.engine, asked).as_dict()
        (found,) = record.read(there.zfs, [f"{TREE}@one"]).values()
    assert found.sealed and (found.consistency, found.required_consistency, found.complete) == (
        "crash",
        "filesystem",
        True,
    )
    assert not again["created"]
    for each in (taken, again):
        assert each["consistency_text"] == "filesystem (1 excluded, 1 VM accepted at crash: fw01)"


def test_a_repeated_run_judges_the_record_by_its_policies(tmp_path: Path) -> None:
    """A VM that failed and was allowed to does not make the repetition fail."""
    gentle = Policy(
        policies=parse([{"match": {"tag": {"category": "a", "name": "b"}}, "accept": "crash"}]),
        on_vm_failure="fail", max_hold=20.0, vm_timeout=10.0,
    )  # fmt: skip
    fault = rule("task_fault", CREATE, "web", fault="FileLocked")
    with stage(tmp_path, nfs(vm("app"), vm("web", tags={"a": ["b"]}))) as there:
        there.servers[0].rule(**fault.fields())
        first = execute(there.engine, Request(TREE, "one", policy=gentle)).as_dict()
        second = execute(there.engine, Request(TREE, "one", policy=gentle)).as_dict()
        with pytest.raises(SnapshotExists):
            execute(there.engine, Request(TREE, "one", policy=replace(gentle, policies=())))
    assert first["created"] and not second["created"] and first["vms"] != [] and second["complete"]


def test_tags_that_cannot_be_read_fail_the_run_before_any_vm_is_held(tmp_path: Path) -> None:
    tagged = Policy(policies=parse([{"match": {"tag": {"category": "a", "name": "b"}}, "exclude": True}]))
    with stage(tmp_path, nfs(vm("web"))) as there:
        there.servers[0].rule(effect="http_status", method="Rest.Login", status=500)
        for work in (preview, execute):
            with pytest.raises(TagsUnreadable):
                work(there.engine, Request(TREE, "one", policy=tagged))
        assert not there.order.count(Moment(CREATE)) and there.zfs.snapshots == {}


def test_labels_are_read_only_if_a_policy_names_them(tmp_path: Path) -> None:
    """Twelve policies that need no label cost no call. Labels cost a few calls, whatever the number of VMs."""
    names = [{"match": {"name": f"x{number}*"}, "accept": "crash"} for number in range(12)]
    labels = [
        {"match": {"folder": "prod"}, "accept": "crash"},
        {"match": {"resource_pool": "slow"}, "accept": "crash"},
        {"match": {"attribute": {"name": "Owner", "value": "storage"}}, "accept": "crash"},
    ]
    tag = {"match": {"tag": {"category": "backup", "name": "no"}}, "exclude": True}
    tags = {"backup": ["daily"], "tier": ["1"]}
    calls: list[int] = []
    requests: list[int] = []
    with stage(tmp_path, nfs(*(vm(f"vm{number}", tags=tags, folder="test") for number in range(120)))) as there:
        server = there.servers[0]
        assert isinstance(server, Vcenter)
        for policies in ([], names, [*names[:9], *labels], [*names[:8], *labels, tag]):
            there.order.clear()
            server.rest.calls.clear()
            preview(there.engine, Request(TREE, "one", policy=Policy(policies=parse(policies))))
            calls.append(sum(not moment.zfs for moment in there.order))
            requests.append(len(server.rest.calls))
    without, by_name, by_label, by_all = calls
    assert by_name == without and by_label == by_all <= without + 15
    assert requests[:3] == [0, 0, 0] and 0 < requests[3] <= 10
