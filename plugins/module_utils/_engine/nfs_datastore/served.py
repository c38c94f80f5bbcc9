# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find out whether VMs are registered on datastores of a share, with the stored credentials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Collection, Sequence

from ..addresses import address
from ..door.host import StorageHost
from ..errors import DatastoreInUse, LoginRefused, QuiesceError, VSphereError
from ..matching.match import NFS_TYPES, objection, uncertainty
from ..paths import ancestors, clean_path
from ..secret import Secret
from ..state.credentials import Credential, by_account, endpoint_of
from ..storage_host.view import StorageHostView, observe
from ..text import printable
from ..vsphere.datastores import Datastore, list_datastores
from ..vsphere.nas_mounts import read_vms
from ..vsphere.session import Connect, Session
from ..zfs.names import is_within
from .plan import carries


@dataclass(frozen=True)
class Served:
    """A share with its path and its dataset, "" if not known. `exported` are the paths of all exports, because the
    nearest export above a path serves it. `aliases` are additional names and addresses of this storage host.
    """

    path: str
    dataset: str = ""
    exported: Collection[str] = ()
    aliases: Sequence[str] = ()


def refuse_in_use(
    storage_host: StorageHost,
    share: Served,
    credentials: Sequence[Credential],
    password: Callable[[Credential], Secret],
    connect: Connect,
) -> None:
    """Raise DatastoreInUse if VMs or templates are registered on a datastore that the share serves.

    Raises VSphereError if a server with a credential for the share's dataset cannot be queried, because withdrawing the
    share could stop VMs. The detail `login_refused` is true if only logins failed. A server that has only credentials
    for other datasets is ignored if it cannot be queried.
    """
    unknown: list[QuiesceError] = []
    for group in by_account(credentials):
        try:
            first = group[0]
            with connect(endpoint_of(first), first.username, password(first)) as session:
                _ask(storage_host, share, group, session)
        except DatastoreInUse:
            raise
        except QuiesceError as error:
            if any(_concerns(credential, share.dataset) for credential in group):
                unknown.append(error)
    if unknown:
        raise VSphereError(
            f"It is not known whether VMs are registered on a datastore of {share.path}: {unknown[0].problem}",
            "Nothing was changed; make the server available, remove its credential if the server no longer exists, or"
            " set force",
            login_refused=all(isinstance(error, LoginRefused) for error in unknown),
        ) from unknown[0]


def _ask(storage_host: StorageHost, share: Served, group: Sequence[Credential], session: Session) -> None:
    """Query one server with the session of one account. Raises DatastoreInUse, and QuiesceError without a response."""
    datastores = [one for one in list_datastores(session) if one.type in NFS_TYPES]
    servers = {server for one in datastores for server in one.remote_hosts if address(server) is None}
    view = observe(storage_host, share.aliases, servers, {one.remote_path for one in datastores})
    named = {name for one in group if _concerns(one, share.dataset) for name in one.datastores}
    served = {one.moid: one for one in datastores if is_served(one, share, view, one.name in named)}
    for moid, vms in (read_vms(session, served) if served else {}).items():
        if vms:
            raise DatastoreInUse(
                f"The datastore '{printable(served[moid].name, 80)}' of {session.endpoint} {carries(vms, {})},"
                f" so its share {share.path} was not withdrawn or restricted",
                "Move or unregister the VMs and unmount the datastore first, or set force if their ESXi hosts do"
                " not lose access",
                vms=[{"name": vm.name, "server": str(session.endpoint), "template": vm.template} for vm in vms],
            )


def is_served(datastore: Datastore, share: Served, view: StorageHostView, named: bool = False) -> bool:
    """Return whether a datastore is, or may be, mounted from the share. `named`: a credential names it."""
    here = named or any(not objection(server, view) or uncertainty(server, view) for server in datastore.remote_hosts)
    exported = clean_path(datastore.remote_path)
    roots = view.pseudo_roots if datastore.type == "NFS41" else ()
    paths = {exported, *(clean_path(root + exported) for root in roots)}
    paths |= {view.real_paths[path] for path in paths if path in view.real_paths}
    return here and any(_nearest(path, {share.path, *share.exported}) == share.path for path in paths)


def _nearest(path: str, exported: Collection[str]) -> str:
    """Return the export that a path is mounted from, or "" if there is none."""
    return next((step for step in ancestors(path) if step in exported), "")


def _concerns(credential: Credential, dataset: str) -> bool:
    """Return whether a credential covers a dataset. If the dataset is not known, every credential may cover it."""
    filesystem = credential.filesystem
    return not dataset or is_within(dataset, filesystem) or is_within(filesystem, dataset)
