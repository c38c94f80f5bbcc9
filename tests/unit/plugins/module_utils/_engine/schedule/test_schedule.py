# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules mean what cron means, and retention never takes what must stay."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.calendar import Schedule
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.retention import (
    Taken,
    check_lifetime,
    judge,
    lifetime,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import dataset_of
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st


def field(least: int, most: int) -> st.SearchStrategy[str]:
    """A field of cron: stars, numbers, ranges, steps and lists of them."""
    number = st.integers(least, most)
    span = st.tuples(number, number).filter(lambda ends: ends[0] < ends[1]).map(lambda ends: f"{ends[0]}-{ends[1]}")
    stepped = st.tuples(st.one_of(st.just("*"), span), st.integers(1, 7)).map(lambda parts: f"{parts[0]}/{parts[1]}")
    part = st.one_of(number.map(str), span, stepped)
    return st.one_of(st.just("*"), part, st.lists(part, min_size=2, max_size=3).map(",".join))


@settings(max_examples=150)
@given(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6))
def test_a_schedule_fires_when_cron_would(minute: str, hour: str, dom: str, month: str, dow: str) -> None:
    """Against croniter, which is asked for the first days from the start of 2027 on."""
    schedule = Schedule(minute, hour, dom, month, dow)
    schedule.check()
    if dom != "*" and dow != "*":
        return  # either or both: here croniter differs from cron(8), which looks at the first character; see test_days
    theirs = croniter(f"{minute} {hour} {dom} {month} {dow}", datetime(2026, 12, 31, 23, 59))
    for moment in (theirs.get_next(datetime) for _unused in range(5)):
        assert schedule.matches(moment.date()) and (moment.hour, moment.minute) in schedule.times()


@pytest.mark.parametrize(
    ("schedule", "day", "fires"),
    [
        (Schedule(dom="13", dow="fri"), date(2026, 11, 13), True),
        (Schedule(dom="13", dow="fri"), date(2026, 11, 20), True),  # a Friday: either is enough
        (Schedule(dom="13", dow="fri"), date(2026, 10, 13), True),  # a Tuesday, but the 13th
        (Schedule(dom="13", dow="fri"), date(2026, 11, 14), False),
        (Schedule(dom="*/2", dow="mon"), date(2026, 11, 23), True),  # a star is no restriction: both have to match
        (Schedule(dom="*/2", dow="mon"), date(2026, 11, 30), False),
        (Schedule(dow="7"), date(2026, 11, 22), True),
        (Schedule(month="FEB", dom="29"), date(2028, 2, 29), True),
    ],
)
def test_days(schedule: Schedule, day: date, fires: bool) -> None:
    assert schedule.matches(day) is fires


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (Schedule(dom="31", month="2,4"), "month 2,4 has no day 31"),
        (Schedule(minute="50", hour="17", end="17:45"), "no 17:50 is between 00:00 and 17:45"),
        (Schedule(begin="18:00", end="06:00"), "later than end"),
        (Schedule(minute="60"), "minute '60'"),
        (Schedule(dow="monday"), "dow 'monday'"),
        (Schedule(hour="*/0"), "hour '\\*/0'"),
        (Schedule(hour="9-8"), "hour '9-8'"),
        (Schedule(minute="٣"), "minute"),
        (Schedule(begin="24:00"), "not a time of day"),
    ],
)
def test_what_can_never_fire_is_refused(schedule: Schedule, said: str) -> None:
    with pytest.raises(InputError, match=said):
        schedule.check()


def test_on_calendar_lines() -> None:
    either = Schedule("0,30", "8-18/2", "1,15", "*", "mon-fri", begin="08:15", end="18:00").on_calendar()
    clocks = ["08:30:00", "10,12,14,16:00,30:00", "18:00:00"]
    days = ["*-*-01,15", "Mon,Tue,Wed,Thu,Fri *-*-*"]
    assert sorted(either) == sorted(f"{day} {clock}" for day in days for clock in clocks)
    assert Schedule("*", "*", "*/10", "1", "0").on_calendar() == ["Sun *-01-01,11,21,31 *:*:00"]


