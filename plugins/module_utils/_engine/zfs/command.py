# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the zfs command without a shell, in the C locale, with a time limit on every call and typed errors."""

from __future__ import annotations

import errno
import re
from typing import Callable, Sequence

from ..door.host import ProgramTimeout, StorageHost, never
from ..door.local import LocalHost
from ..errors import DatasetNotFound, DependencyError, InputError, SnapshotExists, ZfsError, ZfsTimeout
from ..text import printable

READ_TIMEOUT = 60.0  # seconds; if a listing takes longer, the pool hangs
LONG_READ_TIMEOUT = 600.0  # the same if every snapshot is read: ten thousand on cold disks take minutes

_MEANINGS = (
    (re.compile(r"dataset (does not exist|not found)|no such pool|could not find any snapshots"), DatasetNotFound),
    (re.compile(r"(dataset|snapshot) already exists"), SnapshotExists),
)


class Zfs:
    """Runs zfs on `host`. `binary` is a name to find on the PATH of process.environment, or an absolute path."""

    def __init__(self, binary: str = "zfs", host: StorageHost | None = None) -> None:
        self.binary = binary
        self.host: StorageHost = host or LocalHost()
        self.processes = 0  # number of processes started; used by tests

    def run(
        self, *arguments: str, timeout: float = READ_TIMEOUT, hurry: Callable[[], bool] = never, script: str = ""
    ) -> str:
        """Run `zfs <arguments>` with `script` as its standard input and return its standard output.

        Once `hurry()` returns true, the command is killed unless it ends within a few seconds. Raises DependencyError
        (no such command), InputError (arguments exceed the system's limit), ZfsTimeout (killed, or not finished within
        `timeout` seconds: it may or may not have taken effect), DatasetNotFound, SnapshotExists or ZfsError with the
        message from zfs.
        """
        self.processes += 1
        try:
            ended = self.host.run([self.binary, *arguments], timeout, script, hurry)
        except ProgramTimeout as error:
            raise ZfsTimeout(
                f"'zfs {arguments[0]}' did not end within {error.seconds:g} seconds",
                "Check the pool with 'zpool status'",
            ) from error
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise too_long(arguments[0]) from error
            raise DependencyError(
                f"The command '{self.binary}' cannot be run: {error.strerror}",
                "Install OpenZFS 2.1 or later on this host",
            ) from error
        if ended.status < 0:
            raise ZfsTimeout(
                f"'zfs {arguments[0]}' was killed by signal {-ended.status}", "Check the kernel log for the cause"
            )
        if ended.status:
            raise _error(arguments, ended.output, ended.complaint)
        return ended.output

    def rows(self, *arguments: str, timeout: float = READ_TIMEOUT) -> list[list[str]]:
        """Return the output of a `-H` listing as rows of tab-separated fields.

        zfs does not escape values that users can set (user properties, mountpoints). A value with line breaks and tabs
        looks like additional rows. Callers that read such values must detect these rows.
        """
        return [line.split("\t") for line in lines(self.run(*arguments, timeout=timeout))]


def lines(output: str) -> list[str]:
    """Split zfs's output at line feeds only. Values may contain other characters that end a line for Python."""
    return output.removesuffix("\n").split("\n") if output else []


def too_long(what: str) -> InputError:
    """Return the error for a command `zfs <what>` whose arguments exceed the system's limit."""
    return InputError(
        f"The arguments of 'zfs {what}' would exceed this system's limit for one command",
        "Exclude datasets, or snapshot parts of the tree separately",
    )


def _error(arguments: Sequence[str], output: str, complaint: str) -> ZfsError:
    message = printable(complaint.strip() or "zfs printed no message", 600)
    kind = next((kind for pattern, kind in _MEANINGS if pattern.search(complaint)), ZfsError)
    error = kind(f"'zfs {arguments[0]}' failed: {message}", "Fix the cause and try again")
    error.output = output
    return error
