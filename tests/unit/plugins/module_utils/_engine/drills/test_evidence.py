# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdicts of a drill on the ZFS snapshots: only on those of the run, and on each dataset for its VMs."""

from __future__ import annotations

from typing import Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.evidence import store
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.result import DrillResult, VmDrilled
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import RUN
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.verified import (
    KEY,
    Verified,
    verdict_in,
)
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.zfs import OLD, ROOT, Fault, Storage

NESTED = f"{ROOT}/nested"


@pytest.fixture
def zfs() -> Iterator[Storage]:
    made = Storage([ROOT, NESTED])
    made.take([f"{ROOT}@auto", f"{NESTED}@auto"], {RUN: "run-1"}, OLD)
    yield made


def vm(name: str, verdict: str, *datasets: str) -> VmDrilled:
    return VmDrilled(name, ROOT, f"{name}/{name}.vmx", verdict=verdict, datasets=list(datasets or (ROOT,)))


def drill(*vms: VmDrilled, problems: tuple[str, ...] = (), drill_id: str = "drill-1") -> DrillResult:
    return DrillResult(drill_id, f"{ROOT}@auto", vms=list(vms), problems=list(problems), seconds=93.5)


def on(zfs: Storage, dataset: str) -> Verified:
    found = verdict_in(zfs.snapshots[f"{dataset}@auto"])
    assert found is not None
    return found


def verdicts(found: Verified) -> dict[str, str]:
    return {one.name: one.verdict for one in found.vms}


def test_each_dataset_has_the_verdicts_on_its_vms(zfs: Storage) -> None:
    left_out = vm("d", "not tried")
    assert store(zfs, drill(vm("a", "verified"), vm("b", "booted", ROOT, NESTED), vm("c", "failed"), left_out)) == []
    outer, inner = on(zfs, ROOT), on(zfs, NESTED)
    assert (outer.result, verdicts(outer)) == ("failed", {"a": "verified", "b": "booted", "c": "failed"})
    assert (inner.result, verdicts(inner)) == ("booted", {"b": "booted"})
    assert (outer.run, outer.drill, outer.seconds) == ("run-1", "drill-1", 93.5)


def test_a_drill_that_does_not_know_all_vms_verifies_nothing(zfs: Storage) -> None:
    assert store(zfs, drill(vm("a", "verified"), problems=("A folder cannot be read.",))) == []
    assert on(zfs, ROOT).result == "inconclusive"


def test_a_later_drill_of_another_vm_does_not_hide_a_failure(zfs: Storage) -> None:
    store(zfs, drill(vm("a", "failed")))
    store(zfs, drill(vm("b", "verified"), drill_id="drill-2"))
    assert (on(zfs, ROOT).result, on(zfs, ROOT).drill) == ("failed", "drill-2")
    store(zfs, drill(vm("a", "verified"), drill_id="drill-3"))
    assert on(zfs, ROOT).result == "verified"


def test_a_drill_without_a_tried_vm_stores_nothing(zfs: Storage) -> None:
    assert store(zfs, drill(vm("a", "not tried"))) == []
    assert KEY not in zfs.snapshots[f"{ROOT}@auto"] and not zfs.commands["program"]


@pytest.mark.parametrize("how", ["no record", "received", "destroyed", "created again"])
def test_only_a_snapshot_of_a_run_of_this_host_is_changed(how: str, zfs: Storage) -> None:
    name = f"{ROOT}@auto"
    if how == "no record":
        del zfs.snapshots[name][RUN]
    elif how == "received":
        zfs.received.add(name)
    else:
        zfs.replace(name, name if how == "created again" else "")
    (said,) = store(zfs, drill(vm("a", "verified")))
    assert said.startswith(f"The verdict was not stored on {name}: ") and said.endswith(".")
    assert KEY not in zfs.snapshots.get(name, {})


def test_a_pool_that_is_suspended_is_reported_and_the_other_dataset_is_tried(zfs: Storage) -> None:
    zfs.faults.append(Fault("program"))
    said = store(zfs, drill(vm("a", "verified", ROOT, NESTED)))
    assert len(said) == 1 and "suspended" in said[0] and f"{ROOT}@auto" in said[0]
    assert on(zfs, NESTED).result == "verified"
