# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the hypervisor on real disks over real NFS: files, snapshots, merges, locks, and what the judge finds."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from itertools import count
from threading import Thread
from typing import Any

import pytest

from .. import command_line
from ..places import LabError
from ..storage_host import StorageHost
from .host import CALL_SECONDS, Hypervisor, HypervisorError
from .judge import Findings, disagreements, examine, lost
from .share import share

DATASET = "tank/vmware"
_names = count(1)


@pytest.fixture(scope="module")
def hypervisor() -> Iterator[Hypervisor]:
    storage = StorageHost("lab-hypervisor")
    storage.reset()
    started = Hypervisor(storage)
    try:
        started.up()
        share(storage, f"/{DATASET}")
        started.call("mount", server="10.0.2.15", export=f"/{DATASET}", name="vmware")
        yield started
    finally:
        started.down()
        storage.down()


class VM:
    """A VM of the hypervisor, for tests."""

    def __init__(self, hypervisor: Hypervisor, name: str) -> None:
        self.hypervisor, self.name = hypervisor, name
        self.vmx = f"[vmware] {name}/{name}.vmx"

    def call(self, action: str, /, **arguments: Any) -> Any:
        return self.hypervisor.call(action, vmx=self.vmx, **arguments)

    def files(self) -> list[str]:
        return self.hypervisor.storage.ssh(["ls", "-A", f"/{DATASET}/{self.name}"]).stdout.split()

    def wait_for_writes(self, more: int = 15) -> None:
        """Wait until the guest has written some more records."""
        wanted = self.call("show")["returned"] + more
        end = time.monotonic() + 60
        while self.call("show")["returned"] < wanted:
            assert time.monotonic() < end, "the guest does not write"
            time.sleep(0.1)

    def zfs_snapshot(self) -> str:
        name = f"{DATASET}@s{next(_names)}"
        self.hypervisor.storage.ssh(["zfs", "snapshot", name])
        return name

    def found(self, zfs_snapshot: str, vmware_snapshot: str = "") -> Findings:
        return examine(self.hypervisor.storage, zfs_snapshot, self.name, vmware_snapshot)


@pytest.fixture
def vm(hypervisor: Hypervisor) -> Iterator[VM]:
    made = VM(hypervisor, f"vm{next(_names)}")
    made.call("create")
    yield made
    if made.call("show")["on"]:
        made.call("power_off")
    made.call("unregister")


def coordinated(vm: VM, quiesce: str) -> tuple[Findings, dict[str, Any]]:
    """Take a ZFS snapshot during a VMware snapshot. Return what is on the disk, and what the hypervisor measured."""
    taken = vm.call("snapshot", name="ours", quiesce=quiesce)
    vm.wait_for_writes()
    snapshot = vm.zfs_snapshot()
    vm.call("remove", uid=taken["uid"])
    return vm.found(snapshot, "ours"), taken


def test_files_are_those_of_esxi(vm: VM) -> None:
    name = vm.name
    off = [f"{name}-flat.vmdk", f"{name}.nvram", f"{name}.vmdk", f"{name}.vmx"]
    assert vm.files() == off
    vm.call("power_on")
    assert [file for file in vm.files() if not file.startswith(".lck-")] == sorted([*off, f"{name}-a1b2c3d4.vswp"])
    assert sum(file.startswith(".lck-") for file in vm.files()) == 1
    vm.call("snapshot", name="a", quiesce="application")
    grown = {f"{name}-000001.vmdk", f"{name}-000001-delta.vmdk", f"{name}.vmsd", f"{name}-Snapshot1.vmsn"}
    assert grown | {f"{name}-vss_manifests1.zip"} <= set(vm.files())
    sizes = vm.hypervisor.storage.ssh(
        ["stat", "-c", "%s", *(f"/{DATASET}/{name}/{name}{suffix}.vmdk" for suffix in ("-flat", "-000001-delta"))]
    ).stdout.split()
    assert int(sizes[1]) >= int(sizes[0]) * 1.09
    vm.call("remove", uid=1)
    vm.call("power_off", shut_down=True)
    assert vm.files() == [*off[:3], f"{name}.vmsd", off[3]]


def test_quiesced_base_is_clean_and_a_bare_snapshot_is_not(vm: VM) -> None:
    vm.call("power_on")
    vm.wait_for_writes()
    before = vm.call("show")
    bare = vm.zfs_snapshot()
    findings, moment = coordinated(vm, "filesystem")
    assert disagreements("filesystem", findings, moment) == []
    assert not findings.needs_recovery and findings.clean and not lost(findings, moment)
    of_bare = vm.found(bare)
    assert of_bare.needs_recovery
    assert lost(of_bare, before), "the guest never flushes its records"
    assert disagreements("filesystem", of_bare, before)


@pytest.mark.check  # tests/system/test_real_disks.py sees this too
def test_unquiesced_base_needs_recovery(vm: VM) -> None:
    vm.call("power_on")
    vm.wait_for_writes()
    findings, moment = coordinated(vm, "")
    assert findings.needs_recovery
    assert disagreements("crash", findings, moment) == []
    assert "the journal needs recovery" in disagreements("filesystem", findings, moment)


