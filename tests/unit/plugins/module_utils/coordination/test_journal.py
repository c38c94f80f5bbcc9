# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal forgets, and what it never does; test_journal_machine.py holds the rest against a model."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.journal import ENDED, LOST, Entry, Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.registry.database import Database, Paths

NOW = datetime.now(timezone.utc)
LIMIT = NOW - timedelta(days=90)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(Paths(tmp_path / "state", tmp_path / "key", tmp_path / "locks")) as opened:
        yield opened


def enter(database: Database, run: str, days: int, task: str = "", state: str = ENDED, left: bool = False) -> None:
    """A run that began so many days ago, with one VMware snapshot, which may be left."""
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


def test_what_may_be_left_or_is_not_settled_is_never_forgotten(database: Database) -> None:
    journal = Journal(database)
    enter(database, "a-left", 400, left=True)
    enter(database, "a-lost", 400, state=LOST)
    enter(database, "b-whole", 400)  # a wave of it may have left something
    enter(database, "b-whole-2", 400, left=True)
    journal.forget(LIMIT)
    assert {run.id for run in journal.runs()} == {"a-left", "a-lost", "b-whole", "b-whole-2"}
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
