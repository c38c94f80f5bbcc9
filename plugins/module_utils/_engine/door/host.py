# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to the storage host. The engine runs programs and reads files on the storage host through this only.

The coordinator's own things (state database, key file, locks, systemd timers, runtime, CA files) do not go through it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Callable, Iterable, Protocol, Sequence

_POINTER = 8  # bytes that each argument takes in addition to its text and the final NUL


class ProgramTimeout(TimeoutError):
    """A program did not end within `seconds`. It may have taken effect."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it did not end within {seconds:g} seconds")
        self.seconds = seconds


@dataclass(frozen=True)
class Ended:
    """The result of a program. A negative status is the number of the signal that killed it."""

    status: int
    output: str
    complaint: str  # its standard error


def never() -> bool:
    return False


@dataclass(frozen=True)
class Found:
    """A file or folder below a folder. `path` is relative to that folder. `size` and `allocated` are in bytes."""

    path: str
    kind: str  # "file", "folder", or "other": a symbolic link, a device, the root of another file system
    size: int = 0
    allocated: int = 0  # on disk: without holes, compressed


class StorageHost(Protocol):
    """A storage host. Texts have surrogate escapes for bytes that are not UTF-8. Methods raise OSError if they fail."""

    def run(self, command: Sequence[str], seconds: float, stdin: str = "", hurry: Callable[[], bool] = never) -> Ended:
        """Run a program without a shell. Once `hurry()` returns true, it is killed unless it ends within a few seconds.

        Raises ProgramTimeout, and FileNotFoundError or PermissionError if there is no such program.
        """

    def argument_limit(self) -> int:
        """Return how many bytes the arguments of one program may use, as `size` counts them."""

    def read(self, path: str) -> str:
        """Return the text of a file. Raises FileNotFoundError if it does not exist."""

    def read_regular(self, path: str, most: int) -> str:
        """Return the text of a regular file of at most `most` bytes, for files that others may have created.

        Raises OSError for a larger file, a symbolic link, and anything else that is not a regular file.
        """

    def list_folder(self, path: str) -> list[str]:
        """Return the sorted names in a folder, or nothing if the folder does not exist."""

    def exists(self, path: str) -> bool:
        """Return whether a file or folder exists."""

    def is_folder(self, path: str) -> bool:
        """Return whether a folder exists."""

    def real_path(self, path: str) -> str:
        """Return the path without symbolic links. It may not exist. Raises ValueError for a path with a null byte."""

    def replace_file(self, path: str, text: str, mode: int) -> None:
        """Write a file atomically and sync it to disk. Creates its folder if it does not exist."""

    def remove_file(self, path: str) -> None:
        """Remove a file if it exists, and sync the change to disk."""

    def tree(self, path: str) -> list[Found]:
        """Return everything below a folder, each folder before its content. Follows no symbolic links and enters no
        other file systems. Raises FileNotFoundError if the folder does not exist.
        """

    def make_folder(self, path: str, mode: int) -> None:
        """Create a folder. Raises FileExistsError if the path exists."""

    def rename_new(self, path: str, new: str) -> None:
        """Rename a folder, and sync the change to disk. Raises FileExistsError if `new` exists."""

    def copy_part(self, source: str, target: str, begin: int, most: int) -> int | None:
        """Copy data of a file from the offset `begin`, at most `most` bytes. Return the offset at which to continue.

        Returns None if the copy is complete, with its size, mode, owner and times. Holes stay holes. The system shares
        the blocks of both files if it can. With `begin` 0, `target` is created; raises FileExistsError if it exists.
        """

    def copy_attributes(self, source: str, target: str) -> None:
        """Give a folder the mode, owner and times of another folder."""

    def remove_tree(self, path: str, last: str = "") -> None:
        """Remove a folder and its content, the file `last` in it after everything else, and sync the change to disk.

        Follows no symbolic links. Raises OSError before it removes anything if something is mounted below the folder.
        """

    def user(self, name: str) -> tuple[int, int]:
        """Return the IDs of a user and of its primary group. Raises KeyError if there is no such user."""

    def group(self, name: str) -> int:
        """Return the ID of a group. Raises KeyError if there is no such group."""

    def name(self) -> str:
        """Return the host's own name, often without its domain."""

    def full_name(self) -> str:
        """Return the host's name with its domain. This asks the resolver and has no time limit."""

    def look_up(self, name: str) -> list[tuple[str, str]] | None:
        """Return the addresses of a host name, each with its canonical name or "".

        Returns None if the resolver fails temporarily. This call has no time limit.
        """


def size(words: Iterable[str]) -> int:
    """Return how many bytes `words` use as arguments of a program."""
    return sum(len(os.fsencode(word)) + 1 + _POINTER for word in words)
