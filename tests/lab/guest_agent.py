# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other end of guest_door.py, in the storage host of the lab: calls the engine's own LocalHost.

Each line of standard input is a request, each line of standard output an answer, both in JSON. Requests are carried out
in parallel. The process ends with its standard input.
"""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import asdict, is_dataclass
from typing import Any


def plain(value: Any) -> Any:
    """Return a value as JSON types. Dataclasses are dictionaries."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def failure(error: BaseException) -> dict[str, Any]:
    """Return what the door needs to raise the same exception."""
    found = {"kind": type(error).__name__, "text": str(error), "errno": getattr(error, "errno", None)}
    return {**found, "strerror": getattr(error, "strerror", None), "seconds": getattr(error, "seconds", None),
            "file": getattr(error, "filename", None)}  # fmt: skip


class Agent:
    """Carries out requests: {"id", "call", "arguments"} or {"hurry": id}."""

    def __init__(self, host: Any) -> None:
        self._host = host
        self._hurried: dict[int, threading.Event] = {}
        self._writing = threading.Lock()

    def serve(self) -> None:
        for line in sys.stdin:
            request = json.loads(line)
            if "hurry" in request:
                self._hurried[request["hurry"]].set()
                continue
            self._hurried[request["id"]] = threading.Event()
            threading.Thread(target=self._carry_out, args=(request,), daemon=True).start()

    def _carry_out(self, request: dict[str, Any]) -> None:
        arguments = request["arguments"]
        if request["call"] == "run":
            arguments = [*arguments, self._hurried[request["id"]].is_set]
        answer: dict[str, Any] = {"id": request["id"]}
        try:
            answer["value"] = plain(getattr(self._host, request["call"])(*arguments))
        except Exception as error:  # pylint: disable=broad-except  # the other end raises it
            answer["error"] = failure(error)
        with self._writing:
            print(json.dumps(answer), flush=True)
