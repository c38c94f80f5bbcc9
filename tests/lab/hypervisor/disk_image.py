# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of a VM's disk at one point of its chain, as one file: the base disk with the changes of the deltas."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import BinaryIO, Iterator, Sequence

from .inside.descriptors import Descriptor

# The kernel's drivers/md/dm-snap-persistent.c: a header, then areas. An area has a chunk with a list of pairs (chunk of
# the disk, chunk of this file) and the chunks themselves. The list ends with a pair of zeros.
_MAGIC = 0x70416E53
_HEADER = struct.Struct("<4I")
_PAIR = struct.Struct("<2Q")


def changes(delta: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Return the changed chunks of a delta: their offset on the disk and their content.

    Raises ValueError if the delta is invalid. A new one without a header has no changes.
    """
    magic, valid, version, sectors = _HEADER.unpack(delta.read(_HEADER.size))
    if magic == 0:
        return
    if (magic, valid, version) != (_MAGIC, 1, 1):
        raise ValueError("not a valid delta")
    size = sectors * 512
    for old, new in _pairs(delta, size):
        delta.seek(new * size)
        yield old * size, delta.read(size)


def _pairs(delta: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    area = 1
    while True:
        delta.seek(area * size)
        listed = delta.read(size)
        for old, new in _PAIR.iter_unpack(listed):
            if new == 0:
                return
            yield old, new
        if len(listed) < size:
            return
        area += size // _PAIR.size + 1


def flatten(chain: Sequence[Descriptor], image: Path) -> None:
    """Write the content of the last disk of a chain to a new file."""
    shutil.copyfile(chain[0].data, image)
    with open(image, "rb+") as disk:
        for link in chain[1:]:
            with open(link.data, "rb") as delta:
                for offset, content in changes(delta):
                    disk.seek(offset)
                    disk.write(content)
