# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan split into waves: nothing is lost, and datasets that share a VM stay together."""

from __future__ import annotations

from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.plan import (
    NOTHING,
    QUIESCE,
    Member,
    Plan,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.problem import Problem
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.waves import cut
from hypothesis import given
from hypothesis import strategies as st

DATASETS = [f"tank/{letter}" for letter in "abcdef"]


def member(name: str, *datasets: str, action: str = QUIESCE) -> Member:
    return Member(
        "vc", "vc-1", 1, name, name, f"uuid-{name}", "", "host-1", "linux", "poweredOn", action, "filesystem",
        datasets=tuple(sorted(datasets)),
    )  # fmt: skip


def plan(*members: Member, datasets: Any = DATASETS, problems: tuple[Problem, ...] = (Problem("a problem"),)) -> Plan:
    return Plan(datasets[0], tuple(f"{dataset}@s" for dataset in datasets), members, problems, ())


def names(wave: Plan) -> list[str]:
    return [one.name for one in wave.members]


def test_without_a_size_it_stays_whole() -> None:
    whole = plan(member("1", "tank/a"), member("2", "tank/b"))
    assert cut(whole, 0) == [whole]


def test_waves_are_filled_in_the_order_of_the_datasets() -> None:
    members = [member(f"{dataset[-1]}{number}", dataset) for dataset in DATASETS[:3] for number in range(2)]
    waves = cut(plan(*members, datasets=DATASETS[:3]), 4)
    assert [names(wave) for wave in waves] == [["a0", "a1", "b0", "b1"], ["c0", "c1"]]
    assert [wave.snapshots for wave in waves] == [("tank/a@s", "tank/b@s"), ("tank/c@s",)]


def test_a_wave_has_the_problems_that_may_concern_its_datasets() -> None:
    first, second, all_of_them, neither = (
        Problem("a", frozenset({"tank/a", "elsewhere"})),
        Problem("b", frozenset({"tank/b"})),
        Problem("all"),
        Problem("elsewhere", frozenset({"elsewhere"})),
    )
    members = (member("1", "tank/a"), member("2", "tank/b"))
    waves = cut(plan(*members, datasets=DATASETS[:2], problems=(first, second, all_of_them, neither)), 1)
    assert [wave.problems for wave in waves] == [(first, all_of_them), (second, all_of_them)]


def test_what_is_not_held_takes_no_place() -> None:
    off = [member(f"off{number}", "tank/a", action=NOTHING) for number in range(9)]
    waves = cut(plan(*off, member("1", "tank/b"), datasets=DATASETS[:2]), 1)
    assert len(waves) == 1


def test_a_vm_that_may_lie_anywhere_lowers_every_wave() -> None:
    hidden = member("hidden", action=NOTHING)
    waves = cut(plan(member("1", "tank/a"), member("2", "tank/b"), hidden, datasets=DATASETS[:2]), 1)
    assert [names(wave) for wave in waves] == [["1", "hidden"], ["2", "hidden"]]


SOMEWHERE = st.lists(st.lists(st.sampled_from(DATASETS), min_size=1, max_size=3, unique=True), max_size=12)


@given(SOMEWHERE, st.integers(1, 6), st.data())
def test_every_part_is_in_one_wave_and_nothing_shared_is_parted(
    lies_on: list[list[str]], size: int, data: st.DataObject
) -> None:
    actions = [data.draw(st.sampled_from([QUIESCE, NOTHING])) for _unused in lies_on]
    members = [member(str(n), *where, action=action) for n, (where, action) in enumerate(zip(lies_on, actions))]
    whole = plan(*members)
    waves = cut(whole, size)
    assert sorted(name for wave in waves for name in wave.snapshots) == sorted(whole.snapshots)
    assert sorted(one.name for wave in waves for one in wave.members) == sorted(one.name for one in members)
    for wave in waves:
        assert all(set(one.datasets) <= set(wave.datasets) for one in wave.members)
        assert wave.problems == whole.problems
        held = [one for one in wave.members if one.action != NOTHING]
        assert len(held) <= size or connected(wave, held)


def connected(wave: Plan, held: list[Member]) -> bool:
    """Whether the datasets share VMs, so that the wave cannot be split."""
    reached, rest = set(held[0].datasets), list(wave.members)
    while near := [one for one in rest if reached.intersection(one.datasets)]:
        reached.update(dataset for one in near for dataset in one.datasets)
        rest = [one for one in rest if one not in near]
    return all(reached.issuperset(one.datasets) for one in held)
