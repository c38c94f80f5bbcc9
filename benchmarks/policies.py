# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m benchmarks.policies`: how much longer a plan takes if a task has policies. For docs/howto/policies.md.

Plans with and without policies alternate, so that both see the same load of the machine. The exit status is 1 if the
target is missed.
"""

from __future__ import annotations

import importlib
import json
import sys
from statistics import median
from typing import Any

from tests.lab.places import ROOT
from tests.lab.storage_host import StorageHost

from . import machine, stage
from .cases import POLICIES, Case
from .markdown import fill

RESULT = ROOT / "benchmarks" / "results" / "policies.json"
PAGE = ROOT / "docs" / "howto" / "policies.md"
TARGET = 1.2
VMS, RUNS = 1000, 9
CASES = {
    "without": Case(f"{VMS} VMs", VMS, 0.0),
    "with": Case(f"{VMS} VMs, {len(POLICIES)} policies", VMS, 0.0, policies=len(POLICIES)),
}


def main() -> int:
    importlib.import_module("tests.conftest")  # makes the collection importable
    host = StorageHost("bench")
    host.up()
    measured = [{name: stage.plan_once(case, host) for name, case in CASES.items()} for _unused in range(RUNS)]
    found: dict[str, Any] = {
        "machine": machine.facts(),
        **{
            f"{figure}_{name}": median(one[name][figure] for one in measured)
            for figure in ("seconds", "cpu_seconds")
            for name in CASES
        },
        "ratio": median(one["with"]["seconds"] / one["without"]["seconds"] for one in measured),
    }
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0 if found["ratio"] <= TARGET else 1


def page() -> str:
    """Return the page with the figures of the kept result."""
    found = json.loads(RESULT.read_text(encoding="utf-8"))
    text = (
        f"Planning {VMS:,} VMs took {found['seconds_with']:.1f} s with {len(POLICIES)} policies of all kinds, and "
        f"{found['seconds_without']:.1f} s without policies."
    )
    return fill(PAGE.read_text(encoding="utf-8"), {"policies": text})


if __name__ == "__main__":
    sys.exit(main())
