# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM with a leftover of an earlier run gets no other VMware snapshot. Leftovers of other hosts do not count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.earlier_runs import EarlierRuns
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery import recover
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery.result import Recovery
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots import release
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import identity
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import Engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal_entries import (
    ABSENT,
    CREATED,
    INTENDED,
    REMOVING,
    UNCONSOLIDATED,
    Entry,
)
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.model import (
    CONSOLIDATE,
    CREATE,
    REMOVE,
    TREE,
    Expected,
    Scenario,
    nfs,
    rule,
    vm,
)
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.play import Stage
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.inventory import Machine
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.vsphere import Vcenter, connect

EARLIER = "20260101T020000-0badcafe"
NAME = identity.snapshot_name(EARLIER)
REMOVED_BEFORE = "absent after a removal"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    scenario = Scenario("two", ((nfs(vm("app"), vm("web")),),), Expected({}))
    with Stage(scenario, lambda number, config: Vcenter(config), connect, tmp_path) as opened:
        yield opened


def web(stage: Stage) -> Machine:
    server: Any = stage.servers[0]
    machines: list[Machine] = list(server.inventory.machines.values())
    return next(one for one in machines if one.config.name == "web")


def take(stage: Stage, name: str = NAME, host: str = "", mark: bool = True) -> None:
    """Give the VM `web` a VMware snapshot of this storage host or of another one."""
    maker = identity.StorageHost(host or stage.engine.host.name, host or stage.engine.host.id)
    text = identity.description(maker, EARLIER, f"{TREE}@old") if mark else "by hand"
    server: Any = stage.servers[0]
    server.inventory.add_snapshot(web(stage), name, text, False)


def enter(engine: Engine, machine: Machine, server: Any, state: str, needed: bool = False) -> int:
    """Write an open entry for the VM to the journal."""
    (entry,) = engine.journal.intend(
        [
            Entry(
                EARLIER,
                server.host,
                server.port,
                machine.moid,
                machine.instance_uuid,
                "web",
                NAME,
                username=server.user,
                needed_consolidation=needed,
            )
        ]
    )
    if state not in (INTENDED, ABSENT):
        engine.journal.created({entry: "snapshot-9"})
    if state in (REMOVING, REMOVED_BEFORE):
        engine.journal.removing({entry: ("snapshot-9", needed)})
    if state in (ABSENT, REMOVED_BEFORE):
        engine.journal.absent([entry])
    if state == UNCONSOLIDATED:
        engine.journal.unconsolidated({entry: "why"})
    return entry


def vms(stage: Stage, snapshot: str) -> dict[str, tuple[str, str]]:
    """The level and reason of each VM after a run."""
    return {one["name"]: (one["level"], one["reason"]) for one in stage.run(snapshot).result["vms"]}


# ---- VMware snapshots


def test_a_vm_whose_removal_fails_night_after_night_has_one_of_ours(stage: Stage) -> None:
    stage.servers[0].rule(**rule("task_fault", REMOVE, "web", fault="FileLocked").fields())
    stage.run("one")
    for name in ("two", "three"):
        found = vms(stage, name)
        assert found["app"] == ("filesystem", "")
        assert found["web"][0] == "crash" and "still exists" in found["web"][1] and "FileLocked" in found["web"][1]
        assert f"{TREE}@{name}" in stage.zfs.snapshots
        assert len(web(stage).snapshots) == 1 and web(stage).snapshots[0].children == []
    stage.servers[0].clear_rules()
    assert vms(stage, "four")["web"] == ("filesystem", "") and web(stage).snapshots == []


def test_one_that_only_its_mark_tells_of_counts(stage: Stage) -> None:
    """The database was lost, or the VM was restored with the VMware snapshot."""
    take(stage)
    found = vms(stage, "one")
    assert found["web"][0] == "crash" and "--scan" in found["web"][1] and len(web(stage).snapshots) == 1
    assert found["app"] == ("filesystem", "")


def test_it_is_a_failure_of_the_vm_for_the_policy(tmp_path: Path) -> None:
    request = {"on_vm_failure": "fail"}
    scenario = Scenario("fail", ((nfs(vm("web")),),), Expected({}), request=request)
    with Stage(scenario, lambda number, config: Vcenter(config), connect, tmp_path) as stage:
        take(stage)
        outcome = stage.run()
        assert outcome.error is not None and "still exists" in str(outcome.error)
        assert outcome.zfs.snapshots == {}


