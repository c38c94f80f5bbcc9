# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a VM consists of: its files, those of each of its VMware snapshots, and its network cards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable, Iterator

from . import inventory, sdk
from .session import Session, understands
from .vm_snapshots import VmSnapshot, state_of
from .vms import chain_of, datastore_moid_of, label_of

_PATHS = (
    "name",
    "config.template",
    "config.instanceUuid",
    "config.files",
    "config.hardware.device",
    "config.changeTrackingEnabled",
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.consolidationNeeded",
    "runtime.host",
    "snapshot.rootSnapshotList",
)
_OF_SNAPSHOT = ("config.hardware.device",)
_FOLDERS = {
    "folder for snapshots": "snapshotDirectory",
    "folder for suspending": "suspendDirectory",
    "folder for logs": "logDirectory",
}


@dataclass(frozen=True)
class Backing:
    """A file that a VM uses, or a folder in which it creates files: "[datastore] path".

    `label` names the device or the folder. `datastore` is the managed object ID, or "" if the server gives only the
    name. `lun`: the file refers to a LUN (a raw device mapping).
    """

    label: str
    datastore: str
    file: str
    lun: bool = False


@dataclass(frozen=True)
class Configuration:
    """The files of a VM (`snapshot` is ""), or of a VM after a revert to the VMware snapshot with this name.

    `backings` holds each file of each chain, and the folders of the VM in which it creates files. It is None if the
    server does not show the devices.
    """

    snapshot: str
    backings: tuple[Backing, ...] | None


@dataclass(frozen=True)
class Card:
    """A network card. `network` is the key of a distributed port group, or the name of another network.

    `static`: its MAC address is not generated, so a copy of the VM keeps it. `device` is the device as it was read.
    """

    label: str
    connected: bool  # now, or at power-on
    network: str
    static: bool
    device: Any = field(compare=False, repr=False, default=None)


@dataclass(frozen=True)
class VmDevices:
    """A VM with all its files. `connection` is vSphere's state: connected, inaccessible, invalid ..."""

    moid: str
    name: str
    instance_uuid: str
    vmx_path: str
    power: str
    connection: str
    template: bool
    change_tracking: bool
    consolidation_needed: bool
    snapshots: tuple[VmSnapshot, ...]
    configurations: tuple[Configuration, ...]
    cards: tuple[Card, ...]

    def named(self, name: str) -> list[VmSnapshot]:
        return [snapshot for snapshot in self.snapshots if snapshot.name == name]


@understands
def read_devices(session: Session, vm_moid: str) -> VmDevices | None:
    """Read a VM (managed object ID) in one call, or in two calls if it has VMware snapshots. None: there is no such VM.

    Raises PermissionDenied if the account may not read all of it.
    """
    purpose = "read the devices of a VM"
    machine = session.managed_object(sdk.vim.VirtualMachine, vm_moid)
    found = inventory.read(session, [machine], _PATHS, purpose).get(vm_moid)
    if found is None:
        return None
    state = state_of(found)
    nodes = inventory.objects_of(session, sdk.vim.vm.Snapshot, (snapshot.moid for snapshot in state.snapshots))
    of_snapshots = inventory.read(session, nodes, _OF_SNAPSHOT, purpose)
    files = found.get("config.files")
    return VmDevices(
        moid=vm_moid,
        name=inventory.unescape(found.get("name", "")),
        instance_uuid=state.instance_uuid,
        vmx_path=getattr(files, "vmPathName", None) or "",
        power=state.power,
        connection=str(found.get("runtime.connectionState", "connected")),
        template=bool(found.get("config.template", False)),
        change_tracking=bool(found.get("config.changeTrackingEnabled", False)),
        consolidation_needed=state.consolidation_needed,
        snapshots=state.snapshots,
        configurations=(
            _configuration("", found),
            *(_configuration(one.name, of_snapshots.get(one.moid, {})) for one in state.snapshots),
        ),
        cards=tuple(_cards(found.get("config.hardware.device", ()))),
    )


def _configuration(snapshot: str, properties: inventory.Properties) -> Configuration:
    devices = properties.get("config.hardware.device")
    if devices is None:
        return Configuration(snapshot, None)
    backings = [backing for device in devices for backing in _backings(device)]
    return Configuration(snapshot, (*backings, *_folders(properties.get("config.files"))))


def _folders(files: Any) -> Iterator[Backing]:
    path = getattr(files, "vmPathName", None)
    if path:
        yield Backing("configuration file", "", path)
    for label, attribute in _FOLDERS.items():
        folder = getattr(files, attribute, None)
        if folder:
            yield Backing(label, "", folder)


def _backings(device: Any) -> Iterator[Backing]:
    """Yield the chain of files of a device. Images in drives do not count: the VM does not write to them."""
    kinds = sdk.vim.vm.device
    backing = device.backing
    is_file = isinstance(device, kinds.VirtualDisk) or isinstance(backing, kinds.VirtualDevice.FileBackingInfo)
    if not is_file or isinstance(device, (kinds.VirtualCdrom, kinds.VirtualFloppy)):
        return
    for one in chain_of(backing) if backing is not None else (None,):  # a file that is not shown is not proven
        yield Backing(
            label=label_of(device),
            datastore=datastore_moid_of(one),
            file=getattr(one, "fileName", None) or "",
            lun=isinstance(one, kinds.VirtualDisk.RawDiskMappingVer1BackingInfo),
        )


def _cards(devices: Iterable[Any]) -> Iterator[Card]:
    for device in devices:
        if isinstance(device, sdk.vim.vm.device.VirtualEthernetCard):
            connection = device.connectable
            yield Card(
                label=label_of(device),
                connected=connection is not None and bool(connection.connected or connection.startConnected),
                network=_network_of(device.backing),
                static=str(device.addressType or "").lower() == "manual",
                device=device,
            )


def _network_of(backing: Any) -> str:
    port = getattr(backing, "port", None)
    return getattr(port, "portgroupKey", None) or getattr(backing, "deviceName", None) or ""
