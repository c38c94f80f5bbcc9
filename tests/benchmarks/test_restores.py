# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the benchmark of restores: its targets, its section of the page, the playbook, and the measured waits."""

from __future__ import annotations

import time

import pytest

from benchmarks.restores import bench, playbook, section, targets
from benchmarks.restores.cases import CLONE, CLONING, COPY, ENGINE, FULL, RestoreCase
from benchmarks.restores.waits import Waits, covered
from benchmarks.targets import Result

MACHINE = {"date": "2026-01-31", "commit": "1a2b3c4", "processor": "fast", "cores": "2", "kernel": "6.18"}


def result(vms: int, way: str, system: str = ENGINE, **changes: float) -> Result:
    figures = {
        "seconds": 10.0 + vms, "own_seconds": 1.5, "vcenter_requests": 40.0 + 11 * vms, "cpu_ms_per_restore": 900.0,
    }  # fmt: skip
    return {"name": RestoreCase(vms, way).name, "system": system, "figures": {**figures, **changes}}


def results() -> list[Result]:
    cloning = {"megabytes": 2048, "clone_seconds": 1.25, "cp_seconds": 60.0}
    measured = [result(case.vms, case.way, system) for case in FULL for system in case.systems]
    return [*measured, {"name": CLONING, "system": ENGINE, "figures": cloning}]


def test_requests_count_for_each_further_vm_and_the_own_share_for_one() -> None:
    assert targets.verdicts(results()) == {
        **{f"requests per VM, {way}": {"value": 11.0, "target": "<= 12", "met": True} for way in (COPY, CLONE)},
        **{
            f"own share of the time of one VM (s), {way}": {"value": 1.5, "target": "<= 3", "met": True}
            for way in (COPY, CLONE)
        },
    }
    slow = [result(1, COPY, own_seconds=3.01), result(3, COPY, vcenter_requests=51.0 + 2 * 12.2)]
    assert [one["met"] for one in targets.verdicts(slow).values()] == [False, False]
    assert list(targets.verdicts(slow, small=True)) == [f"requests per VM, {COPY}"]
    assert targets.verdicts([result(10, COPY)]) == {}


def test_the_section_shows_all_results() -> None:
    found = {"machine": MACHINE, "cases": results(), "targets": targets.verdicts(results())}
    text = section.text(found)
    for line in (
        "| 50 VMs, clone (`--instant`) | 60.0 s | 1.5 s | 590 | 11.8 | 900 |",
        "| 10 VMs | 20.0 s | 20.0 s | 15 | 15 |",
        "| requests per VM, copy | 11 | <= 12 | yes |",
        "| restore | quiesce.vmware_zfs | playbook | quiesce.vmware_zfs: requests / VMs | playbook: requests / VMs |",
    ):
        assert line in text
    assert "For a disk of 2 GB, it took\n1.2 s on the emulated storage host, and `cp` took 60 s." in text
    assert "| 50 VMs | " not in text  # the playbook was not measured


def test_the_stored_results_have_all_cases() -> None:
    if bench.RESULTS.exists():
        assert "## Restores" in section.stored()


def test_the_playbook_reverts_each_copy_and_disconnects_it_before_it_is_powered_on() -> None:
    job = {
        "snapshot": "tank/vmware@now", "vmware_snapshot": "vmware-zfs 1", "datastore": "vmware", "esxi_host": "esx1",
        "vms": ["a", "b"], "storage_host": "bench",
    }  # fmt: skip
    (play,) = playbook.playbook(job)
    assert [task["loop"] for task in play["tasks"]] == [["a", "b"]] * 6
    copy, register, revert, remove, cards, start = (list(task.values())[1] for task in play["tasks"])
    copied = "cp -a /tank/vmware/.zfs/snapshot/now/{{ item }} /tank/vmware/{{ item }}-restored"
    assert copy["argv"][-1] == copied and register["path"] == "[vmware] {{ item }}-restored/{{ item }}.vmx"
    assert (revert["state"], remove["state"]) == ("revert", "absent")
    assert revert["snapshot_name"] == remove["snapshot_name"] == "vmware-zfs 1"
    assert (cards["connected"], cards["start_connected"], start["state"]) == (False, False, "powered-on")


def test_waits_at_the_same_time_count_once() -> None:
    assert covered([(5.0, 6.0), (1.0, 3.0), (2.0, 2.5), (0.5, 2.0)]) == 3.5
    assert covered([]) == 0.0


def test_each_call_is_a_wait_even_if_it_fails() -> None:
    waits = Waits()

    def work(number: int) -> float:
        time.sleep(0.05)
        return 1 / number

    measured = waits.measured(work)
    assert measured(2) == 0.5 and waits.seconds() >= 0.05
    with pytest.raises(ZeroDivisionError):
        measured(0)
    assert waits.seconds() >= 0.1
