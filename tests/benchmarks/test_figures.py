# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the figures from traces, of the targets and of the page, with traces and results of the tests."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine import vm_policies

from benchmarks import figures, module_overhead, policies, report, targets
from benchmarks.cases import ENGINE, FULL, POLICIES, SCALE, SEQUENTIAL, Case
from tests.lab.simulator import WAITS


def task(vm: str, method: str, event: str, time: float) -> dict[str, Any]:
    return {"kind": "task", "vm": vm, "method": method, "event": event, "time": time}


def call(method: str, time: float) -> dict[str, Any]:
    return {"kind": "call", "method": method, "time": time}


TRACE = [
    call("Login", 0.0),
    task("vm-1", "CreateSnapshotEx_Task", "started", 1.0),
    task("vm-2", "CreateSnapshotEx_Task", "started", 1.5),
    *(call(WAITS[0], 2.0 + second) for second in range(8)),
    task("vm-1", "RemoveSnapshot_Task", "finished", 11.5),
    task("vm-2", "RemoveSnapshot_Task", "finished", 12.0),
    call("Logout", 13.0),
]


def test_holds_requests_and_waits() -> None:
    found = figures.of_traces([TRACE], vms=2)
    assert found == {
        "hold_window_seconds": 11.0,
        "vm_hold_median_seconds": 10.5,
        "vm_hold_p99_seconds": 10.5,
        "requests": 2,
        "requests_per_vm": 1.0,
        "waits": 8,
        "waits_per_quiet_second": 0.8,
    }


def test_a_hold_begins_with_the_first_creation() -> None:
    again = [*TRACE[:-3], task("vm-1", "CreateSnapshotEx_Task", "started", 3.0), *TRACE[-3:]]
    assert figures.of_traces([again], vms=2)["hold_window_seconds"] == 11.0


def test_a_failed_removal_ends_no_hold() -> None:
    failed = [*TRACE[:-2], {**TRACE[-2], "fault": "SnapshotFault"}]
    with pytest.raises(ValueError, match="1 of 2 VMs were held and released"):
        figures.of_traces([failed], vms=2)


def result(name: str, system: str, **found: float) -> targets.Result:
    return {"name": name, "system": system, "figures": found, "case": {"vms": 100, "vcenters": 1}}


def test_a_target_that_is_missed_says_so() -> None:
    name = "hold window, one VM at a time / engine: 100 VMs at 2 s, 32 in flight"
    engine = result("100 VMs at 2 s", ENGINE, hold_window_seconds=16.0, requests=291)
    for seconds, met in ((319.0, False), (320.0, True)):
        found = targets.verdicts([engine, result("100 VMs at 2 s", SEQUENTIAL, hold_window_seconds=seconds)])
        assert found[name] == {"value": round(seconds / 16.0, 3), "target": ">= 20", "met": met}
    assert found["requests per VM above 40 per vCenter, without waits, worst case"]["met"] is False
    assert found["peak memory (MB)"] == {"value": None, "target": "<= 150", "met": None}, "the case was not run"


def test_the_limit_of_a_case() -> None:
    assert Case("", 100, 2.0, 32).limit == 16.0
    assert Case("", 100, 2.0, 100).limit == 4.0
    assert Case("", 100, 2.0, 10, vcenters=10).limit == 4.0
    assert Case("", 100, 0.5, 32, straggler=30.0).limit == 32.0


def test_every_target_has_its_case() -> None:
    """If all cases were run, every target has a value, so renaming a case cannot silently disable a target."""
    fields = [
        "hold_window_seconds", "of_limit", "vm_hold_median_seconds", "requests", "waits_per_quiet_second",
        "plan_seconds", "seconds", "peak_mb", "cpu_ms_per_vm", "turn_processes", "of_limit_without_zfs",
    ]  # fmt: skip
    everything = dict.fromkeys(fields, 1.0)
    results = [
        {
            "name": case.name,
            "system": system,
            "figures": everything,
            "case": {"vms": case.vms, "vcenters": case.vcenters},
        }
        for case in FULL
        for system in case.systems
    ]
    results.append(result(SCALE, ENGINE, **everything))
    results.append(result("module start", module_overhead.CONNECTING, **everything))
    assert [name for name, one in targets.verdicts(results).items() if one["value"] is None] == []


def test_a_plan_with_policies_is_measured_with_every_kind_of_condition() -> None:
    parsed = vm_policies.parse(POLICIES)
    used = {name for policy in parsed if policy.match for name, _unused in policy.match.conditions}
    assert len(parsed) == 12 and used == {one.name for one in fields(vm_policies.VmMatch)} - {"moid"}
    assert json.loads(policies.RESULT.read_text(encoding="utf-8"))["ratio"] <= policies.TARGET
    assert policies.PAGE.read_text(encoding="utf-8") == policies.page()


def test_the_page_is_what_the_script_makes_of_the_results() -> None:
    found = json.loads(report.RESULTS.read_text(encoding="utf-8"))
    assert found["targets"] == targets.verdicts(found["cases"])
    assert report.PAGE.read_text(encoding="utf-8") == report.page(found)
