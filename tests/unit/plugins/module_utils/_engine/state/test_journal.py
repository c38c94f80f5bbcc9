# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal deletes and what it keeps. test_journal_machine.py compares the rest with a model."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import elapsed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.creation import Creation
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.identity import run_id_at
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal_entries import (
    ENDED,
    RELEASING,
    Entry,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.properties import Assignment

NOW = datetime.now(timezone.utc)
LIMIT = NOW - timedelta(days=90)
ONE = Assignment("tank/a@s", "17", (("manifest.0", "eJx="), ("consistency", "still"), ("sealed", "2:1:a:b")))
TWO = Assignment("tank/b@s", "", (("sealed", "x"), ("consistency", ""), ("a", "é")))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(Paths(tmp_path / "state", tmp_path / "key", tmp_path / "locks")) as opened:
        yield opened


def enter(database: Database, run: str, days: int, task: str = "", state: str = ENDED, left: bool = False) -> None:
    """Add a run that began this many days ago, with one VMware snapshot, which may be left."""
    journal = Journal(database)
    journal.open_run(run, task, "tank", [f"tank@{run}"], state)
    (entry,) = journal.intend([Entry(run, "vcenter.lab", 443, "vm-1", "", "web", f"vmware-zfs-{run}")])
    if not left:
        journal.gone({entry: ""})
    with database.transaction() as connection:
        started = (NOW - timedelta(days=days)).isoformat(timespec="milliseconds")
        connection.execute("UPDATE run SET started = ? WHERE id = ?", (started, run))


def test_old_runs_are_forgotten_with_their_entries(database: Database) -> None:
    journal = Journal(database)
    enter(database, "a-old", 91)
    enter(database, "a-young", 89)
    journal.forget(LIMIT)
    assert [run.id for run in journal.runs()] == ["a-young"]
    assert journal.entries("a-old") == [] and len(journal.entries("a-young")) == 1


def test_the_newest_run_is_the_one_that_was_written_last(database: Database) -> None:
    """The clock was ahead during the first run."""
    enter(database, "ahead", -365, task="1")
    enter(database, "last", 0, task="1")
    journal = Journal(database)
    assert [run.id for run in journal.runs(limit=1)] == [run.id for run in journal.last_run("1")] == ["last"]


def test_what_may_be_left_or_is_not_settled_is_never_forgotten(database: Database) -> None:
    journal = Journal(database)
    enter(database, "a-left", 400, left=True)
    enter(database, "a-releasing", 400, state=RELEASING)
    enter(database, "a-lost", 400, state="lost")  # of release 1.0.0 and not completed yet
    enter(database, "b-whole", 400)  # one of its waves may have left something
    enter(database, "b-whole-2", 400, left=True)
    journal.forget(LIMIT)
    assert {run.id for run in journal.runs()} == {
        "a-left", "a-releasing", "a-lost", "b-whole", "b-whole-2",
    }  # fmt: skip
    assert [entry.run for entry in journal.open_entries()] == ["a-left", "b-whole-2"]


def test_the_last_run_of_each_task_stays_with_all_its_waves(database: Database) -> None:
    journal = Journal(database)
    enter(database, "t-before", 300, task="weekly")
    enter(database, "t-last", 200, task="weekly")
    enter(database, "t-last-2", 200, task="weekly")
    enter(database, "u-last", 300, task="yearly")
    enter(database, "u-last-2", 300, task="yearly")
    journal.forget(LIMIT)
    assert [run.id for run in journal.last_run("weekly")] == ["t-last", "t-last-2"]
    assert [run.id for run in journal.last_run("yearly")] == ["u-last", "u-last-2"]
    assert journal.run("t-before") is None


def test_the_last_run_is_the_one_that_was_entered_last(database: Database) -> None:
    """The clock was ahead before and is correct again."""
    journal = Journal(database)
    enter(database, "t-ahead", -400, task="nightly")
    enter(database, "t-last", 200, task="nightly")
    assert [run.id for run in journal.runs()] == ["t-last", "t-ahead"] == [run.id for run in journal.runs((ENDED,))]
    assert [run.id for run in journal.last_run("nightly")] == ["t-last"]
    journal.forget(LIMIT)
    assert [run.id for run in journal.last_run("nightly")] == ["t-last"], "the task did nothing since"


# ---- Absence


def absent_for(database: Database, **clock: object) -> float:
    """Mark an entry absent, advance the clock and the uptime, and return for how long it has been absent."""
    journal = Journal(database)
    (number,) = journal.intend([Entry("one", "vc", 443, "vm-1", "", "web", "s")])
    journal.absent([number])
    (entry,) = [one for one in journal.entries("one") if one.id == number]
    with pytest.MonkeyPatch.context() as patch:
        shift = timedelta(seconds=float(str(clock.get("clock", 0))))
        moved = type("Moved", (datetime,), {"now": classmethod(lambda cls, zone=None: datetime.now(zone) + shift)})
        patch.setattr(elapsed, "datetime", moved)
        up = elapsed._uptime() + float(str(clock.get("uptime", 0)))
        patch.setattr(elapsed, "_uptime", lambda: float(str(clock.get("since_start", up))))
        if "since_start" in clock:
            patch.setattr(elapsed, "_boot", lambda: "another")
        return entry.unchanged_for


@pytest.mark.parametrize(
    ("clock", "seconds"),
    [
        ({}, 0),
        ({"clock": 3600, "uptime": 3600}, 3600),
        ({"clock": 3600, "uptime": 1}, 1),  # a time server corrected the clock a second later
        ({"clock": -3600, "uptime": 3600}, -3600),
        ({"clock": 3600, "since_start": 60}, 60),  # restarted, and the clock may be wrong again
        ({"clock": 3600, "since_start": 86400}, 3600),
    ],
)
def test_absence_is_not_longer_because_the_clock_was_set(
    database: Database, clock: dict[str, float], seconds: float
) -> None:
    assert absent_for(database, **clock) == pytest.approx(seconds, abs=30)  # the machine may be slow


def test_absence_that_was_noted_without_the_uptime_goes_by_the_clock(database: Database) -> None:
    """An earlier release wrote the entry."""
    journal = Journal(database)
    (number,) = journal.intend([Entry("one", "vc", 443, "vm-1", "", "web", "s")])
    journal.absent([number])
    with database.transaction() as connection:
        connection.execute(
            "UPDATE vm_snapshot SET changed = ?", ((datetime.now(timezone.utc) - timedelta(hours=1)).isoformat(),)
        )
    assert journal.entries("one")[0].unchanged_for == pytest.approx(3600, abs=60)


# ---- Complete records


def test_finished_records_are_kept_until_they_are_set(database: Database) -> None:
    journal = Journal(database)
    journal.keep_seals("one", [TWO, ONE])
    journal.keep_seals("two", [ONE])
    assert journal.seals("one") == [TWO, ONE], "their order and that of their properties are the run's"
    assert journal.seals("two") == [ONE] and journal.seals("three") == []
    assert journal.unsealed_runs() == ["one", "two"]
    journal.drop_seals("one", [ONE.snapshot, "tank/other@s"])
    assert journal.seals("one") == [TWO] and journal.seals("two") == [ONE]
    journal.drop_seals("one", [TWO.snapshot])
    assert journal.unsealed_runs() == ["two"]


def test_a_record_that_could_not_be_set_is_forgotten_with_its_run(database: Database) -> None:
    """Its pool has been missing for so long that it will not return."""
    journal = Journal(database)
    old, young = (f"{run_id_at(NOW - timedelta(days=days))}-1f2e3d4c" for days in (91, 89))
    for run, days in ((old, 91), (f"{old}-2", 91), (young, 89), (f"{young}-2", 89)):
        enter(database, run, days)
        journal.keep_seals(run, [ONE, TWO])
    journal.forget(LIMIT)
    assert journal.unsealed_runs() == [young, f"{young}-2"] and journal.seals(young) == [ONE, TWO]
    assert {run.id for run in journal.runs()} == {young, f"{young}-2"}


def test_a_record_that_is_written_again_takes_the_place_of_the_one_before(database: Database) -> None:
    journal = Journal(database)
    journal.keep_seals("one", [ONE, TWO])
    later = Assignment(ONE.snapshot, "18", (("sealed", "y"),))
    journal.keep_seals("one", [later])
    assert sorted(journal.seals("one"), key=lambda one: one.snapshot) == [later, TWO]


# ---- Creations


def creation(journal: Journal) -> Creation:
    (found,) = journal.open_entries()
    return found.creation


def test_a_creation_is_asked_for_then_made(database: Database) -> None:
    journal = Journal(database)
    (entry,) = journal.intend([Entry("one", "vc", 443, "vm-1", "", "web", "s")])
    assert creation(journal) is Creation.ASKED
    journal.created({entry: "snapshot-1"})
    assert creation(journal) is Creation.MADE


def test_a_creation_that_was_asked_for_twice_stays_so(database: Database) -> None:
    """One of the two succeeded, and the other one may still appear."""
    journal = Journal(database)
    (entry,) = journal.intend([Entry("one", "vc", 443, "vm-1", "", "web", "s")])
    journal.repeat(entry)
    assert creation(journal) is Creation.REPEATED
    journal.created({entry: "snapshot-1"})
    (found,) = journal.open_entries()
    assert (found.creation, found.snapshot_moid, found.state) == (Creation.REPEATED, "snapshot-1", "created")
