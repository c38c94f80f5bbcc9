# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios in which the creation of VMware snapshots goes wrong."""

from __future__ import annotations

from .model import (
    CREATE,
    READ_TASKS,
    RELEASING,
    REMOVE,
    Event,
    Expected,
    Moment,
    Scenario,
    appear,
    busy,
    nfs,
    rule,
    vm,
    wake,
)

_VMS = ((nfs(vm("app"), vm("web")),),)  # `app` fares well
_WELL = {"app": "filesystem", "web": "filesystem"}
_CRASH = {"app": "filesystem", "web": "crash"}
_SAID = "The guest failed during quiescing."
_GERMAN = "Beim Stilllegen der virtuellen Maschine ist ein Fehler aufgetreten."
_KEY = {"FaultMessage": [{"Key": "msg.snapshot.error-QUIESCINGERROR", "Message": _GERMAN}]}
_LIES = {"guest.toolsRunningStatus": "guestToolsRunning", "guest.guestFamily": "linuxGuest"}
_LIAR = ((nfs(vm("app"), vm("web", tools="not_running", properties=_LIES)),),)

CREATING = (
    Scenario(
        "a quiesce fault, again unquiesced",
        _VMS,
        Expected(_CRASH, {"web": "quiescing failed"}),
        rules=(rule("task_fault", CREATE, "web", fault="ApplicationQuiesceFault", count=1),),
    ),
    Scenario(
        "a quiesce fault as a generic fault, with half a snapshot",
        _VMS,
        Expected(_CRASH, {"web": _SAID}),
        rules=(rule("half_snapshot", CREATE, "web", fault="FileFault", message=_SAID, count=1),),
    ),
    Scenario(
        "a quiesce fault in another language",
        _VMS,
        Expected(_CRASH, {"web": "quiescing failed"}),
        rules=(rule("task_fault", CREATE, "web", fault="GenericVmConfigFault", message=_GERMAN, fields=_KEY, count=1),),
    ),
    Scenario(
        "a quiesce fault with half a snapshot that cannot be removed",
        _VMS,
        Expected(_CRASH, {"web": "cannot be removed"}, failed="could not be removed", left=1, watched=("web",)),
        rules=(
            rule("half_snapshot", CREATE, "web", fault="ApplicationQuiesceFault", count=1),
            rule("task_fault", REMOVE, "web", fault="FileLocked"),
        ),
    ),
    Scenario(
        "a quiesce fault, skip",
        _VMS,
        Expected(_CRASH),
        rules=(rule("task_fault", CREATE, "web", fault="ApplicationQuiesceFault"),),
        request={"on_quiesce_failure": "skip"},
    ),
    Scenario(
        "a quiesce fault, fail",
        _VMS,
        Expected(None, failed="could not be quiesced", taken=False),
        rules=(rule("task_fault", CREATE, "web", fault="ApplicationQuiesceFault"),),
        request={"on_quiesce_failure": "fail"},
    ),
    Scenario("quiesce ignored", _LIAR, Expected(_CRASH, {"web": "without quiescing the guest"})),
    Scenario(
        "quiesce ignored, fail",
        _LIAR,
        Expected(_CRASH, failed="without quiescing the guest", taken=False),
        request={"on_quiesce_failure": "fail"},
    ),
    Scenario(
        "a generic fault",
        _VMS,
        Expected(_CRASH, {"web": "a file is locked"}),
        rules=(rule("task_fault", CREATE, "web", fault="FileLocked", message="a file is locked"),),
    ),
    Scenario(
        "a refused call",
        _VMS,
        Expected(_CRASH),
        rules=(rule("call_fault", CREATE, "web", fault="InvalidState"),),
    ),
    Scenario(
        "a generic fault, fail",
        _VMS,
        Expected(None, failed="could not be snapshotted", taken=False),
        rules=(rule("task_fault", CREATE, "web", fault="FileLocked"),),
        request={"on_vm_failure": "fail"},
    ),
    Scenario(
        "half a snapshot is left",
        _VMS,
        Expected(_CRASH, {"web": "a file is locked"}),
        rules=(rule("half_snapshot", CREATE, "web", fault="FileLocked", message="a file is locked"),),
    ),
    Scenario(
        "a host out of sight: the task fails, and is carried out later",
        _VMS,
        Expected(_CRASH, watched=("web",)),
        rules=(rule("task_fault", CREATE, "web", fault="HostCommunication"),),
    ),
    Scenario(
        "the task vanishes, carried out",
        _VMS,
        Expected(_CRASH, {"web": "it is unknown whether its creation"}),
        rules=(rule("task_vanish", CREATE, "web", count=1),),
    ),
    Scenario(
        "the task vanishes, not carried out",
        _VMS,
        Expected(_WELL, watched=("web",)),
        rules=(rule("task_vanish", CREATE, "web", carried_out=False, count=1),),
    ),
    Scenario(
        "the answer is lost, before the call is carried out",
        _VMS,
        Expected(_WELL, watched=("web",)),
        rules=(rule("drop_before", CREATE, "web", count=1),),
    ),
    Scenario(
        "the answer is lost, after the call was carried out",
        _VMS,
        Expected(_WELL),
        rules=(rule("drop_after", CREATE, "web", count=1),),
    ),
    Scenario(
        "the answer is lost, and half a snapshot is left",
        _VMS,
        Expected(_CRASH, {"web": "it is unknown whether its creation"}),
        rules=(
            rule("drop_after", CREATE, "web", count=1),
            rule("half_snapshot", CREATE, "web", fault="SnapshotFault", count=1),
        ),
    ),
    Scenario(
        "a call comes late, after it was asked for again",
        _VMS,
        Expected(_WELL, watched=("web",)),
        rules=(rule("call_late", CREATE, "web", count=1),),  # when the rules are cleared
        call_seconds=1.5,
    ),
    Scenario(
        "busy, then well",
        _VMS,
        Expected(_WELL),
        rules=(busy(CREATE, "web", count=2),),
    ),
    Scenario(
        "a creation hangs past vm_timeout",
        _VMS,
        Expected(_CRASH, {"web": "not ready within 1 seconds"}),
        rules=(rule("task_hang", CREATE, "web"),),
        events=(Event(RELEASING, wake()),),
        request={"vm_timeout": 1.0},
    ),
    Scenario(
        "a creation ends while the release looks for it",
        _VMS,
        Expected(_CRASH),
        rules=(rule("task_hang", CREATE, "web"),),
        events=(Event(Moment(READ_TASKS), appear("web")),),
        request={"vm_timeout": 1.0},
    ),
    Scenario(
        "a creation hangs for good",
        _VMS,
        Expected(_CRASH, failed="could not be removed", left=1, watched=("web",)),
        rules=(rule("task_hang", CREATE, "web"),),
        request={"vm_timeout": 1.0, "max_hold": 2.5},
    ),
    Scenario(
        "not ready within max_hold",
        _VMS,
        Expected(_CRASH, failed="within max_hold", taken=False),
        rules=(rule("task_hang", CREATE, "web"),),
        events=(Event(RELEASING, wake()),),
        request={"vm_timeout": 1.5, "max_hold": 1.5},
    ),
)
