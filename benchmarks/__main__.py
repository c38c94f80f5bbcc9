# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: measure every case with every system, for build/bench.json, docs/benchmarks.md and docs/scaling.md.

    python -m benchmarks [--small] [--only REGEX] [--systems REGEX] [--keep] [--runs N]

You can measure in parts: --keep keeps the results of other cases and systems in build/bench.json, if they were measured
on this machine and at this commit. The pages are written when all results exist. The exit status is 1 if a target is
missed. CI runs --small, which writes build/bench-small.json; its targets are only requests and ratios, never seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from tests.lab.places import BUILD
from tests.lab.storage_host import StorageHost

from . import machine, module_overhead, report, stage, targets, zfs_scale
from .cases import ENGINE, FULL, PEERS, SCALE, SEQUENTIAL, SMALL, Case
from .figures import Figures
from .markdown import target_table
from .restores import bench as restores

RESULTS = BUILD / "bench.json"
SMALL_RESULTS = BUILD / "bench-small.json"  # the results of CI must not replace those of a long measurement
_LONG = 20.0  # seconds; cases with a longer minimum are measured only once
# Seconds; a system that handles one VM at a time is not run if its minimum is longer, because the minimum is known.
# The loop of a playbook takes three times its minimum.
_LONGEST = {SEQUENTIAL: 600.0, **{system: 100.0 for system in PEERS if system.endswith("loop")}}


def main() -> int:
    options = _options()
    host = StorageHost("bench")
    host.up()
    BUILD.mkdir(exist_ok=True)
    facts = machine.facts()
    measurements = list(_measurements(options, host))
    wanted = [(name, system) for name, system, _unused in measurements]
    results = _kept(facts, options, wanted) if options.keep else {}
    for name, system, measure in measurements:
        if re.search(options.only, name) and re.search(options.systems, system):
            print(f"{name}: {system} ...", flush=True)
            results[name, system] = {"name": name, "system": system, **measure()}
            _write(
                facts, options, results
            )  # after each case: a measurement takes an hour, and --keep continues from here
    restored = restores.run(host, facts, options.small, options.only, options.systems)
    found = _write(facts, options, results)
    if set(wanted) == results.keys() and not options.small:  # never write an incomplete page
        report.write(found)
    verdicts = {**found["targets"], **restored["targets"]}
    missed = [name for name, verdict in verdicts.items() if verdict["met"] is False]
    print(target_table(verdicts))
    return 1 if missed else 0


def _kept(
    facts: dict[str, str], options: argparse.Namespace, wanted: list[tuple[str, str]]
) -> dict[tuple[str, str], targets.Result]:
    """The earlier results of the current cases and systems."""
    before = json.loads(_results_file(options).read_text(encoding="utf-8"))
    other = [name for name in facts if name != "date" and facts[name] != before["machine"][name]]
    if other:
        sys.exit(
            f"The earlier results have a different {' and '.join(other)}. Measure everything again, without --keep."
        )
    found = {(one["name"], one["system"]): one for one in before["cases"]}
    return {key: found[key] for key in wanted if key in found}


def _results_file(options: argparse.Namespace) -> Path:
    return SMALL_RESULTS if options.small else RESULTS


def _write(
    facts: dict[str, str], options: argparse.Namespace, results: dict[tuple[str, str], targets.Result]
) -> dict[str, Any]:
    """Write the current results to the results file, and return them."""
    found = {
        "machine": facts,
        "cases": list(results.values()),
        "targets": targets.verdicts(results.values(), small=options.small),
    }
    _results_file(options).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the engine and other tools.")
    parser.add_argument("--small", action="store_true", help="measure only a few cases, for CI")
    parser.add_argument("--only", default="", metavar="REGEX", help="measure only the cases whose names match")
    parser.add_argument("--systems", default="", metavar="REGEX", help="measure only the systems whose names match")
    parser.add_argument("--keep", action="store_true", help="keep the earlier results of other cases and systems")
    parser.add_argument(
        "--runs", type=int, default=3, help="runs of the engine in each short case; the result is the median"
    )
    return parser.parse_args()


Measurement = Callable[[], dict[str, Any]]


def _measurements(options: argparse.Namespace, host: StorageHost) -> Iterator[tuple[str, str, Measurement]]:
    """All measurements: case, system and function. Those that need an idle machine most come first."""
    cases = SMALL if options.small else FULL
    for system in (ENGINE, SEQUENTIAL, *PEERS):
        for case in cases:
            if system in case.systems:
                yield case.name, system, partial(_case, case, system, host, options.runs)
        if system == ENGINE and not options.small:
            for module in (module_overhead.OURS, module_overhead.CONNECTING, module_overhead.PING):
                yield "module start", module, partial(_overhead, module)
    if not options.small:
        yield SCALE, ENGINE, lambda: _result(zfs_scale.measure(host)["figures"])


def _case(case: Case, system: str, host: StorageHost, runs: int) -> dict[str, Any]:
    if case.sequential_limit > _LONGEST.get(system, math.inf):
        return {"figures": {"hold_window_seconds": case.sequential_limit}, "case": asdict(case), "computed": True}
    times = runs if system == ENGINE and case.limit < _LONG else 1
    measured = [stage.run_once(case, system, host) for _unused in range(times)]
    figures = {key: median(one[key] for one in measured) for key in measured[0]}
    return {"figures": figures, "case": asdict(case), "computed": False, "runs": times}


def _overhead(module: str) -> dict[str, Any]:
    return _result({"seconds": median(module_overhead.measure(module) for _unused in range(3))})


def _result(figures: Figures) -> dict[str, Any]:
    return {"figures": figures, "case": {}, "computed": False}


if __name__ == "__main__":
    sys.exit(main())
