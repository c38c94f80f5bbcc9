# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The datasets of this storage host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Sequence

from ..errors import DatasetNotFound, InputError
from .command import Zfs
from .names import check_dataset, is_within, pool_of, upwards


@dataclass(frozen=True)
class Dataset:
    """A file system or a volume. `mountpoint` is a path only while the file system is mounted there."""

    name: str
    kind: str  # "filesystem" or "volume"
    mountpoint: str | None
    mounted: bool

    @property
    def pool(self) -> str:
        return pool_of(self.name)


def list_datasets(zfs: Zfs, root: str | None = None) -> list[Dataset]:
    """All datasets, or `root` and what lies below it, parents first, in one process.

    Raises InputError for a name that ZFS would refuse and DatasetNotFound for one that is not there.
    """
    arguments = ["list", "-H", "-p", "-o", "name,type,mountpoint,mounted", "-t", "filesystem,volume"]
    if root is not None:
        arguments += ["-r", check_dataset(root)]
    try:
        rows = zfs.rows(*arguments)
    except DatasetNotFound as error:
        raise DatasetNotFound(
            f"The dataset '{root}' does not exist on this storage host", "Check the name with 'zfs list'"
        ) from error
    return [
        Dataset(name, kind, mountpoint if mounted == "yes" and mountpoint.startswith("/") else None, mounted == "yes")
        for name, kind, mountpoint, mounted in rows
    ]


def select(datasets: Iterable[Dataset], root: str, recursive: bool, exclude: Sequence[str] = ()) -> list[Dataset]:
    """The datasets that a snapshot of `root` takes: `root`, with what lies below it if `recursive`, without `exclude`.

    An entry of `exclude` names a dataset in full and leaves out what lies below it too. An entry that lies outside of
    `root`, or `root` itself, is a mistake and raises InputError.
    """
    for name in exclude:
        if not recursive or name == root or not is_within(check_dataset(name), root):
            raise InputError(
                f"exclude names '{name}', which is not below '{root}'" + ("" if recursive else " (recursive is false)"),
                "Leave it out, or name a dataset that the snapshot would take otherwise",
            )
    left_out = frozenset(exclude)
    return [
        dataset
        for dataset in datasets
        if (dataset.name == root or (recursive and is_within(dataset.name, root)))
        and left_out.isdisjoint(upwards(dataset.name))
    ]