@pytest.mark.parametrize(
    ("name", "host", "mark"),
    [(NAME, "0123456789ab", True), (NAME, "", False), ("before the upgrade", "", True), (f"{NAME}9", "", True)],
    ids=["another storage host", "no mark", "another name", "a name that is not the mark's"],
)
def test_other_peoples_do_not_count(stage: Stage, name: str, host: str, mark: bool) -> None:
    take(stage, name, host, mark)
    assert vms(stage, "one")["web"] == ("filesystem", "") and len(web(stage).snapshots) == 1


def test_that_of_a_living_run_does_not_count(stage: Stage) -> None:
    """A VM with disks on two datasets is part of two runs at the same time."""
    take(stage)
    enter(stage.engine, web(stage), stage.servers[0], CREATED)
    with stage.engine.locks.alive(EARLIER, "tank/other"):
        assert vms(stage, "one")["web"] == ("filesystem", "") and len(web(stage).snapshots) == 1


def test_that_of_a_wave_that_ended_while_the_plan_was_made_does_not_count(stage: Stage) -> None:
    wave = identity.wave_ids(EARLIER, 2)[1]
    text = identity.description(stage.engine.host, wave, f"{TREE}@old")
    with stage.engine.locks.run(EARLIER, "tank/other", 0):
        earlier = EarlierRuns(stage.engine)
    login: Any = None
    seen: Any = SimpleNamespace(snapshots=((identity.snapshot_name(wave), text),), consolidation_needed=False)
    assert earlier.leftover_of(login, seen) == ""
    assert "from an earlier run still exists" in EarlierRuns(stage.engine).leftover_of(login, seen)


def test_that_of_a_clone_of_this_host_does_not_count(stage: Stage) -> None:
    """The run of the other host may be alive. Only that host can decide."""
    clone = "0a0b0c0d0e0f"
    stage.engine.host = replace(stage.engine.host, former=frozenset([clone]))
    take(stage, host=clone)
    assert vms(stage, "one")["web"] == ("filesystem", "") and len(web(stage).snapshots) == 1
    stage.engine.journal.open_run(EARLIER, "", TREE, [f"{TREE}@old"])
    assert vms(stage, "two")["web"][0] == "crash"


def test_what_is_only_watched_does_not_count_until_it_is_seen(stage: Stage) -> None:
    enter(stage.engine, web(stage), stage.servers[0], ABSENT)
    assert vms(stage, "one")["web"] == ("filesystem", "")
    with stage.engine.locks.recovery(1.0):  # another recovery is running, so this run does not start one
        take(stage, mark=False)
        assert "still exists" in vms(stage, "two")["web"][1]


def test_a_vm_that_is_off_stays_still(stage: Stage) -> None:
    take(stage)
    stage.servers[0].vm("web", power="off")
    assert vms(stage, "one")["web"][0] == "still"


# ---- Consolidation


def consolidations(stage: Stage) -> int:
    server: Any = stage.servers[0]
    return int(server.calls[CONSOLIDATE])


def test_a_vm_whose_removal_left_delta_files_gets_no_further_ones(stage: Stage) -> None:
    stage.servers[0].rule(**rule("needs_consolidation", REMOVE, "web", count=1).fields())
    stage.servers[0].rule(**rule("task_fault", CONSOLIDATE, "web", fault="FileLocked").fields())
    assert "which failed" in vms(stage, "one")["web"][1]
    server: Any = stage.servers[0]
    asked = server.calls[CREATE]
    level, reason = vms(stage, "two")["web"]
    assert level == "crash" and "need consolidation after" in reason and "FileLocked" in reason
    assert server.calls[CREATE] == asked + 1, "app alone"
    stage.servers[0].clear_rules()
    assert vms(stage, "three")["web"] == ("filesystem", "") and stage.engine.journal.open_entries() == []
    assert not web(stage).consolidation_needed


def test_recovery_lists_what_is_not_consolidated(stage: Stage) -> None:
    stage.servers[0].rule(**rule("needs_consolidation", REMOVE, "web", count=1).fields())
    stage.servers[0].rule(**rule("task_fault", CONSOLIDATE, "web", fault="FileLocked").fields())
    stage.run("one")
    for dry in (True, False):
        done = recover.recover(stage.engine, dry=dry)
        assert [one.vm for one in done.left] == ["web"] and "need consolidation" in done.left[0].reason
        assert done.removed == done.watched == []
    stage.servers[0].clear_rules()
    done = recover.recover(stage.engine)
    assert done.left == [] and stage.engine.journal.open_entries() == [] and not web(stage).consolidation_needed


