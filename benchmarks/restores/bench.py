# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure restores. The results are in a file of their own, so that they can be measured without all other cases."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from statistics import median
from typing import Any

from tests.lab.places import BUILD, ROOT
from tests.lab.storage_host import StorageHost

from ..figures import Figures
from . import block_cloning, stage, targets
from .cases import CLONING, ENGINE, FULL, SMALL, RestoreCase

RESULTS = ROOT / "benchmarks" / "results" / "restores.json"  # shown in docs/benchmarks.md
SMALL_RESULTS = BUILD / "bench-restores-small.json"
RUNS = 3
FILE_MB, SMALL_FILE_MB = 2048, 16


def run(host: StorageHost, facts: dict[str, str], small: bool, only: str = "", systems: str = "") -> dict[str, Any]:
    """Measure the cases whose names match, and return the results. Store them if all cases were measured."""
    measurements = list(_measurements(host, small))
    wanted = [one for one in measurements if re.search(only, one[0]) and re.search(systems, one[1])]
    results = []
    for name, system, measure in wanted:
        print(f"{name}: {system} ...", flush=True)
        results.append({"name": name, "system": system, **measure()})
    found = {"machine": facts, "cases": results, "targets": targets.verdicts(results, small)}
    if len(wanted) == len(measurements):
        (SMALL_RESULTS if small else RESULTS).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _measurements(host: StorageHost, small: bool) -> Iterator[tuple[str, str, Callable[[], dict[str, Any]]]]:
    """All measurements: case, system and function."""
    for case in SMALL if small else FULL:
        for system in case.systems:
            runs = RUNS if system == ENGINE and not small else 1
            yield case.name, system, partial(_case, case, system, host, runs)
    size = SMALL_FILE_MB if small else FILE_MB
    yield CLONING, ENGINE, lambda: {"figures": block_cloning.measure(host, size), "case": {}, "runs": 1}


def _case(case: RestoreCase, system: str, host: StorageHost, runs: int) -> dict[str, Any]:
    measured = [stage.run_once(case, system, host) for _unused in range(runs)]
    figures: Figures = {key: median(one[key] for one in measured) for key in measured[0]}
    return {"figures": figures, "case": asdict(case), "runs": runs}
