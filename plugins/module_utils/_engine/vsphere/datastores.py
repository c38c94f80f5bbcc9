# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists a server's datastores by managed object ID, because names can change and two datacenters can share one."""

from __future__ import annotations

from dataclasses import dataclass

from . import inventory, sdk
from .session import Session, understands


@dataclass(frozen=True)
class Datastore:
    """A datastore. `remote_hosts` and `remote_path` are what ESXi hosts mount; both are empty unless it is NFS."""

    moid: str
    name: str
    datacenter: str
    type: str  # as in the vSphere API: NFS, NFS41, VMFS, vsan ...
    remote_hosts: tuple[str, ...]
    remote_path: str
    accessible: bool
    vcenter: str
    lacking: str = ""  # the privilege that the account lacks to read it


@understands
def list_datastores(session: Session) -> list[Datastore]:
    """List the server's datastores, sorted by datacenter and name, in a fixed number of calls."""
    purpose = "list the datastores"
    datacenters = inventory.read_all(session, sdk.vim.Datacenter, ["name", "datastore"], purpose)
    home = {
        datastore._moId: inventory.unescape(properties.get("name", ""))
        for properties in datacenters.values()
        for datastore in properties.get("datastore", ())
    }
    found = inventory.read_referenced(
        session,
        inventory.objects_of(session, sdk.vim.Datacenter, datacenters),
        "datastore",
        sdk.vim.Datastore,
        ["name", "summary.type", "summary.accessible", "info"],
        purpose,
        patient=True,
    )
    datastores = [
        _datastore(moid, properties, home.get(moid, ""), str(session.endpoint)) for moid, properties in found.items()
    ]
    return sorted(datastores, key=lambda datastore: (datastore.datacenter, datastore.name, datastore.moid))


def _datastore(moid: str, properties: inventory.Properties, datacenter: str, vcenter: str) -> Datastore:
    nas = getattr(properties.get("info"), "nas", None)
    # API HostNasVolume: remoteHost holds the first server, remoteHostNames all of them (NFS 4.1 only).
    hosts = tuple(
        getattr(nas, "remoteHostNames", None) or ([nas.remoteHost] if nas is not None and nas.remoteHost else [])
    )
    return Datastore(
        moid=moid,
        name=inventory.unescape(properties.get("name", "")) or moid,
        datacenter=datacenter,
        type=str(properties.get("summary.type", "")),
        remote_hosts=hosts,
        remote_path=(nas.remotePath or "") if nas is not None else "",
        accessible=bool(properties.get("summary.accessible", False)),
        vcenter=vcenter,
        lacking=next(filter(None, properties.get(inventory.UNREAD, {}).values()), ""),
    )
