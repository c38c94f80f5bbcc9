# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What disk descriptors (.vmdk) say: which files have the data of a disk, and which disk it is a delta of.

Pure functions of texts. All names and paths in the results are untrusted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Callable

from ..text import printable
from .settings_text import check_size, damaged, pair_in
from .vm_files import is_in_folder

PHYSICAL, VIRTUAL = "physical", "virtual"  # compatibility modes of a raw device mapping (RDM)
_MAGIC = "# disk descriptorfile"
_EXTENT = re.compile(r'\s*(?:RW|RDONLY|NOACCESS)\s+(\d{1,19})\s+([A-Za-z]{1,20})(?:\s+"([^"]*)")?(?:\s+\d+)?\s*\Z')
_KINDS_OF_RDM = {
    "vmfsrawdevicemap": VIRTUAL,
    "vmfsrdm": VIRTUAL,
    "vmfspassthroughrawdevicemap": PHYSICAL,
    "vmfsrdmp": PHYSICAL,
    "vmfsraw": PHYSICAL,
    "fulldevice": PHYSICAL,
    "partitioneddevice": PHYSICAL,
}
_NO_PARENT = ("", "ffffffff")
_LONGEST_CHAIN = 255  # descriptors of a disk; vSphere allows 32 VMware snapshots in a chain


@dataclass(frozen=True)
class Extent:
    """A file with data of a disk. `kind` is, for example, VMFS, VMFSSPARSE, SESPARSE or VMFSRDM."""

    sectors: int
    kind: str
    file: str


@dataclass(frozen=True)
class Descriptor:
    """A disk descriptor. `parent` is the path of the disk that this one is a delta of, as written, or "".

    `rdm` is the compatibility mode of a raw device mapping, or "".
    """

    file: str
    kind: str
    parent: str
    extents: tuple[Extent, ...]
    rdm: str = ""

    @property
    def sectors(self) -> int:
        """The size of the disk in sectors of 512 bytes."""
        return sum(extent.sectors for extent in self.extents)


@dataclass(frozen=True)
class Chain:
    """The descriptors of a disk in one folder, from the one that the VM writes to down to the base disk.

    `outside` is the path of a parent disk in another folder, or "". With one, the VM is a linked clone.
    """

    descriptors: tuple[Descriptor, ...]
    outside: str = ""

    @property
    def base(self) -> Descriptor | None:
        """The base disk, or the last descriptor before `outside`. None if the disk itself is in another folder."""
        return self.descriptors[-1] if self.descriptors else None

    @property
    def rdm(self) -> str:
        """The compatibility mode of a raw device mapping, or ""."""
        return next((one.rdm for one in self.descriptors if one.rdm), "")

    @property
    def foreign(self) -> tuple[str, ...]:
        """The paths that lead out of the folder. A copy of the folder would use the living files there."""
        extents = [extent.file for one in self.descriptors for extent in one.extents]
        return tuple(file for file in (*extents, self.outside) if file and not is_in_folder(file))

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all files of the disk: descriptors and data."""
        return tuple(file for one in self.descriptors for file in (one.file, *(extent.file for extent in one.extents)))


def parse_descriptor(text: str, file: str) -> Descriptor:
    """Parse the text of a disk descriptor. Raises VmFileDamaged."""
    check_size(text, file)
    lines = [line.rstrip("\r") for line in text.removeprefix("\ufeff").split("\n")]
    if "\0" in text or not any(line.strip().lower() == _MAGIC for line in lines[:5]):
        raise damaged(file, "it is not a disk descriptor")
    values = _values(lines, file)
    extents = tuple(
        Extent(int(match[1]), match[2].upper(), match[3] or "") for match in map(_EXTENT.match, lines) if match
    )
    kind, parent = values.get("createtype", ""), values.get("parentfilenamehint", "")
    if not extents:
        raise damaged(file, "it names no file with the data of the disk")
    if not parent and values.get("parentcid", "").lower() not in _NO_PARENT:
        raise damaged(file, "it is a delta and does not name its parent disk")
    rdm = _KINDS_OF_RDM.get(kind.lower()) or (VIRTUAL if any(extent.kind == "VMFSRDM" for extent in extents) else "")
    return Descriptor(file, kind, parent, extents, rdm)


def chain_of(file: str, text_of: Callable[[str], str]) -> Chain:
    """Return the chain of a disk. `text_of` returns the text of a descriptor in the VM's folder.

    Raises VmFileDamaged, and what `text_of` raises.
    """
    found: dict[str, Descriptor] = {}
    while is_in_folder(file):
        if file in found:
            raise damaged(file, "the disk is its own parent")
        if len(found) >= _LONGEST_CHAIN:
            raise damaged(file, f"the disk has more than {_LONGEST_CHAIN} parents")
        found[file] = parse_descriptor(text_of(file), file)
        file = found[file].parent
    return Chain(tuple(found.values()), outside=file)


def _values(lines: list[str], file: str) -> dict[str, str]:
    """Return the settings of the header and the disk database. Raises VmFileDamaged for contradictory ones."""
    values: dict[str, str] = {}
    for line in lines:
        if "=" not in line or line.lstrip().startswith("#") or _EXTENT.match(line):
            continue
        key, value = pair_in(line)
        if value is None:
            raise damaged(file, f'it has a line that is not of the form key = "value": {printable(line, 80)}')
        if values.setdefault(key.lower(), value) != value:
            raise damaged(file, f"it sets {printable(key, 80)} again, to another value")
    return values
