# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads, mounts and unmounts NFS datastores on ESXi hosts.

A datastore belongs to a datacenter, and many hosts can mount it. vCenter identifies an NFS 3 datastore by the exact
text of its server and path (API HostNasVolumeSpec). Therefore a further host must use the same text as the other hosts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Sequence

from . import inventory, sdk
from .hosts import Host
from .session import Session, understands

VERSIONS = {"NFS": "3", "NFS41": "4.1"}  # name in the vSphere API -> NFS version
_TYPES = {version: kind for kind, version in VERSIONS.items()}


@dataclass(frozen=True)
class Export:
    """A mounted NFS export. Only NFS 4.1 can have several `servers`."""

    servers: tuple[str, ...]
    path: str
    version: str  # 3, 4.1

    def __str__(self) -> str:
        return f"{','.join(self.servers)}:{self.path} (NFS {self.version})"


@dataclass(frozen=True)
class Mount:
    """A datastore on one host. `export` is None unless it is NFS."""

    host_moid: str
    access_mode: str  # readWrite, readOnly
    accessible: bool
    export: Export | None


@dataclass(frozen=True)
class MountedDatastore:
    """A datastore with all hosts of its datacenter that mount it, including hosts outside the scope."""

    moid: str
    name: str
    type: str  # as in the vSphere API: NFS, NFS41, VMFS, vsan ...
    accessible: bool
    export: Export | None
    mounts: tuple[Mount, ...]

    def on(self, host_moid: str) -> Mount | None:
        """Return the host's mount of this datastore, or None."""
        return next((mount for mount in self.mounts if mount.host_moid == host_moid), None)


@dataclass(frozen=True)
class RegisteredVm:
    """A VM, or a template, with files on a datastore."""

    name: str
    host_moid: str  # "" if unknown
    template: bool


@understands
def read_datastores(session: Session, hosts: Sequence[Host]) -> list[MountedDatastore]:
    """List the datastores of the hosts' datacenter in a fixed number of calls, with mounts as `hosts` report them."""
    purpose = "read how hosts mount datastores"
    datacenters = inventory.objects_of(session, sdk.vim.Datacenter, sorted({host.datacenter_moid for host in hosts}))
    found = inventory.read_referenced(
        session,
        datacenters,
        "datastore",
        sdk.vim.Datastore,
        ["name", "summary.type", "summary.accessible", "info", "host"],
        purpose,
    )
    systems = inventory.objects_of(session, sdk.vim.HostSystem, [host.moid for host in hosts])
    volumes = inventory.read(session, systems, ["config.fileSystemVolume.mountInfo"], purpose)
    # Each host's own volume, by host and mount path, because the datastore object shows the values of only one host.
    own = {
        (host, info.mountInfo.path): info.volume
        for host, properties in volumes.items()
        for info in properties.get("config.fileSystemVolume.mountInfo", ())
        if isinstance(info.volume, sdk.vim.host.NasVolume)
    }
    datastores = [_datastore(moid, properties, own) for moid, properties in found.items()]
    return sorted(datastores, key=lambda datastore: (datastore.name, datastore.moid))


@understands
def read_vms(session: Session, datastores: Iterable[str]) -> dict[str, list[RegisteredVm]]:
    """List the VMs and templates registered with files on the datastores (managed object IDs), sorted by name."""
    purpose = "list the VMs of the datastores"
    sources = inventory.objects_of(session, sdk.vim.Datastore, sorted(datastores))
    listed = {
        moid: [vm._moId for vm in properties.get("vm", ())]
        for moid, properties in inventory.read(session, sources, ["vm"], purpose).items()
    }
    paths = ["name", "runtime.host", "config.template"]
    known = inventory.read_referenced(session, sources, "vm", sdk.vim.VirtualMachine, paths, purpose)
    vms = {
        moid: RegisteredVm(
            inventory.unescape(properties.get("name", "")) or moid,
            getattr(properties.get("runtime.host"), "_moId", ""),
            bool(properties.get("config.template", False)),
        )
        for moid, properties in known.items()
    }
    # A VM that the account may not read, or that was deleted in the meantime, still counts.
    return {
        moid: sorted((vms.get(vm, RegisteredVm(vm, "", False)) for vm in ids), key=lambda vm: vm.name)
        for moid, ids in listed.items()
    }


def mount(session: Session, host: Host, name: str, export: Export, access_mode: str) -> None:
    """Mount an export on a host. If the NFS server does not respond, the host waits for half a minute."""
    spec = sdk.vim.host.NasVolume.Specification(
        remoteHost=export.servers[0],  # required for NFS 4.1 too, where only remoteHostNames counts
        remotePath=export.path,
        localPath=name,
        accessMode=access_mode,
        type=_TYPES[export.version],
    )
    if export.version == "4.1":
        spec.remoteHostNames = list(export.servers)
        spec.securityType = "AUTH_SYS"
    system = session.managed_object(sdk.vim.host.DatastoreSystem, host.datastore_system)
    session.call(f"mount the datastore on {host.name}", system.CreateNasDatastore, spec=spec, repeatable=False)


def unmount(session: Session, host: Host, datastore: str) -> None:
    """Unmount a datastore (managed object ID) from a host. The host refuses while its own VMs are registered on it."""
    system = session.managed_object(sdk.vim.host.DatastoreSystem, host.datastore_system)
    target = session.managed_object(sdk.vim.Datastore, datastore)
    session.call(f"unmount the datastore from {host.name}", system.RemoveDatastore, datastore=target, repeatable=False)


def _datastore(moid: str, properties: inventory.Properties, own: dict[tuple[str, str], object]) -> MountedDatastore:
    kind = str(properties.get("summary.type", ""))
    shared = _export(kind, getattr(properties.get("info"), "nas", None))
    mounts = []
    for entry in properties.get("host", ()):
        info = entry.mountInfo
        volume = own.get((entry.key._moId, info.path or ""))
        mounts.append(
            Mount(entry.key._moId, str(info.accessMode), info.accessible is not False, _export(kind, volume) or shared)
        )
    return MountedDatastore(
        moid=moid,
        name=inventory.unescape(properties.get("name", "")),
        type=kind,
        accessible=bool(properties.get("summary.accessible", False)),
        export=shared,
        mounts=tuple(mounts),
    )


def _export(kind: str, volume: object) -> Export | None:
    """Return the export of a HostNasVolume. remoteHost is the first server, remoteHostNames are all servers."""
    if kind not in VERSIONS or volume is None:
        return None
    first = getattr(volume, "remoteHost", None)
    servers = tuple(getattr(volume, "remoteHostNames", None) or ([first] if first else ()))
    return Export(servers, getattr(volume, "remotePath", None) or "", VERSIONS[kind])
