# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds on ZFS snapshots (zfs-hold(8)). A snapshot with a hold cannot be destroyed."""

from __future__ import annotations

from typing import Sequence

from ..errors import DatasetNotFound, ZfsError
from ..grouping import grouped
from . import arguments
from .command import Zfs, lines


def hold(zfs: Zfs, names: Sequence[str], tag: str) -> None:
    """Hold snapshots (`dataset@name`). Those that have this hold already keep it. Raises ZfsError."""
    try:
        zfs.run("hold", tag, *names)
    except ZfsError:
        lacking = [name for name in names if tag not in holds(zfs, [name]).get(name, ())]
        if len(lacking) == len(names):
            raise
        if lacking:
            zfs.run("hold", tag, *lacking)


def release(zfs: Zfs, name: str, tag: str) -> None:
    """Release a hold on a snapshot, if the snapshot and the hold exist. Raises ZfsError."""
    try:
        zfs.run("release", tag, name)
    except ZfsError:
        if tag in holds(zfs, [name]).get(name, ()):
            raise


def holds(zfs: Zfs, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the tags of the holds on each snapshot that has any. A snapshot that does not exist is left out.

    Starts one process. A tag can contain line breaks and tabs, and so it can imitate the hold of another snapshot.
    """
    found: dict[str, list[str]] = {}
    for part in arguments.parts(zfs.host, names):
        try:
            listing = zfs.run("holds", "-H", *part)
        except DatasetNotFound as error:
            listing = error.output  # zfs lists those that exist and reports an error for the others
        rows = [line.split("\t") for line in lines(listing)]
        wanted = set(part)
        found.update(grouped((row[0], row[1]) for row in rows if len(row) == 3 and row[0] in wanted))
    return {name: tuple(tags) for name, tags in found.items()}
