# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VMs of a stage that have real disks, and what the judge reads on them in the ZFS snapshots of a run.

The other judge of records (judge.py) believes the simulator's trace. This one believes the disks.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.lab.hypervisor.host import Hypervisor
from tests.lab.hypervisor.judge import Findings, disagreements, examine_folder, fetch, vmware_snapshots
from tests.lab.hypervisor.share import share
from tests.lab.places import LabError
from tests.lab.storage_host import StorageHost

from . import judge
from .judge import Seen

DATASTORE = "main"
WRITING, OFF = ("disk-linux", "disk-windows"), "disk-off"
_VMS: tuple[dict[str, Any], ...] = (
    {"name": WRITING[0]},
    {"name": WRITING[1], "guest": "windows", "guest_id": "windows2019srv_64Guest"},
    {"name": OFF, "power": "off"},
)
THE_END = "the end"  # the label of the last dump of an episode
_WRITE_SECONDS = 60.0  # within which a guest that runs has written something


def inventory(real: bool) -> list[dict[str, Any]]:
    """Return the VMs for the configuration of a simulator. Without a hypervisor they are simulated."""
    return [{**vm, "real": real} for vm in _VMS]


@dataclass(frozen=True)
class Claim:
    """What a record states about a VM. `held` is the number of its VMware snapshot, or 0. `moment` is what the
    hypervisor measured during this VMware snapshot, or None."""

    zfs_snapshot: str
    vm: str
    level: str
    held: int
    moment: Mapping[str, Any] | None


@dataclass
class Checked:
    """How many disks were compared with a level, and where they disagree."""

    count: int = 0
    disagree: list[str] = field(default_factory=list)


class Disks:
    """The hypervisor of a stage, and the disks of its VMs on a dataset."""

    def __init__(self, host: StorageHost, dataset: str) -> None:
        self._host, self._dataset = host, dataset
        self._hypervisor = Hypervisor(host)
        self._before: dict[str, Findings] = {}  # of the VM that is off

    @property
    def port(self) -> int:
        return self._hypervisor.port

    def up(self) -> None:
        """Start the hypervisor. The vCenter makes the VMs then."""
        self._hypervisor.up()
        share(self._host, f"/{self._dataset}")
        self._host.ssh(["sync"])  # a power cut can come soon

    def down(self) -> None:
        self._hypervisor.down()

    def begin(self) -> None:
        """Wait until the guests write. Note what is on the disk of the VM that is off."""
        self.wait_for_writes(20)
        snapshot = f"{self._dataset}@disks-before"
        self._host.ssh(["zfs", "snapshot", snapshot])
        with TemporaryDirectory() as folder:
            fetch(self._host, snapshot, [OFF], Path(folder))
            self._before = {OFF: examine_folder(Path(folder, OFF))}
        self._host.ssh(["zfs", "destroy", snapshot])

    def set_faults(self, vm: str, *faults: str) -> None:
        """Let a VM report a quiesce that is not carried out."""
        self._hypervisor.call("set_faults", vmx=_vmx(vm), faults=list(faults))

    # ---- The watchdog

    def hang(self) -> str:
        """Return how the hypervisor hangs, or "". While it hangs, a run proves nothing about the engine."""
        try:
            self.wait_for_writes(1)
        except (LabError, OSError, ValueError) as error:  # also an answer that is cut short
            return f"the hypervisor of the lab hangs: {error}"
        return ""

    def wait_for_writes(self, more: int) -> None:
        """Wait until the guests have written so many more records. Raises LabError if they do not."""
        wanted = {vm: self._written(vm) + more for vm in WRITING}
        end = time.monotonic() + _WRITE_SECONDS
        while late := [vm for vm, number in wanted.items() if self._written(vm) < number]:
            if time.monotonic() > end:
                raise LabError(f"the guest of {', '.join(late)} has not written for {_WRITE_SECONDS:.0f} s")
            time.sleep(0.05)

    def _written(self, vm: str) -> int:
        """Return the number of the last record that the guest has written."""
        return int(self._show(vm).get("returned", 0))

    def _show(self, vm: str) -> dict[str, Any]:
        shown: dict[str, Any] = self._hypervisor.call("show", vmx=_vmx(vm))
        return shown

    # ---- The judge

    def check(
        self, seen: Iterable[Seen], trace: Iterable[Mapping[str, Any]], machines: Iterable[Mapping[str, Any]]
    ) -> Checked:
        """Compare the disks with the records as they are at the end, and with the inventory."""
        shown = {str(vm["name"]): self._show(vm["name"]) for vm in _VMS}
        checked = Checked(disagree=trees_differ(shown, machines))
        for claims in claims_of(seen, self._dataset, trace, shown):
            self._check_one(claims, checked)
        return checked

    def _check_one(self, claims: Sequence[Claim], checked: Checked) -> None:
        """Read the disks of one ZFS snapshot, all of them with one command."""
        with TemporaryDirectory() as folder:
            fetch(self._host, claims[0].zfs_snapshot, [claim.vm for claim in claims], Path(folder))
            for claim in claims:
                said = against(claim, Path(folder, claim.vm), self._before.get(claim.vm))
                checked.count += 1
                checked.disagree += [
                    f"{claim.zfs_snapshot}: {claim.vm} is said to be {claim.level}, but {text}" for text in said
                ]


