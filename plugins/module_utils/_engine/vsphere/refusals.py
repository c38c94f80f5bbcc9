# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers refused logins, so that a wrong password is sent only once: repeated failures lock accounts."""

from __future__ import annotations

import threading
from typing import Callable, TypeVar

from ..errors import LoginRefused
from ..secret import Secret

Result = TypeVar("Result")


class Refusals:
    """The refused logins of one session, or of all sessions of a run.

    It is thread-safe. Threads that use the same account log in one after the other, so that each knows the result of
    the previous login.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._accounts: dict[tuple[str, str], tuple[threading.Lock, dict[Secret, LoginRefused]]] = {}

    def once(self, server: str, username: str, password: Secret, log_in: Callable[[], Result]) -> Result:
        """Log in. If `server` has already refused this login, raise LoginRefused without contacting the server."""
        account = (server.lower(), username.lower())  # vCenter ignores case
        with self._guard:
            lock, refused = self._accounts.setdefault(account, (threading.Lock(), {}))
        with lock:
            if password in refused:
                raise LoginRefused(refused[password].problem, refused[password].remedy)
            try:
                return log_in()
            except LoginRefused as error:
                refused[password] = error
                raise
