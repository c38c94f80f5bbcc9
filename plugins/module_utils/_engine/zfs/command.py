# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The zfs command: argv only, C locale, a time limit on every call, typed errors."""

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

READ_TIMEOUT = 60.0  # seconds; a listing that takes longer means a pool that hangs
LONG_READ_TIMEOUT = 600.0  # the same where every snapshot is read: ten thousand on cold disks take their time
_LOOK = 0.5  # seconds between two looks at whether a command has to hurry
_HURRIED = 5.0  # seconds that a command gets that has to hurry
_KILL_GRACE = 1.0  # seconds that a killed command may take to go: one that waits for a suspended pool never does

_MEANINGS = (
    (re.compile(r"dataset (does not exist|not found)|no such pool|could not find any snapshots"), DatasetNotFound),
    (re.compile(r"(dataset|snapshot) already exists"), SnapshotExists),
)


def never() -> bool:
    return False


class Zfs:
    """Runs zfs. `binary` is looked up as every command is (process.environment); an absolute path pins it."""

    def __init__(self, binary: str = "zfs") -> None:
        self.binary = binary
        self.processes = 0  # how many were started: the tests count them

    def run(
        self, *arguments: str, timeout: float = READ_TIMEOUT, hurry: Callable[[], bool] = never, script: str = ""
    ) -> str:
        """Run `zfs <arguments>` and return its standard output. Once `hurry()` is true it gets a few seconds more.
        `script` is its standard input.

        Raises DependencyError (no such command), InputError (more arguments than the system takes), ZfsTimeout
        (`timeout` seconds passed, or it was killed: whether it took effect is not known), DatasetNotFound,
        SnapshotExists or ZfsError with what zfs said.
        """
        self.processes += 1
        try:
            # AnsibleModule.run_command can neither hurry nor wait, and is not there on a schedule.
            process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                [self.binary, *arguments],
                stdin=subprocess.PIPE if script else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(),
                start_new_session=True,  # a Ctrl-C at the terminal must not interrupt a snapshot half-way
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
                f"'zfs {arguments[0]}' was ended by signal {-process.returncode}",
                "Find out who did it, in the kernel's log",
            )
        if process.returncode:
            raise _error(arguments, output, complaint)
        return output

    def rows(self, *arguments: str, timeout: float = READ_TIMEOUT) -> list[list[str]]:
        """The output of a `-H` listing as a list of rows of tab-separated fields.

        Values that anybody can set (user properties, mountpoints) stand in it as they are: one with line breaks and
        tabs looks like rows that zfs never meant, so that whoever asks for such values has to look for them.
        """
        return [line.split("\t") for line in lines(self.run(*arguments, timeout=timeout))]


def lines(output: str) -> list[str]:
    """The lines of zfs's output. Only a line feed ends one: a value may hold what else ends a line in Python."""
    return output.removesuffix("\n").split("\n") if output else []


def too_long(what: str) -> InputError:
    """The command `zfs <what>` would need more arguments than the system takes."""
    return InputError(
        f"'zfs {what}' would have to name more than this system takes in one command",
        "Take fewer datasets at a time: exclude some, or snapshot parts of the tree one by one",
    )


def _communicate(
    process: "subprocess.Popen[bytes]", timeout: float, hurry: Callable[[], bool], script: str
) -> tuple[str, str]:
    """What the process says until its end. Raises TimeoutExpired with the time that it had.

    It is read as bytes: Python makes line feeds of the carriage returns in a text.
    """
    begun = time.monotonic()
    unsaid: bytes | None = script.encode() or None
    allowed = timeout
    while True:
        spent = time.monotonic() - begun
        if hurry():
            allowed = min(allowed, spent + _HURRIED)
            hurry = never
        try:
            output, complaint = process.communicate(unsaid, timeout=max(0.0, min(allowed - spent, _LOOK)))
            return os.fsdecode(output), os.fsdecode(complaint)
        except subprocess.TimeoutExpired:
            unsaid = None  # the first call goes on with it
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
    said = printable(complaint.strip() or "nothing", 600)
    kind = next((kind for pattern, kind in _MEANINGS if pattern.search(complaint)), ZfsError)
    error = kind(f"'zfs {arguments[0]}' failed: {said}", "Mend what it names and try again")
    error.output = output
    return error
