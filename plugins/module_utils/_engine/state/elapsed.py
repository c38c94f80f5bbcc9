# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the time since an instant that was stored, possibly by another process, even if the clock was set.

After a power failure, the system clock is often wrong until a time server has corrected it. Therefore the uptime is
stored with the instant. After a restart, only the time since the restart counts, which is less than the real time.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # random(4): changes with each boot


def mark(instant: str) -> str:
    """Return the text to store with `instant`, which is now (ISO 8601); "" if the system has no boot ID."""
    boot = _boot()
    return f"{instant} {boot} {_uptime():.3f}" if boot else ""


def seconds_since(instant: str, kept: str) -> float:
    """Return the seconds since `instant`, for which `mark` returned `kept`. Negative if the clock was set back.

    If `kept` belongs to another instant, only the clock is used.
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
    except OSError:  # not Linux
        return ""


def _uptime() -> float:
    """Return the seconds since the boot, including suspended time."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
