# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the QEMU machine protocol that the lab uses."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

from .places import LabError


class Monitor:
    """A connection to one emulator's QMP socket; a context manager."""

    def __init__(self, path: Path, time_limit: float = 60.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(time_limit)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._next()  # the greeting
        self.execute("qmp_capabilities")

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *_unused: object) -> None:
        self._lines.close()
        self._socket.close()

    def _next(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise LabError("The emulator closed its control socket; see its log with `tests/lab/lab status`")
        message: dict[str, Any] = json.loads(line)
        return message

    def execute(self, command: str, **arguments: Any) -> Any:
        """Return the result of the command. Raises LabError with the error of QEMU."""
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            message = self._next()
            if "error" in message:
                raise LabError(f"The emulator refused {command}: {message['error'].get('desc')}")
            if "return" in message:
                return message["return"]

    def go_on(self, time_limit: float) -> None:
        """Resume a saved machine as soon as its state has been read."""
        end = time.monotonic() + time_limit
        while self.execute("query-status")["status"] == "inmigrate":
            if time.monotonic() > end:
                raise LabError(
                    f"The storage host's saved state was not read within {time_limit:.0f} s; is the machine busy?"
                )
            time.sleep(0.02)
        self.execute("cont")

    def save(self, file: Path, time_limit: float) -> None:
        """Save the state of the machine without its disks to a file. The guest is then paused."""
        self.execute("stop")
        self.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self.execute("migrate", uri=f"exec:cat > '{file}'")
        end = time.monotonic() + time_limit
        while True:
            found = self.execute("query-migrate")
            if found.get("status") == "completed":
                return
            if found.get("status") == "failed" or time.monotonic() > end:
                raise LabError(
                    f"The storage host's state could not be saved: {found.get('error-desc') or found.get('status')}"
                )
            time.sleep(0.05)