def test_delta_files_are_not_forgotten_while_the_vm_is_out_of_sight(stage: Stage) -> None:
    """For one look only: the VM is registered again, or its folder could not be read."""
    stage.servers[0].rule(**rule("needs_consolidation", REMOVE, "web", count=1).fields())
    stage.servers[0].rule(**rule("task_fault", CONSOLIDATE, "web", fault="FileLocked").fields())
    stage.run("one")
    server: Any = stage.servers[0]
    machine = web(stage)
    server.unregister("web")
    assert [one.vm for one in recover.recover(stage.engine).watched] == ["web"]
    server.register_again("web")
    assert web(stage) is machine and machine.consolidation_needed
    dry = recover.recover(stage.engine, dry=True)
    assert [one.vm for one in dry.left] == ["web"] and "need consolidation" in dry.left[0].reason
    with stage.engine.locks.recovery(1.0):  # another recovery is running, so this run does not start one
        assert "need consolidation after" in vms(stage, "two")["web"][1]
    assert [one.vm for one in recover.recover(stage.engine).left] == ["web"]
    stage.servers[0].clear_rules()
    assert recover.recover(stage.engine).left == [] and stage.engine.journal.open_entries() == []
    assert not machine.consolidation_needed


@pytest.mark.parametrize(
    ("state", "there", "needed", "ours"),
    [
        (REMOVING, False, False, True),
        (REMOVING, False, True, False),
        (UNCONSOLIDATED, False, False, True),
        (REMOVED_BEFORE, False, False, True),
        (REMOVED_BEFORE, False, True, False),
        (INTENDED, False, False, False),
        (CREATED, False, False, False),
        (CREATED, True, False, False),  # it was already needed before this removal
    ],
)
def test_a_recovery_consolidates_what_a_removal_of_ours_has_caused(
    stage: Stage, state: str, there: bool, needed: bool, ours: bool
) -> None:
    machine = web(stage)
    enter(stage.engine, machine, stage.servers[0], state, needed)
    machine.consolidation_needed = True
    if there:
        take(stage)
    recover.recover(stage.engine)
    assert consolidations(stage) == ours and machine.consolidation_needed != ours and machine.snapshots == []
    assert [one.state for one in stage.engine.journal.open_entries()] == (
        [ABSENT] if state in (INTENDED, REMOVED_BEFORE) else []
    )


@pytest.mark.parametrize(("earlier", "before", "ours"), [(False, True, False), (True, False, True)])
def test_what_a_recovery_saw_before_its_removal_outlives_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, earlier: bool, before: bool, ours: bool
) -> None:
    """The process is killed after it requested the removal. The state before the run was `earlier`."""
    machine = web(stage)
    enter(stage.engine, machine, stage.servers[0], CREATED, needed=earlier)
    take(stage)
    machine.consolidation_needed = before

    class Killed(Exception):
        pass

    class Dying:
        def __init__(self, *_unused: Any) -> None:
            pass

        def run(self, jobs: list[Any]) -> None:
            if jobs:
                raise Killed

    with monkeypatch.context() as killed, pytest.raises(Killed):
        killed.setattr(release, "TaskScheduler", Dying)
        recover.recover(stage.engine)
    assert [one.state for one in stage.engine.journal.open_entries()] == [REMOVING]
    machine.snapshots.clear()
    machine.consolidation_needed = True
    recover.recover(stage.engine)
    assert consolidations(stage) == ours and stage.engine.journal.open_entries() == []


def test_what_needs_no_consolidation_any_more_is_over(stage: Stage) -> None:
    enter(stage.engine, web(stage), stage.servers[0], UNCONSOLIDATED)
    assert recover.recover(stage.engine) == Recovery()
    assert consolidations(stage) == 0 and stage.engine.journal.open_entries() == []


def test_a_vm_that_others_left_in_need_is_held_as_ever(stage: Stage) -> None:
    web(stage).consolidation_needed = True
    assert vms(stage, "one")["web"] == ("filesystem", "") and consolidations(stage) == 0
    assert stage.engine.journal.open_entries() == []
    assert vms(stage, "two")["web"] == ("filesystem", "")


def test_a_consolidation_that_does_nothing_is_not_believed(stage: Stage) -> None:
    stage.servers[0].rule(**rule("needs_consolidation", REMOVE, "web", count=1).fields())
    stage.servers[0].rule(**rule("task_vanish", CONSOLIDATE, "web", carried_out=False, count=1).fields())
    stage.run("one")
    assert [one.state for one in stage.engine.journal.open_entries()] == [UNCONSOLIDATED]
