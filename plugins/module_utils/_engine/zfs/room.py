# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much can be written to a dataset."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ZfsError
from .command import Zfs
from .names import upwards

_KEYS = ("available", "quota", "used", "refquota", "referenced")


@dataclass(frozen=True)
class Room:
    """Bytes that a dataset can still take: `available` in all, `quota` as far as quotas allow (None without quotas).

    `limiting` is the dataset with the tightest quota. Shared blocks count against quotas like any others.
    """

    available: int
    quota: int | None = None
    limiting: str = ""


def room(zfs: Zfs, dataset: str) -> Room:
    """Return the room in a dataset. Raises DatasetNotFound, ZfsError."""
    names = list(upwards(dataset))
    rows = zfs.rows("get", "-H", "-p", "-o", "name,property,value", ",".join(_KEYS), *names)
    found = {(row[0], row[1]): _number(row[2]) for row in rows if len(row) == 3}
    if found.keys() != {(name, key) for name in names for key in _KEYS}:
        raise ZfsError(f"'zfs get' did not report the room in {dataset}", "Check that 'zfs' is the OpenZFS command")
    left = {name: found[name, "quota"] - found[name, "used"] for name in names if found[name, "quota"]}
    if found[dataset, "refquota"]:
        left[dataset] = min(
            left.get(dataset, found[dataset, "refquota"]), found[dataset, "refquota"] - found[dataset, "referenced"]
        )
    limiting = min(left, key=lambda name: left[name], default="")
    return Room(found[dataset, "available"], max(0, left[limiting]) if limiting else None, limiting)


def _number(value: str) -> int:
    return int(value) if value.isdigit() else 0
