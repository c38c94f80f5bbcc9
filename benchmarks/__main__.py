# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: every case with every system, into build/bench.json and docs/benchmarks.md.

    python -m benchmarks [--small] [--only TEXT] [--runs N] [--no-docs]

--small is what CI runs. It fails, with exit status 1, on requests and ratios alone, never on seconds.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from statistics import median
from typing import Any

from tests.lab.places import BUILD
from tests.lab.storage_host import StorageHost

from . import machine, module_overhead, report, stage, targets, zfs_scale
from .cases import ENGINE, FULL, SEQUENTIAL, SMALL, Case
from .figures import Figures

RESULTS = BUILD / "bench.json"
_LONG = 20.0  # seconds; a hold window that cannot be shorter is not measured more than once
_LONGEST = 600.0  # seconds; what goes one after the other for longer is not run: its least time is known


def main() -> int:
    options = _options()
    begun = time.monotonic()
    results: list[targets.Result] = []
    host = StorageHost("bench")
    host.up()
    for case in SMALL if options.small else FULL:
        if re.search(options.only, case.name):
            results += _case(case, host, options.runs)
    if not options.small:
        results += list(_beside(options.only, host))
    found = {
        "machine": machine.facts(),
        "runs": options.runs,
        "seconds": round(time.monotonic() - begun),
        "cases": results,
        "targets": targets.verdicts(results, small=options.small),
    }
    BUILD.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if not options.small and not options.no_docs:
        report.write(found)
    missed = [name for name, verdict in found["targets"].items() if verdict["met"] is False]
    print(report.target_table(found["targets"]))
    print(f"{RESULTS} in {found['seconds']} s; {len(missed)} targets missed")
    return 1 if missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the engine beside its peers.")
    parser.add_argument("--small", action="store_true", help="a few cases, for CI")
    parser.add_argument("--only", default="", metavar="REGEX", help="the cases whose names match")
    parser.add_argument("--runs", type=int, default=3, help="runs of the engine in each case; the median counts")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/benchmarks.md as it is")
    return parser.parse_args()


def _case(case: Case, host: StorageHost, runs: int) -> Iterator[targets.Result]:
    for system in case.systems:
        what = asdict(case)
        if system == SEQUENTIAL and case.sequential_limit > _LONGEST:
            yield _result(case.name, system, {"hold_window_seconds": case.sequential_limit}, what, computed=True)
            continue
        times = runs if system == ENGINE and case.limit < _LONG else 1
        print(f"{case.name}: {system} ...", end=" ", flush=True)
        figures = _medians([stage.run_once(case, system, host) for _unused in range(times)])
        print(f"held for {figures['hold_window_seconds']:.2f} s", flush=True)
        yield _result(case.name, system, figures, what)


def _beside(only: str, host: StorageHost) -> Iterator[targets.Result]:
    """What is measured beside the cases."""
    name = "a module's call"
    if re.search(only, name):
        for module in (module_overhead.OURS, module_overhead.CONNECTING, module_overhead.PING):
            yield _result(name, module, {"seconds": median(module_overhead.measure(module) for _unused in range(3))})
    name = "1,000 datasets, 10,000 ZFS snapshots"
    if re.search(only, name):
        print(f"{name} ...", flush=True)
        yield _result(name, ENGINE, zfs_scale.measure(host)["figures"])


def _result(
    name: str, system: str, figures: Figures, case: dict[str, Any] | None = None, computed: bool = False
) -> targets.Result:
    return {"name": name, "system": system, "figures": figures, "case": case or {}, "computed": computed}


def _medians(runs: list[Figures]) -> Figures:
    return {key: median(run[key] for run in runs) for key in runs[0]}


if __name__ == "__main__":
    sys.exit(main())
