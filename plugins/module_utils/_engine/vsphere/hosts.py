# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ESXi hosts: which ones a cluster, a datacenter or a list of names stands for, and whether each can be worked on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

from ..errors import InputError
from ..storage_host.view import address, host_name
from ..text import printable
from . import inventory, sdk
from .session import Session, understands

_PURPOSE = "list the ESXi hosts"
_SHOWN = 20  # names in a message


@dataclass(frozen=True)
class Scope:
    """Which hosts are meant. None of it given: the one host of a server that is an ESXi host itself."""

    cluster: str | None = None
    datacenter: str | None = None  # alone all of its hosts, otherwise it tells clusters or hosts of the same name apart
    hosts: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Host:
    """An ESXi host. `datastore_system` is the managed object ID of what mounts datastores on it."""

    moid: str
    name: str
    cluster: str  # "" for a host of its own
    datacenter: str
    datacenter_moid: str
    connection: str  # connected, disconnected, notResponding
    maintenance: bool
    datastore_system: str

    @property
    def unreachable(self) -> str:
        """Why nothing can be done on it, or "". Maintenance mode is no obstacle: datastores are mounted before use."""
        if self.connection == "connected":
            return ""
        return "does not respond to vCenter" if self.connection == "notResponding" else "is disconnected from vCenter"


def hosts_in_scope(session: Session, scope: Scope) -> list[Host]:
    """The hosts that are meant, sorted by name, all of one datacenter; see `select` for the errors."""
    return select(_list_hosts(session), scope, is_esxi(session), str(session.endpoint))


def is_esxi(session: Session) -> bool:
    """Whether the server is an ESXi host and not a vCenter (API AboutInfo.apiType)."""
    return str(session.content.about.apiType) == "HostAgent"


@understands
def managed_by(session: Session) -> str:
    """The address of the vCenter that manages the ESXi host that the session is with (API
    HostListSummary.managementServerIp); "" for a host of its own, and for a vCenter.
    """
    if not is_esxi(session):
        return ""
    path = "summary.managementServerIp"
    found = inventory.read_all(session, sdk.vim.HostSystem, [path], "tell whether a vCenter manages this host")
    return next((str(properties[path]) for properties in found.values() if properties.get(path)), "")


def select(hosts: Sequence[Host], scope: Scope, esxi: bool, server: str) -> list[Host]:
    """The hosts of `hosts` that are meant.

    Raises InputError for names that `server` does not know or has twice, and for hosts of several datacenters: the same
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
            raise InputError("The list of hosts is empty", "Name the hosts that are meant")
        wanted = {comparable(name): name for name in scope.hosts}
        found = [host for host in found if comparable(host.name) in wanted]
        for key in sorted(wanted.keys() - {comparable(host.name) for host in found}):
            _refuse("host", wanted[key], server, {host.name for host in hosts})
    elif scope.datacenter is None and not esxi:
        raise InputError(
            f"{server} is a vCenter, and it is not said which hosts are meant", "Give cluster, datacenter or hosts"
        )
    datacenters = sorted({(host.datacenter, host.datacenter_moid) for host in found})
    if len(datacenters) > 1:
        names = " and ".join(f"'{printable(name, 80)}'" for name, _unused in datacenters)
        raise InputError(
            f"The hosts that are meant are in several datacenters ({names}), where one name means several datastores",
            "Give one datacenter",
        )
    return sorted(found, key=lambda host: (host.name, host.moid))


def comparable(name: str) -> str:
    """A server's name or address in the form that can be compared: any spelling of an address, any case of a name."""
    found = address(name)
    return host_name(name) if found is None else str(found)


def _refuse(kind: str, name: str, server: str, known: set[str]) -> None:
    listed = [f"'{printable(one, 80)}'" for one in sorted(known)]
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    raise InputError(
        f"{server} has no {kind} '{printable(name, 80)}' with hosts where it was looked for",
        f"It knows {', '.join(listed[:_SHOWN])}{more}" if listed else f"It knows no {kind} at all",
    )


@understands
def _list_hosts(session: Session) -> list[Host]:
    """Every host of the server in a fixed number of calls. The parents lead from each to its cluster and datacenter."""
    vim = sdk.vim
    folders = inventory.read_all(session, vim.Folder, ["parent"], _PURPOSE)
    datacenters = inventory.read_all(session, vim.Datacenter, ["name", "parent"], _PURPOSE)
    resources = inventory.read_all(session, vim.ComputeResource, ["name", "parent"], _PURPOSE)
    clusters = inventory.read_all(session, vim.ClusterComputeResource, ["name"], _PURPOSE)
    paths = [
        "name",
        "parent",
        "runtime.connectionState",
        "runtime.inMaintenanceMode",
        "configManager.datastoreSystem",
    ]
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
    """The first of `wanted` on the way from an object to the root, or "", also where the way goes round in circles."""
    for _unused in range(len(parents) + 1):
        if not moid or moid in wanted:
            return moid
        moid = parents.get(moid, "")
    return ""
