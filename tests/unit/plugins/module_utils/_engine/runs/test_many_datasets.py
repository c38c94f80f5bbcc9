# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""1,000 datasets with 10,000 ZFS snapshots: the number of processes, and that work grows linearly. The tests count
processes and function calls, never seconds.
"""

from __future__ import annotations

import cProfile
import pstats
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.host import size
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import DatasetNotFound, InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.matching.match import match
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.observe import lifetimes
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.plan import make_plan
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.server_logins import ServerLogin
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.manifest import PREFIX
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import Record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runs import run as runs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots import seal as sealing
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credential
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import Engine, open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import SnapshotTask
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.view import StorageHostView
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import (
    retire,
    to_take,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import (
    turn as snapshot_task,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import Datastore
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_watch import VmWatch
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vms import Disk, Vm
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import arguments, snapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import (
    Dataset,
    list_datasets,
    select,
)
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.zfs import KEY, OLD, ROOT, Fault, Storage, many

MANY = 300  # datasets
PROGRAMS = MANY // 100  # a channel program processes 100 ZFS snapshots


@contextmanager
def engine_over(zfs: Storage, folder: Path) -> Iterator[Engine]:
    with open_engine(Paths(folder / "state", folder / "key", folder / "run")) as engine:
        yield replace(engine, zfs=zfs)


def task(**settings: Any) -> SnapshotTask:
    given = {"recursive": True, "vmware_sync": False, "lifetime_value": 1, "lifetime_unit": "HOUR", **settings}
    return replace(SnapshotTask(ROOT).merged(given), id=1, key=KEY)


def work_of(function: Callable[[], Any]) -> int:
    """The number of function calls, including those of Python itself."""
    profile = cProfile.Profile()
    profile.runcall(function)
    stats: Any = pstats.Stats(profile)
    return int(stats.total_calls)


def assert_linear(work: Callable[[int], Callable[[], Any]], small: int = 100) -> None:
    """Four times the size takes about four times the work, not 16 times."""
    least, most = work_of(work(small)), work_of(work(4 * small))
    assert most < 5 * least, f"{least} calls for {small}, {most} for {4 * small}"


def test_a_turn_of_a_task_takes_a_few_processes(tmp_path: Path) -> None:
    zfs = many(MANY, snapshots=10)
    with engine_over(zfs, tmp_path) as engine:
        done = snapshot_task.take_turn(engine, task()).require_success().as_dict()
    assert len(done["snapshot"]["zfs_snapshots"]) == MANY and len(done["retired"]["destroyed"]) == 10 * MANY
    assert len(zfs.snapshots) == MANY
    assert zfs.processes == 4 + 10 * PROGRAMS  # list, facts, snapshot, facts; 100 ZFS snapshots are destroyed at a time


def test_a_turn_that_has_nothing_to_do_takes_three(tmp_path: Path) -> None:
    zfs = many(MANY, snapshots=10)
    with engine_over(zfs, tmp_path) as engine:
        done = snapshot_task.take_turn(
            engine, task(allow_empty=False, lifetime_unit="YEAR", lifetime_value=1000)
        ).as_dict()
    assert done["skipped"].startswith("nothing was written") and zfs.processes == 3
    assert len(done["retired"]["kept"]) == 10 * MANY


def test_planning_takes_a_few_processes(tmp_path: Path) -> None:
    zfs = many(MANY)
    with engine_over(zfs, tmp_path) as engine:
        engine.credentials.insert(Credential("vcenter.lab", "root", ROOT), Secret("x"))

        def away(*arguments: Any) -> Any:
            raise DatasetNotFound("away")

        planned = runs.preview(replace(engine, connect=away), Request(ROOT, "one", recursive=True))
    assert len(planned.zfs_snapshots) == MANY
    assert zfs.processes == 2  # one lists the datasets, one looks for existing ZFS snapshots


def test_many_tasks_of_a_dataset_each_are_retired_together() -> None:
    zfs = many(MANY, snapshots=2)
    for name, values in zfs.snapshots.items():
        values[PREFIX + "task"] = name.split("@")[0]
    tasks = [replace(task(), dataset=name, key=name) for name in zfs.datasets]
    done = retire.retire(zfs, tasks, lifetimes.facts(zfs, [each.dataset for each in tasks]), dry=False)
    assert len(done.destroyed) == len(done.kept) == MANY and zfs.processes == 1 + PROGRAMS


def test_what_a_task_took_is_only_its_own_below_its_dataset() -> None:
    """A replica on the same storage host also has the key of the task."""
    zfs = many(1, snapshots=2)
    zfs.take(["tank/replica@old0", "tank/replica@old1"], {PREFIX + "task": KEY}, OLD)
    done = retire.retire(zfs, [task()], lifetimes.facts(zfs, ["tank"]), dry=False)
    assert done.destroyed == [f"{ROOT}@old0"] and [kept.name for kept in done.kept] == [f"{ROOT}@old1"]


def take_all(zfs: Storage, run: str) -> list[str]:
    """Create a ZFS snapshot of each dataset, with a record that claims nothing yet."""
    names = [f"{name}@{run}" for name in zfs.datasets]
    zfs.take(names, Record(run, "host").first(), OLD)
    return names


def records(names: list[str], run: str) -> dict[str, Record]:
    """The records that a run has proven."""
    vms = [{"name": "web", "server": "vcenter.lab", "moid": "vm-1", "level": "filesystem", "reason": ""}]
    whole = Record(run, "host", "", "filesystem", True, "filesystem", True, vms=vms)
    return {name: replace(whole) for name in names}


def test_the_records_of_a_run_are_sealed_together(tmp_path: Path) -> None:
    zfs = many(MANY)
    with engine_over(zfs, tmp_path) as engine:
        names = take_all(zfs, "one")
        engine.journal.open_run("one", "", ROOT, names)
        createtxgs = {name: zfs.snapshots[name]["createtxg"] for name in names}
        assert sealing.seal(engine, "one", records(names, "one"), createtxgs) == ({}, "")
        assert zfs.processes == PROGRAMS  # 100 at a time
        found = record.read(zfs, names)
    assert {(one.sealed, one.consistency, one.complete) for one in found.values()} == {(True, "filesystem", True)}
    assert len(found) == MANY and zfs.processes == PROGRAMS + 2


def test_recovery_seals_them_together(tmp_path: Path) -> None:
    zfs = many(MANY)
    with engine_over(zfs, tmp_path) as engine:
        names = take_all(zfs, "one")
        engine.journal.open_run("one", "", ROOT, names)
        zfs.faults = [Fault("program", count=1000)]
        unsealed, _unused = sealing.seal(engine, "one", records(names, "one"), {})
        assert sorted(unsealed) == sorted(names)
        assert {one.sealed for one in record.read(zfs, names).values()} == {False}
        zfs.faults, zfs.processes = [], 0
        sealed, unsealed = sealing.seal_again(engine, "one")
        assert sorted(sealed) == sorted(names) and not unsealed and zfs.processes == PROGRAMS
        assert sealing.seal_again(engine, "one") == ([], {})
    assert {one.sealed for one in record.read(zfs, names).values()} == {True}


def test_nobody_elses_snapshots_are_sealed(tmp_path: Path) -> None:
    """ZFS snapshots of another run, received ones, ones created again, and ones that are gone."""
    zfs = many(5)
    with engine_over(zfs, tmp_path) as engine:
        names = take_all(zfs, "one")
        engine.journal.open_run("one", "", ROOT, names)
        createtxgs = {name: zfs.snapshots[name]["createtxg"] for name in names}
        ours, another, received, again, gone = names
        zfs.snapshots[another][PREFIX + "run"] = "two"
        zfs.received.add(received)
        zfs.take([again], Record("one", "host").first(), OLD)
        zfs.replace(gone)
        unsealed, _unused = sealing.seal(engine, "one", records(names, "one"), createtxgs)
        assert sorted(unsealed) == sorted([another, received, again, gone])
    assert [name for name, one in record.read(zfs, [ours, another, received, again]).items() if one.sealed] == [ours]


@pytest.mark.parametrize("number", [3, 300])
def test_names_that_do_not_fit_into_one_command_go_into_several(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    zfs = many(number)
    names = take_all(zfs, "one")
    monkeypatch.setattr(LocalHost, "argument_limit", lambda host: 2000)
    assert snapshots.existing(zfs, [*names, "tank@gone"]) == names
    assert list(snapshots.owned(zfs, names, PREFIX + "run", "one", 60.0)) == names
    parts = list(arguments.parts(zfs.host, names))
    assert [name for part in parts for name in part] == names and all(size(part) <= 1000 for part in parts)
    assert zfs.processes == len(list(arguments.parts(zfs.host, [*names, "tank@gone"]))) + len(parts)


def test_a_run_whose_names_do_not_fit_is_refused_before_a_vm_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zfs = many(MANY)
    monkeypatch.setattr(LocalHost, "argument_limit", lambda host: 8_000)
    with engine_over(zfs, tmp_path) as engine:
        for carry_out in (runs.preview, runs.execute):
            with pytest.raises(InputError, match="this system's limit for one command; exclude datasets"):
                carry_out(engine, Request(ROOT, "one", recursive=True, task="1"))
        assert not zfs.snapshots and not engine.journal.runs()


def test_what_the_system_itself_refuses_is_told_in_one_sentence() -> None:
    with pytest.raises(InputError, match="The arguments of 'zfs snapshot' would exceed this system's limit"):
        Zfs("/bin/true").run("snapshot", *["tank/" + "x" * 250] * 40_000)


def test_what_fits_by_our_account_fits_into_a_command() -> None:
    name = "tank/" + "x" * 250
    most = (LocalHost().argument_limit() - size(["/bin/true", "snapshot"])) // size([name])
    assert Zfs("/bin/true").run("snapshot", *[name] * most) == "" and most > 1000


def test_a_turn_grows_with_the_snapshots(tmp_path: Path) -> None:
    def turn(count: int) -> Callable[[], Any]:
        zfs = many(count, snapshots=3)
        found = lifetimes.facts(zfs, [ROOT])

        def work() -> None:
            with engine_over(zfs, tmp_path) as engine:
                to_take.nothing_to_do(
                    engine.zfs, task(allow_empty=False), zfs.datasets, found, to_take.Instant(OLD, None)
                )
                to_take.choice(task(), zfs.datasets, found, to_take.Instant(OLD, OLD))
            retire.retire(zfs, [task()], found, dry=True)

        return work

    assert_linear(turn)


def test_retention_of_a_task_for_each_dataset_grows_with_the_datasets() -> None:
    def retention(count: int) -> Callable[[], Any]:
        zfs = many(count, snapshots=2)
        for name, values in zfs.snapshots.items():
            values[PREFIX + "task"] = name.split("@")[0]
        tasks = [replace(task(), dataset=name, key=name) for name in zfs.datasets]
        found = lifetimes.facts(zfs, zfs.datasets)
        return lambda: retire.retire(zfs, tasks, found, dry=True)

    assert_linear(retention)


def test_a_selection_grows_with_datasets_and_exclusions() -> None:
    def selection(count: int) -> Callable[[], Any]:
        datasets = list_datasets(many(count), ROOT)
        return lambda: select(datasets, ROOT, True, [dataset.name for dataset in datasets[1::2]])

    assert_linear(selection)


@pytest.mark.parametrize("apart", [True, False], ids=["a datastore for each dataset", "one datastore for all"])
def test_matching_and_planning_grow_with_datasets_and_vms(monkeypatch: pytest.MonkeyPatch, apart: bool) -> None:
    """Each dataset has one VM, in a separate datastore or in a folder of a common one."""

    class Session:
        endpoint, server_id = "vcenter.lab", "1"

    def vm(number: int) -> Vm:
        datastore, folder = (f"ds-{number}", "") if apart else ("ds-0", f"vm{number:05}/")
        disk = Disk("Hard disk 1", ((datastore, f"{folder}x/x.vmdk"),), False)
        return Vm(
            moid=f"vm-{number}", name=f"vm{number}", instance_uuid=str(number), vmx_path="", host_moid="host-1",
            power="poweredOn", template=False, connected=True, readable=True, guest="linux", tools="running",
            disks=(disk,), consolidation_needed=False, obstacles=(),
        )  # fmt: skip

    def planned(count: int) -> Callable[[], Any]:
        names = many(count).datasets
        datasets = [Dataset(name, "filesystem", f"/{name}", True) for name in names]
        paths = [f"/{name}" for name in names] if apart else [f"/{ROOT}"]
        datastores = [
            Datastore(f"ds-{number}", f"ds{number}", "DC0", "NFS", ("10.0.2.15",), path, True, "vcenter.lab")
            for number, path in enumerate(paths)
        ]
        view = StorageHostView(frozenset(), frozenset(["10.0.2.15"]), real_paths={path: path for path in paths})
        session: Any = Session()
        monkeypatch.setattr(VmWatch, "vms", lambda watch: [vm(number) for number in range(1, count)])

        def work() -> None:
            found = {each.datastore.moid: each for each in match(datastores, datasets, view)}
            login = ServerLogin(session, [Credential("vcenter.lab", "root", ROOT, id=7)], matches=found)
            done = make_plan(Request(ROOT, "one", recursive=True), names, [login], [])
            assert len(done.members) == count - 1 and not any(member.spans for member in done.members)

        return work

    assert_linear(planned)
