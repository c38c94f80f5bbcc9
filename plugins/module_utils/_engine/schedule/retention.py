# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide which ZFS snapshots of a snapshot task have expired, and why the others are kept. Destroys nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Iterable

from ..errors import InputError
from ..grouping import grouped
from ..zfs.names import dataset_of

UNITS = {
    "HOUR": timedelta(hours=1),
    "DAY": timedelta(days=1),
    "WEEK": timedelta(weeks=1),
    "MONTH": timedelta(days=30),
    "YEAR": timedelta(days=365),
}

_LONGEST = timedelta(days=365 * 1000)
ALIVE = "its lifetime has not expired"
FUTURE = "it is dated in the future, because a clock was wrong"
HELD = "it is held (zfs holds)"
CLONED = "it has a clone"
NEWEST = "it is the newest of its task"
NEWEST_COMPLETE = "it is the newest that is complete"
NEWEST_VERIFIED = "it is the newest that a drill verified"


@dataclass(frozen=True)
class Taken:
    """A ZFS snapshot with the facts for retention. `creation` is in seconds since 1970. `task` is its local property.
    `born` is its createtxg, which increases even if the clock is set back (0 if it is not known).
    """

    name: str
    creation: int
    task: str
    complete: bool
    held: bool
    cloned: bool
    born: int = 0
    verified: bool = False


@dataclass(frozen=True)
class Verdict:
    """The decision for a snapshot of the task: destroyed, or kept for a `reason`."""

    snapshot: Taken
    destroy: bool
    reason: str


def lifetime(value: int, unit: str) -> timedelta:
    """Return the lifetime of a task's snapshots. A month has 30 days, a year 365. A longer lifetime than the maximum,
    which an older release may have stored, counts as the maximum. Raises InputError.
    """
    return min(value, _most(unit)) * UNITS[unit]


def check_lifetime(value: int, unit: str) -> None:
    """Raise InputError for a lifetime that a new task cannot have."""
    if value < 1:
        raise InputError(f"lifetime_value is {value}", "Set lifetime_value to at least 1")
    if value > _most(unit):
        raise InputError(
            f"lifetime_value is {value}", f"Set lifetime_value to at most {_most(unit)}, which is a thousand years"
        )


def _most(unit: str) -> int:
    if unit not in UNITS:
        raise InputError(f"lifetime_unit is '{unit}'", f"Set lifetime_unit to one of {', '.join(UNITS)}")
    return _LONGEST // UNITS[unit]


def judge(snapshots: Iterable[Taken], task: str, keep: timedelta, now: float) -> list[Verdict]:
    """Return verdicts on the snapshots that `task` took, by dataset, newest first. Other snapshots are ignored.

    Each dataset keeps its newest snapshot of the task, its newest complete one, and the newest that a drill verified,
    whatever their age, so that there is a snapshot to restore after weeks of failed runs. A snapshot that is dated in
    the future does not count as any of them. It is kept until it expires.
    """
    own = grouped((dataset_of(snapshot.name), snapshot) for snapshot in snapshots if snapshot.task == task)
    verdicts = []
    for dataset in sorted(own):
        newest_first = sorted(own[dataset], key=_age, reverse=True)
        past = [snapshot for snapshot in newest_first if snapshot.creation <= now]
        spared = (
            (next(iter(past), None), NEWEST),
            (next((snapshot for snapshot in past if snapshot.complete), None), NEWEST_COMPLETE),
            (next((snapshot for snapshot in past if snapshot.verified), None), NEWEST_VERIFIED),
        )
        for snapshot in newest_first:
            reason = _why_kept(snapshot, spared, keep, now)
            verdicts.append(Verdict(snapshot, not reason, reason or "its lifetime has expired"))
    return verdicts


def _age(snapshot: Taken) -> tuple[int, int, str]:
    return snapshot.born, snapshot.creation, snapshot.name


def _why_kept(snapshot: Taken, spared: Iterable[tuple[Taken | None, str]], keep: timedelta, now: float) -> str:
    if snapshot.creation > now:
        return FUTURE
    if now - snapshot.creation <= keep.total_seconds():
        return ALIVE
    if snapshot.held:
        return HELD
    if snapshot.cloned:
        return CLONED
    return next((reason for one, reason in spared if one is snapshot), "")
