# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules with cron's five fields and semantics, and their translation to OnCalendar= lines of systemd.

Fields contain numbers, names (jan, mon), `*`, ranges, lists and steps (crontab(5)). If both day of month and day of
week are restricted, a day matches if either of them matches. A field that starts with `*` is not restricted, even with
a step. `begin` and `end` (HH:MM) limit the time of day and are both included.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Mapping

from ..errors import InputError
from ..text import printable

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = {name: number for number, name in enumerate(_DAY_NAMES)}
SYSTEMD_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_LONGEST_MONTHS = {month: 29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31 for month in range(1, 13)}
LONGEST_JITTER = 3600  # seconds; the name of a snapshot has the due minute, so the delay should be short
_WAKING = 5  # seconds for the inaccuracy of a timer and the start of a command
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)\Z")


@dataclass(frozen=True)
class Schedule:
    """The schedule of a snapshot task, in the storage host's local time. The field names are those of the options."""

    minute: str = "00"
    hour: str = "*"
    dom: str = "*"
    month: str = "*"
    dow: str = "*"
    begin: str = "00:00"
    end: str = "23:59"

    def check(self) -> None:
        """Raise InputError for a field that cron would refuse, and for a schedule that never runs."""
        if not self.times():
            raise InputError(
                f"The schedule never runs: no {self.hour}:{self.minute} is between {self.begin} and {self.end}",
                "Change begin and end, or minute and hour",
            )
        self._days_of_week()  # raises InputError for an invalid field
        if not any(day <= _LONGEST_MONTHS[month] for month in self._months() for day in self._month_days()):
            raise InputError(
                f"The schedule never runs: month {self.month} has no day {self.dom}", "Change dom or month"
            )

    def check_jitter(self, jitter: int) -> None:
        """Raise InputError for a delay in seconds that lasts until the next run is due, so that a run would be lost."""
        minutes = [60 * hour + minute for hour, minute in self.times()]
        closest = 60 * min(later - minute for minute, later in zip(minutes, [*minutes[1:], minutes[0] + 24 * 60]))
        most = min(closest - _WAKING, LONGEST_JITTER)
        if not 0 <= jitter <= most:
            because = f", but runs of this schedule are {closest} s apart" if most < LONGEST_JITTER else ""
            raise InputError(f"jitter is {jitter} s{because}", f"Set jitter to 0 to {most} seconds")

    def matches(self, day: date) -> bool:
        """Return whether the schedule runs on `day`."""
        if day.month not in self._months():
            return False
        by_month, by_week = day.day in self._days_of_month(), day.isoweekday() % 7 in self._days_of_week()
        return by_month or by_week if self._either() else by_month and by_week

    def times(self) -> list[tuple[int, int]]:
        """Return each (hour, minute) at which it runs on a day that matches, in order. Raises InputError."""
        first, last = _time("begin", self.begin), _time("end", self.end)
        if first > last:
            raise InputError(f"begin ({self.begin}) is later than end ({self.end})", "Set begin to a time before end")
        hours, minutes = _field("hour", self.hour, 0, 23), _field("minute", self.minute, 0, 59)
        return [
            (hour, minute) for hour in sorted(hours) for minute in sorted(minutes) if first <= (hour, minute) <= last
        ]

    def follows_clock(self) -> bool:
        """Return whether the task runs again in a repeated hour and not at all in a skipped one (rule of crontab)."""
        return self.minute.startswith("*") or self.hour.startswith("*")

    def on_calendar(self) -> list[str]:
        """Return OnCalendar= values. A timer with several values elapses for each of them (systemd.timer(5))."""
        months = numbers(self._months(), 12)
        month_days = f"*-{months}-{numbers(self._days_of_month(), 31)}"
        week = self._days_of_week()
        week_days = "" if len(week) == 7 else ",".join(SYSTEMD_DAYS[day] for day in sorted(week)) + " "
        days = [month_days, f"{week_days}*-{months}-*"] if self._either() else [f"{week_days}{month_days}"]
        return [f"{day} {clock}:00" for day in days for clock in self._clocks()]

    def _clocks(self) -> list[str]:
        """Group hours with the same minutes. `begin` and `end` may limit the minutes of the first and last hour."""
        minutes_of = {
            hour: tuple(minute for _unused, minute in group) for hour, group in groupby(self.times(), lambda t: t[0])
        }
        hours_of: dict[tuple[int, ...], set[int]] = {}
        for hour, minutes in minutes_of.items():
            hours_of.setdefault(minutes, set()).add(hour)
        return [f"{numbers(hours, 24)}:{numbers(set(minutes), 60)}" for minutes, hours in hours_of.items()]

    def _either(self) -> bool:
        return not (self.dom.startswith("*") or self.dow.startswith("*"))

    def _months(self) -> set[int]:
        return _field("month", self.month, 1, 12, _MONTHS)

    def _days_of_month(self) -> set[int]:
        return _field("dom", self.dom, 1, 31)

    def _days_of_week(self) -> set[int]:
        return {day % 7 for day in _field("dow", self.dow, 0, 7, _DAYS)}

    def _month_days(self) -> set[int]:
        """Return the days of the month on which it can run. If a day of the week is enough, these are all days."""
        return set(range(1, 32)) if self._either() else self._days_of_month()


def _field(name: str, text: str, least: int, most: int, names: Mapping[str, int] | None = None) -> set[int]:
    values: set[int] = set()
    for part in text.lower().split(","):
        found = re.fullmatch(r"(?:(\*)|(\w{1,9})(?:-(\w{1,9}))?)(?:/([0-9]{1,9}))?", part)
        if found is None:
            raise _refusal(name, text, least, most)
        star, first, last, step = found.groups()
        low = least if star else _number(name, text, first, least, most, names)
        high = most if star or (step and not last) else _number(name, text, last or first, least, most, names)
        if star and name == "dow":
            high = 6  # 7 is also Sunday, and */2 must not count it again
        if low > high or step == "0" or (step and int(step) == 0):
            raise _refusal(name, text, least, most)
        values.update(range(low, high + 1, int(step or 1)))
    return values


def _number(name: str, text: str, word: str, least: int, most: int, names: Mapping[str, int] | None) -> int:
    number = (names or {}).get(word, int(word) if word.isdecimal() and word.isascii() else -1)
    if not least <= number <= most:
        raise _refusal(name, text, least, most)
    return number


def _refusal(name: str, text: str, least: int, most: int) -> InputError:
    return InputError(
        f"The schedule's {name} '{printable(text, 60)}' is not valid in cron syntax",
        f"Use numbers from {least} to {most}, *, ranges, lists or steps, for example */15",
    )


def _time(name: str, text: str) -> tuple[int, int]:
    found = _TIME.match(text)
    if found is None:
        raise InputError(
            f"The schedule's {name} '{printable(text, 60)}' is not a time of day",
            'Use HH:MM in quotes, for example "08:30" (without quotes, YAML reads 23:59 as the number 1439)',
        )
    return int(found[1]), int(found[2])


def numbers(values: set[int], all_of_them: int) -> str:
    """Return numbers in the notation of OnCalendar=."""
    return "*" if len(values) == all_of_them else ",".join(f"{value:02d}" for value in sorted(values))
