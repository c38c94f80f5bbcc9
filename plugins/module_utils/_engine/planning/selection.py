# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The datasets that a run snapshots, and those that it needs to match datastores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Collection, Sequence

from ..errors import DatasetNotFound, ZfsError
from ..storage_host.mounts import mount_table
from ..zfs.command import Zfs
from ..zfs.datasets import Dataset, left_out, list_datasets, select
from ..zfs.names import is_of_restores, pool_of, refuse_restores
from .request import Request


@dataclass(frozen=True)
class Selection:
    """`chosen` are the datasets to snapshot. `around` are all datasets that a datastore may be on.

    `warnings` are about datasets that the snapshot leaves out, and about entries of `exclude` that have no effect.
    """

    chosen: Sequence[Dataset]
    around: Sequence[Dataset]
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        return [dataset.name for dataset in self.chosen]

    def only(self, names: Collection[str]) -> Selection:
        """Return this selection with `chosen` limited to `names`."""
        return replace(self, chosen=[dataset for dataset in self.chosen if dataset.name in names])

    def including(self, names: Collection[str]) -> Selection:
        """Return this selection with the datasets `names` added to `chosen`."""
        more = [dataset for dataset in self.around if dataset.name in names and dataset not in self.chosen]
        return replace(self, chosen=[*self.chosen, *more])


def selection_of(listed: Sequence[Dataset], dataset: str, recursive: bool, exclude: Sequence[str]) -> Selection:
    """Select from the `listed` datasets. Raises InputError for an invalid `exclude`."""
    which = (dataset, recursive, exclude)
    return Selection(select(listed, *which), listed, tuple(left_out(listed, *which)))


def select_datasets(zfs: Zfs, request: Request) -> Selection:
    """List the datasets and select those of the request.

    Raises InputError for an invalid `exclude`, DatasetNotFound, and ZfsError if the dataset is not fully received.
    """
    refuse_restores(request.dataset)
    around = datasets_around(zfs, pool_of(request.dataset))
    selection = selection_of(around, request.dataset, request.recursive, request.exclude)
    if not selection.chosen:
        raise DatasetNotFound(
            f"The dataset '{request.dataset}' does not exist on this storage host", "Check the name with 'zfs list'"
        )
    if selection.chosen[0].receiving:
        raise ZfsError(
            f"No snapshot of {request.dataset} can be taken, because a 'zfs receive' into it is not complete",
            f"Let it finish, or discard the received part with 'zfs receive -A {request.dataset}'",
        )
    return selection


def datasets_around(zfs: Zfs, pool: str) -> list[Dataset]:
    """Return the datasets of a pool, and the mounted datasets of other pools, without the clones of restores.

    The zfs command lists only this pool, because it does not answer for any pool while it waits for a suspended one.
    The mount table lists what is mounted from other pools. That is enough to detect a datastore on another pool.
    """
    mounts = [mount for mount in mount_table(zfs.host) if mount.fstype == "zfs" and mount.root == "/" and mount.visible]
    others = {
        mount.source: Dataset(mount.source, "filesystem", mount.mountpoint, True)
        for mount in mounts
        if "@" not in mount.source and pool_of(mount.source) != pool and not is_of_restores(mount.source)
    }
    return [*list_datasets(zfs, pool), *others.values()]
