# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a ZFS snapshot from being destroyed: holds, clones, and restores, which use both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping

from ..zfs.command import Zfs
from ..zfs.holds import holds
from ..zfs.names import RESTORES

HOLD_TAG = "vmware-zfs-restore-"  # begins the tags of the holds of restores; the ID follows
_HOLD = re.compile(rf"{HOLD_TAG}([0-9A-Za-z-]{{1,64}})\Z")
_CLONE = re.compile(rf"[^/]+/{RESTORES}/([0-9A-Za-z-]{{1,64}})(?:/|\Z)")


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
    tags = holds(zfs, list(counts))
    result = {}
    for name, values in found.items():
        # A tag can contain line breaks and tabs, and so it can imitate the hold of another snapshot.
        own = tags.get(name, ())
        unread = len(own) != counts.get(name, 0)
        clones = tuple(clone for clone in values.get("clones", "").split(",") if clone)
        result[name] = Pins(() if unread else own, clones, unread)
    return result
