# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's zfs, with the duration of each process: on an emulated host, it is not the engine's share."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs


class TimedZfs(Zfs):
    """`taken`: the subcommand and the duration (seconds) of each process. `patience` (seconds) replaces timeouts."""

    def __init__(self, patience: float = 0.0) -> None:
        super().__init__()
        self.taken: list[tuple[str, float]] = []
        self._patience = patience

    def run(self, *arguments: str, **how: Any) -> str:
        begun = time.monotonic()
        try:
            return super().run(*arguments, **{**how, **({"timeout": self._patience} if self._patience else {})})
        finally:
            self.taken.append((arguments[0], time.monotonic() - begun))

    def seconds(self, verb: str) -> float:
        """The total duration of all processes with the subcommand `verb`."""
        return sum(seconds for asked, seconds in self.taken if asked == verb)
