# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs of a drill on a fake vSphere: each verdict, the limits, and a kill at every call."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Iterator, Mapping

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills import drilling, guest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.drilling import Drilling, Round
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.gate import Gate
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.plan import drilled
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.request import DrillRequest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.result import VmDrilled
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Limits
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import flow, power_on, undo_vsphere
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.contents import FoundVm
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.flow import Patience, Requests
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.sources import Source
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.undo_vsphere import undo
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.vm_files import (
    VmSnapshots,
    parse_configuration,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.scheduler import Job, TaskScheduler
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import Session
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_now import Watch
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_settings import MARK
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import SnapshotName
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.inventory import Machine
from ansible_collections.quiesce.vmware_zfs.tests.unit.restore_scene import OURS, Journal, Scene

DRILL = "20261128T090000Z-1a2b3c4d"
UNEXPECTED = {"id": "msg.disk.x", "text": "The disk is damaged. Continue?", "choices": {"0": "button.cancel"}}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "_RETRY", 0.01)
    monkeypatch.setattr(guest, "_LOOK", 0.02)
    monkeypatch.setattr(guest, "_SETTLED", 0.1)
    monkeypatch.setattr(power_on, "_LOOK", 0.05)
    monkeypatch.setattr(power_on, "_POWER_OFF", 0.2)
    monkeypatch.setattr(undo_vsphere, "_RETRY", 0.01)


