# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores that are killed leave nothing behind, and an engine that is broken on purpose does."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.lab.storage_host import StorageHost

from .episode import Verdict
from .faults import Fault
from .restore_process import MUTATIONS
from .restore_stage import RestoreStage
from .restores import Case, RestoreEpisode
from .stage import LAB, Process, Stage

_numbers = count(1)


@pytest.fixture(scope="module")
def storage_host() -> Iterator[StorageHost]:
    host = StorageHost(f"{LAB}-restores")
    host.reset()
    yield host
    host.down()


@pytest.fixture
def stage(storage_host: StorageHost, tmp_path: Path) -> Iterator[RestoreStage]:
    """Each on a dataset of its own, because the NFS server keeps the dataset of the one before busy."""
    stage = RestoreStage(tmp_path / "stage", storage_host, f"tank/restored-{next(_numbers)}")
    yield stage
    stage.close()


def play(stage: RestoreStage, way: str, *dealt: Fault, mutation: str = "", kill_end_at: str = "") -> Verdict:
    stage.mutation = mutation
    return RestoreEpisode(stage, Case(way, list(dealt), kill_end_at=kill_end_at), random.Random(1)).play()


def killed(at: str) -> Fault:
    return Fault("restore killed at a step of the journal", kill_at=at)


def folder_of_somebody() -> Fault:
    """Somebody creates a folder with the name that the copy was to get, right before the restore is killed."""

    def strike(stage: Stage, process: Process | None) -> None:
        assert isinstance(stage, RestoreStage) and process is not None
        path = stage.steps()[-1]["data"]["path"]
        stage.host.ssh(["mkdir", path])
        stage.theirs.add(path)
        process.kill()

    return Fault("folder of somebody", at="intend:folder:after:1", strike=strike)


# mutation: (way, the fault that brings it to light, the kind of what is left, or "" for what is touched)
BREAKS: dict[str, tuple[str, Callable[[], Fault], str]] = {
    "registrations not undone": ("clone", lambda: killed("done:registration:after:1"), "vms"),
    "registered before the journal": ("folder", lambda: killed("call:register:after:1"), "vms"),
    "folder without marker removed": ("folder", folder_of_somebody, ""),
    "living name not undone": ("replace", lambda: killed("intend:rename:after:2"), "names"),
    "hold not released": ("mount", lambda: killed("done:hold:after:1"), "holds"),
}


@pytest.mark.check
def test_a_restore_leaves_nothing_and_a_broken_recovery_is_noticed(stage: RestoreStage) -> None:
    """The short proof."""
    sound = play(stage, "folder", killed("done:registration:after:1"))
    assert not sound.violated() and sound.restores["killed"] == 1, sound
    assert sound.restore_steps_killed == {"restore done:registration:after": 1}
    broken = play(stage, "folder", killed("done:registration:after:1"), mutation="registrations not undone")
    assert broken.restore_left["vms"] == 1, broken


@pytest.mark.check
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_broken_engine_is_noticed(mutation: str, stage: RestoreStage) -> None:
    way, fault, kind = BREAKS[mutation]
    sound = play(stage, way, fault())
    assert not sound.violated(), sound
    broken = play(stage, way, fault(), mutation=mutation)
    assert broken.restore_left[kind] if kind else broken.living_touched, broken


@pytest.mark.check
@pytest.mark.parametrize("way", ["folder", "clone", "mount", "disk", "replace"])
def test_what_was_handed_over_is_ended(way: str, stage: RestoreStage) -> None:
    kill = "" if way in ("folder", "replace") else "undone:export:before:1"
    verdict = play(stage, way, kill_end_at=kill)
    assert not verdict.violated() and verdict.restores["played"] == 1, verdict
    assert bool(verdict.restore_steps_killed) == bool(kill)


@pytest.mark.check
@pytest.mark.parametrize("at", ["done:mount:after:1", "call:power-on:after:1", ""])
def test_a_drill_is_taken_away(at: str, stage: RestoreStage) -> None:
    """By itself, or by a recovery after it was killed, also while its VM starts."""
    verdict = play(stage, "drill", *([killed(at)] if at else []))
    assert not verdict.violated() and verdict.restores["killed"] == bool(at), verdict
