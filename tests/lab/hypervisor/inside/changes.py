# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change the settings of a VM: any setting, its identity, and its disks."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, Sequence

from . import descriptors, hardware, identity, volumes
from .errors import Refused
from .vm import VM

IDENTITIES = ("", "moved", "copied")


def configure(vm: VM, values: Mapping[str, str], removed: Sequence[str] = ()) -> None:
    """Set some settings and remove others. A setting in `removed` that ends with a dot stands for all that begin so."""
    for key in [key for key in vm.settings if any(key == one or _below(key, one) for one in removed)]:
        del vm.settings[key]
    as_uuid = (identity.BIOS, identity.VCENTER)
    vm.settings.update({key: identity.as_vmx(value) if key in as_uuid else value for key, value in values.items()})
    vm.write()


def _below(key: str, prefix: str) -> bool:
    return prefix.endswith(".") and key.startswith(prefix)


def identify(vm: VM, action: str) -> None:
    """Carry out the answer to the question whether a VM was moved or copied. Empty: its files are where they were."""
    if action not in IDENTITIES:
        raise Refused("InvalidArgument", f"the identity is {action!r}; it is one of {', '.join(IDENTITIES[1:])}")
    new = identity.copied(vm.settings, vm.path) if action == "copied" else identity.moved(vm.path)
    if any(vm.settings.get(key) != value for key, value in new.items()):
        configure(vm, new)


def add_disk(vm: VM, file: Path, node: str = "", mode: str = "persistent") -> str:
    """Add an existing disk. Return its node. A VM that is powered on opens it at once."""
    if file in vm.disks.values():
        raise Refused("InvalidDeviceSpec", f"{file} is a disk of this VM already")
    descriptors.chain(file)  # is it complete?
    node = node or hardware.free_node(vm.settings)
    if node in vm.disks:
        raise Refused("InvalidDeviceSpec", f"{vm.path} has a disk at {node} already")
    if vm.guest:
        vm.open(node, file)
    named = volumes.named(file, vm.folder)
    values = {"present": "TRUE", "deviceType": "scsi-hardDisk", "fileName": named, "mode": mode.replace("_", "-")}
    configure(vm, {f"{node.split(':')[0]}.present": "TRUE", **{f"{node}.{key}": one for key, one in values.items()}})
    return node


def remove_disk(vm: VM, node: str, destroy: bool = False) -> None:
    """Remove a disk. With `destroy`, delete its files too, with all that it is a delta of."""
    if node not in vm.disks:
        raise Refused("InvalidDeviceSpec", f"{vm.path} has no disk at {node}")
    file = vm.disks[node]
    if vm.guest and node == next(iter(vm.stacks)):
        raise Refused("GenericVmConfigFault", f"the guest runs from the disk at {node}")
    if node in vm.stacks:
        vm.close(node)
    configure(vm, {}, [f"{node}."])
    if destroy:
        for one in descriptors.chain(file):
            one.delete()
