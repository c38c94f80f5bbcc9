# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matches datastores to ZFS datasets and explains every result.

`match` is a pure function of plain data. A datastore matches if one of its servers is this storage host and its path
leads into a mounted dataset: to the mountpoint, to a directory below it, or there by a bind mount or a symbolic link.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Iterable, Sequence

from ..addresses import address, host_name, is_localhost
from ..door.host import StorageHost
from ..grouping import grouped
from ..paths import ancestors, clean_path
from ..storage_host.view import StorageHostView, observe
from ..text import printable
from ..vsphere.datastores import Datastore
from ..vsphere.vms import path_of
from ..zfs.datasets import Dataset
from ..zfs.names import is_path_of_restores
from .resolver import PathResolver, ResolvedPath

NFS_TYPES = ("NFS", "NFS41")  # NFS 3 and NFS 4.1 in the vSphere API


@dataclass(frozen=True)
class Match:
    """The result for one datastore. If `datasets` is empty, it did not match. `reason` explains the result.

    `relation` describes the mounted path: "root" (the dataset's mountpoint), "subdirectory" (a directory below it),
    "bind" (a bind mount), "symlink" (a path through a symbolic link), or "" if the datastore did not match.

    `unresolved` explains what could not be determined and how to fix that; "" if the result is certain. If it is not
    empty, the datastore may be on any of `possible_datasets`, or on any dataset if these are empty. `ambiguous`: the
    datastore is on `datasets`, but it is unknown which folder is on which dataset.
    """

    datastore: Datastore
    reason: str
    relation: str = ""
    path: str = ""  # the mounted directory in the dataset; "" is its root
    folders: tuple[tuple[str, str], ...] = ()  # (folder of the datastore, dataset mounted there); "" is its root
    warnings: tuple[str, ...] = ()
    unresolved: str = ""
    possible_datasets: tuple[str, ...] = ()
    ambiguous: bool = False

    # Cached, because it is used for every disk, and a datastore can have a thousand folders.
    @cached_property
    def datasets(self) -> tuple[str, ...]:
        """The dataset of the datastore, then the datasets mounted in folders below it."""
        return tuple(dict.fromkeys(dataset for _unused, dataset in self.folders))

    @cached_property
    def mounted(self) -> dict[str, str]:
        """The dataset mounted at each folder, by the folder's path from the root "/" of the datastore."""
        return {clean_path(folder): dataset for folder, dataset in self.folders}

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results: JSON types. The relation is None if the datastore did not match."""
        return {
            **{name: getattr(self.datastore, name) for name in ("moid", "name", "datacenter", "type", "accessible")},
            "remote_hosts": list(self.datastore.remote_hosts),
            "remote_path": self.datastore.remote_path,
            "datasets": list(self.datasets),
            "relation": self.relation or None,
            "path": self.path,
            "reason": self.reason,
            "warnings": list(self.warnings),
        }


def match_on(
    host: StorageHost, datastores: Sequence[Datastore], datasets: Iterable[Dataset], aliases: Sequence[str] = ()
) -> list[Match]:
    """Match datastores on the storage host. Raises the errors of `observe`; see also `match`."""
    mounts = [datastore for datastore in datastores if datastore.type in NFS_TYPES]
    names = {name for datastore in mounts for name in datastore.remote_hosts}
    return match(datastores, datasets, observe(host, aliases, names, {datastore.remote_path for datastore in mounts}))


def match(datastores: Iterable[Datastore], datasets: Iterable[Dataset], view: StorageHostView) -> list[Match]:
    """Return one result per datastore, in their order. `datasets` are all on the storage host, or those of interest."""
    resolver = PathResolver(datasets, view)
    return [_verdict(datastore, resolver, view) for datastore in datastores]


def by_dataset(matches: Iterable[Match]) -> dict[str, list[Match]]:
    """Return the matches by dataset, for each dataset that has a datastore."""
    return dict(sorted(grouped((dataset, each) for each in matches for dataset in each.datasets).items()))


def disk_datasets(match: Match, file: str) -> tuple[str, ...]:
    """Return the datasets that may contain a file of a matched datastore ("folder/x.vmdk", with or without
    "[datastore]").

    These are the dataset of the datastore and each dataset mounted at a parent folder of the file, because the export
    determines whether a client sees the mounted dataset or the directory beneath it. For other forms of paths, all
    datasets of the datastore are possible.
    """
    within = path_of(file)
    if match.ambiguous or within.startswith(("/", "ds:")):
        return match.datasets
    on_the_way = reversed(list(ancestors(clean_path(within))))
    return tuple(dict.fromkeys(match.mounted[step] for step in on_the_way if step in match.mounted))


def _verdict(datastore: Datastore, resolver: PathResolver, view: StorageHostView) -> Match:
    if datastore.lacking:
        problem = f"the account lacks the privilege {datastore.lacking} on it"
        return Match(datastore, problem, unresolved=f"{problem}: grant it")
    if datastore.type not in NFS_TYPES:
        return Match(datastore, f"it is not an NFS datastore; its type is {printable(datastore.type) or 'unknown'}")
    if not datastore.remote_hosts or not datastore.remote_path:
        return Match(datastore, "vSphere does not show which server and path it mounts")
    objections = [text for host in datastore.remote_hosts if (text := objection(host, view))]
    found = _served_paths(datastore, resolver, view)
    late = next((_too_late(path) for path in found if path.late), "")
    if len(objections) == len(datastore.remote_hosts):
        uncertain = next((text for host in datastore.remote_hosts if (text := uncertainty(host, view))), "")
        possible_datasets = tuple(dict.fromkeys(name for path in found for name in resolver.possible(path)))
        # If the path does not exist on this host, this host does not serve the datastore, even if the name is unclear.
        unresolved = uncertain if possible_datasets or late else ""
        return Match(
            datastore,
            "; ".join(objections),
            unresolved=unresolved,
            possible_datasets=possible_datasets if unresolved and not late else (),
        )
    path = next((path for path in found if path.dataset), found[0])
    if not path.dataset:
        return Match(datastore, _why_no_dataset(path, resolver), unresolved=late)
    warnings = [f"it has several servers, and {text}" for text in objections]
    unmounted = resolver.unmounted(path)
    if unmounted:
        warnings.append(
            f"the dataset {unmounted} is not mounted, so the files are on {path.dataset}: "
            f"if this is not intended, mount it with 'zfs mount {unmounted}'"
        )
    if late:
        warnings.append(late)
    relation, reason = _relation(path, resolver)
    return Match(datastore, reason, relation, path.path, resolver.folders(path), tuple(warnings), unresolved=late)


def objection(server: str, view: StorageHostView) -> str:
    """Return why a datastore's server is not this storage host, or "" if it is."""
    shown = printable(server)
    found, name = address(server), host_name(server)
    if name in view.names or found in view.addresses:
        return ""
    if is_localhost(name) or (found is not None and found.is_loopback):
        return f"the server {shown} is the ESXi host itself, not this storage host"
    if found is not None:
        return (
            f"the server {shown} is not an address of this storage host: "
            "add it to aliases if it is one (NAT, virtual address)"
        )
    advice = f"add {shown} to aliases if it is a name of this storage host"
    if name not in view.resolved:
        return f"the server {shown} was not resolved in time: check the name servers of this storage host, or {advice}"
    answers = view.resolved[name]
    if not answers:
        return f"the server {shown} does not resolve on this storage host: {advice}"
    # A name that this machine resolves to loopback is its own name: Debian writes 127.0.1.1 to /etc/hosts.
    if any(answer in view.addresses or answer.is_loopback for answer in answers):
        return ""
    listed = ", ".join(sorted(map(str, answers)))
    return f"the server {shown} resolves to {listed}, not to an address of this storage host: {advice}"


