# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The datasets that a problem may affect."""

from __future__ import annotations

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.problem import Problem, related, texts


def test_a_problem_concerns_its_datasets_or_all() -> None:
    assert Problem("a").concerns("tank/a") and Problem("a").concerns("")
    one = Problem("a", frozenset({"tank/a"}))
    assert one.concerns("tank/a") and not one.concerns("tank") and not one.concerns("tank/a/b")
    assert not Problem("a", frozenset()).concerns("tank/a")


def test_related_are_the_filesystem_and_what_lies_below_or_above_it() -> None:
    names = ["tank", "tank/a", "tank/a/b", "tank/a/b/c", "tank/a/bc", "tank/b", "dozer", "tan"]
    assert related(names, "tank/a/b") == {"tank", "tank/a", "tank/a/b", "tank/a/b/c"}
    assert related(names, "gone") == frozenset()


def test_each_sentence_once_in_its_order() -> None:
    problems = [Problem("b"), Problem("a", frozenset({"x"})), Problem("b", frozenset({"y"}))]
    assert texts(problems) == ["b", "a"] and texts([]) == []
