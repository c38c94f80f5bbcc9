# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios in which the removal of VMware snapshots goes wrong. None of it lowers what was reached."""

from __future__ import annotations

from .model import CONSOLIDATE, REMOVE, Event, Expected, Moment, Scenario, busy, never, nfs, rule, vm

_VMS = ((nfs(vm("app"), vm("web")),),)
_WELL = {"app": "filesystem", "web": "filesystem"}

RELEASING_ROWS = (
    Scenario(
        "a removal fails, then succeeds",
        _VMS,
        Expected(_WELL),
        rules=(rule("task_fault", REMOVE, "web", fault="GenericVmConfigFault", count=2),),
    ),
    Scenario(
        "a removal is refused, then succeeds",
        _VMS,
        Expected(_WELL),
        rules=(rule("call_fault", REMOVE, "web", fault="InvalidState", count=1),),
    ),
    Scenario(
        "a removal fails for good",
        _VMS,
        Expected(
            _WELL,
            {"web": "its VMware snapshot could not be removed: "},
            failed="1 VMware snapshot could not be removed",
            left=1,
            watched=("web",),
        ),
        rules=(rule("task_fault", REMOVE, "web", fault="FileLocked"),),
    ),
    Scenario(
        "a removal's answer is lost, before it is carried out",
        _VMS,
        Expected(_WELL),
        rules=(rule("drop_before", REMOVE, "web", count=1),),
    ),
    Scenario(
        "a removal's answer is lost, after it was carried out",
        _VMS,
        Expected(_WELL),
        rules=(rule("drop_after", REMOVE, "web", count=1),),
    ),
    Scenario(
        "a removal's task vanishes, carried out",
        _VMS,
        Expected(_WELL),
        rules=(rule("task_vanish", REMOVE, "web", count=1),),
    ),
    Scenario(
        "a removal's task vanishes, not carried out",
        _VMS,
        Expected(_WELL),
        rules=(rule("task_vanish", REMOVE, "web", carried_out=False, count=1),),
    ),
    Scenario(
        "busy, then removed",
        _VMS,
        Expected(_WELL),
        rules=(busy(REMOVE, "web", count=3),),
    ),
    Scenario(
        "consolidation is needed",
        _VMS,
        Expected(_WELL, {"web": ""}),
        rules=(rule("needs_consolidation", REMOVE, "web"),),
    ),
    Scenario(
        "consolidation is needed and fails",
        _VMS,
        Expected(
            _WELL,
            {"web": "consolidation, which failed"},
            problems=("need consolidation",),
            consistency="filesystem",
            complete=True,
            watched=("web",),
        ),
        rules=(
            rule("needs_consolidation", REMOVE, "web"),
            rule("task_fault", CONSOLIDATE, "web", fault="FileLocked"),
        ),
    ),
    Scenario(
        "consolidation was needed before",
        ((nfs(vm("app"), vm("web", properties={"runtime.consolidationNeeded": True})),),),
        Expected(_WELL, {"web": ""}),
        events=(Event(Moment(CONSOLIDATE), never()),),
    ),
)
