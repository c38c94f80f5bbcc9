# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ZFS snapshots and the properties they carry."""

from __future__ import annotations

from typing import Callable, Mapping, Sequence

from ..errors import DatasetNotFound
from .command import READ_TIMEOUT, Zfs, never

MAX_PROPERTY_VALUE = 8191  # bytes: ZAP_MAXVALUELEN (8,192) less the final NUL


def create(
    zfs: Zfs, names: Sequence[str], properties: Mapping[str, str], timeout: float, hurry: Callable[[], bool] = never
) -> None:
    """Take all snapshots `names` (`dataset@name`, one pool) in one atomic step that also sets `properties`.

    Once `hurry()` is true it has to end within a few seconds.
    """
    options = [word for key, value in properties.items() for word in ("-o", f"{key}={value}")]
    zfs.run("snapshot", *options, *names, timeout=timeout, hurry=hurry)


def properties(zfs: Zfs, name: str, prefix: str) -> dict[str, str] | None:
    """The snapshot's own user properties that begin with `prefix`, and its `creation` (seconds since 1970).

    Own means set on the snapshot or received with it: what a dataset passes down to its snapshots says nothing about
    the snapshot. None if there is no such snapshot.
    """
    try:
        rows = zfs.rows("get", "-H", "-p", "-o", "property,value,source", "all", name)
    except DatasetNotFound:
        return None
    return {
        key: value
        for key, value, source in rows
        if key == "creation" or (key.startswith(prefix) and source in ("local", "received"))
    }


def set_properties(
    zfs: Zfs, names: Sequence[str], properties: Mapping[str, str], timeout: float = READ_TIMEOUT
) -> None:
    """Set `properties` on every snapshot of `names`, in one process."""
    zfs.run("set", *(f"{key}={value}" for key, value in properties.items()), *names, timeout=timeout)


def bearing(zfs: Zfs, names: Sequence[str], key: str, value: str) -> list[str]:
    """Those of the snapshots `names`, which exist, whose property `key` has this value, in one process."""
    if not names:
        return []
    rows = zfs.rows("get", "-H", "-p", "-o", "name,value", key, *names)
    return [name for name, found in rows if found == value]


def own(zfs: Zfs, names: Sequence[str], key: str) -> dict[str, str]:
    """The user property `key` of those of `names` (snapshots, not empty) that carry it themselves, in one process."""
    rows = zfs.rows("get", "-H", "-p", "-o", "name,value,source", key, *names)
    return {name: value for name, value, source in rows if source in ("local", "received")}


def existing(zfs: Zfs, names: Sequence[str], timeout: float = READ_TIMEOUT) -> list[str]:
    """Those of the snapshots `names` (not empty) that exist, in one process."""
    try:
        listing = zfs.run("list", "-H", "-o", "name", "-t", "snapshot", *names, timeout=timeout)
    except DatasetNotFound as error:
        listing = error.output  # zfs lists what is there and complains about the rest
    return listing.splitlines()


def facts(
    zfs: Zfs, dataset: str, properties: Sequence[str], prefix: str, timeout: float = READ_TIMEOUT
) -> dict[str, dict[str, str]]:
    """`properties` of every snapshot of `dataset` and of what lies below it, in one process.

    User properties begin with `prefix`; one that the snapshot only inherits is left out. Parents first, oldest first.
    """
    found: dict[str, dict[str, str]] = {}
    columns = "name,property,value,source"
    rows = zfs.rows(
        "get", "-H", "-p", "-r", "-t", "snapshot", "-o", columns, ",".join(properties), dataset, timeout=timeout
    )
    for name, key, value, source in rows:
        values = found.setdefault(name, {})
        if value != "-" and (not key.startswith(prefix) or source in ("local", "received")):
            values[key] = value
    return found


def written_since(zfs: Zfs, name: str, datasets: Sequence[str]) -> bool:
    """Whether anything was written to any of `datasets` since its snapshot `name` (the part behind the @).

    One that has no such snapshot counts as written to.
    """
    rows = zfs.rows("get", "-H", "-p", "-o", "value", f"written@{name}", *datasets)
    return any(value != "0" for (value,) in rows)
