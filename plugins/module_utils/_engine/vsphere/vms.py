# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the VMs on datastores: disks, power state, VMware Tools, and conditions that prevent a snapshot."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Iterable, Iterator, Sequence

from ..text import printable
from . import inventory, sdk
from .session import Session, understands

MAX_CHAIN = 32  # maximum number of snapshots in a chain (Broadcom KB 1025279)

# Guest IDs of Windows Server releases (API VirtualMachineGuestOsIdentifier): windows2019srv_64Guest,
# windows9Server64Guest; 2008 is winLonghorn, 2003 winNet.
_WINDOWS_SERVER = re.compile(r"srv|Server|^winLonghorn|^winNet")

# A key in the extraConfig of vSphere's own VMs for its Cluster Services, vCLS (Broadcom KB 370219).
_AGENT = "HDCS.agent"

_DATASTORE = re.compile(r"\[(.*?)\] ?(?=[^\]]*$)")

PATHS = (
    "name",
    "config.instanceUuid",
    "config.template",
    "config.guestId",
    "config.files.vmPathName",
    "config.files.snapshotDirectory",
    "config.hardware.device",
    "guest.guestFamily",
    "guest.toolsRunningStatus",
    "guest.toolsVersionStatus2",
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.consolidationNeeded",
    "runtime.host",
    "capability.snapshotOperationsSupported",
    "snapshot.rootSnapshotList",
    "datastore",
)


@dataclass(frozen=True)
class Disk:
    """A virtual disk. `key` is its device key, which stays the same when the disk is moved and identifies the disk.

    `files` is its chain of files: (managed object ID of the datastore, path on it). The file in use comes first, then
    its parents.
    """

    label: str
    files: tuple[tuple[str, str], ...]
    independent: bool
    key: int = 0


@dataclass(frozen=True)
class Vm:
    """The properties of a virtual machine at one point in time."""

    moid: str
    name: str
    instance_uuid: str
    vmx_path: str
    host_moid: str  # of its ESXi host, "" if unknown
    power: str  # poweredOn, poweredOff, suspended
    template: bool
    connected: bool
    readable: bool  # False: properties could not be read, so disks and obstacles are not known
    guest: str  # windows server, windows, linux, other; determines which level a quiesced snapshot can reach
    tools: str  # running, not running, not installed
    disks: tuple[Disk, ...]
    consolidation_needed: bool
    obstacles: tuple[str, ...]  # reasons for messages why no snapshot can be taken
    snapshot_directory: str = ""  # "[datastore] folder/" of snapshot files, and by default of delta and swap files
    datastores: frozenset[str] = frozenset()  # managed object IDs of all datastores it uses, including for ISO images
    images: frozenset[str] = frozenset()  # the datastores that hold an image in one of its drives, not a file of the VM
    snapshots: tuple[tuple[str, str], ...] = ()  # names and descriptions of all its VMware snapshots
    connection: str = ""  # vSphere's state if not connected: disconnected, orphaned, inaccessible, invalid
    lacking: str = ""  # the privilege that the account lacks to read it
    agent: bool = False  # one of vSphere's own VMs (vCLS)

    @property
    def shown(self) -> str:
        """The name, or the managed object ID if the name cannot be read."""
        return self.name if self.name or self.readable else self.moid

    @property
    def running(self) -> bool:
        return self.power == "poweredOn" and not self.template

    @property
    def known(self) -> bool:
        """Whether its properties are reliable."""
        return self.connected and self.readable

    @property
    def why_unknown(self) -> str:
        if self.lacking:
            what = f"the account lacks the privilege {self.lacking} on it"
        elif self.connected:
            what = "its configuration cannot be read"
        else:
            what = _DISCONNECTED.get(self.connection, "its host is not connected")
        return f"{what}, so its state is unknown; to exclude it, use {self.moid}"


# API VirtualMachineConnectionState
_DISCONNECTED = {
    "inaccessible": "its host cannot access its files (inaccessible)",
    "invalid": "its configuration is invalid",
    "orphaned": "it no longer exists on its host (orphaned)",
}


