# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A door into the storage host of the lab: the engine runs here, and its programs and files are there.

One process in the guest serves all calls, so a call costs no ssh. It is started with the first call, and again after
the guest was restarted. It ends with this process. Use it as `Zfs(host=door)` and `NfsServer(zfs=Zfs(host=door))`.
"""

from __future__ import annotations

import base64
import builtins
import io
import itertools
import json
import subprocess
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Sequence

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.host import (
    Ended,
    Found,
    ProgramTimeout,
    StorageHost,
    never,
)

from .push import ENGINE
from .storage_host import StorageHost as LabHost

_POLL = 0.2  # seconds between checks of `hurry` and of the connection
# Reads the code from the first line of standard input, so that nothing has to be copied to the guest before.
_START = """
import base64, os, sys, tempfile
file, name = tempfile.mkstemp(suffix=".zip")
os.write(file, base64.b64decode(sys.stdin.readline()))
sys.path.insert(0, name)
import agent
from engine.door.local import LocalHost
os.unlink(name)
agent.Agent(LocalHost()).serve()
"""


class GuestGone(ConnectionError):
    """The guest was stopped, or its process ended, before it answered. The call may have taken effect."""


@dataclass
class _Call:
    """A call that waits for its answer."""

    ready: threading.Event = field(default_factory=threading.Event)
    answer: dict[str, Any] | None = None


class GuestDoor(StorageHost):
    """A door into a running lab. It is thread-safe. `close` ends the process in the guest."""

    def __init__(self, lab: LabHost) -> None:
        self._lab = lab
        self._lock = threading.Lock()
        self._connection: _Connection | None = None

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def run(self, command: Sequence[str], seconds: float, stdin: str = "", hurry: Callable[[], bool] = never) -> Ended:
        return Ended(**self._ask("run", list(command), seconds, stdin, hurry=hurry))

    def argument_limit(self) -> int:
        return int(self._ask("argument_limit"))

    def read(self, path: str) -> str:
        return str(self._ask("read", path))

    def read_regular(self, path: str, most: int) -> str:
        return str(self._ask("read_regular", path, most))

    def list_folder(self, path: str) -> list[str]:
        return list(self._ask("list_folder", path))

    def exists(self, path: str) -> bool:
        return bool(self._ask("exists", path))

    def is_folder(self, path: str) -> bool:
        return bool(self._ask("is_folder", path))

    def real_path(self, path: str) -> str:
        return str(self._ask("real_path", path))

    def replace_file(self, path: str, text: str, mode: int) -> None:
        self._ask("replace_file", path, text, mode)

    def remove_file(self, path: str) -> None:
        self._ask("remove_file", path)

    def tree(self, path: str) -> list[Found]:
        return [Found(**one) for one in self._ask("tree", path)]

    def make_folder(self, path: str, mode: int) -> None:
        self._ask("make_folder", path, mode)

    def rename_new(self, path: str, new: str) -> None:
        self._ask("rename_new", path, new)

    def copy_part(self, source: str, target: str, begin: int, most: int) -> int | None:
        at = self._ask("copy_part", source, target, begin, most)
        return None if at is None else int(at)

    def copy_attributes(self, source: str, target: str) -> None:
        self._ask("copy_attributes", source, target)

    def remove_tree(self, path: str, last: str = "") -> None:
        self._ask("remove_tree", path, last)

    def user(self, name: str) -> tuple[int, int]:
        uid, gid = self._ask("user", name)
        return uid, gid

    def group(self, name: str) -> int:
        return int(self._ask("group", name))

    def name(self) -> str:
        return str(self._ask("name"))

    def full_name(self) -> str:
        return str(self._ask("full_name"))

    def look_up(self, name: str) -> list[tuple[str, str]] | None:
        answers = self._ask("look_up", name)
        return None if answers is None else [tuple(answer) for answer in answers]

    def _ask(self, call: str, *arguments: Any, hurry: Callable[[], bool] = never) -> Any:
        answer = self._connected().ask(call, arguments, hurry)
        if "error" in answer:
            raise _exception(answer["error"])
        return answer["value"]

    def _connected(self) -> _Connection:
        with self._lock:
            if self._connection is None or self._connection.ended:
                self._connection = _Connection(self._lab)
            return self._connection


class _Connection:
    """One process in the guest."""

    def __init__(self, lab: LabHost) -> None:
        self._process = subprocess.Popen(
            ["ssh", "-F", str(lab.ssh_config), "storage", f"exec python3 -uc '{_START}'"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Call] = {}
        self._writing = threading.Lock()
        self.ended = False
        self._send(base64.b64encode(_code()).decode())
        threading.Thread(target=self._receive, daemon=True).start()

    def ask(self, call: str, arguments: Sequence[Any], hurry: Callable[[], bool]) -> dict[str, Any]:
        number, waiting = next(self._numbers), _Call()
        self._waiting[number] = waiting
        self._send(json.dumps({"id": number, "call": call, "arguments": list(arguments)}))
        while not waiting.ready.wait(_POLL) and not self.ended:
            if hurry():
                self._send(json.dumps({"hurry": number}))
                hurry = never
        self._waiting.pop(number, None)
        if waiting.answer is None:
            raise GuestGone(f"the storage host of the lab did not answer '{call}'")
        return waiting.answer

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            with self._writing:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
        except (OSError, ValueError) as error:  # ValueError: closed
            raise GuestGone("the process in the storage host of the lab has ended") from error

    def _receive(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as answers:
            for line in answers:
                answer = json.loads(line)
                call = self._waiting.get(answer["id"])
                if call is not None:
                    call.answer = answer
                    call.ready.set()
        self.ended = True
        self._process.wait()
        for call in list(self._waiting.values()):
            call.ready.set()


def _code() -> bytes:
    """Return the door's code as a zip archive: the lowest floor of the engine, its door, and the agent."""
    files = {f"engine/{path.relative_to(ENGINE)}": path for path in (*ENGINE.glob("*.py"), *ENGINE.glob("door/*.py"))}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, path in {**files, "agent.py": Path(__file__).with_name("guest_agent.py")}.items():
            packed.write(path, name)
    return archive.getvalue()


def _exception(error: dict[str, Any]) -> BaseException:
    """Return the exception that was raised in the guest."""
    if error["kind"] == "ProgramTimeout":
        return ProgramTimeout(error["seconds"])
    if error["errno"] is not None:
        return OSError(error["errno"], error["strerror"], error["file"])  # of the right subclass, by its number
    kind = getattr(builtins, error["kind"], RuntimeError)
    return kind(error["text"]) if issubclass(kind, Exception) else RuntimeError(error["text"])
