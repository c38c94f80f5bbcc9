# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a drill, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ..records.verdicts import BOOTED, INCONCLUSIVE, NOT_TRIED, VERIFIED, worst


@dataclass
class VmDrilled:
    """A VM of a drill.

    `vmx` is the path of its configuration in the dataset `dataset`, and `datasets` are all those with files of it.
    `reason` says why the verdict is not better.
    `level` is that of the record. `tools`, `heartbeat` and `address` are what was seen last. `boot_seconds` is the time
    from the power-on to the verdict, None if it was not powered on, and `seconds` the time from its registration to its
    end. `command_output` is the end of what the command of the user printed.
    """

    name: str
    dataset: str
    vmx: str
    drill_name: str = ""
    verdict: str = NOT_TRIED
    reason: str = ""
    level: str = ""
    tools: str = ""
    heartbeat: str = ""
    address: str = ""
    boot_seconds: float | None = None
    seconds: float = 0.0
    command_output: str = ""
    datasets: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The VM in the journal."""
        return f"{self.dataset}/{self.vmx}"


@dataclass
class DrillResult:
    """A drill. `problems` are sentences about VMs that the snapshot may contain and that could not be found.

    `recorded`: the verdict is stored on the ZFS snapshots. `left` are sentences about what could not be taken away.
    """

    drill_id: str
    zfs_snapshot: str
    host: str = ""
    vms: list[VmDrilled] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    recorded: bool = False
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """The verdict on the ZFS snapshot: the worst one on its VMs that were tried."""
        return verdict_of([vm.verdict for vm in self.vms], bool(self.problems))

    def with_verdict(self, *verdicts: str) -> list[VmDrilled]:
        return [vm for vm in self.vms if vm.verdict in verdicts]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results: JSON types."""
        return {**asdict(self), "verdict": self.verdict}


def verdict_of(verdicts: list[str], problems: bool) -> str:
    """Return the verdict on a ZFS snapshot. With problems, not all of its VMs are known, so it is not verified."""
    found = worst(verdicts)
    return INCONCLUSIVE if problems and found in (VERIFIED, BOOTED) else found