@pytest.mark.check  # tests/system/test_real_disks.py sees this too
def test_application_is_between_two_jobs(vm: VM) -> None:
    vm.call("power_on")
    vm.wait_for_writes()
    findings, moment = coordinated(vm, "application")
    assert moment["paused"]
    assert disagreements("application", findings, moment) == []
    assert findings.pair[0] == findings.pair[1] != ""


@pytest.mark.parametrize(
    ("fault", "level", "said"),
    [
        ("no-freeze", "filesystem", "the journal needs recovery"),
        ("no-pause", "application", "the files differ"),
    ],
)
def test_quiesce_that_is_only_reported_disagrees(vm: VM, fault: str, level: str, said: str) -> None:
    vm.call("power_on")
    vm.call("set_faults", faults=[fault])
    vm.wait_for_writes()
    findings, moment = coordinated(vm, level)
    assert any(said in one for one in disagreements(level, findings, moment)), findings


def test_release_before_the_zfs_snapshot_disagrees(vm: VM) -> None:
    vm.call("power_on")
    vm.wait_for_writes()
    taken = vm.call("snapshot", name="ours", quiesce="filesystem")
    vm.wait_for_writes()
    vm.call("remove", uid=taken["uid"])
    findings = vm.found(vm.zfs_snapshot())
    assert "the journal needs recovery" in disagreements("filesystem", findings, taken)


def test_delta_in_the_base_disagrees(vm: VM) -> None:
    """The base disk is clean, but it has what was written to the delta until a later freeze."""
    vm.call("power_on")
    ours = vm.call("snapshot", name="ours", quiesce="filesystem")
    vm.wait_for_writes()
    later = vm.call("snapshot", name="later", quiesce="filesystem")
    vm.call("remove", uid=ours["uid"])
    findings = vm.found(vm.zfs_snapshot(), "later")
    assert disagreements("filesystem", findings, later) == []
    (said,) = disagreements("crash", findings, ours)
    assert "were written to the delta" in said


@pytest.mark.check  # tests/system/test_real_disks.py sees this too
def test_powered_off_disk_does_not_change(vm: VM) -> None:
    vm.call("power_on")
    vm.wait_for_writes()
    vm.call("power_off")
    before, after = vm.found(vm.zfs_snapshot()), vm.found(vm.zfs_snapshot())
    assert disagreements("still", after, before=before) == []
    vm.call("power_on")
    vm.wait_for_writes(5)
    assert disagreements("still", vm.found(vm.zfs_snapshot()), before=before) == [
        "the disk has changed since the power-off"
    ]


def test_chain_is_merged_from_the_middle_the_top_and_the_bottom(vm: VM) -> None:
    vm.call("power_on")
    moments = {}
    for name in ("one", "two", "three"):
        vm.wait_for_writes(5)
        moments[name] = vm.call("snapshot", name=name, quiesce="filesystem")
    vm.wait_for_writes(10)
    assert vm.call("show")["chain"] == [f"{vm.name}{suffix}.vmdk" for suffix in ("", "-000001", "-000002", "-000003")]
    vm.call("remove", uid=2)
    assert vm.call("show")["chain"] == [f"{vm.name}{suffix}.vmdk" for suffix in ("", "-000001", "-000003")]
    snapshot = vm.zfs_snapshot()
    for name in ("one", "three"):
        assert disagreements("filesystem", vm.found(snapshot, name), moments[name]) == []
    vm.wait_for_writes(10)
    vm.call("remove", uid=3)
    assert vm.call("show")["chain"] == [f"{vm.name}{suffix}.vmdk" for suffix in ("", "-000001")]
    vm.wait_for_writes(10)
    vm.call("remove", uid=1)
    assert vm.call("show")["chain"] == [f"{vm.name}.vmdk"]
    assert not [file for file in vm.files() if "delta" in file or "Snapshot" in file]
    vm.wait_for_writes(10)
    written = vm.call("show")
    vm.call("power_off", shut_down=True)
    findings = vm.found(vm.zfs_snapshot())
    assert findings.clean and not findings.needs_recovery and not lost(findings, written)
    assert findings.pair[0] == findings.pair[1] and not findings.unfinished


def test_revert_returns_to_the_disk_of_the_snapshot(vm: VM) -> None:
    vm.call("power_on")
    vm.wait_for_writes()
    moment = vm.call("snapshot", name="good", quiesce="application")
    vm.wait_for_writes(100)
    before = vm.call("show")["started"]
    reverted = vm.call("revert", uid=1)
    assert not reverted["on"] and reverted["chain"] == [f"{vm.name}.vmdk", f"{vm.name}-000002.vmdk"]
    findings = vm.found(vm.zfs_snapshot())
    assert disagreements("application", findings, moment) == []
    vm.call("power_on")
    assert vm.call("show")["started"] < before
    vm.call("remove", uid=1)
    assert vm.call("show")["chain"] == [f"{vm.name}.vmdk"]


