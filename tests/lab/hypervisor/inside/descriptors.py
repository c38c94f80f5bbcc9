# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk descriptors (.vmdk): which file has the data of a disk, and which disk it is a delta of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from .errors import Refused
from .settings import replace

_TEXT = """# Disk DescriptorFile
version=1
encoding="UTF-8"
CID=fffffffe
parentCID={parent_id}
createType="{kind}"
{hint}
# Extent description
RW {sectors} {extent_kind} "{extent}"

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.virtualHWVersion = "13"
"""
_EXTENT = re.compile(r'^RW (\d+) (?:VMFS|VMFSSPARSE) "([^"]+)"$', re.MULTILINE)
_PARENT = re.compile(r'^parentFileNameHint="([^"]+)"$', re.MULTILINE)


@dataclass(frozen=True)
class Descriptor:
    """`path` is the descriptor. `data` is the file with the data: the whole disk, or the changes since `parent`."""

    path: Path
    sectors: int
    data: Path
    parent: Path | None = None

    def write(self) -> None:
        delta = self.parent is not None
        hint = f'parentFileNameHint="{_named(self.parent, self.path.parent)}"\n' if self.parent else ""
        text = _TEXT.format(
            parent_id="fffffffe" if delta else "ffffffff",
            kind="vmfsSparse" if delta else "vmfs",
            extent_kind="VMFSSPARSE" if delta else "VMFS",
            hint=hint,
            sectors=self.sectors,
            extent=_named(self.data, self.path.parent),
        )
        replace(self.path, text)

    def delete(self) -> None:
        self.path.unlink()
        self.data.unlink()


def _named(file: Path, folder: Path) -> str:
    """Files in the same folder are named without it, others with their whole path."""
    return file.name if file.parent == folder else str(file)


def read(path: Path) -> Descriptor:
    """Raises Refused if the descriptor is missing or invalid."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Refused("FileNotFound", f"the disk {path} does not exist") from None
    extent, parent = _EXTENT.search(text), _PARENT.search(text)
    if extent is None:
        raise Refused("InvalidDiskFormat", f"{path} is not a disk descriptor")
    data = path.parent / extent[2]
    if not data.exists():
        raise Refused("FileNotFound", f"the file {data} of the disk {path} does not exist")
    return Descriptor(path, int(extent[1]), data, path.parent / parent[1] if parent else None)


def chain(top: Path) -> list[Descriptor]:
    """Return a disk and all disks that it is a delta of. The base disk comes first."""
    return list(_upwards(top))[::-1]


def _upwards(path: Path) -> Iterator[Descriptor]:
    following: Path | None = path
    while following is not None:
        found = read(following)
        yield found
        following = found.parent


def children(disk: Path) -> list[Descriptor]:
    """Return the deltas of a disk in its folder."""
    others = [read(path) for path in sorted(disk.parent.glob("*.vmdk")) if is_descriptor(path)]
    return [other for other in others if other.parent == disk]


def is_descriptor(path: Path) -> bool:
    return not path.name.endswith(("-flat.vmdk", "-delta.vmdk"))
