# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes files that survive a power failure: complete, and on disk when the function returns. All raise OSError."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator


@contextmanager
def lock_folder(folder: Path, wait: bool = True) -> Iterator[bool]:
    """Lock the folder until the block or the process ends.

    Yields False if another process holds the lock and `wait` is false.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Write the names in `folder` to disk. Otherwise a power failure can lose a new file."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file's content to disk. Call `sync_folder` to make its name durable as well.

    A new file is created with `mode`, so it is never readable by more users than the finished file.
    """
    with os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Replace the file's content atomically."""
    fresh = path.with_name(f".{path.name}.new")  # systemd and exportfs ignore names that begin with a dot
    write_file(fresh, content, mode)
    fresh.chmod(mode)
    os.replace(fresh, path)
    sync_folder(path.parent)


def remove_file(path: Path) -> None:
    """Remove the file if it exists. Its folder may be missing."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        sync_folder(path.parent)
