# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs beside clones of restores, with a fake vSphere: nothing of a clone is in a run, and no run suffers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Policy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runs.run import execute, preview
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vm_policies import parse
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.model import TREE, Expected, Scenario, nfs, vm
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.play import Stage
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.vsphere import Vcenter, connect

CONTAINER = "tank/vmware-zfs-restores"
CLONE = f"{CONTAINER}/20261120T020000-0000000a/0"
POOL = ("tank", TREE, CONTAINER, CLONE.rpartition("/")[0], CLONE)
INCLUDE = parse([{"match": {"name": "*"}, "on_span": "include"}])
FAIL = parse([{"match": {"name": "*"}, "on_span": "fail"}])


def start(number: int, config: Mapping[str, Any]) -> Vcenter:
    return Vcenter(config)


def beside_a_clone(folder: Path) -> Stage:
    """A VM, a helper with a disk from a clone, and a VM that runs from the clone, where nothing can be quiesced."""
    helper = vm("helper", disks=[{}, {"datastore": "restore-1"}])
    restored = vm("mail-restored", properties={"guest.toolsRunningStatus": "guestToolsNotRunning"})
    datastores = (nfs(vm("web"), helper, name="vmware", dataset=TREE), nfs(restored, name="restore-1", dataset=CLONE))
    return Stage(Scenario("clones", (datastores,), Expected(), datasets=POOL), start, connect, folder)


@pytest.mark.parametrize("policies", [(), INCLUDE, FAIL], ids=["none", "include", "fail"])
@pytest.mark.parametrize("dataset", ["tank", TREE])
def test_a_recursive_run_leaves_clones_and_their_vms_out(tmp_path: Path, dataset: str, policies: Any) -> None:
    asked = Request(dataset, "night", True, policy=Policy(policies=policies, max_hold=20.0, vm_timeout=10.0))
    with beside_a_clone(tmp_path) as there:
        shown, done = preview(there.engine, asked).as_dict(), execute(there.engine, asked).as_dict()
        processes = there.zfs.processes
    taken = [f"{name}@night" for name in ("tank", TREE) if name in (dataset, TREE)]
    for result in (shown, done):
        assert result["zfs_snapshots"] == taken and result["complete"] and result["problems"] == []
        assert {one["name"]: (one["level"], one["spans"]) for one in result["vms"]} == {
            "web": ("filesystem", []), "helper": ("filesystem", ["the datastore restore-1"]),
        }  # fmt: skip
    assert processes < 20


def test_a_run_of_the_clones_themselves_is_refused(tmp_path: Path) -> None:
    with beside_a_clone(tmp_path) as there, pytest.raises(InputError, match="reserved for the clones of restores"):
        execute(there.engine, Request(CONTAINER, "night", True))
