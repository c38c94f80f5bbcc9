# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal compared with a model, with power failures.

At any time, each VMware snapshot that may exist has an open entry, and complete records are stored until they are set.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.creation import Creation
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal_entries import (
    ABSENT,
    CREATED,
    ENDED,
    GONE,
    INTENDED,
    QUIESCING,
    RELEASING,
    REMOVING,
    UNCONSOLIDATED,
    Entry,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.properties import Assignment
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule


class PowerCut(Exception):
    """The machine lost power during a write."""


class FailingDatabase(Database):
    """A database whose next transaction can be interrupted after its statements, before its end.

    The content of the disk at that instant is copied and is what remains after the boot.
    """

    cut_to: Path | None = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        with ExitStack() as stack:
            yield stack.enter_context(super().transaction())
            if self.cut_to is not None:
                shutil.copytree(self.path.parent, self.cut_to)
                raise PowerCut


@dataclass
class Known:
    """An entry in the model: its state, and the managed object ID of the VMware snapshot if it was written."""

    name: str
    state: str = INTENDED
    snapshot: str = ""
    note: str = ""
    creation: Creation = Creation.ASKED
    needed: bool = False


class JournalMachine(RuleBasedStateMachine):
    """Runs write as the engine does: the intent before a creation, `gone` only for what is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.boots = 0
        self.runs: dict[str, str] = {}
        self.known: dict[int, Known] = {}
        self.vsphere: set[str] = set()  # what exists there, by name
        self.on_its_way: set[str] = set()  # was requested and may still appear
        self.seals: dict[str, dict[str, Assignment]] = {}  # run -> ZFS snapshot -> record that is not set yet
        self.numbers = iter(range(10**9))

    @initialize()
    def start(self) -> None:
        self.open(self.folder / "0")

    def open(self, folder: Path) -> None:
        database = FailingDatabase.open(Paths(state_dir=folder))
        assert isinstance(database, FailingDatabase)
        self.database = database
        self.journal = Journal(self.database)

    def write(self, cut: bool, call: Callable[[], object]) -> bool:
        """Make one write, complete or interrupted by a power failure. Returns whether it was stored."""
        if not cut:
            call()
            return True
        self.boots += 1
        self.database.cut_to = self.folder / str(self.boots)
        try:
            call()
            raise AssertionError("the write came to its end")
        except PowerCut:
            pass
        self.database.close()
        self.open(self.folder / str(self.boots))
        return False

    @rule()
    def power_cut_between_writes(self) -> None:
        self.boots += 1
        fresh = self.folder / str(self.boots)
        shutil.copytree(self.database.path.parent, fresh)
        self.database.close()
        self.open(fresh)

    @rule(count=st.integers(0, 3), cut=st.booleans())
    def begin_run(self, count: int, cut: bool) -> None:
        run = f"run-{next(self.numbers)}"
        if not self.write(cut, lambda: self.journal.open_run(run, "", "tank/vmware", ["tank/vmware@a"])):
            return
        self.runs[run] = QUIESCING
        names = [f"{run}/{number}" for number in range(count)]
        entries = [Entry(run, "vcenter", 443, f"vm-{name}", "", name, name) for name in names]
        for id_, name in zip(self.journal.intend(entries), names):
            self.known[id_] = Known(name)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), count=st.integers(1, 3))
    def intend_and_lose_power(self, data: st.DataObject, count: int) -> None:
        run = data.draw(st.sampled_from(sorted(self.runs)))
        entries = [Entry(run, "vcenter", 443, "vm", "", "x", f"never {number}") for number in range(count)]
        assert not self.write(True, lambda: self.journal.intend(entries))  # nothing was requested from vSphere

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), state=st.sampled_from((RELEASING, ENDED)), cut=st.booleans())
    def advance_run(self, data: st.DataObject, state: str, cut: bool) -> None:
        run = data.draw(st.sampled_from(sorted(self.runs)))
        end = state == ENDED
        call = (lambda: self.journal.end_run(run, {"a": 1})) if end else (lambda: self.journal.set_state(run, state))
        if self.write(cut, call):
            self.runs[run] = state

    def entry(self, data: st.DataObject, *states: str) -> tuple[int, Known] | None:
        fitting = sorted(id_ for id_, known in self.known.items() if known.state in states)
        if not fitting:
            return None
        id_ = data.draw(st.sampled_from(fitting))
        return id_, self.known[id_]

    @rule(data=st.data(), now=st.booleans())
    def ask_for_creation(self, data: st.DataObject, now: bool) -> None:
        """vSphere creates the snapshot, at once or later."""
        if found := self.entry(data, INTENDED):
            (self.vsphere if now else self.on_its_way).add(found[1].name)

    @rule(data=st.data(), cut=st.booleans())
    def ask_for_creation_again(self, data: st.DataObject, cut: bool) -> None:
        """The end of the first creation was not seen, so it may still succeed. The second one succeeds."""
        found = self.entry(data, INTENDED)
        if found and self.write(cut, lambda: self.journal.repeat(found[0])):
            found[1].creation = Creation.REPEATED
            self.vsphere.add(found[1].name)

    @rule(data=st.data())
    def creation_comes_late(self, data: st.DataObject) -> None:
        if self.on_its_way:
            name = data.draw(st.sampled_from(sorted(self.on_its_way)))
            self.on_its_way.discard(name)
            self.vsphere.add(name)

    @rule(data=st.data(), cut=st.booleans())
    def note_creation(self, data: st.DataObject, cut: bool) -> None:
        found = self.entry(data, INTENDED)
        if found and found[1].name in self.vsphere:
            id_, known = found
            if self.write(cut, lambda: self.journal.created({id_: f"moid of {known.name}"})):
                known.state, known.snapshot = CREATED, f"moid of {known.name}"
                if known.creation is not Creation.REPEATED:  # one of two was created; the other may still appear
                    known.creation = Creation.MADE

    @rule(data=st.data(), needed=st.booleans(), cut=st.booleans())
    def remove(self, data: st.DataObject, needed: bool, cut: bool) -> None:
        found = self.entry(data, INTENDED, CREATED, REMOVING, ABSENT)
        if found and found[1].name in self.vsphere:
            id_, known = found
            if self.write(cut, lambda: self.journal.removing({id_: (f"moid of {known.name}", needed)})):
                known.state, known.snapshot, known.needed = REMOVING, f"moid of {known.name}", needed
            self.vsphere.discard(known.name)

    @rule(data=st.data(), cut=st.booleans())
    def see_that_disks_need_consolidation(self, data: st.DataObject, cut: bool) -> None:
        found = self.entry(data, REMOVING, UNCONSOLIDATED)
        if found and found[1].name not in self.vsphere:
            id_, known = found
            if self.write(cut, lambda: self.journal.unconsolidated({id_: "a file is locked"})):
                known.state, known.note = UNCONSOLIDATED, "a file is locked"

    @rule(data=st.data(), cut=st.booleans())
    def see_its_absence(self, data: st.DataObject, cut: bool) -> None:
        found = self.entry(data, INTENDED, CREATED, REMOVING, ABSENT, UNCONSOLIDATED)
        if found is None or found[1].name in self.vsphere:
            return
        id_, known = found
        if known.name in self.on_its_way:
            if self.write(cut, lambda: self.journal.absent([id_])):
                known.state, known.note = ABSENT, ""
        elif self.write(cut, lambda: self.journal.gone({id_: "seen to be gone"})):
            known.state, known.note = GONE, "seen to be gone"

    @rule(data=st.data(), cut=st.booleans())
    def say_why_it_is_left(self, data: st.DataObject, cut: bool) -> None:
        if found := self.entry(data, INTENDED, CREATED, REMOVING, ABSENT):
            id_, known = found
            if self.write(cut, lambda: self.journal.note({id_: "the server is away"})):
                known.note = "the server is away"

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), names=st.sets(st.sampled_from("abc"), min_size=1), cut=st.booleans())
    def finish_records(self, data: st.DataObject, names: set[str], cut: bool) -> None:
        """Write all of them in one transaction, or none. A repeated write replaces the earlier one."""
        run = data.draw(st.sampled_from(sorted(self.runs)))
        number = str(next(self.numbers))
        seals = [Assignment(f"tank/{name}@s", number, (("sealed", number), ("a", ""))) for name in sorted(names)]
        if self.write(cut, lambda: self.journal.keep_seals(run, seals)):
            self.seals.setdefault(run, {}).update({one.snapshot: one for one in seals})

    @precondition(lambda self: any(self.seals.values()))
    @rule(data=st.data(), cut=st.booleans())
    def set_records(self, data: st.DataObject, cut: bool) -> None:
        """Some records of a run are set, or their ZFS snapshots no longer exist."""
        run = data.draw(st.sampled_from(sorted(run for run, seals in self.seals.items() if seals)))
        done = data.draw(st.sets(st.sampled_from(sorted(self.seals[run])), min_size=1))
        if self.write(cut, lambda: self.journal.drop_seals(run, sorted(done))):
            for snapshot in done:
                del self.seals[run][snapshot]

    @invariant()
    def what_may_exist_has_an_open_entry(self) -> None:
        if hasattr(self, "journal"):
            assert self.vsphere | self.on_its_way <= {entry.name for entry in self.journal.open_entries()}

    @invariant()
    def it_says_what_was_written(self) -> None:
        if not hasattr(self, "journal"):
            return
        open_now = {entry.id: entry for entry in self.journal.open_entries()}
        assert list(open_now) == sorted(id_ for id_, known in self.known.items() if known.state != GONE)
        for id_, entry in open_now.items():
            known = self.known[id_]
            told = (
                entry.name,
                entry.state,
                entry.snapshot_moid,
                entry.note,
                entry.creation,
                entry.needed_consolidation,
            )
            assert told == (known.name, known.state, known.snapshot, known.note, known.creation, known.needed)
        assert {run.id: run.state for run in self.journal.runs()} == self.runs
        assert {run.id for run in self.journal.runs((RELEASING,))} == {
            run for run, state in self.runs.items() if state == RELEASING
        }
        for run in self.runs:
            assert {one.snapshot: one for one in self.journal.seals(run)} == self.seals.get(run, {})
        assert sorted(self.journal.unsealed_runs()) == sorted(run for run, seals in self.seals.items() if seals)

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(max_examples=40, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow])