def test_registering_reads_the_files(vm: VM) -> None:
    vm.call("snapshot", name='say "so" | \n', description="ünï")
    before = vm.call("show")
    vm.call("unregister")
    with pytest.raises(HypervisorError, match="is not registered"):
        vm.call("show")
    registered = vm.call("register")
    for key in ("settings", "snapshots", "current", "chain"):
        assert registered[key] == before[key], key
    assert registered["snapshots"][0]["name"] == 'say "so" | \n'
    with pytest.raises(HypervisorError) as refused:
        vm.call("register")
    assert refused.value.kind == "AlreadyExists"


def test_power_on_checks_locks_and_parents(vm: VM) -> None:
    storage, folder = vm.hypervisor.storage, f"/{DATASET}/{vm.name}"
    inode = int(storage.ssh(["stat", "-c", "%i", f"{folder}/{vm.name}-flat.vmdk"]).stdout)
    lock = f"{folder}/.lck-{inode:016x}"
    storage.ssh(["sh", "-c", f"echo esx02.lab >{lock}"])
    with pytest.raises(HypervisorError, match=r"is locked by esx02\.lab") as refused:
        vm.call("power_on")
    assert refused.value.kind == "FileLocked" and not vm.call("show")["on"]
    storage.ssh(["rm", lock])
    vm.call("snapshot", name="a")
    storage.ssh(["mv", f"{folder}/{vm.name}.vmdk", f"{folder}/away"])
    try:
        with pytest.raises(HypervisorError, match="does not exist") as refused:
            vm.call("power_on")
        assert refused.value.kind == "FileNotFound"
    finally:
        storage.ssh(["mv", f"{folder}/away", f"{folder}/{vm.name}.vmdk"])


def test_judge_leaves_no_mount_behind(vm: VM) -> None:
    snapshot = vm.zfs_snapshot()
    vm.found(snapshot)
    mounts = vm.hypervisor.storage.ssh(["cat", "/proc/mounts"]).stdout
    assert not re.search(r"@|\.zfs", mounts), mounts
    vm.hypervisor.storage.ssh(["zfs", "destroy", snapshot])


@pytest.mark.check
def test_vm_waits_for_a_storage_host_without_power(vm: VM) -> None:
    """The writes that returned before the power cut are on the disk afterwards, because the server has had them."""
    vm.call("power_on")
    vm.wait_for_writes(50)
    taken = vm.call("snapshot", name="ours", quiesce="application")
    vm.wait_for_writes(50)
    before = vm.zfs_snapshot()
    removal = Thread(target=vm.call, args=("remove",), kwargs={"uid": taken["uid"]})
    removal.start()
    time.sleep(0.3)
    vm.hypervisor.storage.power_cut()
    assert removal.is_alive(), "the power cut is too late for the merge"
    vm.hypervisor.storage.boot()
    removal.join(CALL_SECONDS)
    assert not removal.is_alive()
    assert disagreements("application", vm.found(before, "ours"), taken) == []
    vm.wait_for_writes()
    written = vm.call("show")
    assert written["chain"] == [f"{vm.name}.vmdk"]
    vm.call("power_off", shut_down=True)
    findings = vm.found(vm.zfs_snapshot())
    assert findings.clean and not lost(findings, written) and not findings.unfinished


@pytest.mark.check
def test_merge_is_repeated_after_a_power_cut_of_the_hypervisor(vm: VM) -> None:
    vm.call("power_on")
    vm.wait_for_writes(50)
    taken = vm.call("snapshot", name="ours", quiesce="application")
    vm.wait_for_writes(50)
    vm.call("snapshot", name="later", quiesce="application")  # everything written before is on the disk
    written = vm.call("show")
    removal = Thread(target=_ended_by_the_cut, args=(vm, taken["uid"]))
    removal.start()
    time.sleep(0.2)
    vm.hypervisor.up()
    removal.join()
    vm.hypervisor.call("mount", server="10.0.2.15", export=f"/{DATASET}", name="vmware")
    assert [one["name"] for one in vm.call("register")["snapshots"]] == ["ours", "later"]
    vm.call("power_on")
    vm.call("remove_all")
    vm.call("power_off", shut_down=True)
    findings = vm.found(vm.zfs_snapshot())
    assert findings.clean and not lost(findings, written) and not findings.unfinished
    assert findings.pair[0] == findings.pair[1]


def _ended_by_the_cut(vm: VM, uid: int) -> None:
    with pytest.raises((LabError, OSError)):
        vm.call("remove", uid=uid)


def test_lab_down_stops_both_guests(hypervisor: Hypervisor) -> None:
    assert hypervisor.running() and hypervisor.storage.running()
    assert command_line.main(["--name", hypervisor.storage.name, "down"]) == 0
    assert not hypervisor.running() and not hypervisor.storage.running()
