# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stops a run from outside: SIGTERM, SIGINT and SIGHUP end a run, but only after it has released its VMs.

Signals that suspend a process (Ctrl-Z) are ignored: a suspended run would hold its VMs and still count as alive.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from types import FrameType
from typing import Iterator

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SUSPENSIONS = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


class Stop:
    """Whether the run must end, and why. The first reason counts. Several threads may use it.

    `interrupted`: a signal is the reason, so the process or the whole host is about to end.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.interrupted = False

    def ask(self, reason: str) -> None:
        # No lock, because a signal handler calls this too, at any point of the program.
        self.reason = self.reason or reason

    def asked(self) -> bool:
        return bool(self.reason)


@contextmanager
def on_signals(stop: Stop) -> Iterator[None]:
    """Until the block ends, turn termination signals into `stop` and ignore the signals that suspend a process.

    Python handles signals in the main thread only. In any other thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        stop.interrupted = True
        stop.ask(f"it was interrupted by {signal.Signals(number).name}")

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    before.update({number: signal.signal(number, signal.SIG_IGN) for number in _SUSPENSIONS})
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
