# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One share: what was asked for, checked, and the text of its file. Nothing here touches files but to look."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import re
from dataclasses import dataclass
from typing import Any, Iterable, Mapping, Sequence

from ..errors import InputError
from ..storage_host.view import Mount, ancestors, clean_path, unescaped
from ..text import printable
from .clients import Resolved, check_hosts, check_networks, overlap, same_client, within
from .table import Entry, effect, escaped, parse

HEAD = "# Written by quiesce.vmware_zfs.vmware_nfs_share: what is changed here by hand is lost."
DISABLED = "# disabled: "
PREFIX = "quiesce.vmware_zfs-"
ESXI_FLAVOURS = {"sys", "krb5", "krb5i"}  # NFS 3 is mounted with sys, 4.1 with any of them
_OPTION_PATH = re.compile(r"/[A-Za-z0-9/._:@%+~-]+")  # not "/", and what is no syntax in a list of options
_PATH_LINE = re.compile(r"^# Share of (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Share:
    """A checked share; `clients` and `options` are as exports(5) writes them."""

    path: str
    clients: tuple[str, ...]
    options: tuple[str, ...]
    enabled: bool = True

    @property
    def text(self) -> str:
        """Its file."""
        mark = "" if self.enabled else DISABLED
        lines = [f"{mark}{escaped(self.path)} {client}({','.join(self.options)})" for client in self.clients]
        return "\n".join([HEAD, f"# Share of {escaped(self.path)}", *lines, ""])

    def entries(self, file: str) -> list[Entry]:
        """What it exports; nothing when it is disabled."""
        return parse(self.text, file)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for results."""
        return {
            "path": self.path,
            "clients": list(self.clients),
            "options": list(self.options),
            "enabled": self.enabled,
        }

    @classmethod
    def read(cls, text: str) -> Share | None:
        """The share that a file of ours holds; None for a file that somebody else wrote."""
        found = _PATH_LINE.search(text)
        if not text.startswith(HEAD) or found is None:
            return None
        enabled = DISABLED not in text
        entries = parse(text.replace(DISABLED, ""), "")
        options = entries[0].options if entries else ()
        return cls(unescaped(found.group(1)), tuple(entry.client for entry in entries), options, enabled)


def all_entries(text: str, file: str) -> list[Entry]:
    """What a share's file exports, or would if the share were not disabled. A change that was interrupted left the
    entries of two shares in it, each with its own options.
    """
    return parse(text.replace(DISABLED, ""), file) if Share.read(text) else []


def file_name(path: str) -> str:
    """The name of a share's file: one for each path, and a person sees which."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", path).strip("-")[:60]
    return f"{PREFIX}{readable}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}.exports"


def from_options(parameters: Mapping[str, Any], mountpoint: str, resolved: Resolved) -> Share:
    """The share that vmware_nfs_share's options ask for, on the dataset mounted at `mountpoint`. Raises InputError."""
    networks, hosts = check_networks(parameters["networks"]), check_hosts(parameters["hosts"], resolved)
    if not networks and not hosts:
        raise InputError(
            f"A share of '{printable(parameters['path'])}' without networks and hosts would be for everybody",
            "Give the networks of the ESXi hosts in networks, or the ESXi hosts in hosts",
        )
    options = (
        f"sec={':'.join(dict.fromkeys(parameters['security'])) or 'sys'}",
        "ro" if parameters["read_only"] else "rw",
        "sync",  # ESXi takes what the server has acknowledged for written
        "no_subtree_check",
        *_only_if_mounted(parameters["path"], mountpoint),
        *squash(parameters),
    )
    return Share(parameters["path"], (*networks, *hosts), options, parameters["enabled"])


def _only_if_mounted(path: str, mountpoint: str) -> tuple[str, ...]:
    """Have the server export nothing while the dataset is not mounted, instead of the empty directory below it.

    ESXi would take that for the datastore, and write to the root file system.
    """
    if path == mountpoint:
        return ("mountpoint",)
    return (f"mountpoint={mountpoint}",) if _OPTION_PATH.fullmatch(mountpoint) else ()


def squash(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The options that say as whom clients work: maproot maps root, mapall maps everybody. Raises InputError."""
    given = {name: parameters[name] for name in ("maproot_user", "maproot_group", "mapall_user", "mapall_group")}
    if (given["maproot_user"] or given["maproot_group"]) and (given["mapall_user"] or given["mapall_group"]):
        raise InputError("maproot and mapall exclude each other", "Give one of both")
    for kind in ("maproot", "mapall"):
        if given[f"{kind}_group"] and not given[f"{kind}_user"]:
            raise InputError(f"{kind}_group needs {kind}_user", f"Give {kind}_user too")
    if given["maproot_user"]:
        # On TrueNAS, as on every BSD, root's group is wheel; here that may be another group or none.
        if given["maproot_user"] == "root" and given["maproot_group"] in (None, "", "root", "wheel"):
            return ("no_root_squash",)
        return ("root_squash", *_ids(given["maproot_user"], given["maproot_group"]))
    if given["mapall_user"]:
        return ("all_squash", *_ids(given["mapall_user"], given["mapall_group"]))
    return ("root_squash",)


def _ids(user: str, group: str | None) -> tuple[str, str]:
    """The user's and the group's id; without a group the user's own."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise InputError(
            f"There is no user '{printable(user)}' on this storage host", "Name one that there is"
        ) from None
    try:
        gid = grp.getgrnam(group).gr_gid if group else account.pw_gid
    except KeyError:
        raise InputError(
            f"There is no group '{printable(group)}' on this storage host", "Name one that there is"
        ) from None
    return f"anonuid={account.pw_uid}", f"anongid={gid}"


def check_path(path: str) -> str:
    """The path as it is. Raises InputError unless it can be a share's."""
    if not path.startswith("/") or path == "/" or not path.isprintable() or clean_path(path) != path:
        proper = clean_path(path) if path.startswith("/") and path.strip("/") and path.isprintable() else "/tank/vmware"
        raise InputError(f"'{printable(path)}' is not the path of a directory to share", f"Give one such as {proper}")
    return path


def dataset_at(path: str, mounts: Sequence[Mount]) -> Mount:
    """The mount of the dataset that a path lies on. Raises InputError where that is no dataset, or no directory."""
    real = os.path.realpath(path)
    if not os.path.isdir(real):
        raise InputError(f"There is no directory '{path}' on this storage host", "Mount its dataset, or correct it")
    if real != path:
        raise InputError(f"'{path}' leads through a symbolic link to '{printable(real)}'", f"Give {printable(real)}")
    visible = {mount.mountpoint: mount for mount in mounts if mount.visible}
    mount = next(visible[step] for step in ancestors(path) if step in visible or step == "/")
    if mount.fstype != "zfs" or "@" in mount.source:
        lies = f"a {mount.fstype} file system" if mount.fstype != "zfs" else f"the snapshot {mount.source}"
        raise InputError(
            f"'{path}' lies on {lies}, not in a mounted dataset",
            "Give the mountpoint of a dataset or a directory below",
        )
    return mount


def contradiction(mine: Iterable[Entry], others: Iterable[Entry], resolved: Resolved) -> tuple[Entry, Entry] | None:
    """The first pair of entries, mine and another's for the same path, that cannot both be.

    They promise a client different things, or are for the same client, of which exportfs knows one entry even if they
    agree.
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
    """Whether the options of two entries come to different things."""
    return effect(one.options) != effect(other.options)


def keeps(now: Entry, wanted: Iterable[Entry], resolved: Resolved) -> bool:
    """Whether with the wanted entries an ESXi host may still do all that it may do by the one of now."""
    return within(now.client, (entry.client for entry in wanted if not _lessens(now, entry)), resolved)


def _lessens(now: Entry, wanted: Entry) -> bool:
    """Whether an ESXi host could do less by the wanted entry: another user's id on the server may not write either."""
    then = {flavour: (access, squashing) for flavour, access, squashing in effect(wanted.options).access}
    return any(
        flavour not in then
        or (access == "rw" and then[flavour][0] == "ro")
        or then[flavour][1] not in (squashing, "none")
        for flavour, access, squashing in effect(now.options).access
        if flavour in ESXI_FLAVOURS
    )


def warnings(share: Share, others: Iterable[Entry]) -> list[str]:
    """What keeps ESXi from working with a share that NFS itself has nothing against."""
    said = []
    flavours = {flavour: squashing for flavour, _access, squashing in effect(share.options).access}
    if not ESXI_FLAVOURS & flavours.keys():
        said.append(f"ESXi mounts no share that only knows the security {', '.join(sorted(flavours))}")
    squashing = flavours.get("sys", "none")  # such as "root to 65534:65534"
    uid = squashing.rpartition(" ")[2].partition(":")[0]
    if uid not in ("none", "0"):
        said.append(
            f"ESXi works as root, whom the share of {share.path} maps to the user id {uid}: "
            "set maproot_user to root unless all files belong to that user"
        )
    for root in (clean_path(entry.path) for entry in others if effect(entry.options).fsid == "0"):
        if root not in ancestors(share.path):
            said.append(
                f"{root} is exported with fsid=0, so clients of NFS version 4 see only what lies below: "
                f"an NFS 4.1 datastore does not find {share.path}, an NFS 3 datastore does"
            )
    return list(dict.fromkeys(said))
