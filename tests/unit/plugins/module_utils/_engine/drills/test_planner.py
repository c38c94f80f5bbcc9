# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VMs of a ZFS snapshot a drill tries: each has its turn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills import choice
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.planner import NOT_IN_SAMPLE, _Planner
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.request import DrillRequest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import Record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.sources import Source
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.drills import Drills
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import SnapshotTask
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.host_capacity import Capacity
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import SnapshotName
from ansible_collections.quiesce.vmware_zfs.tests.unit.zfs_pool import Pool

from .test_drilling import source_of

SNAPSHOT = SnapshotName("tank/vmware", "auto")
VMS = [source_of(name) for name in ("a", "b", "c", "d")]


@pytest.fixture
def drills(tmp_path: Path) -> Iterator[Drills]:
    with Database.open(Paths(tmp_path / "state", tmp_path / "key", tmp_path / "locks")) as database:
        yield Drills(database)


def planner(**options: Any) -> _Planner:
    return _Planner(None, None, DrillRequest(SNAPSHOT, **options), ())  # type: ignore[arg-type]


def tried(drills: Drills, drill: str, count: int) -> list[str]:
    """Choose VMs as a drill does, and record that they had their turn."""
    chosen = planner(sample=count).in_turn(VMS, drills.turns())
    for vm in chosen:
        drills.begin(f"tank/vmware/{vm.vm.path}", vm.name, str(SNAPSHOT), drill)
    return [vm.name for vm in chosen]


def test_every_vm_has_its_turn(drills: Drills) -> None:
    turns = [tried(drills, f"d{number}", 3) for number in range(4)]
    assert turns == [["a", "b", "c"], ["d", "a", "b"], ["c", "d", "a"], ["b", "c", "d"]]


def test_a_verdict_belongs_to_its_drill(drills: Drills) -> None:
    drills.begin("tank/vmware/a", "a", str(SNAPSHOT), "d1")
    drills.begin("tank/vmware/a", "a", str(SNAPSHOT), "d2")
    drills.end("tank/vmware/a", "d1", "verified")
    assert drills.turns()["tank/vmware/a"].verdict == ""
    drills.end("tank/vmware/a", "d2", "failed")
    assert drills.turns()["tank/vmware/a"].verdict == "failed"


def test_what_is_not_in_the_sample_is_not_tried() -> None:
    made = planner(sample=1)
    assert [vm.name for vm in made.in_turn(VMS, ())] == ["a"]
    assert [(vm.name, vm.verdict, vm.reason) for vm in made.judged] == [
        (name, "not tried", NOT_IN_SAMPLE) for name in ("b", "c", "d")
    ]


def changed(vm: Source, **configuration: Any) -> Source:
    found = replace(vm.vm, configuration=replace(vm.vm.configuration, **configuration))
    return replace(vm, vm=found)


def test_templates_and_the_vms_of_vsphere_have_no_turn() -> None:
    made = planner(sample=1)
    vms = [changed(VMS[0], template=True), replace(VMS[1], name="vCLS-4711"), VMS[2]]
    assert [vm.name for vm in made.in_turn(vms, ())] == ["c"]
    assert [vm.verdict for vm in made.judged] == ["not tried", "not tried"]


def test_a_vm_whose_files_are_damaged_fails_without_a_start() -> None:
    made = planner()
    damaged = replace(VMS[0], vm=replace(VMS[0].vm, problems=("The disk scsi0:0 cannot be used: it is damaged.",)))
    assert made.bootable([damaged, VMS[1]]) == [VMS[1]]
    assert (made.judged[0].verdict, made.judged[0].reason) == (
        "failed",
        "The disk scsi0:0 cannot be used: it is damaged.",
    )


def test_a_vm_that_needs_too_much_memory_is_inconclusive() -> None:
    made = planner()
    host = Capacity(SimpleNamespace(name="esx1"), "", 4096, None, frozenset())  # type: ignore[arg-type]
    assert made._fitting([changed(VMS[0], memory=8192), VMS[1]], 4096, host) == [VMS[1]]
    assert made.judged[0].verdict == "inconclusive" and "It needs 8192 MB of memory" in made.judged[0].reason


# ---- Which ZFS snapshot

KEY = "0123456789abcdef"
TASK = SnapshotTask("tank/vmware", id=1, key=KEY)


def pool(**complete: bool) -> Pool:
    made = Pool()
    for name, value in complete.items():
        record = Record(f"run-{name}", "h", KEY, consistency="filesystem", complete=value)
        made.add(f"tank/vmware@{name}", {**record.first(), **dict(record.seal())})
    return made


def test_the_newest_complete_snapshot_is_chosen() -> None:
    assert choice.snapshot_of(pool(one=True, two=True, three=False), TASK) == ("tank/vmware", "two")
    with pytest.raises(InputError, match="has no complete ZFS snapshot"):
        choice.snapshot_of(pool(one=False), TASK)


def test_a_snapshot_that_is_incomplete_on_a_child_is_not_chosen() -> None:
    zfs = pool(one=True, two=True)
    record = Record("run-two", "h", KEY, consistency="crash", complete=False)
    zfs.add("tank/vmware/nested@two", {**record.first(), **dict(record.seal())})
    assert choice.snapshot_of(zfs, TASK) == ("tank/vmware", "one")


def test_a_snapshot_can_be_named() -> None:
    assert choice.snapshot_of(pool(), TASK, "auto-1") == ("tank/vmware", "auto-1")
    assert choice.snapshot_of(pool(), TASK, "tank/other@auto-1") == ("tank/other", "auto-1")
    with pytest.raises(InputError):
        choice.snapshot_of(pool(), TASK, "a b/c")
