# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dead runs in the journal: complete records are set, live runs are not changed, and runs that are done are closed."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import ZfsTimeout
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import Record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery import dead_runs, slow_pools
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery.dead_runs import Ended
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal_entries import (
    ENDED,
    QUIESCING,
    RELEASING,
    Entry,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.locks import Locks
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.properties import Assignment
from ansible_collections.quiesce.vmware_zfs.tests.unit.zfs_pool import Pool

NAMES = ("tank/a@s", "tank/b@s")


class World:
    """A pool, a journal and locks."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.zfs, self.journal, self.locks = Pool(), Journal(database), Locks(folder)

    def die(
        self, run: str, *snapshots: str, unsealed: bool = True, open_entry: bool = False, state: str = RELEASING
    ) -> None:
        """Add a run that took these ZFS snapshots and died before it set their records."""
        self.journal.open_run(run, "", "tank", snapshots, state)
        (entry,) = self.journal.intend([Entry(run, "vc", 443, "vm-1", "", "web", f"vmware-zfs {run}")])
        if not open_entry:
            self.journal.gone({entry: ""})
        one = Record(run, "h", consistency="filesystem", complete=True)
        for name in snapshots:
            self.zfs.add(name, one.first())
        if unsealed:
            seals = [Assignment(name, self.zfs.born(name), one.seal()) for name in snapshots]
            self.journal.keep_seals(run, seals)

    def end(self, pool: str = "") -> Ended:
        engine: Any = self
        return dead_runs.end(engine, pool)

    def sealed(self) -> list[str]:
        found = record.read(self.zfs, list(self.zfs.snapshots))
        return sorted(name for name, one in found.items() if one.sealed)

    def state(self, run: str) -> str:
        found = self.journal.run(run)
        assert found is not None
        return found.state


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Database.open(Paths(tmp_path / "state", tmp_path / "key", tmp_path / "locks")) as opened:
        yield World(opened, tmp_path / "locks")


def test_the_finished_records_of_a_dead_run_are_set_and_the_run_is_closed(world: World) -> None:
    world.die("one", *NAMES)
    assert world.end() == Ended(sealed=list(NAMES))
    assert world.sealed() == list(NAMES)
    assert world.journal.seals("one") == [] and world.state("one") == ENDED
    assert world.end() == Ended() and len(world.zfs.programs) == 1


def test_they_are_set_exactly_as_the_run_wrote_them(world: World) -> None:
    world.die("one", "tank/a@s")
    (kept,) = world.journal.seals("one")
    world.end()
    assert world.zfs.set_order == [("tank/a@s", key) for key, _value in kept.properties]
    assert world.zfs.own("tank/a@s") == {**Record("one", "h").first(), **dict(kept.properties)}


@pytest.mark.parametrize("state", [QUIESCING, RELEASING])
def test_a_run_that_wrote_no_record_stays_crash(world: World, state: str) -> None:
    world.die("one", *NAMES, unsealed=False, state=state)
    assert world.end() == Ended()
    assert world.sealed() == [] and world.zfs.programs == [] and world.state("one") == ENDED


def test_a_living_run_is_left_alone(world: World) -> None:
    """This includes its waves, each of which is alive under its own ID."""
    with ExitStack() as stack:
        for run, name in (("one", "tank/a@s"), ("one-2", "tank/b@s")):
            world.die(run, name)
            stack.enter_context(world.locks.alive(run, "tank"))
        assert world.end() == Ended() and world.zfs.programs == []
        assert len(world.journal.seals("one")) == len(world.journal.seals("one-2")) == 1
        assert world.state("one") == world.state("one-2") == RELEASING
    assert world.end().sealed == list(NAMES)


def test_records_of_another_pool_wait_for_a_recovery_of_all(world: World) -> None:
    world.die("one", "tank/a@s")
    world.die("two", "tank2/a@s")
    assert world.end("tank") == Ended(sealed=["tank/a@s"])
    assert world.journal.seals("two") != [] and world.state("two") == RELEASING
    assert {words[2] for words in world.zfs.programs} == {"tank/a@s"}
    assert world.end("tank2").sealed == ["tank2/a@s"]


def test_a_zfs_snapshot_that_is_gone_is_forgotten(world: World) -> None:
    world.die("one", *NAMES)
    del world.zfs.snapshots["tank/a@s"]
    world.zfs.take("tank/a@s", run="one")  # another one with the same name and run
    assert world.end() == Ended(sealed=["tank/b@s"])
    assert world.sealed() == ["tank/b@s"] and world.state("one") == ENDED
    assert world.journal.unsealed_runs() == []


def test_what_cannot_be_set_is_reported_and_tried_again(world: World) -> None:
    world.die("one", *NAMES)

    def hang(number: int) -> None:
        raise ZfsTimeout("'zfs program' did not end within 60 seconds")

    world.zfs.before = hang
    done = world.end()
    assert done.sealed == [] and len(done.problems) == 2
    assert done.problems[0] == (
        "The record of tank/a@s is complete but could not be written, so its level is crash: 'zfs program' did not end "
        "within 60 seconds; the next recovery tries again."
    )
    assert world.state("one") == RELEASING, "it is closed only once nothing is left of it"
    world.zfs.before = lambda number: None
    assert world.end() == Ended(sealed=list(NAMES)) and world.state("one") == ENDED


def test_a_suspended_pool_is_waited_for_once_and_keeps_no_other_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_pools, "_SLOW", -1.0)
    for run, name in (("one", "tank/a@s"), ("two", "tank/b@s"), ("three", "tank2/a@s")):
        world.die(run, name)
    asked: list[str] = []
    ask = world.zfs.run

    def suspended(*arguments: str, **options: Any) -> str:
        asked.append(arguments[2])
        if arguments[2] == "tank":
            raise ZfsTimeout("'zfs program' did not end within 60 seconds")
        return ask(*arguments, **options)

    monkeypatch.setattr(world.zfs, "run", suspended)
    done = world.end()
    assert asked == ["tank", "tank2"] and done.sealed == ["tank2/a@s"]
    assert ["did not end within" in done.problems[0], "the pool tank did not respond" in done.problems[1]] == [
        True,
        True,
    ]
    assert world.journal.unsealed_runs() == ["one", "two"]


def test_one_that_cannot_be_set_keeps_no_other_waiting(world: World) -> None:
    world.die("one", "tank/a@s")
    world.die("two", "tank/b@s")
    world.zfs.dies[0] = 1
    done = world.end()
    assert done.sealed == ["tank/b@s"] and len(done.problems) == 1
    assert (world.state("one"), world.state("two")) == (RELEASING, ENDED)


def test_a_run_of_which_a_vmware_snapshot_may_be_left_stays_open(world: World) -> None:
    world.die("one", *NAMES, open_entry=True)
    assert world.end().sealed == list(NAMES)
    assert world.state("one") == RELEASING
    world.journal.gone({entry.id: "" for entry in world.journal.open_entries()})
    world.end()
    assert world.state("one") == ENDED


def test_what_has_ended_is_sealed_as_well(world: World) -> None:
    """A run ends normally although its records could not be set."""
    world.die("one", *NAMES, state=ENDED)
    assert world.end().sealed == list(NAMES)
