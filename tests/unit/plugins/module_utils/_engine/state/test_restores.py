# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of restores: what may exist is in it before it exists, and stays in it until it is gone."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import RestoreNotFound
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import (
    DONE,
    ENDED,
    FOLDER,
    INTENDED,
    RUNNING,
    UNDONE,
    RestoreRecord,
    Restores,
)

MAIL = RestoreRecord(
    "20261120T020000-0000000a", "tank/vmware@auto", FOLDER, "mail", "mail-restored", "vc.example.com", 443, "restorer"
)
WEB = dataclasses.replace(MAIL, id="20261120T020000-0000000b", vm="web", name="web-restored")
LATER = datetime.now(timezone.utc) + timedelta(days=1)


@pytest.fixture(name="paths")
def paths_(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "state", tmp_path / "key", tmp_path / "locks")


@pytest.fixture(name="restores")
def restores_(paths: Paths) -> Iterator[Restores]:
    with Database.open(paths) as database:
        yield Restores(database, "host-1")


def reopened(paths: Paths, host: str = "host-1") -> Restores:
    """What another process sees: nothing that is not on disk."""
    return Restores(Database.open(paths), host)


def test_a_step_is_on_disk_before_it_is_carried_out_and_learns_afterwards(restores: Restores, paths: Paths) -> None:
    restores.open(MAIL)
    hold = restores.intend(MAIL.id, "hold", {"snapshot": MAIL.snapshot, "tag": "ours"})
    other = reopened(paths)
    (stored,) = other.unfinished()
    assert (stored.vm, stored.state, stored.host, stored.ended) == ("mail", RUNNING, "host-1", "") and stored.started
    (step,) = other.steps(MAIL.id)
    assert (step.id, step.kind, step.state) == (hold, "hold", INTENDED) and step.data["tag"] == "ours"
    clone = restores.intend(MAIL.id, "clone", {"dataset": "tank/c", "guid": None})
    restores.done(clone, guid="77", mounted=True)
    steps = other.steps(MAIL.id)
    assert [(one.kind, one.state) for one in steps] == [("hold", INTENDED), ("clone", DONE)]
    assert steps[1].data == {"dataset": "tank/c", "guid": "77", "mounted": True}


def test_a_note_says_why_a_step_still_exists_and_goes_with_it(restores: Restores) -> None:
    restores.open(MAIL)
    step = restores.intend(MAIL.id, "export", {"path": "/tank/c"})
    restores.note(step, "the server is down")
    assert (restores.steps(MAIL.id)[0].note, restores.steps(MAIL.id)[0].state) == ("the server is down", INTENDED)
    restores.undone(step)
    assert (restores.steps(MAIL.id)[0].note, restores.steps(MAIL.id)[0].state) == ("", UNDONE)


def test_a_finished_restore_is_not_for_recovery(restores: Restores) -> None:
    for one in (MAIL, WEB):
        restores.open(one)
    restores.keep_result(MAIL.id, {"vm": {"name": "mail-restored"}})
    restores.set_state(MAIL.id, "done")
    assert [one.id for one in restores.unfinished()] == [WEB.id]
    done = restores.get(MAIL.id)
    assert done.state == DONE and done.ended and done.result == {"vm": {"name": "mail-restored"}}
    assert [one.id for one in restores.list()] == [WEB.id, MAIL.id] and restores.list([DONE]) == [done]
    restores.set_state(MAIL.id, ENDED)
    assert restores.get(MAIL.id).result == done.result and restores.list([DONE]) == []


def test_the_oldest_unfinished_restore_comes_first(restores: Restores) -> None:
    for one in (WEB, MAIL):
        restores.open(one)
    assert [one.id for one in restores.unfinished()] == [WEB.id, MAIL.id]


def test_an_unknown_restore_is_a_sentence(restores: Restores) -> None:
    with pytest.raises(RestoreNotFound, match="There is no restore with the id nope; list them with"):
        restores.get("nope")


def test_only_what_left_nothing_is_forgotten(restores: Restores) -> None:
    for number, state in enumerate((UNDONE, ENDED, DONE, RUNNING, UNDONE)):
        one = dataclasses.replace(MAIL, id=f"restore-{number}")
        restores.open(one)
        step = restores.intend(one.id, "folder", {})
        if number < 4:
            restores.undone(step)
        restores.set_state(one.id, state)
    restores.forget(datetime.now(timezone.utc) - timedelta(days=1))
    assert len(restores.list()) == 5
    restores.forget(LATER)
    assert [one.id for one in restores.list()] == ["restore-4", "restore-3", "restore-2"]
    assert not restores.steps("restore-0") and restores.steps("restore-4")[0].state == INTENDED


def test_a_copied_journal_shows_which_restores_are_of_another_machine(restores: Restores, paths: Paths) -> None:
    restores.open(MAIL)
    assert restores.inherited() == set() and reopened(paths, "host-2").inherited() == {MAIL.id}


def test_threads_write_at_the_same_time(paths: Paths) -> None:
    """Also beside the journal of runs, which uses the same connection."""
    with open_engine(paths) as engine:
        engine.restores.open(MAIL)

        def write(number: int) -> None:
            step = engine.restores.intend(MAIL.id, "folder", {"number": number})
            engine.journal.open_run(f"run-{number}", "", "tank", [])
            engine.restores.done(step, more=number)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(40)))
        steps = engine.restores.steps(MAIL.id)
        assert sorted(step.data["more"] for step in steps) == list(range(40))
        assert all(step.data["more"] == step.data["number"] for step in steps) and len(engine.journal.runs()) == 40
