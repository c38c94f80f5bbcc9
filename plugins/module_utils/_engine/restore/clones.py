# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clones of the datasets of a restore point, mounted in each other as the datasets are, and their exports to one host.

A dataset that is mounted in another one is not visible to ESXi by itself, so its clone is mounted at the same place in
the clone of the other one, and the export includes it.
"""

from __future__ import annotations

import posixpath
from dataclasses import asdict, dataclass
from typing import Any, Mapping, Sequence

from ..errors import DatasetNotFound, InputError
from ..exports.server import NfsServer
from ..paths import ancestors
from ..zfs.clones import Clone, folder_of
from ..zfs.command import Zfs
from ..zfs.datasets import Dataset
from ..zfs.names import dataset_of, pool_of, restores_of
from ..zfs.pool import altroot


@dataclass(frozen=True)
class PlannedClone:
    """A clone of the restore. `dataset` is the original one. `inside` is that in whose clone it is mounted, or "".

    A clone without `inside` becomes a datastore. `folder` is the path in that datastore, "" for its root.
    """

    clone: Clone
    dataset: str
    inside: str = ""
    folder: str = ""


@dataclass(frozen=True)
class Export:
    """An export of a clone to the addresses of one host. This is the data of its step.

    `nested`: other clones are mounted in it.
    """

    path: str
    client: tuple[str, ...]
    nested: bool = False

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Export:
        """Return the export in the data of a step."""
        return cls(data["path"], tuple(data["client"]), bool(data.get("nested")))

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "client": list(self.client)}


def plan_clones(zfs: Zfs, restore: str, snapshots: Sequence[str], datasets: Sequence[Dataset]) -> list[PlannedClone]:
    """Plan clones of `snapshots` (`dataset@name`, one pool), outer datasets before those that are mounted in them.

    `datasets` are those of the pool. Changes nothing. Raises InputError for a volume, for a dataset whose encryption
    key is not loaded, and for a snapshot that does not exist.
    """
    known = {dataset.name: dataset for dataset in datasets}
    _refuse_unusable(zfs, snapshots)
    pool = pool_of(snapshots[0])
    base = f"{altroot(zfs, pool)}/{restores_of(pool)}/{restore}"
    planned: dict[str, PlannedClone] = {}
    for number, snapshot in enumerate(sorted(snapshots, key=lambda one: _depth(known, dataset_of(one)))):
        name = dataset_of(snapshot)
        inside, folder = _position(known, name, planned)
        mountpoint = posixpath.join(planned[inside].clone.mountpoint, folder) if inside else f"{base}/{number}"
        clone = Clone(f"{folder_of(pool, restore)}/{number}", snapshot, mountpoint, restore)
        root = planned[inside] if inside else None
        outer, path = (root.inside or inside, posixpath.join(root.folder, folder)) if root else ("", "")
        planned[name] = PlannedClone(clone, name, outer, path)
    return list(planned.values())


def _depth(known: Mapping[str, Dataset], name: str) -> tuple[int, str]:
    return _where(known, name).count("/"), name


def _where(known: Mapping[str, Dataset], name: str) -> str:
    """Return the mountpoint of a dataset, or a path from its name if it is not mounted, as on a replica."""
    dataset = known.get(name)
    return (dataset.mountpoint if dataset is not None else None) or f"/{name}"


def _position(known: Mapping[str, Dataset], name: str, planned: Mapping[str, PlannedClone]) -> tuple[str, str]:
    """Return the planned dataset in which this one is mounted, the innermost, and the folder; "" if in none."""
    by_path = {_where(known, other): other for other in planned}
    path = _where(known, name)
    for step in ancestors(path):
        if step != path and step in by_path:
            return by_path[step], posixpath.relpath(path, step)
    return "", ""


def _refuse_unusable(zfs: Zfs, snapshots: Sequence[str]) -> None:
    """Raise InputError for what cannot be cloned or mounted. Needs one process."""
    if len({pool_of(snapshot) for snapshot in snapshots}) != 1:
        raise InputError("The snapshots are on different pools", "Restore from the snapshots of one pool at a time")
    names = dict.fromkeys([*map(dataset_of, snapshots), *snapshots])
    try:
        rows = zfs.rows("get", "-H", "-p", "-o", "name,property,value", "type,keystatus", *names)
    except DatasetNotFound as error:
        raise InputError(
            f"A snapshot of the restore point does not exist: {error.problem}", "Choose another snapshot"
        ) from error
    found = {(row[0], row[1]): row[2] for row in rows if len(row) == 3}
    for snapshot in snapshots:
        name = dataset_of(snapshot)
        if found.get((name, "type")) == "volume":
            raise InputError(
                f"{name} is a volume, and the clone of a volume is not an NFS datastore",
                "Clone it with 'zfs clone' and present it to the host as a new LUN",
            )
        if found.get((name, "keystatus")) == "unavailable":
            raise InputError(
                f"The encryption key of {name} is not loaded, so a clone of it could not be mounted",
                f"Run 'zfs load-key {name}'",
            )


def options_of(export: Export) -> dict[str, Any]:
    """Return the options of vmware_nfs_share for an export."""
    return {
        "path": export.path, "networks": [], "hosts": list(export.client), "maproot_user": "root",
        "maproot_group": "wheel", "mapall_user": None, "mapall_group": None, "read_only": False,
        "security": ["sys"], "enabled": True, "crossmnt": export.nested,
    }  # fmt: skip


def export_clone(server: NfsServer, export: Export) -> None:
    """Export a mounted clone. Raises InputError, ExportRefused and DependencyError; then nothing is exported."""
    plan = server.plan(options_of(export))
    if plan.is_needed:
        server.carry_out(plan)


def withdraw(server: NfsServer, export: Export) -> None:
    """Withdraw an export, if it exists. Raises ExportRefused, DependencyError."""
    plan = server.plan_removal(export.path)
    if plan.is_needed:
        server.carry_out(plan)
