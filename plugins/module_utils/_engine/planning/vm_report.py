# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a dataset carry VMs, which ones, and can each be snapshotted: the question asked of vSphere, as plain data."""

from __future__ import annotations

from typing import Any, Sequence

from ..vsphere.vms import Vm, list_vms
from .plan import NOT_FROZEN, each_once, places, places_of
from .server_logins import ServerLogin


def vm_report(logins: Sequence[ServerLogin], datasets: Sequence[str]) -> list[dict[str, Any]]:
    """Every VM that has, or may have, files on any of `datasets` (names), each once, sorted by server and name.

    Raises VSphereError.
    """
    targets = set(datasets)
    views = [(login, vm) for login in logins for vm in list_vms(login.session, login.carrying(targets))]
    found = [(vm, _facts(login, vm, targets)) for login, vm in each_once(views)]
    here = [facts for vm, facts in found if facts["datasets"] or not vm.readable]
    return sorted(here, key=lambda facts: (facts["server"], facts["name"], facts["moid"]))


def _facts(login: ServerLogin, vm: Vm, targets: set[str]) -> dict[str, Any]:
    lies_on = [places(disk, login.matches) for disk in vm.disks]
    everywhere = places_of(vm, login)
    can_snapshot = vm.known and not vm.obstacles and not vm.agent
    return {
        "name": vm.shown,
        "moid": vm.moid,
        "instance_uuid": vm.instance_uuid,
        "server": login.server,
        "vmx_path": vm.vmx_path,
        "template": vm.template,
        "power": vm.power,
        "guest": vm.guest,
        "tools": vm.tools,
        "disks": [
            {
                "label": disk.label,
                "file": disk.files[0][1] if disk.files else "",
                "lies_on": sorted(place),
                "independent": disk.independent,
            }
            for disk, place in zip(vm.disks, lies_on)
        ],
        "can_snapshot": can_snapshot,
        "can_quiesce": can_snapshot and vm.running and vm.tools == "running" and vm.guest != "other",
        "reasons": [*vm.obstacles, *_more_reasons(vm)],
        "consolidation_needed": vm.consolidation_needed,
        "datasets": sorted(everywhere & targets),
        "spans": sorted(everywhere - targets),
    }


def _more_reasons(vm: Vm) -> list[str]:
    """What else lowers the consistency that a snapshot can reach."""
    reasons = [] if vm.known else [vm.why_unknown]
    if vm.agent:
        reasons.append("it is vSphere's own (vCLS), which runs leave alone")
    if vm.running and vm.tools != "running":
        reasons.append(f"VMware Tools are {vm.tools}, so it cannot be quiesced")
    elif vm.running and vm.guest == "other":
        reasons.append(NOT_FROZEN)
    reasons += [
        f"its independent disk {disk.label} is left out of VMware snapshots" for disk in vm.disks if disk.independent
    ]
    return reasons
