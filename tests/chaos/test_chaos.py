# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The short proof, and the proof that the proof can fail."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.storage_host import StorageHost

from . import faults
from .engine_process import MUTATIONS
from .episode import Episode, Verdict
from .faults import Fault
from .plan import step_hands
from .stage import LAB, Stage

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def storage_host() -> Iterator[StorageHost]:
    host = StorageHost(f"{LAB}-short")
    host.reset()
    yield host
    host.down()


@pytest.fixture
def stage(storage_host: StorageHost, tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path / "stage", storage_host, "tank/mutant")
    yield stage
    stage.close()


def play(stage: Stage, mutation: str, dealt: list[Fault]) -> Verdict:
    stage.mutation = mutation
    return Episode(stage, dealt, random.Random(1)).play()


def killed_while_holding() -> list[Fault]:
    return [Fault("killed at a step of the journal", kill_at="create:after:3")]


def backup_on_top() -> list[Fault]:
    """Somebody else's snapshot is taken on top of ours while we hold the VM."""
    fault = faults.foreign_on_top(random.Random(1))
    fault.at = "first-look:before:1"
    return [fault]


def hold_ends_between_the_looks() -> list[Fault]:
    """Our VMware snapshot is removed by somebody right before the ZFS snapshot is taken."""
    fault = faults.ours_removed(random.Random(1))
    fault.at = "zfs-snapshot:before:1"
    return [fault]


def hold_ends_and_killed_before_the_seal() -> list[Fault]:
    return [
        *hold_ends_between_the_looks(),
        Fault("killed at a step of the journal", kill_at="keep_seals:after:1"),
    ]


def killed_between_two_programs_of_a_seal() -> list[Fault]:
    task = {"program_bytes": faults.SMALL_PROGRAMS}
    return [Fault("killed at a step of the journal", kill_at="zfs-seal:after:1", task=task)]


def recreated_after_the_release() -> list[Fault]:
    """Somebody recreates the ZFS snapshot, with its local properties, when no VM is held any more."""
    strike = faults._tamper("copied", 0, released=True)
    return [Fault("zfs: recreated after the release", at="zfs-seal:before:1", strike=strike)]


def nothing() -> list[Fault]:
    return []


BREAKS = {  # mutation: (the faults that bring it to light, what of the verdict tells)
    "no intent": (killed_while_holding, "left_behind"),
    "removal with children": (backup_on_top, "foreign_lost"),
    "seal without the second look": (hold_ends_between_the_looks, "records_too_good"),
    "second look before the command returned": (hold_ends_between_the_looks, "records_too_good"),
    "digest first": (killed_between_two_programs_of_a_seal, "records_too_good"),
    "recreated name sealed": (recreated_after_the_release, "records_too_good"),
    "every level accepted": (hold_ends_between_the_looks, "records_too_good"),
    "sealed from a journal without both looks": (hold_ends_and_killed_before_the_seal, "records_too_good"),
    "ZFS snapshot before the quiesce": (nothing, "records_too_good"),  # test_disks.py: the disks tell it too
    "release before the ZFS snapshot": (nothing, "records_too_good"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_broken_engine_is_noticed(mutation: str, stage: Stage) -> None:
    deal, told_by = BREAKS[mutation]
    dealt = deal()
    sound = play(stage, "", dealt)
    assert not sound.violated() and sum(sound.faults.values()) == len(dealt), sound
    broken = play(stage, mutation, deal())
    assert getattr(broken, told_by), "\n".join(broken.other) or broken


def test_what_somebody_recreated_is_never_sealed(stage: Stage) -> None:
    """Also when the run cannot learn its own snapshots' createtxg."""
    strike = faults._tamper("recreated", 0, released=True)
    recreated = Fault("zfs: recreated after the release", at="zfs-seal:before:1", strike=strike)
    verdict = play(stage, "", [recreated, faults.createtxg_unread(random.Random(1))])
    assert not verdict.violated(), verdict


def test_a_harness_that_slips_is_no_proof_and_goes_on(stage: Stage) -> None:
    def slip(stage: Stage, process: object) -> bool:
        raise RuntimeError("nobody foresaw this")

    verdict = play(stage, "", [*killed_while_holding(), Fault("slip", at="between", strike=slip)])
    assert verdict.broke and verdict.count() == len(verdict.other) == 1, verdict
    assert "slip (test_chaos.py:" in verdict.other[0] and "nobody foresaw this" in verdict.other[0]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """A kill at every step of the journal, in a process of its own: it needs mounts that nobody else sees."""
    report = tmp_path / "chaos.json"
    command = [sys.executable, "-m", "tests.chaos", "--short", "--seed", "1", "--report", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    found = json.loads(report.read_text())
    assert found["left_behind"] == found["foreign_lost"] == found["records_too_good"] == found["other_problems"] == 0
    assert set(found["steps_killed"]) >= {step for step, _unused in step_hands()}
