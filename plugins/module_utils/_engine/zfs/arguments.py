# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps commands within the system's limit on the arguments of a process, on Linux 2 MiB by default (execve(2))."""

from __future__ import annotations

import os
from typing import Iterable, Iterator, Sequence

_MOST = 6 * 1024 * 1024  # bytes; Linux allows no more, regardless of the stack size limit
_POINTER = 8  # bytes that each argument takes in addition to its text and the final NUL


def size(words: Iterable[str]) -> int:
    """Return how many bytes of the limit `words` use."""
    return sum(len(os.fsencode(word)) + 1 + _POINTER for word in words)


def limit() -> int:
    """Return how many bytes the arguments of one command may use. Reserves a page."""
    return min(os.sysconf("SC_ARG_MAX"), _MOST) - size(f"{name}={value}" for name, value in os.environ.items()) - 4096


def parts(names: Sequence[str]) -> Iterator[list[str]]:
    """Split `names` into parts that each fit into one command. Half of the limit is reserved for other arguments."""
    room = limit() // 2
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
