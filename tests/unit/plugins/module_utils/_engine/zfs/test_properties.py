# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties are set in order, on snapshots of one owner, by as few programs as Lua's memory allows."""

from __future__ import annotations

import time
from typing import Callable

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.host import size
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import ZfsTimeout
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import program, properties
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.properties import GONE, Assignment, assign
from ansible_collections.quiesce.vmware_zfs.tests.unit.zfs_pool import PREFIX, Pool
from hypothesis import given, settings
from hypothesis import strategies as st

RUN, SEALED = PREFIX + "run", PREFIX + "sealed"
SMALL = ((PREFIX + "consistency", "still"), (SEALED, "yes"))
MEBIBYTE = 2**20


def parts(count: int) -> tuple[tuple[str, str], ...]:
    """Return the properties of a record whose manifest has this many parts."""
    return (*((f"{PREFIX}manifest.{number}", "x" * 8191) for number in range(count)), *SMALL)


def pool(*names: str, run: str = "one") -> Pool:
    made = Pool()
    for name in names:
        made.take(name, run=run)
    return made


def names(count: int) -> list[str]:
    return [f"tank/{number:04}@s" for number in range(count)]


def assignments(made: Pool, given: tuple[tuple[str, str], ...] = SMALL) -> list[Assignment]:
    return [Assignment(name, made.born(name), given) for name in made.snapshots]


def put(made: Pool, given: list[Assignment], timeout: float = 60.0) -> dict[str, str]:
    return assign(made, RUN, "one", given, timeout)


def test_all_are_set_in_their_order() -> None:
    made = pool("tank/a@s", "tank/b@s")
    assert put(made, assignments(made, parts(3))) == {"tank/a@s": "", "tank/b@s": ""}
    keys = [key for key, _value in parts(3)]
    assert made.set_order == [(name, key) for name in ("tank/a@s", "tank/b@s") for key in keys]
    assert made.own("tank/b@s") == {RUN: "one", **dict(parts(3))}
    assert made.processes == 1


def test_the_command_is_a_program_of_the_pool() -> None:
    made = pool("tank/a@s")
    put(made, assignments(made))
    (asked,) = made.asked
    assert asked[:4] == ("program", "-j", "tank", "-")
    assert list(asked[4:]) == [RUN, "one", "tank/a@s", made.born("tank/a@s"), "2", *(w for pair in SMALL for w in pair)]


def test_nothing_to_set_takes_no_program() -> None:
    assert put(pool(), []) == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made.snapshots.pop("tank/a@s"),
        lambda made: made.take("tank/a@s", run="one"),  # of the same run, but created later
        lambda made: made.take("tank/a@s"),
        lambda made: made.change("tank/a@s", {RUN: "two"}),
        lambda made: made.change("tank/a@s", {RUN: "one"}, "received"),
        lambda made: made.change("tank/a@s", {RUN: "one"}, "inherited from tank"),
    ],
)
def test_what_is_gone_or_another_ones_stays_as_it_is(change: Callable[[Pool], object]) -> None:
    made = pool("tank/a@s", "tank/b@s")
    given = assignments(made)
    change(made)
    before = dict(made.snapshots.get("tank/a@s", {}))
    assert put(made, given) == {"tank/a@s": GONE, "tank/b@s": ""}
    assert made.snapshots.get("tank/a@s", {}) == before


def test_where_createtxg_is_not_known_the_owner_decides() -> None:
    made = pool("tank/a@s", "tank/b@s")
    made.change("tank/b@s", {RUN: "two"})
    given = [Assignment(name, "", SMALL) for name in made.snapshots]
    assert put(made, given) == {"tank/a@s": "", "tank/b@s": GONE}


# ---- As many programs as needed


@pytest.mark.parametrize(("count", "programs"), [(1, 1), (100, 1), (101, 2), (250, 3)])
def test_a_program_has_a_hundred_snapshots_at_most(count: int, programs: int) -> None:
    made = pool(*names(count))
    assert put(made, assignments(made)) == dict.fromkeys(made.snapshots, "")
    assert len(made.programs) == programs
    assert [name for name, key in made.set_order if key == SEALED] == names(count)


def test_a_program_has_a_mebibyte_at_most() -> None:
    """Twelve records of 200 KB need three programs, although there are only a few snapshots."""
    made = pool(*names(12))
    assert put(made, assignments(made, parts(24))) == dict.fromkeys(made.snapshots, "")
    assert len(made.programs) == 3
    assert all(size(words) <= MEBIBYTE + 200 for words in made.programs)


def test_a_record_that_is_larger_than_a_program_is_set_by_several_in_its_order() -> None:
    made = pool("tank/a@s", "tank/b@s", "tank/c@s")
    given = [
        Assignment("tank/a@s", made.born("tank/a@s"), SMALL),
        Assignment("tank/b@s", made.born("tank/b@s"), parts(400)),
        Assignment("tank/c@s", made.born("tank/c@s"), SMALL),
    ]
    assert put(made, given) == dict.fromkeys(made.snapshots, "")
    assert len(made.programs) >= 4
    assert all(size(words) <= MEBIBYTE + 200 for words in made.programs)
    assert [key for name, key in made.set_order if name == "tank/b@s"] == [key for key, _value in parts(400)]
    assert made.own("tank/b@s") == {RUN: "one", **dict(parts(400))}


