# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that ZFS accepts, checked before anything is asked of ZFS.

The rules are those of OpenZFS's zcommon/zfs_namecheck.c: components of letters, digits and `-_.: `, a whole name of
less than 256 characters. A name that begins with a dash is refused as well, so that it can never be read as an option.
"""

from __future__ import annotations

import re
from typing import Iterator

from ..errors import InputError
from ..text import printable

MAX_NAME = 255
_COMPONENT = re.compile(r"[A-Za-z0-9_.: -]+\Z")
_POOL = re.compile(r"[A-Za-z][A-Za-z0-9_.: -]*\Z")


def check_dataset(name: str) -> str:
    """Return `name` if it can be a dataset's name (`pool/a/b`); raise InputError otherwise."""
    components = name.split("/")
    problem = ""
    if not _POOL.match(components[0]):
        problem = "its pool must begin with a letter and hold only letters, digits and '_-.: '"
    elif "" in components:
        problem = "it has an empty component ('//' or a slash at the end)"
    elif any(component.startswith("-") for component in components):
        problem = "a component begins with a dash"
    elif any(component in (".", "..") for component in components):
        problem = "'.' and '..' are no components"
    elif not all(_COMPONENT.match(component) for component in components):
        problem = "only letters, digits and '_-.: ' may stand between its slashes"
    elif len(name) > MAX_NAME:
        problem = f"it has {len(name)} characters and ZFS takes {MAX_NAME}"
    if problem:
        raise InputError(
            f"'{printable(name, 80)}' cannot be a dataset's name: {problem}",
            "Give it as ZFS lists it, e.g. tank/vmware",
        )
    return name


def check_snapshot(dataset: str, name: str) -> str:
    """Return `dataset@name` if `name` can be a snapshot's name (the part behind the @); raise InputError otherwise."""
    problem = ""
    if not name:
        problem = "it is empty"
    elif name.startswith("-"):
        problem = "it begins with a dash"
    elif not _COMPONENT.match(name):
        problem = "only letters, digits and '_-.: ' may stand in it"
    elif len(dataset) + 1 + len(name) > MAX_NAME:
        problem = f"with its dataset it has {len(dataset) + 1 + len(name)} characters and ZFS takes {MAX_NAME}"
    if problem:
        raise InputError(f"'{printable(name, 80)}' cannot be a snapshot's name: {problem}", "Choose another name")
    return f"{dataset}@{name}"


def upwards(dataset: str) -> Iterator[str]:
    """The dataset and each one above it, up to its pool."""
    while dataset:
        yield dataset
        dataset = dataset.rpartition("/")[0]


def dataset_of(snapshot: str) -> str:
    """The dataset of a snapshot (`dataset@name`)."""
    return snapshot.partition("@")[0]


def pool_of(name: str) -> str:
    """The pool of a dataset or snapshot."""
    return name.split("@")[0].split("/")[0]


def is_within(dataset: str, ancestor: str) -> bool:
    """Whether `dataset` is `ancestor` or lies below it, by components: tank/vm10 is not within tank/vm1."""
    return dataset == ancestor or dataset.startswith(ancestor + "/")
