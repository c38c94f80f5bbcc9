# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk descriptors (.vmdk): which file has the data of a disk, and which disk it is a delta of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Sequence

from . import volumes
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
_EXTENT = re.compile(r'^RW (\d+) [A-Z]+ "([^"]+)"', re.MULTILINE)
_PARENT = re.compile(r'^parentFileNameHint="([^"]+)"$', re.MULTILINE)
_KIND = re.compile(r'^createType="([^"]+)"$', re.MULTILINE)
_RAW = {"vmfsPassthroughRawDeviceMap": "rdm_physical", "vmfsRawDeviceMap": "rdm_virtual"}


@dataclass(frozen=True)
class Descriptor:
    """`path` is the descriptor. `data` is the file with the data: the whole disk, or the changes since `parent`."""

    path: Path
    sectors: int
    data: Path
    parent: Path | None = None

    def write(self) -> None:
        delta = self.parent is not None
        hint = f'parentFileNameHint="{volumes.named(self.parent, self.path.parent)}"\n' if self.parent else ""
        text = _TEXT.format(
            parent_id="fffffffe" if delta else "ffffffff",
            kind="vmfsSparse" if delta else "vmfs",
            extent_kind="VMFSSPARSE" if delta else "VMFS",
            hint=hint,
            sectors=self.sectors,
            extent=volumes.named(self.data, self.path.parent),
        )
        replace(self.path, text)

    def delete(self) -> None:
        self.path.unlink()
        self.data.unlink()


def read(path: Path) -> Descriptor:
    """Raises Refused if the descriptor or its data is missing, or if it is invalid."""
    found = _parse(path)
    if not found.data.exists():
        raise Refused("FileNotFound", f"the file {found.data} of the disk {path} does not exist")
    return found


def _parse(path: Path) -> Descriptor:
    text = _text(path)
    extent, parent = _EXTENT.search(text), _PARENT.search(text)
    if extent is None:
        raise Refused("InvalidDiskFormat", f"{path} is not a disk descriptor")
    above = volumes.resolve(path.parent, parent[1]) if parent else None
    return Descriptor(path, int(extent[1]), volumes.resolve(path.parent, extent[2]), above)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        raise Refused("FileNotFound", f"the disk {path} does not exist") from None


def kind(path: Path) -> str:
    """Return `flat`, or `rdm_physical` or `rdm_virtual` for a raw LUN. A missing disk is `flat`."""
    try:
        found = _KIND.search(_text(path))
    except Refused:
        return "flat"
    return _RAW.get(found[1], "flat") if found else "flat"


def parent(path: Path) -> Path | None:
    """Return the disk that a disk is a delta of. A missing disk has none."""
    try:
        return _parse(path).parent
    except Refused:
        return None


def chain(top: Path) -> list[Descriptor]:
    """Return a disk and all disks that it is a delta of. The base disk comes first."""
    return list(_upwards(top))[::-1]


def _upwards(path: Path) -> Iterator[Descriptor]:
    following: Path | None = path
    while following is not None:
        found = read(following)
        yield found
        following = found.parent


def known_chain(top: Path) -> tuple[list[Path], int]:
    """Return the files of a chain, the base disk first, up to the first that is missing, and the size in sectors."""
    files, sectors, following = [top], 0, top
    try:
        while True:
            found = _parse(following)
            sectors = found.sectors
            if found.parent is None or found.parent in files:
                break
            following = found.parent
            files.append(following)
    except Refused:
        pass
    return files[::-1], sectors


def children(disk: Path, *folders: Path) -> list[Descriptor]:
    """Return the deltas of a disk in its folder and in other folders."""
    places = dict.fromkeys((disk.parent, *folders))
    paths = [path for folder in places for path in sorted(folder.glob("*.vmdk")) if is_descriptor(path)]
    return [other for other in _readable(paths) if other.parent == disk]


def _readable(paths: Sequence[Path]) -> Iterator[Descriptor]:
    for path in paths:
        try:
            yield _parse(path)
        except Refused:
            pass


def is_descriptor(path: Path) -> bool:
    return not path.name.endswith(("-flat.vmdk", "-delta.vmdk", "-rdmp.vmdk", "-rdm.vmdk", "-ctk.vmdk"))
