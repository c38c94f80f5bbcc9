# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A user property is anybody's text, and zfs shows it as it is: it must not speak for other snapshots."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination import record, retire
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.record import PREFIX, Record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.errors import DatasetNotFound
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.registry.snapshot_tasks import SnapshotTask
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.zfs import snapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.zfs.command import Zfs
from hypothesis import given, settings
from hypothesis import strategies as st

OLD = 1_700_000_000
KEY = "0123456789abcdef"
TASK, RUN = PREFIX + "task", PREFIX + "run"
KEYS = ("creation", "createtxg", "userrefs", "clones", TASK, PREFIX + "complete")
MINE, THEIRS, PERSONS = "tank/vmware@mine", "tank/vmware/received@theirs", "tank/vmware@important"


class Pool(Zfs):
    """A zfs whose `get` shows what its snapshots carry as the real one does: raw, a row per property."""

    def __init__(self) -> None:
        super().__init__()
        self.snapshots: dict[str, dict[str, tuple[str, str]]] = {}  # name -> property -> value, source
        self.asked: list[tuple[str, ...]] = []

    def take(self, name: str, source: str = "local", **properties: str) -> None:
        native = {"creation": str(OLD), "createtxg": str(len(self.snapshots)), "userrefs": "0", "clones": ""}
        own = {PREFIX + key: (value, source) for key, value in properties.items()}
        self.snapshots[name] = {**{key: (value, "-") for key, value in native.items()}, **own}

    def run(self, *arguments: str, timeout: float = 0.0, hurry: Any = None, script: str = "") -> str:
        self.processes += 1
        self.asked.append(arguments)
        assert arguments[:3] == ("get", "-H", "-p")
        columns = arguments[arguments.index("-o") + 1].split(",")
        keys, *names = arguments[arguments.index("-o") + 2 :]
        sources = arguments[arguments.index("-s") + 1].split(",") if "-s" in arguments else None
        if "-r" in arguments:
            names = [name for name in self.snapshots if any(name.split("@")[0].startswith(root) for root in names)]
        if not set(names) <= set(self.snapshots):
            raise DatasetNotFound("'zfs get' failed")
        output = ""
        for name in names:
            has = self.snapshots[name]
            for key in has if keys == "all" else keys.split(","):
                value, source = has.get(key, ("-", "-"))
                if sources is None or source.split(" ")[0].replace("-", "none") in sources:
                    row = {"name": name, "property": key, "value": value, "source": source}
                    output += "\t".join(row[column] for column in columns) + "\n"
        return output


@pytest.fixture
def pool() -> Pool:
    """A task's snapshot, a person's, and one that was received."""
    made = Pool()
    made.take(MINE, task=KEY, run="one", complete="yes")
    made.take(PERSONS)
    made.take(THEIRS, "received", task="no", run="two", complete="no")
    return made


def claim(pool: Pool, key: str, *rows: str, name: str = THEIRS) -> None:
    """Have a snapshot's property hold a value that ends its row and begins others."""
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
    # Of itself it says nothing any more, except what nobody can set.
    assert found[THEIRS] == {"creation": str(OLD), "createtxg": "2", "userrefs": "0", "clones": ""}


def test_a_persons_snapshot_is_not_destroyed_for_what_another_claims(pool: Pool) -> None:
    claim(pool, "task", f"{PERSONS}\t{TASK}\t{KEY}\tlocal")
    task = replace(SnapshotTask("tank/vmware").merged({"lifetime_value": 1, "lifetime_unit": "HOUR"}), id=1, key=KEY)
    pool.take("tank/vmware@newer", task=KEY, complete="yes")
    pool.snapshots["tank/vmware@newer"]["creation"] = (str(OLD + 1), "-")
    done = retire.retire(pool, [task], retire.facts(pool, ["tank/vmware"]), dry=True)
    assert done["destroyed"] == [MINE] and [kept["name"] for kept in done["kept"]] == ["tank/vmware@newer"]


def test_what_is_inherited_is_nobodys_fact(pool: Pool) -> None:
    text = f"no\tlocal\n{PERSONS}\t{TASK}\t{KEY}"
    for name in (PERSONS, THEIRS):
        pool.snapshots[name][TASK] = (text, "inherited from tank/vmware")
    found = facts(pool)
    assert found[MINE][TASK] == KEY and TASK not in found[PERSONS] and TASK not in found[THEIRS]


WORDS = st.sampled_from([*"\t\n\r-xy", MINE, PERSONS, THEIRS, TASK, KEY, "local", "creation", "createtxg"])
VALUES = st.tuples(st.sampled_from([TASK, PREFIX + "complete", RUN]), st.lists(WORDS, max_size=30).map("".join))


