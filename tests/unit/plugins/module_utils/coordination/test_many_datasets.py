# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A thousand datasets with ten thousand ZFS snapshots: how many processes they take, and that no work grows faster
than they do. Processes and calls of functions are counted, never seconds.
"""

from __future__ import annotations

import cProfile
import json
import pstats
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination import plan as planning
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination import retire, settle, snapshot_task
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination import run as runs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.engine import Engine, open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.journal import RELEASING
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.plan import make_plan
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.record import PREFIX, Record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.sites import Site
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.errors import DatasetNotFound, InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.matching import match
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.registry.credentials import Credential
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.registry.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.registry.snapshot_tasks import SnapshotTask
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.storage_host import StorageHostView
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.vsphere.datastores import Datastore
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.vsphere.vms import Disk, Vm
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.zfs import arguments, snapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.zfs.datasets import Dataset, list_datasets, select

ROOT = "tank/vmware"
KEY = "0123456789abcdef"
OLD = 1_700_000_000  # seconds since 1970


class Storage(Zfs):
    """A zfs that keeps its datasets and snapshots in memory."""

    def __init__(self, datasets: int, snapshots: int = 0) -> None:
        super().__init__()
        self.datasets = [ROOT, *(f"{ROOT}/vm{number:05}" for number in range(1, datasets))]
        self.snapshots: dict[str, dict[str, str]] = {}
        for number in range(snapshots):
            self.take([f"{name}@old{number}" for name in self.datasets], {PREFIX + "task": KEY}, OLD + number)

    def take(self, names: Sequence[str], properties: dict[str, str], creation: int) -> None:
        for name in names:
            self.snapshots[name] = {"creation": str(creation), "createtxg": str(len(self.snapshots)), **properties}

    def run(self, *arguments: str, timeout: float = 0.0, hurry: Any = None, script: str = "") -> str:
        self.processes += 1
        words = list(arguments)
        rows: list[list[str]] = getattr(self, f"_{words[0]}")(words[1:], script)
        return "".join("\t".join(row) + "\n" for row in rows)

    def _list(self, words: list[str], script: str) -> list[list[str]]:
        if "snapshot" not in words:
            return [[name, "filesystem", f"/{name}", "yes", name] for name in self.datasets]
        asked = [word for word in words if "@" in word]
        found = [[name] for name in asked if name in self.snapshots]
        if len(found) < len(asked):
            error = DatasetNotFound("'zfs list' failed")
            error.output = "".join(f"{name}\n" for (name,) in found)
            raise error
        return found

    def _get(self, words: list[str], script: str) -> list[list[str]]:
        keys = words[words.index("-o") + 2]
        if keys.startswith("written@"):
            return [["0"]] * (len(words) - words.index(keys) - 1)
        if keys == "all":
            return [[key, value, "local"] for key, value in self.snapshots[words[-1]].items()]
        names = self.snapshots if "-r" in words else [word for word in words if "@" in word]
        return [[name, key, self.snapshots[name].get(key, "-"), "local"] for name in names for key in keys.split(",")]

    def _snapshot(self, words: list[str], script: str) -> list[list[str]]:
        properties = dict(after.split("=", 1) for before, after in zip(words, words[1:]) if before == "-o")
        self.take([word for word in words if "@" in word], properties, int(datetime.now().timestamp()))
        return []

    def _program(self, words: list[str], script: str) -> list[list[str]]:
        given = words[words.index("-") + 1 :]
        if "destroy" in script:
            names = [word.split(" ", 1)[1] for word in given]
            for name in names:
                del self.snapshots[name]
            return [[json.dumps({"return": dict.fromkeys(names, "destroyed")})]]
        last = 1 + 2 * int(given[0])
        for name in given[last:]:
            self.snapshots[name].update(zip(given[1:last:2], given[2:last:2]))
        return [[json.dumps({"return": dict.fromkeys(given[last:], "0")})]]


@contextmanager
def engine_over(zfs: Storage, folder: Path) -> Iterator[Engine]:
    with open_engine(Paths(folder / "state", folder / "key", folder / "run")) as engine:
        yield replace(engine, zfs=zfs)


def task(**settings: Any) -> SnapshotTask:
    given = {"recursive": True, "vmware_sync": False, "lifetime_value": 1, "lifetime_unit": "HOUR", **settings}
    return replace(SnapshotTask(ROOT).merged(given), id=1, key=KEY)


def work_of(function: Callable[[], Any]) -> int:
    """How many functions, also those of Python itself, are called on the way."""
    profile = cProfile.Profile()
    profile.runcall(function)
    calls: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
    return calls


def assert_linear(work: Callable[[int], Callable[[], Any]], small: int = 200) -> None:
    """Four times as much takes about four times the work, not sixteen times."""
    least, most = work_of(work(small)), work_of(work(4 * small))
    assert most < 5 * least, f"{least} calls for {small}, {most} for {4 * small}"


def test_a_turn_of_a_task_takes_a_few_processes(tmp_path: Path) -> None:
    zfs = Storage(1000, snapshots=10)
    with engine_over(zfs, tmp_path) as engine:
        done = snapshot_task.take_turn(engine, task())
    assert len(done["snapshot"]["zfs_snapshots"]) == 1000 and len(done["retired"]["destroyed"]) == 10_000
    assert len(zfs.snapshots) == 1000
    assert (
        zfs.processes == 5 + 10_000 / 100
    )  # list, facts, existing, snapshot, facts; a hundred are destroyed at a time


def test_a_turn_that_has_nothing_to_do_takes_three(tmp_path: Path) -> None:
    zfs = Storage(1000, snapshots=10)
    with engine_over(zfs, tmp_path) as engine:
        done = snapshot_task.take_turn(engine, task(allow_empty=False, lifetime_unit="YEAR", lifetime_value=1000))
    assert done["skipped"].startswith("nothing was written") and zfs.processes == 3
    assert len(done["retired"]["kept"]) == 10_000


def test_planning_takes_a_few_processes(tmp_path: Path) -> None:
    zfs = Storage(1000)
    with engine_over(zfs, tmp_path) as engine:
        engine.credentials.insert(Credential("vcenter.lab", "root", ROOT), Secret("x"))

        def away(*arguments: Any) -> Any:
            raise DatasetNotFound("away")

        planned = runs.preview(replace(engine, connect=away), Request(ROOT, "one", recursive=True))
    assert len(planned["zfs_snapshots"]) == 1000 and zfs.processes == 3


def test_a_thousand_tasks_of_a_dataset_each_are_retired_together() -> None:
    zfs = Storage(1000, snapshots=2)
    for name, values in zfs.snapshots.items():
        values[PREFIX + "task"] = name.split("@")[0]
    tasks = [replace(task(), dataset=name, key=name) for name in zfs.datasets]
    done = retire.retire(zfs, tasks, retire.facts(zfs, [each.dataset for each in tasks]), dry=False)
    assert len(done["destroyed"]) == len(done["kept"]) == 1000 and zfs.processes == 1 + 10


def test_what_a_task_took_is_only_its_own_below_its_dataset() -> None:
    """A replica on the same storage host bears the task's key as well."""
    zfs = Storage(1, snapshots=2)
    zfs.take(["tank/replica@old0", "tank/replica@old1"], {PREFIX + "task": KEY}, OLD)
    done = retire.retire(zfs, [task()], retire.facts(zfs, ["tank"]), dry=False)
    assert done["destroyed"] == [f"{ROOT}@old0"] and [kept["name"] for kept in done["kept"]] == [f"{ROOT}@old1"]


