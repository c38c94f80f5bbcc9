# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small benchmark: compare some cases with the sequential coordinator by requests and ratios, and restore VMs."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.restores import bench
from benchmarks.restores.cases import CLONING, SMALL
from tests.lab.places import BUILD, ROOT


def test_the_small_benchmark_meets_its_targets() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--small", "--runs", "1"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((BUILD / "bench-small.json").read_text(encoding="utf-8"))
    assert found["targets"] and all(verdict["met"] for verdict in found["targets"].values()), found["targets"]
    assert {case["system"] for case in found["cases"]} == {"quiesce.vmware_zfs", "one VM at a time"}
    restored = json.loads(bench.SMALL_RESULTS.read_text(encoding="utf-8"))
    assert [verdict["met"] for verdict in restored["targets"].values()] == [True], restored
    assert [case["name"] for case in restored["cases"]] == [*(case.name for case in SMALL), CLONING]