@understands
def list_vms(session: Session, datastores: Sequence[str]) -> list[Vm]:
    """List all VMs with a file on the datastores (managed object IDs), in one bulk read."""
    sources = inventory.objects_of(session, sdk.vim.Datastore, datastores)
    found = inventory.read_referenced(
        session, sources, "vm", sdk.vim.VirtualMachine, PATHS, "list the VMs of the datastores", patient=True
    )
    own = agents(session, list(found))
    return in_order(replace(vm_of(moid, properties), agent=moid in own) for moid, properties in found.items())


@understands
def agents(session: Session, vms: Sequence[str]) -> frozenset[str]:
    """Return the VMs (managed object IDs) in which vSphere runs its Cluster Services (vCLS).

    They are recognised by their configuration, because any user can give a VM such a name.
    """
    machines = inventory.objects_of(session, sdk.vim.VirtualMachine, vms)
    found = inventory.read(session, machines, ["config.extraConfig"], "find vSphere's own VMs", patient=True)
    return frozenset(
        moid
        for moid, properties in found.items()
        if any(option.key == _AGENT for option in properties.get("config.extraConfig", ()))
    )


def in_order(vms: Iterable[Vm]) -> list[Vm]:
    """Sort VMs by name."""
    return sorted(vms, key=lambda vm: (vm.shown, vm.moid))


def vm_of(moid: str, properties: inventory.Properties) -> Vm:
    """Return the VM with these properties (all of PATHS, or some). Others do not count."""
    devices = properties.get("config.hardware.device", ())
    power = str(properties.get("runtime.powerState", "poweredOn"))  # assume the worse case if not readable
    connection = str(properties.get("runtime.connectionState", "connected"))
    unread = {path: lacking for path, lacking in properties.get(inventory.UNREAD, {}).items() if path in PATHS}
    return Vm(
        moid=moid,
        name=inventory.unescape(properties.get("name", "")),
        instance_uuid=properties.get("config.instanceUuid", ""),
        vmx_path=properties.get("config.files.vmPathName", ""),
        host_moid=getattr(properties.get("runtime.host"), "_moId", ""),
        power=power,
        template=bool(properties.get("config.template", False)),
        connected=connection == "connected",
        readable="config.hardware.device" in properties and not unread,
        guest=_guest(properties),
        tools=tools_of(properties),
        disks=disks_of(devices),
        consolidation_needed=bool(properties.get("runtime.consolidationNeeded", False)),
        obstacles=tuple(_obstacles(properties, devices)),
        snapshot_directory=properties.get("config.files.snapshotDirectory") or "",
        datastores=frozenset(item._moId for item in properties.get("datastore", ())),
        images=frozenset(_images(devices)),
        snapshots=tuple(_snapshots(properties.get("snapshot.rootSnapshotList", ()))),
        connection="" if connection == "connected" else connection,
        lacking=next(filter(None, unread.values()), ""),
    )


def _guest(properties: inventory.Properties) -> str:
    """Return the kind of guest. VMware Tools report the family. Without it, the guest ID can identify Windows."""
    family = str(properties.get("guest.guestFamily") or "")
    guest_id = str(properties.get("config.guestId") or "")
    if family == "windowsGuest" or (not family and guest_id.startswith("win")):
        return "windows server" if _WINDOWS_SERVER.search(guest_id) else "windows"
    return "linux" if family == "linuxGuest" else "other"


def tools_of(properties: inventory.Properties) -> str:
    """Return whether VMware Tools run in a VM: running, not running, not installed."""
    if properties.get("guest.toolsVersionStatus2") == "guestToolsNotInstalled":
        return "not installed"
    return "running" if properties.get("guest.toolsRunningStatus") == "guestToolsRunning" else "not running"


def disks_of(devices: Iterable[Any]) -> tuple[Disk, ...]:
    """Return the virtual disks among a VM's devices (config.hardware.device)."""
    return tuple(_disk(device) for device in devices if isinstance(device, sdk.vim.vm.device.VirtualDisk))


