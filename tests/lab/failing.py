# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a VM of the lab can fail, for practice. A VM fails in one way at most, until a person ends it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .hypervisor.host import Hypervisor
from .places import LabError
from .simulator import Simulator
from .storage_host import StorageHost

NONE = "none"
_FILE = "failing.json"  # in the folder of the vCenter: {VM: {"kind", "rules": [ID]}}
_CREATE, _REMOVE, _CONSOLIDATE = "CreateSnapshot(Ex)?_Task", "RemoveSnapshot_Task", "ConsolidateVMDisks_Task"
_LOCKED = {"effect": "task_fault", "fault": "FileLocked", "message": "Unable to access a file since it is locked."}
_PRIVILEGE = {"PrivilegeId": "VirtualMachine.State.CreateSnapshot"}


@dataclass(frozen=True)
class Kind:
    """`rules` and `change` are for the vCenter (vcenter/README.md), `guest` is for the hypervisor."""

    text: str
    rules: tuple[dict[str, Any], ...] = ()
    change: dict[str, Any] = field(default_factory=dict)
    undo: dict[str, Any] = field(default_factory=dict)
    guest: str = ""


KINDS = {
    "tools": Kind("VMware Tools stop", change={"tools": "not_running"}, undo={"tools": "running"}),
    "quiesce": Kind(
        "the guest cannot be quiesced",
        ({"method": _CREATE, "quiesce": True, "effect": "task_fault", "fault": "ApplicationQuiesceFault"},),
    ),
    "snapshot": Kind("a VMware snapshot cannot be created: a file is locked", ({"method": _CREATE, **_LOCKED},)),
    "slow": Kind(
        "creating a VMware snapshot takes a minute", ({"method": _CREATE, "effect": "task_slow", "seconds": 60},)
    ),
    "timeout": Kind("creating a VMware snapshot does not end", ({"method": _CREATE, "effect": "task_hang"},)),
    "privilege": Kind(
        "the account may not create VMware snapshots",
        ({"method": _CREATE, "effect": "call_fault", "fault": "NoPermission", "fields": _PRIVILEGE},),
    ),
    "disconnected": Kind(
        "its host is not connected to vCenter",
        ({"method": ".*_Task", "effect": "call_fault", "fault": "HostNotConnected"},),
        change={"properties": {"runtime.connectionState": "disconnected"}},
        undo={"properties": {}},
    ),
    "removal": Kind(
        "a VMware snapshot cannot be removed: a backup product has attached its disk", ({"method": _REMOVE, **_LOCKED},)
    ),
    "consolidation": Kind(
        "removing a VMware snapshot leaves delta files",
        ({"method": _REMOVE, "effect": "needs_consolidation"}, {"method": _CONSOLIDATE, **_LOCKED}),
    ),
    "no-freeze": Kind("VMware Tools report a quiesce, but freeze nothing (real VMs only)", guest="no-freeze"),
    "no-pause": Kind("VSS reports prepared applications, but prepares none (real VMs only)", guest="no-pause"),
}


def start(lab: StorageHost, simulator: Simulator, machine: dict[str, Any], kind: str) -> None:
    """Let a VM fail. It does not fail in another way any more."""
    if kind not in KINDS:
        raise LabError(f"A VM cannot fail with {kind!r}; use {', '.join(KINDS)}, or {NONE} to end it")
    end(lab, simulator, machine)
    name, chosen = machine["name"], KINDS[kind]
    if kind == "tools" and machine["tools"] == "not_installed":
        raise LabError(f"{name} has no VMware Tools that could stop; use another VM")
    if chosen.guest and not machine["real"]:
        raise LabError(f"{name} has no real disks, so {kind} has no effect; deploy a VM with --real")
    pattern = re.escape(name)
    rules = [simulator.rule(vm=pattern, **rule) for rule in chosen.rules]
    if chosen.change:
        simulator.vm(pattern, **chosen.change)
    if chosen.guest:
        Hypervisor(lab).call("set_faults", vmx=machine["vmx"], faults=[chosen.guest])
    _write(simulator.directory, {**_read(simulator.directory), name: {"kind": kind, "rules": rules}})


def end(lab: StorageHost, simulator: Simulator, machine: dict[str, Any]) -> None:
    """Let a VM work again. Operations that did not end go on."""
    known = _read(simulator.directory)
    entry = known.pop(machine["name"], None)
    if entry is None:
        return
    pattern, kind = re.escape(machine["name"]), KINDS[entry["kind"]]
    for rule in entry["rules"]:
        simulator.clear_rules(rule)
    simulator.release(pattern)
    if kind.undo:
        simulator.vm(pattern, **kind.undo)
    if kind.guest and Hypervisor(lab).running():
        Hypervisor(lab).call("set_faults", vmx=machine["vmx"], faults=[])
    _write(simulator.directory, known)


def kinds(folder: Path) -> dict[str, str]:
    """Return how each VM fails, of those that do."""
    return {name: entry["kind"] for name, entry in _read(folder).items()}


def forget(folder: Path) -> None:
    """The vCenter has ended, and its rules with it."""
    (folder / _FILE).unlink(missing_ok=True)


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / _FILE
    known: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    return known


def _write(folder: Path, known: dict[str, dict[str, Any]]) -> None:
    (folder / _FILE).write_text(json.dumps(known, indent=1) + "\n")
