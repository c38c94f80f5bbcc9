# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios in which servers end sessions, refuse logins or fall silent, and in which the run is told to stop."""

from __future__ import annotations

from .model import (
    HELD,
    PLANNED,
    RELEASING,
    TAKEN,
    WAIT,
    Event,
    Expected,
    Moment,
    Scenario,
    begin,
    end_faults,
    expire,
    nfs,
    rule,
    stop,
    vm,
)

_VMS = ((nfs(vm("app"), vm("web")),),)
_WELL = {"app": "filesystem", "web": "filesystem"}
_TWO = ((nfs(vm("web")),), (nfs(vm("lost")),))
_ONE_LOST = {"web": "filesystem", "lost": "crash"}
_LOOK = f"CreateFilter|{WAIT}"
_WATCHING = Moment("CreatePropertyCollector")  # the creations were asked for
_REFUSED = rule("call_fault", "Login", fault="InvalidLogin")
_SILENT = rule("black_hole", _LOOK, server=1, count=2)  # a look is repeated once

SERVERS = (
    Scenario("the session ends before the creation", _VMS, Expected(_WELL), events=(Event(PLANNED, expire()),)),
    Scenario("the session ends during the creation", _VMS, Expected(_WELL), events=(Event(Moment(WAIT), expire()),)),
    Scenario("the session ends before the ZFS snapshot", _VMS, Expected(_WELL), events=(Event(HELD, expire()),)),
    Scenario("the session ends after the ZFS snapshot", _VMS, Expected(_WELL), events=(Event(TAKEN, expire()),)),
    Scenario("the session ends before the removal", _VMS, Expected(_WELL), events=(Event(RELEASING, expire()),)),
    Scenario(
        "the session ends before the removal, and the password is another one by now",
        _VMS,
        Expected(_WELL, failed="refused the login", left=2, watched=("app", "web"), hits={"Login": 1}),
        events=(Event(RELEASING, begin(_REFUSED)), Event(RELEASING, expire())),
    ),
    Scenario(
        "the session ends during the creation, and the password is another one by now",
        _VMS,
        Expected(
            {"app": "crash", "web": "crash"},
            failed="refused the login",
            left=2,
            watched=("app", "web"),
            hits={"Login": 1},
        ),
        events=(Event(_WATCHING, begin(_REFUSED)), Event(_WATCHING, expire())),
        request={"vm_timeout": 1.0, "max_hold": 2.0},
    ),
    Scenario(
        "a server that does not have the locale",
        _VMS,
        Expected(_WELL),
        rules=(rule("call_fault", "Login", fault="InvalidLocale", count=1),),
    ),
    Scenario("two servers", _TWO, Expected({"web": "filesystem", "lost": "filesystem"})),
    Scenario(
        "two servers, one refuses the login",
        _TWO,
        Expected({"web": "filesystem"}, problems=("refused the login",)),
        refused=(1,),
    ),
    Scenario(
        "two servers, one refuses the login, fail",
        _TWO,
        Expected({"web": "filesystem"}, failed="refused the login", taken=False),
        refused=(1,),
        request={"on_vm_failure": "fail"},
    ),
    Scenario(
        "two servers, one does not answer the first look",
        _TWO,
        Expected(_ONE_LOST, problems=("",)),
        events=(Event(Moment("DestroyPropertyCollector", server=1), begin(_SILENT)),),  # all creations have ended
        call_seconds=1.5,
    ),
    Scenario(
        "two servers, one does not answer the second look",
        _TWO,
        Expected(_ONE_LOST, held={"web": 2.0}),
        events=(Event(TAKEN, begin(_SILENT)),),
        call_seconds=1.5,
    ),
    Scenario(
        "two servers, one answers the second look too late",
        _TWO,
        Expected(_ONE_LOST, held={"web": 1.0, "lost": 3.5}),
        events=(
            Event(TAKEN, begin(rule("black_hole", _LOOK, server=1))),
            Event(TAKEN, end_faults(server=1, after=2.0)),
        ),
        look_seconds=1.0,
    ),
    Scenario(
        "two servers, one without VMs to hold does not answer the second look",
        ((nfs(vm("web")),), (nfs(vm("spare")),)),
        Expected({"web": "filesystem", "spare": "crash"}, problems=("did not answer",)),
        events=(
            Event(TAKEN, begin(rule("black_hole", _LOOK, server=1))),
            Event(TAKEN, end_faults(server=1, after=2.0)),
        ),
        request={"exclude_vms": ("spare",)},
        look_seconds=1.0,
    ),
    Scenario(
        "stopped before the ZFS snapshot",
        _VMS,
        Expected(None, failed="interrupted by SIGTERM", taken=False),
        events=(Event(PLANNED, stop()),),
    ),
    Scenario("stopped after the ZFS snapshot", _VMS, Expected(_WELL), events=(Event(TAKEN, stop()),)),
    Scenario("stopped during the removal", _VMS, Expected(_WELL), events=(Event(RELEASING, stop()),)),
)
