# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which datastore is asked for, and whether that can be meant at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from ..errors import InputError
from ..storage_host.view import address, clean_path, host_name, is_host_name
from ..text import printable
from ..vsphere.hosts import comparable
from ..vsphere.nas_mounts import Export

MAX_NAME = 42  # characters; vSphere refuses longer names of NFS datastores


@dataclass(frozen=True)
class Wanted:
    """A datastore as it shall be on every host. Without an `export` its name alone says which one is meant."""

    name: str
    export: Export | None = None
    access_mode: str = "readWrite"


def wanted(name: str, servers: Sequence[str], path: str, version: str, access_mode: str) -> Wanted:
    """The datastore that a module's options ask for; servers and path both empty: no export.

    Raises InputError for what no host could mount, or would mount as something else than is meant.
    """
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise InputError(
            f"'{printable(name, 80)}' cannot be the name of a datastore",
            f"Give 1 to {MAX_NAME} printable characters",
        )
    if not servers and not path:
        return Wanted(name, None, access_mode)
    if not servers or not path:
        raise InputError("An export is a server and a path, and one of them is missing", "Give servers and path")
    if not path.startswith("/") or not path.isprintable():
        raise InputError(
            f"'{printable(path, 200)}' is not the absolute path of an export", "Give one that begins with a slash"
        )
    bare = tuple({comparable(server): _server(server) for server in servers}.values())  # each once
    if len(bare) > 1 and version == "3":
        raise InputError("NFS 3 knows one server, and several are given", "Give one server, or set version to 4.1")
    return Wanted(name, Export(bare, path, version), access_mode)


def export_of(wanted: Wanted) -> Export:
    if wanted.export is None:
        raise ValueError("only what is to be unmounted may be known by its name alone")
    return wanted.export


def _server(text: str) -> str:
    """A server as it is handed to vSphere: as it was given, without the brackets that only URLs need."""
    found, name = address(text), host_name(text)
    if "localhost" in (name.split(".")[0], name.split(".")[-1]) or (
        found is not None and (found.is_loopback or found.is_unspecified)
    ):
        raise InputError(
            f"The server '{printable(text, 80)}' would be each ESXi host itself",
            "Give the name or address by which the hosts reach the storage host",
        )
    if found is None and not is_host_name(name):
        raise InputError(
            f"The server '{printable(text, 80)}' is neither a host name nor an address", "Give one of them for each"
        )
    return text.strip().strip("[]")


def same_path(one: str, other: str) -> bool:
    """Whether two paths of exports lead to the same place by their spelling alone."""
    return clean_path(one) == clean_path(other)


def servers_of(export: Export) -> frozenset[str]:
    """The servers of an export in the form that can be compared."""
    return frozenset(comparable(server) for server in export.servers)


def same_servers(asked: Export, found: Export) -> bool:
    """Whether an export is mounted from the servers that are asked for.

    An NFS 4.1 client adds to the list the addresses that the server tells it of (API HostNasVolume.remoteHostNames), so
    there may be more. Across versions one server in common is enough: what differs then is the version.
    """
    ours, theirs = servers_of(asked), servers_of(found)
    if asked.version != found.version:
        return bool(ours & theirs)
    return ours <= theirs if asked.version == "4.1" else ours == theirs


def overlaps(one: Export, other: Export) -> bool:
    """Whether two exports are the same directory of the same server, whatever the version."""
    return same_path(one.path, other.path) and bool(servers_of(one) & servers_of(other))
