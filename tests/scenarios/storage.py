# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios of the storage host's side: commands of `zfs` that fail, several datasets, waves."""

from __future__ import annotations

from typing import Any

from .model import (
    CREATE,
    HELD,
    TAKEN,
    TREE,
    Event,
    Expected,
    Moment,
    Scenario,
    ZfsFault,
    disks,
    nfs,
    power,
    replace_snapshot,
    rule,
    san,
    vm,
)

_VMS = ((nfs(vm("app"), vm("web")),),)
_WELL = {"app": "filesystem", "web": "filesystem"}
_ONE, _TWO = f"{TREE}/one", f"{TREE}/two"
_DATASETS = (TREE, _ONE, _TWO)
_APART = ((nfs(vm("app"), name="ds1", dataset=_ONE), nfs(vm("web"), name="ds2", dataset=_TWO)),)
_LUN = f"{TREE}/lun"
_WITH_LUN: dict[str, Any] = {"datasets": (TREE, _LUN), "volumes": (_LUN,)}
_UNKNOWN_LUN = f"It is unknown which VMs use the volume {_LUN},"
_FAULT = rule("task_fault", CREATE, "web", fault="FileLocked")

STORAGE = (
    Scenario(
        "zfs refuses the snapshot",
        _VMS,
        Expected(_WELL, failed="pool I/O is currently suspended", taken=False),
        zfs=(ZfsFault("snapshot"),),
    ),
    Scenario(
        "zfs snapshot times out, and was not taken",
        _VMS,
        Expected(None, failed="did not end within", taken=False),
        zfs=(ZfsFault("snapshot", timeout=True),),
    ),
    Scenario(
        "zfs snapshot times out, and is seen while the VMs are held",
        _VMS,
        Expected(_WELL),
        zfs=(ZfsFault("snapshot", timeout=True, carried_out=True),),
    ),
    Scenario(
        "the seal is refused",
        _VMS,
        Expected(None, consistency="crash", complete=False, failed="suspended", recovered=("filesystem", True)),
        zfs=(ZfsFault("program", count=100),),
    ),
    Scenario(
        "the ZFS snapshot is destroyed before its record is written",
        _VMS,
        Expected(None, failed="destroyed", taken=False),
        events=(Event(TAKEN, replace_snapshot()),),
    ),
    Scenario(
        "the ZFS snapshot is renamed before its record is written",
        _VMS,
        Expected(None, failed="renamed", taken=False),
        events=(Event(TAKEN, replace_snapshot(by="other")),),
    ),
    Scenario(
        "another ZFS snapshot takes the name before the record is written",
        _VMS,
        Expected(None, consistency="crash", complete=False, failed="replaced", recorded=False),
        events=(Event(TAKEN, replace_snapshot(by="one")),),
    ),
    *(
        Scenario(
            f"a disk moves to another dataset of the run, {when}",
            ((nfs(vm("app"), name="ds1", dataset=_ONE), nfs(name="ds2", dataset=_TWO)),),
            Expected(
                {"app": "crash"},
                records={TREE: ("still", True), _ONE: ("crash", False), _TWO: ("crash", False)},
                problems=problems,
            ),
            events=(Event(moment, disks("app", "ds2")),),
            datasets=_DATASETS,
        )
        for when, moment, problems in (
            ("before the first look", HELD, ()),
            ("between the looks", Moment("snapshot", zfs="before"), ("The VM 'app'",)),
        )
    ),
    Scenario(
        "an excluded VM moves to another dataset of the run",
        ((nfs(vm("app"), name="ds1", dataset=_ONE), nfs(name="ds2", dataset=_TWO)),),
        Expected(
            {"app": "crash"},
            complete=True,
            records={TREE: ("still", True), _ONE: ("crash", True), _TWO: ("crash", True)},
        ),
        events=(Event(Moment("snapshot", zfs="before"), disks("app", "ds2")),),
        request={"exclude_vms": ("app",)},
        datasets=_DATASETS,
    ),
    Scenario(
        "several datasets",
        _APART,
        Expected(_WELL, records={TREE: ("still", True), _ONE: ("filesystem", True), _TWO: ("filesystem", True)}),
        datasets=_DATASETS,
    ),
    Scenario(
        "several datasets, a VM on one fails",
        _APART,
        Expected(
            {"app": "filesystem", "web": "crash"},
            records={TREE: ("still", True), _ONE: ("filesystem", True), _TWO: ("crash", False)},
        ),
        rules=(_FAULT,),
        datasets=_DATASETS,
    ),
    Scenario(
        "waves",
        _APART,
        Expected(_WELL, records={TREE: ("still", True), _ONE: ("filesystem", True), _TWO: ("filesystem", True)}),
        datasets=_DATASETS,
        request={"wave_size": 1},
    ),
    Scenario(
        "waves, the second one fails by policy",
        _APART,
        Expected(None, failed="could not be snapshotted", taken=False),
        rules=(_FAULT,),
        datasets=_DATASETS,
        request={"wave_size": 1, "on_vm_failure": "fail"},
    ),
    Scenario(
        "waves, the second one fails by policy after its ZFS snapshot",
        ((nfs(vm("app"), name="ds1", dataset=_ONE), nfs(vm("db"), vm("web", power="off"), name="ds2", dataset=_TWO)),),
        Expected(None, failed="powered on", taken=False),
        events=(Event(Moment("snapshot", 2, zfs="after"), power("web", "on")),),
        datasets=_DATASETS,
        request={"wave_size": 1, "on_vm_failure": "fail"},
    ),
    Scenario(
        "a volume that no datastore accounts for",
        ((nfs(vm("web")), san(vm("db"))),),
        Expected(
            {"web": "filesystem"},
            problems=(_UNKNOWN_LUN,),
            records={TREE: ("filesystem", True), _LUN: ("crash", False)},
        ),
        **_WITH_LUN,
    ),
    Scenario(
        "a volume, and no VM that is known",
        ((nfs(), san(vm("db"))),),
        Expected(problems=(_UNKNOWN_LUN,), records={TREE: ("still", True), _LUN: ("crash", False)}),
        **_WITH_LUN,
    ),
    Scenario(
        "a volume that no datastore accounts for, in waves",
        ((nfs(vm("web")),),),
        Expected(
            {"web": "filesystem"},
            problems=(_UNKNOWN_LUN,),
            records={TREE: ("filesystem", True), _LUN: ("crash", False)},
        ),
        request={"wave_size": 1},
        **_WITH_LUN,
    ),
    Scenario(
        "a volume that no datastore accounts for, fail",
        ((nfs(vm("web")),),),
        Expected(None, failed=_UNKNOWN_LUN, taken=False),
        request={"on_vm_failure": "fail"},
        **_WITH_LUN,
    ),
    Scenario(
        "a volume whose datastore the credential names",
        ((nfs(vm("web")), san(vm("db"))),),
        Expected({"web": "filesystem", "db": "filesystem"}),
        datastores=("san",),
        **_WITH_LUN,
    ),
)
