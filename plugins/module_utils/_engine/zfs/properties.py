# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets user properties, in a fixed order, on ZFS snapshots of one owner only.

A channel program sets them, because `zfs set` waits for the disks after each snapshot. In the same transaction, the
program checks each snapshot's owner property, which must be set on the snapshot itself, and its `createtxg`. A snapshot
that was renamed, or destroyed and created again, is not changed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Iterable, Iterator, Sequence

from ..door.host import size
from ..errors import QuiesceError, ZfsTimeout
from . import program
from .arguments import filled
from .command import Zfs
from .names import pool_of

_MOST_BYTES = 2**20  # of arguments per program: it has 10 MB of memory, and a program that runs out does half its work
_PROGRAM = """
local words, result = (...)["argv"], {}
local at = 3
while at <= #words do
    local name, born, last = words[at], words[at + 1], at + 2 + 2 * tonumber(words[at + 2])
    local outcome = "gone"
    if result[name] ~= nil and result[name] ~= "set" then
        outcome = result[name] -- an earlier part failed, so later properties must not be set
    elseif zfs.exists(name) then
        local owner, source = zfs.get_prop(name, words[1])
        if owner == words[2] and source == name
            and (born == "" or tostring(zfs.get_prop(name, "createtxg")) == born) then
            local error = 0
            for key = at + 3, last, 2 do
                if error == 0 then error = zfs.sync.set_prop(name, words[key], words[key + 1]) end
            end
            outcome = error == 0 and "set" or tostring(error)
        end
    end
    result[name] = outcome
    at = last + 1
end
return result
"""
GONE = "it was destroyed, renamed or replaced"
_MEANINGS = {"set": "", "gone": GONE}


@dataclass(frozen=True)
class Assignment:
    """`properties` to set on one snapshot, in this order. `createtxg` identifies the snapshot; "" if unknown."""

    snapshot: str
    createtxg: str
    properties: tuple[tuple[str, str], ...]


def assign(zfs: Zfs, key: str, owner: str, assignments: Sequence[Assignment], timeout: float) -> dict[str, str]:
    """Set the properties on the snapshots whose own user property `key` is `owner`. All must be in one pool.

    Returns for each snapshot "" if all its properties are set, GONE, or the reason for the failure. After a failure
    the first properties may be set. No new program starts after `timeout` seconds.
    """
    end = time.monotonic() + timeout
    failures: dict[str, str] = {}
    failure = ""
    for batch in _batches(zfs, assignments):
        begun = [piece for piece in batch if failures.get(piece.snapshot, "") == ""]
        if begun and not failure:
            words = [key, owner, *(word for piece in begun for word in _words(piece))]
            try:
                left = end - time.monotonic()
                if left <= 0:
                    raise ZfsTimeout(f"not all properties were set within {timeout:g} seconds")
                answer = program.call(zfs, pool_of(begun[0].snapshot), _PROGRAM, words, left)
                failures.update({piece.snapshot: _meaning(answer.get(piece.snapshot)) for piece in begun})
            except QuiesceError as error:
                failure = error.problem
        if failure:
            failures.update({piece.snapshot: failure for piece in begun})
    return failures


def _meaning(code: object) -> str:
    return _MEANINGS.get(str(code), f"zfs refuses (error {code})" if code else "zfs did not report a result")


def _batches(zfs: Zfs, assignments: Iterable[Assignment]) -> Iterator[list[Assignment]]:
    """Group the assignments into as few programs as the limits allow. A large assignment is split, in its order."""
    room = min(_MOST_BYTES, zfs.host.argument_limit() // 2)
    pieces = (
        replace(whole, properties=tuple(pairs))
        for whole in assignments
        for pairs in filled(whole.properties, size, room // 2)
    )
    return filled(pieces, lambda piece: size(_words(piece)), room, program.MOST_SNAPSHOTS)


def _words(piece: Assignment) -> list[str]:
    pairs = [word for pair in piece.properties for word in pair]
    return [piece.snapshot, piece.createtxg, str(len(piece.properties)), *pairs]
