# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps for exportfs that make one share active and change no other export, as plain data.

`exportfs -ra` replaces the active exports with those in the files. It would drop the exports of a cluster resource or
an administrator that are in no file. So the steps name only the path and the clients of the share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Sequence

from ..addresses import address
from .clients import Resolved, covers, names, same_client
from .share import differ
from .table import Entry


@dataclass(frozen=True)
class Steps:
    """Entries to export or to change, and lines of the table of active exports to withdraw after that."""

    unexport: tuple[Entry, ...] = ()
    export: tuple[Entry, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.unexport or self.export)


def steps(former: Sequence[Entry], wanted: Sequence[Entry], table: Sequence[Entry], resolved: Resolved) -> Steps:
    """Return the steps from the table's lines for a path to `wanted`. `former` are the entries in the share's file,
    exported or not. Only lines for their clients are withdrawn.
    """
    return Steps(
        tuple(line for line in table if is_among(line, former, resolved) and not is_among(line, wanted, resolved)),
        tuple(entry for entry in wanted if not in_force([entry], table, resolved)),
    )


def back(was: Sequence[Entry], former: Sequence[Entry], table: Sequence[Entry], resolved: Resolved) -> Steps:
    """Return the steps from the table's lines for a path back to the lines `was`, for the clients of `former` only."""
    mine = [line for line in was if is_among(line, former, resolved)]
    now = [line for line in table if is_among(line, former, resolved)]
    return Steps(
        tuple(line for line in now if not is_among(line, mine, resolved)),
        tuple(
            line for line in mine if not any((line.client, line.options) == (one.client, one.options) for one in now)
        ),
    )


def is_among(line: Entry, entries: Iterable[Entry], resolved: Resolved) -> bool:
    """Return whether one of the entries is for the client of the line."""
    return any(same_client(line.client, entry.client, resolved) for entry in entries)


def in_force(wanted: Iterable[Entry], table: Iterable[Entry], resolved: Resolved) -> bool:
    """Return whether each entry has its own line among the lines for its path in the table of active exports."""
    now = list(table)
    return all(
        any(not differ(entry, line) and covers(line.client, entry.client, resolved) for line in now) for entry in wanted
    )


def unresolved(table: Iterable[Entry], resolved: Resolved) -> list[Entry]:
    """Return the lines for host names that do not exist or currently cannot be resolved. exportfs drops these lines
    when it writes the table.
    """
    return [line for line in table if any(not resolved.get(name) for name in names([line.client]))]


def argument(entry: Entry) -> str:
    """Return an entry as an argument for exportfs, `client:path`. An IPv6 address is in brackets."""
    bare, slash, length = entry.client.partition("/")
    found = address(bare)
    client = f"[{bare}]{slash}{length}" if found is not None and ":" in bare else entry.client
    return f"{client}:{entry.path}"
