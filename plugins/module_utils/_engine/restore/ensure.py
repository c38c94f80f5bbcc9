# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores what an earlier restore has not brought back yet, for modules: a second run changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import RestoreFailed
from ..state.engine import Engine
from ..state.restores import DISK, MOUNT
from ..vsphere.session import Session
from .earlier import earlier_disk, earlier_mount, earlier_vms, result_of
from .planner import make_plan
from .request import RestoreRequest
from .result import RestoreResult
from .run import execute
from .summary import summary


@dataclass
class Ensured:
    """What exists after the restore, or would exist. `steps` and `refusals` are those of the plan, in check mode.

    `existing` are the IDs of earlier restores that brought back what the request asks for, and `kept` are the names of
    what they brought back.
    """

    result: RestoreResult
    changed: bool
    steps: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    existing: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    planned: bool = False  # nothing was carried out

    def summary(self) -> list[str]:
        """Return lines for people: what was restored, or would be."""
        if not self.planned:
            return summary(self.result, self.kept)
        there = replace(self.result, vms=[vm for vm in self.result.vms if vm.restored], attached=None)
        forbidden = [f"not possible: {refusal}" for refusal in self.refusals]
        return [*summary(there, self.kept), *(f"would {step}" for step in self.steps), *forbidden]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results: JSON types."""
        more = {"steps": self.steps, "refusals": self.refusals, "existing_restores": self.existing}
        return {**self.result.as_dict(), **more, "summary": self.summary()}


def ensure(engine: Engine, session: Session, request: RestoreRequest, check: bool) -> Ensured:
    """Carry out the part of the request that no earlier restore brought back, or with `check` only plan it.

    Raises InputError for an invalid request, and RestoreFailed, with the result in `details`.
    """
    request.check()
    if request.way in (DISK, MOUNT):
        earlier = (earlier_disk if request.way == DISK else earlier_mount)(engine, session, request)
        if earlier is not None:
            before = result_of(earlier)
            return Ensured(before, False, existing=[earlier.id], kept=before.names())
        return _carry_out(engine, session, request, check)
    there = earlier_vms(engine, session, request)
    kept = [vm for _wanted, _record, vm in there]
    existing = list(dict.fromkeys(record.id for _wanted, record, _vm in there))
    missing = tuple(vm for vm in request.vms if vm not in {wanted for wanted, _record, _vm in there})
    try:
        if missing:
            ensured = _carry_out(engine, session, replace(request, vms=missing), check)
        else:
            ensured = Ensured(replace(result_of(there[0][1]), vms=[]), False)
    except RestoreFailed as error:
        error.details["existing_restores"] = existing
        raise
    result = replace(ensured.result, vms=[*kept, *ensured.result.vms])
    return replace(ensured, result=result, existing=existing, kept=[vm.restored_name for vm in kept])


def _carry_out(engine: Engine, session: Session, request: RestoreRequest, check: bool) -> Ensured:
    if not check:
        return Ensured(execute(engine, session, request), True)
    plan = make_plan(session, engine.zfs, request)
    return Ensured(plan.expected(), not plan.refusals, list(plan.steps()), list(plan.refusals), planned=True)
