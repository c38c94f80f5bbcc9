# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what restores leave behind, and finds out whether they touched a VM that was there before."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .demo_stage import DATASET, REAL, Stage
from .hypervisor.host import HypervisorError

WRITES = 5  # that a guest makes in WRITE_SECONDS if its disk is in order
WRITE_SECONDS = 60.0
_COMMANDS = {
    "folders": f"find /{DATASET} -mindepth 1 -maxdepth 1",
    "clones": "zfs list -H -o name",
    "exports": "exportfs -s",
    "holds": "zfs list -H -o name -t snapshot | xargs -r zfs holds -H",
}
_END = "-- end"  # of the output of one command
KINDS = ("folders", "clones", "exports", "datastores", "vms", "holds")


@dataclass(frozen=True)
class Census:
    """Everything that restores create, by kind."""

    found: Mapping[str, frozenset[str]]

    @classmethod
    def take(cls, stage: Stage) -> Census:
        script = f"; echo {_END}; ".join(_COMMANDS.values())
        parts = stage.host.ssh(["sh", "-ec", script]).stdout.split(f"{_END}\n")
        lines = {kind: frozenset(part.split("\n")) - {""} for kind, part in zip(_COMMANDS, parts, strict=True)}
        hosts = stage.vcenter.hosts()
        mounts = frozenset(f"{mount['datastore']} on {host['name']}" for host in hosts for mount in host["mounts"])
        vms = frozenset(f"{vm['name']} ({vm['moid']})" for vm in stage.vcenter.machines())
        return cls({**lines, "datastores": mounts, "vms": vms})

    def more_than(self, before: Census) -> dict[str, list[str]]:
        """Return what was not there before, by kind."""
        return {kind: sorted(self.found[kind] - before.found[kind]) for kind in KINDS}


@dataclass(frozen=True)
class Living:
    """The VMs that were there before: what vCenter knows of all, and what the hypervisor knows of those with disks."""

    known: Mapping[str, Mapping[str, Any]]
    returned: Mapping[str, int]

    @classmethod
    def look(cls, stage: Stage) -> Living:
        machines = {vm["moid"]: vm for vm in stage.vcenter.machines()}
        shown = {moid: _show(stage, vm["vmx"]) for moid, vm in machines.items() if vm["name"] in REAL}
        known = {moid: {**vm, "settings": shown.get(moid, {}).get("settings")} for moid, vm in machines.items()}
        return cls(known, {moid: one.get("returned", 0) for moid, one in shown.items()})

    def touched(self, stage: Stage) -> list[str]:
        """Return the names of the VMs that are not as before, or whose guests do not write to their disks any more."""
        now = Living.look(stage)
        changed = {moid for moid, vm in self.known.items() if now.known.get(moid) != vm}
        return sorted(str(self.known[moid]["name"]) for moid in changed | now._silent(stage))

    def _silent(self, stage: Stage) -> set[str]:
        """Return the VMs whose guests do not write."""
        end = time.monotonic() + WRITE_SECONDS
        while True:
            now = Living.look(stage).returned
            silent = {moid for moid, number in self.returned.items() if now.get(moid, 0) < number + WRITES}
            if not silent or time.monotonic() > end:
                return silent
            time.sleep(0.5)


def _show(stage: Stage, vmx: str) -> dict[str, Any]:
    try:
        shown: dict[str, Any] = stage.hypervisor.call("show", vmx=vmx)
    except HypervisorError:  # it is not registered any more
        return {}
    return shown
