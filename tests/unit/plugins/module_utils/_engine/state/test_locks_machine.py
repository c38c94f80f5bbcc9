# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks compared with a model, with real processes. The kernel releases the locks of a killed process."""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import LockTimeout
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.locks import Locks
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

DATASETS = ("tank", "tank/a", "tank/a/b", "tank/a/b/c", "tank/ab", "tank/d", "pool", "pool/a")
_processes = multiprocessing.get_context("fork")  # a few milliseconds each, and their locks are as real


def hold(folder: Path, run: str, dataset: str, line: Connection) -> None:
    """Take the lock of a run, or of recovery if the dataset is "", report it, and hold it until requested to end."""
    locks = Locks(folder)
    try:
        with locks.run(run, dataset, timeout=0.0) if dataset else locks.recovery(timeout=0.0):
            line.send("")
            line.recv()
    except LockTimeout as error:
        line.send(str(error))


@dataclass
class Holder:
    run: str
    dataset: str
    process: Any
    line: Connection


def excludes(one: str, other: str) -> bool:
    return one == other or f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


class LockMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.locks = Locks(self.folder)
        self.holders: list[Holder] = []
        self.dead: list[str] = []
        self.number = 0

    @rule(dataset=st.sampled_from((*DATASETS, "")))
    def take(self, dataset: str) -> None:
        self.number += 1
        here, there = _processes.Pipe()
        holder = Holder(f"run-{self.number}", dataset, None, here)
        holder.process = _processes.Process(target=hold, args=(self.folder, holder.run, dataset, there), daemon=True)
        holder.process.start()
        there.close()
        said = here.recv()
        rivals = [
            other
            for other in self.holders
            if (excludes(other.dataset, dataset) if dataset and other.dataset else dataset == other.dataset)
        ]
        if not rivals:
            assert said == ""
            self.holders.append(holder)
            return
        assert said, f"{dataset} was given away twice"
        if dataset:
            assert any(f"The run {rival.run} (process {rival.process.pid}) has locked" in said for rival in rivals), (
                said
            )
        holder.process.join()
        self.dead.append(holder.run)

    @rule(data=st.data(), kill=st.booleans())
    def end(self, data: st.DataObject, kill: bool) -> None:
        if not self.holders:
            return
        holder = self.holders.pop(data.draw(st.integers(0, len(self.holders) - 1)))
        if kill:
            holder.process.kill()
        else:
            holder.line.send("let go")
        holder.process.join()
        self.dead.append(holder.run)

    @invariant()
    def those_alive_are_known(self) -> None:
        alive = {holder.run: holder for holder in self.holders if holder.dataset}
        told = {found.run: found for found in self.locks.holders()}
        assert told.keys() == alive.keys()
        for run, found in told.items():
            assert (found.dataset, found.pid) == (alive[run].dataset, alive[run].process.pid)
            assert self.locks.is_alive(run)
        assert not any(self.locks.is_alive(run) for run in self.dead)

    @invariant()
    def recovery_is_free_unless_held(self) -> None:
        with self.locks.recovery() as free:
            assert free == all(holder.dataset for holder in self.holders)

    def teardown(self) -> None:
        for holder in self.holders:
            holder.process.kill()
            holder.process.join()
        shutil.rmtree(self.folder)


TestLocks = LockMachine.TestCase
TestLocks.settings = settings(max_examples=15, stateful_step_count=20, suppress_health_check=[HealthCheck.too_slow])