class Drill:
    """Drills copies of the VM `mail` of a scene."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.results: list[VmDrilled] = []
        self.journals: list[Journal] = []
        self.begun: list[str] = []
        self.stop = False

    def copy(self, directory: str = "drill-0", **config: Any) -> Machine:
        return self.scene.copy(directory=directory, **config)

    def run(self, *directories: str, level: str = "crash", memory: int | None = None, **options: Any) -> VmDrilled:
        """Drill the copies in these folders, and return the result for the first one."""
        session = self.scene.session
        request = DrillRequest(SnapshotName("tank/vmware", "auto"), **{"boot_timeout": 0.3, **options})
        watch, gate = Watch(session, fresh=0.01), Gate(request.at_a_time, memory)
        shared = Round(request, LocalHost(), gate, watch, lambda: self.stop, lambda vm: self.begun.append(vm.name))
        drillings = []
        for directory in directories or ("drill-0",):
            source = source_of(directory, level)
            self.results.append(drilled(source))
            self.journals.append(Journal())
            name = f"{directory} (drill {DRILL})"
            vm = self.scene.vm(directory, name=name, temporary_name=name, mark=DRILL)
            requests = Requests(session, self.scene.patience)
            drillings.append(Drilling(vm, source, self.journals[-1], requests, shared, self.results[-1]))
        jobs = [Job(one.host_moid, one.flow) for one in drillings]
        TaskScheduler(session, Limits(), lambda: self.stop).run(jobs)
        return self.results[0]

    def take_away(self) -> list[str]:
        """Do what recovery does with the journal."""
        steps = [one for journal in self.journals for one in reversed(journal.steps) if one["state"] != "undone"]
        found = [undo(self.scene.session, one["kind"], one["data"]) for one in steps]
        return [text for text in found if text]

    def recover(self) -> list[str]:
        """Take the drill away, again and again while tasks of the killed process run."""
        end = time.monotonic() + 30
        while (left := self.take_away()) and time.monotonic() < end:
            time.sleep(0.01)
        return left

    def is_gone(self) -> bool:
        return self.scene.names() == self.scene.before


def source_of(directory: str, level: str = "crash", memory: int = 1024) -> Source:
    text = f'config.version = "8"\ndisplayName = "{directory}"\nmemSize = "{memory}"\n'
    vm = FoundVm(directory, parse_configuration(text, f"{directory}/mail.vmx"), VmSnapshots())
    return Source(directory, SnapshotName("tank/vmware", "auto"), "/tank/vmware", vm, level, "")


@pytest.fixture
def drill() -> Iterator[Drill]:
    made = Drill()
    yield made
    made.scene.vcenter.stop()


def test_a_vm_with_a_heartbeat_is_verified_and_taken_away(drill: Drill) -> None:
    copy = drill.copy(cards=[{"network": "LAN", "connected": True}])
    result = drill.run()
    assert (result.verdict, result.reason, result.heartbeat) == ("verified", "", "green")
    assert drill.is_gone() and copy.config.power == "off" and drill.begun == ["drill-0"]
    assert [node.name for node in copy.nodes()] == [] and copy.vmx_path in drill.scene.vcenter.inventory.files
    assert copy.config.extra_config == {"uuid.action": "create", MARK: DRILL}
    assert copy.config.cards == [{"network": "LAN", "connected": False}]
    assert drill.journals[0].kinds() == [("registration", "undone")] and drill.scene.living.config.power == "on"


def test_the_cards_are_off_and_the_mark_is_set_before_the_power_on(drill: Drill) -> None:
    drill.copy()
    drill.run()
    order = [name for name in drill.scene.vcenter.calls if name.endswith("_Task") or name == "UnregisterVM"]
    assert order == [
        "RegisterVM_Task", "RevertToSnapshot_Task", "RemoveSnapshot_Task", "ReconfigVM_Task", "PowerOnVM_Task",
        "PowerOffVM_Task", "UnregisterVM",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "level", "verdict", "reason"),
    [
        ({"tools": "not_installed"}, "crash", "booted", "no VMware Tools"),
        ({"tools": "not_installed"}, "filesystem", "failed", "VMware Tools did not run within 0.3 s"),
        ({"tools": "not_running"}, "crash", "failed", "VMware Tools did not run within 0.3 s"),
        ({"question": UNEXPECTED}, "crash", "failed", "asked an unexpected question"),
        ({"disks": [{"folder": "mail"}]}, "crash", "failed", "could change files outside"),
        ({"properties": {"runtime.connectionState": "inaccessible"}}, "crash", "failed", "inaccessible"),
    ],
)
def test_each_verdict_says_why_and_leaves_nothing(
    drill: Drill, config: Mapping[str, Any], level: str, verdict: str, reason: str
) -> None:
    drill.copy(**config)
    result = drill.run(level=level)
    assert result.verdict == verdict and reason in result.reason
    assert drill.take_away() == [] and drill.is_gone()


@pytest.mark.parametrize(
    ("method", "fault", "verdict"),
    [
        ("PowerOnVM_Task", "InsufficientMemoryResourcesFault", "inconclusive"),
        ("PowerOnVM_Task", "NotEnoughLicenses", "inconclusive"),
        ("PowerOnVM_Task", "FileLocked", "failed"),
        ("PowerOnVM_Task", "GenericVmConfigFault", "failed"),
        ("RevertToSnapshot_Task", "SnapshotFault", "failed"),
        ("RegisterVM_Task", "NoPermission", "inconclusive"),
    ],
)
def test_what_says_nothing_about_the_vm_is_inconclusive(drill: Drill, method: str, fault: str, verdict: str) -> None:
    drill.copy()
    fields = {"PrivilegeId": "VirtualMachine.Inventory.Register"} if fault == "NoPermission" else {}
    drill.scene.vcenter.rule(method=method, effect="task_fault", fault=fault, fields=fields)
    result = drill.run()
    assert result.verdict == verdict and result.reason
    assert drill.take_away() == [] and drill.is_gone()


def test_a_host_that_is_away_for_the_whole_time_is_inconclusive(drill: Drill) -> None:
    drill.copy()
    drill.scene.patience = Patience(task=0.3, server=0.3)
    drill.scene.vcenter.rule(method="RegisterVM_Task", effect="drop_before")
    result = drill.run()
    assert result.verdict == "inconclusive" and drill.is_gone()


def test_a_stopped_drill_has_no_verdict_on_what_it_did_not_see(drill: Drill) -> None:
    drill.copy(tools="not_running")
    drill.scene.vcenter.rule(method="PowerOnVM_Task", effect="task_slow", seconds=0.2)
    original = guest.look_at

    def look_at(*given: Any) -> Any:
        drill.stop = True
        return original(*given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(drilling, "look_at", look_at)
        result = drill.run()
    assert (result.verdict, result.reason) == ("inconclusive", "The drill was stopped before there was a verdict.")
    assert drill.take_away() == [] and drill.is_gone()


# ---- Limits


def test_no_more_vms_run_than_allowed(drill: Drill) -> None:
    names = [f"drill-{number}" for number in range(5)]
    copies = [drill.copy(name) for name in names]
    drill.scene.vcenter.rule(method="PowerOffVM_Task", effect="task_slow", seconds=0.05)
    most = [0]
    count(drill, copies, most)
    drill.run(*names, at_a_time=2)
    assert [one.verdict for one in drill.results] == ["verified"] * 5 and most[0] == 2 and drill.is_gone()


def test_no_more_memory_is_used_than_allowed(drill: Drill) -> None:
    names = [f"drill-{number}" for number in range(3)]
    copies = [drill.copy(name) for name in names]
    most = [0]
    count(drill, copies, most)
    drill.run(*names, at_a_time=3, memory=2047)
    assert [one.verdict for one in drill.results] == ["verified"] * 3 and most[0] == 1


def count(drill: Drill, copies: list[Machine], most: list[int]) -> None:
    """Count the copies that are on whenever the state of VMs is read."""
    original = drill.scene.session.call

    def call(*given: Any, **options: Any) -> Any:
        most[0] = max(most[0], sum(one.config.power == "on" for one in copies))
        return original(*given, **options)

    drill.scene.session.call = call  # type: ignore[method-assign]


# ---- Kills


class Killed(BaseException):
    pass


def kill_at(session: Session, number: int, after: bool) -> list[int]:
    """Kill the process at a call: before it is sent, or after it was carried out. Returns the counter of the calls."""
    calls, original = [0], session.call

    def call(*given: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == number and not after:
            raise Killed
        answer = original(*given, **options)
        if calls[0] == number:
            raise Killed
        return answer

    session.call = call  # type: ignore[method-assign]
    return calls


def calls_of_a_drill() -> int:
    made = Drill()
    made.copy()
    calls = kill_at(made.scene.session, 0, False)
    made.run()
    made.scene.vcenter.stop()
    return calls[0]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_recovery_takes_a_drill_away_that_was_killed_at_any_call(after: bool) -> None:
    for number in range(1, calls_of_a_drill() + 1):
        drill = Drill()
        copy = drill.copy()
        drill.scene.vcenter.rule(method="PowerOnVM_Task", effect="task_slow", seconds=0.05)
        session = drill.scene.session
        original = session.call
        kill_at(session, number, after)
        with suppress(Killed):  # the number of looks at the VM differs, so the last call may not be reached
            drill.run()
        session.call = original  # type: ignore[method-assign]
        left = drill.recover()
        assert left == [] and drill.is_gone() and copy.config.power == "off", f"call {number}: {left}"
        assert drill.scene.living.config.power == "on"
        drill.scene.vcenter.stop()


def test_recovery_powers_off_only_a_vm_with_the_mark(drill: Drill) -> None:
    drill.copy()
    drill.scene.patience = Patience(task=0.3, server=0.3, power_on=5)
    drill.scene.vcenter.rule(method="PowerOffVM_Task", effect="task_fault", fault="SystemError")
    drill.scene.vcenter.rule(method="UnregisterVM", effect="call_fault", fault="InvalidPowerState")
    assert drill.run().verdict == "verified" and not drill.is_gone()
    drill.scene.vcenter.clear_rules()
    machine = drill.scene.vcenter.machine(f"drill-0 (drill {DRILL})")
    machine.config.extra_config.pop(MARK)
    assert "is powered on" in drill.take_away()[0] and machine.config.power == "on"
    machine.config.extra_config[MARK] = "20200101T000000Z-ffffffff"  # of another drill
    assert "is powered on" in drill.take_away()[0] and machine.config.power == "on"
    machine.config.extra_config[MARK] = DRILL
    assert drill.take_away() == [] and drill.is_gone() and machine.config.power == "off"


# ---- The command


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_the_command_can_make_the_verdict_worse(drill: Drill, tmp_path: Path) -> None:
    drill.copy()
    result = drill.run(command=script(tmp_path / "look", 'echo "no database in $VMWARE_ZFS_VM"; exit 3'))
    assert (result.verdict, result.reason) == ("failed", "The command ended with status 3: no database in drill-0.")
    assert result.command_output == "no database in drill-0" and drill.is_gone()


def test_the_command_gets_no_secret_and_its_output_is_cut(
    drill: Drill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMWARE_PASSWORD", "from-the-environment")
    drill.copy()
    password = drill.scene.session.password.reveal()
    text = f'env; echo "{password}"; i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; env'
    result = drill.run(command=script(tmp_path / "look", text))
    assert result.verdict == "verified" and len(result.command_output) <= 1500
    assert "from-the-environment" not in result.command_output and password not in result.command_output
    assert "VMWARE_ZFS_VM=drill-0" in result.command_output


def test_a_command_has_a_time_limit_and_delays_no_other_vm(drill: Drill, tmp_path: Path) -> None:
    drill.copy()
    result = drill.run(command=script(tmp_path / "look", "exec sleep 20"), command_timeout=0.2)
    assert (result.verdict, result.reason) == ("failed", "The command did not end within 0.2 s.")
    assert drill.is_gone()


def test_no_command_runs_for_a_vm_that_failed(drill: Drill, tmp_path: Path) -> None:
    drill.copy(tools="not_running")
    drill.run(command=script(tmp_path / "look", f"touch {tmp_path}/ran"))
    assert not (tmp_path / "ran").exists()


def test_the_snapshot_of_the_run_is_what_is_started(drill: Drill) -> None:
    copy = drill.copy(snapshots=["before-upgrade", OURS])
    assert drill.run().verdict == "verified" and [node.name for node in copy.nodes()] == ["before-upgrade"]
