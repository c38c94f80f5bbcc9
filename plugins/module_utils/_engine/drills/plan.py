# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a drill, as plain data: which VMs are tried, and what forbids the drill. Check mode ends here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator

from ..restore.plan import PlannedVm, RestorePlan
from ..restore.sources import Source
from ..text import counted, printable
from .request import DrillRequest
from .result import DrillResult, VmDrilled


@dataclass(frozen=True)
class DrillPlan:
    """`restore` is the plan for the VMs that are powered on, None if there are none. `judged` are the other VMs: they
    have a verdict without that. `memory` is the memory in MB that the running VMs may use, None if unknown.

    `refusals` are sentences that forbid the drill, `problems` and `warnings` as in the result.
    """

    request: DrillRequest
    restore: RestorePlan | None = None
    judged: tuple[VmDrilled, ...] = ()
    memory: int | None = None
    refusals: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def vms(self) -> tuple[PlannedVm, ...]:
        """The VMs that are powered on."""
        return self.restore.vms if self.restore is not None else ()

    def expected(self) -> DrillResult:
        """Return the result as far as it is known now. The VMs that are powered on are not tried yet."""
        tried = [drilled(vm.source) for vm in self.vms]
        mount = self.restore.mount if self.restore is not None else None
        return DrillResult(
            "",
            str(self.request.snapshot),
            mount.host.name if mount is not None else "",
            [*tried, *self.judged],
            list(self.problems),
            list(self.warnings),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results: that of the expected result, with the steps and what forbids them."""
        return {**self.expected().as_dict(), "steps": list(self.steps()), "refusals": list(self.refusals)}

    def steps(self) -> Iterator[str]:
        """Yield what the drill does, for people."""
        plan, request = self.restore, self.request
        if plan is None or plan.mount is None:
            return
        memory = f", with at most {self.memory} MB of memory" if self.memory is not None else ""
        network = "disconnected" if not plan.request.has_network else f"connected to '{printable(request.network, 80)}'"
        yield f"clone {', '.join(plan.clones)}"
        yield f"export {counted(len(plan.clones), 'clone')} to {printable(plan.mount.host.name, 80)} and mount it there"
        yield f"start {counted(len(plan.vms), 'VM')} from it, {request.at_a_time} at a time{memory}"
        for vm in plan.vms:
            before = f" after a revert to '{vm.source.vmware_snapshot}'" if vm.source.vmware_snapshot else ""
            yield f"start '{printable(vm.source.name, 80)}'{before}, with its network cards {network}"
        if request.command:
            yield f"run {printable(request.command, 200)} for each VM"
        yield "take all of it away again"


def drilled(source: Source, verdict: str = "", reason: str = "") -> VmDrilled:
    """Return the result for a VM of the snapshot, by default that it was not tried."""
    dataset = source.snapshot.dataset
    made = VmDrilled(source.name, dataset, source.vm.path, level=source.level, reason=reason)
    made.datasets = list(dict.fromkeys((dataset, *source.datasets)))
    made.verdict = verdict or made.verdict
    return made
