# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One share: the validated options and the text of its file. Nothing here changes a file."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import asdict, dataclass
from typing import Any, Iterable, Mapping, Sequence

from ..door.host import StorageHost
from ..errors import InputError
from ..paths import ancestors, clean_path, unescaped
from ..storage_host.mounts import Mount
from ..text import printable
from .clients import Resolved, check_hosts, check_networks, overlap, same_client, within
from .table import Entry, effect, escaped, parse

# Never change this line: it identifies the files of this collection.
HEAD = "# Written by quiesce.vmware_zfs.vmware_nfs_share: what is changed here by hand is lost."
DISABLED = "# disabled: "
PREFIX = "quiesce.vmware_zfs-"
ESXI_FLAVOURS = {"sys", "krb5", "krb5i"}  # NFS 3 needs sys, NFS 4.1 supports all of them
_OPTION_PATH = re.compile(r"/[A-Za-z0-9/._:@%+~-]+")  # not "/", and no character with a meaning in a list of options
_PATH_LINE = re.compile(r"^# Share of (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Share:
    """A validated share. `clients` and `options` have the notation of exports(5)."""

    path: str
    clients: tuple[str, ...]
    options: tuple[str, ...]
    enabled: bool = True

    @property
    def text(self) -> str:
        """The text of its file."""
        mark = "" if self.enabled else DISABLED
        lines = [f"{mark}{escaped(self.path)} {client}({','.join(self.options)})" for client in self.clients]
        return "\n".join([HEAD, f"# Share of {escaped(self.path)}", *lines, ""])

    def entries(self, file: str) -> list[Entry]:
        """Return the entries that it exports. A disabled share has none."""
        return parse(self.text, file)

    def as_dict(self) -> dict[str, Any]:
        """Return the share as plain data for results."""
        return {**asdict(self), "clients": list(self.clients), "options": list(self.options)}

    @classmethod
    def read(cls, text: str) -> Share | None:
        """Return the share in a file of this collection, or None for any other file."""
        found = _PATH_LINE.search(text)
        if not text.startswith(HEAD) or found is None:
            return None
        enabled = DISABLED not in text
        entries = parse(text.replace(DISABLED, ""), "")
        options = entries[0].options if entries else ()
        return cls(unescaped(found.group(1)), tuple(entry.client for entry in entries), options, enabled)


def all_entries(text: str, file: str) -> list[Entry]:
    """Return all entries in a share's file, including disabled ones. After an interrupted change, the file contains the
    entries of both the old and the new share, with their options.
    """
    return parse(text.replace(DISABLED, ""), file) if Share.read(text) else []


def file_name(path: str) -> str:
    """Return the name of a share's file. It is unique for each path and readable."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-")[:60]
    return f"{PREFIX}{readable}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}.exports"


def from_options(host: StorageHost, parameters: Mapping[str, Any], mountpoint: str, resolved: Resolved) -> Share:
    """Return the share that the options of vmware_nfs_share request, on the dataset mounted at `mountpoint`.

    Raises InputError.
    """
    networks, hosts = check_networks(parameters["networks"]), check_hosts(parameters["hosts"], resolved)
    if not networks and not hosts:
        raise InputError(
            f"Without networks and hosts, the share of '{printable(parameters['path'])}' would be exported to everyone",
            "Set networks to the networks of the ESXi hosts, or set hosts to the ESXi hosts",
        )
    options = (
        f"sec={':'.join(dict.fromkeys(parameters['security'])) or 'sys'}",
        "ro" if parameters["read_only"] else "rw",
        "sync",  # ESXi treats every acknowledged write as stored
        "no_subtree_check",
        *(("crossmnt",) if parameters.get("crossmnt") else ()),  # not an option of the module; see restore/clones.py
        *_only_if_mounted(parameters["path"], mountpoint),
        *squash(host, parameters),
    )
    return Share(parameters["path"], (*networks, *hosts), options, parameters["enabled"])


def _only_if_mounted(path: str, mountpoint: str) -> tuple[str, ...]:
    """Return the option that prevents the export while the dataset is not mounted.

    Otherwise ESXi would mount the empty directory as the datastore, and write to the root file system.
    """
    if path == mountpoint:
        return ("mountpoint",)
    return (f"mountpoint={mountpoint}",) if _OPTION_PATH.fullmatch(mountpoint) else ()


def squash(host: StorageHost, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the options that map users: maproot maps root, mapall maps all users. Raises InputError."""
    given = {name: parameters[name] for name in ("maproot_user", "maproot_group", "mapall_user", "mapall_group")}
    if (given["maproot_user"] or given["maproot_group"]) and (given["mapall_user"] or given["mapall_group"]):
        raise InputError("maproot and mapall cannot be used together", "Set only one of them")
    for kind in ("maproot", "mapall"):
        if given[f"{kind}_group"] and not given[f"{kind}_user"]:
            raise InputError(f"{kind}_group requires {kind}_user", f"Set {kind}_user too")
    if given["maproot_user"]:
        # On TrueNAS, as on BSD, the group of root is wheel. On this host, wheel may be another group or not exist.
        if given["maproot_user"] == "root" and given["maproot_group"] in (None, "", "root", "wheel"):
            return ("no_root_squash",)
        return ("root_squash", *_ids(host, given["maproot_user"], given["maproot_group"]))
    if given["mapall_user"]:
        return ("all_squash", *_ids(host, given["mapall_user"], given["mapall_group"]))
    return ("root_squash",)


def _ids(host: StorageHost, user: str, group: str | None) -> tuple[str, str]:
    """Return the IDs of the user and the group. Without a group, it is the primary group of the user."""
    try:
        uid, own = host.user(user)
    except KeyError:
        raise InputError(
            f"The user '{printable(user)}' does not exist on this storage host", "Use an existing user"
        ) from None
    try:
        gid = host.group(group) if group else own
    except KeyError:
        raise InputError(
            f"The group '{printable(group)}' does not exist on this storage host", "Use an existing group"
        ) from None
    return f"anonuid={uid}", f"anongid={gid}"


def check_path(path: str) -> str:
    """Return the path unchanged. Raises InputError if it cannot be the path of a share."""
    if not path.startswith("/") or path == "/" or not path.isprintable() or clean_path(path) != path:
        proper = clean_path(path) if path.startswith("/") and path.strip("/") and path.isprintable() else "/tank/vmware"
        raise InputError(f"'{printable(path)}' is not a valid path for a share", f"Use a path such as {proper}")
    return path


def dataset_at(host: StorageHost, path: str, mounts: Sequence[Mount]) -> Mount:
    """Return the mount of the path's dataset. Raises InputError if there is no dataset, or if it is not a directory."""
    real = host.real_path(path)
    if not host.is_folder(real):
        raise InputError(
            f"The directory '{path}' does not exist on this storage host", "Mount its dataset, or correct the path"
        )
    if real != path:
        raise InputError(f"'{path}' contains a symbolic link to '{printable(real)}'", f"Use {printable(real)}")
    visible = {mount.mountpoint: mount for mount in mounts if mount.visible}
    mount = next(visible[step] for step in ancestors(path) if step in visible or step == "/")
    if mount.fstype != "zfs" or "@" in mount.source:
        where = f"a {mount.fstype} file system" if mount.fstype != "zfs" else f"the snapshot {mount.source}"
        raise InputError(
            f"'{path}' is on {where}, not on a mounted dataset",
            "Use the mountpoint of a dataset or a directory below it",
        )
    return mount


def contradiction(mine: Iterable[Entry], others: Iterable[Entry], resolved: Resolved) -> tuple[Entry, Entry] | None:
    """Return the first pair of conflicting entries for the same path, one of this share and one of another file.

    Two entries conflict if they have different options for a client. They also conflict if they are for the same
    client, because exportfs keeps only one entry for it, even if the options are the same.
    """
    theirs = list(others)
    for entry in mine:
        for other in theirs:
            if same_client(entry.client, other.client, resolved) or (
                differ(entry, other) and overlap(entry.client, other.client, resolved)
            ):
                return entry, other
    return None


def differ(one: Entry, other: Entry) -> bool:
    """Return whether the options of two entries have different effects."""
    return effect(one.options) != effect(other.options)


def keeps(now: Entry, wanted: Iterable[Entry], resolved: Resolved) -> bool:
    """Return whether the wanted entries give ESXi hosts at least the same access as the current entry."""
    return within(now.client, (entry.client for entry in wanted if not _lessens(now, entry)), resolved)


def _lessens(now: Entry, wanted: Entry) -> bool:
    """Return whether an ESXi host has less access with the wanted entry. Another user ID may have no write access."""
    then = {flavour: (access, squashing) for flavour, access, squashing in effect(wanted.options).access}
    return any(
        flavour not in then
        or (access == "rw" and then[flavour][0] == "ro")
        or then[flavour][1] not in (squashing, "none")
        for flavour, access, squashing in effect(now.options).access
        if flavour in ESXI_FLAVOURS
    )


def warnings(share: Share, others: Iterable[Entry]) -> list[str]:
    """Return warnings about a share that is valid for NFS but does not work for ESXi."""
    said = []
    flavours = {flavour: squashing for flavour, _access, squashing in effect(share.options).access}
    if not ESXI_FLAVOURS & flavours.keys():
        said.append(f"ESXi cannot mount a share that only allows the security {', '.join(sorted(flavours))}")
    squashing = flavours.get("sys", "none")  # such as "root to 65534:65534"
    uid = squashing.rpartition(" ")[2].partition(":")[0]
    if uid not in ("none", "0"):
        said.append(
            f"The share of {share.path} maps root to the user ID {uid}, and ESXi accesses the share as root: "
            "set maproot_user to root, unless all files belong to that user"
        )
    for root in (clean_path(entry.path) for entry in others if effect(entry.options).fsid == "0"):
        if root not in ancestors(share.path):
            said.append(
                f"{root} is exported with fsid=0, so NFS version 4 clients see only the directories below it: "
                f"an NFS 4.1 datastore cannot mount {share.path}, an NFS 3 datastore can"
            )
    return list(dict.fromkeys(said))
