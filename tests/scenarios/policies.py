# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios of policies for single VMs: what matches, and what each policy makes of a VM."""

from __future__ import annotations

from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vm_policies import parse

from .model import CREATE, RELEASING, TREE, Event, Expected, Moment, Scenario, nfs, power, rule, vm, wake

_BSD = {"guest.guestFamily": "otherGuestFamily"}
_FIREWALL = vm("fw01", properties=_BSD)
_MUTE = vm("mute", tools="not_running")
_ONE, _TWO = f"{TREE}/one", f"{TREE}/two"


def policy(match: dict[str, Any], **said: Any) -> dict[str, Any]:
    return {"match": match, **said}


def asked(*policies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"policies": parse(policies), **more}


ACCEPTED = "filesystem (1 VM accepted at crash: fw01)"

# Each way to select the VM fw01 among others, by one condition.
MATCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "name": ({}, {"name": "fw01"}),
    "pattern": ({}, {"name": "fw*"}),
    "folder path": ({"folder": "net/edge"}, {"folder": "/DC0/vm/net"}),
    "folder name": ({"folder": "net/edge"}, {"folder": "edge"}),
    "resource pool": ({"resource_pool": "slow"}, {"resource_pool": "slow"}),
    "custom attribute": ({"attributes": {"Role": "firewall"}}, {"attribute": {"name": "Role", "value": "fire*"}}),
    "tag": ({"tags": {"backup": ["crash", "daily"]}}, {"tag": {"category": "backup", "name": "crash"}}),
}

