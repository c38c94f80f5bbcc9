# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that a registered copy of a VM uses only files of the copy.

A .vmx file can name disks by absolute paths. In a copy, such a path leads to the disk of the living VM, and a revert or
a power-on would change that disk. So nothing else is done with a copy before this proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Iterator, Sequence

from ..text import printable
from ..vsphere.vm_devices import Backing, Configuration
from ..vsphere.vms import datastore_of, path_of

OUTSIDE = "is not in the copy"
A_LUN = "refers to a LUN, which the snapshot does not contain"
UNREADABLE = "cannot be read"


@dataclass(frozen=True)
class CopyPlace:
    """A place of the copy: a folder on a datastore, or a whole datastore if `folder` is "".

    `datastore_moid` and `datastore` are the managed object ID and the name of the datastore.
    """

    datastore_moid: str
    datastore: str
    folder: str = ""

    def holds(self, backing: Backing) -> bool:
        """Return whether a file, or a folder with files, is in this place."""
        if backing.datastore not in ("", self.datastore_moid) or datastore_of(backing.file) != self.datastore:
            return False
        path, folder = _parts(path_of(backing.file).rstrip("/")), _parts(self.folder.strip("/"))
        return path[: len(folder)] == folder and not {"", ".", ".."} & set(path)


def _parts(path: str) -> list[str]:
    return path.split("/") if path else []


@dataclass(frozen=True)
class Objection:
    """A file that is not proven to belong to the copy. `snapshot` is "" for the current VM."""

    label: str
    snapshot: str
    file: str
    reason: str

    def __str__(self) -> str:
        where = f" in its VMware snapshot '{printable(self.snapshot, 80)}'" if self.snapshot else ""
        file = f" ('{printable(self.file, 200)}')" if self.file else ""
        return f"{printable(self.label, 80)}{where}{file} {self.reason}"


def objections(configurations: Iterable[Configuration], places: Sequence[CopyPlace]) -> list[Objection]:
    """Return what forbids to work on a copy in these places. An empty list is the proof that it uses no other file.

    `configurations` are the VM and each of its VMware snapshots. Without the VM, nothing is proven.
    """
    found: list[Objection] = []
    seen = False
    for configuration in configurations:
        seen |= not configuration.snapshot
        found += _against(configuration, places)
    return found if seen else [*found, Objection("the VM", "", "", UNREADABLE)]


def _against(configuration: Configuration, places: Sequence[CopyPlace]) -> Iterator[Objection]:
    if configuration.backings is None:
        yield Objection("the VM", configuration.snapshot, "", UNREADABLE)
    for backing in configuration.backings or ():
        if backing.lun:
            yield Objection(backing.label, configuration.snapshot, backing.file, A_LUN)
        elif not any(place.holds(backing) for place in places):
            yield Objection(backing.label, configuration.snapshot, backing.file, OUTSIDE)
