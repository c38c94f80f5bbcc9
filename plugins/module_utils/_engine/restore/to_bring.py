# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Between a plan and vSphere: what to bring back, and what was brought back."""

from __future__ import annotations

import posixpath

from ..vsphere import vm_settings
from .bring_back import VmBrought, VmToBring
from .clone_datastores import CloneDatastores
from .folder_copy import Place
from .names import temporary_name
from .plan import PlannedVm
from .proof import CopyPlace
from .request import KEEP, RestoreRequest
from .result import VmRestored


def from_folder(vm: PlannedVm, copy: Place, restore: str, request: RestoreRequest) -> VmToBring:
    """Return the VM in a copy of its folder."""
    if vm.place is None:
        raise ValueError("a plan without refusals has a datastore for each VM")
    folder = posixpath.relpath(copy.path, vm.source.mountpoint)
    vmx_path = vm.place.path(posixpath.join(folder, posixpath.basename(vm.source.vm.path)))
    place = CopyPlace(vm.place.moid, vm.place.name, vm.place.relative(folder))
    return _vm(vm, vmx_path, (place,), restore, request)


def from_clone(vm: PlannedVm, datastores: CloneDatastores, restore: str, request: RestoreRequest) -> VmToBring:
    """Return the VM on the datastores of clones."""
    vmx_path = datastores.path(vm.source.snapshot.dataset, vm.source.vm.path)
    first = datastores.folders[vm.source.snapshot.dataset][0]
    others = [one for one in datastores.all if one is not first]
    return _vm(vm, vmx_path, tuple(one.place for one in (first, *others)), restore, request)


def _vm(
    vm: PlannedVm, vmx_path: str, places: tuple[CopyPlace, ...], restore: str, request: RestoreRequest
) -> VmToBring:
    if vm.home is None:
        raise ValueError("a plan without refusals has a host for each VM")
    return VmToBring(
        vm.name,
        temporary_name(vm.name, restore),
        vmx_path,
        places,
        vm.home,
        template=vm.source.vm.configuration.template,
        snapshot=vm.source.vmware_snapshot,
        network=vm.network,
        keep_cards=request.cards == KEEP,
        identity=vm_settings.KEEP if request.replace else vm_settings.CREATE,
        power_on=request.power_on,
        living=vm.living,
    )


def record_brought(done: VmRestored, brought: VmBrought) -> None:
    """Write what became of a VM to its result."""
    vm = brought.vm
    done.moid, done.vmx_path, done.requests = brought.moid, vm.vmx_path, brought.requests
    done.reverted_to = vm.snapshot if brought.reverted else ""
    done.restored, done.powered_on = brought.handed_over, brought.powered_on
    done.replaced = vm.living.aside if vm.living is not None and brought.handed_over else ""
    if brought.guest is not None:
        done.tools, done.heartbeat, done.address = brought.guest.tools, brought.guest.heartbeat, brought.guest.address
    done.warnings += _warnings(brought)
    done.error = str(brought.error) if brought.error is not None else ""


def _warnings(brought: VmBrought) -> list[str]:
    found = []
    if brought.vm.snapshot and not brought.reverted and brought.error is None and not brought.vm.template:
        found.append("Its VMware snapshot of the run does not exist, so it was not reverted.")
    if brought.missing:
        found.append(f"These did not come in time after the power-on: {', '.join(brought.missing)}.")
    if brought.static_cards and brought.vm.living is None:
        found.append(f"It has the same MAC address as the original: {', '.join(brought.static_cards)}.")
    if brought.memory_discarded:
        found.append("It was suspended; its memory was discarded, as after a power failure.")
    if brought.consolidation_needed:
        found.append("Its disks need consolidation.")
    return found