def uncertainty(server: str, view: StorageHostView) -> str:
    """Return why a server that is not known as this storage host may still be it, or "" if it certainly is not."""
    found, name = address(server), host_name(server)
    if is_localhost(name) or (found is not None and found.is_loopback):
        return ""
    if found is None and not view.resolved.get(name):
        problem = objection(server, view)
        return f"{problem}, or add it to DNS if it is another server" if name in view.resolved else problem
    late = ", ".join(map(printable, sorted(view.late_aliases)))
    advice = "check the name servers of this storage host, or add its address to aliases as well"
    return f"the alias {late} was not resolved in time: {advice}" if late else ""


def _too_late(path: ResolvedPath) -> str:
    return (
        f"the location of {printable(path.asked)} could not be determined in time: "
        "check which file system of this storage host does not respond there"
    )


def _served_paths(datastore: Datastore, resolver: PathResolver, view: StorageHostView) -> list[ResolvedPath]:
    """Return the paths that the NFS server may serve as the datastore's path, the most likely first.

    With an fsid=0 export, paths of NFS version 4 are relative to that export (exports(5)), but only for the clients of
    the export. Therefore both interpretations are tried; existing paths come first.
    """
    exported = clean_path(datastore.remote_path)
    roots = view.pseudo_roots if datastore.type == "NFS41" else ()
    found = [resolver.find(path) for path in (*(clean_path(root + exported) for root in roots), exported)]
    return sorted(found, key=lambda path: not path.exists)


def _relation(path: ResolvedPath, resolver: PathResolver) -> tuple[str, str]:
    """Return the relation and a sentence that explains it."""
    asked, real = printable(path.asked), printable(path.real)
    part = f"the directory {printable(path.path)} of {path.dataset}" if path.path else path.dataset
    if path.asked != path.real:
        return "symlink", f"{asked} leads through a symbolic link to {real} on {part}"
    if not resolver.is_home(path.mount):
        return "bind", f"{asked} is on a bind mount of {part}"
    if not path.path:
        return "root", f"{asked} is the mountpoint of {part}"
    return "subdirectory", f"{asked} is {part}"


def _why_no_dataset(path: ResolvedPath, resolver: PathResolver) -> str:
    if is_path_of_restores(path.real):
        return f"{printable(path.asked)} is a clone that belongs to a restore, so runs leave it out"
    none = f"no mounted dataset contains {printable(path.asked)}"
    unmounted = resolver.unmounted(path)
    if unmounted:
        return f"{none}: the dataset {unmounted} is not mounted, mount it with 'zfs mount {unmounted}'"
    mount = path.mount
    if path.late:
        return f"{none}: {_too_late(path)}"
    if not path.exists:
        return f"{none}: the directory does not exist on this storage host"
    if mount is None:
        return none
    if mount.fstype != "zfs":
        return f"{none}: it is on the {mount.fstype} file system mounted at {printable(mount.mountpoint)}"
    if "@" in mount.source:
        return f"{none}: it is in the ZFS snapshot {mount.source}, which cannot change"
    return f"{none}: it is on {mount.source}, which is not one of the given datasets"
