# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When retention destroys a ZFS snapshot, in words for people and as a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Mapping

from ..observe.lifetimes import OUTSIDE, RECEIVED, RECEIVED_TASK, SPARED, Judgement
from ..records.record import TASK
from ..schedule.retention import ALIVE, CLONED, FUTURE, HELD, NEWEST, NEWEST_COMPLETE, NEWEST_VERIFIED, lifetime

_NEVER = {OUTSIDE: "never: its task does not include the dataset", RECEIVED: "never: it was received"}
_KEPT = {
    HELD: "kept: held",
    CLONED: "kept: has a clone",
    NEWEST: "kept: newest of its task",
    NEWEST_COMPLETE: "kept: newest complete",
    NEWEST_VERIFIED: "kept: newest verified",
    FUTURE: "kept: dated in the future",
    SPARED: "kept: the clock may be wrong",
}


@dataclass(frozen=True)
class Expiry:
    """When a ZFS snapshot expires. `at` is in seconds since 1970, or None if there is no such time."""

    text: str
    at: float | None = None


def expiry(values: Mapping[str, str], judgement: Judgement | None) -> Expiry:
    """Return when a snapshot with these properties (lifetimes.facts) expires. `judgement` is that of its task."""
    if judgement is None:
        if RECEIVED_TASK in values:
            return Expiry(_NEVER[RECEIVED])
        return Expiry("never: its task was deleted" if values.get(TASK) else "never: no task")
    if judgement.destroy:
        return Expiry("as soon as the task runs" + ("" if judgement.task.enabled else " (it is disabled)"))
    if judgement.reason == ALIVE:
        keep = lifetime(judgement.task.lifetime_value, judgement.task.lifetime_unit)
        return _at(int(values["creation"]) + keep.total_seconds())
    return Expiry(_NEVER.get(judgement.reason) or _KEPT.get(judgement.reason) or f"kept: {judgement.reason}")


def _at(seconds: float) -> Expiry:
    try:
        return Expiry(datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M"), seconds)
    except (OverflowError, ValueError, OSError):  # a lifetime of a thousand years
        return Expiry("not before the year 3000", None)
