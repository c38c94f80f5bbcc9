# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan uses of vSphere, for the check of privileges: nothing that the restore does not do."""

from __future__ import annotations

from typing import Iterator

from ..state.restores import DISK, MOUNT
from .plan import RestorePlan
from .privileges import FOLDER, HELPER, HOST, LIVING, NETWORK, POOL, Target
from .request import KEEP


def uses_of(plan: RestorePlan) -> list[str]:
    """Return the uses (of privileges.USES) of a plan."""
    return list(dict.fromkeys(_uses(plan)))


def _uses(plan: RestorePlan) -> Iterator[str]:
    request = plan.request
    if plan.mount is not None:
        yield "mount"
    if request.way == DISK:
        yield "attach"
    if request.way in (DISK, MOUNT):
        return
    for vm in plan.vms:
        configuration = vm.source.vm.configuration
        yield "template" if configuration.template else "register"
        if configuration.template:
            continue
        if vm.source.vmware_snapshot:
            yield "revert"
        if configuration.cards and request.cards != KEEP:
            yield "network" if vm.network is not None else "disconnect"
        if configuration.change_tracking:
            yield "change_tracking"
        if configuration.suspended:
            yield "suspended"
        if request.power_on:
            yield "power_on"
        if vm.living is not None:
            yield "replace"


def targets_of(plan: RestorePlan) -> list[Target]:
    """Return the objects on which the plan needs privileges, each once."""
    return list(dict.fromkeys(_targets(plan)))


def _targets(plan: RestorePlan) -> Iterator[Target]:
    if plan.mount is not None:
        yield Target(HOST, plan.mount.host.moid, plan.mount.host.name)
    if plan.helper is not None:
        yield Target(HELPER, plan.helper.moid, plan.helper.name)
    for vm in plan.vms:
        if vm.home is not None and vm.host is not None:
            yield Target(FOLDER, vm.home.folder_moid, f"the folder of '{vm.source.name}'")
            if vm.home.pool_moid:
                yield Target(POOL, vm.home.pool_moid, f"the resource pool of {vm.host.name}")
        if vm.network is not None:
            yield Target(NETWORK, vm.network.moid, vm.network.name)
        if vm.living is not None:
            yield Target(LIVING, vm.living.moid, vm.living.name)
