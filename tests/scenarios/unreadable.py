# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios in which the account may not read something, and those of VMs that belong to vSphere itself."""

from __future__ import annotations

from typing import Any, Mapping

from .model import HELD, PLANNED, TREE, Event, Expected, Scenario, deny, nfs, register, vm

UNNAMED = "?"  # a VM whose name cannot be read
_VMS = ((nfs(vm("app"), vm("web")),),)
_OFF = ((nfs(vm("app", power="off"), vm("web")),),)
_ONE_LOST = {UNNAMED: "crash", "web": "filesystem"}
_WHY = {UNNAMED: "lacks the privilege System.Read on it"}
_OWN: Mapping[str, Any] = {"extra_config": {"HDCS.agent": "true"}}


def _both_ways(whole: bool) -> tuple[Scenario, ...]:
    """A server tells of each object that it may not be read, or it refuses the `whole` call because of one."""
    how = ", and the whole call is refused" if whole else ""
    return (
        Scenario(
            f"a VM may not be read{how}", _VMS, Expected(_ONE_LOST, reasons=_WHY), unreadable=("app",), whole=whole
        ),
        Scenario(
            f"a VM on one of several datasets may not be read{how}",
            ((nfs(vm("app"), name="ds1", dataset=f"{TREE}/one"), nfs(vm("web"), name="ds2", dataset=f"{TREE}/two")),),
            Expected(_ONE_LOST, reasons=_WHY),
            datasets=(TREE, f"{TREE}/one", f"{TREE}/two"),
            unreadable=("app",),
            whole=whole,
        ),
        Scenario(
            f"a VM may not be read, fail{how}",
            _VMS,
            Expected(None, failed="lacks the privilege System.Read on it", taken=False),
            request={"on_vm_failure": "fail"},
            unreadable=("app",),
            whole=whole,
        ),
        Scenario(
            f"a VM that is off may not be read any more before the ZFS snapshot{how}",
            _OFF,
            Expected({"app": "crash", "web": "filesystem"}, reasons={"app": "cannot be read"}),
            events=(Event(PLANNED, deny("app", whole)),),
        ),
        Scenario(
            f"a VM that is off may not be read any more after the first look{how}",
            _OFF,
            Expected({"app": "crash", "web": "filesystem"}, reasons={"app": "cannot be read"}, problems=("'app'",)),
            events=(Event(HELD, deny("app", whole)),),
        ),
        Scenario(
            f"a VM that is held may not be read any more after the first look{how}",
            _VMS,
            Expected(
                {"app": "crash", "web": "filesystem"},
                reasons={"app": "cannot be read"},
                problems=("'app'",),
                failed="could not be removed",
                left=1,
                watched=("app",),
            ),
            events=(Event(HELD, deny("app", whole)),),
        ),
        Scenario(
            f"a datastore may not be read{how}",
            ((nfs(vm("web")), nfs(vm("app"), name="secret", dataset=f"{TREE}/secret")),),
            Expected({"web": "filesystem"}, problems=("lacks the privilege System.Read on it: grant it",)),
            unreadable=("secret",),
            whole=whole,
        ),
    )


UNREADABLE = (
    *_both_ways(whole=False),
    *_both_ways(whole=True),
    Scenario("a VM of vSphere's own", ((nfs(vm("any", **_OWN), vm("web")),),), Expected({"web": "filesystem"})),
    Scenario(
        "a VM that only has the name of one of vSphere's own",
        ((nfs(vm("vCLS-1", tools="not_running"), vm("web")),),),
        Expected({"vCLS-1": "crash", "web": "filesystem"}),
    ),
    Scenario(
        "a VM of vSphere's own comes during the run",
        ((nfs(vm("web")),),),
        Expected({"web": "filesystem"}),
        events=(Event(PLANNED, register("vmware", name="any", **_OWN)),),
    ),
    *(
        Scenario(
            f"a VM that is {state}",
            ((nfs(vm("app", properties={"runtime.connectionState": state}), vm("web")),),),
            Expected({"app": "crash", "web": "filesystem"}, reasons={"app": said}),
        )
        for state, said in (
            ("disconnected", "its host is not connected"),
            ("orphaned", "(orphaned)"),
            ("inaccessible", "(inaccessible)"),
            ("invalid", "its configuration is invalid"),
        )
    ),
)
