# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A storage host that is the machine on which the engine runs."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import subprocess
import time
from pathlib import Path
from typing import Callable, Sequence

from ..durable import remove_file, replace_file
from ..process import environment
from . import local_files
from .host import Ended, Found, ProgramTimeout, StorageHost, never, size

_MOST = 6 * 1024 * 1024  # bytes; Linux allows no more, regardless of the stack size limit (execve(2))
_POLL = 0.5  # seconds between checks of `hurry`
_HURRIED = 5.0  # seconds that a program may still take once `hurry` is true
_KILL_GRACE = 1.0  # seconds to wait for a killed program; one that waits for a suspended pool never ends


class LocalHost(StorageHost):
    def run(self, command: Sequence[str], seconds: float, stdin: str = "", hurry: Callable[[], bool] = never) -> Ended:
        # AnsibleModule.run_command has no time limit and is not available in scheduled runs.
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            list(command),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),  # the program itself is also found on this PATH
            start_new_session=True,  # Ctrl-C at the terminal must not interrupt a snapshot
        )
        try:
            output, complaint = _communicate(process, seconds, hurry, stdin)
        except subprocess.TimeoutExpired as error:
            _abandon(process)
            raise ProgramTimeout(error.timeout) from error
        return Ended(process.returncode, os.fsdecode(output), os.fsdecode(complaint))

    def argument_limit(self) -> int:
        """The system's limit minus the environment and a page in reserve."""
        return (
            min(os.sysconf("SC_ARG_MAX"), _MOST) - size(f"{name}={value}" for name, value in os.environ.items()) - 4096
        )

    def read(self, path: str) -> str:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")

    def read_regular(self, path: str, most: int) -> str:
        return local_files.read_regular(path, most)

    def list_folder(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def is_folder(self, path: str) -> bool:
        return os.path.isdir(path)

    def real_path(self, path: str) -> str:
        return os.path.realpath(path)

    def replace_file(self, path: str, text: str, mode: int) -> None:
        Path(path).parent.mkdir(mode=0o755, exist_ok=True)
        replace_file(Path(path), text.encode("utf-8", errors="surrogateescape"), mode)

    def remove_file(self, path: str) -> None:
        remove_file(Path(path))

    def tree(self, path: str) -> list[Found]:
        return local_files.tree(path)

    def make_folder(self, path: str, mode: int) -> None:
        local_files.make_folder(path, mode)

    def rename_new(self, path: str, new: str) -> None:
        local_files.rename_new(path, new)

    def copy_part(self, source: str, target: str, begin: int, most: int) -> int | None:
        return local_files.copy_part(source, target, begin, most)

    def copy_attributes(self, source: str, target: str) -> None:
        local_files.copy_attributes(source, target)

    def remove_tree(self, path: str, last: str = "") -> None:
        local_files.remove_tree(path, last)

    def user(self, name: str) -> tuple[int, int]:
        account = pwd.getpwnam(name)
        return account.pw_uid, account.pw_gid

    def group(self, name: str) -> int:
        return grp.getgrnam(name).gr_gid

    def name(self) -> str:
        return socket.gethostname()

    def full_name(self) -> str:
        return socket.getfqdn(socket.gethostname())

    def look_up(self, name: str) -> list[tuple[str, str]] | None:
        try:
            answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
        except socket.gaierror as error:
            return None if error.errno == socket.EAI_AGAIN else []
        except (OSError, ValueError):  # ValueError: not a valid name, for example with an empty label
            return []
        return [(str(answer[4][0]), answer[3]) for answer in answers]


def _communicate(
    process: "subprocess.Popen[bytes]", seconds: float, hurry: Callable[[], bool], stdin: str
) -> tuple[bytes, bytes]:
    """Wait for the program and return its output and error output. Raises TimeoutExpired with the time allowed.

    The output is read as bytes, because Python converts carriage returns in text to line feeds.
    """
    begun = time.monotonic()
    unsent: bytes | None = os.fsencode(stdin) or None
    allowed = seconds
    while True:
        spent = time.monotonic() - begun
        if hurry():
            allowed = min(allowed, spent + _HURRIED)
            hurry = never
        try:
            return process.communicate(unsent, timeout=max(0.0, min(allowed - spent, _POLL)))
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
