# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The datasets of this storage host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import AbstractSet, Iterable, Sequence

from ..errors import DatasetNotFound, InputError
from .command import Zfs
from .names import check_dataset, is_within, pool_of, upwards

_KINDS = ("-t", "filesystem,volume")


@dataclass(frozen=True)
class Dataset:
    """A file system or a volume. `mountpoint` is a path only while the file system is mounted there. `receiving`: its
    first stream has not come to its end, or never will, so that there is nothing of it to take a snapshot of.
    """

    name: str
    kind: str  # "filesystem" or "volume"
    mountpoint: str | None
    mounted: bool
    receiving: bool = False

    @property
    def pool(self) -> str:
        return pool_of(self.name)


def list_datasets(zfs: Zfs, root: str | None = None) -> list[Dataset]:
    """All datasets, or `root` and what lies below it, parents first, in one process, or two where a mountpoint holds
    line breaks or tabs.

    Raises InputError for a name that ZFS would refuse and DatasetNotFound for one that is not there.
    """
    which = [*_KINDS, *([] if root is None else ["-r", check_dataset(root)])]
    try:
        # A mountpoint may hold line breaks and tabs, and so rows about other datasets: with the name at both ends of a
        # row it cannot do so without a second row of its own dataset.
        rows = zfs.rows("list", "-H", "-p", "-o", "name,type,mountpoint,mounted,inconsistent,name", *which)
        told = {row[0]: row for row in rows}
        if len(told) == len(rows) and all(len(row) == 6 and row[0] == row[5] for row in rows):
            sure = [(row[0], row[1], row[3], row[4]) for row in rows]
        else:
            told = _told_once(rows)
            again = zfs.rows("list", "-H", "-p", "-o", "name,type,inconsistent,mounted", *which)  # nobody's text
            sure = [(row[0], row[1], row[-1], row[2]) for row in again]
    except DatasetNotFound as error:
        raise DatasetNotFound(
            f"The dataset '{root}' does not exist on this storage host", "Check the name with 'zfs list'"
        ) from error
    return [
        Dataset(name, kind, _mountpoint(told.get(name, ()), kind, mounted), mounted == "yes", inconsistent == "1")
        for name, kind, mounted, inconsistent in sure
    ]


def _told_once(rows: Iterable[list[str]]) -> dict[str, list[str]]:
    """The row of each name that only one row begins with: what zfs says of a dataset is among its rows."""
    found: dict[str, list[list[str]]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return {name: said[0] for name, said in found.items() if len(said) == 1}


def _mountpoint(row: Sequence[str], kind: str, mounted: str) -> str | None:
    """The mountpoint in a dataset's row, None unless it is mounted there and the row is whole."""
    whole = list(row[1:2]) == [kind] and list(row[3:4]) == [mounted] and mounted == "yes"
    return row[2] if whole and row[2].startswith("/") else None


def not_there(exclude: Iterable[str], datasets: Iterable[Dataset]) -> list[str]:
    """A sentence for each entry of `exclude` that is none of `datasets`, and so leaves out nothing."""
    names = {dataset.name for dataset in datasets}
    missing = [name for name in exclude if name not in names]
    return [f"exclude has '{name}', which is no dataset here; correct it or remove it." for name in missing]


def select(datasets: Iterable[Dataset], root: str, recursive: bool, exclude: Sequence[str] = ()) -> list[Dataset]:
    """The datasets that a snapshot of `root` takes: `root`, with what lies below it if `recursive`, without `exclude`
    and without what is half received.

    An entry of `exclude` names a dataset in full and leaves out what lies below it too. An entry that lies outside of
    `root`, or `root` itself, is a mistake and raises InputError.
    """
    for name in exclude:
        if not recursive or name == root or not is_within(check_dataset(name), root):
            raise InputError(
                f"exclude names '{name}', which is not below '{root}'" + ("" if recursive else " (recursive is false)"),
                "Leave it out, or name a dataset that the snapshot would take otherwise",
            )
    chosen = _chosen(datasets, root, recursive, exclude)
    return [dataset for dataset in chosen if dataset.name == root or not dataset.receiving]


def left_out(datasets: Sequence[Dataset], root: str, recursive: bool, exclude: Sequence[str] = ()) -> list[str]:
    """A sentence for each dataset that `select` leaves out for being half received, because ZFS would refuse the whole
    snapshot for it, and for each entry of `exclude` that leaves out nothing.
    """
    chosen = _chosen(datasets, root, recursive, exclude)
    receiving = [dataset.name for dataset in chosen if dataset.name != root and dataset.receiving]
    unreceived = [
        f"The dataset {name} is left out, because a 'zfs receive' into it has not come to its end; let it end, or "
        f"remove what is there with 'zfs receive -A {name}'."
        for name in receiving
    ]
    return [*unreceived, *not_there(exclude, datasets)]


def _chosen(datasets: Iterable[Dataset], root: str, recursive: bool, exclude: Sequence[str]) -> list[Dataset]:
    excluded = frozenset(exclude)
    return [dataset for dataset in datasets if takes(dataset.name, root, recursive, excluded)]


def takes(name: str, root: str, recursive: bool, excluded: AbstractSet[str]) -> bool:
    """Whether a snapshot of `root` takes the dataset `name`, there or not: see `select`."""
    chosen = name == root or (recursive and is_within(name, root))
    return chosen and excluded.isdisjoint(upwards(name))


def existing(zfs: Zfs, root: str, timeout: float) -> set[str]:
    """The names of `root` and of all that lies below it. Raises DatasetNotFound."""
    return {row[0] for row in zfs.rows("list", "-H", "-o", "name", *_KINDS, "-r", root, timeout=timeout)}
