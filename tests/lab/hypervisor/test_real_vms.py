# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test what the vCenter asks of the hypervisor for real VMs. A stand-in of the hypervisor records the calls."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim

from ..link import HYPERVISOR
from ..simulator import Simulator, SimulatorError
from .inside.volumes import uuid

BASE, DELTA = "db.vmdk", "db-000007.vmdk"
VOLUME = uuid("10.0.2.15", "/tank/vmware")
VMX = f"[{VOLUME}] db/db.vmx"


def files(*names: str, **more: Any) -> dict[str, Any]:
    """Return what the hypervisor answers about a VM: the files of its disk, and more."""
    disk = {
        "node": "scsi0:0", "key": 2000, "controller": 1000, "unit": 0, "mode": "persistent", "kind": "flat",
        "bytes": 1 << 25, "files": [f"/vmfs/volumes/{VOLUME}/db/{name}" for name in names],
    }  # fmt: skip
    hardware = {"name": "db", "bios_uuid": "", "instance_uuid": "", "disks": [disk], "extra": {}}
    return {"hardware": hardware, "snapshots": [], "current": 0, "copied": False, "on": False, **more}


class StandIn(socketserver.ThreadingTCPServer):
    """Answers all calls. `answers` overrides what it answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.hold = threading.Event()
        self.hold.set()

    def names(self) -> list[str]:
        return [name for name, _arguments in self.calls]


class _Handler(socketserver.StreamRequestHandler):
    server: StandIn

    def handle(self) -> None:
        asked = json.loads(self.rfile.readline())
        self.server.calls.append((asked["call"], asked["arguments"]))
        self.server.hold.wait(30)
        kept = {"uid": 7, "parent": 0, "name": "ours", "description": "d", "created": 0, **files(BASE)}
        snapshot = {"result": files(BASE, DELTA, uid=7, current=7, snapshots=[kept])}
        default = snapshot if asked["call"] == "snapshot" else {"result": files(BASE)}
        self.wfile.write(json.dumps(self.server.answers.get(asked["call"], default)).encode() + b"\n")


@pytest.fixture
def hypervisor() -> Iterator[StandIn]:
    with StandIn() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def vcenter(tmp_path: Path, hypervisor: StandIn) -> Iterator[Simulator]:
    vms = [{"name": "db", "real": True, "guest": "windows"}, {"name": "simulated"}]
    datastores = [{"name": "vmware", "server": "10.0.2.15", "path": "/tank/vmware", "vms": vms}]
    config = {"datacenters": ["DC0"], "datastores": datastores}
    options: dict[str, Any] = {"create_seconds": 0.01, "remove_seconds": 0.01}
    port = hypervisor.server_address[1]
    with Simulator.start(config, directory=tmp_path, hypervisor=int(port), state=True, **options) as started:
        yield started


@pytest.fixture
def vms(vcenter: Simulator) -> Iterator[dict[str, Any]]:
    context = ssl.create_default_context(cafile=str(vcenter.ca_path))
    session = SmartConnect(
        host=vcenter.host, port=vcenter.port, user=vcenter.user, pwd=vcenter.password, sslContext=context
    )
    view = session.content.viewManager.CreateContainerView(session.content.rootFolder, [vim.VirtualMachine], True)
    yield {vm.name: vm for vm in view.view}
    Disconnect(session)


def disk(vm: Any) -> list[str]:
    """Return the files of the first disk, the current one first."""
    device = next(one for one in vm.config.hardware.device if isinstance(one, vim.vm.device.VirtualDisk))
    files: list[str] = []
    backing: Any = device.backing
    while backing is not None:
        files.append(backing.fileName)
        backing = backing.parent
    return files


def test_vm_is_created_and_powered_on(vcenter: Simulator, hypervisor: StandIn) -> None:
    (mount, mounted), (create, created), (power_on, powered) = hypervisor.calls
    assert (mount, mounted) == ("mount", {"server": "10.0.2.15", "export": "/tank/vmware", "name": "vmware"})
    assert (create, created["vmx"]) == ("create", VMX) and created["settings"]["displayName"] == "db"
    assert (power_on, powered) == ("power_on", {"vmx": VMX})
    assert list(vcenter.snapshots()) == ["db", "simulated"]


def test_hosts_have_the_address_of_the_hypervisor(vms: dict[str, Any]) -> None:
    host = vms["db"].runtime.host
    assert [one.spec.ip.ipAddress for one in host.config.network.vnic] == [HYPERVISOR]


def test_snapshots_follow_the_hypervisor(vcenter: Simulator, hypervisor: StandIn, vms: dict[str, Any]) -> None:
    vm = vms["db"]
    WaitForTask(vm.CreateSnapshot_Task("ours", "d", False, True))
    name, arguments = hypervisor.calls[-1]
    assert name == "snapshot" and arguments["quiesce"] == "application" and arguments["name"] == "ours"
    assert [one["snapshot_id"] for one in vcenter.trace() if one.get("snapshot") and one["kind"] == "task"] == [7]
    assert disk(vm) == [f"[vmware] db/{DELTA}", f"[vmware] db/{BASE}"]
    (tree,) = vm.snapshot.rootSnapshotList
    assert tree.id == 7 and tree.quiesced and tree.backupManifest == "[vmware] db/db-vss_manifests7.zip"

    WaitForTask(tree.snapshot.RevertToSnapshot_Task())
    assert hypervisor.calls[-1] == ("revert", {"vmx": VMX, "uid": 7})
    assert vm.runtime.powerState == "poweredOff"
    WaitForTask(vm.PowerOnVM_Task())
    WaitForTask(tree.snapshot.RemoveSnapshot_Task(False))
    assert hypervisor.names()[-2:] == ["power_on", "remove"]
    assert hypervisor.calls[-1][1] == {"vmx": VMX, "uid": 7, "children": False}
    assert disk(vm) == [f"[vmware] db/{BASE}"] and vm.snapshot is None


@pytest.mark.parametrize(
    ("changes", "quiesce"),
    [
        ({}, "application"),
        ({"vss": False}, "filesystem"),
        ({"guest": "linux"}, "filesystem"),
        ({"tools": "not_running"}, ""),
    ],
)
def test_quiesce_is_what_the_guest_can(
    vcenter: Simulator, hypervisor: StandIn, vms: dict[str, Any], changes: dict[str, Any], quiesce: str
) -> None:
    vcenter.vm("db", **changes)
    WaitForTask(vms["db"].CreateSnapshot_Task("ours", "", False, True))
    assert hypervisor.calls[-1][1]["quiesce"] == quiesce
    assert vms["db"].snapshot.rootSnapshotList[0].quiesced is bool(quiesce)


def test_refusal_of_the_hypervisor_is_the_fault_of_the_task(
    vcenter: Simulator, hypervisor: StandIn, vms: dict[str, Any]
) -> None:
    hypervisor.answers["snapshot"] = {"fault": "ApplicationQuiesceFault", "text": "the application did not pause"}
    with pytest.raises(vim.fault.ApplicationQuiesceFault):
        WaitForTask(vms["db"].CreateSnapshot_Task("ours", "", False, True))
    hypervisor.answers["snapshot"] = {"fault": "GenericVmConfigFault", "text": "the disk is full"}
    with pytest.raises(vim.fault.GenericVmConfigFault) as failed:
        WaitForTask(vms["db"].CreateSnapshot_Task("ours", "", False, True))
    assert failed.value.reason == "the disk is full"
    assert vms["db"].snapshot is None and disk(vms["db"]) == [f"[vmware] db/{BASE}"]


def test_injected_faults_do_not_reach_the_hypervisor(
    vcenter: Simulator, hypervisor: StandIn, vms: dict[str, Any]
) -> None:
    vcenter.rule(method="CreateSnapshot_Task", effect="task_fault", fault="FileLocked")
    with pytest.raises(vim.fault.FileLocked):
        WaitForTask(vms["db"].CreateSnapshot_Task("ours", "", False, True))
    vcenter.clear_rules()
    vcenter.rule(method="CreateSnapshot_Task", effect="half_snapshot", fault="FileLocked")
    with pytest.raises(vim.fault.FileLocked):
        WaitForTask(vms["db"].CreateSnapshot_Task("half", "", False, True))
    assert hypervisor.names().count("snapshot") == 1
    assert vms["db"].snapshot.rootSnapshotList[0].name == "half"


def test_other_vms_do_not_wait_for_the_hypervisor(vcenter: Simulator, hypervisor: StandIn, vms: dict[str, Any]) -> None:
    hypervisor.hold.clear()
    slow = vms["db"].CreateSnapshot_Task("ours", "", False, True)
    WaitForTask(vms["simulated"].CreateSnapshot_Task("ours", "", False, True))
    assert slow.info.state == "running" and hypervisor.names().count("snapshot") == 1
    hypervisor.hold.set()
    WaitForTask(slow)


def test_power_by_the_control_endpoint(vcenter: Simulator, hypervisor: StandIn, vms: dict[str, Any]) -> None:
    vcenter.vm("db", power="off")
    assert hypervisor.names()[-1] == "power_off"
    vcenter.vm("db", annotation="the same power state")
    assert hypervisor.names()[-1] == "power_off"
    hypervisor.answers["power_on"] = {"fault": "FileLocked", "text": "locked"}
    with pytest.raises(SimulatorError, match="FileLocked"):
        vcenter.vm("db", power="on")
    assert vms["db"].runtime.powerState == "poweredOff"


def test_unregistering_does_not_hold_up_other_calls(
    vcenter: Simulator, hypervisor: StandIn, vms: dict[str, Any]
) -> None:
    vcenter.vm("db", power="off")
    hypervisor.hold.clear()
    ended = threading.Thread(target=vms["db"].UnregisterVM)
    ended.start()
    while hypervisor.names()[-1] != "unregister":
        time.sleep(0.01)
    WaitForTask(vms["simulated"].CreateSnapshot_Task("ours", "", False, True))
    assert "db" in vcenter.snapshots()
    hypervisor.hold.set()
    ended.join(30)
    assert "db" not in vcenter.snapshots()


def test_registering_again_keeps_the_files(vcenter: Simulator, hypervisor: StandIn) -> None:
    vcenter.unregister("db")
    vcenter.register_again("db")
    assert hypervisor.names().count("create") == 1


def kept(uid: int) -> dict[str, Any]:
    """Return what the hypervisor answers about a snapshot."""
    return {"uid": uid, "parent": 0, "name": "ours", "description": "d", "created": 0, **files(BASE)}


def restart(vcenter: Simulator, hypervisor: StandIn, *snapshots: dict[str, Any]) -> None:
    """Kill the vCenter. When it starts again, the hypervisor has other snapshots."""
    vcenter.kill()
    hypervisor.answers["show"] = {"result": files(BASE, DELTA, snapshots=list(snapshots))}
    hypervisor.calls.clear()
    vcenter.restart()


def test_creation_that_a_kill_cut_short_has_no_effect(
    vcenter: Simulator, hypervisor: StandIn, vms: dict[str, Any]
) -> None:
    WaitForTask(vms["db"].CreateSnapshot_Task("ours", "d", False, True))
    restart(vcenter, hypervisor, kept(7), kept(8))
    assert ("remove", {"vmx": VMX, "uid": 8}) in hypervisor.calls and hypervisor.names().count("remove") == 1
    assert [one["id"] for one in vcenter.snapshots()["db"]] == [7]


def test_removal_that_a_kill_cut_short_is_recorded(
    vcenter: Simulator, hypervisor: StandIn, vms: dict[str, Any]
) -> None:
    WaitForTask(vms["db"].CreateSnapshot_Task("ours", "d", False, True))
    restart(vcenter, hypervisor)
    assert vcenter.snapshots()["db"] == [] and "remove" not in hypervisor.names()


def test_restart_keeps_a_vm_that_the_hypervisor_does_not_know(
    vcenter: Simulator, hypervisor: StandIn, vms: dict[str, Any]
) -> None:
    WaitForTask(vms["db"].CreateSnapshot_Task("ours", "d", False, True))
    hypervisor.answers["show"] = {"fault": "ManagedObjectNotFound", "text": "not registered"}
    vcenter.kill()
    vcenter.restart()
    assert [one["id"] for one in vcenter.snapshots()["db"]] == [7]
