# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the playbooks that do the job of the benchmarks with the modules of the peers."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.modules import playbook

MODULE = "vmware.vmware.vm_snapshot"


def block(mode: str) -> dict[str, Any]:
    job = {
        "dataset": "tank/vmware",
        "snapshot": "now",
        "vms": ["web-1", "web-2", "web-3"],
        "limits": {"per_vcenter": 2, "per_host": 8},
    }
    ((found,),) = [play["tasks"] for play in playbook(job, MODULE, mode)]
    return dict(found)


def test_a_loop_quiesces_all_then_takes_the_zfs_snapshot_and_always_removes() -> None:
    create, take = block("loop")["block"]
    (remove,) = block("loop")["always"]
    assert (create["loop"], remove["loop"]) == (["web-1", "web-2", "web-3"], ["web-1", "web-2", "web-3"])
    assert (create[MODULE]["state"], create[MODULE]["quiesce"], remove[MODULE]["state"]) == ("present", True, "absent")
    assert take["ansible.builtin.command"]["argv"][-1] == "tank/vmware@now"


def test_async_starts_as_many_as_the_vcenter_is_given_and_waits_for_them() -> None:
    tasks = block("async")["block"]
    assert [task.get("loop") for task in tasks[:4:2]] == [["web-1", "web-2"], ["web-3"]]
    assert [task["poll"] for task in tasks[:4:2]] == [0, 0]
    assert ["ansible.builtin.async_status" in task for task in tasks] == [False, True, False, True, False]
