# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ZFS snapshots and the properties they carry.

A user property is anybody's text: of whoever may set it, and of whoever sent a stream that was received here. zfs shows
it as it is, so that one with line breaks and tabs shows rows about other properties and other snapshots. Hence answers
are believed only where they have the shape that no such text can imitate.
"""

from __future__ import annotations

import time
from typing import Callable, Mapping, Sequence

from ..errors import DatasetNotFound, ZfsError
from . import arguments
from .command import LONG_READ_TIMEOUT, READ_TIMEOUT, Zfs, lines, never, too_long

MAX_PROPERTY_VALUE = 8191  # bytes: ZAP_MAXVALUELEN (8,192) less the final NUL
_OWN = ("local", "received")  # sources of what was set on the snapshot or received with it
RECEIVED = "received "  # before the name of a property that came with zfs receive: see facts()
_ROWS = ("-o", "name,property,value,source")
_OF_EACH = ("get", "-H", "-p", *_ROWS)
_BELOW = ("get", "-H", "-p", "-r", "-t", "snapshot", *_ROWS)

_Said = dict[str, tuple[str, str]]  # property -> value, source


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
    the snapshot. What more than one row speaks of, or one of another shape, is left out. None if there is no such
    snapshot.
    """
    what = ("get", "-H", "-p", "-s", ",".join((*_OWN, "none")), "-o", "property,value,source")
    try:
        rows = zfs.rows(*what, "all", name)
    except DatasetNotFound:
        return None
    found: dict[str, list[tuple[str, str]]] = {}
    for key, value, source in (row for row in rows if len(row) == 3):
        found.setdefault(key, []).append((value, source))
    return {
        key: said[0][0]
        for key, said in found.items()
        if len(said) == 1 and (key == "creation" or (key.startswith(prefix) and said[0][1] in _OWN))
    }


def owned(zfs: Zfs, names: Sequence[str], key: str, owner: str, timeout: float) -> dict[str, str]:
    """The `createtxg` of those of the snapshots `names` whose user property `key` was set to `owner` on this host.

    Takes `timeout` seconds at most, also where some of them are not there and it has to ask again.
    """
    keys, end = ("createtxg", key, "creation"), time.monotonic() + timeout
    try:
        found = _of_each(zfs, names, keys, timeout)
    except DatasetNotFound:
        there = existing(zfs, names, max(0.0, end - time.monotonic()))
        found = _of_each(zfs, there, keys, max(0.0, end - time.monotonic())) if there else {}
    return {name: said["createtxg"][0] for name, said in found.items() if said[key] == (owner, "local")}


def own_of_each(zfs: Zfs, names: Sequence[str], keys: Sequence[str]) -> dict[str, dict[str, str]]:
    """The user properties `keys` of the snapshots `names`, with `creation`, as far as they carry them themselves.

    All of a snapshot that has one with line breaks or tabs is left out. Raises DatasetNotFound when one is not there.
    """
    said = _of_each(zfs, names, ("createtxg", *keys, "creation"), READ_TIMEOUT)
    return {
        name: {key: value for key, (value, source) in values.items() if key == "creation" or source in _OWN}
        for name, values in said.items()
    }


def existing(zfs: Zfs, names: Sequence[str], timeout: float = READ_TIMEOUT) -> list[str]:
    """Those of the snapshots `names` that exist."""
    found: list[str] = []
    for part in arguments.parts(names):
        try:
            listing = zfs.run("list", "-H", "-o", "name", "-t", "snapshot", *part, timeout=timeout)
        except DatasetNotFound as error:
            listing = error.output  # zfs lists what is there and complains about the rest
        found += lines(listing)
    return found


