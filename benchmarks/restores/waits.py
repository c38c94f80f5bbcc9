# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a process waits for others: for the storage host of the lab, and for vCenter."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterable
from typing import Any, Callable
from unittest import mock

from tests.lab.guest_door import GuestDoor


class Waits:
    """Measures waits in all threads. The time in which several threads wait counts once."""

    def __init__(self) -> None:
        self._intervals: list[tuple[float, float]] = []
        self._lock = threading.Lock()

    def measured(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, whose calls are waits."""

        def call(*arguments: Any, **named: Any) -> Any:
            begun = time.monotonic()
            try:
                return function(*arguments, **named)
            finally:
                with self._lock:
                    self._intervals.append((begun, time.monotonic()))

        return call

    def seconds(self) -> float:
        return covered(self._intervals)

    def for_vcenter(self) -> Any:
        """Return a context in which waiting for a response of a web server is a wait."""
        response = self.measured(http.client.HTTPConnection.getresponse)
        return mock.patch.object(http.client.HTTPConnection, "getresponse", response)

    def for_storage_host(self) -> Any:
        """Return a context in which everything that the storage host of the lab does is a wait."""
        return mock.patch.object(GuestDoor, "_ask", self.measured(GuestDoor._ask))


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Return how much time the intervals cover together. Each is a begin and an end."""
    total, end = 0.0, 0.0
    for begun, ended in sorted(intervals):
        total += max(0.0, ended - max(begun, end))
        end = max(end, ended)
    return total
