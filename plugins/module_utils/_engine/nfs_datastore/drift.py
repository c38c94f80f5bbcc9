# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences between a mount and the requested one, and conflicts that prevent a new mount, each with a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable

from ..text import printable
from ..vsphere.hosts import Host
from ..vsphere.nas_mounts import Mount, MountedDatastore
from .request import Wanted, export_of, overlaps, same_path, same_servers


@dataclass(frozen=True)
class Difference:
    """A property that differs from the requested value. `message` follows the name of the host."""

    property: str  # name, servers, path, version, access_mode, type
    wanted: str
    found: str
    message: str


def differences(wanted: Wanted, datastore: MountedDatastore, mount: Mount) -> Iterable[Difference]:
    """Yield the differences between a mount and the requested one, except for the name."""
    asked, found = export_of(wanted), mount.export
    name = f"'{printable(datastore.name, 80)}'"
    if found is None:
        yield no_nfs(datastore)
        return
    if not same_servers(asked, found):
        ours, theirs = ", ".join(asked.servers), ", ".join(found.servers)
        yield Difference("servers", ours, theirs, f"mounts {name} from {printable(theirs)}, not from {ours}")
    if not same_path(asked.path, found.path):
        yield Difference("path", asked.path, found.path, f"mounts {name} at {printable(found.path)}, not {asked.path}")
    if asked.version != found.version:
        yield Difference(
            "version", asked.version, found.version, f"mounts {name} with NFS {found.version}, not {asked.version}"
        )
    if wanted.access_mode != mount.access_mode:
        yield Difference(
            "access_mode",
            wanted.access_mode,
            mount.access_mode,
            f"mounts {name} {printable(mount.access_mode)}, not {wanted.access_mode}",
        )


def no_nfs(datastore: MountedDatastore) -> Difference:
    kind = datastore.type or "unknown"
    sentence = f"has a datastore '{printable(datastore.name, 80)}' of type {printable(kind)}, which is not changed"
    return Difference("type", "NFS", kind, sentence)


def other_name(wanted: Wanted, datastore: MountedDatastore, mount: Mount) -> Difference:
    name = f"'{printable(datastore.name, 80)}'"
    sentence = f"mounts {printable(mount.export)} as {name}, not as '{printable(wanted.name, 80)}'"
    return Difference("name", wanted.name, datastore.name, sentence)


def conflicts(
    wanted: Wanted, host: Host, named: MountedDatastore | None, datastores: Iterable[MountedDatastore]
) -> Iterable[Difference]:
    """Yield the conflicts with other hosts of the datacenter that prevent a new mount of name and export on a host."""
    asked, name = export_of(wanted), f"'{printable(wanted.name, 80)}'"
    place = f"in the datacenter {printable(host.datacenter, 80)}"
    if named is not None:
        found = named.export
        if found is None or found.version != asked.version or not overlaps(asked, found):
            shown = printable(found or f"a {named.type} datastore")
            sentence = f"cannot mount {asked} as {name}, because {place} this name is {shown} on other hosts"
            yield Difference("name", wanted.name, shown, sentence)
            return
    for each in datastores:
        found = each.export
        if each is named or found is None or not overlaps(asked, found):
            continue
        other = f"'{printable(each.name, 80)}'"
        if found.version != asked.version:
            sentence = (
                f"cannot mount {asked}, because {place} other hosts mount it with NFS {found.version} as {other}, "
                "and NFS 3 and NFS 4.1 do not share locks"
            )
            yield Difference("version", asked.version, found.version, sentence)
        elif (found.servers[:1], found.path) == (asked.servers[:1], asked.path):
            sentence = f"cannot mount {asked} as {name}, because {place} other hosts mount it as {other}"
            yield Difference("name", wanted.name, each.name, sentence)