POLICIES = (
    *(
        Scenario(
            f"accept: crash by {how}",
            ((nfs(vm("web"), {**_FIREWALL, **labels}),),),
            Expected({"web": "filesystem", "fw01": "crash"}, complete=True, text=ACCEPTED),
            request=asked(policy(match, accept="crash")),
        )
        for how, (labels, match) in MATCHES.items()
    ),
    Scenario(
        "no accept: an appliance makes the snapshot incomplete",
        ((nfs(vm("web"), _FIREWALL),),),
        Expected({"web": "filesystem", "fw01": "crash"}, text="crash"),
    ),
    Scenario(
        "accept: crash does not hide the failure of another VM",
        ((nfs(vm("web"), _FIREWALL),),),
        Expected({"web": "crash", "fw01": "crash"}, complete=False, text="crash (1 VM accepted at crash: fw01)"),
        rules=(rule("task_fault", CREATE, "web", fault="FileLocked"),),
        request=asked(policy({"name": "fw*"}, accept="crash")),
    ),
    Scenario(
        "a VM that is accepted at crash may leave the hold",
        ((nfs(vm("web"), vm("fw01", power="off")),),),
        Expected({"web": "filesystem", "fw01": "crash"}, {"fw01": "powered on"}, complete=True, text=ACCEPTED),
        events=(Event(Moment("snapshot", zfs="after"), power("fw01", "on")),),
        request=asked(policy({"name": "fw*"}, accept="crash")),
    ),
    Scenario(
        "accept: application",
        ((nfs(vm("web"), vm("db", guest="windows")),),),
        Expected({"web": "filesystem", "db": "application"}, complete=False),
        request=asked(policy({"name": "*"}, accept="application")),
    ),
    Scenario(
        "the first match wins",
        ((nfs(vm("web"), vm("web2")),),),
        Expected({"web": "filesystem", "web2": "crash"}, complete=True, text="filesystem (1 excluded)"),
        request=asked(policy({"name": "web"}), policy({"name": "web*"}, exclude=True)),
    ),
    Scenario(
        "exclude_vms comes first",
        ((nfs(vm("web"), vm("web2")),),),
        Expected({"web": "filesystem", "web2": "crash"}, {"web2": "exclude_vms"}, complete=True),
        request=asked(policy({"name": "web*"}, quiesce="required"), exclude_vms=("web2",)),
    ),
    Scenario(
        "a name with brackets is compared literally first",
        ((nfs(vm("web [old]"), vm("web o")),),),
        Expected({"web [old]": "crash", "web o": "crash"}, complete=True, text="crash (2 excluded)"),
        request=asked(policy({"name": "web [old]"}, exclude=True)),
    ),
    Scenario(
        "all conditions of a match have to be met",
        ((nfs(vm("web", tags={"tier": ["1"]}), vm("web2", tags={"tier": ["2"]})),),),
        Expected({"web": "crash", "web2": "filesystem"}, complete=True, text="filesystem (1 excluded)"),
        request=asked(policy({"name": "web*", "tag": {"category": "tier", "name": "1"}}, exclude=True)),
    ),
    Scenario(
        "quiesce: never",
        ((nfs(vm("web"), vm("fw01")),),),
        Expected(
            {"web": "filesystem", "fw01": "crash"}, {"fw01": "not quiesced, as policy 1"}, complete=True, text=ACCEPTED
        ),
        request=asked(policy({"name": "fw01"}, quiesce="never")),
    ),
    Scenario(
        "quiesce: required, on_failure: continue",
        ((nfs(vm("web"), _MUTE),),),
        Expected({"web": "filesystem", "mute": "crash"}, {"mute": "Tools are not running"}),
        request=asked(policy({"name": "mute"}, quiesce="required")),
    ),
    Scenario(
        "quiesce: required, on_failure: fail",
        ((nfs(vm("web"), _MUTE),),),
        Expected({"web": "filesystem", "mute": "crash"}, failed="policy does not allow this run", taken=False),
        request=asked(policy({"name": "mute"}, quiesce="required", on_failure="fail")),
    ),
    Scenario(
        "quiesce: preferred in a run that fails otherwise",
        ((nfs(vm("web"), _MUTE),),),
        Expected({"web": "filesystem", "mute": "crash"}),
        request=asked(policy({"name": "mute"}, quiesce="preferred"), on_quiesce_failure="fail"),
    ),
    Scenario(
        "accept: crash in a run that fails otherwise",
        ((nfs(vm("web"), _MUTE, vm("gpu", pci_passthrough=True)),),),
        Expected({"web": "filesystem", "mute": "crash", "gpu": "crash"}, complete=True),
        request=asked(policy({"name": "[mg]*"}, accept="crash"), on_quiesce_failure="fail", on_vm_failure="fail"),
    ),
    Scenario(
        "on_failure: fail for one VM",
        ((nfs(vm("app"), vm("web")),),),
        Expected(None, failed="could not be snapshotted", taken=False),
        rules=(rule("task_fault", CREATE, "web", fault="FileLocked"),),
        request=asked(policy({"name": "web"}, on_failure="fail")),
    ),
    Scenario(
        "on_failure: continue for one VM",
        ((nfs(vm("app"), vm("web")),),),
        Expected({"app": "filesystem", "web": "crash"}),
        rules=(rule("task_fault", CREATE, "web", fault="FileLocked"),),
        request=asked(policy({"name": "web"}, on_failure="continue"), on_vm_failure="fail"),
    ),
    Scenario(
        "vm_timeout for one VM",
        ((nfs(vm("app"), vm("web")),),),
        Expected({"app": "filesystem", "web": "crash"}, {"web": "was not ready within 1 seconds"}),
        rules=(rule("task_hang", CREATE, "web"),),
        events=(Event(RELEASING, wake()),),
        request=asked(policy({"name": "web"}, vm_timeout=1.0)),
    ),
    Scenario(
        "a policy that matches nothing",
        ((nfs(vm("web")),),),
        Expected({"web": "filesystem"}, warnings=(f"policy 1 (name 'wbe*') matches no VM on {TREE}",)),
        request=asked(policy({"name": "wbe*"}, exclude=True)),
    ),
    Scenario(
        "a vGPU does not prevent a snapshot",
        ((nfs(vm("web", vgpu=True)),),),
        Expected({"web": "filesystem"}),
    ),
    Scenario(
        "on_span: report",
        ((nfs(vm("app", disks=[{}, {"datastore": "ds2"}]), name="ds1", dataset=_ONE), nfs(name="ds2", dataset=_TWO)),),
        Expected(
            {"app": "filesystem"},
            records={TREE: ("still", True), _ONE: ("filesystem", True), _TWO: ("filesystem", True)},
        ),
        datasets=(TREE, _ONE, _TWO),
        request=asked(policy({"name": "app"}, on_span="report")),
    ),
)
