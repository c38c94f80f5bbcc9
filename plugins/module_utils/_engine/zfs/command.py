# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the zfs command without a shell, in the C locale, with a time limit on every call and typed errors."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import time
from typing import Callable, Sequence

from ..errors import DatasetNotFound, DependencyError, InputError, SnapshotExists, ZfsError, ZfsTimeout
from ..process import environment
from ..text import printable

READ_TIMEOUT = 60.0  # seconds; if a listing takes longer, the pool hangs
LONG_READ_TIMEOUT = 600.0  # the same if every snapshot is read: ten thousand on cold disks take minutes
_POLL = 0.5  # seconds between checks of `hurry`
_HURRIED = 5.0  # seconds that a command may still take once `hurry` is true
_KILL_GRACE = 1.0  # seconds to wait for a killed command; one that waits for a suspended pool never ends

_MEANINGS = (
    (re.compile(r"dataset (does not exist|not found)|no such pool|could not find any snapshots"), DatasetNotFound),
    (re.compile(r"(dataset|snapshot) already exists"), SnapshotExists),
)


def never() -> bool:
    return False


class Zfs:
    """Runs zfs. `binary` is a name to find on the PATH of process.environment, or an absolute path."""

    def __init__(self, binary: str = "zfs") -> None:
        self.binary = binary
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
            # AnsibleModule.run_command has no time limit and is not available in scheduled runs.
            process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                [self.binary, *arguments],
                stdin=subprocess.PIPE if script else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(),
                start_new_session=True,  # Ctrl-C at the terminal must not interrupt a snapshot
            )
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise too_long(arguments[0]) from error
            raise DependencyError(
                f"The command '{self.binary}' cannot be run: {error.strerror}",
                "Install OpenZFS 2.1 or later on this host",
            ) from error
        try:
            output, complaint = _communicate(process, timeout, hurry, script)
        except subprocess.TimeoutExpired as error:
            _abandon(process)
            raise ZfsTimeout(
                f"'zfs {arguments[0]}' did not end within {error.timeout:g} seconds",
                "Check the pool with 'zpool status'",
            ) from error
        if process.returncode < 0:
            raise ZfsTimeout(
                f"'zfs {arguments[0]}' was killed by signal {-process.returncode}",
                "Check the kernel log for the cause",
            )
        if process.returncode:
            raise _error(arguments, output, complaint)
        return output

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


def _communicate(
    process: "subprocess.Popen[bytes]", timeout: float, hurry: Callable[[], bool], script: str
) -> tuple[str, str]:
    """Wait for the process and return its output and error output. Raises TimeoutExpired with the time allowed.

    The output is read as bytes, because Python converts carriage returns in text to line feeds.
    """
    begun = time.monotonic()
    unsent: bytes | None = script.encode() or None
    allowed = timeout
    while True:
        spent = time.monotonic() - begun
        if hurry():
            allowed = min(allowed, spent + _HURRIED)
            hurry = never
        try:
            output, complaint = process.communicate(unsent, timeout=max(0.0, min(allowed - spent, _POLL)))
            return os.fsdecode(output), os.fsdecode(complaint)
        except subprocess.TimeoutExpired:
            unsent = None  # communicate() keeps the input of the first call
            if time.monotonic() - begun >= allowed:
                raise subprocess.TimeoutExpired(process.args, round(allowed, 1)) from None


def _abandon(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    try:
        process.communicate(timeout=_KILL_GRACE)
    except subprocess.TimeoutExpired:
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


def _error(arguments: Sequence[str], output: str, complaint: str) -> ZfsError:
    message = printable(complaint.strip() or "zfs printed no message", 600)
    kind = next((kind for pattern, kind in _MEANINGS if pattern.search(complaint)), ZfsError)
    error = kind(f"'zfs {arguments[0]}' failed: {message}", "Fix the cause and try again")
    error.output = output
    return error
