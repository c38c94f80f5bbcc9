# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a ZFS snapshot from being destroyed: holds, clones, and restores, which use both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping

from ..errors import DatasetNotFound
from ..zfs import arguments
from ..zfs.command import Zfs, lines

_HOLD = re.compile(r"vmware-zfs-restore-([0-9A-Za-z-]{1,64})\Z")
_CLONE = re.compile(r"[^/]+/vmware-zfs-restores/([0-9A-Za-z-]{1,64})(?:/|\Z)")


@dataclass(frozen=True)
class Pins:
    """The tags of all holds, and the names of all clones. `unread`: the tags could not be read."""

    holds: tuple[str, ...] = ()
    clones: tuple[str, ...] = ()
    unread: bool = False

    @property
    def restores(self) -> tuple[str, ...]:
        """The IDs of the restores that pin the snapshot."""
        found = (*map(_HOLD.match, self.holds), *map(_CLONE.match, self.clones))
        return tuple(dict.fromkeys(match[1] for match in found if match))

    def texts(self) -> list[str]:
        """Return the pins for people. Holds and clones of a restore are named by its ID."""
        return [
            *(f"restore {restore}" for restore in self.restores),
            *(f"hold {tag}" for tag in self.holds if not _HOLD.match(tag)),
            *(f"clone {clone}" for clone in self.clones if not _CLONE.match(clone)),
            *(["a hold whose tag cannot be read"] if self.unread else []),
        ]


def pins(zfs: Zfs, found: Mapping[str, Mapping[str, str]]) -> dict[str, Pins]:
    """Return what pins each snapshot in `found`, which has the properties userrefs and clones. Starts one process."""
    counts = {name: int(values["userrefs"]) for name, values in found.items() if values.get("userrefs", "0") != "0"}
    tags = _tags(zfs, list(counts))
    result = {}
    for name, values in found.items():
        # A tag can contain line breaks and tabs, and so it can imitate the hold of another snapshot.
        own = tags.get(name, [])
        unread = len(own) != counts.get(name, 0)
        clones = tuple(clone for clone in values.get("clones", "").split(",") if clone)
        result[name] = Pins(() if unread else tuple(own), clones, unread)
    return result


def _tags(zfs: Zfs, held: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in held}
    for part in arguments.parts(zfs.host, held):
        try:
            listing = zfs.run("holds", "-H", *part)
        except DatasetNotFound as error:
            listing = error.output  # zfs lists those that exist and reports an error for the others
        for row in (line.split("\t") for line in lines(listing)):
            if len(row) == 3 and row[0] in found:
                found[row[0]].append(row[1])
    return found
