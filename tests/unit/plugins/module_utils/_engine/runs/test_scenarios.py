# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of scenarios with a fake vSphere: complete runs of the engine in memory."""

from __future__ import annotations

import os
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Mapping

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import ZfsError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Policy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.manifest import PREFIX
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runs import run
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runs.run import preview
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.model import (
    CREATE,
    HELD,
    RELEASING,
    TAKEN,
    TREE,
    WAIT,
    Event,
    Expected,
    Moment,
    Scenario,
    World,
    ZfsFault,
    nfs,
    rule,
    vm,
)
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.play import Stage, play
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.table import SCENARIOS
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.vsphere import Vcenter, connect

PLAIN = Scenario("plain", ((nfs(vm("web")),),), Expected({"web": "filesystem"}))


def start(number: int, config: Mapping[str, Any]) -> Vcenter:
    return Vcenter(config)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario: Scenario, tmp_path: Path) -> None:
    play(scenario, start, connect, tmp_path)


def test_counts_and_results_say_which_vm_was_not_released(tmp_path: Path) -> None:
    scenario = next(one for one in SCENARIOS if one.name == "a removal fails for good")
    steps: list[str] = []
    with Stage(scenario, start, connect, tmp_path) as stage:
        stage.engine = replace(stage.engine, report=steps.append)
        outcome = stage.run()
        run = stage.engine.journal.run(outcome.result["run_id"])
    assert steps[-1] == "Released 1 VM, and could not release 1 VM"
    assert run is not None and run.result["problems"] == outcome.result["problems"]
    assert "1 VMware snapshot could not be removed: 'vmware-zfs" in run.result["problems"][-1]
    reasons = {vm["name"]: vm["reason"] for vm in run.result["vms"]}
    assert reasons["app"] == "" and reasons["web"].startswith("its VMware snapshot could not be removed: ")


def test_a_vm_that_was_never_held_is_not_counted_as_released(tmp_path: Path) -> None:
    fault = rule("call_fault", CREATE, "web", fault="InvalidState")
    scenario = Scenario("refused", ((nfs(vm("app"), vm("web")),),), Expected(), rules=(fault,))
    steps: list[str] = []
    with Stage(scenario, start, connect, tmp_path) as stage:
        stage.engine = replace(stage.engine, report=steps.append)
        stage.run()
    assert steps[-1] == "Released 1 VM"


@pytest.mark.parametrize("wave_size", [0, 1])
def test_what_is_excluded_and_is_not_there_is_warned_of(tmp_path: Path, wave_size: int) -> None:
    """The dry run, the run and the journal have the warning. It does not lower the level."""
    asked: dict[str, Any] = {
        "exclude_vms": ("scartch-*", "web"),
        "exclude": (f"{TREE}/scartch",),
        "recursive": True,
        "wave_size": wave_size,
    }
    scenario = Scenario("typo", ((nfs(vm("app"), vm("web")),),), Expected(), request=asked)
    said = [
        f"exclude names the dataset '{TREE}/scartch', which does not exist; correct or remove it.",
        f"exclude_vms has 'scartch-*', which matches no VM on {TREE}; correct or remove the entry.",
    ]
    with Stage(scenario, start, connect, tmp_path) as stage:
        policy = Policy(exclude_vms=asked["exclude_vms"], wave_size=wave_size)
        request = Request(TREE, "two", recursive=True, exclude=asked["exclude"], policy=policy)
        assert preview(stage.engine, request).warnings == said
        result = stage.run().result
        run = stage.engine.journal.run(result["run_id"])
    assert result["warnings"] == said and result["complete"] and result["problems"] == []
    assert run is not None and run.result["warnings"] == said


def test_nothing_is_claimed_before_it_is_proven(tmp_path: Path) -> None:
    with Stage(PLAIN, start, connect, tmp_path) as stage:
        stage.run()
    written = {key.removeprefix(PREFIX): value for key, value in stage.zfs.taken[f"{TREE}@one"].items()}
    assert written.keys() == {"run", "host", "consistency", "complete"}
    assert (written["consistency"], written["complete"]) == ("crash", "no")


def test_an_excluded_volume_lowers_nothing(tmp_path: Path) -> None:
    lun = f"{TREE}/lun"
    scenario = replace(PLAIN, datasets=(TREE, lun), volumes=(lun,), request={"exclude": (lun,)})
    with Stage(scenario, start, connect, tmp_path) as stage:
        result = stage.run().result
    assert (result["zfs_snapshots"], result["problems"], result["complete"]) == ([f"{TREE}@one"], [], True)


@pytest.mark.parametrize("whole", [False, True])
def test_what_may_not_be_read_is_excluded_by_its_managed_object_id(tmp_path: Path, whole: bool) -> None:
    unreadable = Scenario(
        "unreadable", ((nfs(vm("app"), vm("web")),),), PLAIN.expected, unreadable=("app",), whole=whole
    )
    moid = next(moid for moid, one in Vcenter({"datastores": unreadable.servers[0]}).inventory.machines.items())
    for entry, complete in (("app", False), ("*", False), ("vm-*", False), ("", False), (moid, True)):
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        with Stage(replace(unreadable, request={"exclude_vms": (entry,)}), start, connect, folder) as stage:
            result = stage.run().result
        levels = {vm["name"]: vm["level"] for vm in result["vms"]}
        held = "crash" if entry == "*" else "filesystem"
        assert levels == {moid: "crash", "web": held} and result["complete"] is complete, entry


# ---- Datasets that do not exist, or not yet

