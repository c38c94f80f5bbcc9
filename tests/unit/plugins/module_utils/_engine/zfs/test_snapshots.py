# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""User properties are untrusted, and zfs does not escape them. They must not affect other snapshots."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import DatasetNotFound, InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.observe import lifetimes
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import Record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import SnapshotTask
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import retire
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import snapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.tests import records_v1
from ansible_collections.quiesce.vmware_zfs.tests.unit.zfs_pool import OLD, PREFIX, Pool
from hypothesis import given
from hypothesis import strategies as st

KEY = "0123456789abcdef"
TASK, RUN = PREFIX + "task", PREFIX + "run"
KEYS = ("creation", "createtxg", "userrefs", "clones", TASK, PREFIX + "complete")
MINE, THEIRS, PERSONS = "tank/vmware@mine", "tank/vmware/received@theirs", "tank/vmware@important"


@pytest.fixture
def pool() -> Pool:
    """A snapshot of a task, one of a user, and a received one."""
    made = Pool()
    made.take(MINE, task=KEY, run="one", complete="yes")
    made.take(PERSONS)
    made.take(THEIRS, "received", task="no", run="two", complete="no")
    return made


def claim(pool: Pool, key: str, *rows: str, name: str = THEIRS) -> None:
    """Set a property to a value that ends its row and begins other rows."""
    pool.snapshots[name][PREFIX + key] = ("no\tlocal\n" + "\n".join(rows).removesuffix("\tlocal"), "local")


def facts(pool: Pool) -> dict[str, dict[str, str]]:
    return snapshots.facts(pool, ["tank/vmware"], KEYS, PREFIX)


def test_facts_are_told_in_one_process(pool: Pool) -> None:
    found = facts(pool)
    assert pool.processes == 1 and list(found) == [MINE, PERSONS, THEIRS]
    assert found[MINE] == {
        "creation": str(OLD), "createtxg": "0", "userrefs": "0", "clones": "", TASK: KEY, PREFIX + "complete": "yes",
    }  # fmt: skip
    assert TASK not in found[PERSONS]


NATIVE = ("createtxg\t7", f"creation\t{OLD}", "userrefs\t0", "clones\t")
FORGED = {
    "of one that carries none": ("task", f"{PERSONS}\t{TASK}\t{KEY}\tlocal"),
    "of one that carries another": ("task", f"{MINE}\t{TASK}\tx\tlocal"),
    "of one that is not there": (
        "complete",
        *(f"tank/vmware@none\t{row}\t-" for row in (NATIVE[0], *NATIVE[2:])),
        f"tank/vmware@none\t{TASK}\t{KEY}\tlocal",
        f"tank/vmware@none\t{PREFIX}complete\tyes\tlocal",
        f"tank/vmware@none\t{NATIVE[1]}\t-",
        *(f"{THEIRS}\t{row}\t-" for row in (NATIVE[0], *NATIVE[2:])),
        f"{THEIRS}\t{TASK}\t{KEY}\tlocal",
        f"{THEIRS}\t{PREFIX}complete\tyes\tlocal",
    ),
    "of itself": ("task", f"{THEIRS}\tcreation\t17\t-", f"{THEIRS}\t{TASK}\t{KEY}\tlocal"),
    "of no shape": ("task", "", "\t\t", "x" * 300, f"{PERSONS}\t{TASK}"),
    "of a tab": ("task", f"x\t{KEY}"),
    "of another end of a line": ("task", "\r", "\x85", "\u2028", "\x0c"),
}


@pytest.mark.parametrize("rows", FORGED.values(), ids=FORGED)
def test_no_value_says_a_thing_about_other_snapshots(pool: Pool, rows: tuple[str, ...]) -> None:
    clean = facts(pool)
    claim(pool, *rows)
    found = facts(pool)
    assert list(found) == list(clean) and {name: found[name] for name in (MINE, PERSONS)} == {
        name: clean[name] for name in (MINE, PERSONS)
    }
    # Of its own properties, only those that users cannot set are returned.
    assert found[THEIRS] == {"creation": str(OLD), "createtxg": "2", "userrefs": "0", "clones": ""}