def bear(zfs: Storage, run: str, host: str) -> list[str]:
    """Every dataset has a snapshot of a run that is younger than its hold, but whose record does not know that."""
    names = [f"{name}@{run}" for name in zfs.datasets]
    vms = [{"name": "web", "moid": "vm-1", "level": "filesystem", "reason": ""}]
    zfs.take(names, Record(run, host, "filesystem", True, held_until=OLD - 1, vms=vms).properties(), OLD)
    return names


def test_recovery_lowers_the_records_of_a_run_together(tmp_path: Path) -> None:
    zfs = Storage(1000)
    with engine_over(zfs, tmp_path) as engine:
        names = bear(zfs, "one", engine.host.id) + bear(zfs, "two", engine.host.id)
        bear(zfs, "elsewhere", "another host")
        lowered, problems = settle.lower_younger(engine)
    assert sorted(lowered) == sorted(names) and not problems
    assert {zfs.snapshots[name][PREFIX + "consistency"] for name in names} == {"crash"}
    assert zfs.snapshots[f"{ROOT}@elsewhere"][PREFIX + "consistency"] == "filesystem"
    assert zfs.processes == 2 + 2 * (1 + 10)  # datasets, facts; of each run the record, and a hundred at a time


def test_recovery_lowers_a_vm_in_a_thousand_records_at_once(tmp_path: Path) -> None:
    zfs = Storage(1000)
    with engine_over(zfs, tmp_path) as engine:
        names = bear(zfs, "one", engine.host.id)
        engine.journal.open_run("one", "", ROOT, names, RELEASING)
        assert settle.lower_vms(engine, "one", {"vm-1"}) == names
        assert settle.lower_vms(engine, "unknown", {"vm-1"}) == []
    assert zfs.processes == 3 + 10  # existing, bearing, the record; a hundred are set at a time


