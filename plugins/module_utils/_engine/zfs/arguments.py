# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps commands within the system's limit on the arguments of a process, on Linux 2 MiB by default (execve(2))."""

from __future__ import annotations

from typing import Iterator, Sequence

from ..door.host import StorageHost, size


def parts(host: StorageHost, names: Sequence[str]) -> Iterator[list[str]]:
    """Split `names` into parts that each fit into one command. Half of the limit is reserved for other arguments."""
    room = host.argument_limit() // 2
    part: list[str] = []
    taken = 0
    for name in names:
        more = size([name])
        if part and taken + more > room:
            yield part
            part, taken = [], 0
        part.append(name)
        taken += more
    if part:
        yield part