def test_a_persons_snapshot_is_not_destroyed_for_what_another_claims(pool: Pool) -> None:
    claim(pool, "task", f"{PERSONS}\t{TASK}\t{KEY}\tlocal")
    task = replace(SnapshotTask("tank/vmware").merged({"lifetime_value": 1, "lifetime_unit": "HOUR"}), id=1, key=KEY)
    pool.take("tank/vmware@newer", task=KEY, run="two")
    pool.snapshots["tank/vmware@newer"]["creation"] = (str(OLD + 1), "-")
    done = retire.retire(pool, [task], lifetimes.facts(pool, ["tank/vmware"]), dry=True)
    assert done.destroyed == [MINE] and [kept.name for kept in done.kept] == ["tank/vmware@newer"]


def test_what_is_inherited_is_nobodys_fact(pool: Pool) -> None:
    text = f"no\tlocal\n{PERSONS}\t{TASK}\t{KEY}"
    for name in (PERSONS, THEIRS):
        pool.snapshots[name][TASK] = (text, "inherited from tank/vmware")
    found = facts(pool)
    assert found[MINE][TASK] == KEY and TASK not in found[PERSONS] and TASK not in found[THEIRS]


def runs(pool: Pool, *names: str) -> dict[str, str]:
    """Return the runs of the snapshots that have one as their own property."""
    return {name: own[RUN] for name, own in snapshots.own_of_each(pool, names, (RUN,)).items() if RUN in own}


WORDS = st.sampled_from([*"\t\n\r-xy", MINE, PERSONS, THEIRS, TASK, KEY, "local", "creation", "createtxg"])
VALUES = st.tuples(st.sampled_from([TASK, PREFIX + "complete", RUN]), st.lists(WORDS, max_size=30).map("".join))


@given(st.lists(VALUES, max_size=3))
def test_whatever_the_values_are_the_others_facts_stay(values: list[tuple[str, str]]) -> None:
    pool = Pool()
    pool.take(MINE, task=KEY, run="one", complete="yes")
    pool.take(PERSONS)
    pool.take(THEIRS)
    clean, before = facts(pool), runs(pool, MINE, PERSONS)
    for key, value in values:
        pool.snapshots[THEIRS][key] = (value, "received")
    found = facts(pool)
    assert {name: found[name] for name in (MINE, PERSONS)} == {name: clean[name] for name in (MINE, PERSONS)}
    assert list(found) == list(clean) and found[THEIRS]["createtxg"] == "2"
    after = runs(pool, THEIRS, MINE, PERSONS)
    after.pop(THEIRS, None)
    assert after == before


@pytest.mark.parametrize("rows", [(f"{PERSONS}\t{RUN}\tone\tlocal",), (f"{MINE}\t{RUN}\tx\tlocal", "junk"), ("a\tb",)])
def test_no_run_is_taken_from_another_snapshots_value(pool: Pool, rows: tuple[str, ...]) -> None:
    """The record of MINE can still be completed, regardless of received snapshots. PERSONS has no owner."""
    claim(pool, "run", *rows)
    assert runs(pool, MINE, PERSONS, THEIRS) == {MINE: "one"}
    assert snapshots.owned(pool, [MINE, PERSONS, THEIRS], RUN, "one", 9.0) == {MINE: pool.born(MINE)}


def test_one_bad_value_among_many_takes_few_processes() -> None:
    pool = Pool()
    names = [f"tank/vmware/{number:03}@s" for number in range(256)]
    for name in names:
        pool.take(name, run="one")
    claim(pool, "run", *(f"{name}\t{RUN}\tx\tlocal" for name in names), name=names[77])
    others = {name: pool.born(name) for name in names if name != names[77]}
    assert snapshots.owned(pool, names, RUN, "one", 9.0) == others
    assert pool.processes == 1 + 2 * 8


def test_a_snapshot_that_is_gone_is_told(pool: Pool) -> None:
    with pytest.raises(DatasetNotFound):
        runs(pool, MINE, "tank/vmware@gone")


def test_only_what_was_set_on_this_host_is_owned(pool: Pool) -> None:
    """A received snapshot has the run of another host, or of another pool of this host."""
    pool.take(PERSONS, "received", run="one")
    pool.take(THEIRS, "inherited from tank", run="one")
    assert snapshots.owned(pool, [MINE, PERSONS, THEIRS], RUN, "one", 9.0) == {MINE: pool.born(MINE)}
    assert snapshots.owned(pool, [MINE], RUN, "two", 9.0) == {}


