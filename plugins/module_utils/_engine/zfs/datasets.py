# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The datasets of this storage host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import AbstractSet, Iterable, Sequence

from ..errors import DatasetNotFound, InputError
from ..grouping import grouped
from .command import Zfs
from .names import check_dataset, is_of_restores, is_within, refuse_restores, upwards

_KINDS = ("-t", "filesystem,volume")


@dataclass(frozen=True)
class Dataset:
    """A file system or a volume.

    `mountpoint` is a path only while the file system is mounted there. `receiving` means that the dataset's first
    'zfs receive' is not complete, so there is nothing to snapshot yet.
    """

    name: str
    kind: str  # "filesystem" or "volume"
    mountpoint: str | None
    mounted: bool
    receiving: bool = False


def list_datasets(zfs: Zfs, root: str | None = None) -> list[Dataset]:
    """List all datasets, or `root` and its children, parents first. Clones of restores are left out.

    Starts one process, or two if a mountpoint contains line breaks or tabs. Raises InputError for a name that ZFS does
    not allow and DatasetNotFound if `root` does not exist.
    """
    which = [*_KINDS, *([] if root is None else ["-r", check_dataset(root)])]
    try:
        # A mountpoint can contain line breaks and tabs, and thus fake rows for other datasets. Because each row begins
        # and ends with the name, a fake row also causes a second row for the dataset that has the mountpoint.
        rows = zfs.rows("list", "-H", "-p", "-o", "name,type,mountpoint,mounted,inconsistent,name", *which)
        by_name = {row[0]: row for row in rows}
        if len(by_name) == len(rows) and all(len(row) == 6 and row[0] == row[5] for row in rows):
            trusted = [(row[0], row[1], row[3], row[4]) for row in rows]
        else:
            by_name = _unique_rows(rows)
            again = zfs.rows("list", "-H", "-p", "-o", "name,type,inconsistent,mounted", *which)  # no user text
            trusted = [(row[0], row[1], row[-1], row[2]) for row in again]
    except DatasetNotFound as error:
        raise DatasetNotFound(
            f"The dataset '{root}' does not exist on this storage host", "Check the name with 'zfs list'"
        ) from error
    return [
        Dataset(name, kind, _mountpoint(by_name.get(name, ()), kind, mounted), mounted == "yes", inconsistent == "1")
        for name, kind, mounted, inconsistent in trusted
        if not is_of_restores(name) or (root is not None and is_of_restores(root))
    ]


def _unique_rows(rows: Iterable[list[str]]) -> dict[str, list[str]]:
    """Return the row of each name that begins exactly one row. That row is the genuine one."""
    return {
        name: matching[0] for name, matching in grouped((row[0], row) for row in rows).items() if len(matching) == 1
    }


def _mountpoint(row: Sequence[str], kind: str, mounted: str) -> str | None:
    """Return the mountpoint in a dataset's row, or None if the dataset is not mounted or the row is incomplete."""
    whole = list(row[1:2]) == [kind] and list(row[3:4]) == [mounted] and mounted == "yes"
    return row[2] if whole and row[2].startswith("/") else None


def not_there(exclude: Iterable[str], datasets: Iterable[Dataset]) -> list[str]:
    """Return a warning for each entry of `exclude` that does not exist in `datasets` and so has no effect."""
    names = {dataset.name for dataset in datasets}
    missing = [name for name in exclude if name not in names]
    return [f"exclude names the dataset '{name}', which does not exist; correct or remove it." for name in missing]


def select(datasets: Iterable[Dataset], root: str, recursive: bool, exclude: Sequence[str] = ()) -> list[Dataset]:
    """Return the datasets that a snapshot of `root` includes: `root`, and its children if `recursive`.

    Datasets in `exclude` and children that are not completely received are left out. An entry of `exclude` is a full
    dataset name and also excludes the children of that dataset. Raises InputError if an entry is `root` itself or is
    not below it, or if the clones of restores are in `root`.
    """
    refuse_restores(root)
    for name in exclude:
        if not recursive or name == root or not is_within(check_dataset(name), root):
            raise InputError(
                f"exclude names '{name}', which is not below '{root}'" + ("" if recursive else " (recursive is false)"),
                "Remove it, or name a dataset that the snapshot includes",
            )
    chosen = _chosen(datasets, root, recursive, exclude)
    return [dataset for dataset in chosen if dataset.name == root or not dataset.receiving]


def left_out(datasets: Sequence[Dataset], root: str, recursive: bool, exclude: Sequence[str] = ()) -> list[str]:
    """Return the warnings for `select`: one for each dataset that it leaves out because a 'zfs receive' is not
    complete, and one for each entry of `exclude` that has no effect.

    ZFS would refuse the whole snapshot because of one dataset that is not completely received.
    """
    chosen = _chosen(datasets, root, recursive, exclude)
    receiving = [dataset.name for dataset in chosen if dataset.name != root and dataset.receiving]
    unreceived = [
        f"The dataset {name} is left out because a 'zfs receive' into it is not complete; wait for it to end, or "
        f"abort it with 'zfs receive -A {name}'."
        for name in receiving
    ]
    return [*unreceived, *not_there(exclude, datasets)]


def _chosen(datasets: Iterable[Dataset], root: str, recursive: bool, exclude: Sequence[str]) -> list[Dataset]:
    excluded = frozenset(exclude)
    return [dataset for dataset in datasets if takes(dataset.name, root, recursive, excluded)]


def takes(name: str, root: str, recursive: bool, excluded: AbstractSet[str]) -> bool:
    """Return whether a snapshot of `root` includes the dataset `name`, which need not exist. See `select`."""
    chosen = name == root or (recursive and is_within(name, root))
    return chosen and excluded.isdisjoint(upwards(name)) and not is_of_restores(name)


def existing(zfs: Zfs, root: str, timeout: float) -> set[str]:
    """Return the names of `root` and its children. Raises DatasetNotFound."""
    return {row[0] for row in zfs.rows("list", "-H", "-o", "name", *_KINDS, "-r", root, timeout=timeout)}