def _vmx(vm: str) -> str:
    return f"[{DATASTORE}] {vm}/{vm}.vmx"


def against(claim: Claim, folder: Path, before: Findings | None) -> list[str]:
    """Return why the disk in a copied folder contradicts what a record states."""
    held = claim.held in vmware_snapshots(folder)
    findings = examine_folder(folder, claim.held if held else "")
    said = ["its VMware snapshot is not in the ZFS snapshot"] if claim.held and not held else []
    return said + disagreements(claim.level, findings, claim.moment, before)


def claims_of(
    seen: Iterable[Seen], dataset: str, trace: Iterable[Mapping[str, Any]], shown: Mapping[str, Mapping[str, Any]]
) -> list[list[Claim]]:
    """Return what the sealed records of a dataset promise about the real VMs, together for each ZFS snapshot.

    `shown` is what the hypervisor shows of each VM. The level `crash` promises nothing about a disk.
    """
    created = [entry for entry in trace if entry.get("snapshot_id")]
    numbers = {(entry["vm_name"], entry["snapshot"]): int(entry["snapshot_id"]) for entry in created}
    ends = [one for one in seen if f"({THE_END}" in one.label]
    found = []
    for one in ends:
        # What an earlier end of the same diary saw was destroyed.
        if one.label != ends[-1].label or one.identity[0] != dataset or not judge.is_sealed(one.values):
            continue
        claims = [
            _claim(one.name, vm, numbers, shown[vm["name"]]["moments"])
            for vm in judge.manifest_of(one.values)["vms"]
            if vm["name"] in shown and vm["level"] != "crash"
        ]
        if claims:
            found.append(claims)
    return found


def _claim(
    zfs_snapshot: str,
    vm: Mapping[str, Any],
    numbers: Mapping[tuple[str, str], int],
    moments: Mapping[str, Mapping[str, Any]],
) -> Claim:
    held = numbers.get((vm["name"], vm["vmware_snapshot_moid"]), 0)
    moment = moments.get(str(held), {})
    return Claim(zfs_snapshot, vm["name"], vm["level"], held, moment if "started" in moment else None)


def trees_differ(shown: Mapping[str, Mapping[str, Any]], machines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the VMs whose disks have other VMware snapshots than the inventory of the vCenter."""
    said = []
    for machine in machines:
        if machine["name"] not in shown:
            continue
        listed = {int(snapshot["id"]) for snapshot, _above in judge.walk(machine["snapshots"])}
        there = {int(snapshot["uid"]) for snapshot in shown[machine["name"]]["snapshots"]}
        if listed != there:
            said.append(
                f"the disks of {machine['name']} have the VMware snapshots {sorted(there)}, "
                f"but the inventory has {sorted(listed)}"
            )
    return said
