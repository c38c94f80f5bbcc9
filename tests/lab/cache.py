# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build expensive products once and name them after their inputs."""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

from .commands import remove_tree
from .places import cache_root, short_hash

_PRODUCT = re.compile(r".+-[0-9a-f]{16}")
UNUSED_DAYS = 60.0  # before a product is removed


def product_path(kind: str, *recipe: str) -> Path:
    """Return the path of the product of this recipe, which may not exist yet."""
    path = cache_root() / f"{kind}-{short_hash(*recipe)}"
    if path.exists():
        os.utime(path)  # mark as used
    return path


def remove_unused() -> list[str]:
    """Remove products that were not used recently, such as those of an older recipe. Return their names."""
    old = time.time() - UNUSED_DAYS * 86400
    folders = [path for path in cache_root().iterdir() if _PRODUCT.fullmatch(path.name) and path.is_dir()]
    unused = sorted(path.name for path in folders if path.stat().st_mtime < old)
    for name in unused:
        for beside in (".place", ".partial", ""):
            remove_tree(cache_root() / (name + beside))
        (cache_root() / f"{name}.lock").unlink(missing_ok=True)
    return unused


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path` until the process ends at the latest. BlockingIOError if it is held and not `wait`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def product(path: Path, build: Callable[[Path], None]) -> Path:
    """Return `path`. If it does not exist, `build(folder)` creates its content.

    If two processes build at the same time, the second one waits and uses the product of the first. An interrupted
    build leaves `<path>.partial`, which the next build removes. A rename publishes the product, so it is complete.
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