@settings(deadline=None)
@given(st.lists(VALUES, max_size=3))
def test_whatever_the_values_are_the_others_facts_stay(values: list[tuple[str, str]]) -> None:
    pool = Pool()
    pool.take(MINE, task=KEY, run="one", complete="yes")
    pool.take(PERSONS)
    pool.take(THEIRS)
    clean, runs = facts(pool), snapshots.own(pool, [MINE, PERSONS], RUN)
    for key, value in values:
        pool.snapshots[THEIRS][key] = (value, "received")
    found = facts(pool)
    assert {name: found[name] for name in (MINE, PERSONS)} == {name: clean[name] for name in (MINE, PERSONS)}
    assert list(found) == list(clean) and found[THEIRS]["createtxg"] == "2"
    told = snapshots.own(pool, [THEIRS, MINE, PERSONS], RUN)
    told.pop(THEIRS, None)
    assert told == runs


@pytest.mark.parametrize("rows", [(f"{PERSONS}\t{RUN}\tone\tlocal",), (f"{MINE}\t{RUN}\tx\tlocal", "junk"), ("a\tb",)])
def test_no_run_is_taken_from_another_snapshots_value(pool: Pool, rows: tuple[str, ...]) -> None:
    """The record of MINE can still be lowered, whatever is received beside it; that of PERSONS is nobody's."""
    claim(pool, "run", *rows)
    assert snapshots.own(pool, [MINE, PERSONS, THEIRS], RUN) == {MINE: "one"}
    assert snapshots.bearing(pool, [MINE, PERSONS, THEIRS], RUN, "one") == [MINE]


def test_one_bad_value_among_many_takes_few_processes() -> None:
    pool = Pool()
    names = [f"tank/vmware/{number:03}@s" for number in range(256)]
    for name in names:
        pool.take(name, run="one")
    claim(pool, "run", *(f"{name}\t{RUN}\tx\tlocal" for name in names), name=names[77])
    assert snapshots.bearing(pool, names, RUN, "one") == [name for name in names if name != names[77]]
    assert pool.processes == 1 + 2 * 8


def test_a_snapshot_that_is_gone_is_told(pool: Pool) -> None:
    with pytest.raises(DatasetNotFound):
        snapshots.own(pool, [MINE, "tank/vmware@gone"], RUN)


NOTE = f"a note of\nseveral\tlines\n{RUN}\tforged\tlocal\ncreation\t{OLD - 100}\t-\n{PREFIX}complete\tyes"


def written(pool: Pool, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "run": "one", "host": "a", "consistency": "filesystem", "complete": True, "held_until": int(time.time()),
    }  # fmt: skip
    made = Record(**{**values, **changes})
    pool.snapshots[MINE].update({key: (value, "local") for key, value in made.properties().items()})
    return made.as_dict()


def test_a_note_on_the_dataset_does_not_keep_a_record_from_being_read(pool: Pool) -> None:
    whole = written(pool, task=KEY)
    pool.snapshots[MINE]["com.example:note"] = (NOTE, "inherited from tank/vmware")
    found = record.read(pool, MINE)
    assert found is not None and found.as_dict() == whole
    assert snapshots.properties(pool, PERSONS, PREFIX) == {"creation": str(OLD)}


def test_an_inherited_value_makes_no_record_of_a_snapshot_without_one(pool: Pool) -> None:
    pool.snapshots[PERSONS]["com.example:note"] = (NOTE, "inherited from tank/vmware")
    assert record.read(pool, PERSONS) is None


def test_a_record_that_the_snapshot_itself_contradicts_counts_as_crash(pool: Pool) -> None:
    written(pool, task=KEY)
    pool.snapshots[MINE]["com.example:note"] = (f"x\tlocal\n{PREFIX}held_until\t{2 * OLD}", "local")
    found = record.read(pool, MINE)
    assert found is not None and (found.consistency, found.complete) == ("crash", False)
    pool.snapshots[MINE]["com.example:note"] = (NOTE, "local")  # its run is told twice
    assert record.read(pool, MINE) is None


def test_a_value_of_several_lines_of_our_own_is_none(pool: Pool) -> None:
    for value in ("one\ntwo", "one\ttwo", "\n", "\t"):
        pool.snapshots[MINE][RUN] = (value, "local")
        assert RUN not in (snapshots.properties(pool, MINE, PREFIX) or {})
        assert snapshots.own(pool, [MINE], RUN) == {}