@pytest.mark.parametrize(
    ("schedule", "most", "apart"),
    [
        (Schedule(), 3595, 3600),
        (Schedule("*"), 55, 60),
        (Schedule("0,50", "2"), 2995, 3000),
        (Schedule("59,1", "0,23"), 115, 120),  # 23:59 and 00:01
        (Schedule("0", "2"), 3600, None),
    ],
)
def test_a_run_begins_before_the_next_is_due(schedule: Schedule, most: int, apart: int | None) -> None:
    schedule.check_jitter(0)
    schedule.check_jitter(most)
    said = rf"{most + 1} s, but .* {apart} s apart; .* 0 to {most} s" if apart else rf"{most + 1} s; .* 0 to {most} s"
    for wrong in (most + 1, -1):
        with pytest.raises(InputError, match=said.replace(str(most + 1), str(wrong), 1)):
            schedule.check_jitter(wrong)


NOW = 1_800_000_000


@given(
    st.lists(
        st.builds(
            Taken,
            name=st.sampled_from(["tank/a", "tank/b"]).flatmap(
                lambda ds: st.integers(0, 99).map(lambda n: f"{ds}@s{n}")
            ),
            creation=st.integers(NOW - 10 * 86400, NOW),
            task=st.sampled_from(["", "1", "2"]),
            complete=st.booleans(),
            held=st.booleans(),
            cloned=st.booleans(),
        ),
        unique_by=lambda taken: taken.name,
        max_size=12,
    )
)
def test_retention_never_takes_what_must_stay(snapshots: list[Taken]) -> None:
    keep = lifetime(3, "DAY")
    gone = {verdict.snapshot for verdict in judge(snapshots, "1", keep, NOW) if verdict.destroy}
    for snapshot in gone:
        assert snapshot.task == "1" and not snapshot.held and not snapshot.cloned
        assert timedelta(seconds=NOW - snapshot.creation) > keep
    for dataset in ("tank/a", "tank/b"):
        mine = [snapshot for snapshot in snapshots if dataset_of(snapshot.name) == dataset and snapshot.task == "1"]
        if mine:
            assert max(mine, key=lambda snapshot: (snapshot.creation, snapshot.name)) not in gone
        complete = [snapshot for snapshot in mine if snapshot.complete]
        if complete:
            assert max(complete, key=lambda snapshot: (snapshot.creation, snapshot.name)) not in gone


def test_retention_takes_what_has_had_its_time_and_says_why_the_rest_stays() -> None:
    def taken(name: str, age: int, **facts: bool) -> Taken:
        return Taken(
            f"tank/a@{name}", NOW - age * 3600, "1", **{"complete": False, "held": False, "cloned": False, **facts}
        )

    snapshots = [
        taken("newest", 2),
        taken("young", 1, complete=False),
        taken("complete", 30, complete=True),
        taken("old-complete", 40, complete=True),
        taken("old", 50),
        taken("held", 60, held=True),
        taken("cloned", 70, cloned=True),
        Taken("tank/a@by-hand", NOW - 99 * 3600, "", False, False, False),
    ]
    verdicts = {
        v.snapshot.name.partition("@")[2]: (v.destroy, v.reason) for v in judge(snapshots, "1", lifetime(1, "DAY"), NOW)
    }
    assert verdicts == {
        "young": (False, "its lifetime has not expired"),
        "newest": (False, "its lifetime has not expired"),
        "complete": (False, "it is the newest that is complete"),
        "old-complete": (True, "its lifetime has expired"),
        "old": (True, "its lifetime has expired"),
        "held": (False, "it is held (zfs holds)"),
        "cloned": (False, "it has a clone"),
    }


@pytest.mark.parametrize(
    ("value", "unit", "days"), [(1, "DAY", 1), (2, "WEEK", 14), (1, "MONTH", 30), (1, "YEAR", 365)]
)
def test_lifetimes(value: int, unit: str, days: int) -> None:
    assert lifetime(value, unit) == timedelta(days=days)
    with pytest.raises(InputError, match="at least 1"):
        check_lifetime(0, unit)


def test_a_lifetime_beyond_the_longest_is_not_stored_and_does_not_end_a_turn() -> None:
    """Release 1.0.0 has stored such ones, for snapshots that stay for ever."""
    with pytest.raises(InputError, match="at most 1000, which is a thousand years"):
        check_lifetime(9999, "YEAR")
    assert lifetime(9999, "YEAR") == timedelta(days=365 * 1000)
