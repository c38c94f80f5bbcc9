# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that release 1.0.0 left unfinished are completed once, by its rules."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Iterator, Sequence

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import ZfsTimeout
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import Record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery import runs_v1
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery.runs_v1 import LOST, SNAPSHOTTING
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal_entries import (
    ENDED,
    QUIESCING,
    RELEASING,
    Entry,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.locks import Locks
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import snapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import pool_of
from ansible_collections.quiesce.vmware_zfs.tests import records_v1
from ansible_collections.quiesce.vmware_zfs.tests.unit.zfs_pool import OLD, Pool

A, B = "tank/a@s", "tank/b@s"
VMS = [
    {"name": "web", "moid": "vm-1", "level": "filesystem", "reason": ""},
    {"name": "off", "moid": "vm-2", "level": "still", "reason": "it is powered off"},
    {"name": "bad", "moid": "vm-3", "level": "crash", "reason": "it failed"},
]
RELEASED = "the VMs may have been released before"
SWITCHED_ON = "did not check whether the VM was powered on in the meantime"


class World:
    """A pool, a journal and locks, with one dead run of release 1.0.0."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.zfs, self.journal, self.locks = Pool(), Journal(database), Locks(folder)

    def die(self, state: str, *entries: str, vms: Sequence[dict[str, Any]] = tuple(VMS), **record: Any) -> None:
        """Add a run that took A and B and whose VMware snapshots have the states `entries`."""
        self.journal.open_run("one", "", "tank", [A, B], state)
        ids = self.journal.intend([Entry("one", "vc", 443, "vm", "", "", str(n)) for n in range(len(entries))])
        for number, entry in zip(ids, entries):
            if entry == "created":
                self.journal.created({number: "snapshot-1"})
            elif entry == "removing":
                self.journal.removing({number: ("snapshot-1", False)})
            elif entry == "gone":
                self.journal.gone({number: ""})
        for name in (A, B):
            self.zfs.add(name, records_v1.properties("one", vms=vms, **record))

    def settle(self) -> tuple[list[str], list[str]]:
        engine: Any = self
        return runs_v1.settle(engine)

    def read(self, name: str = A) -> Record:
        return record.read(self.zfs, [name])[name]

    def levels(self, name: str = A) -> list[str]:
        return [vm["level"] for vm in self.read(name).vms]

    def state(self) -> str:
        found = self.journal.run("one")
        assert found is not None
        return found.state


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Database.open(Paths(tmp_path / "state", tmp_path / "key", tmp_path / "locks")) as opened:
        yield World(opened, tmp_path / "locks")


@pytest.mark.parametrize("entries", [(), ("created",), ("intended", "created")])
def test_while_the_vms_are_held_only_those_that_were_off_are_lowered(world: World, entries: tuple[str, ...]) -> None:
    """The ZFS snapshot exists and its VMs are still held, so they were held when it was taken."""
    world.die(SNAPSHOTTING, *entries)
    assert world.settle() == ([A, B], [])
    for name in (A, B):
        found = world.read(name)
        assert (found.consistency, found.complete) == ("crash", False)
        assert world.levels(name) == ["filesystem", "crash", "crash"]
        assert SWITCHED_ON in found.problems[0] and SWITCHED_ON in found.vms[1]["reason"]
        assert found.vms[2]["reason"] == "it failed"


@pytest.mark.parametrize(
    ("state", "entries"),
    [
        (SNAPSHOTTING, ("created", "removing")),
        (SNAPSHOTTING, ("gone",)),
        (LOST, ("created",)),
        (LOST, ()),
    ],
)
def test_once_a_vm_may_have_been_released_all_are_lowered(world: World, state: str, entries: tuple[str, ...]) -> None:
    world.die(state, *entries)
    assert world.settle() == ([A, B], [])
    for name in (A, B):
        assert world.levels(name) == ["crash"] * 3 and RELEASED in world.read(name).problems[0]


def test_it_is_done_once(world: World) -> None:
    world.die(LOST)
    world.settle()
    assert world.state() == RELEASING
    programs = len(world.zfs.programs)
    for name in (A, B):
        world.zfs.add(name, records_v1.properties("one", vms=VMS))
    assert world.settle() == ([], []) and len(world.zfs.programs) == programs


@pytest.mark.parametrize("state", [QUIESCING, RELEASING, ENDED])
def test_other_states_are_not_of_1_0_0(world: World, state: str) -> None:
    world.die(state)
    assert world.settle() == ([], [])
    assert world.read().consistency == "filesystem" and world.state() == state


def test_a_living_run_is_left_alone(world: World) -> None:
    world.die(LOST)
    with world.locks.alive("one", "tank"):
        assert world.settle() == ([], [])
        assert world.state() == LOST and world.read().consistency == "filesystem"
    assert world.settle()[0] == [A, B]


def test_a_run_without_a_zfs_snapshot_is_settled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.die(LOST)
    world.zfs.snapshots.clear()
    assert world.settle() == ([], []) and world.state() == LOST  # it may still appear, for a week
    monkeypatch.setattr(runs_v1, "_FORGET_AFTER", timedelta(0))
    assert world.settle() == ([], []) and world.state() == RELEASING


def test_what_is_crash_already_is_not_written_again(world: World) -> None:
    world.die(LOST, vms=VMS[2:], consistency="crash", complete=False)
    assert world.settle() == ([], []) and world.zfs.programs == []


def test_a_run_without_vms_is_lowered_as_a_whole(world: World) -> None:
    world.die(LOST, vms=[], consistency="still")
    assert world.settle()[0] == [A, B]
    assert (world.read().consistency, world.read().complete) == ("crash", False)


def test_a_record_that_is_younger_than_its_hold_is_lowered_on_disk_as_well(world: World) -> None:
    """It is read as crash anyway. Earlier releases would read the level that is written."""
    world.die(LOST, held_until=OLD - 1)
    assert world.settle()[0] == [A, B]
    assert world.zfs.own(B)[records_v1.PREFIX + "consistency"] == "crash"


@pytest.mark.parametrize("properties", [{}, {records_v1.PREFIX + "run": "two"}, dict(Record("one", "h").first())])
def test_what_is_not_a_record_of_that_run_stays_as_it_is(world: World, properties: dict[str, str]) -> None:
    world.die(LOST)
    for name in (A, B):
        world.zfs.add(name, properties)
    assert world.settle() == ([], []) and world.zfs.programs == []
    assert world.zfs.own(A) == properties


def test_the_vms_wait_for_a_suspended_pool_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def suspended(zfs: Any, names: Sequence[str], timeout: float) -> list[str]:
        asked.append(names[0])
        if names[0].startswith("tank/"):
            raise ZfsTimeout("'zfs list' did not end within 15 seconds")
        return []

    for run, name in (("one", "tank/a@s"), ("two", "tank/b@s"), ("three", "tank2/a@s")):
        world.journal.open_run(run, "", pool_of(name), [name], SNAPSHOTTING)
    monkeypatch.setattr(snapshots, "existing", suspended)
    lowered, problems = world.settle()
    assert lowered == [] and len(asked) == 2 and "tank2/a@s" in asked
    assert ["did not end within" in problems[0], "the pool tank did not respond" in problems[1]] == [True, True]
    assert {run.id for run in world.journal.runs((LOST,))} >= {"one", "two"}, "they are looked at again"


def test_what_cannot_be_lowered_is_reported_and_tried_again(world: World) -> None:
    world.die(LOST)
    world.zfs.dies[0] = 0
    lowered, problems = world.settle()
    assert lowered == [] and world.state() == LOST
    assert problems == [
        "The record of tank/a@s was not checked: the record could not be changed, for example on tank/b@s: "
        "'zfs program' failed: Memory limit exhausted."
    ]
    assert world.settle() == ([A, B], []) and world.state() == RELEASING
