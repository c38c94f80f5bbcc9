# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attaches an existing disk to a VM and removes it again. Its file is never deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from ..errors import InputError
from . import inventory, sdk
from .session import Session, understands
from .vms import chain_of

_MOST = {"VirtualSCSIController": 16, "VirtualNVMEController": 15, "VirtualAHCIController": 30}  # disks of a controller
_NEW = -1  # key of a device that is added


@dataclass(frozen=True)
class DiskHolder:
    """A VM with its disks: device key -> the files of the disk ("[datastore] path"), and its identity."""

    name: str
    instance_uuid: str
    disks: dict[int, tuple[str, ...]]
    devices: tuple[Any, ...]

    def key_of(self, file: str) -> int | None:
        """Return the key of the disk that uses this file, or None."""
        return next((key for key, files in self.disks.items() if file in files), None)


@understands
def read_disks(session: Session, vm_moid: str) -> DiskHolder | None:
    """Read the disks of a VM. None: there is no such VM."""
    machine = session.managed_object(sdk.vim.VirtualMachine, vm_moid)
    paths = ["name", "config.instanceUuid", "config.hardware.device"]
    found = inventory.read(session, [machine], paths, "read the disks of a VM").get(vm_moid)
    if found is None:
        return None
    devices = tuple(found["config.hardware.device"])
    disks = {int(one.key): _chain(one.backing) for one in devices if isinstance(one, sdk.vim.vm.device.VirtualDisk)}
    return DiskHolder(inventory.unescape(found.get("name", "")), found.get("config.instanceUuid", ""), disks, devices)


@understands
def start_attach(session: Session, vm_moid: str, holder: DiskHolder, file: str) -> str:
    """Start to attach the disk with this file ("[datastore] folder/disk.vmdk") to a free slot of the VM.

    The disk is independent, so that a VMware snapshot of the VM does not include it and it can be removed at any time.
    Returns the task's managed object ID. Raises InputError if no controller has a free slot.
    """
    controller, unit = _free_slot(holder.devices)
    mode = sdk.vim.vm.device.VirtualDiskOption.DiskMode.independent_persistent
    backing = sdk.vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName=file, diskMode=mode)
    disk = sdk.vim.vm.device.VirtualDisk(key=_NEW, controllerKey=controller, unitNumber=unit, backing=backing)
    return _change(session, vm_moid, "attach a disk to a VM", "add", disk)


@understands
def start_detach(session: Session, vm_moid: str, holder: DiskHolder, key: int) -> str:
    """Start to remove a disk from the VM. Its file stays. Returns the task's managed object ID."""
    disk = next(device for device in holder.devices if device.key == key)
    return _change(session, vm_moid, "remove a disk from a VM", "remove", disk)


def _change(session: Session, vm_moid: str, purpose: str, operation: str, disk: Any) -> str:
    device_spec = sdk.vim.vm.device.VirtualDeviceSpec  # without a fileOperation: the file is neither made nor destroyed
    spec = sdk.vim.vm.ConfigSpec(deviceChange=[device_spec(operation=operation, device=disk)])
    machine = session.managed_object(sdk.vim.VirtualMachine, vm_moid)
    return str(session.call(purpose, machine.ReconfigVM_Task, spec=spec, repeatable=False)._moId)


def _free_slot(devices: Sequence[Any]) -> tuple[int, int]:
    """Return the key of a controller and a free unit on it."""
    taken = {(device.controllerKey, device.unitNumber) for device in devices}
    for device in devices:
        kind = next((kind for kind in _MOST if isinstance(device, getattr(sdk.vim.vm.device, kind))), None)
        if kind is None:
            continue
        own = getattr(device, "scsiCtlrUnitNumber", None)  # a SCSI controller is itself one of the units, mostly 7
        for unit in range(_MOST[kind]):
            if unit != own and (device.key, unit) not in taken:
                return int(device.key), unit
    raise InputError("The VM has no free slot for a disk", "Add a SCSI controller to the VM, or choose another VM")


def _chain(backing: Any) -> tuple[str, ...]:
    return tuple(str(getattr(one, "fileName", None) or "") for one in chain_of(backing))
