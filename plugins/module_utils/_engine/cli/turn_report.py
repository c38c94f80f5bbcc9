# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The output and the exit status of `vmware-zfs run`, from the result of a snapshot task's turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Sequence

from ..observe.lifetimes import OUTSIDE, RECEIVED, SPARED
from ..schedule.retention import ALIVE, FUTURE
from ..tasks.retire import Kept
from ..tasks.turn_result import TurnResult
from ..text import counted, vm_on

DONE, FAILED, INCOMPLETE, AGAIN = 0, 1, 3, 75  # exit status; 75 is EX_TEMPFAIL of sysexits(3)
_SUMMARIZED = (OUTSIDE, RECEIVED, SPARED)  # reasons that can apply to thousands of ZFS snapshots
_WARNINGS = (FUTURE, SPARED)


@dataclass(frozen=True)
class Line:
    """A line of output. A `warning` has the priority of a warning in the systemd journal."""

    text: str
    warning: bool = False


def status(turn: TurnResult) -> int:
    """Return the exit status of a turn that did not fail."""
    taken = turn.snapshot or {}
    if turn.incomplete:
        return DONE if turn.tolerated else INCOMPLETE
    return FAILED if taken.get("problems") or taken.get("refusals") else DONE


def lines(turn: TurnResult, dry: bool) -> Iterator[Line]:
    """Yield the output of a turn. Problems come last, as described in the command's help."""
    taken = turn.snapshot or {}
    refusals = taken.get("refusals", []) if dry else []
    if turn.skipped:
        yield Line(f"no snapshot is taken: {turn.skipped}")
    for warning in taken.get("warnings", ()):
        yield Line(f"warning: {warning}", warning=True)
    for vm in taken.get("vms", ()):
        reason = f" ({text})" if (text := reason_of(vm)) else ""
        yield Line(f"the {vm_on(vm['name'], vm['server'])}: {vm['level']}{reason}")
    for name, consistency in () if refusals else _taken(taken, dry):
        yield Line(f"would take {name}" if dry else f"took {name} (level {consistency})")
    if turn.retired is not None:
        for name in turn.retired.destroyed:
            yield Line(f"{'would destroy' if dry else 'destroyed'} {name}")
        yield from _kept(turn.retired.kept, dry)
    for problem in dict.fromkeys([*taken.get("problems", ()), *refusals]):
        if problem not in turn.incomplete:
            yield Line(problem, warning=not dry)
    for reason in turn.incomplete:
        yield Line(f"not complete: {reason}", warning=True)
    if turn.incomplete and not turn.tolerated:
        yield Line(
            "the snapshot was taken, but it is not complete; fix the cause, exclude the VM with exclude_vms, accept its"
            " level with a policy, or set tolerate_incomplete",
            warning=True,
        )
    if refusals:
        yield Line(
            "no snapshot would be taken, because the policy does not allow it; fix the cause, exclude the VM with"
            " exclude_vms, or relax on_vm_failure, on_quiesce_failure or the policy of the VM"
        )


def reason_of(vm: Mapping[str, Any]) -> str:
    """Return why a VM has no higher level, and its policy. An older release stored no policy."""
    policy = vm.get("policy") or ""
    return str(vm["reason"]) if policy in vm["reason"] else "; ".join(filter(None, (vm["reason"], policy)))


def _taken(taken: Mapping[str, Any], dry: bool) -> Iterator[tuple[str, str]]:
    """Yield the ZFS snapshots that the turn took, or would take, each with its consistency level."""
    for wave in taken.get("waves") or [taken]:
        if dry or wave.get("created", True):
            for name in wave.get("zfs_snapshots", ()):
                yield name, wave.get("consistency_text", wave["consistency"])


def _kept(kept: Sequence[Kept], dry: bool) -> Iterator[Line]:
    keep = "would keep" if dry else "kept"
    alive = sum(one.reason == ALIVE for one in kept)
    if dry and alive:
        yield Line(f"would keep {counted(alive, 'ZFS snapshot')} whose lifetime has not expired")
    for reason in _SUMMARIZED:
        names = [one.name for one in kept if one.reason == reason]
        if names:
            text = f"{keep} {counted(len(names), 'ZFS snapshot')}, for example {names[0]}: {reason}"
            yield Line(text, warning=reason in _WARNINGS)
    for one in kept:
        if one.reason not in (ALIVE, *_SUMMARIZED):
            yield Line(f"{keep} {one.name}: {one.reason}", warning=one.reason in _WARNINGS)
