# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore points: their levels, VMs, pins and lifetimes, from the record, the files and the tasks."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import main as cli
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import points as cli_points
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import DatasetNotFound, InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import Record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.point import Points, RestorePoint
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.points import find_points
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import Engine, open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.identity import snapshot_name
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import SnapshotTask
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import is_within
from ansible_collections.quiesce.vmware_zfs.tests import records_v1
from ansible_collections.quiesce.vmware_zfs.tests.unit.zfs_pool import PREFIX, Pool

from .test_contents import OLDER, RUN, vm, with_snapshots

ROOT = "tank/vmware"
NOW = int(time.time())
HOUR, DAY = 3600, 86400
OURS = snapshot_name(RUN)
MAIL = {
    "name": "mail", "level": "filesystem", "reason": "", "vmx_path": "[vmware] mail/mail.vmx", "instance_uuid": "5029",
    "server": "vc.lab", "moid": "vm-1", "vmware_snapshot_moid": "snapshot-1", "spans": ["the datastore fast"],
    "disks": [{"key": 2000, "label": "Hard disk 1", "path": "mail/mail.vmdk", "datasets": [ROOT, "tank/db"]}],
}  # fmt: skip
ARCHIVE = {"name": "archive", "level": "still", "reason": "it is powered off", "vmx_path": "[vmware] archive/a.vmx"}


