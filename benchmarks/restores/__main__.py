# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m benchmarks.restores [--small]`: measure only restores, and write their section of docs/benchmarks.md.

The exit status is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import sys

from tests.lab.storage_host import StorageHost

from .. import machine, report
from ..markdown import target_table
from . import bench


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restores", description="Measure restores.")
    parser.add_argument("--small", action="store_true", help="measure only a few VMs, for CI")
    parser.add_argument("--only", default="", metavar="REGEX", help="measure only the cases whose names match")
    parser.add_argument("--systems", default="", metavar="REGEX", help="measure only the systems whose names match")
    options = parser.parse_args()
    host = StorageHost("bench")
    host.up()
    found = bench.run(host, machine.facts(), options.small, options.only, options.systems)
    sys.stdout.write(json.dumps(found["cases"], indent=1) + "\n" + target_table(found["targets"]) + "\n")
    if not options.small and not options.only and not options.systems:
        report.write_page()
    return 1 if any(verdict["met"] is False for verdict in found["targets"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
