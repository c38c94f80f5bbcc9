# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps commands within the system's limit on the arguments of a process, on Linux 2 MiB by default (execve(2))."""

from __future__ import annotations

import sys
from typing import Callable, Iterable, Iterator, Sequence, TypeVar

from ..door.host import StorageHost, size

Item = TypeVar("Item")


def parts(host: StorageHost, names: Sequence[str]) -> Iterator[list[str]]:
    """Split `names` into parts that each fit into one command. Half of the limit is reserved for other arguments."""
    return filled(names, lambda name: size([name]), host.argument_limit() // 2)


def filled(
    items: Iterable[Item], size_of: Callable[[Item], int], room: int, most: int = sys.maxsize
) -> Iterator[list[Item]]:
    """Split `items` in their order into parts of at most `room` bytes and `most` items. A larger item is one part."""
    part: list[Item] = []
    taken = 0
    for item in items:
        more = size_of(item)
        if part and (taken + more > room or len(part) >= most):
            yield part
            part, taken = [], 0
        part.append(item)
        taken += more
    if part:
        yield part