def facts(
    zfs: Zfs,
    datasets: Sequence[str],
    properties: Sequence[str],
    prefix: str,
    timeout: float = LONG_READ_TIMEOUT,
    local: Sequence[str] = (),
) -> dict[str, dict[str, str]]:
    """`properties` of every snapshot of `datasets` and of what lies below them.

    User properties begin with `prefix`; one that the snapshot only inherits is left out, and so are all of a snapshot
    that has one with line breaks or tabs. Those in `local` count only when they were set on this host: one that was
    received has RECEIVED before its name. Parents first, oldest first.
    """
    users = [key for key in properties if key.startswith(prefix)]
    others = [key for key in properties if key not in users and key not in ("createtxg", "creation")]
    # Numbers that nobody can set come first and last: see _blocks().
    keys = ("createtxg", *others, *users, "creation")
    found: dict[str, dict[str, str]] = {}
    for part in arguments.parts(datasets):
        said = _blocks(zfs.rows(*_BELOW, ",".join(keys), *part, timeout=timeout), keys)
        if said is None:
            said = _asked_apart(zfs, part, ("createtxg", *others, "creation"), users, timeout)
        for name, values in said.items():
            found[name] = {
                RECEIVED + key if key in local and source != "local" else key: value
                for key, (value, source) in values.items()
                if key in properties and value != "-" and (key not in users or source in _OWN)
            }
    return found


def written_since(zfs: Zfs, name: str, datasets: Sequence[str]) -> bool:
    """Whether anything was written to any of `datasets` since its snapshot `name` (the part behind the @).

    One that has no such snapshot counts as written to.
    """
    what = ("get", "-H", "-p", "-o", "value", f"written@{name}")
    return any(row != ["0"] for part in arguments.parts(datasets) for row in zfs.rows(*what, *part))


def _blocks(rows: Sequence[Sequence[str]], keys: Sequence[str]) -> dict[str, _Said] | None:
    """What `rows` (name, property, value, source) say of each snapshot, None unless they are what zfs alone can say:
    a block of rows for each, its `keys` in their order, and no snapshot twice.

    Where nobody can set the first and the last of `keys`, and they are two, no value can imitate that. Both rows name
    the snapshot, so they stand in its one block, and a line break between them makes it longer.
    """
    found: dict[str, _Said] = {}
    for begin in range(0, len(rows), len(keys)):
        block = rows[begin : begin + len(keys)]
        name = block[0][0]
        if name in found or [tuple(row[:2]) for row in block] != [(name, key) for key in keys]:
            return None
        if any(len(row) != 4 for row in block):
            return None
        found[name] = {key: (row[2], row[3]) for key, row in zip(keys, block)}
    return found


def _of_each(zfs: Zfs, names: Sequence[str], keys: Sequence[str], timeout: float) -> dict[str, _Said]:
    """What zfs says of `keys` of each of the snapshots `names`, without those that have a value with line breaks or
    tabs.

    Without such values there are as many rows as there is to say. Otherwise the halves are asked for apart, so that
    nobody's value can keep the others' from being believed.
    """
    found: dict[str, _Said] = {}
    for part in arguments.parts(names):
        said = _blocks(zfs.rows(*_OF_EACH, ",".join(keys), *part, timeout=timeout), keys)
        if said is not None and said.keys() == set(part):
            found.update(said)
        elif len(part) > 1:
            middle = len(part) // 2
            for half in (part[:middle], part[middle:]):
                found.update(_of_each(zfs, half, keys, timeout))
    return found


def _asked_apart(
    zfs: Zfs, datasets: Sequence[str], safe: Sequence[str], users: Sequence[str], timeout: float
) -> dict[str, _Said]:
    """The properties `safe`, which hold nobody's text, of all snapshots, and the `users` of those where they do not
    hold line breaks or tabs.
    """
    found = _blocks(zfs.rows(*_BELOW, ",".join(safe), *datasets, timeout=timeout), safe)
    if found is None:
        raise ZfsError(
            f"'zfs get' did not answer in its own form about the snapshots of {datasets[0]}",
            "Check that 'zfs' is the command of OpenZFS",
        )
    for name, said in _of_each(zfs, list(found), users, timeout).items():
        found[name].update(said)
    return found
