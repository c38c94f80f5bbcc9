# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that the guest's writer fills: numbered records in a ring. The judge reads it from the disk."""

from __future__ import annotations

import struct
import zlib
from typing import Iterator

FILE = "records"
SIZE, SLOTS = 512, 2048
_HEAD = struct.Struct("<QI")
_FILLER = bytes(SIZE - _HEAD.size)


def encode(number: int) -> bytes:
    """Return a record. Numbers start at 1."""
    return _HEAD.pack(number, zlib.crc32(number.to_bytes(8, "little"))) + _FILLER


def offset(number: int) -> int:
    return number % SLOTS * SIZE


def numbers(content: bytes) -> Iterator[int]:
    """Return the numbers of all valid records in the content of the file."""
    for start in range(0, len(content) - SIZE + 1, SIZE):
        number, checksum = _HEAD.unpack_from(content, start)
        if number and number % SLOTS * SIZE == start and zlib.crc32(number.to_bytes(8, "little")) == checksum:
            yield number
