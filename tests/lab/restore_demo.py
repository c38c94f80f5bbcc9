# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore the VMs of the demo from the ZFS snapshot that the timer of the storage host took.

It sets up the same lab as `make demo`. Then it runs the commands of docs/howto/restore.md on the storage host, reads
the disk of each restored VM, ends all restores, and counts what is left. The result is also written to
build/restore.json.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from . import by_hand
from .after_demo import Program, what_remains
from .by_hand_commands import aligned
from .demo_stage import DATASET, REAL, Stage
from .hypervisor.judge import Findings, examine
from .hypervisor.report import OURS
from .places import BUILD, LabError
from .progress import step
from .restore_census import Census, Living
from .simulator import SHARED_WAIT, requests

COMMAND_SECONDS = 600.0
JUDGED = "judged"  # the name of the ZFS snapshots in which disks are read
_CHANGES = ("CreateNasDatastore", "RegisterVM_Task")  # a restore begins with one of them


@dataclass(frozen=True)
class Restored:
    """A row of the result. `seconds` are those of the whole command.

    `requests` are those to vCenter from the first change on, without the wait that all VMs of a restore share.
    """

    name: str
    way: str
    level: str
    seconds: float
    requests: int
    disk_intact: bool


@dataclass(frozen=True)
class Ran:
    """A command that ran on the storage host: what it printed with --json, and what it cost."""

    output: dict[str, Any]
    seconds: float
    requests: int


@dataclass(frozen=True)
class Outcome:
    """`touched` are VMs that were there before, and `left` is what was not there before, by kind."""

    snapshot: str
    vms: list[Restored]
    touched: list[str]
    left: dict[str, list[str]]

    def as_dict(self) -> dict[str, Any]:
        """Return what is written to build/restore.json."""
        return {
            "vms": [asdict(vm) for vm in self.vms],
            "living_touched": len(self.touched),
            "left_behind": {kind: len(names) for kind, names in self.left.items()},
        }

    def is_good(self) -> bool:
        return all(vm.disk_intact for vm in self.vms) and not self.touched and not any(self.left.values())

    def report(self) -> Iterator[str]:
        """The result, for a person."""
        yield f"Restored from {self.snapshot}:"
        yield ""
        yield from aligned(list(table(self.vms)))
        yield ""
        yield from what_remains(self.touched, self.left)


def run(stage: Stage, taken: dict[str, Any]) -> Outcome:
    """Restore the VMs in each way, and end the restores again."""
    snapshot = taken["zfs_snapshot"]
    before, living = Census.take(stage), Living.look(stage)
    ours = f"{OURS}{taken['run_id']}"
    frozen = step(
        "Read the disks in the ZFS snapshot",
        lambda: {vm: examine(stage.host, snapshot, vm, ours) for vm in REAL},
    )
    print("\nOn the storage host:", flush=True)
    restoring = _Restoring(stage, snapshot, ours, frozen)
    rows = [*restoring.next_to_the_originals(), *restoring.from_clones(), *restoring.mounted()]
    return Outcome(snapshot, rows, living.touched(stage), Census.take(stage).more_than(before))


