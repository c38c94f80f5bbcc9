# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers pools that did not respond in time, so that a recovery waits only once for a suspended pool."""

from __future__ import annotations

import time

from ..errors import QuiesceError, ZfsTimeout

_SLOW = 15.0  # seconds; if an operation fails after that time, the pool does not respond


class SlowPools:
    def __init__(self) -> None:
        self._names: set[str] = set()

    def begin(self, pool: str) -> float:
        """Return the start time of an operation, for `failed`. Raises ZfsTimeout if the pool is known to be slow."""
        if pool in self._names:
            raise ZfsTimeout(f"the pool {pool} did not respond in time before; check it with 'zpool status'")
        return time.monotonic()

    def failed(self, pool: str, begun: float | None, error: QuiesceError | None = None) -> None:
        """Remember the pool if the failed operation took too long. `begun` is None if `begin` raised the error."""
        if isinstance(error, ZfsTimeout) or (begun is not None and time.monotonic() - begun > _SLOW):
            self._names.add(pool)
