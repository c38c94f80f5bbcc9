# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks what came of a scenario: the run's result, the records, and what is left in vSphere and in the journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import RunFailed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.levels import CRASH, lowest
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.zfs import Storage

from .model import Expected, Scenario


@dataclass
class Outcome:
    """What came of a run: its result, or what it failed with. `open` are the VMs with an open journal entry, `there`
    those of our VMware snapshots that the servers have.
    """

    result: dict[str, Any]
    error: RunFailed | None
    open: list[str]
    there: list[str]
    zfs: Storage
    rules: list[dict[str, Any]] = field(default_factory=list)


def check(scenario: Scenario, outcome: Outcome) -> None:
    """Assert that what came of a scenario is what was expected."""
    expected, result = scenario.expected, outcome.result
    said = f"{outcome.error or result}"
    assert [rule for rule in outcome.rules if not rule["hits"]] == [], "a fault was not met"
    if expected.failed:
        assert outcome.error is not None and expected.failed in str(outcome.error), said
    else:
        assert outcome.error is None, said
    for method, hits in expected.hits.items():
        assert sum(rule["hits"] for rule in outcome.rules if rule["method"] == method) == hits, outcome.rules
    vms = {_shown(vm): vm for vm in result.get("vms", ())}
    if expected.levels is not None:
        assert {name: vm["level"] for name, vm in vms.items()} == dict(expected.levels), vms
    for name, part in expected.reasons.items():
        assert part in vms[name]["reason"], vms[name]["reason"]
    for name, limit in expected.held.items():
        assert vms[name]["hold_seconds"] <= limit, vms[name]
    for part in expected.problems:
        assert any(part in problem for problem in result["problems"]), result["problems"]
    for part in expected.warnings:
        assert any(part in warning for warning in result["warnings"]), result["warnings"]
    if expected.text:
        assert result["consistency_text"] == expected.text
    assert result.get("vmware_snapshots_left", 0) == expected.left, said
    assert len(outcome.there) <= expected.left, outcome.there
    assert outcome.open == sorted(expected.watched), outcome.open
    names = [f"{dataset}@one" for dataset in scenario.datasets]
    there = [name for name in names if name in outcome.zfs.snapshots]
    assert there == (names if expected.taken else []), there
    if expected.taken:
        _check_whole(expected, result)
    if expected.taken and expected.recorded:
        _check_records(scenario, outcome)
    elif expected.taken:
        assert record.read(outcome.zfs, names) == {}


def _check_whole(expected: Expected, result: Mapping[str, Any]) -> None:
    consistency, complete = whole(expected)
    assert (result["consistency"], result["complete"]) == (consistency, complete), result["problems"]


def _check_records(scenario: Scenario, outcome: Outcome) -> None:
    """What the ZFS snapshots themselves say."""
    expected = scenario.expected
    records = record.read(outcome.zfs, [f"{dataset}@one" for dataset in scenario.datasets])
    for dataset in scenario.datasets:
        found = records[f"{dataset}@one"]
        consistency, complete = expected.records.get(dataset, whole(expected))
        assert (found.consistency, found.complete) == (consistency, complete), (dataset, found)
        levels = expected.levels or {_shown(vm): CRASH for vm in found.vms}
        assert all(vm["level"] == levels[_shown(vm)] for vm in found.vms), found.vms


def _shown(vm: Mapping[str, Any]) -> str:
    """The VM's name, a question mark where it could not be read."""
    return "?" if vm["name"] == vm["moid"] else str(vm["name"])


def whole(expected: Expected) -> tuple[str, bool]:
    """The consistency and completeness of a run."""
    levels = [*(expected.levels or {}).values(), *([CRASH] * bool(expected.problems))]
    complete = CRASH not in levels if expected.complete is None else expected.complete
    return expected.consistency or lowest(levels), complete
