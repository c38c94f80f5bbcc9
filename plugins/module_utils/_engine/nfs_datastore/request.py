# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The requested datastore, validated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from ..addresses import address, host_name, is_host_name
from ..errors import InputError
from ..paths import clean_path
from ..text import printable
from ..vsphere.hosts import comparable
from ..vsphere.nas_mounts import Export

MAX_NAME = 42  # characters; vSphere refuses longer names of NFS datastores


@dataclass(frozen=True)
class Wanted:
    """The requested state of a datastore on every host. Without an `export`, only its name identifies it."""

    name: str
    export: Export | None = None
    access_mode: str = "readWrite"


def wanted(name: str, servers: Sequence[str], path: str, version: str, access_mode: str) -> Wanted:
    """Return the datastore that a module's options request, without an export if servers and path are both empty.

    Raises InputError for a datastore that no host can mount, or that a host would mount from another server.
    """
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise InputError(
            f"'{printable(name, 80)}' is not a valid datastore name", f"Use 1 to {MAX_NAME} printable characters"
        )
    if not servers and not path:
        return Wanted(name, None, access_mode)
    if not servers or not path:
        raise InputError("An export needs both a server and a path, and one of them is not set", "Set servers and path")
    if not path.startswith("/") or not path.isprintable():
        raise InputError(
            f"'{printable(path, 200)}' is not an absolute path", "Set path to a path that starts with a slash"
        )
    bare = tuple({comparable(server): _server(server) for server in servers}.values())  # each once
    if len(bare) > 1 and version == "3":
        raise InputError(
            "NFS 3 supports only one server, but servers lists several", "Set one server, or set version to 4.1"
        )
    return Wanted(name, Export(bare, path, version), access_mode)


def export_of(wanted: Wanted) -> Export:
    if wanted.export is None:
        raise ValueError("only a datastore to unmount can have no export")
    return wanted.export


def _server(text: str) -> str:
    """Return a server as passed to vSphere: unchanged, but without the brackets of an IPv6 address in a URL."""
    found, name = address(text), host_name(text)
    if "localhost" in (name.split(".")[0], name.split(".")[-1]) or (
        found is not None and (found.is_loopback or found.is_unspecified)
    ):
        raise InputError(
            f"The server '{printable(text, 80)}' refers to the ESXi host itself",
            "Use a name or address that the hosts use to reach the storage host",
        )
    if found is None and not is_host_name(name):
        raise InputError(
            f"The server '{printable(text, 80)}' is neither a host name nor an IP address",
            "Set each server to a host name or an IP address",
        )
    return text.strip().strip("[]")


def same_path(one: str, other: str) -> bool:
    """Return whether two export paths are the same, ignoring repeated and trailing slashes."""
    return clean_path(one) == clean_path(other)


def servers_of(export: Export) -> frozenset[str]:
    """Return the servers of an export in a form that can be compared."""
    return frozenset(comparable(server) for server in export.servers)


def same_servers(asked: Export, found: Export) -> bool:
    """Return whether an export is mounted from the requested servers.

    An NFS 4.1 client adds addresses that the server reports to the list (API HostNasVolume.remoteHostNames), so the
    list may be longer. If the versions differ, one common server is enough, because the version is then the difference.
    """
    ours, theirs = servers_of(asked), servers_of(found)
    if asked.version != found.version:
        return bool(ours & theirs)
    return ours <= theirs if asked.version == "4.1" else ours == theirs


def overlaps(one: Export, other: Export) -> bool:
    """Return whether two exports are the same directory of the same server, in any NFS version."""
    return same_path(one.path, other.path) and bool(servers_of(one) & servers_of(other))
