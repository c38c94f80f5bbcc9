# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare records with real disks: real VMs on real NFS, and a judge that reads their disks in the ZFS snapshot."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import by_hand, command_line
from tests.lab.hypervisor.host import Hypervisor
from tests.lab.hypervisor.judge import Findings, disagreements, examine
from tests.lab.simulator import Simulator
from tests.lab.storage_host import StorageHost

from .conftest import StartVcenter
from .scene import Scene, levels, nfs

EXPECTED = {"web": "filesystem", "db": "application", "no-tools": "crash", "off": "still"}
VMS: list[dict[str, Any]] = [
    {"name": "web"},
    {"name": "db", "guest": "windows"},
    {"name": "no-tools", "tools": "not_installed"},
    {"name": "off", "power": "off"},
]


@pytest.fixture(scope="module")
def storage_host() -> Iterator[StorageHost]:
    """A separate host, because the NFS server keeps datasets busy for some time."""
    host = StorageHost("real-disks")
    host.reset()
    yield host
    host.down()


@pytest.fixture(scope="module")
def tree() -> str:
    return "tank/vmware"


@pytest.fixture
def vcenter(
    tree: str, start_vcenter: StartVcenter, scene: Scene, hypervisor: Hypervisor, storage_host: StorageHost
) -> Iterator[Simulator]:
    """A vCenter with real VMs, of which those that are powered on have written for some time."""
    real = [{**vm, "real": True} for vm in VMS]
    simulator = start_vcenter(nfs("vmware", tree, *real, {"name": "simulated"}), hypervisor=hypervisor.port)
    scene.enrol(simulator)
    wait_for_writes(hypervisor)
    yield simulator
    for vm in VMS:  # the next test creates them again
        if shown(hypervisor, vm["name"])["on"]:
            hypervisor.call("power_off", vmx=vmx(vm["name"]))
        hypervisor.call("unregister", vmx=vmx(vm["name"]))
    storage_host.ssh(["rm", "-r", *(f"/{tree}/{vm['name']}" for vm in VMS)])


def vmx(vm: str) -> str:
    return f"[vmware] {vm}/{vm}.vmx"


def shown(hypervisor: Hypervisor, vm: str) -> dict[str, Any]:
    """Return what the hypervisor knows about a VM."""
    found: dict[str, Any] = hypervisor.call("show", vmx=vmx(vm))
    return found


def wait_for_writes(hypervisor: Hypervisor, records: int = 20) -> None:
    """Wait until the VMs that are powered on have written some records."""
    end = time.monotonic() + 60
    while any(vm["on"] and vm["returned"] < records for vm in (shown(hypervisor, one["name"]) for one in VMS)):
        assert time.monotonic() < end, "a guest does not write"
        time.sleep(0.2)


def moment(hypervisor: Hypervisor, vm: str) -> dict[str, Any]:
    """Return what the hypervisor measured during the newest VMware snapshot of a VM."""
    moments: dict[str, dict[str, Any]] = shown(hypervisor, vm)["moments"]
    return moments[max(moments, key=int)]


def test_record_is_true_on_the_disks(
    scene: Scene, vcenter: Simulator, hypervisor: Hypervisor, storage_host: StorageHost, tree: str
) -> None:
    scene.engine.zfs.run("snapshot", f"{tree}@bare")
    before = {vm: examine(storage_host, f"{tree}@bare", vm) for vm in EXPECTED}

    result = scene.take()

    assert levels(result) == {**EXPECTED, "simulated": "filesystem"}
    record = scene.record(result["zfs_snapshot"])
    found: dict[str, Findings] = {}
    for vm in record.vms:
        name = vm["name"]
        if name not in EXPECTED:
            continue
        held = record.vmware_snapshot if name != "off" else ""
        found[name] = examine(storage_host, result["zfs_snapshot"], name, held)
        measured = moment(hypervisor, name) if held else None
        assert disagreements(vm["level"], found[name], measured, before[name]) == [], (name, found[name])
    assert set(found) == set(EXPECTED)
    assert {name: one.needs_recovery for name, one in found.items()} == {
        "web": False, "db": False, "no-tools": True, "off": False,
    }  # fmt: skip
    assert before["web"].needs_recovery and before["db"].needs_recovery, (
        "a bare snapshot needs a recovery of the journal"
    )
    scene.assert_released(vcenter)
    for name in EXPECTED:
        after = shown(hypervisor, name)
        assert after["chain"] == [f"{name}.vmdk"] and not after["snapshots"], "a VMware snapshot was left behind"


def by_hand_says(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command of the lab for this storage host. Return what it prints."""
    capsys.readouterr()
    assert command_line.main(["--name", "real-disks", *words]) == 0
    return capsys.readouterr().out


def test_lab_by_hand_shows_what_the_disks_hold(
    scene: Scene,
    vcenter: Simulator,
    storage_host: StorageHost,
    tree: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a VM that is deployed by hand, and with VMware Tools that freeze nothing."""
    monkeypatch.setattr(by_hand, "vcenter_folder", lambda lab: vcenter.directory)
    by_hand_says(capsys, "deploy", "--real", "--windows", "mail")
    by_hand_says(capsys, "fail", "web", "no-freeze")
    time.sleep(4.0)  # the estimate leaves out the last two seconds before the ZFS snapshot
    scene.engine.zfs.run("snapshot", f"{tree}@plain")
    scene.take()

    plain = shown_disks(capsys, f"{tree}@plain")
    assert set(plain) == {*EXPECTED, "mail"} and {row["level"] for row in plain.values()} == {""}
    assert plain["db"]["needs_recovery"] and plain["db"]["lost"] > 0 and plain["db"]["at_least"]
    rows = shown_disks(capsys, tree)
    assert {vm: row["level"] for vm, row in rows.items()} == {**EXPECTED, "mail": "application"}
    assert {vm for vm, row in rows.items() if row["disagreements"]} == {"web"} and rows["web"]["needs_recovery"]
    assert rows["mail"]["lost"] == 0 and rows["mail"]["in_step"] and not rows["mail"]["needs_recovery"]

    assert command_line.main(["--name", "real-disks", "disks", f"{tree}@absent"]) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"The ZFS snapshot {tree}@absent cannot be read") and message.count("\n") == 1

    by_hand_says(capsys, "undeploy", "mail")
    assert "mail" not in vcenter.snapshots()
    assert storage_host.ssh(["test", "-e", f"/{tree}/mail"], check=False).returncode == 1


def shown_disks(capsys: pytest.CaptureFixture[str], snapshot: str) -> dict[str, dict[str, Any]]:
    return {row["vm"]: row for row in json.loads(by_hand_says(capsys, "disks", "--json", snapshot))["vms"]}


@pytest.mark.check  # tests/lab/hypervisor/test_hypervisor.py sees these faults too
def test_judge_sees_a_quiesce_that_is_only_reported(
    scene: Scene, vcenter: Simulator, hypervisor: Hypervisor, storage_host: StorageHost
) -> None:
    hypervisor.call("set_faults", vmx=vmx("web"), faults=["no-freeze"])
    hypervisor.call("set_faults", vmx=vmx("db"), faults=["no-pause"])

    result = scene.take()

    record = scene.record(result["zfs_snapshot"])
    said = {}
    for vm in ("web", "db"):
        findings = examine(storage_host, result["zfs_snapshot"], vm, record.vmware_snapshot)
        said[vm] = disagreements(levels(result)[vm], findings, moment(hypervisor, vm))
    assert levels(result)["web"] == "filesystem" and "the journal needs recovery" in said["web"]
    assert levels(result)["db"] == "application" and any("the files differ" in text for text in said["db"])
