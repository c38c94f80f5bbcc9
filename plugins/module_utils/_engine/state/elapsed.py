# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long ago something was written down, by another process perhaps, whatever became of the clock since then.

The clock on the wall is often wrong for some seconds after a power cut, until the host has asked a time server. So
something is written down with the uptime as well, which nobody sets. Across a restart less time is told than has
passed: that of the new start alone.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # random(4): another one after each start


def mark(instant: str) -> str:
    """What to keep beside `instant`, which is now (ISO 8601); "" where the system tells no uptime."""
    boot = _boot()
    return f"{instant} {boot} {_uptime():.3f}" if boot else ""


def seconds_since(instant: str, kept: str) -> float:
    """The seconds since `instant`, of which `mark` said `kept`. Negative when the clock was set back behind it.

    Where `kept` says nothing of this very instant, the clock is believed.
    """
    by_clock = (datetime.now(timezone.utc) - datetime.fromisoformat(instant)).total_seconds()
    marked, _unused, rest = kept.partition(" ")
    boot, _unused, uptime = rest.partition(" ")
    if marked != instant:
        return by_clock
    return min(by_clock, _uptime() - (float(uptime) if boot == _boot() else 0.0))


def _boot() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:  # no Linux
        return ""


def _uptime() -> float:
    """Seconds since the start, those that it was suspended among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