@pytest.mark.parametrize("number", [3, 300])
def test_names_that_do_not_fit_into_one_command_go_into_several(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    zfs = Storage(number)
    names = bear(zfs, "one", "host")
    monkeypatch.setattr(arguments, "limit", lambda: 2000)
    assert snapshots.existing(zfs, [*names, "tank@gone"]) == names
    assert snapshots.bearing(zfs, names, PREFIX + "run", "one") == names
    parts = list(arguments.parts(names))
    assert [name for part in parts for name in part] == names and all(arguments.size(part) <= 1000 for part in parts)
    assert zfs.processes == len(list(arguments.parts([*names, "tank@gone"]))) + len(parts)


def test_a_run_whose_names_do_not_fit_is_refused_before_a_vm_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zfs = Storage(1000)
    monkeypatch.setattr(arguments, "limit", lambda: 20_000)
    with engine_over(zfs, tmp_path) as engine:
        for carry_out in (runs.preview, runs.execute):
            with pytest.raises(InputError, match="more than this system takes in one command; take fewer datasets"):
                carry_out(engine, Request(ROOT, "one", recursive=True, task="1"))
        assert not zfs.snapshots and not engine.journal.runs()


def test_what_the_system_itself_refuses_is_told_in_one_sentence() -> None:
    with pytest.raises(InputError, match="'zfs snapshot' would have to name more than this system takes"):
        Zfs("/bin/true").run("snapshot", *["tank/" + "x" * 250] * 40_000)


def test_what_fits_by_our_account_fits_into_a_command() -> None:
    name = "tank/" + "x" * 250
    most = (arguments.limit() - arguments.size(["/bin/true", "snapshot"])) // arguments.size([name])
    assert Zfs("/bin/true").run("snapshot", *[name] * most) == "" and most > 1000


def test_a_turn_grows_with_the_snapshots(tmp_path: Path) -> None:
    def turn(count: int) -> Callable[[], Any]:
        zfs = Storage(count, snapshots=3)
        found = retire.facts(zfs, [ROOT])

        def work() -> None:
            with engine_over(zfs, tmp_path) as engine:
                snapshot_task._nothing_to_do(
                    engine, task(allow_empty=False), zfs.datasets, found, snapshot_task._Instant(OLD, None)
                )
            retire.retire(zfs, [task()], found, dry=True)

        return work

    assert_linear(turn)


def test_retention_of_a_task_for_each_dataset_grows_with_the_datasets() -> None:
    def retention(count: int) -> Callable[[], Any]:
        zfs = Storage(count, snapshots=2)
        for name, values in zfs.snapshots.items():
            values[PREFIX + "task"] = name.split("@")[0]
        tasks = [replace(task(), dataset=name, key=name) for name in zfs.datasets]
        found = retire.facts(zfs, zfs.datasets)
        return lambda: retire.retire(zfs, tasks, found, dry=True)

    assert_linear(retention)


def test_a_selection_grows_with_datasets_and_exclusions() -> None:
    def selection(count: int) -> Callable[[], Any]:
        datasets = list_datasets(Storage(count))
        return lambda: select(datasets, ROOT, True, [dataset.name for dataset in datasets[1::2]])

    assert_linear(selection)


@pytest.mark.parametrize("apart", [True, False], ids=["a datastore for each dataset", "one datastore for all"])
def test_matching_and_planning_grow_with_datasets_and_vms(monkeypatch: pytest.MonkeyPatch, apart: bool) -> None:
    """Each dataset carries a VM, in a datastore of its own or in a folder of one."""

    class Session:
        endpoint, server_id = "vcenter.lab", "1"

    def vm(number: int) -> Vm:
        datastore, folder = (f"ds-{number}", "") if apart else ("ds-0", f"vm{number:05}/")
        disk = Disk("Hard disk 1", ((datastore, f"{folder}x/x.vmdk"),), False)
        return Vm(
            moid=f"vm-{number}", name=f"vm{number}", instance_uuid=str(number), vmx_path="", host="host-1",
            power="poweredOn", template=False, connected=True, readable=True, guest="linux", tools="running",
            disks=(disk,), consolidation_needed=False, obstacles=(),
        )  # fmt: skip

    def planned(count: int) -> Callable[[], Any]:
        names = Storage(count).datasets
        datasets = [Dataset(name, "filesystem", f"/{name}", True) for name in names]
        paths = [f"/{name}" for name in names] if apart else [f"/{ROOT}"]
        datastores = [
            Datastore(f"ds-{number}", f"ds{number}", "DC0", "NFS", ("10.0.2.15",), path, True, "vcenter.lab")
            for number, path in enumerate(paths)
        ]
        view = StorageHostView(frozenset(), frozenset(["10.0.2.15"]), real_paths={path: path for path in paths})
        session: Any = Session()
        monkeypatch.setattr(planning, "list_vms", lambda session, moids: [vm(number) for number in range(1, count)])

        def work() -> None:
            found = {each.datastore.moid: each for each in match(datastores, datasets, view)}
            site = Site(session, [Credential("vcenter.lab", "root", ROOT, id=7)], matches=found)
            done = make_plan(Request(ROOT, "one", recursive=True), names, [site], [])
            assert len(done.members) == count - 1 and not any(member.spans for member in done.members)

        return work

    assert_linear(planned)
