# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the datastore through which ESXi hosts see the files of a dataset."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Iterable, Sequence

from ..errors import InputError
from ..matching.match import Match, match_on
from ..vsphere import inventory
from ..vsphere.datastores import list_datastores
from ..vsphere.nas_mounts import VERSIONS
from ..vsphere.session import Session
from ..zfs.command import Zfs
from ..zfs.datasets import Dataset


@dataclass(frozen=True)
class DatastorePlace:
    """A datastore of a dataset. The directory `inside` of the dataset is the folder `folder` of the datastore.

    Both are "" for a dataset that is mounted as a datastore. `server` is the address that ESXi hosts use for this
    storage host, `version` the NFS version.
    """

    moid: str
    name: str
    datacenter: str
    server: str
    version: str
    inside: str = ""
    folder: str = ""

    def path(self, file: str) -> str:
        """Return "[datastore] path" of a file of the dataset. Raises InputError if the datastore does not show it."""
        return f"[{inventory.escape(self.name)}] {self.relative(file)}"

    def relative(self, file: str) -> str:
        """Return the path on the datastore of a file of the dataset."""
        below = posixpath.relpath(file, self.inside) if self.inside else file
        if below.startswith(".."):
            raise InputError(
                f"The datastore '{self.name}' shows only the directory {self.inside} of the dataset, not {file}",
                "Restore the VM from a clone instead",
            )
        return posixpath.join(self.folder, below)


def find_places(
    session: Session, zfs: Zfs, datasets: Sequence[Dataset], aliases: Sequence[str]
) -> dict[str, list[DatastorePlace]]:
    """Return the datastores of each dataset. Datastores with ambiguous folders are left out."""
    matches = match_on(zfs.host, list_datastores(session), datasets, aliases)
    found: dict[str, list[DatastorePlace]] = {}
    for match in matches:
        for folder, dataset in () if match.ambiguous or not match.datastore.accessible else match.folders:
            found.setdefault(dataset, []).append(_place(match, folder))
    return found


def _place(match: Match, folder: str) -> DatastorePlace:
    datastore = match.datastore
    return DatastorePlace(
        datastore.moid,
        datastore.name,
        datastore.datacenter,
        server=next(iter(datastore.remote_hosts), ""),
        version=VERSIONS.get(datastore.type, "3"),
        inside=match.path if not folder else "",
        folder=folder.strip("/"),
    )


def first(places: Iterable[DatastorePlace], dataset: str) -> DatastorePlace:
    """Return the first place. Raises InputError if there is none."""
    for place in places:
        return place
    raise InputError(
        f"No accessible datastore of the server is on {dataset}",
        "vmware_datastore_match shows why; restore the VM from a clone and set the address of this storage host",
    )