class PointPool(Pool):
    """A pool with mounted datasets, whose snapshots may have holds and clones."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.datasets = {ROOT: str(folder)}
        self.tags: dict[str, list[str]] = {}
        self.gone: set[str] = set()  # snapshots that are destroyed after they were listed

    def put(self, name: str, properties: dict[str, str] | None = None, age: int = HOUR, source: str = "local") -> None:
        self.add(f"{ROOT}@{name}", properties or {}, source, NOW - age)

    def hold(self, name: str, *tags: str) -> None:
        self.tags[name] = list(tags)
        self.change(name, {"userrefs": str(len(tags))}, "-")

    def run(self, *arguments: str, **options: Any) -> str:
        if arguments[0] == "list" and "filesystem,volume" in arguments:
            self.processes += 1
            root = arguments[-1]
            if root not in self.datasets:
                raise DatasetNotFound("'zfs list' failed: dataset does not exist")
            rows = [(name, place) for name, place in self.datasets.items() if is_within(name, root)]
            return "".join(
                "\t".join((name, "filesystem", place or "none", "yes" if place else "no", "0", name)) + "\n"
                for name, place in rows
            )
        if arguments[0] == "holds":
            self.processes += 1
            return "".join(f"{name}\t{tag}\tSat Nov 28\n" for name in arguments[2:] for tag in self.tags.get(name, []))
        if "-r" in arguments:
            listed = super().run(*arguments, **options)
            for name in self.gone:
                del self.snapshots[name]
            return listed
        return super().run(*arguments, **options)


def sealed(*vms: dict[str, Any], task: str = "", level: str = "filesystem", **changes: Any) -> dict[str, str]:
    values = {"complete": True, "vmware_snapshot": OURS, "vms": list(vms or [MAIL, ARCHIVE]), **changes}
    one = Record(RUN, "h", task, level, **values)
    return {**one.first(), **dict(one.seal())}


@pytest.fixture
def pool(tmp_path: Path) -> PointPool:
    return PointPool(tmp_path / "dataset")


@pytest.fixture
def engine(tmp_path: Path, pool: PointPool) -> Iterator[Engine]:
    paths = Paths(tmp_path / "state", tmp_path / "key", tmp_path / "locks")
    with open_engine(paths) as opened:
        yield replace(opened, zfs=pool)


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / "dataset" / ".zfs" / "snapshot" / name
    made.mkdir(parents=True)
    return made


def only(found: Points) -> RestorePoint:
    (point,) = found.points
    return point


# ---- What a record says


def test_a_record_gives_the_level_and_the_vms(pool: PointPool, engine: Engine) -> None:
    pool.put("one", sealed())
    point = only(find_points(engine, ROOT))
    told = json.loads(json.dumps(point.as_dict()))
    assert (told["snapshot"], told["dataset"], told["level"], told["complete"]) == (
        f"{ROOT}@one",
        ROOT,
        "filesystem",
        True,
    )
    assert told["recorded"] and told["run_id"] == RUN and told["vms_known"] and told["problems"] == []
    assert HOUR <= told["age_seconds"] < 2 * HOUR
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", told["creation"])
    archive, mail = told["vms"]
    assert (archive["level"], archive["reason"], archive["revert_to"]) == ("still", "it is powered off", "")
    assert mail == {
        "name": "mail", "level": "filesystem", "reason": "", "vmx_path": "[vmware] mail/mail.vmx", "revert_to": OURS,
        "datasets": ["tank/db", ROOT, "the datastore fast"], "instance_uuid": "5029", "server": "vc.lab", "remarks": [],
    }  # fmt: skip


def test_the_newest_is_first_and_datasets_below_are_included(pool: PointPool, engine: Engine, tmp_path: Path) -> None:
    pool.datasets[f"{ROOT}/db"] = str(tmp_path / "db")
    pool.datasets["tank/vmware2"] = str(tmp_path / "other")
    pool.put("old", sealed(), age=DAY)
    pool.put("new", sealed(), age=60)
    pool.add(f"{ROOT}/db@mid", sealed(), creation=NOW - HOUR)
    pool.add("tank/vmware2@x", sealed(), creation=NOW)
    names = [str(point.snapshot) for point in find_points(engine, ROOT).points]
    assert names == [f"{ROOT}@new", f"{ROOT}/db@mid", f"{ROOT}@old"]


@pytest.mark.parametrize("wanted", ["mail", "5029", "[vmware] mail/mail.vmx", "mail/mail.vmx"])
def test_a_vm_is_found_by_name_uuid_and_path_with_its_own_level(wanted: str, pool: PointPool, engine: Engine) -> None:
    pool.put("with", sealed(MAIL, {**ARCHIVE, "level": "crash"}, level="crash", complete=False), age=DAY)
    pool.put("without", sealed(ARCHIVE))
    point = only(find_points(engine, ROOT, wanted))
    assert (point.snapshot.name, point.level, point.complete) == ("with", "filesystem", False)
    assert [one.name for one in point.vms] == ["mail"]


def test_one_snapshot_can_be_named(pool: PointPool, engine: Engine) -> None:
    pool.put("one", sealed())
    pool.put("two", sealed())
    assert only(find_points(engine, f"{ROOT}@two")).snapshot.name == "two"


def test_excluded_vms_are_shown_apart(pool: PointPool, engine: Engine) -> None:
    pool.put("one", sealed(MAIL, {**ARCHIVE, "level": "crash", "excluded": True}, level="crash"))
    point = only(find_points(engine, ROOT))
    assert (point.level, point.level_text) == ("crash", "filesystem (1 excluded)")


@pytest.mark.parametrize(
    "vms",
    [
        [{"level": "still"}],
        [{"level": "crash", "name": 5, "disks": 3, "spans": {"a": 1}}],
        [{"level": "crash", "disks": [1, {"datasets": "x"}, {"datasets": [None]}]}],
    ],
)
def test_a_strange_record_of_a_replica_is_shown(vms: list[dict[str, Any]], pool: PointPool, engine: Engine) -> None:
    pool.put("one", sealed(*vms, level="crash"), source="received")
    point = only(find_points(engine, ROOT))
    assert [one.name for one in point.vms] == [""] and point.vms[0].datasets == ()


def test_vms_of_other_datasets_are_left_out_of_old_records(pool: PointPool, engine: Engine) -> None:
    other = {**MAIL, "name": "other", "disks": [{"datasets": ["tank/elsewhere"]}], "spans": []}
    pool.put("one", records_v1.properties(RUN, vms=[MAIL, other]))
    assert [one.name for one in only(find_points(engine, ROOT)).vms] == ["mail"]
    pool.put("one", records_v1.properties(RUN, vms=[other]))
    assert [one.name for one in only(find_points(engine, ROOT)).vms] == ["other"]  # as on a replica


# ---- Without a sealed record


def test_without_a_record_the_files_say_which_vms_there_are(pool: PointPool, engine: Engine, tmp_path: Path) -> None:
    with_snapshots(folder(tmp_path, "auto"), (RUN, "nas/vmware@auto"), ("", ""))
    pool.put("auto")
    point = only(find_points(engine, ROOT))
    assert (point.level, point.complete, point.recorded, point.vms_known) == ("unknown", None, False, True)
    (found,) = point.vms
    assert (found.name, found.level, found.revert_to) == ("a", "unknown", OURS)
    assert (found.vmx_path, found.datasets) == ("a/a.vmx", (ROOT,))
    assert find_points(engine, ROOT, "a").points[0].level == "unknown"


@pytest.mark.parametrize(
    ("first", "problem"),
    [(Record(RUN, "h").first(), "the run ended early"), (Record(RUN, "h").first(plain=True), "taken without VMware")],
)
def test_a_record_that_is_not_sealed_is_crash(
    first: dict[str, str], problem: str, pool: PointPool, engine: Engine, tmp_path: Path
) -> None:
    with_snapshots(folder(tmp_path, "renamed"), (OLDER, "tank/vmware@old"), (RUN, "tank/vmware@auto"))
    pool.put("renamed", first)
    point = only(find_points(engine, ROOT, "a"))
    assert (point.level, point.complete, point.recorded) == ("crash", False, False)
    assert problem in point.problems[0] and point.vms[0].revert_to == OURS


def test_a_snapshot_of_a_live_run_says_so(pool: PointPool, engine: Engine, tmp_path: Path) -> None:
    vm(folder(tmp_path, "one") / "a", "a")
    pool.put("one", Record(RUN, "h").first())
    with engine.locks.run(RUN, ROOT, 1.0):
        assert "its run has not ended" in only(find_points(engine, ROOT)).problems[0]


def test_a_vm_that_a_record_with_problems_lacks_is_found_by_its_files(
    pool: PointPool, engine: Engine, tmp_path: Path
) -> None:
    vm(folder(tmp_path, "one") / "lost", "lost")
    vm(tmp_path / "dataset" / ".zfs" / "snapshot" / "one" / "mail", "mail")
    pool.put("one", sealed(MAIL, level="crash", complete=False, problems=["vc2.lab cannot be reached."]))
    point = only(find_points(engine, ROOT, "lost"))
    assert point.level == "crash" and point.problems == ("vc2.lab cannot be reached.",)
    assert only(find_points(engine, ROOT, "mail")).level == "filesystem"


def test_datasets_that_are_not_mounted_are_one_sentence(pool: PointPool, engine: Engine) -> None:
    pool.datasets[ROOT] = ""
    for name in "abc":
        pool.put(name)
    found = find_points(engine, ROOT)
    assert [point.vms_known for point in found.points] == [False] * 3
    (problem,) = found.problems
    assert f"{ROOT} is not mounted; mount it with 'zfs mount {ROOT}'" in problem
    with pytest.raises(InputError, match="but the files of 3 ZFS snapshots without a record were not read"):
        find_points(engine, ROOT, "mail")


def test_reading_files_has_a_time_limit(pool: PointPool, engine: Engine, tmp_path: Path) -> None:
    for name in "ab":
        folder(tmp_path, name)
        pool.put(name)
    found = find_points(engine, ROOT, look_seconds=-1)
    assert set(found.not_read) == {f"{ROOT}@a", f"{ROOT}@b"} and not found.points[0].vms_known


def test_a_damaged_file_is_a_problem_of_its_snapshot(pool: PointPool, engine: Engine, tmp_path: Path) -> None:
    (vm(folder(tmp_path, "one") / "a", "a") / "a.vmx").write_bytes(b"\0")
    pool.put("one")
    point = only(find_points(engine, ROOT))
    assert point.vms == () and "The file a/a.vmx cannot be used" in point.problems[1]


# ---- What cannot be answered


def test_an_unknown_vm_is_refused_with_similar_names(pool: PointPool, engine: Engine) -> None:
    pool.put("one", sealed())
    with pytest.raises(InputError) as caught:
        find_points(engine, ROOT, "Mial")
    assert str(caught.value) == (
        f"No restore point of {ROOT} is known to hold a VM named 'Mial'; a similar name is 'mail'."
    )
    with pytest.raises(InputError, match=f"list the VMs with 'vmware-zfs points {ROOT}'"):
        find_points(engine, ROOT, "zzz")
    pool.snapshots.clear()
    with pytest.raises(InputError, match="has no ZFS snapshots"):
        find_points(engine, ROOT, "mail")
    assert find_points(engine, ROOT).points == ()


def test_two_vms_of_one_name_are_refused_and_can_be_named_by_path(pool: PointPool, engine: Engine) -> None:
    twin = {**MAIL, "vmx_path": "[vmware] mail_1/mail.vmx", "instance_uuid": "777"}
    pool.put("one", sealed(MAIL, twin))
    with pytest.raises(InputError) as caught:
        find_points(engine, ROOT, "mail")
    assert str(caught.value) == (
        f"{ROOT}@one holds 2 VMs named 'mail': [vmware] mail/mail.vmx and [vmware] mail_1/mail.vmx; name the VM by the "
        "path of its .vmx file instead."
    )
    assert only(find_points(engine, ROOT, "mail_1/mail.vmx")).vms[0].instance_uuid == "777"


@pytest.mark.parametrize(
    ("target", "kind", "problem"),
    [
        ("tank/none", DatasetNotFound, "The dataset 'tank/none' does not exist on this storage host"),
        (f"{ROOT}@none", DatasetNotFound, f"The ZFS snapshot {ROOT}@none does not exist on this storage host"),
        ("tank//a", InputError, "is not a valid dataset name"),
        ("-r", InputError, "is not a valid dataset name"),
        (f"{ROOT}@", InputError, "is not a valid snapshot name"),
        (f"{ROOT}@a@b", InputError, "is not a valid snapshot name"),
    ],
)
def test_an_unknown_target_is_one_sentence(
    target: str, kind: type[Exception], problem: str, pool: PointPool, engine: Engine
) -> None:
    with pytest.raises(kind, match=problem):
        find_points(engine, target)


def test_similar_datasets_and_snapshots_are_named(pool: PointPool, engine: Engine) -> None:
    pool.datasets["tank"] = "/tank"
    pool.put("auto-2026-01-31_02-00", sealed())
    with pytest.raises(DatasetNotFound) as caught:
        find_points(engine, "tank/vmwaer")
    assert str(caught.value) == (
        "The dataset 'tank/vmwaer' does not exist on this storage host; a similar name is 'tank/vmware'."
    )
    with pytest.raises(DatasetNotFound, match=f"; a similar name is '{ROOT}@auto-2026-01-31_02-00'"):
        find_points(engine, f"{ROOT}@auto-2026-01-31_20-00")


def test_the_clones_of_restores_are_no_restore_points(pool: PointPool, engine: Engine) -> None:
    pool.datasets.update({"tank": "/tank", f"tank/vmware-zfs-restores/{RUN}": "/x"})
    pool.add(f"tank/vmware-zfs-restores/{RUN}@person", {}, creation=NOW)
    pool.put("one", sealed())
    assert [str(point.snapshot) for point in find_points(engine, "tank").points] == [f"{ROOT}@one"]


def test_a_snapshot_that_is_destroyed_meanwhile_is_left_out(pool: PointPool, engine: Engine) -> None:
    pool.put("gone", sealed())
    pool.put("stays", sealed())
    pool.gone = {f"{ROOT}@gone"}
    assert only(find_points(engine, ROOT)).snapshot.name == "stays"


# ---- Pins and lifetimes


def test_holds_clones_and_restores_pin_a_snapshot(pool: PointPool, engine: Engine) -> None:
    pool.put("one", sealed())
    pool.hold(f"{ROOT}@one", "keep", f"vmware-zfs-restore-{RUN}")
    clones = f"tank/copy,tank/vmware-zfs-restores/{OLDER}/1"
    pool.change(f"{ROOT}@one", {"clones": clones}, "-")
    told = only(find_points(engine, ROOT)).as_dict()
    assert told["holds"] == ["keep", f"vmware-zfs-restore-{RUN}"] and told["clones"] == clones.split(",")
    assert told["restores"] == [RUN, OLDER]
    assert told["pinned_by"] == [f"restore {RUN}", f"restore {OLDER}", "hold keep", "clone tank/copy"]


def test_a_tag_with_line_breaks_imitates_no_hold(pool: PointPool, engine: Engine) -> None:
    for name in ("one", "two"):
        pool.put(name, sealed())
    pool.hold(f"{ROOT}@one", "real")
    pool.hold(f"{ROOT}@two", f"x\tSat\n{ROOT}@one\tvmware-zfs-restore-{RUN}")
    told = {point.snapshot.name: point.pins for point in find_points(engine, ROOT).points}
    assert (
        told["one"].unread and told["one"].restores == () and told["one"].texts() == ["a hold whose tag cannot be read"]
    )


def task(engine: Engine, **options: Any) -> SnapshotTask:
    settings = {"dataset": ROOT, "lifetime_value": 1, "lifetime_unit": "WEEK", **options}
    return engine.tasks.insert(SnapshotTask("").merged(settings))


def expiries(engine: Engine) -> dict[str, str]:
    return {point.snapshot.name: point.expiry.text for point in find_points(engine, ROOT).points}


def test_a_snapshot_expires_by_its_task(pool: PointPool, engine: Engine) -> None:
    key = task(engine).key
    for name, age, complete in (("a", 30, False), ("b", 20, True), ("c", 15, False), ("d", 12, False), ("e", 1, False)):
        pool.put(name, sealed(task=key, complete=complete), age=age * DAY)
    pool.hold(f"{ROOT}@c", "keep")
    pool.change(f"{ROOT}@d", {"clones": "tank/copy"}, "-")
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(NOW + 6 * DAY))
    assert expiries(engine) == {
        "e": until,
        "d": "kept: has a clone",
        "c": "kept: held",
        "b": "kept: newest complete",
        "a": "as soon as the task runs",
    }
    told = find_points(engine, ROOT).points[0].as_dict()
    assert told["expires"].startswith(until.replace(" ", "T")) and told["expiry"] == until
    pool.put("f", sealed(task=key), age=-DAY)
    pool.put("e", sealed(task=key, complete=False), age=9 * DAY)
    assert expiries(engine)["f"] == "kept: dated in the future" and expiries(engine)["e"] == "kept: newest of its task"


def test_some_snapshots_never_expire(pool: PointPool, engine: Engine) -> None:
    own = task(engine, enabled=False)
    below = task(engine, dataset="tank", recursive=True, exclude=[ROOT])
    for age in (30, 29):
        pool.put(f"own{age}", sealed(task=own.key), age=age * DAY)
    pool.put("plain", {}, age=30 * DAY)
    pool.put("removed", sealed(task="no-such-key"), age=30 * DAY)
    pool.put("received", sealed(task=own.key), age=30 * DAY, source="received")
    pool.put("foreign", sealed(task="their-key"), age=30 * DAY, source="received")
    pool.put("outside", sealed(task=below.key), age=30 * DAY)
    found = expiries(engine)
    assert found["own30"] == "as soon as the task runs (it is disabled)"
    assert found["plain"] == "never: no task" and found["removed"] == "never: its task was deleted"
    assert found["received"] == found["foreign"] == "never: it was received"
    assert found["outside"] == "never: its task does not include the dataset"


def test_a_lifetime_of_a_thousand_years_is_shown(pool: PointPool, engine: Engine) -> None:
    pool.put("one", sealed(task=task(engine, lifetime_value=1000, lifetime_unit="YEAR").key))
    assert re.match(r"30\d\d-", expiries(engine)["one"])


def test_a_clock_that_may_be_wrong_keeps_snapshots(pool: PointPool, engine: Engine) -> None:
    stored = task(engine)
    engine.tasks.turned(stored.id, NOW - 30 * DAY, False)
    for age in (30, 29, 28):
        pool.put(f"a{age}", sealed(task=stored.key, complete=False), age=age * DAY)
    assert expiries(engine)["a30"] == "kept: the clock may be wrong"


# ---- How many processes it takes


@pytest.mark.parametrize("count", [1, 500])
def test_few_processes_read_any_number_of_snapshots(count: int, pool: PointPool, engine: Engine) -> None:
    key = task(engine).key
    for number in range(count):
        pool.put(f"s{number}", sealed(task=key), age=number * HOUR)
        pool.hold(f"{ROOT}@s{number}", "keep")
    assert len(find_points(engine, ROOT, "mail").points) == count
    assert pool.processes == 5


# ---- The command


@pytest.fixture
def said(engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `vmware-zfs points` and returns its status, its lines and its error."""

    class Opened:
        def __enter__(self) -> Engine:
            return engine

        def __exit__(self, *_error: Any) -> None:
            pass

    monkeypatch.setattr(cli_points, "open_engine", lambda *_paths, **_options: Opened())

    def run(*arguments: str) -> tuple[int, list[str], str]:
        code = cli.main(["points", *arguments])
        told = capsys.readouterr()
        return code, told.out.splitlines(), told.err

    return run


