# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the ESXi hosts of a cluster, a datacenter or a list of names, and checks whether each is reachable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

from ..addresses import address, host_name
from ..errors import InputError
from ..text import printable
from . import inventory, sdk
from .session import Session, understands

_PURPOSE = "list the ESXi hosts"
_SHOWN = 20  # maximum number of names in a message


@dataclass(frozen=True)
class Scope:
    """Selects hosts. An empty scope is valid only if the server is an ESXi host, and then selects that host."""

    cluster: str | None = None
    datacenter: str | None = None  # all its hosts; with cluster or hosts, only the datacenter in which to find them
    hosts: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Host:
    """An ESXi host. `datastore_system` is the managed object ID of its HostDatastoreSystem, which mounts datastores."""

    moid: str
    name: str
    cluster: str  # "" for a standalone host
    datacenter: str
    datacenter_moid: str
    connection: str  # connected, disconnected, notResponding
    maintenance: bool
    datastore_system: str

    @property
    def unreachable(self) -> str:
        """The reason why the host cannot be used, or "". A host in maintenance mode can mount datastores."""
        if self.connection == "connected":
            return ""
        return "does not respond to vCenter" if self.connection == "notResponding" else "is disconnected from vCenter"


def hosts_in_scope(session: Session, scope: Scope) -> list[Host]:
    """Return the hosts in `scope`, sorted by name. All are in one datacenter; see `select` for the errors."""
    return select(_list_hosts(session), scope, is_esxi(session), str(session.endpoint))


def find_host(session: Session, moid: str) -> Host | None:
    """Return the host with this managed object ID, or None."""
    return next((host for host in _list_hosts(session) if host.moid == moid), None)


def is_esxi(session: Session) -> bool:
    """Return whether the server is an ESXi host and not a vCenter (API AboutInfo.apiType)."""
    return str(session.content.about.apiType) == "HostAgent"


@understands
def managed_by(session: Session) -> str:
    """Return the address of the vCenter that manages this ESXi host (API HostListSummary.managementServerIp).

    Returns "" for a standalone host and for a vCenter.
    """
    if not is_esxi(session):
        return ""
    path = "summary.managementServerIp"
    found = inventory.read_all(session, sdk.vim.HostSystem, [path], "find out whether a vCenter manages this host")
    return next((str(properties[path]) for properties in found.values() if properties.get(path)), "")


def select(hosts: Sequence[Host], scope: Scope, esxi: bool, server: str) -> list[Host]:
    """Return the hosts in `hosts` that `scope` selects.

    Raises InputError for names that `server` does not have, and for hosts in several datacenters, because a datastore
    name in another datacenter is another datastore.
    """
    found = [host for host in hosts if scope.datacenter in (None, host.datacenter)]
    if scope.datacenter is not None and not found:
        _refuse("datacenter", scope.datacenter, server, {host.datacenter for host in hosts})
    if scope.cluster is not None:
        found = [host for host in found if host.cluster == scope.cluster]
        if not found:
            _refuse("cluster", scope.cluster, server, {host.cluster for host in hosts if host.cluster})
    elif scope.hosts is not None:
        if not scope.hosts:
            raise InputError("The list of hosts is empty", "List at least one host")
        wanted = {comparable(name): name for name in scope.hosts}
        found = [host for host in found if comparable(host.name) in wanted]
        for key in sorted(wanted.keys() - {comparable(host.name) for host in found}):
            _refuse("host", wanted[key], server, {host.name for host in hosts})
    elif scope.datacenter is None and not esxi:
        raise InputError(f"{server} is a vCenter, but no hosts were selected", "Set cluster, datacenter or hosts")
    datacenters = sorted({(host.datacenter, host.datacenter_moid) for host in found})
    if len(datacenters) > 1:
        names = " and ".join(f"'{printable(name, 80)}'" for name, _unused in datacenters)
        raise InputError(
            f"The selected hosts are in several datacenters ({names}), but a datastore belongs to one datacenter",
            "Set datacenter",
        )
    return sorted(found, key=lambda host: (host.name, host.moid))


def comparable(name: str) -> str:
    """Normalise a server's name or address for comparison: the case of a name, the notation of an address."""
    found = address(name)
    return host_name(name) if found is None else str(found)


def _refuse(kind: str, name: str, server: str, known: set[str]) -> None:
    listed = [f"'{printable(one, 80)}'" for one in sorted(known)]
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    raise InputError(
        f"{server} has no {kind} '{printable(name, 80)}' with hosts in the selected scope",
        f"It has {', '.join(listed[:_SHOWN])}{more}" if listed else f"It has no {kind}",
    )


@understands
def _list_hosts(session: Session) -> list[Host]:
    """List all hosts of the server in a fixed number of calls. Parents are followed to find cluster and datacenter."""
    vim = sdk.vim
    folders = inventory.read_all(session, vim.Folder, ["parent"], _PURPOSE)
    datacenters = inventory.read_all(session, vim.Datacenter, ["name", "parent"], _PURPOSE)
    resources = inventory.read_all(session, vim.ComputeResource, ["name", "parent"], _PURPOSE)
    clusters = inventory.read_all(session, vim.ClusterComputeResource, ["name"], _PURPOSE)
    paths = ["name", "parent", "runtime.connectionState", "runtime.inMaintenanceMode", "configManager.datastoreSystem"]
    found = inventory.read_all(session, vim.HostSystem, paths, _PURPOSE)
    parents = {
        moid: properties["parent"]._moId
        for moid, properties in [*folders.items(), *datacenters.items(), *resources.items(), *found.items()]
        if properties.get("parent") is not None
    }
    hosts = []
    for moid, properties in found.items():
        home = _above(moid, parents, datacenters)
        cluster = _above(moid, parents, clusters)
        hosts.append(
            Host(
                moid=moid,
                name=inventory.unescape(properties.get("name", "")),
                cluster=inventory.unescape(clusters[cluster].get("name", "")) if cluster else "",
                datacenter=inventory.unescape(datacenters[home].get("name", "")) if home else "",
                datacenter_moid=home,
                connection=str(properties.get("runtime.connectionState", "connected")),
                maintenance=bool(properties.get("runtime.inMaintenanceMode", False)),
                datastore_system=getattr(properties.get("configManager.datastoreSystem"), "_moId", ""),
            )
        )
    return hosts


def _above(moid: str, parents: Mapping[str, str], wanted: Mapping[str, object]) -> str:
    """Return the nearest ancestor of an object that is in `wanted`, or "". Also ends if the parents form a circle."""
    for _unused in range(len(parents) + 1):
        if not moid or moid in wanted:
            return moid
        moid = parents.get(moid, "")
    return ""
