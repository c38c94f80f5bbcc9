# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instants at which a schedule is due, across clock changes and downtime.

systemd alone would lose some runs. It skips 02:30 on the day on which clocks go forward, and the second 02:15 of `*/15`
on the day on which they go back (observed with systemd 252). Therefore a timer only starts the command, and this module
decides whether the task is due. The rules are those of Vixie cron. A task with fixed times runs once for each time,
even if clocks skip or repeat it. A task whose hour or minute starts with `*` follows the local clock, and so it runs in
both of two repeated hours.

Instants are seconds since 1970. Times of day are in the storage host's time zone.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

from .calendar import SYSTEMD_DAYS, Schedule, numbers

_DAY = timedelta(days=1)
_FAR = 41 * 366  # days; February 29 falls on a given day of the week at least once in 40 years
_CHANGES_LOOKED_FOR = 3 * 366  # days


def last_due(schedule: Schedule, after: float, now: float) -> float | None:
    """Return the latest instant at which the schedule was due, later than `after` and not later than `now`."""
    day = date.fromtimestamp(now)
    while day >= date.fromtimestamp(after) - _DAY:  # a skipped time is due later, possibly on the next day
        due = [instant for instant in _instants(schedule, day) if after < instant <= now]
        if due:
            return max(due)
        day -= _DAY
    return None


def next_due(schedule: Schedule, after: float) -> float | None:
    """Return the first instant after `after` at which the schedule is due, or None if it is never due."""
    first = date.fromtimestamp(after) - _DAY
    for days in range(_FAR):
        due = [instant for instant in _instants(schedule, first + days * _DAY) if instant > after]
        if due:
            return min(due)
    return None


def wakings(schedule: Schedule, now: float) -> list[str]:
    """Return OnCalendar= values that make a timer elapse at every instant that is due, and at few others.

    The values in UTC are for the days on which this host's clocks change.
    """
    return schedule.on_calendar() + _on_days_of_change(schedule, now)


def _instants(schedule: Schedule, day: date) -> set[float]:
    """Return the instants that are due for the times of `day`."""
    if not schedule.matches(day):
        return set()
    moments = [datetime(day.year, day.month, day.day, hour, minute) for hour, minute in schedule.times()]
    if not schedule.follows_clock():
        return {moment.timestamp() for moment in moments}  # PEP 495: a skipped time uses the offset before the change
    both = {(moment, moment.replace(fold=fold).timestamp()) for moment in moments for fold in (0, 1)}
    return {instant for moment, instant in both if datetime.fromtimestamp(instant) == moment}


def _on_days_of_change(schedule: Schedule, now: float) -> list[str]:
    noon = datetime.fromtimestamp(now, timezone.utc).replace(hour=12, minute=0, second=0, microsecond=0)
    noons = [noon + days * _DAY for days in range(_CHANGES_LOOKED_FOR)]
    offsets = [moment.astimezone().utcoffset() or timedelta() for moment in noons]
    # If two successive noons have different offsets, clocks change in between: include both days.
    days = [
        moment
        for here, pair in enumerate(zip(offsets, offsets[1:]))
        if pair[0] != pair[1]
        for moment in noons[here : here + 2]
    ]
    if not days:
        return []
    week_days = ",".join(SYSTEMD_DAYS[day] for day in sorted({moment.isoweekday() % 7 for moment in days}))
    months = numbers({moment.month for moment in days}, 12)
    shifts = {int(offset.total_seconds() // 60) for offset in offsets}
    minutes = {(minute - shift) % 60 for _unused, minute in schedule.times() for shift in shifts}
    return [f"{week_days} *-{months}-* *:{numbers(minutes, 60)}:00 UTC"]
