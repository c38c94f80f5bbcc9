# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the fleet simulation: it respects the limits, the work is the same for every jitter, and jitter helps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.calendar import Schedule

from benchmarks import controller, markdown, scaling_page
from benchmarks.fleet_simulation import Fleet, assumptions, most_by_rule, rule, simulate, summary

SMALL = Fleet(vms=(2_000, 300), operations=160)  # 20 and 3 storage hosts


def test_jitter_keeps_a_vcenter_under_its_limit_and_the_work_is_equal() -> None:
    found = {jitter: simulate(SMALL, jitter) for jitter in (0, 300)}
    at_once, spread = (summary(SMALL, found[jitter]) for jitter in (0, 300))
    assert at_once["operations"] == spread["operations"] == 2 * 2_300
    assert at_once["most_in_flight"] > 500 and at_once["seconds_queued"] > 30
    assert spread["most_in_flight"] <= SMALL.operations and spread["seconds_queued"] == 0
    assert at_once["vcenters_above_the_limit"] == 1 and spread["vcenters_above_the_limit"] == 0
    assert spread["hold_window"]["p99"] < at_once["hold_window"]["p99"]
    assert spread["most_sessions"] < at_once["most_sessions"] == 20


def test_the_limits_of_a_task_and_of_a_vcenter_bound_what_is_in_flight() -> None:
    one_host = Fleet(vms=(100,))
    assert simulate(one_host, 0)["vcenters"][0]["most_in_flight"] == 32
    assert simulate(replace(one_host, esxi_hosts=1), 0)["vcenters"][0]["most_in_flight"] == 8
    (queued,) = simulate(replace(one_host, operations=1, spread=0.0), 0)["hold_windows"]
    assert queued == 100 * 2.0 + 1.0 + 100 * 2.0


def test_the_rule_keeps_a_vcenter_of_any_size_under_its_limit() -> None:
    fleet = Fleet()
    assert rule(fleet, 40_000) == 1209 and rule(replace(fleet, creation=6.0, removal=6.0), 40_000) == 3600
    assert most_by_rule(fleet, 6_000, nights=2) <= 0.75 * fleet.operations


def test_the_page_tells_the_rule_of_this_fleet() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
    fleet = Fleet()
    assert [vms for vms in fleet.vms if f"| {vms:,} | {rule(fleet, vms)} |" not in page] == []


def test_what_a_play_costs_the_controller_is_measured() -> None:
    cost = controller.play(controller.COMMAND.format(seconds=1), hosts=2, forks=2)
    assert 0.1 < cost["cpu_seconds"] < 60 and 20 < cost["peak_mb"] < 1000


def test_a_seed_repeats_it() -> None:
    tiny = Fleet(vms=(200,))
    assert simulate(tiny, 60, seed=7) == simulate(tiny, 60, seed=7) != simulate(tiny, 60, seed=8)


def test_the_page_is_what_the_script_makes_of_the_results_of_this_fleet() -> None:
    found = json.loads((scaling_page.RESULTS / "fleet.json").read_text(encoding="utf-8"))
    assert found["assumptions"] == json.loads(json.dumps(assumptions(Fleet()))), "run `make fleet` again"
    page = scaling_page.PAGE.read_text(encoding="utf-8")
    assert page == scaling_page.page(page)


def test_a_jitter_that_a_task_could_not_have_is_refused() -> None:
    with pytest.raises(InputError, match="300 s apart"):
        simulate(SMALL, 300, schedule=Schedule("*/5"))


def test_picture_and_tables_come_from_the_figures(tmp_path: Path) -> None:
    fleet = Fleet(vms=(400,))
    simulations = [simulate(fleet, jitter) for jitter in (0, 60)]
    found: dict[str, Any] = {
        "assumptions": assumptions(fleet), "simulations": simulations, "slow": 3.0,
        "summaries": [summary(fleet, one) for one in simulations],
        "rule": [{"vms": 400, "jitter": j, "most_in_flight": 5 + j, "slow": j > 9} for j in (9, 27)],
    }  # fmt: skip
    for name in ("first.svg", "second.svg"):
        scaling_page.draw(json.loads(json.dumps(found)), (0, 60), tmp_path / name)
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()
    page = "".join(
        f"<!-- {name}: written by a script -->\nyesterday\n<!-- {name}: end -->\n" for name in ("fleet", "rule")
    )
    filled = markdown.fill(page, scaling_page.tables(found))
    assert "yesterday" not in filled and f"| none | {found['summaries'][0]['most_in_flight']} | 0 |" in filled
    assert "| 400 | 9 | 14 | 27 | 32 |" in filled
    assert markdown.fill(filled, scaling_page.tables(found)) == filled
    with pytest.raises(ValueError, match="0 places for the table fleet"):
        markdown.fill("", scaling_page.tables(found))
