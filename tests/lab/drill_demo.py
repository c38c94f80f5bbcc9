# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drill the VMs of the demo: start them from a clone of the ZFS snapshot that the timer of the storage host took.

It sets up the same lab as `make demo`. Then it runs `vmware-zfs drill` on the storage host, reads the disks in the ZFS
snapshot before and after that, and counts what is left. The result is also written to build/drill.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .after_demo import Program, what_remains
from .by_hand_commands import aligned
from .demo_stage import REAL, Stage
from .hypervisor.judge import Findings, examine
from .hypervisor.report import OURS
from .places import BUILD, LabError
from .progress import step
from .restore_census import Census, Living

TASK = "1"
COMMAND_SECONDS = 900.0
STATUSES = (0, 1, 3)  # of a drill with a result
LEFT = ("clones", "exports", "datastores", "vms", "holds")


@dataclass(frozen=True)
class Drilled:
    """A row of the result. `disk_intact`: the disk in the ZFS snapshot is clean, and the drill has not changed it."""

    name: str
    verdict: str
    level: str
    seconds: float
    disk_intact: bool


@dataclass(frozen=True)
class Outcome:
    """`touched` are VMs that were there before, and `left` is what was not there before, by kind."""

    snapshot: str
    vms: list[Drilled]
    touched: list[str]
    left: dict[str, list[str]]

    def as_dict(self) -> dict[str, Any]:
        """Return what is written to build/drill.json."""
        return {
            "vms": [asdict(vm) for vm in self.vms],
            "left_behind": {kind: len(self.left[kind]) for kind in LEFT},
        }

    def is_good(self) -> bool:
        sound = all(vm.verdict == "verified" and vm.disk_intact for vm in self.vms)
        return bool(self.vms) and sound and not self.touched and not any(self.left.values())

    def report(self) -> Iterator[str]:
        """The result, for a person."""
        yield f"Drilled from {self.snapshot}:"
        yield ""
        disks = {True: "clean and unchanged", False: "NOT clean, or changed"}
        rows = [(vm.name, vm.verdict, vm.level, f"{vm.seconds:.1f} s", disks[vm.disk_intact]) for vm in self.vms]
        yield from aligned([("VM", "verdict", "level", "time", "disk in the ZFS snapshot"), *rows])
        yield ""
        yield from what_remains(self.touched, self.left)


def run(stage: Stage, taken: dict[str, Any]) -> Outcome:
    """Drill the VMs with real disks. The ZFS snapshot of the demo is not complete, so it is named."""
    snapshot = str(taken["zfs_snapshot"])
    before, living = Census.take(stage), Living.look(stage)
    frozen = step("Read the disks in the ZFS snapshot", lambda: _disks(stage, snapshot, taken["run_id"]))
    words = ["drill", TASK, "--snapshot", snapshot, *(word for vm in REAL for word in ("--vm", vm))]
    print("\nOn the storage host:", flush=True)
    output = step(f"  vmware-zfs {' '.join(words)}", lambda: _drill(stage, words))
    now = step("Read the disks again", lambda: _disks(stage, snapshot, taken["run_id"]))
    rows = [_row(vm, frozen[vm["name"]], now[vm["name"]]) for vm in output["vms"]]
    return Outcome(snapshot, rows, living.touched(stage), Census.take(stage).more_than(before))


def _disks(stage: Stage, snapshot: str, run_id: str) -> dict[str, Findings]:
    return {vm: examine(stage.host, snapshot, vm, f"{OURS}{run_id}") for vm in REAL}


def _drill(stage: Stage, words: Sequence[str]) -> dict[str, Any]:
    """Run the drill on the storage host. Raises LabError if it has no result."""
    done = stage.host.ssh(["vmware-zfs", *words, "--json"], check=False, timeout=COMMAND_SECONDS)
    if done.returncode not in STATUSES or "error" in (output := json.loads(done.stdout or '{"error": ""}')):
        raise LabError(f"vmware-zfs {' '.join(words)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return dict(output)


def _row(vm: dict[str, Any], before: Findings, after: Findings) -> Drilled:
    intact = before.clean and not before.needs_recovery and before.digest == after.digest
    return Drilled(vm["name"], vm["verdict"], vm["level"], vm["seconds"], intact)


PROGRAM = Program("drill", "Drill the VMs of the demo in the lab.", BUILD / "drill.json", run)


if __name__ == "__main__":
    sys.exit(PROGRAM.main())
