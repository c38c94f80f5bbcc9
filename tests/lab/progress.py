# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps for a person: what is done, and how long it took."""

from __future__ import annotations

import sys
import threading
import time
from typing import Callable, TypeVar

Result = TypeVar("Result")


def step(
    what: str, work: Callable[[], Result], outcome: Callable[[Result], str] = lambda result: "", ticks: bool = True
) -> Result:
    """Do `work` and print how long it took. A terminal shows the seconds while it runs, if `ticks` is set."""
    began = time.monotonic()
    done = threading.Event()

    def tick() -> None:
        while not done.wait(1.0):
            print(f"\r{what} ... {time.monotonic() - began:.0f} s", end="", flush=True)

    terminal = ticks and sys.stdout.isatty()
    if terminal:
        threading.Thread(target=tick, daemon=True).start()
    try:
        result = work()
    except BaseException:
        print(flush=True)
        raise
    finally:
        done.set()
    said = f"{what}: {outcome(result)}".removesuffix(": ")
    print(f"{chr(13) if terminal else ''}{said:72} {time.monotonic() - began:8.0f} s", flush=True)
    return result
