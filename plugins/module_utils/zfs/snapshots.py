# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ZFS snapshots and the properties they carry."""

from __future__ import annotations

import time
from typing import Callable, Mapping, Sequence

from ..errors import DatasetNotFound, ZfsError
from ..text import counted
from . import arguments, program
from .command import LONG_READ_TIMEOUT, READ_TIMEOUT, Zfs, never, too_long

MAX_PROPERTY_VALUE = 8191  # bytes: ZAP_MAXVALUELEN (8,192) less the final NUL
_SET = """
local words, result = (...)["argv"], {}
local last = 1 + 2 * tonumber(words[1])
for at = last + 1, #words do
    local error = 0
    for key = 2, last, 2 do
        if error == 0 then error = zfs.sync.set_prop(words[at], words[key], words[key + 1]) end
    end
    result[words[at]] = tostring(error)
end
return result
"""


def create(
    zfs: Zfs, names: Sequence[str], properties: Mapping[str, str], timeout: float, hurry: Callable[[], bool] = never
) -> None:
    """Take all snapshots `names` (`dataset@name`, one pool) in one atomic step that also sets `properties`.

    Once `hurry()` is true it has to end within a few seconds.
    """
    zfs.run(*_create_command(names, properties), timeout=timeout, hurry=hurry)


def check_room(names: Sequence[str], properties: Mapping[str, str]) -> None:
    """Raise InputError where `create` with properties twice as long would need more arguments than the system takes."""
    if arguments.size(_create_command(names, properties)) + arguments.size(properties.values()) > arguments.limit():
        raise too_long("snapshot")


def _create_command(names: Sequence[str], properties: Mapping[str, str]) -> list[str]:
    options = [word for key, value in properties.items() for word in ("-o", f"{key}={value}")]
    return ["snapshot", *options, *names]


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
    """Set `properties` on every snapshot of `names`, a hundred at a time; `zfs set` waits for the disks after each one.

    Raises ZfsError when one of them could not be set, after the others have been.
    """
    words = [str(len(properties)), *(word for pair in properties.items() for word in pair)]
    end = time.monotonic() + timeout
    said = program.run(zfs, _SET, words, {name: name for name in names}, lambda: max(0.0, end - time.monotonic()))
    failed = [f"{name} (error {code})" for name, code in said.items() if code != "0"]
    if failed:
        raise ZfsError(
            f"The properties of {counted(len(failed), 'ZFS snapshot')} could not be set, first of {failed[0]}",
            "Look whether it still exists, with 'zfs list -t snapshot'",
        )


def own(zfs: Zfs, names: Sequence[str], key: str) -> dict[str, str]:
    """The user property `key` of those of the snapshots `names` that carry it themselves."""
    what = ("get", "-H", "-p", "-o", "name,value,source", key)
    rows = [row for part in arguments.parts(names) for row in zfs.rows(*what, *part)]
    return {name: value for name, value, source in rows if source in ("local", "received")}


def bearing(zfs: Zfs, names: Sequence[str], key: str, value: str) -> list[str]:
    """Those of the snapshots `names`, which exist, whose own user property `key` has this value."""
    return [name for name, found in own(zfs, names, key).items() if found == value]


def existing(zfs: Zfs, names: Sequence[str], timeout: float = READ_TIMEOUT) -> list[str]:
    """Those of the snapshots `names` that exist."""
    found: list[str] = []
    for part in arguments.parts(names):
        try:
            listing = zfs.run("list", "-H", "-o", "name", "-t", "snapshot", *part, timeout=timeout)
        except DatasetNotFound as error:
            listing = error.output  # zfs lists what is there and complains about the rest
        found += listing.splitlines()
    return found


def facts(
    zfs: Zfs, datasets: Sequence[str], properties: Sequence[str], prefix: str, timeout: float = LONG_READ_TIMEOUT
) -> dict[str, dict[str, str]]:
    """`properties` of every snapshot of `datasets` and of what lies below them.

    User properties begin with `prefix`; one that the snapshot only inherits is left out. Parents first, oldest first.
    """
    found: dict[str, dict[str, str]] = {}
    what = ("get", "-H", "-p", "-r", "-t", "snapshot", "-o", "name,property,value,source", ",".join(properties))
    for part in arguments.parts(datasets):
        for name, key, value, source in zfs.rows(*what, *part, timeout=timeout):
            values = found.setdefault(name, {})
            if value != "-" and (not key.startswith(prefix) or source in ("local", "received")):
                values[key] = value
    return found


def written_since(zfs: Zfs, name: str, datasets: Sequence[str]) -> bool:
    """Whether anything was written to any of `datasets` since its snapshot `name` (the part behind the @).

    One that has no such snapshot counts as written to.
    """
    what = ("get", "-H", "-p", "-o", "value", f"written@{name}")
    return any(value != "0" for part in arguments.parts(datasets) for (value,) in zfs.rows(*what, *part))
