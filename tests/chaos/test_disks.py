# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chaos with real disks: the disks contradict a broken engine and a quiesce that is only reported, and nothing else."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from tests.lab.hypervisor import host as hypervisor_host
from tests.lab.storage_host import StorageHost

from . import power_cut
from .__main__ import TRIES, until_the_lab_holds
from .disks import OFF, WRITING, Claim, Disks, claims_of, trees_differ
from .episode import Episode, Verdict
from .faults import Fault
from .judge import Seen
from .plan import Tally, hands
from .stage import LAB, Process, Stage
from .test_judge import BARE, MAIN, NESTED, entry, sealed

LINUX, WINDOWS = WRITING
MOMENT = {"started": 9, "returned": 8}
SHOWN: dict[str, dict[str, Any]] = {
    LINUX: {"moments": {"4": MOMENT}, "snapshots": [{"uid": 4}]},
    WINDOWS: {"moments": {}, "snapshots": []},
    OFF: {"moments": {"1": {"frozen": False, "paused": False}}, "snapshots": []},
}
TRACE: list[dict[str, Any]] = [
    {"vm_name": LINUX, "snapshot": f"snap-{LINUX}", "snapshot_id": 4},
    {"vm_name": OFF, "snapshot": f"snap-{OFF}", "snapshot_id": 1},
    {"vm_name": "remote", "snapshot": f"snap-{LINUX}", "snapshot_id": 9},  # of another vCenter, which counts too
    {"vm_name": LINUX, "task": "task-1"},
]
_numbers = count(1)


# ---- What is compared


def seen(values: dict[str, str], label: str = "dump 00003 (the end)", of: str = MAIN) -> Seen:
    return Seen(label, 12.0, f"{of}@a", (of, "7"), values, None)


def claims(*shown: Seen) -> list[list[Claim]]:
    return claims_of(shown, MAIN, TRACE, SHOWN)


def test_the_levels_of_a_sealed_record_are_compared_with_the_real_disks() -> None:
    real = (entry(LINUX, "filesystem"), entry(WINDOWS, "crash"), entry(OFF, "still"))
    record = sealed(*real, entry("web", "filesystem"))
    assert claims(seen(record)) == [
        [Claim(f"{MAIN}@a", LINUX, "filesystem", 4, MOMENT), Claim(f"{MAIN}@a", OFF, "still", 1, None)]
    ]


def test_what_promises_nothing_is_not_compared() -> None:
    record = sealed(entry(LINUX, "filesystem"))
    assert claims(seen(BARE), seen(sealed(entry(LINUX, "crash"))), seen(sealed(entry("web", "filesystem")))) == []
    assert claims(seen({**record, "sealed": "2:1:a:b"})) == [], "nobody believes it"
    assert claims(seen(record, label="dump 00002 (program 0)")) == [], "the last dump has it too"
    assert claims(seen(record, of=NESTED)) == []
    assert claims(seen(record), seen(BARE, label="dump 00009 (the end)")) == [], "it was destroyed after the first end"


def test_the_disks_have_the_vmware_snapshots_of_the_inventory() -> None:
    def machine(*numbers: int) -> list[dict[str, Any]]:
        snapshots = [{"id": number, "name": f"s{number}", "children": None} for number in numbers]
        return [{"name": LINUX, "snapshots": snapshots}, {"name": "web", "snapshots": []}]

    assert trees_differ(SHOWN, machine(4)) == []
    assert "[4], but the inventory has []" in trees_differ(SHOWN, machine())[0]
    assert "[4], but the inventory has [4, 5]" in trees_differ(SHOWN, machine(4, 5))[0]


def test_each_fourth_run_is_undisturbed_unless_only_the_steps_are_played() -> None:
    def empty(short: bool) -> list[int]:
        return [place for place, hand in enumerate(islice(hands(random.Random(1), short), 200), 1) if not hand]

    assert empty(False) == list(range(4, 201, 4)) and empty(True) == []


# ---- The watchdog


def test_a_hypervisor_that_does_not_answer_is_a_hang_of_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(hypervisor_host.Hypervisor, "port", silent.getsockname()[1])
        monkeypatch.setattr(hypervisor_host, "CALL_SECONDS", 0.2)
        said = Disks(StorageHost(f"{LAB}-silent"), MAIN).hang()
    assert said.startswith("the hypervisor of the lab hangs: ") and "did not answer the call show" in said