def test_those_that_are_there_are_known_beside_one_that_is_gone(pool: Pool) -> None:
    assert snapshots.owned(pool, [MINE, "tank/vmware@gone"], RUN, "one", 9.0).keys() == {MINE}
    assert snapshots.owned(pool, ["tank/vmware@gone"], RUN, "one", 9.0) == {}
    assert max(pool.timeouts) == 9.0 and all(8.0 < timeout <= 9.0 for timeout in pool.timeouts)


def test_what_each_carries_itself_is_read_in_one_process(pool: Pool) -> None:
    found = snapshots.own_of_each(pool, [MINE, PERSONS, THEIRS], (TASK, RUN))
    assert pool.processes == 1
    assert found == {
        MINE: {TASK: KEY, RUN: "one", "creation": str(OLD)},
        PERSONS: {"creation": str(OLD)},
        THEIRS: {TASK: "no", RUN: "two", "creation": str(OLD)},
    }
    assert snapshots.own_of_each(pool, [], (TASK,)) == {}


def test_those_that_exist(pool: Pool) -> None:
    assert snapshots.existing(pool, [MINE, "tank/vmware@gone", THEIRS]) == [MINE, THEIRS]
    assert snapshots.existing(pool, [MINE]) == [MINE] and snapshots.existing(pool, []) == []


def test_a_command_that_the_system_would_not_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    names, values = [f"tank/{number}@s" for number in range(100)], {"a": "x" * 1000}
    snapshots.check_room(Zfs(), names, values)
    for limit, fits in ((6_000, True), (3_000, False)):
        monkeypatch.setattr(LocalHost, "argument_limit", lambda host, limit=limit: limit)
        if fits:
            snapshots.check_room(Zfs(), names, values)
        else:
            with pytest.raises(InputError, match="The arguments of 'zfs snapshot' would exceed this system's limit"):
                snapshots.check_room(Zfs(), names, values)


NOTE = f"a note of\nseveral\tlines\n{RUN}\tforged\tlocal\ncreation\t{OLD - 100}\t-\n{PREFIX}complete\tyes"


def written(pool: Pool, **changes: Any) -> Record:
    """Return the sealed record of MINE."""
    values: dict[str, Any] = {"run": "one", "host": "a", "consistency": "filesystem", "complete": True, "sealed": True}
    made = Record(**{**values, **changes})
    pool.change(MINE, {**made.first(), **dict(made.seal())})
    return made


def read(pool: Pool, name: str) -> Record | None:
    return record.read(pool, [name]).get(name)


def test_a_note_on_the_dataset_does_not_keep_a_record_from_being_read(pool: Pool) -> None:
    whole = written(pool, task=KEY)
    pool.change(MINE, {"com.example:note": NOTE}, "inherited from tank/vmware")
    assert read(pool, MINE) == whole
    assert snapshots.properties(pool, PERSONS, PREFIX) == {"creation": str(OLD)}


def test_an_inherited_value_makes_no_record_of_a_snapshot_without_one(pool: Pool) -> None:
    pool.change(PERSONS, {"com.example:note": NOTE}, "inherited from tank/vmware")
    assert read(pool, PERSONS) is None


def test_a_note_on_the_snapshot_says_nothing_of_its_record(pool: Pool) -> None:
    """A record of version 2 is read by its keys, which other properties cannot affect."""
    whole = written(pool, task=KEY)
    for note in (NOTE, f"x\tlocal\n{PREFIX}consistency\tcrash"):
        pool.change(MINE, {"com.example:note": note})
        assert read(pool, MINE) == whole


def test_a_record_of_1_0_0_that_the_snapshot_itself_contradicts_counts_as_crash(pool: Pool) -> None:
    pool.add(MINE, records_v1.properties("one"))
    pool.change(MINE, {"com.example:note": f"x\tlocal\n{PREFIX}held_until\t{2 * OLD}"})
    found = read(pool, MINE)
    assert found is not None and (found.consistency, found.complete) == ("crash", False)
    pool.change(MINE, {"com.example:note": NOTE})  # zfs seems to list its `complete` twice
    found = read(pool, MINE)
    assert found is not None and not found.complete


def test_a_value_of_several_lines_of_our_own_is_none(pool: Pool) -> None:
    for value in ("one\ntwo", "one\ttwo", "\n", "\t"):
        pool.change(MINE, {RUN: value})
        assert RUN not in (snapshots.properties(pool, MINE, PREFIX) or {})
        assert snapshots.own_of_each(pool, [MINE], (RUN,)) == {}
