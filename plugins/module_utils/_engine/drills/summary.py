# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a drill as lines for people, for the command line and for playbooks."""

from __future__ import annotations

from typing import Iterator

from ..records.verdicts import FAILED, INCONCLUSIVE, NOT_TRIED
from ..text import counted, printable
from .plan import DrillPlan
from .result import DrillResult, VmDrilled

_MANY = 3  # VMs in a message


def summary(result: DrillResult) -> list[str]:
    """Return the verdict on each VM that was tried, the number of the others, and what is left."""
    tried = [vm for vm in result.vms if vm.verdict != NOT_TRIED]
    others = len(result.vms) - len(tried)
    return [*map(_line, tried), *([f"{counted(others, 'VM')} not tried"] if others else []), *remarks(result)]


def planned(plan: DrillPlan) -> list[str]:
    """Return what a drill would do, the VMs that it would not start, and what forbids it."""
    return [
        *(f"would {step}" for step in plan.steps()),
        *(_line(vm) for vm in plan.judged),
        *(f"not possible: {refusal}" for refusal in plan.refusals),
    ]


def remarks(result: DrillResult) -> Iterator[str]:
    """Yield what a table of the VMs does not show."""
    yield from result.problems
    yield f"{result.zfs_snapshot}: {result.verdict}"
    for sentence in result.left:
        yield f"left: {sentence}; recovery tries again every hour"


def failure(result: DrillResult) -> str:
    """Return a sentence about the VMs that failed and about what is left, without a full stop, or ""."""
    failed = result.with_verdict(FAILED)
    texts = []
    if failed:
        shown = "; ".join(f"{_quoted(vm.name)}: {vm.reason.rstrip('.')}" for vm in failed[:_MANY])
        texts.append(f"{counted(len(failed), 'VM')} of {result.zfs_snapshot} failed the drill: {shown}")
    if result.left:
        texts.append(f"The drill {result.drill_id} was not taken away completely: {'. '.join(result.left[:_MANY])}")
    return ". ".join(texts)


def doubts(result: DrillResult) -> list[str]:
    """Return sentences about the VMs that were tried without a verdict."""
    return [f"{_quoted(vm.name)}: {vm.reason}" for vm in result.with_verdict(INCONCLUSIVE)]


def state_of(vm: VmDrilled) -> str:
    """Return what was seen of a VM, or why its verdict is not better."""
    if vm.reason:
        return printable(vm.reason, 1000)
    seen = [f"heartbeat {vm.heartbeat}"] if vm.heartbeat else []
    seen += [f"address {vm.address}"] if vm.address else []
    seen += [f"{vm.boot_seconds:.1f} s after the power-on"] if vm.boot_seconds is not None else []
    return printable(", ".join(seen), 200)


def _line(vm: VmDrilled) -> str:
    state = state_of(vm)
    return f"{_quoted(vm.name)}: {vm.verdict}" + (f" ({state})" if state else "")


def _quoted(name: str) -> str:
    return f"'{printable(name, 80)}'"
