# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mount table of the storage host."""

from __future__ import annotations

from dataclasses import dataclass

from ..door.host import StorageHost
from ..paths import ancestors, unescaped


@dataclass(frozen=True)
class Mount:
    """One line of the mount table. For ZFS, `source` is the name of the dataset or snapshot."""

    source: str
    root: str  # the mounted directory of the file system; not "/" for most bind mounts
    mountpoint: str
    fstype: str
    visible: bool = True  # False: hidden by another mount on the same directory or a parent directory


def mount_table(host: StorageHost) -> tuple[Mount, ...]:
    """Return the mounts of the storage host, or nothing on an operating system without this table."""
    return parse_mountinfo(system_table(host, "/proc/self/mountinfo"))


def system_table(host: StorageHost, path: str) -> str:
    """Return the text of a system table, or "" if it does not exist: another operating system, or no NFS server."""
    try:
        return host.read(path)
    except OSError:
        return ""


def parse_mountinfo(text: str) -> tuple[Mount, ...]:
    """Return the mounts of a /proc/<pid>/mountinfo (proc(5)), in the same order.

    The kernel also lists mounts that a later mount on the same directory, or on a parent directory, hides. To find
    them, this function resolves each mountpoint from the root as the kernel does.
    """
    lines = [line.partition(" - ") for line in text.splitlines() if " - " in line]
    rows = [(left.split(" "), right.split(" ")) for left, _unused, right in lines]
    known = {left[0] for left, _unused in rows}
    below: dict[tuple[str, str], str] = {}  # (mount, directory) -> the mount on it; "" is the parent of the root
    for left, _unused in rows:
        parent = left[1] if left[1] in known and left[1] != left[0] else ""
        below[parent, unescaped(left[4])] = left[0]

    def reached(path: str) -> str:
        here = ""
        for step in reversed(list(ancestors(path))):
            while (here, step) in below:
                here = below[here, step]
        return here

    return tuple(
        Mount(unescaped(right[1]), unescaped(left[3]), mountpoint, right[0], reached(mountpoint) == left[0])
        for left, right in rows
        for mountpoint in (unescaped(left[4]),)
    )
