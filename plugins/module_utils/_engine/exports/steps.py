# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What exportfs has to be told so that one share is in force, and nothing else: as plain data, line by line.

`exportfs -ra` makes the table in force what the files say, and so drops what a cluster's resource or an administrator
exports without a file. Hence exportfs is told of our own path and clients alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Sequence

from ..storage_host.view import address
from .clients import Resolved, covers, names, same_client
from .share import differ
from .table import Entry


@dataclass(frozen=True)
class Steps:
    """Entries that have to come, or to get other options, and then lines of the table in force that have to go."""

    unexport: tuple[Entry, ...] = ()
    export: tuple[Entry, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.unexport or self.export)


def steps(former: Sequence[Entry], wanted: Sequence[Entry], table: Sequence[Entry], resolved: Resolved) -> Steps:
    """From the table's lines for a path to `wanted`. Of lines that are not wanted only those of `former` go, which are
    the entries that the share's file had, whether they were exported or not.
    """
    return Steps(
        tuple(line for line in table if is_among(line, former, resolved) and not is_among(line, wanted, resolved)),
        tuple(entry for entry in wanted if not in_force([entry], table, resolved)),
    )


def back(was: Sequence[Entry], former: Sequence[Entry], table: Sequence[Entry], resolved: Resolved) -> Steps:
    """From the table's lines for a path back to the lines `was`, as far as they are those of `former` entries."""
    mine = [line for line in was if is_among(line, former, resolved)]
    now = [line for line in table if is_among(line, former, resolved)]
    return Steps(
        tuple(line for line in now if not is_among(line, mine, resolved)),
        tuple(
            line for line in mine if not any((line.client, line.options) == (one.client, one.options) for one in now)
        ),
    )


def is_among(line: Entry, entries: Iterable[Entry], resolved: Resolved) -> bool:
    """Whether one of the entries is for the client of the line."""
    return any(same_client(line.client, entry.client, resolved) for entry in entries)


def in_force(wanted: Iterable[Entry], table: Iterable[Entry], resolved: Resolved) -> bool:
    """Whether each entry has a line of its own among those for its path in the table that the NFS server works by."""
    now = list(table)
    return all(
        any(not differ(entry, line) and covers(line.client, entry.client, resolved) for line in now) for entry in wanted
    )


def unresolved(table: Iterable[Entry], resolved: Resolved) -> list[Entry]:
    """The lines for host names of which the resolver cannot say now, or which do not exist: exportfs drops them when it
    writes the table.
    """
    return [line for line in table if any(not resolved.get(name) for name in names([line.client]))]


def argument(entry: Entry) -> str:
    """An entry as exportfs takes it for an argument, `client:path`; an IPv6 address stands in brackets."""
    bare, slash, length = entry.client.partition("/")
    found = address(bare)
    client = f"[{bare}]{slash}{length}" if found is not None and ":" in bare else entry.client
    return f"{client}:{entry.path}"
