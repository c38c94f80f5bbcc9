# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates ZFS snapshots and reads their properties.

User properties are untrusted text: they can come from any user who may set them and from received streams. zfs does not
escape them, so a value with line breaks and tabs can imitate rows for other properties and snapshots. Therefore the
output of zfs is trusted only if it has a form that no value can imitate.
"""

from __future__ import annotations

import time
from typing import Callable, Mapping, Sequence

from ..door.host import never, size
from ..errors import DatasetNotFound, ZfsError
from ..grouping import grouped
from . import arguments
from .command import LONG_READ_TIMEOUT, READ_TIMEOUT, Zfs, lines, too_long

MAX_PROPERTY_VALUE = 8191  # bytes: ZAP_MAXVALUELEN (8,192) minus the final NUL
_OWN = ("local", "received")  # sources of values that are set on the snapshot or received with it
RECEIVED = "received "  # prefix to the name of a property that came with zfs receive: see facts()
_ROWS = ("-o", "name,property,value,source")
_OF_EACH = ("get", "-H", "-p", *_ROWS)
_BELOW = ("get", "-H", "-p", "-r", "-t", "snapshot", *_ROWS)

_Values = dict[str, tuple[str, str]]  # property -> value, source


def create(
    zfs: Zfs, names: Sequence[str], properties: Mapping[str, str], timeout: float, hurry: Callable[[], bool] = never
) -> None:
    """Create all snapshots `names` (`dataset@name`, one pool) atomically, with `properties` set on each.

    Once `hurry()` returns true, zfs must finish within a few seconds.
    """
    zfs.run(*_create_command(names, properties), timeout=timeout, hurry=hurry)


def check_room(zfs: Zfs, names: Sequence[str], properties: Mapping[str, str]) -> None:
    """Raise InputError if `create` with properties twice as long would exceed the system's limit on arguments."""
    if size(_create_command(names, properties)) + size(properties.values()) > zfs.host.argument_limit():
        raise too_long("snapshot")


def _create_command(names: Sequence[str], properties: Mapping[str, str]) -> list[str]:
    options = [word for key, value in properties.items() for word in ("-o", f"{key}={value}")]
    return ["snapshot", *options, *names]


def properties(zfs: Zfs, name: str, prefix: str) -> dict[str, str] | None:
    """Return the snapshot's own user properties that begin with `prefix`, and its `creation` (seconds since 1970).

    Own properties are set on the snapshot or received with it, not inherited from the dataset. A property that several
    rows show, or a row of the wrong length, is ignored. Returns None if the snapshot does not exist.
    """
    what = ("get", "-H", "-p", "-s", ",".join((*_OWN, "none")), "-o", "property,value,source")
    try:
        rows = zfs.rows(*what, "all", name)
    except DatasetNotFound:
        return None
    found = grouped((key, (value, source)) for key, value, source in (row for row in rows if len(row) == 3))
    return {
        key: values[0][0]
        for key, values in found.items()
        if len(values) == 1 and (key == "creation" or (key.startswith(prefix) and values[0][1] in _OWN))
    }


def owned(zfs: Zfs, names: Sequence[str], key: str, owner: str, timeout: float) -> dict[str, str]:
    """Return the `createtxg` of the snapshots in `names` whose user property `key` was set to `owner` on this host.

    Takes at most `timeout` seconds in total, even if some snapshots do not exist and a second query is needed.
    """
    keys, end = ("createtxg", key, "creation"), time.monotonic() + timeout
    try:
        found = _of_each(zfs, names, keys, timeout)
    except DatasetNotFound:
        present = existing(zfs, names, max(0.0, end - time.monotonic()))
        found = _of_each(zfs, present, keys, max(0.0, end - time.monotonic())) if present else {}
    return {name: values["createtxg"][0] for name, values in found.items() if values[key] == (owner, "local")}