_CHILDREN = (TREE, f"{TREE}/app", f"{TREE}/old", f"{TREE}/web")
_APART = Scenario(
    "apart",
    ((nfs(vm("app"), name="ds1", dataset=_CHILDREN[1]), nfs(vm("web"), name="ds2", dataset=_CHILDREN[3])),),
    Expected({"app": "filesystem", "web": "filesystem"}),
    datasets=_CHILDREN,
)


@pytest.mark.parametrize("wave_size", [0, 1])
def test_a_half_received_dataset_is_left_out_with_a_warning(tmp_path: Path, wave_size: int) -> None:
    half = f"{TREE}/old"
    scenario = replace(_APART, receiving=(half,), request={"wave_size": wave_size})
    with Stage(scenario, start, connect, tmp_path) as stage:
        shown = run.preview(stage.engine, Request(TREE, "one", recursive=True)).as_dict()
        outcome = stage.run()
    assert outcome.error is None and outcome.result["complete"] and half not in outcome.result["zfs_snapshots"]
    assert outcome.result["zfs_snapshots"] == [f"{name}@one" for name in _CHILDREN if name != half]
    for result in (shown, outcome.result):
        (warning,) = result["warnings"]
        assert warning.startswith(f"The dataset {half} is left out because a 'zfs receive' into it")
        assert result["problems"] == []


def test_a_half_received_root_is_refused_before_a_vm_is_held(tmp_path: Path) -> None:
    with Stage(replace(PLAIN, receiving=(TREE,)), start, connect, tmp_path) as stage:
        with pytest.raises(ZfsError, match="a 'zfs receive' into it is not complete"):
            stage.run()
        assert stage.servers[0].snapshots() == {"web": []} and not stage.order.count(Moment(CREATE))


def destroy(*names: str) -> Callable[[World], None]:
    """Destroy datasets during the run."""

    def work(world: World) -> None:
        for name in names:
            world.zfs.datasets.remove(name)

    return work


@pytest.mark.parametrize("wave_size", [0, 1])
def test_a_dataset_that_is_destroyed_after_the_plan_is_left_out(tmp_path: Path, wave_size: int) -> None:
    event = Event(HELD, destroy(f"{TREE}/old"))
    scenario = replace(_APART, events=(event,), request={"wave_size": wave_size})
    with Stage(scenario, start, connect, tmp_path) as stage:
        outcome = stage.run()
        left = [f"{name}@one" for name in _CHILDREN if name != f"{TREE}/old"]
        assert outcome.error is None, outcome.error
        assert outcome.result["zfs_snapshots"] == left == list(outcome.zfs.snapshots) and outcome.result["complete"]
        assert outcome.result["warnings"] == [
            f"The dataset {TREE}/old was destroyed or renamed during the run and is left out."
        ]
        assert all(one.sealed and one.run_complete for one in record.read(outcome.zfs, left).values())
    assert outcome.there == [] == outcome.open


def test_a_dataset_with_a_vm_that_is_destroyed_after_the_plan_ends_the_run(tmp_path: Path) -> None:
    scenario = replace(_APART, events=(Event(HELD, destroy(f"{TREE}/old", f"{TREE}/web")),))
    with Stage(scenario, start, connect, tmp_path) as stage:
        outcome = stage.run()
    assert f"the dataset {TREE}/web was destroyed or renamed during the run, and the VM 'web'" in str(outcome.error)
    assert outcome.zfs.snapshots == {} and outcome.there == [] == outcome.open
    assert outcome.zfs.commands["snapshot"] == 1


def test_a_dataset_is_missed_only_where_zfs_says_so(tmp_path: Path) -> None:
    """Any other failure is reported unchanged, even if a dataset was destroyed meanwhile."""
    scenario = replace(
        _APART, events=(Event(HELD, destroy(f"{TREE}/old")),), zfs=(ZfsFault("snapshot", carried_out=False),)
    )
    with Stage(scenario, start, connect, tmp_path) as stage:
        outcome = stage.run()
    assert "suspended" in str(outcome.error) and outcome.zfs.commands["snapshot"] == 1


def test_many_waves_take_no_more_open_files_than_one(tmp_path: Path) -> None:
    names = tuple(f"{TREE}/vm{number:02}" for number in range(15))
    datastores = tuple(nfs(vm(f"vm{at}"), name=f"ds{at}", dataset=name) for at, name in enumerate(names))
    scenario = Scenario("many waves", (datastores,), Expected(None), datasets=(TREE, *names), request={"wave_size": 1})
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Stage(scenario, start, connect, tmp_path) as stage:
        few = len(os.listdir("/proc/self/fd")) + 10
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, before[1]))
        try:
            outcome = stage.run()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert outcome.error is None and outcome.result["complete"] and len(outcome.result["waves"]) == len(names)


def test_the_looks_are_on_both_sides_of_the_zfs_snapshot(tmp_path: Path) -> None:
    with Stage(PLAIN, start, connect, tmp_path) as stage:
        stage.run()
    held, taken, released = (stage.order.index(moment) for moment in (HELD, TAKEN, RELEASING))
    sealed = next(at for at, moment in enumerate(stage.order) if moment.method == "program")
    looks = [at for at, moment in enumerate(stage.order) if moment.method == WAIT]
    assert any(at < held for at in looks) and not any(held < at < taken for at in looks)
    assert any(taken < at < released for at in looks) and any(taken < at < sealed for at in looks)
    assert Moment("snapshot", 2, zfs="before") not in stage.order
