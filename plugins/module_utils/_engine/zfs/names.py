# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validates the names of datasets and snapshots before they are passed to zfs.

The rules are those of OpenZFS's zcommon/zfs_namecheck.c: components consist of letters, digits and `-_.: `; a full name
has fewer than 256 characters. Names that begin with a dash are refused as well, because zfs would read them as options.
"""

from __future__ import annotations

import re
from typing import Iterator, NamedTuple

from ..errors import InputError
from ..text import printable

MAX_NAME = 255
RESTORES = "vmware-zfs-restores"  # reserved: the clones of restores are in the dataset of this name in each pool
_COMPONENT = re.compile(r"[A-Za-z0-9_.: -]+\Z")
_POOL = re.compile(r"[A-Za-z][A-Za-z0-9_.: -]*\Z")


class SnapshotName(NamedTuple):
    """The full name of a ZFS snapshot, `dataset@name`, in its two parts."""

    dataset: str
    name: str

    @classmethod
    def of(cls, full: str) -> "SnapshotName":
        dataset, _unused, name = full.partition("@")
        return cls(dataset, name)

    def __str__(self) -> str:
        return f"{self.dataset}@{self.name}"


def check_dataset(name: str) -> str:
    """Return `name` if it is a valid dataset name (`pool/a/b`). Raises InputError otherwise."""
    components = name.split("/")
    problem = ""
    if not _POOL.match(components[0]):
        problem = "the pool name must begin with a letter and contain only letters, digits and '_-.: '"
    elif "" in components:
        problem = "it has an empty component ('//' or a slash at the end)"
    elif any(component.startswith("-") for component in components):
        problem = "a component begins with a dash"
    elif any(component in (".", "..") for component in components):
        problem = "'.' and '..' are not allowed as components"
    elif not all(_COMPONENT.match(component) for component in components):
        problem = "only letters, digits and '_-.: ' are allowed between the slashes"
    elif len(name) > MAX_NAME:
        problem = f"it has {len(name)} characters; the maximum is {MAX_NAME}"
    if problem:
        raise InputError(
            f"'{printable(name, 80)}' is not a valid dataset name: {problem}",
            "Give the name as 'zfs list' shows it, for example tank/vmware",
        )
    return name


def check_snapshot(dataset: str, name: str) -> str:
    """Return `dataset@name` if `name` is valid after the @ of a snapshot. Raises InputError otherwise."""
    problem = ""
    if not name:
        problem = "it is empty"
    elif name.startswith("-"):
        problem = "it begins with a dash"
    elif not _COMPONENT.match(name):
        problem = "only letters, digits and '_-.: ' are allowed"
    elif len(dataset) + 1 + len(name) > MAX_NAME:
        problem = f"with the dataset it has {len(dataset) + 1 + len(name)} characters; the maximum is {MAX_NAME}"
    if problem:
        raise InputError(f"'{printable(name, 80)}' is not a valid snapshot name: {problem}", "Choose another name")
    return str(SnapshotName(dataset, name))


def upwards(dataset: str) -> Iterator[str]:
    """Yield the dataset and each of its parents, up to the pool."""
    while dataset:
        yield dataset
        dataset = dataset.rpartition("/")[0]


def dataset_of(snapshot: str) -> str:
    """Return the dataset of a snapshot (`dataset@name`)."""
    return SnapshotName.of(snapshot).dataset


def pool_of(name: str) -> str:
    """Return the pool of a dataset or snapshot."""
    return dataset_of(name).split("/")[0]


def is_within(dataset: str, ancestor: str) -> bool:
    """Return whether `dataset` is `ancestor` or below it. Whole components count: tank/vm10 is not within tank/vm1."""
    return dataset == ancestor or dataset.startswith(ancestor + "/")


def restores_of(pool: str) -> str:
    """Return the dataset of a pool that contains the clones of restores."""
    return f"{pool}/{RESTORES}"


def is_of_restores(dataset: str) -> bool:
    """Return whether a dataset is, or belongs to, the clones of restores, here or in a replica of a whole pool.

    Runs, retention and matching leave these datasets out.
    """
    return RESTORES in dataset.split("/")[1:]


def is_path_of_restores(path: str) -> bool:
    """Return whether the clones of restores are, or would be, mounted at this path or above it."""
    return RESTORES in path.split("/")


def refuse_restores(dataset: str) -> None:
    """Raise InputError for a dataset of the clones of restores."""
    if is_of_restores(dataset):
        raise InputError(
            f"No snapshots of {dataset} are taken, because the name {RESTORES} is reserved for the clones of restores",
            "Give another dataset; a dataset of your own with this name needs another name ('zfs rename')",
        )
