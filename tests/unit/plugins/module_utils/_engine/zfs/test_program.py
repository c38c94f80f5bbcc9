# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Channel programs: each processes up to a hundred snapshots of one pool."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import ZfsError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import program
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.destroy import destroy
from ansible_collections.quiesce.vmware_zfs.tests.unit.zfs_pool import Pool


class Answer(Zfs):
    """A zfs in which every program returns `answer`."""

    def __init__(self, answer: Any = None) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[tuple[tuple[str, ...], float, str]] = []

    def run(self, *arguments: str, timeout: float = 0.0, hurry: Any = None, script: str = "") -> str:
        self.asked.append((arguments, timeout, script))
        return json.dumps(self.answer or {"return": {word: "said" for word in arguments[4:]}})


def test_one_program_is_one_command() -> None:
    zfs = Answer({"return": {"a": "b"}})
    assert program.call(zfs, "tank", "script", ["one", "two"], 7.0) == {"a": "b"}
    assert zfs.asked == [(("program", "-j", "tank", "-", "one", "two"), 7.0, "script")]


@pytest.mark.parametrize("answer", [{"x": 1}, {"return": None}, {"return": "x"}, {"return": 7}, {"return": ["x"]}])
def test_an_answer_without_a_table_is_a_failure(answer: Any) -> None:
    with pytest.raises(
        ZfsError, match="'zfs program' on tank did not report a result; check the snapshots with 'zfs list"
    ):
        program.call(Answer(answer), "tank", "script", [], 7.0)


def test_the_snapshots_of_each_pool_a_hundred_at_a_time() -> None:
    zfs = Answer()
    words = {f"{pool}/{number}@s": f"{pool}{number}" for number in range(150) for pool in ("tank", "dozer")}
    said = program.run(zfs, "script", words, 9.0)
    assert said == dict.fromkeys(words.values(), "said")
    assert [(asked[0][2], len(asked[0]) - 4) for asked in zfs.asked] == [
        ("tank", 100), ("tank", 50), ("dozer", 100), ("dozer", 50),
    ]  # fmt: skip
    assert [asked[1] for asked in zfs.asked] == [9.0] * 4


def test_none_takes_no_program() -> None:
    zfs = Answer()
    assert program.run(zfs, "script", {}, 9.0) == {} and zfs.asked == []


def test_only_the_snapshots_that_were_meant_are_destroyed() -> None:
    pool = Pool()
    for name in ("tank/a@s", "tank/b@s", "tank/c@s"):
        pool.take(name)
    meant = {name: pool.born(name) for name in pool.snapshots} | {"tank/d@s": "9"}
    pool.take("tank/b@s")
    assert destroy(pool, meant) == {"tank/b@s": "another snapshot has this name now"}
    assert list(pool.snapshots) == ["tank/b@s"]