class _Restoring:
    """Restores from one ZFS snapshot, and ends each restore.

    `ours` is the VMware snapshot of the run. `frozen` is what is on the disks at this VMware snapshot, by VM.
    """

    def __init__(self, stage: Stage, snapshot: str, ours: str, frozen: dict[str, Findings]) -> None:
        self._stage, self._snapshot, self._ours, self._frozen = stage, snapshot, ours, frozen
        self._levels: dict[str, str] = {}

    def next_to_the_originals(self) -> list[Restored]:
        """Restore copies. The end of such a restore leaves ordinary VMs, which a person deletes."""
        self._run("points", DATASET, "--vm", REAL[0])
        ran = {vm: self._run("restore", self._snapshot, vm) for vm in REAL}
        intact = self._intact(DATASET, {vm: _folder(_only(one)["vmx_path"]) for vm, one in ran.items()})
        self._run("restores")
        self._end(*ran.values())
        copies = [_only(one)["restored_name"] for one in ran.values()]
        step(f"Delete {' and '.join(copies)}", lambda: by_hand.undeploy(self._stage.host, copies))
        return [self._row(vm, "folder", one, intact[vm]) for vm, one in ran.items()]

    def from_clones(self) -> Iterator[Restored]:
        for vm in REAL:
            ran = self._run("restore", self._snapshot, vm, "--instant")
            intact = self._intact(_clone(ran), {vm: vm})
            self._end(ran)
            yield self._row(vm, "clone", ran, intact[vm])

    def mounted(self) -> list[Restored]:
        ran = self._run("mount", self._snapshot, "--on", self._stage.vcenter.hosts()[0]["name"])
        intact = self._intact(_clone(ran), {vm: vm for vm in REAL}, self._ours)  # no VM was reverted
        self._run("unmount", self._snapshot)
        return [self._row(vm, "mount", ran, intact[vm]) for vm in REAL]

    def _end(self, *restores: Ran) -> None:
        for one in restores:
            self._run("restores", "--end", one.output["restore_id"])

    def _run(self, *words: str) -> Ran:
        return step(f"  vmware-zfs {' '.join(words)}", lambda: _run(self._stage, words))

    def _row(self, vm: str, way: str, ran: Ran, intact: bool) -> Restored:
        self._levels.update({one["name"]: one["level"] for one in ran.output["vms"]})
        return Restored(vm, way, self._levels[vm], ran.seconds, ran.requests, intact)

    def _intact(self, dataset: str, folders: dict[str, str], vmware_snapshot: str = "") -> dict[str, bool]:
        """Return whether the disks of VMs are equal to the frozen ones. `folders` are those in the dataset.

        The current disks are read, or those that a VMware snapshot keeps.
        """
        judged = f"{dataset}@{JUDGED}"
        self._stage.host.ssh(["zfs", "snapshot", judged])
        try:
            found = {vm: examine(self._stage.host, judged, one, vmware_snapshot) for vm, one in folders.items()}
        finally:
            self._stage.host.ssh(["zfs", "destroy", judged])
        return {
            vm: one.clean and not one.needs_recovery and one.digest == self._frozen[vm].digest
            for vm, one in found.items()
        }


def _run(stage: Stage, words: Sequence[str]) -> Ran:
    """Run a command of `vmware-zfs` on the storage host. Raises LabError if it fails."""
    since = max((entry["seq"] for entry in stage.vcenter.trace()), default=0)
    began = time.monotonic()
    done = stage.host.ssh(["vmware-zfs", *words, "--json"], check=False, timeout=COMMAND_SECONDS)
    seconds = time.monotonic() - began
    if done.returncode:
        raise LabError(f"vmware-zfs {' '.join(words)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return Ran(json.loads(done.stdout), round(seconds, 1), count_requests(stage.vcenter.trace(since)))


def count_requests(trace: Sequence[dict[str, Any]]) -> int:
    """Return the number of requests for the VMs of a restore. All VMs share those before the first change."""
    calls = [entry for entry in trace if entry["kind"] == "call"]
    first = next((place for place, call in enumerate(calls) if call["method"] in _CHANGES), len(calls))
    return requests(calls[first:], (*SHARED_WAIT, "Logout"))


def _only(ran: Ran) -> dict[str, Any]:
    (vm,) = ran.output["vms"]
    return dict(vm)


def _clone(ran: Ran) -> str:
    """Return the dataset of the clone."""
    (datastore,) = ran.output["datastores"]
    return str(datastore["clone"])


def _folder(vmx_path: str) -> str:
    """Return the folder of a VM in its datastore: `[vmware] mail/mail.vmx` is in `mail`."""
    return vmx_path.partition("] ")[2].rpartition("/")[0]


def table(vms: Sequence[Restored]) -> Iterator[tuple[str, ...]]:
    yield "VM", "way", "level", "time", "requests", "disk"
    for vm in vms:
        disk = "as in the ZFS snapshot" if vm.disk_intact else "NOT as in the ZFS snapshot"
        yield vm.name, vm.way, vm.level, f"{vm.seconds:.1f} s", str(vm.requests), disk


PROGRAM = Program("restore", "Restore the VMs of the demo in the lab.", BUILD / "restore.json", run)


if __name__ == "__main__":
    sys.exit(PROGRAM.main())
