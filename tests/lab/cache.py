# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Things that take long to build are built once, and named by what built them."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

from .commands import remove_tree
from .places import cache_root, short_hash


def product_path(kind: str, *recipe: str) -> Path:
    """Where the product of this recipe is, or will be."""
    return cache_root() / f"{kind}-{short_hash(*recipe)}"


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path` until the process ends at the latest; BlockingIOError if it is held and not to wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def product(path: Path, build: Callable[[Path], None]) -> Path:
    """Return `path`, after `build(folder)` has filled it if it did not exist.

    Two builders at once: the second waits and finds the product. A builder that died left `<path>.partial`, which the
    next one removes. The product appears by a rename, so it is there whole or not at all.
    """
    if path.exists():
        return path
    partial = path.with_name(path.name + ".partial")
    with locked(path.with_name(path.name + ".lock")):
        if path.exists():
            return path
        remove_tree(partial)
        partial.mkdir()
        build(partial)
        partial.rename(path)
    return path
