# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m benchmarks.fleet`: simulate a fleet of 1,000 storage hosts.

build/fleet.json gets all results, for each second. docs/scaling.md gets the tables and the chart. The same seed repeats
a simulation.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import replace

from tests.lab.places import ROOT

importlib.import_module("tests.conftest")  # makes the collection importable

JITTERS = (0, 30, 120, 300, 600, 1200, 3600)
SHOWN = (0, 30, 300, 1200)  # in the chart
SLOW = 3.0  # how many times longer slow VMs take
NIGHTS = 5


def main() -> None:
    from . import scaling_page
    from .fleet_simulation import Fleet, assumptions, most_by_rule, rule, simulate, summary

    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description="Simulate a fleet.")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    fleet = Fleet()
    slow = replace(fleet, creation=SLOW * fleet.creation, removal=SLOW * fleet.removal)
    simulations = [simulate(fleet, jitter, options.seed) for jitter in JITTERS]
    found = {
        "seed": options.seed,
        "assumptions": assumptions(fleet),
        "summaries": [summary(fleet, simulation) for simulation in simulations],
        "slow": SLOW,
        "rule": [
            {
                "vms": vms,
                "jitter": rule(which, vms),
                "most_in_flight": most_by_rule(which, vms, NIGHTS),
                "slow": which is slow,
            }
            for which in (fleet, slow)
            for vms in sorted(set(fleet.vms), reverse=True)
        ],
        "simulations": simulations,
    }
    (ROOT / "build" / "fleet.json").write_text(json.dumps(found), encoding="utf-8")
    scaling_page.draw(found, SHOWN, ROOT / "docs" / "images" / "fleet.svg")
    kept = {name: value for name, value in found.items() if name != "simulations"}
    (scaling_page.RESULTS / "fleet.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    scaling_page.write()
    sys.stdout.write(json.dumps({name: found[name] for name in ("summaries", "rule")}, indent=1) + "\n")


if __name__ == "__main__":
    main()
