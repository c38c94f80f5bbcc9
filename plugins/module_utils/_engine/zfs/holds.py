# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds on ZFS snapshots (zfs-hold(8)), and what else prevents that a snapshot is destroyed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from ..errors import DatasetNotFound, ZfsError
from ..grouping import grouped
from . import arguments, snapshots
from .command import Zfs, lines


@dataclass(frozen=True)
class Pins:
    """What pins a snapshot: the tags of its holds, and the datasets that are clones of it."""

    holds: tuple[str, ...] = ()
    clones: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.holds or self.clones)


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
    """Return the tags of the holds on each snapshot that has any. A snapshot that does not exist is left out."""
    found: dict[str, list[str]] = {}
    for part in arguments.parts(zfs.host, names):
        try:
            listing = zfs.run("holds", "-H", *part)
        except DatasetNotFound:
            listing = "".join(zfs.run("holds", "-H", *some) for some in [snapshots.existing(zfs, part)] if some)
        rows = [line.split("\t") for line in lines(listing)]
        found.update(grouped((row[0], row[1]) for row in rows if len(row) == 3 and row[0] in part))
    return {name: tuple(tags) for name, tags in found.items()}


def pins(zfs: Zfs, names: Sequence[str]) -> dict[str, Pins]:
    """Return what pins each snapshot that is pinned. Needs two processes for thousands of snapshots.

    Raises DatasetNotFound if a snapshot does not exist.
    """
    held: list[str] = []
    clones: dict[str, tuple[str, ...]] = {}
    for part in arguments.parts(zfs.host, names):
        for row in zfs.rows("get", "-H", "-p", "-o", "name,property,value", "userrefs,clones", *part):
            if row[1] == "userrefs" and row[2] not in ("0", "-"):
                held.append(row[0])
            elif row[1] == "clones" and row[2] not in ("", "-"):
                clones[row[0]] = tuple(row[2].split(","))
    tags = holds(zfs, held) if held else {}
    return {name: Pins(tags.get(name, ()), clones.get(name, ())) for name in names if name in tags or name in clones}
