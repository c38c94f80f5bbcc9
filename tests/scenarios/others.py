# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios in which others work on the same VMs meanwhile."""

from __future__ import annotations

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Limits

from .model import (
    CREATE,
    HELD,
    PLANNED,
    RELEASING,
    TAKEN,
    Action,
    Config,
    Event,
    Expected,
    Moment,
    Scenario,
    change,
    disks,
    nfs,
    power,
    register,
    remove_ours,
    remove_snapshots,
    san,
    take_snapshot,
    unregister,
    vm,
)

_VMS = ((nfs(vm("app"), vm("web")), san()),)
_TWO_DISKS = ((nfs(vm("app"), vm("web", disks=[{}, {}])), san()),)
_SLEEPER = ((nfs(vm("app"), vm("web", power="off")),),)
_ISO = ((nfs(vm("app")), san(vm("guest", iso="vmware"))),)
_WELL = {"app": "filesystem", "web": "filesystem"}
_LOST = {"app": "filesystem", "web": "crash"}
_WHEN = {"before the first look": PLANNED, "between the looks": HELD, "after the ZFS snapshot": TAKEN}
_UNSEEN = {"runtime.connectionState": "disconnected"}
_ONE_BY_ONE = {"limits": Limits(1, 1)}  # VMs are held in the order of their names, each once the one before is
_FAIL = {"on_vm_failure": "fail"}


def _each(
    name: str, servers: tuple[tuple[Config, ...], ...], action: Action, expected: Expected
) -> tuple[Scenario, ...]:
    """The same at each moment at which it has to be noticed."""
    return tuple(
        Scenario(f"{name} {when}", servers, expected, events=(Event(moment, action),), request=_ONE_BY_ONE)
        for when, moment in _WHEN.items()
    )


OTHERS = (
    *_each("powered on", _SLEEPER, power("web", "on"), Expected(_LOST, {"web": "powered on"})),
    *_each("a disk moves elsewhere", _VMS, disks("web", "san"), Expected(_LOST, {"web": "disk"})),
    *_each("one of two disks moves elsewhere", _TWO_DISKS, disks("web", "vmware", "san"), Expected(_LOST)),
    *_each("a disk is added", _VMS, disks("web", "vmware", "vmware"), Expected(_LOST)),
    *_each("a disk is removed", _TWO_DISKS, disks("web", "vmware"), Expected(_LOST)),
    *_each("an administrator takes a VMware snapshot", _VMS, take_snapshot("web"), Expected(_WELL)),
    *_each(
        "an older VMware snapshot is removed",
        ((nfs(vm("app"), vm("web", snapshots=2)), san()),),
        remove_snapshots("web", "before-upgrade-1"),
        Expected(_LOST),
    ),
    *_each("unregistered", _VMS, unregister("web"), Expected(_LOST, watched=("web",))),
    *(
        Scenario(
            f"its host is out of sight {when}",
            _VMS,
            Expected(_LOST, {"web": "no longer connected"}),
            events=(Event(moment, change("web", properties=_UNSEEN)), Event(RELEASING, change("web", properties={}))),
        )
        for when, moment in _WHEN.items()
    ),
    *_each("its .vmx alone moves elsewhere", _VMS, change("web", vmx="san"), Expected(_LOST, {"web": ".vmx"})),
    Scenario(
        "a disk is added elsewhere before the first look",
        _VMS,
        Expected(_WELL),
        events=(Event(PLANNED, disks("web", "vmware", "san")),),
    ),
    Scenario(
        "a VM with an ISO image gets its disk there before the first look",
        _ISO,
        Expected({"app": "filesystem"}, problems=("",)),
        events=(Event(PLANNED, disks("guest", "vmware")),),
    ),
    Scenario(
        "a VM with an ISO image gets its disk there between the looks",
        _ISO,
        Expected({"app": "filesystem"}, problems=("",)),
        events=(Event(HELD, disks("guest", "vmware")),),
    ),
    Scenario(
        "a VM with its .vmx there gets its disk there before the first look",
        ((nfs(vm("app"), vm("guest", disks=[{"datastore": "san"}])), san()),),
        Expected({"app": "filesystem", "guest": "crash"}),
        events=(Event(PLANNED, disks("guest", "vmware")),),
    ),
    Scenario(
        "a running VM comes before the first look",
        _VMS,
        Expected(_WELL, problems=("appeared on the datastores",)),
        events=(Event(PLANNED, register("vmware", name="new")),),
    ),
    Scenario(
        "a running VM comes between the looks",
        _VMS,
        Expected(_WELL, problems=("appeared on the datastores",)),
        events=(Event(HELD, register("vmware", name="new")),),
    ),
    Scenario(
        "a VM comes that is off",
        _VMS,
        Expected(_WELL),
        events=(Event(PLANNED, register("vmware", name="new", power="off")),),
    ),
    Scenario(
        "our VMware snapshot is removed before the first look",
        _VMS,
        Expected({"app": "crash", "web": "filesystem"}, {"app": "gone"}),
        events=(Event(Moment(CREATE, 2), remove_ours("app")),),
        request=_ONE_BY_ONE,
    ),
    *(
        Scenario(
            f"our VMware snapshot is removed {when}",
            _VMS,
            Expected(_LOST, {"web": "removed"}),
            events=(Event(moment, remove_ours("web")),),
        )
        for when, moment in list(_WHEN.items())[1:]
    ),
    Scenario(
        "powered on before the first look, fail",
        _SLEEPER,
        Expected(_LOST, failed="powered on", taken=False),
        events=(Event(PLANNED, power("web", "on")),),
        request=_FAIL,
    ),
    Scenario(
        "powered on after the ZFS snapshot, fail",
        _SLEEPER,
        Expected(None, failed="powered on", taken=False),
        events=(Event(TAKEN, power("web", "on")),),
        request=_FAIL,
    ),
    Scenario(
        "a running VM comes before the first look, fail",
        _VMS,
        Expected(None, failed="appeared on the datastores", taken=False),
        events=(Event(PLANNED, register("vmware", name="new")),),
        request=_FAIL,
    ),
)
