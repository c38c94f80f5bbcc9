# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits how many VMs of a drill run at the same time, and how much memory they use together."""

from __future__ import annotations

from collections import deque

from ..restore.flow import Part, pause

_TURN = 0.1  # seconds between checks


class Gate:
    """VMs enter in the order in which they come, so a large VM is not passed by small ones for ever.

    `memory` is in MB, None for no limit. A VM that needs more than that must not come.
    """

    def __init__(self, number: int, memory: int | None) -> None:
        self._number, self._memory = number, memory
        self._inside: list[int] = []  # the memory of each VM
        self._waiting: deque[object] = deque()

    def enter(self, memory: int) -> Part[None]:
        """Wait until a VM may run. Raises RestoreUnfinished if the drill is stopped."""
        ticket = object()
        self._waiting.append(ticket)
        try:
            while self._waiting[0] is not ticket or not self._has_room(memory):
                yield from pause(_TURN)
        finally:
            self._waiting.remove(ticket)
        self._inside.append(memory)

    def leave(self, memory: int) -> None:
        """Let the next VM enter."""
        self._inside.remove(memory)

    def _has_room(self, memory: int) -> bool:
        within = self._memory is None or sum(self._inside) + memory <= self._memory
        return within and len(self._inside) < self._number