def own_of_each(zfs: Zfs, names: Sequence[str], keys: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return `creation` and the own user properties among `keys` of each snapshot in `names`.

    A snapshot is left out if one of the values contains line breaks or tabs. Raises DatasetNotFound if a snapshot does
    not exist.
    """
    found = _of_each(zfs, names, ("createtxg", *keys, "creation"), READ_TIMEOUT)
    return {
        name: {key: value for key, (value, source) in values.items() if key == "creation" or source in _OWN}
        for name, values in found.items()
    }


def existing(zfs: Zfs, names: Sequence[str], timeout: float = READ_TIMEOUT) -> list[str]:
    """Return the snapshots in `names` that exist."""
    found: list[str] = []
    for part in arguments.parts(zfs.host, names):
        try:
            listing = zfs.run("list", "-H", "-o", "name", "-t", "snapshot", *part, timeout=timeout)
        except DatasetNotFound as error:
            listing = error.output  # zfs lists those that exist and reports an error for the others
        found += lines(listing)
    return found


def facts(
    zfs: Zfs, datasets: Sequence[str], properties: Sequence[str], prefix: str, local: Sequence[str] = ()
) -> dict[str, dict[str, str]]:
    """Return `properties` of every snapshot of `datasets` and their children, parents first, oldest first.

    User properties begin with `prefix`. Inherited ones are left out. If a snapshot has a user property with line breaks
    or tabs, all its user properties are left out. For the properties in `local`, the name of a received one is prefixed
    with RECEIVED, because only values set on this host count.
    """
    users = [key for key in properties if key.startswith(prefix)]
    others = [key for key in properties if key not in users and key not in ("createtxg", "creation")]
    # Numbers that users cannot set come first and last: see _blocks().
    keys = ("createtxg", *others, *users, "creation")
    found: dict[str, dict[str, str]] = {}
    for part in arguments.parts(zfs.host, datasets):
        values_of = _blocks(zfs.rows(*_BELOW, ",".join(keys), *part, timeout=LONG_READ_TIMEOUT), keys)
        if values_of is None:
            values_of = _read_separately(zfs, part, ("createtxg", *others, "creation"), users)
        for name, values in values_of.items():
            found[name] = {
                RECEIVED + key if key in local and source != "local" else key: value
                for key, (value, source) in values.items()
                if key in properties and value != "-" and (key not in users or source in _OWN)
            }
    return found


def written_since(zfs: Zfs, name: str, datasets: Sequence[str]) -> bool:
    """Return whether any of `datasets` was written to since its snapshot `name` (the part after the @).

    A dataset without this snapshot counts as written to.
    """
    what = ("get", "-H", "-p", "-o", "value", f"written@{name}")
    return any(row != ["0"] for part in arguments.parts(zfs.host, datasets) for row in zfs.rows(*what, *part))


def _blocks(rows: Sequence[Sequence[str]], keys: Sequence[str]) -> dict[str, _Values] | None:
    """Parse `rows` (name, property, value, source). Returns None if a user's value may have added rows.

    Genuine output has one block of rows per snapshot, with `keys` in their order, and no snapshot twice. No value can
    imitate that if the first and the last of `keys` are different properties that users cannot set: both rows name the
    snapshot, so they are in its only block, and a line break between them makes the block longer.
    """
    found: dict[str, _Values] = {}
    for begin in range(0, len(rows), len(keys)):
        block = rows[begin : begin + len(keys)]
        name = block[0][0]
        if name in found or [tuple(row[:2]) for row in block] != [(name, key) for key in keys]:
            return None
        if any(len(row) != 4 for row in block):
            return None
        found[name] = {key: (row[2], row[3]) for key, row in zip(keys, block)}
    return found


def _of_each(zfs: Zfs, names: Sequence[str], keys: Sequence[str], timeout: float) -> dict[str, _Values]:
    """Read `keys` of each snapshot in `names`, except snapshots that have a value with line breaks or tabs.

    If the output contains such a value, each half of the snapshots is read separately, and so on, so that one bad value
    does not affect other snapshots.
    """
    found: dict[str, _Values] = {}
    for part in arguments.parts(zfs.host, names):
        values_of = _blocks(zfs.rows(*_OF_EACH, ",".join(keys), *part, timeout=timeout), keys)
        if values_of is not None and values_of.keys() == set(part):
            found.update(values_of)
        elif len(part) > 1:
            middle = len(part) // 2
            for half in (part[:middle], part[middle:]):
                found.update(_of_each(zfs, half, keys, timeout))
    return found


def _read_separately(
    zfs: Zfs, datasets: Sequence[str], safe: Sequence[str], users: Sequence[str]
) -> dict[str, _Values]:
    """Read two groups of properties of all snapshots: `safe`, which users cannot set, and the user properties `users`.

    The user properties of a snapshot are left out if one of them contains line breaks or tabs.
    """
    found = _blocks(zfs.rows(*_BELOW, ",".join(safe), *datasets, timeout=LONG_READ_TIMEOUT), safe)
    if found is None:
        raise ZfsError(
            f"'zfs get' returned output in an unknown format for the snapshots of {datasets[0]}",
            "Check that 'zfs' is the OpenZFS command",
        )
    for name, values in _of_each(zfs, list(found), users, LONG_READ_TIMEOUT).items():
        found[name].update(values)
    return found
