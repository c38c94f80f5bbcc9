# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of a run: one for each dataset, small enough, and in the journal before they are set."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    InputError,
    RegistryError,
    ZfsTimeout,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.plan import (
    NOTHING,
    QUIESCE,
    Member,
    PlacedDisk,
    Plan,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.problem import Problem
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import manifest, record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.manifest import PART, PREFIX
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import Record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots import seal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.quiesce import Hold
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vms import Disk
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.properties import GONE
from ansible_collections.quiesce.vmware_zfs.tests.unit.zfs_pool import Pool

RUN = "20260131T020000-1f2e3d4c"
SHARED = Record(RUN, "0123456789ab", "0123", vmware_snapshot=f"vmware-zfs {RUN}")
A, B, C = "tank/a@one", "tank/b@one", "tank/c@one"


def hold(name: str, *datasets: str, level: str = "filesystem", excluded: bool = False, **changes: Any) -> Hold:
    """The hold of a VM with a disk on each of the datasets."""
    disks = tuple(
        PlacedDisk(Disk(f"Hard disk {key}", ((f"ds-{dataset}", f"{name}.vmdk"),), False, 2000 + key), "ds", (dataset,))
        for key, dataset in enumerate(datasets)
    )
    member = Member(
        server="vc.lab", server_id="1234", credential=1, moid=f"vm-{name}", name=name, instance_uuid=f"uuid-{name}",
        vmx_path=f"[ds] {name}/{name}.vmx", host_moid="host-1", guest="linux", power="poweredOn",
        action=NOTHING if excluded else QUIESCE, level=level, datasets=datasets, excluded=excluded, disks=disks,
    )  # fmt: skip
    one = Hold.planned(member)
    one.snapshot_moid = f"snapshot-{name}"
    return replace(one, **changes)


def said(holds: list[Hold], *problems: Problem) -> dict[str, tuple[str, bool, list[str]]]:
    """By ZFS snapshot: the level, whether it is complete, and the VMs in the manifest."""
    found = seal.records(SHARED, [A, B, C], holds, problems)
    return {name: (one.consistency, one.complete, [vm["name"] for vm in one.vms]) for name, one in found.items()}


# ---- The content of a record


def test_each_record_lists_the_vms_with_files_on_its_dataset() -> None:
    holds = [hold("web", "tank/a"), hold("db", "tank/a", "tank/b", level="application")]
    assert said(holds) == {
        A: ("filesystem", True, ["web", "db"]),
        B: ("application", True, ["db"]),
        C: ("still", True, []),
    }


def test_a_vm_lowers_only_the_datasets_with_its_files() -> None:
    holds = [hold("web", "tank/a"), hold("db", "tank/b", level="crash", hindrance="vm", reason="it moved")]
    assert said(holds) == {A: ("filesystem", True, ["web"]), B: ("crash", False, ["db"]), C: ("still", True, [])}
    found = seal.records(SHARED, [A, B, C], holds, [])
    assert {(one.run_consistency, one.run_complete) for one in found.values()} == {("crash", False)}
    assert {(one.run, one.host, one.task, one.vmware_snapshot) for one in found.values()} == {
        (RUN, "0123456789ab", "0123", f"vmware-zfs {RUN}")
    }


def test_a_vm_whose_disks_cannot_be_read_is_in_every_manifest() -> None:
    holds = [hold("web", "tank/a"), hold("hidden", level="crash", hindrance="vm")]
    assert said(holds) == {
        A: ("crash", False, ["web", "hidden"]),
        B: ("crash", False, ["hidden"]),
        C: ("crash", False, ["hidden"]),
    }


def test_an_excluded_vm_lowers_the_level_but_nobody_asked_for_more() -> None:
    holds = [hold("web", "tank/a"), hold("test", "tank/a", level="crash", excluded=True)]
    assert said(holds)[A] == ("crash", True, ["web", "test"])
    found = seal.records(SHARED, [A, B, C], holds, [])
    assert (found[B].run_consistency, found[B].run_complete) == ("crash", True)
    assert found[B].consistency == "still"


def test_a_problem_lowers_the_datasets_that_it_may_concern() -> None:
    one, all_of_them = Problem("one", frozenset({"tank/a", "elsewhere"})), Problem("all")
    holds = [hold("web", "tank/a"), hold("db", "tank/b")]
    assert said(holds, one) == {
        A: ("crash", False, ["web"]),
        B: ("filesystem", True, ["db"]),
        C: ("still", True, []),
    }
    found = seal.records(SHARED, [A, B, C], holds, [one, all_of_them, one])
    assert {name: each.problems for name, each in found.items()} == {A: ["one", "all"], B: ["all"], C: ["all"]}
    assert not any(each.complete or each.run_complete for each in found.values())


def test_a_problem_elsewhere_lowers_the_run_alone() -> None:
    found = seal.records(SHARED, [A, B, C], [hold("web", "tank/a")], [Problem("x", frozenset({"tank/c"}))])
    assert (found[A].consistency, found[A].complete) == ("filesystem", True)
    assert (found[A].run_consistency, found[A].run_complete) == ("crash", False)
    assert found[A].problems == [] and found[C].problems == ["x"]


def test_a_vm_that_came_to_a_dataset_during_the_run_is_in_its_record() -> None:
    """It counts for the datasets of the plan and for those of the look."""
    moved = hold("db", "tank/b")
    moved.was_seen_on(frozenset({"tank/c"}))
    moved.leave_behind("vm", "its Hard disk 1 was moved during the run")
    assert said([hold("web", "tank/a"), moved]) == {
        A: ("filesystem", True, ["web"]),
        B: ("crash", False, ["db"]),
        C: ("crash", False, ["db"]),
    }


def test_a_vm_that_may_be_anywhere_stays_so_wherever_it_was_seen() -> None:
    hidden = hold("hidden", level="crash", hindrance="vm")
    hidden.was_seen_on(frozenset({"tank/a"}))
    assert hidden.datasets is None and hidden.is_on("tank/c")
    known = hold("web", "tank/a")
    known.was_seen_on(frozenset())
    assert known.is_on("tank/a") and not known.is_on("tank/c")


def test_a_vm_on_a_dataset_that_is_not_in_the_run_has_no_record_there() -> None:
    assert set(said([hold("web", "tank/a", "tank/other")])) == {A, B, C}


def test_an_entry_has_what_a_restore_needs() -> None:
    one = hold("web", "tank/a", reason="r" * 500, hindrance="quiesce")
    one.member = replace(one.member, spans=("the datastore san",))
    (vm,) = seal.records(SHARED, [A], [one], [])[A].vms
    assert vm == {
        "name": "web", "instance_uuid": "uuid-web", "moid": "vm-web", "server": "vc.lab",
        "vmx_path": "[ds] web/web.vmx", "vmware_snapshot_moid": "snapshot-web", "level": "filesystem",
        "reason": "r" * 200, "hindrance": "quiesce", "spans": ["the datastore san"],
        "disks": [
            {"key": 2000, "label": "Hard disk 0", "path": "web.vmdk", "datastore": "ds", "datasets": ["tank/a"]}
        ],
    }  # fmt: skip


# ---- Size


def realistic(number: int, dataset: str) -> Hold:
    """A VM with realistic names and identifiers, which compress badly."""
    name = f"srv-{hashlib.sha256(str(number).encode()).hexdigest()[:6]}-prod{number:04}"
    datastore = f"nfs-{dataset.split('/')[-1]}"
    disks = tuple(
        PlacedDisk(
            Disk(f"Hard disk {n}", ((f"datastore-{1000 + number}", f"{name}/{name}{suffix}.vmdk"),), False, 1999 + n),
            datastore,
            (dataset,),
        )
        for n, suffix in ((1, ""), (2, "_1"))
    )
    member = Member(
        server="vcenter01.corp.example.com", server_id="1234", credential=1, moid=f"vm-{20000 + 7 * number}", name=name,
        instance_uuid=str(uuid.UUID(hashlib.md5(name.encode()).hexdigest())),
        vmx_path=f"[{datastore}] {name}/{name}.vmx", host_moid=f"host-{number % 40}", guest="linux", power="poweredOn",
        action=QUIESCE, level="filesystem", datasets=(dataset,), disks=disks, spans=("the datastore local-ssd",),
    )  # fmt: skip
    reason = "quiescing failed: An error occurred while quiescing the virtual machine (ApplicationQuiesceFault)"
    one = replace(Hold.planned(member), level="crash", hindrance="quiesce", reason=reason)
    return replace(one, snapshot_moid=f"snapshot-{90000 + 3 * number}")


def bytes_of_manifest(one: Record) -> int:
    """The size of the manifest on the snapshot: names and values of its properties."""
    return sum(len(key) + len(value) for key, value in one.seal() if key.startswith(PART))


def test_a_thousand_vms_on_a_thousand_datasets_take_800_bytes_each() -> None:
    datasets = [f"tank/vmware/customer{number:04}" for number in range(1000)]
    holds = [realistic(number, dataset) for number, dataset in enumerate(datasets)]
    found = seal.records(SHARED, [f"{dataset}@daily-2026-01-31" for dataset in datasets], holds, [])
    sizes = [bytes_of_manifest(one) for one in found.values()]
    assert [len(one.vms) for one in found.values()] == [1] * 1000
    assert max(sizes) <= 800, max(sizes)


def test_a_thousand_vms_on_one_dataset_take_less() -> None:
    found = seal.records(SHARED, [A], [realistic(number, "tank/a") for number in range(1000)], [])
    assert bytes_of_manifest(found[A]) <= 800 * 1000 / 4


def test_room_is_checked_by_what_each_dataset_would_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that is too long would read as damaged, so this is checked before any VM is held."""
    members = tuple(realistic(number, "tank/a" if number % 2 else "tank/b").member for number in range(20))
    plan = Plan("tank", (A, B), members, (), ())
    seal.check_room(plan)
    monkeypatch.setattr(seal, "MOST_BYTES", 40_000)
    seal.check_room(plan)
    monkeypatch.setattr(seal, "MOST_BYTES", 19_000)
    with pytest.raises(InputError, match="The record of one ZFS snapshot cannot list the 10 VMs on tank/a"):
        seal.check_room(plan)
    hidden = replace(plan, members=tuple(replace(member, datasets=()) for member in members))
    monkeypatch.setattr(seal, "MOST_BYTES", 24_000)
    seal.check_room(plan)
    with pytest.raises(InputError, match="20 VMs"):
        seal.check_room(hidden)


def test_what_room_was_checked_for_is_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit includes a reason and the VMware snapshot, which are not known at the time of the plan."""
    holds = [realistic(number, "tank/a") for number in range(50)]
    for held in holds:
        held.reason = "x" * 500
    plan = Plan("tank", (A,), tuple(one.member for one in holds), (), ())
    longest = next(size for size in range(1000, 200_000, 1000) if fits(plan, size, monkeypatch))
    monkeypatch.setattr(manifest, "MOST_BYTES", longest)
    pool = Pool()
    one = seal.records(SHARED, [A], holds, [])[A]
    pool.add(A, {**one.first(), **dict(one.seal())})
    assert record.read(pool, [A])[A].sealed


def fits(plan: Plan, size: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(seal, "MOST_BYTES", size)
    try:
        seal.check_room(plan)
    except InputError:
        return False
    return True


# ---- Set the records


class Engine:
    """An engine with a pool in memory and a journal on disk."""

    def __init__(self, database: Database) -> None:
        self.zfs, self.journal = Pool(), Journal(database)
        self.journal.open_run(RUN, "", "tank", [A, B])
        for name in (A, B):
            self.zfs.add(name, SHARED.first())

    def seal(self, names: tuple[str, ...] = (A, B)) -> tuple[dict[str, str], str]:
        found = seal.records(SHARED, names, [hold("web", "tank/a")], [])
        me: Any = self
        return seal.seal(me, RUN, found, {name: self.zfs.born(name) for name in names if name in self.zfs.snapshots})

    def again(self) -> tuple[list[str], dict[str, str]]:
        me: Any = self
        return seal.seal_again(me, RUN)

    def sealed(self) -> list[str]:
        return [name for name, one in record.read(self.zfs, list(self.zfs.snapshots)).items() if one.sealed]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Database.open(Paths(tmp_path / "state", tmp_path / "key", tmp_path / "locks")) as opened:
        yield Engine(opened)


def test_sealed_records_leave_the_journal(engine: Engine) -> None:
    seen: list[list[str]] = []
    engine.zfs.before = lambda number: seen.append([one.snapshot for one in engine.journal.seals(RUN)])
    assert engine.seal() == ({}, "")
    assert seen == [[A, B]], "they are in the journal before they are set"
    assert engine.journal.seals(RUN) == [] and engine.sealed() == [A, B]
    assert [name for name, key in engine.zfs.set_order if key == PREFIX + "sealed"] == [A, B]


def test_what_could_not_be_set_stays_in_the_journal_and_is_set_again(engine: Engine) -> None:
    engine.zfs.refuses[B, PREFIX + "complete"] = 28
    assert engine.seal() == ({B: "zfs refuses (error 28)"}, "")
    (kept,) = engine.journal.seals(RUN)
    assert kept.snapshot == B and kept.createtxg == engine.zfs.born(B) and engine.sealed() == [A]
    assert engine.again() == ([], {B: "zfs refuses (error 28)"})
    assert engine.journal.seals(RUN) == [kept]
    engine.zfs.refuses.clear()
    assert engine.again() == ([B], {})
    assert engine.journal.seals(RUN) == [] and engine.sealed() == [A, B]
    assert dict(kept.properties).items() <= engine.zfs.own(B).items(), "the journal's bytes, and no others"


def test_what_is_gone_leaves_the_journal_and_is_reported(engine: Engine) -> None:
    found = seal.records(SHARED, [A, B], [], [])
    me: Any = engine
    born = {name: engine.zfs.born(name) for name in (A, B)}
    engine.zfs.add(B, SHARED.first())  # destroyed and created again under the same run
    assert seal.seal(me, RUN, found, born) == ({B: GONE}, "")
    assert engine.journal.seals(RUN) == [] and engine.sealed() == [A]


def test_a_recovery_passes_over_what_is_gone(engine: Engine) -> None:
    engine.zfs.refuses[B, PREFIX + "complete"] = 28
    engine.seal()
    del engine.zfs.snapshots[B]
    assert engine.again() == ([], {})
    assert engine.journal.seals(RUN) == []


def database_is_full(*arguments: Any) -> None:
    raise RegistryError("The state database is full")


def test_a_run_whose_journal_cannot_be_written_seals_all_the_same(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for write in ("keep_seals", "drop_seals"):
        monkeypatch.setattr(engine.journal, write, database_is_full)
    assert engine.seal() == ({}, "The state database is full")
    assert engine.sealed() == [A, B]


def test_a_journal_that_cannot_drop_them_sets_them_again_later(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        full.setattr(engine.journal, "drop_seals", database_is_full)
        assert engine.seal() == ({}, "")
    before = {name: dict(engine.zfs.snapshots[name]) for name in (A, B)}
    assert engine.again() == ([A, B], {})
    assert {name: engine.zfs.snapshots[name] for name in (A, B)} == before
    assert engine.journal.seals(RUN) == []


def test_a_pool_that_hangs_is_reported_for_each(engine: Engine) -> None:
    def hang(number: int) -> None:
        raise ZfsTimeout("'zfs program' did not end within 60 seconds")

    engine.zfs.before = hang
    problem = "'zfs program' did not end within 60 seconds"
    assert engine.seal() == ({A: problem, B: problem}, "")
    assert [one.snapshot for one in engine.journal.seals(RUN)] == [A, B] and engine.sealed() == []


def test_where_createtxg_is_not_known_the_run_decides(engine: Engine) -> None:
    found = seal.records(SHARED, [A, B], [], [])
    me: Any = engine
    engine.zfs.change(B, {record.RUN: "another"})
    assert seal.seal(me, RUN, found, {}) == ({B: GONE}, "")
    assert engine.sealed() == [A]


def test_more_snapshots_have_more_time(engine: Engine) -> None:
    engine.seal()
    names = tuple(f"tank/{number:03}@one" for number in range(100))
    for name in names:
        engine.zfs.add(name, SHARED.first())
    engine.seal(names)
    assert [round(seconds, 1) for seconds in engine.zfs.timeouts] == [60.2, 70.0]