def cells(line: str) -> list[str]:
    return re.split(r" {2,}", line)


def test_the_table_shows_each_restore_point(pool: PointPool, said: Any, tmp_path: Path) -> None:
    many = [{**ARCHIVE, "name": f"vm{number}"} for number in range(7)]
    pool.put("one", sealed(*many), age=3 * DAY)
    pool.put("two", {}, age=2 * HOUR)
    folder(tmp_path, "two")
    pool.put("three", {}, age=HOUR)
    folder(tmp_path, "three")
    code, lines, _error = said(ROOT)
    assert code == 0 and cells(lines[0]) == [
        "ZFS snapshot", "created", "age", "level", "complete", "drill", "expires", "pinned by", "VMs",
    ]  # fmt: skip
    two, one = cells(lines[2]), cells(lines[3])
    assert two[0] == f"{ROOT}@two" and two[2:] == ["2 h", "unknown", "unknown", "-", "never: no task", "-", "none"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d", one[1])
    assert one[2:] == [
        "3 days",
        "filesystem",
        "yes",
        "-",
        "never: no task",
        "-",
        "7: vm0, vm1, vm2, vm3, vm4 and 2 more",
    ]
    assert lines[4:] == [f"{ROOT}@three and 1 other: it has no record, so the level of its VMs is not known"]


def test_the_table_of_a_vm_shows_what_to_revert_to(pool: PointPool, said: Any) -> None:
    pool.put("one", sealed())
    _code, lines, _error = said(ROOT, "--vm", "mail")
    assert cells(lines[0])[-1] == "revert to" and cells(lines[1])[-1] == OURS
    _code, lines, _error = said(ROOT, "--vm", "archive")
    assert cells(lines[1])[-1] == "nothing" and len(lines) == 2


def test_one_snapshot_is_shown_in_detail(pool: PointPool, said: Any) -> None:
    pool.put("one", sealed())
    pool.hold(f"{ROOT}@one", "keep")
    code, lines, _error = said(f"{ROOT}@one")
    assert code == 0 and lines[0].startswith(f"{ROOT}@one, created ") and lines[0].endswith(", 1 h ago")
    assert lines[1:4] == ["level: filesystem, complete: yes", "expires: never: no task", "pinned by: hold keep"]
    assert cells(lines[5]) == [
        "archive", "still", "nothing", "[vmware] archive/a.vmx", "it is powered off",
    ]  # fmt: skip
    assert cells(lines[6]) == [
        "mail",
        "filesystem",
        OURS,
        "[vmware] mail/mail.vmx",
        "tank/db, tank/vmware, the datastore fast",
    ]


def test_json_has_all_of_it(pool: PointPool, said: Any) -> None:
    pool.put("one", sealed())
    code, lines, _error = said(ROOT, "--json")
    told = json.loads("\n".join(lines))
    assert code == 0 and told["points"][0]["snapshot"] == f"{ROOT}@one" and told["not_read"] == told["problems"] == []


def test_what_cannot_be_read_is_said_below_the_table(pool: PointPool, said: Any, tmp_path: Path) -> None:
    vm(folder(tmp_path, "one") / "a", "a", disk="/vmfs/volumes/ds/b.vmdk")
    pool.put("one")
    _code, lines, _error = said(ROOT, "--vm", "a")
    assert lines[-1] == f"{ROOT}@one: VM 'a': The disk scsi0:0 is in another folder: /vmfs/volumes/ds/b.vmdk."
    pool.datasets[ROOT] = ""
    _code, lines, _error = said(ROOT)
    assert cells(lines[1])[-1] == "unknown" and "is not mounted" in lines[-1]
    assert said(f"{ROOT}@one")[1][4] == "its VMs are not known"


def test_no_snapshots_and_errors_are_one_line(pool: PointPool, said: Any) -> None:
    assert said(ROOT) == (0, [f"{ROOT} has no ZFS snapshots"], "")
    code, lines, error = said("tank/none")
    assert (code, lines) == (1, []) and error.startswith("vmware-zfs: The dataset 'tank/none' does not exist")


@pytest.mark.parametrize(("seconds", "text"), [(59, "0 min"), (3599, "59 min"), (7200, "2 h"), (172800, "2 days")])
def test_ages(seconds: int, text: str) -> None:
    assert cli_points.age_text(seconds) == text


def test_the_text_of_a_vm_cannot_change_the_terminal(pool: PointPool, said: Any) -> None:
    pool.put("one", sealed({**ARCHIVE, "name": "a\x1b[2J\nb"}))
    _code, lines, _error = said(ROOT)
    assert len(lines) == 2 and "\x1b" not in lines[1] and PREFIX not in lines[1]