def _images(devices: Iterable[Any]) -> Iterable[str]:
    """Yield the datastores that hold an image in a drive or a file of a port."""
    for device in devices:
        datastore = getattr(device.backing, "datastore", None)
        if datastore is not None and not isinstance(device, sdk.vim.vm.device.VirtualDisk):
            yield datastore._moId


def _disk(device: Any) -> Disk:
    chain = [(datastore_moid_of(one), getattr(one, "fileName", None)) for one in chain_of(device.backing)]
    files = tuple((datastore, path_of(name)) for datastore, name in chain if name)
    return Disk(label_of(device), files, _is_independent(device.backing), int(device.key))


def chain_of(backing: Any) -> Iterator[Any]:
    """Yield a backing and its parents: the file in use comes first."""
    while backing is not None:
        yield backing
        backing = getattr(backing, "parent", None)


def datastore_moid_of(backing: Any) -> str:
    """Return the datastore (managed object ID) of the file of a backing, or ""."""
    return getattr(getattr(backing, "datastore", None), "_moId", "")


def _is_independent(backing: Any) -> bool:
    return (getattr(backing, "diskMode", None) or "").startswith("independent")


def label_of(device: Any) -> str:
    """Return the name of a device in messages."""
    return printable(getattr(device.deviceInfo, "label", None) or f"device {device.key}", 80)


def datastore_of(file_name: str) -> str:
    """Return the datastore's name in "[datastore] folder/file", or "". The name itself may contain brackets."""
    match = _DATASTORE.match(file_name)
    return inventory.unescape(match.group(1)) if match else ""


def path_of(file_name: str) -> str:
    """Return the path on the datastore in "[datastore] folder/file"."""
    match = _DATASTORE.match(file_name)
    return file_name[match.end() :] if match else file_name


def _obstacles(properties: inventory.Properties, devices: Iterable[Any]) -> Iterable[str]:
    """Yield the conditions that make vSphere refuse a snapshot (API CreateSnapshot_Task; Broadcom KB 1025279).

    vSphere decides where that depends on the host: a running VM with a vGPU (API HostSharedGpuCapabilities), with fault
    tolerance (disk-only snapshots of a VM on a newer host), or with a shared disk that snapshots do not include.
    """
    device_types = sdk.vim.vm.device
    for device in devices:
        if isinstance(device, device_types.VirtualPCIPassthrough):
            if isinstance(device.backing, device_types.VirtualPCIPassthrough.VmiopBackingInfo):
                continue
            yield f"it has a PCI passthrough device ({label_of(device)})"
        elif isinstance(device, device_types.VirtualSCSIController) and device.sharedBus != "noSharing":
            yield f"its controller {label_of(device)} shares its SCSI bus"
        elif isinstance(device, device_types.VirtualDisk):
            backing = device.backing
            if getattr(backing, "compatibilityMode", None) == "physicalMode":
                yield f"its disk {label_of(device)} is a raw device mapping in physical mode"
            elif getattr(backing, "sharing", None) == "sharingMultiWriter" and not _is_independent(backing):
                yield f"its disk {label_of(device)} is shared by several writers"
    if properties.get("capability.snapshotOperationsSupported") is False:
        yield "its host does not support snapshots of this VM"
    depth = chain_depth(properties.get("snapshot.rootSnapshotList", ()))
    if depth >= MAX_CHAIN:
        yield f"its snapshot chain is {depth} long; the maximum is {MAX_CHAIN}"


def _snapshots(trees: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for tree in trees:
        yield inventory.unescape(tree.name or ""), tree.description or ""
        yield from _snapshots(tree.childSnapshotList or ())


def chain_depth(trees: Iterable[Any]) -> int:
    """Return the length of the longest chain in a list of snapshot trees."""
    return max((1 + chain_depth(tree.childSnapshotList or ()) for tree in trees), default=0)
