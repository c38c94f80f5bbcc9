# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the ESXi hosts that can take a restored VM: state, memory, datastores, and free slots for NFS datastores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Mapping

from ..errors import PermissionDenied, VSphereFault
from . import inventory, sdk
from .hosts import Host
from .nas_mounts import VERSIONS
from .session import Session, understands

_LIMITS = {"3": "NFS.MaxVolumes", "4.1": "NFS41.MaxVolumes"}  # advanced setting by NFS version
_UNKNOWN_SETTING = frozenset({"InvalidName", "NotSupported", "MethodNotFound"})
_PURPOSE = "read what a host can take"


@dataclass(frozen=True)
class Capacity:
    """What a host has. Memory is in MB, None if unknown. `slots` is the number of NFS datastores that it can still
    mount, None if unknown. `datastores` are the managed object IDs of those that it mounts.
    """

    host: Host
    pool_moid: str
    memory_free: int | None
    slots: int | None
    datastores: frozenset[str]

    def obstacle(self, memory: int = 0, mounts: int = 0) -> str:
        """Return why the host cannot take a VM with so much memory, or so many more NFS datastores. "" if it can."""
        if self.host.unreachable:
            return self.host.unreachable
        if self.host.maintenance:
            return "is in maintenance mode"
        if self.slots is not None and self.slots < mounts:
            return f"can mount only {self.slots} more NFS datastores (advanced setting NFS.MaxVolumes), not {mounts}"
        if self.memory_free is not None and self.memory_free < memory:
            return f"has {self.memory_free} MB of free memory, but the VM needs {memory} MB"
        return ""


@understands
def read_capacity(session: Session, hosts: list[Host], nfs_version: str = "3", slots: bool = True) -> list[Capacity]:
    """Return the capacity of hosts, in their order. Needs three reads for all, and with `slots` a request for each."""
    objects = inventory.objects_of(session, sdk.vim.HostSystem, (host.moid for host in hosts))
    paths = ["parent", "summary.hardware.memorySize", "summary.quickStats.overallMemoryUsage", "datastore",
             "configManager.advancedOption"]  # fmt: skip
    found = inventory.read(session, objects, paths, _PURPOSE)
    stores = inventory.read_referenced(session, objects, "datastore", sdk.vim.Datastore, ["summary.type"], _PURPOSE)
    nfs = {moid for moid, store in stores.items() if VERSIONS.get(str(store.get("summary.type"))) == nfs_version}
    pools = _pools(session, found.values())
    setting = _LIMITS[nfs_version] if slots else ""
    return [_capacity(session, host, found.get(host.moid, {}), nfs, pools, setting) for host in hosts]


def mounting(capacities: list[Capacity], datastore_moid: str) -> list[Capacity]:
    """Return the hosts that mount a datastore."""
    return [capacity for capacity in capacities if datastore_moid in capacity.datastores]


def _capacity(
    session: Session,
    host: Host,
    properties: inventory.Properties,
    nfs: set[str],
    pools: Mapping[str, str],
    setting: str,
) -> Capacity:
    """Return the capacity of one host. `setting` is the one that limits its NFS datastores, or "" to leave them out."""
    mounted = frozenset(store._moId for store in properties.get("datastore", ()))
    limit = _setting(session, properties, setting) if setting and not host.unreachable else None
    size, used = properties.get("summary.hardware.memorySize"), properties.get("summary.quickStats.overallMemoryUsage")
    return Capacity(
        host=host,
        pool_moid=pools.get(getattr(properties.get("parent"), "_moId", ""), ""),
        memory_free=None if size is None or used is None else max(0, int(size) // 2**20 - int(used)),
        slots=None if limit is None else max(0, limit - len(mounted & nfs)),
        datastores=mounted,
    )


def _pools(session: Session, hosts: Iterable[inventory.Properties]) -> dict[str, str]:
    """Return the root resource pool of each cluster and single host, by managed object ID."""
    parents = {host["parent"]._moId: host["parent"] for host in hosts if host.get("parent") is not None}
    kind = sdk.vim.ComputeResource
    found = inventory.read(session, list(parents.values()), ["resourcePool"], _PURPOSE, kind=kind)
    return {moid: str(getattr(properties.get("resourcePool"), "_moId", "")) for moid, properties in found.items()}


def _setting(session: Session, properties: inventory.Properties, name: str) -> int | None:
    """Return an advanced setting of a host, or None if it cannot be read."""
    options = properties.get("configManager.advancedOption")
    if options is None:
        return None
    manager = session.managed_object(sdk.vim.option.OptionManager, options._moId)
    try:
        found = session.call("read an advanced setting of a host", manager.QueryOptions, name=name)
    except PermissionDenied:
        return None
    except VSphereFault as fault:
        if fault.kind in _UNKNOWN_SETTING:
            return None
        raise
    return next((int(option.value) for option in found or () if option.key == name), None)