def test_a_run_during_which_the_lab_hangs_is_played_again() -> None:
    verdicts = [Verdict(other=["the run did not end"], lab_hang="it hangs"), Verdict(played="a kill")]
    tally, renewed = Tally(1), [0]
    verdict = until_the_lab_holds(lambda: verdicts.pop(0), "--only 2", tally, lambda: renewed.append(1))
    assert verdict is not None and verdict.played == "a kill" and len(renewed) == 2
    assert (tally.runs, tally.other, tally.problems, tally.lab_hangs) == (1, 0, [], ["--only 2: it hangs"])


def test_a_lab_that_always_hangs_is_named_and_not_counted() -> None:
    tally = Tally(1)
    hung = Verdict(other=["the run did not end"], lab_hang="it hangs")
    assert until_the_lab_holds(lambda: hung, "--only 2", tally, lambda: None) is None
    assert (tally.runs, tally.other) == (0, 0) and tally.as_dict()["lab_hangs"] == ["--only 2: it hangs"] * TRIES


def test_disks_that_disagree_are_violations() -> None:
    tally, verdict = Tally(1), Verdict(disks_disagree=["the journal needs recovery"])
    verdict.judged["disks"] = 3
    tally.add(verdict, "--only 2")
    assert verdict.violated() and tally.problems == ["--only 2: disks_disagree: the journal needs recovery"]
    assert {key: value for key, value in tally.as_dict().items() if "disks" in key} == {
        "disks_checked": 3,
        "disks_disagree": 1,
    }


# ---- Real disks


@pytest.fixture(scope="module")
def storage_host() -> Iterator[StorageHost]:
    host = StorageHost(f"{LAB}-disks")
    host.reset()
    yield host
    host.down()


@pytest.fixture
def stage(storage_host: StorageHost, tmp_path: Path) -> Iterator[Stage]:
    """Each on a dataset of its own, because the NFS server keeps the dataset of the one before busy."""
    stage = Stage(tmp_path / "stage", storage_host, f"tank/disks-{next(_numbers)}", real=True)
    yield stage
    stage.close()


def play(stage: Stage, *dealt: Fault) -> Verdict:
    return Episode(stage, list(dealt), random.Random(1)).play()


def kill_and_restart(stage: Stage, process: Process | None) -> None:
    stage.vcenter.kill()
    stage.vcenter.restart()


@pytest.mark.check
@pytest.mark.parametrize("at", ["", "create:after:4", "remove:after:3"])
def test_records_are_true_on_the_disks(at: str, stage: Stage) -> None:
    """Also if the vCenter is killed while the hypervisor works for it."""
    dealt = [Fault("vCenter killed and restarted", at=at, strike=kill_and_restart)] if at else []
    verdict = play(stage, *dealt)
    assert not verdict.violated() and sum(verdict.faults.values()) == len(dealt), verdict
    assert verdict.judged["disks"] == len(WRITING) + 1 or at, verdict


@pytest.mark.check
@pytest.mark.parametrize("mutation", ["ZFS snapshot before the quiesce", "release before the ZFS snapshot"])
def test_disks_contradict_a_broken_engine(mutation: str, stage: Stage) -> None:
    stage.mutation = mutation
    said = play(stage).disks_disagree
    for vm in WRITING:
        assert any(f" {vm} is said" in text and "is not in the ZFS snapshot" in text for text in said), said
        assert any(f" {vm} is said" in text and "the journal needs recovery" in text for text in said), said
    assert not any(OFF in text for text in said)


@pytest.mark.check
def test_disks_contradict_a_quiesce_that_is_only_reported(stage: Stage) -> None:
    """The trace cannot tell: the vCenter reports that the VM is quiesced, and with VSS."""
    assert stage.disks is not None
    stage.disks.set_faults(LINUX, "no-freeze")
    stage.disks.set_faults(WINDOWS, "no-pause")
    verdict = play(stage)
    said = verdict.disks_disagree
    assert any(f" {LINUX} is said to be filesystem, but the journal needs recovery" in text for text in said), said
    assert any(f" {WINDOWS} is said to be application, but the files differ" in text for text in said), said
    assert verdict.count() == len(said), "the other judge believes the vCenter"


@pytest.mark.check
def test_real_vms_go_on_after_a_power_cut(storage_host: StorageHost, tmp_path: Path) -> None:
    verdict = power_cut.play(tmp_path / "power", storage_host, "zfs-seal:after:1")
    assert not verdict.violated() and verdict.faults["power cut of the storage host"] == 2, verdict
    assert verdict.judged["disks"] > 0
