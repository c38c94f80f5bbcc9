# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is due when: across downtime, and on the days on which clocks change."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.calendar import Schedule
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.naming import unused_name
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.occurrences import (
    last_due,
    next_due,
    wakings,
)

NIGHTLY = Schedule("30", "2")
QUARTERS = Schedule("*/15")


@pytest.fixture
def berlin() -> Iterator[None]:
    """Clocks go forward at 2027-03-28 01:00 UTC and back at 2026-10-25 01:00 UTC."""
    yield from in_zone("Europe/Berlin")


@pytest.fixture
def lord_howe() -> Iterator[None]:
    """Clocks change by half an hour."""
    yield from in_zone("Australia/Lord_Howe")


@pytest.fixture
def utc() -> Iterator[None]:
    yield from in_zone("UTC")


def in_zone(name: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TZ", name)
        time.tzset()
        yield
    time.tzset()


def at(text: str) -> float:
    """`2026-10-25 01:30` in UTC, as an instant."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=timezone.utc).timestamp()


def shown(instant: float | None) -> str:
    return datetime.fromtimestamp(instant or 0.0, timezone.utc).strftime("%Y-%m-%d %H:%M")


def runs(schedule: Schedule, begin: str, end: str) -> list[str]:
    """When a task runs whose timer wakes every minute, in UTC."""
    found = []
    handled, now = at(begin), at(begin)
    while now <= at(end):
        due = last_due(schedule, handled, now)
        if due is not None:
            found.append(shown(due))
            handled = due
        now += 60.0
    return found


def test_a_time_that_clocks_skip_is_due_right_after(berlin: None) -> None:
    assert runs(NIGHTLY, "2027-03-27 00:00", "2027-03-29 12:00") == [
        "2027-03-27 01:30",
        "2027-03-28 01:30",  # 03:30 summer time: there was no 02:30
        "2027-03-29 00:30",
    ]


def test_a_time_that_clocks_repeat_is_due_once(berlin: None) -> None:
    assert runs(NIGHTLY, "2026-10-24 12:00", "2026-10-26 12:00") == ["2026-10-25 00:30", "2026-10-26 01:30"]


def test_a_star_follows_the_clock_on_the_wall(berlin: None) -> None:
    """Both of two equal hours, and nothing for the hour that is skipped: a quarter of an hour apart all the time."""
    for begin, end in (("2026-10-25 00:00", "2026-10-25 03:00"), ("2027-03-28 00:00", "2027-03-28 03:00")):
        assert [at(moment) for moment in runs(QUARTERS, begin, end)] == [at(begin) + 900.0 * n for n in range(1, 13)]


def test_repeated_hours_name_nothing_twice(berlin: None) -> None:
    used: set[str] = set()
    for moment in runs(QUARTERS, "2026-10-25 00:00", "2026-10-25 02:00"):
        name = unused_name("auto-%Y-%m-%d_%H-%M", datetime.fromtimestamp(at(moment)).astimezone(), used.__contains__)
        assert name not in used
        used.add(name)
    assert {"auto-2026-10-25_02-15", f"auto-2026-10-25_02-15-{int(at('2026-10-25 01:15'))}"} <= used


def test_what_was_missed_is_due_once(utc: None) -> None:
    now = at("2026-11-23 09:41")
    due = last_due(NIGHTLY, at("2026-11-01 12:00"), now)
    assert shown(due) == "2026-11-23 02:30"
    assert last_due(NIGHTLY, due or 0.0, now) is None


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        (Schedule("0", "0", "29", "2"), "2026-11-23 00:00", "2028-02-29 00:00"),
        (Schedule("0", "0", "13", "*", "fri"), "2026-11-08 00:00", "2026-11-13 00:00"),
        (Schedule("0", "0", "*/31", "2", "sat"), "2026-11-23 00:00", "2031-02-01 00:00"),
        (QUARTERS, "2026-11-23 23:50", "2026-11-24 00:00"),
    ],
)
def test_what_is_due_next(utc: None, schedule: Schedule, after: str, expected: str) -> None:
    assert shown(next_due(schedule, at(after))) == expected


def test_a_timer_wakes_in_utc_on_days_of_change_alone(berlin: None) -> None:
    assert wakings(NIGHTLY, at("2026-11-23 00:00")) == ["*-*-* 02:30:00", "Sun,Sat *-03,10-* *:30:00 UTC"]


def test_a_timer_wakes_at_the_minutes_of_both_times(lord_howe: None) -> None:
    (_unused, change) = wakings(Schedule("10", "1"), at("2026-11-23 00:00"))
    assert change.endswith(" *:10,40:00 UTC")


def test_a_zone_without_changes_needs_none(utc: None) -> None:
    assert wakings(NIGHTLY, at("2026-11-23 00:00")) == ["*-*-* 02:30:00"]
