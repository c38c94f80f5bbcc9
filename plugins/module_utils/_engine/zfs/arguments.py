# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much one command can be told: the system limits the arguments of a process, on Linux to 2 MiB (execve(2))."""

from __future__ import annotations

import os
from typing import Iterable, Iterator, Sequence

_MOST = 6 * 1024 * 1024  # bytes; Linux allows no more, however large the stack may grow
_POINTER = 8  # bytes that each argument takes beside its text and the final NUL


def size(words: Iterable[str]) -> int:
    """What `words` take of the limit, in bytes."""
    return sum(len(os.fsencode(word)) + 1 + _POINTER for word in words)


def limit() -> int:
    """Bytes that the arguments of one command may take: what the environment leaves, less a page for the rest."""
    return min(os.sysconf("SC_ARG_MAX"), _MOST) - size(f"{name}={value}" for name, value in os.environ.items()) - 4096


def parts(names: Sequence[str]) -> Iterator[list[str]]:
    """`names` in as few parts as fit into a command each, with half of the limit left for its other arguments."""
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
