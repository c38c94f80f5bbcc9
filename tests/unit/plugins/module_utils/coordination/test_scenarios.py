# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of scenarios, with the fake in place of vSphere: whole runs of the engine, in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.manifest import PREFIX
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.model import (
    HELD,
    RELEASING,
    TAKEN,
    TREE,
    WAIT,
    Expected,
    Moment,
    Scenario,
    nfs,
    vm,
)
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.play import Stage, play
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.table import SCENARIOS
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.vsphere import Vcenter, connect

PLAIN = Scenario("plain", ((nfs(vm("web")),),), Expected({"web": "filesystem"}))


def start(number: int, config: Mapping[str, Any]) -> Vcenter:
    return Vcenter(config)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario: Scenario, tmp_path: Path) -> None:
    play(scenario, start, connect, tmp_path)


def test_nothing_is_claimed_before_it_is_proven(tmp_path: Path) -> None:
    with Stage(PLAIN, start, connect, tmp_path) as stage:
        stage.run()
    written = {key.removeprefix(PREFIX): value for key, value in stage.zfs.taken[f"{TREE}@one"].items()}
    assert written.keys() == {"run", "host", "consistency", "complete"}
    assert (written["consistency"], written["complete"]) == ("crash", "no")


def test_the_looks_are_on_both_sides_of_the_zfs_snapshot(tmp_path: Path) -> None:
    with Stage(PLAIN, start, connect, tmp_path) as stage:
        stage.run()
    held, taken, released = (stage.order.index(moment) for moment in (HELD, TAKEN, RELEASING))
    sealed = next(at for at, moment in enumerate(stage.order) if moment.method == "program")
    looks = [at for at, moment in enumerate(stage.order) if moment.method == WAIT]
    assert any(at < held for at in looks) and not any(held < at < taken for at in looks)
    assert any(taken < at < released for at in looks) and any(taken < at < sealed for at in looks)
    assert Moment("snapshot", 2, zfs="before") not in stage.order
