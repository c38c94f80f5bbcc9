# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SSH to the storage host over one shared connection, and wrappers that behave like local commands."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from .places import LabError

CONFIG = """Host storage
    HostName 127.0.0.1
    Port {port}
    User root
    IdentityFile {key}
    IdentitiesOnly yes
    HostKeyAlias storage
    UserKnownHostsFile {known_hosts}
    StrictHostKeyChecking yes
    HostKeyAlgorithms ssh-ed25519
    PreferredAuthentications publickey
    KexAlgorithms curve25519-sha256
    Ciphers chacha20-poly1305@openssh.com
    ControlMaster auto
    ControlPath {control}
    ControlPersist yes
    ConnectTimeout 30
    ServerAliveInterval 15
    LogLevel ERROR
"""
# ssh passes one line to the remote shell, so each word is enclosed in single quotes. Only commands that read data or a
# key from standard input receive it, so that a wrapper in a loop does not consume the input of the loop.
WRAPPER = """#!/usr/bin/env bash
line={command}
for word in "$@"; do line+=" '${{word//\\'/\\'\\\\\\'\\'}}'"; done
case "${{1-}}" in
    receive | recv | load-key | change-key | create | program) ;;
    *) exec </dev/null ;;
esac
# One argument holds at most 128 KiB, here and there: a longer line goes in as a script, before the data.
((${{#line}} < 100000)) || exec ssh -F {config} storage 'exec bash -s' < <(printf '%s; exit\n' "$line"; cat)
exec ssh -F {config} storage "$line"
"""


@dataclass(frozen=True)
class Shell:
    """The SSH connection to one storage host."""

    config: Path
    control: Path

    def write(self, port: int, key: Path, host_key: Path, known_hosts: Path, wrappers: Path) -> None:
        """Write the SSH configuration, the known host key, and the wrappers `zfs` and `zpool`."""
        known_hosts.write_text("storage " + " ".join(host_key.read_text().split()[:2]) + "\n")
        self.config.write_text(CONFIG.format(port=port, key=key, known_hosts=known_hosts, control=self.control))
        wrappers.mkdir(exist_ok=True)
        for command in ("zfs", "zpool"):
            path = wrappers / command
            path.write_text(WRAPPER.format(command=command, config=shlex.quote(str(self.config))))
            path.chmod(0o755)

    def connect(self, port: int, time_limit: float) -> None:
        """Wait until sshd on the host responds, and open the shared connection."""
        end = time.monotonic() + time_limit
        while not _speaks(port):
            if time.monotonic() > end:
                raise LabError(
                    f"The storage host did not answer in {time_limit:.0f} s; see {self.config.parent}/console.log"
                )
            time.sleep(0.1)
        self.disconnect()
        left = max(10.0, end - time.monotonic())
        done = subprocess.run(
            ["ssh", "-F", str(self.config), "-M", "-N", "-f", "storage"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=left,
            check=False,
        )
        if done.returncode:
            raise LabError(f"The storage host refused the lab's key: {done.stderr.strip()}; try `tests/lab/lab reset`")

    def disconnect(self) -> None:
        """Close the shared connection, even if the other end is gone."""
        if self.control.exists():
            farewell = ["ssh", "-F", str(self.config), "-O", "exit", "storage"]
            subprocess.run(farewell, stdin=subprocess.DEVNULL, capture_output=True, check=False)
            self.control.unlink(missing_ok=True)

    def run(self, argv: Sequence[str], data: str | None, time_limit: float | None) -> subprocess.CompletedProcess[str]:
        """Run one command in the guest without changing its arguments."""
        return subprocess.run(
            ["ssh", "-F", str(self.config), "storage", " ".join(shlex.quote(word) for word in argv)],
            capture_output=True,
            text=True,
            timeout=time_limit,
            check=False,
            **({"stdin": subprocess.DEVNULL} if data is None else {"input": data}),
        )

    def interactive(self, argv: Sequence[str], terminal: bool) -> int:
        """Open an interactive shell, or run a command in the guest. Return the exit status of the guest."""
        options = ["-t"] if terminal else []
        return subprocess.call(["ssh", "-F", str(self.config), *options, "storage", *argv], env=os.environ)


def _speaks(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.settimeout(5)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
