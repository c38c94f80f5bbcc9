# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which datastore lies on which datasets, with the reason for each verdict.

`match` is a pure function of plain data. A datastore matches when one of its servers is this storage host and the path
that it mounts leads into a mounted dataset: its mountpoint, a directory below, a bind mount or a symbolic link.
"""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any, Iterable, Sequence

from ..storage_host.view import Mount, StorageHostView, address, ancestors, clean_path, host_name, is_localhost, observe
from ..text import printable
from ..vsphere.datastores import Datastore
from ..vsphere.vms import path_of
from ..zfs.datasets import Dataset

NFS_TYPES = ("NFS", "NFS41")  # as vSphere names versions 3 and 4.1


@dataclass(frozen=True)
class Match:
    """The verdict on one datastore. Nothing matched if `datasets` is empty; `reason` says why it is as it is.

    `relation` says what the mounted path is: "root" (the dataset's mountpoint), "subdirectory" (a directory below it),
    "bind" (a bind mount), "symlink" (a path through a symbolic link), or "" where nothing matched.

    `unresolved` says what could not be found out and how to fix that, or is "" for a certain verdict. The datastore may
    then be on any of `possible_datasets`, or on any dataset at all if `possible_datasets` is empty. `ambiguous`: the
    datastore is on `datasets`, but which of its folders is on which dataset is unknown.
    """

    datastore: Datastore
    reason: str
    relation: str = ""
    path: str = ""  # the mounted directory within the dataset; "" is its root
    folders: tuple[tuple[str, str], ...] = ()  # (folder of the datastore, dataset mounted there), "" is its root
    warnings: tuple[str, ...] = ()
    unresolved: str = ""
    possible_datasets: tuple[str, ...] = ()
    ambiguous: bool = False

    # Asked for every disk, of a datastore that may have a thousand folders.
    @cached_property
    def datasets(self) -> tuple[str, ...]:
        """The dataset that the datastore lies on, then those mounted in folders below it."""
        return tuple(dict.fromkeys(dataset for _unused, dataset in self.folders))

    @cached_property
    def mounted(self) -> dict[str, str]:
        """The dataset mounted at each folder, by its path from the root "/" of the datastore."""
        return {clean_path(folder): dataset for folder, dataset in self.folders}

    def as_dict(self) -> dict[str, Any]:
        """Plain data for results: JSON types; the relation is None where nothing matched."""
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


def match_here(
    datastores: Sequence[Datastore], datasets: Iterable[Dataset], aliases: Sequence[str] = ()
) -> list[Match]:
    """Match against the machine that this runs on; see `match` and `observe`, whose errors it raises."""
    mounts = [datastore for datastore in datastores if datastore.type in NFS_TYPES]
    names = {name for datastore in mounts for name in datastore.remote_hosts}
    return match(datastores, datasets, observe(aliases, names, {datastore.remote_path for datastore in mounts}))


def match(datastores: Iterable[Datastore], datasets: Iterable[Dataset], view: StorageHostView) -> list[Match]:
    """One verdict per datastore, in their order. `datasets` are all of the storage host, or those of interest."""
    places = PathResolver(datasets, view)
    return [_verdict(datastore, places, view) for datastore in datastores]


def by_dataset(matches: Iterable[Match]) -> dict[str, list[Match]]:
    """The matches of each dataset that carries a datastore, by the dataset's name."""
    found: dict[str, list[Match]] = {}
    for each in matches:
        for dataset in each.datasets:
            found.setdefault(dataset, []).append(each)
    return dict(sorted(found.items()))


def disk_datasets(match: Match, file: str) -> tuple[str, ...]:
    """The datasets on which a file of a matched datastore may lie: "folder/x.vmdk", with or without the "[datastore]".

    That is the dataset of the datastore and each one mounted at a folder on the way: whether a client sees the mounted
    dataset or the directory underneath depends on how it is exported. A file given by another kind of path may lie on
    any of them.
    """
    within = path_of(file)
    if match.ambiguous or within.startswith(("/", "ds:")):
        return match.datasets
    on_the_way = reversed(list(ancestors(clean_path(within))))
    return tuple(dict.fromkeys(match.mounted[step] for step in on_the_way if step in match.mounted))


@dataclass(frozen=True)
class ResolvedPath:
    """Where a path of the storage host leads. `dataset` is "" where that is no dataset of interest."""

    asked: str
    real: str
    exists: bool
    late: bool  # it did not answer in time, so that this is what its name alone tells
    mount: Mount | None
    dataset: str = ""
    path: str = ""  # within the dataset


class PathResolver:
    """The mounted datasets, and what else is mounted, by mountpoint."""

    def __init__(self, datasets: Iterable[Dataset], view: StorageHostView) -> None:
        self._datasets = {dataset.name: dataset for dataset in datasets}
        self._real_paths, self._late = view.real_paths, view.late_paths
        self._known = known = {mount.source for mount in view.mounts if mount.fstype == "zfs"}
        # The mount table knows best. zfs alone is believed where there is none, or where it speaks for another machine.
        told = [
            Mount(dataset.name, "/", dataset.mountpoint, "zfs")
            for dataset in self._datasets.values()
            if dataset.mounted and dataset.mountpoint and dataset.name not in known
        ]
        self._mounts = {mount.mountpoint: mount for mount in [*view.mounts, *told] if mount.visible}
        self._sorted = sorted(self._mounts)
        self._homes: dict[str, str] = {}  # dataset -> its own mountpoint; any other is a bind mount
        for mount in self._mounts.values():
            dataset = self._dataset(mount)
            if dataset is None or mount.root != "/":
                continue
            if mount.mountpoint == dataset.mountpoint or dataset.name not in self._homes:
                self._homes[dataset.name] = mount.mountpoint

    def _dataset(self, mount: Mount) -> Dataset | None:
        return self._datasets.get(mount.source) if mount.fstype == "zfs" else None

    def find(self, path: str) -> ResolvedPath:
        real = self._real_paths.get(path, path)
        exists, late = path in self._real_paths, path in self._late
        mount = next((self._mounts[step] for step in ancestors(real) if step in self._mounts), None)
        # Everything that does not exist is below "/": that says nothing where a dataset is mounted there.
        if mount is None or self._dataset(mount) is None or (mount.mountpoint == "/" and not exists):
            return ResolvedPath(path, real, exists, late, mount)
        within = posixpath.join(mount.root, posixpath.relpath(real, mount.mountpoint))
        return ResolvedPath(path, real, exists, late, mount, mount.source, clean_path(within).strip("/"))

    def is_home(self, mount: Mount | None) -> bool:
        return mount is not None and self._homes.get(mount.source) == mount.mountpoint

    def below(self, real: str) -> list[tuple[str, str]]:
        """(path relative to `real`, dataset) of every dataset mounted below it."""
        above = real.rstrip("/") + "/"
        later = self._sorted[bisect_right(self._sorted, above) :]
        return [
            (mountpoint[len(above) :], self._mounts[mountpoint].source)
            for mountpoint in takewhile(lambda mountpoint: mountpoint.startswith(above), later)
            if self._dataset(self._mounts[mountpoint])
        ]

    def folders(self, place: ResolvedPath) -> tuple[tuple[str, str], ...]:
        """(folder, dataset) of what is mounted at the place, which is "", and below it."""
        return (("", place.dataset), *self.below(place.real))

    def possible(self, place: ResolvedPath) -> list[str]:
        """The datasets that a server which may be this host serves there; none where this host has no such place."""
        # What does not exist says nothing where zfs speaks for another machine.
        if not place.dataset or not (place.exists or place.late or place.dataset not in self._known):
            return []
        return [dataset for _unused, dataset in self.folders(place)]

    def unmounted(self, place: ResolvedPath) -> str:
        """The dataset that by its name would carry the place if it were mounted, or ""."""
        expected = f"/{place.dataset}/{place.path}" if place.dataset else place.real
        for step in ancestors(clean_path(expected)):
            dataset = self._datasets.get(step.strip("/"))
            if dataset and dataset.kind == "filesystem" and not dataset.mounted:
                return dataset.name
            if step.strip("/") == place.dataset:  # what is above need not be mounted
                break
        return ""


def _verdict(datastore: Datastore, places: PathResolver, view: StorageHostView) -> Match:
    if datastore.lacking:
        said = f"the account lacks the privilege {datastore.lacking} on it"
        return Match(datastore, said, unresolved=f"{said}: grant it")
    if datastore.type not in NFS_TYPES:
        return Match(datastore, f"it is not an NFS datastore but of the type {printable(datastore.type) or 'unknown'}")
    if not datastore.remote_hosts or not datastore.remote_path:
        return Match(datastore, "vSphere does not say which server and path it mounts")
    objections = [said for host in datastore.remote_hosts if (said := objection(host, view))]
    found = _served_places(datastore, places, view)
    late = next((_too_late(place) for place in found if place.late), "")
    if len(objections) == len(datastore.remote_hosts):
        unsure = next((said for host in datastore.remote_hosts if (said := uncertainty(host, view))), "")
        possible_datasets = tuple(dict.fromkeys(name for place in found for name in places.possible(place)))
        # A path that leads nowhere on this host is not served by it, whatever the server's name means.
        unresolved = unsure if possible_datasets or late else ""
        return Match(
            datastore,
            "; ".join(objections),
            unresolved=unresolved,
            possible_datasets=possible_datasets if unresolved and not late else (),
        )
    place = next((place for place in found if place.dataset), found[0])
    if not place.dataset:
        return Match(datastore, _why_no_dataset(place, places), unresolved=late)
    warnings = [f"it has several servers, and {said}" for said in objections]
    unmounted = places.unmounted(place)
    if unmounted:
        warnings.append(
            f"the dataset {unmounted} is not mounted, so the files lie on {place.dataset}: "
            f"if that is not meant, mount it with 'zfs mount {unmounted}'"
        )
    if late:
        warnings.append(late)
    relation, reason = _relation(place, places)
    return Match(datastore, reason, relation, place.path, places.folders(place), tuple(warnings), unresolved=late)


def objection(server: str, view: StorageHostView) -> str:
    """Why a server that a datastore names is not this storage host, "" if it is."""
    shown = printable(server)
    found, name = address(server), host_name(server)
    if name in view.names or found in view.addresses:
        return ""
    if is_localhost(name) or (found is not None and found.is_loopback):
        return f"the server {shown} is each ESXi host itself, not this storage host"
    if found is not None:
        return (
            f"the server {shown} is not an address of this storage host: "
            "give it as an alias if it is one (NAT, virtual address)"
        )
    advice = f"give {shown} as an alias if it is one of its names"
    if name not in view.resolved:
        return f"the server {shown} was not resolved in time: check the name servers of this storage host, or {advice}"
    answers = view.resolved[name]
    if not answers:
        return f"the server {shown} does not resolve on this storage host: {advice}"
    # A name that this machine itself resolves to loopback is one of its own: Debian writes 127.0.1.1 to /etc/hosts.
    if any(answer in view.addresses or answer.is_loopback for answer in answers):
        return ""
    listed = ", ".join(sorted(map(str, answers)))
    return f"the server {shown} resolves to {listed}, not to an address of this storage host: {advice}"


def uncertainty(server: str, view: StorageHostView) -> str:
    """Why a server that is not known as this storage host may be it all the same, "" if it is another for certain."""
    found, name = address(server), host_name(server)
    if is_localhost(name) or (found is not None and found.is_loopback):
        return ""
    if found is None and not view.resolved.get(name):
        said = objection(server, view)
        return f"{said}, or have it resolve if it is another server's" if name in view.resolved else said
    late = ", ".join(map(printable, sorted(view.late_aliases)))
    advice = "check the name servers of this storage host, or give its address as an alias too"
    return f"the alias {late} was not resolved in time: {advice}" if late else ""


def _too_late(place: ResolvedPath) -> str:
    return (
        f"where {printable(place.asked)} leads was not found out in time: "
        "see which file system on this storage host does not answer there"
    )


def _served_places(datastore: Datastore, places: PathResolver, view: StorageHostView) -> list[ResolvedPath]:
    """The places that the NFS server may serve under the datastore's path, the likeliest first.

    Below an fsid=0 export the paths of NFS version 4 begin at that export (exports(5)), but only for the clients that
    it is exported to; hence both readings are tried, those that exist first.
    """
    exported = clean_path(datastore.remote_path)
    roots = view.pseudo_roots if datastore.type == "NFS41" else ()
    found = [places.find(path) for path in (*(clean_path(root + exported) for root in roots), exported)]
    return sorted(found, key=lambda place: not place.exists)


def _relation(place: ResolvedPath, places: PathResolver) -> tuple[str, str]:
    """The relation, and a sentence that says it."""
    asked, real = printable(place.asked), printable(place.real)
    part = f"the directory {printable(place.path)} of {place.dataset}" if place.path else place.dataset
    if place.asked != place.real:
        return "symlink", f"{asked} leads through a symbolic link to {real} on {part}"
    if not places.is_home(place.mount):
        return "bind", f"{asked} lies on a bind mount of {part}"
    if not place.path:
        return "root", f"{asked} is the mountpoint of {part}"
    return "subdirectory", f"{asked} is {part}"


def _why_no_dataset(place: ResolvedPath, places: PathResolver) -> str:
    none = f"no mounted dataset contains {printable(place.asked)}"
    unmounted = places.unmounted(place)
    if unmounted:
        return f"{none}: the dataset {unmounted} is not mounted, mount it with 'zfs mount {unmounted}'"
    mount = place.mount
    if place.late:
        return f"{none}: {_too_late(place)}"
    if not place.exists:
        return f"{none}: there is no such directory on this storage host"
    if mount is None:
        return none
    if mount.fstype != "zfs":
        return f"{none}: it lies on the {mount.fstype} file system mounted at {printable(mount.mountpoint)}"
    if "@" in mount.source:
        return f"{none}: it lies in the ZFS snapshot {mount.source}, which never changes"
    return f"{none}: it lies on {mount.source}, which is not among the datasets looked at"
