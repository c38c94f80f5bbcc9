# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that survive a power cut: on disk when a function returns, and never half of one. All raise OSError."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator


@contextmanager
def lock_folder(folder: Path, wait: bool = True) -> Iterator[bool]:
    """Hold the folder's lock until the block ends, or the process does. Yields False when another process has it and
    `wait` is false.
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
    """Make the names in `folder` durable: a new file is lost in a power cut while its folder is not on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file's content to disk; its name is durable after `sync_folder`. A new file never has more than `mode`.

    Who may not read the finished file could not read it earlier either.
    """
    with os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Have the file hold `content`, in one step, whatever it held before."""
    fresh = path.with_name(f".{path.name}.new")  # neither systemd nor exportfs reads a name that begins with a dot
    write_file(fresh, content, mode)
    fresh.chmod(mode)
    os.replace(fresh, path)
    sync_folder(path.parent)


def remove_file(path: Path) -> None:
    """Have no such file; its folder may be missing too."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        sync_folder(path.parent)
