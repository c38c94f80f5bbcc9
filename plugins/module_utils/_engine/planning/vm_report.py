# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VMs on datasets as plain data: which ones there are, and whether each can be snapshotted and quiesced."""

from __future__ import annotations

from typing import Any, Sequence

from ..vsphere.vms import Vm, list_vms
from .locations import locations_of_disk, locations_of_vm
from .plan import NOT_FROZEN, unique_vms
from .server_logins import ServerLogin


def vm_report(logins: Sequence[ServerLogin], datasets: Sequence[str]) -> list[dict[str, Any]]:
    """Return every VM that has, or may have, files on any of `datasets` (names), once, sorted by server and name.

    Raises VSphereError.
    """
    targets = set(datasets)
    views = [(login, vm) for login in logins for vm in list_vms(login.session, login.datastores_on(targets))]
    reports = [(vm, _report(login, vm, targets)) for login, vm in unique_vms(views)]
    on_targets = [report for vm, report in reports if report["datasets"] or not vm.readable]
    return sorted(on_targets, key=lambda report: (report["server"], report["name"], report["moid"]))


def _report(login: ServerLogin, vm: Vm, targets: set[str]) -> dict[str, Any]:
    locations_of_disks = [locations_of_disk(disk, login.matches) for disk in vm.disks]
    locations = locations_of_vm(vm, login)
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
                "lies_on": sorted(locations_of_one),
                "independent": disk.independent,
            }
            for disk, locations_of_one in zip(vm.disks, locations_of_disks)
        ],
        "can_snapshot": can_snapshot,
        "can_quiesce": can_snapshot and vm.running and vm.tools == "running" and vm.guest != "other",
        "reasons": [*vm.obstacles, *_more_reasons(vm)],
        "consolidation_needed": vm.consolidation_needed,
        "datasets": sorted(locations & targets),
        "spans": sorted(locations - targets),
    }


def _more_reasons(vm: Vm) -> list[str]:
    """Return other reasons why a snapshot reaches a lower level."""
    reasons = [] if vm.known else [vm.why_unknown]
    if vm.agent:
        reasons.append("it is a vSphere Cluster Services VM (vCLS), which runs ignore")
    if vm.running and vm.tools != "running":
        reasons.append(f"VMware Tools are {vm.tools}, so it cannot be quiesced")
    elif vm.running and vm.guest == "other":
        reasons.append(NOT_FROZEN)
    reasons += [
        f"VMware snapshots do not include its independent disk {disk.label}" for disk in vm.disks if disk.independent
    ]
    return reasons
