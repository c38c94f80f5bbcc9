# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting user properties on the ZFS snapshots of one owner, in a fixed order, and on nobody else's.

A channel program sets them (`zfs set` waits for the disks after each snapshot) and checks each snapshot in the same
step: its owner property, which has to be its own, and its `createtxg`. One that was renamed, or destroyed and made
anew, stays as it is.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Iterable, Iterator, Sequence

from ..errors import QuiesceError, ZfsTimeout
from . import arguments, program
from .command import Zfs
from .names import pool_of

_MOST_BYTES = 2**20  # of a program's arguments: Lua has 10 MB of memory, and keeps what it did when that is not enough
_PROGRAM = """
local words, result = (...)["argv"], {}
local at = 3
while at <= #words do
    local name, born, last = words[at], words[at + 1], at + 2 + 2 * tonumber(words[at + 2])
    local said = "gone"
    if result[name] ~= nil and result[name] ~= "set" then
        said = result[name] -- a part of it failed before: what comes after must not be set
    elseif zfs.exists(name) then
        local owner, source = zfs.get_prop(name, words[1])
        if owner == words[2] and source == name
            and (born == "" or tostring(zfs.get_prop(name, "createtxg")) == born) then
            local error = 0
            for key = at + 3, last, 2 do
                if error == 0 then error = zfs.sync.set_prop(name, words[key], words[key + 1]) end
            end
            said = error == 0 and "set" or tostring(error)
        end
    end
    result[name] = said
    at = last + 1
end
return result
"""
GONE = "it was destroyed, renamed or replaced"
_MEANINGS = {"set": "", "gone": GONE}


@dataclass(frozen=True)
class Assignment:
    """`properties` to set on one snapshot, in this order. `createtxg` tells equal names apart, "" where not known."""

    snapshot: str
    createtxg: str
    properties: tuple[tuple[str, str], ...]


def assign(zfs: Zfs, key: str, owner: str, assignments: Sequence[Assignment], timeout: float) -> dict[str, str]:
    """Set the properties on those snapshots whose own user property `key` is `owner`; all of one pool.

    Returns for each snapshot "" once all are set, GONE, or why they are not: then the first ones may be set. Whatever
    is not done within `timeout` seconds is not begun.
    """
    end = time.monotonic() + timeout
    said: dict[str, str] = {}
    failure = ""
    for batch in _batches(assignments):
        begun = [piece for piece in batch if said.get(piece.snapshot, "") == ""]
        if begun and not failure:
            words = [key, owner, *(word for piece in begun for word in _words(piece))]
            try:
                left = end - time.monotonic()
                if left <= 0:
                    raise ZfsTimeout(f"not all of them were set within {timeout:g} seconds")
                answer = program.call(zfs, pool_of(begun[0].snapshot), _PROGRAM, words, left)
                said.update({piece.snapshot: _meaning(answer.get(piece.snapshot)) for piece in begun})
            except QuiesceError as error:
                failure = error.problem
        if failure:
            said.update({piece.snapshot: failure for piece in begun})
    return said


def _meaning(code: object) -> str:
    return _MEANINGS.get(str(code), f"zfs refuses (error {code})" if code else "zfs did not report what it did")


def _batches(assignments: Iterable[Assignment]) -> Iterator[list[Assignment]]:
    """The assignments in as few programs as their number and size allow; a large one in several, in its order."""
    room = min(_MOST_BYTES, arguments.limit() // 2)
    batch: list[Assignment] = []
    taken = 0
    for whole in assignments:
        for piece in _pieces(whole, room):
            size = arguments.size(_words(piece))
            if batch and (taken + size > room or len(batch) >= program.MOST_SNAPSHOTS):
                yield batch
                batch, taken = [], 0
            batch.append(piece)
            taken += size
    if batch:
        yield batch


def _pieces(whole: Assignment, room: int) -> Iterator[Assignment]:
    piece: list[tuple[str, str]] = []
    taken = 0
    for pair in whole.properties:
        size = arguments.size(pair)
        if piece and taken + size > room // 2:
            yield Assignment(whole.snapshot, whole.createtxg, tuple(piece))
            piece, taken = [], 0
        piece.append(pair)
        taken += size
    yield Assignment(whole.snapshot, whole.createtxg, tuple(piece))


def _words(piece: Assignment) -> list[str]:
    pairs = [word for pair in piece.properties for word in pair]
    return [piece.snapshot, piece.createtxg, str(len(piece.properties)), *pairs]
