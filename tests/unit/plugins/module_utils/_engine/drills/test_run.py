# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""However a drill ends, what it did is taken away, and what is left is reported."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills import evidence, run
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.plan import DrillPlan, drilled
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.request import DrillRequest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.result import DrillResult
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import RestoreFailed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import undo
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.plan import (
    MountPlan,
    PlannedVm,
    RestorePlan,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.request import RestoreRequest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import Engine, open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import DRILL
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import holds
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import SnapshotName

from .test_drilling import source_of

SNAPSHOT = SnapshotName("tank/vmware", "auto")
SESSION: Any = SimpleNamespace(
    endpoint=SimpleNamespace(hostname="vc1.example.com", port=443), username="drill@vsphere.local"
)
NO_ROOM = RestoreFailed("The clone could not be mounted", "Free an NFS slot on the host")


class Drill:
    """A drill of two VMs whose parts are replaced. `left` is what cannot be taken away."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine, self.left, self.undone = engine, list[str](), list[str]()
        self.stored: list[DrillResult] = []
        sources = [source_of(name) for name in ("a", "b")]
        host: Any = SimpleNamespace(name="esxi01", moid="host-1")
        mount = MountPlan(host, ("10.0.0.7",), "nas1", "3")
        vms = tuple(PlannedVm(source, source.name, "") for source in sources)
        restore = RestorePlan(RestoreRequest(SNAPSHOT, ("a", "b"), DRILL), vms, (str(SNAPSHOT),), mount)
        self.plan = DrillPlan(DrillRequest(SNAPSHOT), restore, (drilled(source_of("c"), "failed", "Damaged."),))
        monkeypatch.setattr(run, "make_plan", lambda *given: self.plan)
        monkeypatch.setattr(holds, "hold", lambda *given: None)
        monkeypatch.setattr(undo, "undo", self._undo)
        monkeypatch.setattr(evidence, "store", self._store)
        monkeypatch.setattr(run, "create_datastores", lambda *given: None)
        self._patch = monkeypatch

    def _undo(self, engine: Engine, session: Any, record: Any) -> list[str]:
        self.undone.append(record.id)
        return self.left

    def _store(self, zfs: Any, result: DrillResult) -> list[str]:
        self.stored.append(result)
        return []

    def trying(self, work: Callable[[DrillResult], None]) -> None:
        self._patch.setattr(run._Drill, "_run_flows", lambda drill, *given: work(drill._result))

    def run(self) -> DrillResult:
        return run.execute(self.engine, SESSION, self.plan.request)


@pytest.fixture
def drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drill]:
    with open_engine(Paths(tmp_path / "state", tmp_path / "key", tmp_path / "locks")) as engine:
        yield Drill(engine, monkeypatch)


def verify_all(result: DrillResult) -> None:
    for vm in result.vms[:2]:
        vm.verdict, vm.boot_seconds = "verified", 41.2


def test_the_verdicts_are_stored_before_the_drill_is_taken_away(drill: Drill) -> None:
    drill.trying(verify_all)
    result = drill.run()
    assert [vm.verdict for vm in result.vms] == ["verified", "verified", "failed"] and result.verdict == "failed"
    assert drill.stored == [result] and drill.undone == [result.drill_id] and result.recorded
    assert [vm.drill_name for vm in result.vms[:2]] == [f"{name} (drill {result.drill_id})" for name in "ab"]
    (record,) = drill.engine.restores.list()
    assert record.way == DRILL and record.result["verdict"] == "failed"


def test_a_vm_that_failed_without_a_start_had_its_turn(drill: Drill) -> None:
    drill.trying(lambda result: None)
    drill.run()
    turns = drill.engine.drills.turns()
    assert turns["tank/vmware/c/mail.vmx"].verdict == "failed" and "tank/vmware/a/mail.vmx" not in turns


def test_what_is_left_is_in_the_result(drill: Drill) -> None:
    drill.trying(verify_all)
    drill.left = ["The clone tank/vmware-zfs-restores/1/0 still exists: dataset is busy"]
    assert drill.run().left == drill.left


@pytest.mark.parametrize(
    ("left", "remedy"),
    [([], "Nothing is left of the drill"), (["The clone x still exists"], "The clone x still exists")],
)
def test_a_drill_that_cannot_begin_is_taken_away(left: list[str], remedy: str, drill: Drill) -> None:
    def fail(result: DrillResult) -> None:
        raise NO_ROOM

    drill.trying(fail)
    drill.left = left
    with pytest.raises(RestoreFailed, match="could not be mounted") as failed:
        drill.run()
    assert remedy in failed.value.remedy and failed.value.details["left"] == left
    assert len(drill.undone) == 1 and drill.stored == []


def test_a_drill_that_is_interrupted_is_taken_away(drill: Drill) -> None:
    def interrupt(result: DrillResult) -> None:
        raise KeyboardInterrupt

    drill.trying(interrupt)
    with pytest.raises(KeyboardInterrupt):
        drill.run()
    assert len(drill.undone) == 1 and drill.stored == []


def test_a_drill_that_something_forbids_begins_nothing(drill: Drill) -> None:
    drill.plan = DrillPlan(drill.plan.request, refusals=("No ESXi host has a free NFS slot.",))
    with pytest.raises(RestoreFailed, match="No VM was tried: No ESXi host has a free NFS slot"):
        drill.run()
    assert drill.engine.restores.list() == [] and drill.undone == []
