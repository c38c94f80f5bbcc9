# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a schedule is due, instant by instant, across clock changes and downtime.

systemd alone would lose some: it skips 02:30 on the day on which clocks go forward, and the second 02:15 of `*/15` on
the day on which they go back (seen with systemd 252). So a timer only wakes, and here is decided what is due. The rules
are those of Vixie cron: a task at fixed times runs once for each, also when clocks skip or repeat that time; one whose
hour or minute is a star follows the clock on the wall, and so runs in both of two repeated hours.

Instants are seconds since 1970, times of day those of the storage host's time zone.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

from .calendar import SYSTEMD_DAYS, Schedule, numbers

_DAY = timedelta(days=1)
_FAR = 41 * 366  # days: a 29th of February that has to be a certain day of the week comes every 40 years at the latest
_CHANGES_LOOKED_FOR = 3 * 366  # days


def last_due(schedule: Schedule, after: float, now: float) -> float | None:
    """The newest instant at which the schedule was due, later than `after` and not later than `now`."""
    day = date.fromtimestamp(now)
    while day >= date.fromtimestamp(after) - _DAY:  # a skipped time is due later, which may be on the next day
        due = [instant for instant in _instants(schedule, day) if after < instant <= now]
        if due:
            return max(due)
        day -= _DAY
    return None


def next_due(schedule: Schedule, after: float) -> float | None:
    """The first instant after `after` at which the schedule is due; None for one that never is."""
    first = date.fromtimestamp(after) - _DAY
    for days in range(_FAR):
        due = [instant for instant in _instants(schedule, first + days * _DAY) if instant > after]
        if due:
            return min(due)
    return None


def wakings(schedule: Schedule, now: float) -> list[str]:
    """OnCalendar= values with which a timer wakes at every instant that is due, and at few others.

    Those in UTC are for the days on which this host's clocks change; a time zone without such days needs none.
    """
    return schedule.on_calendar() + _on_days_of_change(schedule, now)


def _instants(schedule: Schedule, day: date) -> set[float]:
    """The instants that are due for the times of `day`."""
    if not schedule.matches(day):
        return set()
    moments = [datetime(day.year, day.month, day.day, hour, minute) for hour, minute in schedule.times()]
    if not schedule.follows_clock():
        return {moment.timestamp() for moment in moments}  # PEP 495: a skipped time as if clocks had not changed yet
    both = {(moment, moment.replace(fold=fold).timestamp()) for moment in moments for fold in (0, 1)}
    return {instant for moment, instant in both if datetime.fromtimestamp(instant) == moment}


def _on_days_of_change(schedule: Schedule, now: float) -> list[str]:
    noon = datetime.fromtimestamp(now, timezone.utc).replace(hour=12, minute=0, second=0, microsecond=0)
    noons = [noon + days * _DAY for days in range(_CHANGES_LOOKED_FOR)]
    offsets = [moment.astimezone().utcoffset() or timedelta() for moment in noons]
    # Between two noons with different offsets clocks change: the days of both, whatever their date is there.
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