def test_a_system_with_less_room_for_arguments_gets_smaller_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalHost, "argument_limit", lambda host: 200_000)
    made = pool(*names(20))
    assert put(made, assignments(made, parts(2))) == dict.fromkeys(made.snapshots, "")
    assert all(size(words) <= 100_200 for words in made.programs) and len(made.programs) == 4


LENGTHS = st.lists(st.lists(st.integers(0, 400), min_size=1, max_size=12), min_size=1, max_size=8)


@settings(max_examples=100)
@given(LENGTHS, st.integers(600, 4000), st.integers(1, 5))
def test_however_they_are_cut_all_are_set_once_in_their_order(lengths: list[list[int]], room: int, most: int) -> None:
    made = pool(*names(len(lengths)))
    given = [
        Assignment(name, made.born(name), tuple((f"{PREFIX}{n}", "x" * length) for n, length in enumerate(sizes)))
        for name, sizes in zip(made.snapshots, lengths)
    ]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(properties, "_MOST_BYTES", room)
        patched.setattr(program, "MOST_SNAPSHOTS", most)
        assert put(made, given) == dict.fromkeys(made.snapshots, "")
    assert made.set_order == [(one.snapshot, key) for one in given for key, _value in one.properties]
    for words in made.programs:
        assert size(words[2:]) <= room or len(words) == 7  # one property that exceeds the limit


# ---- Failures


def test_what_zfs_refuses_ends_that_snapshots_record_and_no_other() -> None:
    made = pool("tank/a@s", "tank/b@s")
    made.refuses["tank/a@s", f"{PREFIX}manifest.1"] = 28
    said = put(made, assignments(made, parts(3)))
    assert said == {"tank/a@s": "zfs refuses (error 28)", "tank/b@s": ""}
    assert set(made.own("tank/a@s")) == {RUN, f"{PREFIX}manifest.0"}


def test_the_end_of_a_record_is_not_sent_when_an_earlier_program_failed_for_it() -> None:
    made = pool("tank/a@s", "tank/b@s")
    made.refuses["tank/a@s", f"{PREFIX}manifest.100"] = 28
    said = put(made, assignments(made, parts(400)))
    assert said == {"tank/a@s": "zfs refuses (error 28)", "tank/b@s": ""}
    assert SEALED not in made.own("tank/a@s") and SEALED in made.own("tank/b@s")
    assert ["tank/a@s" in words for words in made.programs[1:]] == [False] * (len(made.programs) - 1)


def test_the_end_of_a_record_is_not_set_when_the_same_program_failed_for_it() -> None:
    """A large record is two parts in one program. The second one must neither be set nor hide the failure."""
    made = pool("tank/a@s")
    made.refuses["tank/a@s", f"{PREFIX}manifest.1"] = 28
    assert put(made, assignments(made, parts(80))) == {"tank/a@s": "zfs refuses (error 28)"}
    assert made.programs[0].count("tank/a@s") == 2 and SEALED not in made.own("tank/a@s")


def test_one_that_was_replaced_between_two_programs_stays_as_it_is() -> None:
    made = pool("tank/a@s", "tank/b@s")
    given = assignments(made, parts(400))

    def replace(number: int) -> None:
        if number == 2:
            made.take("tank/a@s", run="one")

    made.before = replace
    assert put(made, given) == {"tank/a@s": GONE, "tank/b@s": ""}
    assert made.own("tank/a@s") == {RUN: "one"}


def test_a_program_that_dies_is_the_last() -> None:
    """Its changes remain, the other programs are not started, and none of its snapshots counts as set."""
    made = pool(*names(250))
    made.dies[1] = 3
    said = put(made, assignments(made))
    assert len(made.programs) == 2
    assert [name for name, reason in said.items() if not reason] == names(100)
    assert set(list(said.values())[100:]) == {"'zfs program' failed: Memory limit exhausted"}
    assert list(said) == names(250)


def test_a_program_that_dies_within_a_large_record_leaves_it_without_its_end() -> None:
    made = pool("tank/a@s")
    made.dies[1] = 3
    assert put(made, assignments(made, parts(400))) == {"tank/a@s": "'zfs program' failed: Memory limit exhausted"}
    assert len(made.programs) == 2 and SEALED not in made.own("tank/a@s")


def test_what_is_gone_is_not_called_failed_by_a_later_program() -> None:
    made = pool("tank/a@s", "tank/b@s")
    given = assignments(made, parts(400))
    del made.snapshots["tank/a@s"]

    def die(number: int) -> None:
        if number == 4:
            raise ZfsTimeout("'zfs program' did not end within 9 seconds")

    made.before = die
    said = put(made, given)
    assert said == {"tank/a@s": GONE, "tank/b@s": "'zfs program' did not end within 9 seconds"}


def test_the_time_limit_is_of_all_programs_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    made = pool(*names(350))

    def pass_time(number: int) -> None:
        clock[0] += 20.0

    made.before = pass_time
    said = put(made, assignments(made), timeout=50.0)
    assert made.timeouts == [50.0, 30.0, 10.0]
    assert [name for name, reason in said.items() if not reason] == names(300)
    assert {said[name] for name in names(350)[300:]} == {"not all properties were set within 50 seconds"}


def test_an_answer_without_a_result_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    made = pool("tank/a@s")
    monkeypatch.setattr(made, "_set", lambda words, lives: None)
    assert put(made, assignments(made)) == {"tank/a@s": "'zfs program' on tank did not report a result"}
