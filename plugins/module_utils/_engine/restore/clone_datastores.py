# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clones of ZFS snapshots as datastores of one ESXi host: created, exported, mounted."""

from __future__ import annotations

import posixpath
from dataclasses import asdict, dataclass
from typing import Any, Sequence

from ..errors import RestoreFailed
from ..exports.server import NfsServer
from ..nfs_datastore.request import wanted
from ..nfs_datastore.run import present
from ..planning.selection import datasets_around
from ..vsphere import inventory
from ..vsphere.hosts import Scope
from ..vsphere.session import Session
from ..zfs import clones
from ..zfs.command import Zfs
from ..zfs.names import pool_of
from .clones import Export, PlannedClone, export_clone, plan_clones
from .names import datastore_name
from .plan import MountPlan
from .proof import CopyPlace
from .stale_files import remove_stale
from .steps import VmSteps


@dataclass(frozen=True)
class CloneDatastore:
    """A datastore of a clone: managed object ID and name. `dataset` is the original of the clone at its root."""

    moid: str
    name: str
    dataset: str
    clone: str

    @property
    def place(self) -> CopyPlace:
        return CopyPlace(self.moid, self.name)


@dataclass(frozen=True)
class CloneDatastores:
    """The datastores of a restore. `folders` maps each original dataset to its datastore and folder there."""

    all: tuple[CloneDatastore, ...]
    folders: dict[str, tuple[CloneDatastore, str]]

    def path(self, dataset: str, file: str) -> str:
        """Return "[datastore] path" of the copy of a file of a dataset."""
        datastore, folder = self.folders[dataset]
        return f"[{inventory.escape(datastore.name)}] {posixpath.join(folder, file)}"

    def as_list(self) -> list[dict[str, Any]]:
        """Return plain data for results."""
        return [asdict(one) for one in self.all]


def create_datastores(
    zfs: Zfs, session: Session, snapshots: Sequence[str], mount: MountPlan, steps: VmSteps
) -> CloneDatastores:
    """Create the clones of the snapshots, export them to the host and mount them there. Raises QuiesceError."""
    restore = steps.restore
    planned = plan_clones(zfs, restore, snapshots, datasets_around(zfs, pool_of(snapshots[0])))
    for one in planned:
        with steps.step("clone", one.clone.as_dict()) as learnt:
            learnt["guid"] = clones.create(zfs, one.clone).guid
        remove_stale(zfs.host, one.clone.mountpoint)
    roots = [one for one in planned if not one.inside]
    found = {}
    for number, root in enumerate(roots, 1):
        nested = any(one.inside == root.dataset for one in planned)
        export = Export(root.clone.mountpoint, mount.clients, nested)
        with steps.step("export", export.as_dict()):
            export_clone(NfsServer(zfs=zfs), export)
        found[root.dataset] = _mounted(session, mount, datastore_name(restore, number), root, steps)
    folders = {one.dataset: (found[one.inside or one.dataset], one.folder) for one in planned}
    return CloneDatastores(tuple(found.values()), folders)


def _mounted(session: Session, mount: MountPlan, name: str, root: PlannedClone, steps: VmSteps) -> CloneDatastore:
    host, path = mount.host, root.clone.mountpoint
    data = {"host_moid": host.moid, "host": host.name, "name": name, "server": mount.server, "path": path}
    with steps.step("mount", data) as learnt:
        asked = wanted(name, [mount.server], path, mount.version, "readWrite")
        outcome = present(session, asked, Scope(datacenter=host.datacenter, hosts=(host.name,)), "fail", check=False)
        if outcome.failure is not None:
            raise outcome.failure
        if outcome.datastore is None:
            raise RestoreFailed(f"The datastore {name} was mounted, but the server does not show it", "Try again")
        learnt["datastore_moid"] = outcome.datastore.moid
    return CloneDatastore(outcome.datastore.moid, name, root.dataset, root.clone.dataset)
