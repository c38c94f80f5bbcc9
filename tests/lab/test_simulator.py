# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's vCenter does what the tests of the engine rely on: proved with pyVmomi, which the engine uses."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import pytest
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import SoapStubAdapter, vim, vmodl

from tests.lab import by_hand, command_line
from tests.lab import simulator as module
from tests.lab.simulator import Simulator, SimulatorError

PC = vmodl.query.PropertyCollector
CREATE = 0.05

# One VM of each kind. The names are what the tests know them by.
CONFIG: dict[str, Any] = {
    "datacenters": ["DC0", "DC1"],
    "datastores": [
        {
            "name": "vmware",
            "server": "10.0.2.15",
            "path": "/tank/vmware",
            "vms": [
                {"name": "linux", "bios_uuid": "4207-same", "annotation": "<&> \u00e4\n" + "x" * 10000},
                {"name": "windows", "guest": "windows", "bios_uuid": "4207-same"},
                {"name": "no-vss", "guest": "windows", "vss": False},
                {"name": "tools-stopped", "tools": "not_running"},
                {"name": "tools-missing", "tools": "not_installed"},
                {"name": "off", "power": "off"},
                {"name": "suspended", "power": "suspended"},
                {"name": "template", "template": True},
                {"name": "passthrough", "pci_passthrough": True},
                {"name": "rdm", "disks": [{}, {"kind": "rdm_physical"}]},
                {"name": "vrdm", "disks": [{}, {"kind": "rdm_virtual"}]},
                {"name": "shared-bus", "bus_sharing": "physicalSharing"},
                {"name": "independent", "disks": [{}, {"kind": "independent_persistent"}]},
                {"name": "spanning", "disks": [{}, {"datastore": "nested"}, {"datastore": "local"}]},
                {"name": "tolerant", "fault_tolerance": True},
                {"name": "foreign", "snapshots": 3},
                {"name": "full", "snapshots": 32},
                {"name": "cancelable", "cancelable": True},
                {"name": "50% a/b\\c \u00fc\u4e2d"},
                {"name": "many", "count": 20},
            ],
        },
        {"name": "nested", "server": "10.0.2.15", "path": "/tank/vmware/nested"},
        {
            "name": "local",
            "type": "local",
            "vms": [{"name": "beside"}, {"name": "iso", "iso": "vmware"}, {"name": "diskless", "disks": []}],
        },
        {"name": "v41", "type": "nfs41", "servers": ["10.0.2.15", "10.0.3.15"], "path": "/tank/other"},
        {"name": "vmware", "datacenter": "DC1", "server": "10.9.9.9", "path": "/other", "vms": [{"name": "there"}]},
    ],
}


class Client:
    """A pyVmomi session with a simulator."""

    def __init__(self, vcenter: Simulator) -> None:
        context = ssl.create_default_context(cafile=str(vcenter.ca_path))
        self.si = SmartConnect(
            host=vcenter.host, port=vcenter.port, user=vcenter.user, pwd=vcenter.password, sslContext=context
        )
        self.content = self.si.RetrieveContent()

    def all(self, kind: type, datacenter: str = "DC0") -> dict[str, Any]:
        """The objects of a kind in a datacenter, by name."""
        root = self.content.rootFolder
        within = next((d for d in root.childEntity if d.name == datacenter), root)
        view = self.content.viewManager.CreateContainerView(within, [kind], True)
        found = {o.name: o for o in view.view}
        view.Destroy()
        return found

    def vm(self, name: str) -> Any:
        return self.all(vim.VirtualMachine)[name]


@contextmanager
def session(vcenter: Simulator) -> Iterator[Client]:
    client = Client(vcenter)
    yield client
    try:
        Disconnect(client.si)
    except (vim.fault.NotAuthenticated, OSError):
        pass  # a test that ended the session, or the vCenter


def finished(client: Client, *tasks: Any) -> list[Any]:
    """Wait for tasks with one filter and return their infos."""
    collector = client.content.propertyCollector.CreatePropertyCollector()
    spec = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=t) for t in tasks],
        propSet=[PC.PropertySpec(type=vim.Task, pathSet=["info.state"])],
    )
    collector.CreateFilter(spec, True)
    waiting, version = {t._moId for t in tasks}, ""
    while waiting:
        update = collector.WaitForUpdatesEx(version, PC.WaitOptions(maxWaitSeconds=30))
        assert update is not None, f"still waiting for {waiting}"
        version = update.version
        for o in update.filterSet[0].objectSet:
            if o.changeSet and o.changeSet[0].val in ("success", "error"):
                waiting.discard(o.obj._moId)
    collector.DestroyPropertyCollector()
    return [t.info for t in tasks]


def create(client: Client, vm: Any, *, quiesce: bool = True, memory: bool = False, name: str = "s") -> Any:
    return finished(client, vm.CreateSnapshot_Task(name, "d", memory, quiesce))[0]


def remove(client: Client, snapshot: Any, *, children: bool = False) -> Any:
    return finished(client, snapshot.RemoveSnapshot_Task(children))[0]


def node(vcenter: Simulator, vm: str, moid: str) -> dict[str, Any]:
    """A snapshot in the simulator's own inventory."""

    def find(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for n in nodes:
            if n["moid"] == moid:
                yield n
            yield from find(n.get("children", []))

    return next(find(vcenter.snapshots()[vm]))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator.start(
        CONFIG, directory=tmp_path_factory.mktemp("vcenter"), create_seconds=CREATE, remove_seconds=CREATE
    ) as vcenter:
        yield vcenter


@pytest.fixture
def vcenter(shared: Simulator) -> Iterator[Simulator]:
    """The shared simulator; without rules, trace and our snapshots before and after each test."""
    shared.clear_trace()
    shared.clear_stats()
    yield shared
    shared.network("up")
    shared.release()
    shared.clear_rules()
    shared.grant_all()
    with session(shared) as client:
        shared.vm(".*", properties={})
        while any("busy" in m for m in shared.machines()):  # what was let go is not yet at its end
            time.sleep(0.01)
        machines = [m for m in shared.machines() if m["name"] not in ("foreign", "full") and m["snapshots"]]
        vms = [vim.VirtualMachine(m["moid"], client.si._stub) for m in machines]
        if vms:
            finished(client, *[vm.RemoveAllSnapshots_Task() for vm in vms])


@pytest.fixture
def client(vcenter: Simulator) -> Iterator[Client]:
    with ExitStack() as stack:
        yield stack.enter_context(session(vcenter))


# ---- Inventory


def test_nfs_datastores_are_mounted_on_every_host_and_name_server_and_path(client: Client) -> None:
    hosts = {h._moId for h in client.all(vim.HostSystem).values()}
    assert len(hosts) == 4
    datastore = client.all(vim.Datastore)["vmware"]
    assert {m.key._moId for m in datastore.host} == hosts
    assert all(m.mountInfo.accessMode == "readWrite" and m.mountInfo.accessible for m in datastore.host)
    assert (datastore.summary.type, datastore.info.nas.remoteHost) == ("NFS", "10.0.2.15")
    assert datastore.info.nas.remotePath == "/tank/vmware"
    v41 = client.all(vim.Datastore)["v41"].info.nas
    assert (v41.type, list(v41.remoteHostNames)) == ("NFS41", ["10.0.2.15", "10.0.3.15"])
    assert client.all(vim.Datastore)["local"].summary.type == "VMFS"


def test_equal_names_in_two_datacenters_are_two_datastores(client: Client) -> None:
    here, there = client.all(vim.Datastore)["vmware"], client.all(vim.Datastore, "DC1")["vmware"]
    assert here._moId != there._moId
    assert [vm.name for vm in there.vm] == ["there"]


def test_a_datastore_lists_vms_that_have_a_disk_or_only_an_iso_on_it(client: Client) -> None:
    datastores = client.all(vim.Datastore)
    on = {name: {vm.name for vm in ds.vm} for name, ds in datastores.items()}
    assert "iso" in on["vmware"] and "iso" in on["local"]
    assert on["nested"] == {"spanning"}
    assert on["local"] == {"beside", "iso", "spanning", "diskless"}
    assert {d.name for d in client.vm("spanning").datastore} == {"vmware", "nested", "local"}


def devices(vm: Any, kind: type) -> list[Any]:
    return [d for d in vm.config.hardware.device if isinstance(d, kind)]


def test_devices_that_matter_to_snapshots(client: Client) -> None:
    vms = client.all(vim.VirtualMachine)
    disk = vim.vm.device.VirtualDisk
    assert devices(vms["passthrough"], vim.vm.device.VirtualPCIPassthrough)
    assert devices(vms["rdm"], disk)[1].backing.compatibilityMode == "physicalMode"
    assert devices(vms["vrdm"], disk)[1].backing.compatibilityMode == "virtualMode"
    assert devices(vms["independent"], disk)[1].backing.diskMode == "independent_persistent"
    assert devices(vms["shared-bus"], vim.vm.device.VirtualSCSIController)[0].sharedBus == "physicalSharing"
    assert devices(vms["iso"], vim.vm.device.VirtualCdrom)[0].backing.fileName.startswith("[vmware] ")
    assert not devices(vms["diskless"], disk)
    assert [d.backing.datastore.name for d in devices(vms["spanning"], disk)] == ["vmware", "nested", "local"]


def test_state_of_guest_and_machine(client: Client) -> None:
    vms = client.all(vim.VirtualMachine)
    status = {n: (v.runtime.powerState, v.guest.toolsRunningStatus, v.guest.toolsStatus) for n, v in vms.items()}
    assert status["linux"] == ("poweredOn", "guestToolsRunning", "toolsOk")
    assert status["tools-stopped"] == ("poweredOn", "guestToolsNotRunning", "toolsNotRunning")
    assert status["tools-missing"] == ("poweredOn", "guestToolsNotRunning", "toolsNotInstalled")
    assert status["off"][0] == "poweredOff" and status["suspended"][0] == "suspended"
    assert vms["template"].config.template
    assert vms["windows"].guest.guestFamily == "windowsGuest" and vms["linux"].guest.guestFamily == "linuxGuest"
    assert vms["tolerant"].runtime.faultToleranceState == "running" and vms["tolerant"].config.ftInfo.role == 1
    assert vms["linux"].config.annotation.startswith("<&> \u00e4\n")


def test_instance_uuids_are_unique_and_bios_uuids_need_not_be(client: Client) -> None:
    vms = client.all(vim.VirtualMachine)
    instance = [v.config.instanceUuid for v in vms.values()]
    assert len(set(instance)) == len(instance)
    found = client.content.searchIndex.FindAllByUuid(None, "4207-same", True, False)
    assert {v.name for v in found} == {"linux", "windows"}
    one = client.content.searchIndex.FindByUuid(
        None, vms["db" if "db" in vms else "off"].config.instanceUuid, True, True
    )
    assert one.name == "off"


def test_names_come_back_escaped(client: Client, vcenter: Simulator) -> None:
    vm = client.vm("50%25 a%2fb%5cc \u00fc\u4e2d")
    assert vm.config.name == vm.summary.config.name == vm.name
    assert "50% a/b\\c \u00fc\u4e2d" in vcenter.snapshots()  # the simulator's own view is not escaped
    info = create(client, vm, name="a/b")
    assert vm.snapshot.rootSnapshotList[0].name == "a%2fb"
    assert info.state == "success"


def test_managed_object_ids_are_the_same_at_every_start(vcenter: Simulator, tmp_path: Path) -> None:
    with Simulator.start(CONFIG, directory=tmp_path) as again, session(vcenter) as one, session(again) as two:
        for kind in (vim.VirtualMachine, vim.Datastore, vim.HostSystem, vim.ClusterComputeResource):
            first = {o.name: o._moId for o in one.all(kind).values()}
            assert first == {o.name: o._moId for o in two.all(kind).values()}
            assert first


@pytest.mark.parametrize("version", ["6.5", "6.7.3", "7.0.3.0", "8.0.3.0"])
@pytest.mark.parametrize("esxi", [False, True])
def test_api_versions_of_vcenter_and_esxi(tmp_path: Path, version: str, esxi: bool) -> None:
    with (
        Simulator.start(
            directory=tmp_path, api_version=version, esxi=esxi, create_seconds=0, remove_seconds=0
        ) as server,
        session(server) as c,
    ):
        about = c.content.about
        assert (about.apiVersion, about.apiType) == (version, "HostAgent" if esxi else "VirtualCenter")
        assert [d.name for d in c.content.rootFolder.childEntity] == ["ha-datacenter" if esxi else "DC0"]
        vms = c.all(vim.VirtualMachine, "ha-datacenter" if esxi else "DC0")
        assert vms["db"].runtime.host.name
        task = vms["db"].CreateSnapshotEx_Task("ex", "d", False, vim.vm.WindowsQuiesceSpec(timeout=5))
        assert finished(c, task)[0].state == "success"
        assert vms["db"].snapshot.rootSnapshotList[0].quiesced
        plain = finished(c, vms["db"].CreateSnapshotEx_Task("plain", "d", False, None))[0].result
        assert not node(server, "db", plain._moId)["quiesced"]
        assert remove(c, plain).state == "success"


# ---- Login and TLS


def test_user_and_password_are_checked(vcenter: Simulator) -> None:
    context = ssl.create_default_context(cafile=str(vcenter.ca_path))
    for user, password in ((vcenter.user, "wrong"), ("somebody", vcenter.password), (vcenter.user, "")):
        with pytest.raises(vim.fault.InvalidLogin):
            SmartConnect(host=vcenter.host, port=vcenter.port, user=user, pwd=password, sslContext=context)
    assert "lab-Password" not in vcenter.trace_path.read_text() + json.dumps(vcenter.trace())


def test_nothing_is_told_without_a_session(vcenter: Simulator, client: Client) -> None:
    vm = client.vm("linux")
    client.content.sessionManager.Logout()
    with pytest.raises(vim.fault.NotAuthenticated):
        vm.CreateSnapshot_Task("a", "", False, False)
    with pytest.raises(vim.fault.NotAuthenticated):
        _unused = vm.name
    assert vcenter.snapshots()["linux"] == []


@pytest.mark.parametrize("name", ["127.0.0.1", "127.0.0.2", "10.0.2.2", "localhost", "vcenter.lab"])
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
def test_the_certificate_verifies_for_each_name_of_the_lab(vcenter: Simulator, name: str, address: str) -> None:
    context = ssl.create_default_context(cafile=str(vcenter.ca_path))
    raw = socket.create_connection((address, vcenter.port))
    with context.wrap_socket(raw, server_hostname=name) as tls:
        certificate = tls.getpeercert(binary_form=True)
    assert certificate is not None
    hashed = hashlib.sha256(certificate).hexdigest().upper()
    assert vcenter.thumbprint.replace(":", "") == hashed and vcenter.thumbprint.count(":") == 31


def test_the_certificate_is_refused_without_its_authority_or_under_another_name(vcenter: Simulator) -> None:
    for context, name in (
        (ssl.create_default_context(), "127.0.0.2"),
        (ssl.create_default_context(cafile=str(vcenter.ca_path)), "elsewhere.example"),
    ):
        with socket.create_connection(("127.0.0.2", vcenter.port)) as raw, pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(raw, server_hostname=name)


def test_expired_sessions(vcenter: Simulator, client: Client) -> None:
    vm = client.vm("linux")
    vcenter.expire_sessions()
    with pytest.raises(vim.fault.NotAuthenticated):
        vm.CreateSnapshot_Task("a", "", False, False)
    with session(vcenter) as fresh:
        assert fresh.vm("linux").name == "linux"


def test_a_session_that_expires_sends_away_whoever_waits_in_it(vcenter: Simulator, client: Client) -> None:
    collector = client.content.propertyCollector.CreatePropertyCollector()
    caught: list[Exception] = []

    def wait() -> None:
        try:
            collector.WaitForUpdatesEx("", PC.WaitOptions(maxWaitSeconds=60))
        except vmodl.MethodFault as fault:
            caught.append(fault)

    thread = threading.Thread(target=wait)
    thread.start()
    vcenter.wait_for(lambda e: e["method"] == "WaitForUpdatesEx")
    vcenter.expire_sessions()
    thread.join(10)
    assert [type(f) for f in caught] == [vim.fault.NotAuthenticated]


# ---- Snapshots


@pytest.mark.parametrize(
    ("name", "memory", "quiesced", "manifest"),
    [
        ("linux", False, True, "quiesce_manifest"),
        ("windows", False, True, "vss_manifests"),
        ("no-vss", False, True, ""),
        ("tools-stopped", False, False, ""),
        ("tools-missing", False, False, ""),
        ("off", False, False, ""),
        ("suspended", False, False, ""),
        ("linux", True, False, ""),
    ],
)
def test_quiescing_is_honest(
    vcenter: Simulator, client: Client, name: str, memory: bool, quiesced: bool, manifest: str
) -> None:
    vm = client.vm(name)
    info = create(client, vm, memory=memory)
    assert info.state == "success" and info.entity == vm
    tree = vm.snapshot.rootSnapshotList[0]
    assert tree.snapshot == info.result == vm.snapshot.currentSnapshot
    assert (tree.quiesced, tree.state) == (quiesced, "poweredOn" if memory else "poweredOff")
    assert (tree.backupManifest or "") == "" if not manifest else manifest in tree.backupManifest
    done = [e for e in vcenter.trace() if e["kind"] == "task" and e["event"] == "finished"]
    assert [(e["snapshot"], e["quiesced"]) for e in done] == [(info.result._moId, quiesced)]


def test_an_unquiesced_snapshot_has_no_manifest(client: Client) -> None:
    vm = client.vm("linux")
    create(client, vm, quiesce=False)
    tree = vm.snapshot.rootSnapshotList[0]
    assert not tree.quiesced and tree.backupManifest is None


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("passthrough", vim.fault.SnapshotIncompatibleDeviceInVm),
        ("rdm", vim.fault.SnapshotIncompatibleDeviceInVm),
        ("shared-bus", vim.fault.SnapshotIncompatibleDeviceInVm),
        ("tolerant", vim.fault.SnapshotDisabled),
        ("template", vmodl.fault.NotSupported),
        ("full", vim.fault.TooManySnapshotLevels),
    ],
)
def test_machines_that_cannot_be_snapshotted(vcenter: Simulator, client: Client, name: str, fault: type[Any]) -> None:
    before = vcenter.snapshots()[name]
    info = create(client, client.vm(name))
    assert info.state == "error" and isinstance(info.error, fault) and info.error.msg
    assert vcenter.snapshots()[name] == before


@pytest.mark.parametrize("name", ["vrdm", "independent", "spanning", "iso", "foreign"])
def test_machines_that_can(client: Client, name: str) -> None:
    assert remove(client, create(client, client.vm(name)).result).state == "success"


def test_disks_run_on_delta_files_while_there_is_a_snapshot_but_independent_ones_do_not(client: Client) -> None:
    vm = client.vm("independent")
    plain = [d.backing.fileName for d in devices(vm, vim.vm.device.VirtualDisk)]
    snapshot = create(client, vm).result
    first, second = (d.backing for d in devices(vm, vim.vm.device.VirtualDisk))
    assert "-0000" in first.fileName
    assert first.parent.fileName == plain[0] and second.fileName == plain[1]
    assert any(f.type == "snapshotData" for f in vm.layoutEx.file)
    remove(client, snapshot)
    assert [d.backing.fileName for d in devices(vm, vim.vm.device.VirtualDisk)] == plain


# ---- Where files lie


@pytest.fixture
def vmware_nested_local(tmp_path: Path) -> Iterator[tuple[Simulator, Client]]:
    """A vCenter of its own for each test, with the VM `mover`: its home on vmware, one disk there and one on nested."""
    mover = {"name": "mover", "disks": [{}, {"datastore": "nested"}]}
    datastores = [{"name": "vmware", "type": "local", "vms": [mover]}]
    datastores += [{"name": name, "type": "local"} for name in ("nested", "local")]
    with ExitStack() as stack:
        vcenter = Simulator.start({"datastores": datastores}, directory=tmp_path, create_seconds=0, remove_seconds=0)
        stack.callback(vcenter.stop)
        yield vcenter, stack.enter_context(session(vcenter))


def disk_files(vm: Any) -> dict[int, list[str]]:
    """Of each disk, by device key, the files of its chain, the current one first."""
    files: dict[int, list[str]] = {}
    for disk in devices(vm, vim.vm.device.VirtualDisk):
        backing = disk.backing
        while backing:
            assert backing.fileName.startswith(f"[{backing.datastore.name}] ")
            files.setdefault(disk.key, []).append(backing.fileName)
            backing = backing.parent
    return files


def lists(client: Client, vm: Any) -> set[str]:
    """The datastores that list the VM, which are those that the VM lists."""
    names = {datastore.name for datastore in vm.datastore}
    assert names == {name for name, ds in client.all(vim.Datastore).items() if vm in ds.vm}
    return names


def test_the_home_moves_and_takes_the_disks_beside_it_along(vmware_nested_local: tuple[Simulator, Client]) -> None:
    vcenter, client = vmware_nested_local
    vm = client.vm("mover")
    assert vcenter.move("mover", datastore="local") == 1
    assert vm.config.files.vmPathName == "[local] mover/mover.vmx"
    assert disk_files(vm) == {2000: ["[local] mover/mover.vmdk"], 2001: ["[nested] mover/mover_1.vmdk"]}
    assert lists(client, vm) == {"local", "nested"}


def test_the_home_moves_and_leaves_the_disks(vmware_nested_local: tuple[Simulator, Client]) -> None:
    vcenter, client = vmware_nested_local
    vm = client.vm("mover")
    before = disk_files(vm)
    vcenter.move("mover", datastore="local", disks="stay")
    files = vm.config.files
    assert {files.vmPathName, files.snapshotDirectory, files.suspendDirectory, files.logDirectory} == {
        "[local] mover/mover.vmx",
        "[local] mover/",
    }
    assert disk_files(vm) == before
    assert lists(client, vm) == {"local", "vmware", "nested"}
    vcenter.move("mover", datastore="nested", disks={2000: "local"})
    assert vm.config.files.vmPathName == "[nested] mover/mover.vmx"
    assert lists(client, vm) == {"local", "nested"}


def test_the_vmx_alone_lies_elsewhere_until_the_home_moves(vmware_nested_local: tuple[Simulator, Client]) -> None:
    vcenter, client = vmware_nested_local
    vm = client.vm("mover")
    vcenter.vm("mover", vmx="local")
    assert vm.config.files.vmPathName == "[local] mover/mover.vmx"
    assert disk_files(vm)[2000] == ["[vmware] mover/mover.vmdk"]
    vcenter.move("mover", datastore="nested")
    assert vm.config.files.vmPathName == "[nested] mover/mover.vmx"
    assert lists(client, vm) == {"nested"}


def test_a_disk_moves_with_its_chain_and_the_home_stays(vmware_nested_local: tuple[Simulator, Client]) -> None:
    vcenter, client = vmware_nested_local
    vm = client.vm("mover")
    create(client, vm)
    vcenter.move("mover", disks={2000: "local"})
    assert disk_files(vm) == {
        2000: ["[local] mover/mover-000001.vmdk", "[local] mover/mover.vmdk"],
        2001: ["[nested] mover/mover_1-000001.vmdk", "[nested] mover/mover_1.vmdk"],
    }
    assert vm.config.files.vmPathName == "[vmware] mover/mover.vmx"
    assert lists(client, vm) == {"vmware", "local", "nested"}
    for what, problem in (
        ({"disks": {2007: "local"}}, "no disk with the key 2007"),
        ({"disks": {2000: "nowhere"}}, "no datastore .*nowhere"),
        ({"datastore": "nowhere"}, "no datastore .*nowhere"),
        ({"disks": "fly"}, "neither follow nor stay"),
    ):
        with pytest.raises(SimulatorError, match=problem):
            vcenter.move("mover", **what)
    with pytest.raises(SimulatorError, match="no VM matches"):
        vcenter.move("nobody", datastore="local")


def test_a_folder_that_is_taken_gets_another_name_and_disks_that_stay_keep_theirs(
    vmware_nested_local: tuple[Simulator, Client],
) -> None:
    vcenter, client = vmware_nested_local
    vcenter.deploy("vmware", {"name": "a/b"})
    vcenter.deploy("local", {"name": "a_b"})
    slash, plain = client.vm("a%2fb"), client.vm("a_b")
    vcenter.move("a/b", datastore="local", disks="stay")
    assert slash.config.files.vmPathName == "[local] a_b_1/a_b_1.vmx"
    assert disk_files(slash)[2000] == ["[vmware] a_b/a_b.vmdk"]
    vcenter.move("a_b", datastore="vmware")
    assert plain.config.files.vmPathName == "[vmware] a_b_1/a_b_1.vmx"
    assert disk_files(plain)[2000] == ["[vmware] a_b_1/a_b_1.vmdk"]
    assert disk_files(slash)[2000] == ["[vmware] a_b/a_b.vmdk"]


def test_snapshots_lie_in_the_working_directory(vmware_nested_local: tuple[Simulator, Client]) -> None:
    vcenter, client = vmware_nested_local
    vm = client.vm("mover")
    first = create(client, vm, name="before").result
    vcenter.vm("mover", working_dir="local")
    assert lists(client, vm) == {"vmware", "nested"}  # nothing lies there yet
    assert vm.config.files.snapshotDirectory == vm.config.files.suspendDirectory == "[local] mover/"
    assert vm.config.files.logDirectory == "[vmware] mover/"
    second = create(client, vm, name="there").result
    assert disk_files(vm)[2001] == [
        "[local] mover/mover_1-000002.vmdk",
        "[nested] mover/mover_1-000001.vmdk",
        "[nested] mover/mover_1.vmdk",
    ]
    assert lists(client, vm) == {"vmware", "nested", "local"}
    assert [f.name for f in vm.layoutEx.file if f.type == "snapshotData"] == [
        "[vmware] mover/mover-Snapshot1.vmsn",
        "[local] mover/mover-Snapshot2.vmsn",
    ]
    vcenter.move("mover", datastore="nested")
    assert disk_files(vm)[2000][0] == "[local] mover/mover-000002.vmdk"
    assert remove(client, second).state == remove(client, first).state == "success"
    assert lists(client, vm) == {"nested"}
    with pytest.raises(SimulatorError, match=r"no datastore .*nowhere.* for the working directory"):
        vcenter.vm("mover", working_dir="nowhere")


def test_only_the_swap_file_lies_elsewhere_while_the_vm_is_on(vmware_nested_local: tuple[Simulator, Client]) -> None:
    vcenter, client = vmware_nested_local
    vm = client.vm("mover")
    vcenter.vm("mover", swap="local")
    assert lists(client, vm) == {"vmware", "nested", "local"}
    assert [f.name for f in vm.layoutEx.file if f.type == "swap"] == ["[local] mover/mover-1f0c2a4b.vswp"]
    files = vm.config.files
    assert {files.snapshotDirectory, files.suspendDirectory, files.logDirectory} == {"[vmware] mover/"}
    vcenter.vm("mover", power="off")
    assert lists(client, vm) == {"vmware", "nested"}
    with pytest.raises(SimulatorError, match=r"no datastore .*nowhere.* for the swap file"):
        vcenter.vm("mover", swap="nowhere")


def test_disks_keep_their_device_keys(vmware_nested_local: tuple[Simulator, Client]) -> None:
    vcenter, client = vmware_nested_local
    vm = client.vm("mover")

    def disks() -> dict[int, tuple[str, str, str]]:
        found = devices(vm, vim.vm.device.VirtualDisk)
        return {disk.key: (disk.deviceInfo.label, disk.backing.uuid, disk.backing.fileName) for disk in found}

    before = disks()
    assert set(before) == {2000, 2001}
    vcenter.vm("mover", disks=[{"key": 2001, "datastore": "nested"}])
    assert disks() == {2001: before[2001]}
    vcenter.vm("mover", disks=[{"datastore": "nested"}, {}])  # the first place is that of the one that is there
    assert set(disks()) == {2001, 2002} and disks()[2001] == before[2001]
    vcenter.vm("mover", disks=[{"key": 2000}, {"key": 2002}])  # the key of a removed one, as vSphere gives it
    assert set(disks()) == {2000, 2002}
    for keys in ([{"key": 2002}, {"key": 2002}], [{"key": 3}]):
        with pytest.raises(SimulatorError, match="a disk's key"):
            vcenter.vm("mover", disks=keys)
    vcenter.vm("mover", disks=[])
    assert disks() == {}


def test_where_files_lie_survives_a_restart_and_a_renamed_datastore(tmp_path: Path) -> None:
    vms: list[dict[str, Any]] = [
        {"name": "mover", "working_dir": "local", "swap": "nested"},
        {"name": "diskless", "disks": []},
    ]
    with Simulator.start(
        {"datastores": [*({"name": name, "type": "local"} for name in ("vmware", "nested", "local", "san"))]},
        directory=tmp_path,
        state=True,
        create_seconds=0,
    ) as server:
        server.deploy("vmware", *vms)
        with session(server) as c:
            create(c, c.vm("mover"))
            server.vm("mover", disks=[{"key": 2000}, {}])
            server.move("mover", datastore="san", disks={2001: "nested"})
            for old in ("local", "nested", "vmware"):
                c.all(vim.Datastore)[old].RenameDatastore(old + "-2")
            before = disk_files(c.vm("mover"))
            assert before == {
                2000: ["[local-2] mover/mover-000001.vmdk", "[vmware-2] mover/mover.vmdk"],
                2001: ["[local-2] mover/mover_1-000001.vmdk", "[nested-2] mover/mover_1.vmdk"],
            }
        server.kill()
        server.restart()
        with session(server) as c:
            vm = c.vm("mover")
            assert disk_files(vm) == before and disk_files(c.vm("diskless")) == {}
            assert vm.config.files.vmPathName == "[san] mover/mover.vmx"
            assert lists(c, vm) == {"san", "vmware-2", "nested-2", "local-2"}
            server.vm("mover", disks=[{"key": 2000}, {"datastore": "san", "key": 2001}, {}])
            assert set(disk_files(vm)) == {2000, 2001, 2002}


def chain(vcenter: Simulator, name: str) -> list[str]:
    nodes, names = vcenter.snapshots()[name], []
    while nodes:
        assert len(nodes) == 1
        names.append(nodes[0]["name"])
        nodes = nodes[0].get("children", [])
    return names


def test_removing_one_in_the_middle_keeps_its_children(vcenter: Simulator, client: Client) -> None:
    foreign = ["before-upgrade-1", "before-upgrade-2", "before-upgrade-3"]
    assert chain(vcenter, "foreign") == foreign
    vm = client.vm("foreign")
    ours = create(client, vm, name="ours").result
    theirs = create(client, vm, name="on top").result
    assert chain(vcenter, "foreign") == [*foreign, "ours", "on top"]
    assert remove(client, ours).state == "success"
    assert chain(vcenter, "foreign") == [*foreign, "on top"]
    assert vm.snapshot.currentSnapshot == theirs
    assert remove(client, theirs).state == "success"
    assert chain(vcenter, "foreign") == foreign


def test_removing_with_children_takes_them_along(vcenter: Simulator, client: Client) -> None:
    vm = client.vm("linux")
    root = create(client, vm, name="root").result
    ours = create(client, vm, name="ours").result
    create(client, vm, name="an administrator's")
    assert remove(client, ours, children=True).state == "success"
    assert chain(vcenter, "linux") == ["root"]
    assert vm.snapshot.currentSnapshot == root
    call = [e for e in vcenter.trace() if e["kind"] == "call" and e["method"] == "RemoveSnapshot_Task"][-1]
    assert call["args"]["removeChildren"] is True and call["vm_name"] == "linux"


def test_a_removed_snapshot_is_no_object_any_more(client: Client) -> None:
    vm = client.vm("linux")
    snapshot = create(client, vm).result
    assert remove(client, snapshot).state == "success"
    assert vm.snapshot is None and list(vm.rootSnapshot) == []
    with pytest.raises(vmodl.fault.ManagedObjectNotFound) as caught:
        snapshot.RemoveSnapshot_Task(False)
    assert caught.value.obj._moId == snapshot._moId


def test_revert_branches_the_tree(vcenter: Simulator, client: Client) -> None:
    vm = client.vm("linux")
    first = create(client, vm, name="first").result
    create(client, vm, name="second")
    assert finished(client, first.RevertToSnapshot_Task(None, True))[0].state == "success"
    assert vm.runtime.powerState == "poweredOff", "a snapshot without memory"
    vcenter.vm("linux", power="on")
    create(client, vm, name="branch")
    tree = vcenter.snapshots()["linux"][0]
    assert [c["name"] for c in tree["children"]] == ["second", "branch"]


# ---- Tasks


def test_tasks_take_their_time_and_report_their_states(vcenter: Simulator, client: Client) -> None:
    vcenter.rule(method="CreateSnapshot_Task", effect="task_slow", seconds=0.4)
    task = client.vm("linux").CreateSnapshot_Task("a", "", False, True)
    info = finished(client, task)[0]
    assert info.descriptionId == "VirtualMachine.createSnapshot"
    steps = [e for e in vcenter.trace() if e["kind"] == "task"]
    assert [e["event"] for e in steps] == ["queued", "started", "finished"]
    assert 0.4 <= steps[2]["time"] - steps[1]["time"] < 10
    assert info.queueTime <= info.startTime < info.completeTime and info.progress == 100


def test_tasks_run_side_by_side(vcenter: Simulator, client: Client) -> None:
    vcenter.rule(method="CreateSnapshot_Task", effect="task_hang")
    vms = [vm for name, vm in client.all(vim.VirtualMachine).items() if name.startswith("many-")]
    tasks = [vm.CreateSnapshot_Task("a", "", False, True) for vm in vms]
    assert len(tasks) == 20 and {t.info.state for t in tasks} == {"running"}
    assert vcenter.stats()["running"]["CreateSnapshot_Task"] == 20
    assert vcenter.release() == 20
    assert {i.state for i in finished(client, *tasks)} == {"success"}
    assert vcenter.stats()["most"]["CreateSnapshot_Task"] == 20


def test_a_second_task_on_the_same_machine_clashes(client: Client, vcenter: Simulator) -> None:
    vcenter.rule(method="CreateSnapshot_Task", effect="task_hang", count=1)
    vm = client.vm("linux")
    first = vm.CreateSnapshot_Task("first", "", False, True)
    second = finished(client, vm.CreateSnapshot_Task("second", "", False, True))[0]
    assert isinstance(second.error, vim.fault.TaskInProgress) and second.error.task == first
    assert vcenter.release("linux") == 1
    assert finished(client, first)[0].state == "success"
    assert [(task == first, task.info.state) for task in vm.recentTask[-2:]] == [(True, "success"), (False, "error")]
    assert chain(vcenter, "linux") == ["first"]


@pytest.mark.parametrize(("flag", "most"), [({"tasks": 2}, 2), ({"tasks_per_host": 1}, 4)])
def test_limits_leave_further_tasks_queued(tmp_path: Path, flag: dict[str, Any], most: int) -> None:
    config = {"datastores": [{"name": "d", "server": "h", "path": "/p", "vms": [{"name": "v", "count": 12}]}]}
    with Simulator.start(config, directory=tmp_path, create_seconds=0.2, **flag) as server, session(server) as c:
        server.rule(method="CreateSnapshot_Task", effect="task_hang")
        tasks = [vm.CreateSnapshot_Task("a", "", False, True) for vm in c.all(vim.VirtualMachine).values()]
        states = [t.info.state for t in tasks]
        assert states.count("running") == most and states.count("queued") == 12 - most
        seq = ended = 0
        while ended < 12:
            released = server.release()
            assert 0 < released <= most
            for _unused in range(released):
                seq = server.wait_for(lambda e: e.get("event") == "finished", since=seq)["seq"]
                ended += 1
        assert all(i.state == "success" for i in finished(c, *tasks))
        stats = server.stats()
        assert stats["most"]["all"] == most
        if "tasks_per_host" in flag:
            assert {h["all"] for h in stats["per_host"].values()} == {1}


def test_cancel_is_refused_unless_the_machine_allows_it(vcenter: Simulator, client: Client) -> None:
    vcenter.rule(method="CreateSnapshot_Task", effect="task_hang")
    refused = client.vm("linux").CreateSnapshot_Task("a", "", False, True)
    assert not refused.info.cancelable
    with pytest.raises(vmodl.fault.NotSupported):
        refused.CancelTask()
    allowed = client.vm("cancelable").CreateSnapshot_Task("a", "", False, True)
    assert allowed.info.cancelable
    allowed.CancelTask()
    info = finished(client, allowed)[0]
    assert isinstance(info.error, vmodl.fault.RequestCanceled) and info.cancelled
    assert vcenter.snapshots()["cancelable"] == []


def test_a_finished_task_is_forgotten_after_its_retention(tmp_path: Path) -> None:
    with Simulator.start(directory=tmp_path, create_seconds=0, retention_seconds=0.1) as server, session(server) as c:
        task = c.vm("db").CreateSnapshot_Task("a", "", False, True)
        collector = c.content.propertyCollector
        spec = PC.FilterSpec(
            objectSet=[PC.ObjectSpec(obj=task)],
            propSet=[PC.PropertySpec(type=vim.Task, pathSet=["info.state"])],
            reportMissingObjectsInResults=True,
        )
        collector.CreateFilter(spec, True)
        version, gone = "", False
        while not gone:
            update = collector.WaitForUpdatesEx(version, PC.WaitOptions(maxWaitSeconds=10))
            version = update.version
            gone = any(o.kind == "leave" for o in update.filterSet[0].objectSet) or bool(update.filterSet[0].missingSet)
        with pytest.raises(vmodl.fault.ManagedObjectNotFound):
            _unused = task.info


# ---- Faults of tasks


def test_task_fault(vcenter: Simulator, client: Client) -> None:
    vcenter.rule(
        method="CreateSnapshot.*",
        vm="lin.x",
        effect="task_fault",
        fault="ApplicationQuiesceFault",
        message="The guest could not be quiesced.",
        seconds=10,
        progress=2,
        count=1,
    )
    info = create(client, client.vm("linux"))
    assert info.state == "error" and info.error.msg == "The guest could not be quiesced."
    assert isinstance(info.error, vim.fault.ApplicationQuiesceFault)
    assert vcenter.snapshots()["linux"] == []
    steps = {e["event"]: e for e in vcenter.trace() if e["kind"] == "task"}
    assert 0.2 <= steps["finished"]["time"] - steps["started"]["time"] < 9
    assert (steps["finished"]["fault"], steps["finished"]["effect"]) == ("ApplicationQuiesceFault", "task_fault")
    assert vcenter.rules()[0]["hits"] == 1
    assert create(client, client.vm("linux")).state == "success"  # count: once


def test_a_rule_hits_only_the_machines_that_it_names(vcenter: Simulator, client: Client) -> None:
    vcenter.rule(vm="windows|off", effect="task_fault", fault="SnapshotFault")
    states = {name: create(client, client.vm(name)).state for name in ("linux", "windows", "off")}
    assert states == {"linux": "success", "windows": "error", "off": "error"}


def test_skip_lets_the_first_ones_through(vcenter: Simulator, client: Client) -> None:
    vcenter.rule(method="CreateSnapshot_Task", effect="task_fault", fault="SnapshotFault", skip=1, count=1)
    vm = client.vm("linux")
    assert [create(client, vm).state for _unused in range(3)] == ["success", "error", "success"]


def test_fields_of_a_fault(vcenter: Simulator, client: Client) -> None:
    vcenter.rule(
        effect="task_fault",
        fault="InvalidPowerState",
        fields={"RequestedState": "poweredOn", "ExistingState": "suspended"},
    )
    error = create(client, client.vm("linux")).error
    assert isinstance(error, vim.fault.InvalidPowerState)
    assert (error.requestedState, error.existingState) == ("poweredOn", "suspended")


def test_half_snapshot(vcenter: Simulator, client: Client) -> None:
    vcenter.rule(method="CreateSnapshot_Task", effect="half_snapshot", fault="FilesystemQuiesceFault")
    info = create(client, client.vm("linux"), name="half")
    assert isinstance(info.error, vim.fault.FilesystemQuiesceFault) and info.result is None
    left = vcenter.snapshots()["linux"]
    assert [s["name"] for s in left] == ["half"]
    done = next(e for e in vcenter.trace() if e["kind"] == "task" and e["event"] == "finished")
    assert done["snapshot"] == left[0]["moid"]


def test_a_hanging_task_ends_when_it_is_released(vcenter: Simulator, client: Client) -> None:
    vcenter.rule(method="RemoveSnapshot_Task", effect="task_hang")
    vm = client.vm("linux")
    task = create(client, vm).result.RemoveSnapshot_Task(False)
    assert task.info.state == "running"
    assert next(m for m in vcenter.machines() if m["name"] == "linux")["busy"] == task._moId
    assert vcenter.snapshots()["linux"]
    vcenter.release("linux")
    assert finished(client, task)[0].state == "success"
    assert vcenter.snapshots()["linux"] == []


@pytest.mark.parametrize("carried_out", [True, False])
def test_task_vanishes(vcenter: Simulator, client: Client, carried_out: bool) -> None:
    vcenter.rule(method="CreateSnapshot_Task", effect="task_vanish", carried_out=carried_out)
    task = client.vm("linux").CreateSnapshot_Task("a", "", False, True)
    vcenter.wait_for(lambda e: e.get("event") == "vanished" and e["task"] == task._moId)
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        _unused = task.info
    assert bool(vcenter.snapshots()["linux"]) is carried_out


def test_removal_failure_leaves_the_snapshot(vcenter: Simulator, client: Client) -> None:
    snapshot = create(client, client.vm("linux")).result
    vcenter.rule(
        method="RemoveSnapshot_Task", effect="task_fault", fault="GenericVmConfigFault", message="locked", count=1
    )
    assert remove(client, snapshot).error.msg == "locked"
    assert node(vcenter, "linux", snapshot._moId)
    assert remove(client, snapshot).state == "success"


def test_consolidation_is_needed_after_removal_and_can_be_done(vcenter: Simulator, client: Client) -> None:
    vm = client.vm("linux")
    snapshot = create(client, vm).result
    vcenter.rule(method="RemoveSnapshot_Task", effect="needs_consolidation")
    assert remove(client, snapshot).state == "success"
    assert vm.runtime.consolidationNeeded is True and vm.snapshot is None
    assert finished(client, vm.ConsolidateVMDisks_Task())[0].state == "success"
    assert vm.runtime.consolidationNeeded is False


# ---- Faults of calls


def test_call_fault(vcenter: Simulator, client: Client) -> None:
    vm = client.vm("linux")
    vcenter.rule(
        method="CreateSnapshot_Task", vm="linux", effect="call_fault", fault="NotEnoughLicenses", message="<none>"
    )
    with pytest.raises(vmodl.fault.NotEnoughLicenses) as caught:
        vm.CreateSnapshot_Task("a", "", False, True)
    fault: Any = caught.value
    assert fault.msg == "<none>"
    call = next(e for e in vcenter.trace() if e["method"] == "CreateSnapshot_Task")
    assert (call["fault"], call["effect"], call["vm_name"]) == ("NotEnoughLicenses", "call_fault", "linux")
    assert vcenter.snapshots()["linux"] == []


def test_logins_can_be_refused(vcenter: Simulator) -> None:
    vcenter.rule(method="Login", effect="call_fault", fault="InvalidLogin", count=1)
    with pytest.raises(vim.fault.InvalidLogin):
        Client(vcenter)
    with session(vcenter) as c:
        assert c.content.about


def test_call_delay(vcenter: Simulator, client: Client) -> None:
    vcenter.rule(method="CurrentTime", effect="call_delay", seconds=0.3)
    client.si.CurrentTime()
    call = next(e for e in vcenter.trace() if e["method"] == "CurrentTime")
    assert call["done"] - call["time"] >= 0.3


@pytest.mark.parametrize(("effect", "carried_out"), [("drop_before", False), ("drop_after", True), ("truncated", True)])
def test_an_answer_that_is_lost(vcenter: Simulator, client: Client, effect: str, carried_out: bool) -> None:
    vm = client.vm("linux")
    vcenter.rule(method="CreateSnapshot_Task", effect=effect, count=1)
    with pytest.raises((http.client.HTTPException, OSError, ExpatError)):
        vm.CreateSnapshot_Task("a", "", False, True)
    if carried_out:
        vcenter.wait_for(lambda e: e.get("event") == "finished")
    assert bool(vcenter.snapshots()["linux"]) is carried_out
    assert any(e.get("event") == "queued" for e in vcenter.trace()) is carried_out


def test_malformed_answers(vcenter: Simulator, client: Client) -> None:
    vcenter.rule(method="CurrentTime", effect="malformed")
    with pytest.raises(ExpatError):
        client.si.CurrentTime()


def test_http_status(vcenter: Simulator, client: Client) -> None:
    vcenter.rule(method="CurrentTime", effect="http_status", status=503, message="busy")
    with pytest.raises(http.client.HTTPException, match="503"):
        client.si.CurrentTime()


def raw_call(vcenter: Simulator, seconds: float) -> int:
    """A call with a time limit of its own, which pyVmomi has not."""
    connection = http.client.HTTPSConnection(
        vcenter.host, vcenter.port, timeout=seconds, context=ssl.create_default_context(cafile=str(vcenter.ca_path))
    )
    body = (
        '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><RetrieveServiceContent xmlns="urn:vim25">'
        '<_this type="ServiceInstance">ServiceInstance</_this></RetrieveServiceContent></Body></Envelope>'
    )
    try:
        connection.request("POST", "/sdk", body)
        return connection.getresponse().status
    finally:
        connection.close()


def test_black_hole(vcenter: Simulator) -> None:
    assert raw_call(vcenter, 30) == 200
    rule = vcenter.rule(method="RetrieveServiceContent", effect="black_hole")
    with pytest.raises(TimeoutError):
        raw_call(vcenter, 0.3)
    assert vcenter.rules()[0]["hits"] == 1
    vcenter.clear_rules(rule)
    assert raw_call(vcenter, 30) == 200


def test_the_wire_as_a_whole(vcenter: Simulator) -> None:
    vcenter.network("reset")
    with pytest.raises((ConnectionError, ssl.SSLError)):
        raw_call(vcenter, 5)
    vcenter.network("black_hole")
    with pytest.raises(TimeoutError):
        raw_call(vcenter, 0.3)
    vcenter.network("up")
    assert raw_call(vcenter, 30) == 200


def test_open_connections_are_cut_too(vcenter: Simulator, client: Client) -> None:
    vcenter.network("reset")
    with pytest.raises((http.client.HTTPException, OSError)):
        client.si.CurrentTime()
    vcenter.network("up")
    assert client.si.CurrentTime()


def test_impossible_rules_are_refused(vcenter: Simulator) -> None:
    for what, text in (
        ({"effect": "nonsense"}, "unknown effect"),
        ({"effect": "task_fault"}, "needs a fault"),
        ({"effect": "task_fault", "fault": "NoSuchFault"}, "no fault"),
        ({"effect": "task_slow", "vm": "("}, "missing closing"),
        ({"effect": "task_slow", "when": "now"}, "unknown field"),
    ):
        with pytest.raises(SimulatorError, match=text):
            vcenter.rule(**what)
    assert vcenter.rules() == []


# ---- Privileges


@pytest.mark.parametrize("entity", ["", "linux"])
def test_a_denied_privilege_is_enforced_and_told(vcenter: Simulator, client: Client, entity: str) -> None:
    privilege = "VirtualMachine.State.RemoveSnapshot"
    vm, other = client.vm("linux"), client.vm("windows")
    snapshot = create(client, vm).result
    vcenter.deny(privilege, entity)
    with pytest.raises(vim.fault.NoPermission) as caught:
        snapshot.RemoveSnapshot_Task(False)
    assert (caught.value.privilegeId, caught.value.object) == (privilege, vm)
    manager, me = client.content.authorizationManager, client.content.sessionManager.currentSession
    asked = ["VirtualMachine.State.CreateSnapshot", privilege]
    for answer in (
        manager.HasPrivilegeOnEntities([vm, other], me.key, asked),
        manager.HasUserPrivilegeOnEntities([vm, other], me.userName, asked),
    ):
        told = {e.entity: {p.privId: p.isGranted for p in e.privAvailability} for e in answer}
        assert told[vm] == {asked[0]: True, privilege: False}
        assert told[other][privilege] is (entity == "linux")
    vcenter.grant_all()
    assert remove(client, snapshot).state == "success"


# ---- Changes from outside


def test_vmotion_rename_and_power(vcenter: Simulator, client: Client) -> None:
    vm = client.vm("many-0001")
    target = next(h for h in client.all(vim.HostSystem).values() if h != vm.runtime.host)
    source = vm.runtime.host
    try:
        vcenter.vm("many-0001", host=target.name, name="renamed", power="off", annotation="moved")
        assert (vm.runtime.host, vm.name, vm.runtime.powerState) == (target, "renamed", "poweredOff")
        assert vm in target.vm and vm not in source.vm and vm.config.annotation == "moved"
    finally:
        vcenter.vm("renamed", name="many-0001", power="on")
    with pytest.raises(SimulatorError, match="no host"):
        vcenter.vm("many-0001", host="nowhere")
    with pytest.raises(SimulatorError, match="taken"):
        vcenter.vm("many-0001", name="linux")
    with pytest.raises(SimulatorError, match="no VM"):
        vcenter.vm("nobody", power="on")
    assert vm.name == "many-0001"


def test_power_tasks(vcenter: Simulator, client: Client) -> None:
    vm = client.vm("linux")
    assert [info.state for info in finished(client, vm.PowerOffVM_Task())] == ["success"]
    assert vm.runtime.powerState == "poweredOff"
    refused = finished(client, vm.PowerOffVM_Task())[0].error
    assert isinstance(refused, vim.fault.InvalidPowerState) and refused.existingState == "poweredOff"
    assert finished(client, vm.PowerOnVM_Task())[0].state == "success"
    assert vm.runtime.powerState == "poweredOn"


def test_a_real_vm_needs_a_hypervisor(vcenter: Simulator) -> None:
    with pytest.raises(SimulatorError, match="there is no hypervisor for a real VM"):
        vcenter.deploy("vmware", {"name": "real", "real": True})
    assert "real" not in vcenter.snapshots()


def test_any_property_can_be_set(vcenter: Simulator, client: Client) -> None:
    vcenter.vm(
        "linux",
        properties={"guest.toolsRunningStatus": "guestToolsExecutingScripts", "runtime.connectionState": "orphaned"},
    )
    vm = client.vm("linux")
    assert vm.guest.toolsRunningStatus == "guestToolsExecutingScripts" and vm.guest.toolsStatus == "toolsOk"
    assert vm.runtime.connectionState == "orphaned"
    with pytest.raises(SimulatorError, match="no such property"):
        vcenter.vm("linux", properties={"guest.nonsense": 1})


def test_register_and_unregister(vcenter: Simulator, client: Client) -> None:
    moid = vcenter.register("nested", name="late", guest="windows")
    vm = client.vm("late")
    assert vm._moId == moid and moid in {v._moId for v in client.all(vim.Datastore)["nested"].vm}
    uuid, snapshot = vm.config.instanceUuid, create(client, vm, name="mine").result
    assert vcenter.unregister("late") == 1
    assert "late" not in vcenter.snapshots() and "late" not in client.all(vim.VirtualMachine)
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        _unused = vm.name
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        snapshot.RemoveSnapshot_Task(False)
    again = vcenter.register_again("late")
    assert again != moid
    back = client.vm("late")
    assert (back._moId, back.config.instanceUuid) == (again, uuid)
    tree = back.snapshot.rootSnapshotList[0]
    assert tree.name == "mine" and tree.snapshot._moId != snapshot._moId
    assert remove(client, tree.snapshot).state == "success"
    vcenter.unregister("late")


def test_a_task_on_a_machine_that_is_unregistered_fails(vcenter: Simulator, client: Client) -> None:
    vcenter.register("nested", name="short-lived")
    vcenter.rule(vm="short-lived", effect="task_hang")
    vm = client.vm("short-lived")
    task = vm.CreateSnapshot_Task("a", "", False, True)
    vcenter.unregister("short-lived")
    error = finished(client, task)[0].error
    assert isinstance(error, vmodl.fault.ManagedObjectNotFound) and error.obj == vm


# ---- Surviving


def test_machines_and_snapshots_survive_a_kill(tmp_path: Path) -> None:
    with Simulator.start(CONFIG, directory=tmp_path, create_seconds=0, remove_seconds=0, state=True) as server:
        port, thumbprint = server.port, server.thumbprint
        with session(server) as c:
            ours = create(c, c.vm("foreign"), name="ours").result
            gone = create(c, c.vm("linux"), name="gone").result
            remove(c, gone)
            changes: dict[str, Any] = {"power": "off", "name": "renamed"}
            server.vm("windows", **changes)
            server.unregister("off")
            server.register("nested", name="late")
            c.all(vim.Datastore)["v41"].RenameDatastore("v42")
            before, moids = server.snapshots(), {m["name"]: m["moid"] for m in server.machines()}
            server.rule(effect="task_hang")
            running = c.vm("linux").CreateSnapshot_Task("never", "", False, True)
            server.kill()
            assert not server.running
            server.restart()
            assert (server.port, server.thumbprint) == (port, thumbprint)
            with pytest.raises((OSError, http.client.HTTPException)):
                c.si.CurrentTime()  # the open connection died with it
            with pytest.raises(vim.fault.NotAuthenticated):
                c.si.CurrentTime()
        assert server.snapshots() == before
        assert {m["name"]: m["moid"] for m in server.machines()} == moids
        assert chain(server, "foreign") == ["before-upgrade-1", "before-upgrade-2", "before-upgrade-3", "ours"]
        with session(server) as c:
            assert {"v42", "nested"} <= set(c.all(vim.Datastore))
            assert c.vm("renamed").runtime.powerState == "poweredOff"
            stub = c.si._stub
            with pytest.raises(vmodl.fault.ManagedObjectNotFound):
                _unused = vim.Task(running._moId, stub).info
            fresh = create(c, c.vm("linux"), name="next").result
            assert fresh._moId not in (ours._moId, gone._moId)
            assert finished(c, vim.vm.Snapshot(ours._moId, stub).RemoveSnapshot_Task(False))[0].state == "success"
        server.restart()
        assert chain(server, "foreign") == ["before-upgrade-1", "before-upgrade-2", "before-upgrade-3"]
        assert chain(server, "linux") == ["next"]


def test_without_state_a_restart_begins_anew_and_can_change_the_certificate(tmp_path: Path) -> None:
    with Simulator.start(directory=tmp_path, create_seconds=0) as server:
        with session(server) as c:
            create(c, c.vm("db"))
        thumbprint = server.thumbprint
        server.restart(new_certificate=True)
        assert server.thumbprint != thumbprint
        assert server.snapshots()["db"] == []
        with session(server) as c:  # the authority is still the same
            assert c.content.about


def test_the_trace_file_outlives_a_kill(tmp_path: Path) -> None:
    with Simulator.start(directory=tmp_path, create_seconds=0) as server:
        with session(server) as c:
            create(c, c.vm("db"), name="traced")
            told = server.trace()
            server.kill()
        written = [json.loads(line) for line in server.trace_path.read_text().splitlines()]
    tasks = [e for e in written if e["kind"] == "task"]
    assert tasks == [e for e in told if e["kind"] == "task"]
    assert [e["event"] for e in tasks] == ["queued", "started", "finished"]
    call = next(e for e in written if e["method"] == "CreateSnapshot_Task" and e["kind"] == "call")
    assert call["args"] == {"name": "traced", "description": "d", "memory": False, "quiesce": True}


def test_trace_and_statistics(vcenter: Simulator, client: Client) -> None:
    vm = client.vm("linux")
    vcenter.clear_trace()
    vcenter.clear_stats()
    info = create(client, vm, name="one")
    trace = vcenter.trace()
    assert [e["seq"] for e in trace] == sorted(e["seq"] for e in trace)
    assert [e["time"] for e in trace] == sorted(e["time"] for e in trace)
    call = next(e for e in trace if e["method"] == "CreateSnapshot_Task")
    assert (call["object"], call["vm"], call["user"]) == (vm._moId, vm._moId, vcenter.user)
    assert abs(call["time"] - time.time()) < 60
    steps = [e for e in trace if e["kind"] == "task"]
    assert {e["task"] for e in steps} == {info.key} and {e["host"] for e in steps} == {vm.runtime.host.name}
    assert vcenter.trace(since=steps[-1]["seq"])[0]["seq"] == steps[-1]["seq"] + 1
    stats = vcenter.stats()
    assert stats["calls"]["CreateSnapshot_Task"] == 1 == stats["most"]["CreateSnapshot_Task"]
    assert stats["running"]["all"] == 0


# ---- Processes


def wait_for_end(pid: int) -> bool:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with open(process, "rb", buffering=0):
        return bool(select.select([process], [], [], 20)[0])


START = """
import pathlib, signal, sys
from tests.lab.simulator import Simulator
s = Simulator.start(directory=pathlib.Path(sys.argv[1]), detached=sys.argv[2] == "detached")
print(s.pid, flush=True)
signal.pause()
"""


def started_by_another(directory: Path, how: str) -> int:
    """The pid of a simulator whose starter has been killed."""
    root = Path(__file__).parents[2]
    starter = subprocess.Popen(
        [sys.executable, "-c", START, str(directory), how], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    starter.stdout.close()
    return pid


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    assert wait_for_end(started_by_another(tmp_path, "attached"))


def test_a_detached_one_can_be_found_again_and_ended(tmp_path: Path) -> None:
    pid = started_by_another(tmp_path, "detached")
    found = Simulator.attach(tmp_path)
    assert found.running and found.pid == pid and "db" in found.snapshots()
    with session(found) as c:
        assert c.content.about
    found.stop()
    assert wait_for_end(pid) and not found.running
    with pytest.raises(SimulatorError, match="start one"):
        Simulator.attach(tmp_path)


def test_a_start_ends_what_an_earlier_process_left_in_its_directory(tmp_path: Path) -> None:
    pid = started_by_another(tmp_path, "detached")
    with Simulator.start(directory=tmp_path) as server:
        assert wait_for_end(pid) and server.pid != pid


def test_a_record_of_a_process_that_is_gone_ends_nobody(tmp_path: Path) -> None:
    (tmp_path / module.RECORD).write_text(json.dumps({"pid": os.getpid(), "start_time": 1}))
    assert module.end_stray(tmp_path) is False
    assert not (tmp_path / module.RECORD).exists()


def test_a_configuration_that_is_wrong_is_named(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"datastore": []}, "unknown field"),
        ({"datastores": [{"name": "a", "vms": [{"name": "v", "power": "maybe"}]}]}, "maybe"),
        ({"datastores": [{"name": "a", "vms": [{"name": "v"}, {"name": "v"}]}]}, "taken"),
    ]
    for n, (config, text) in enumerate(wrong):
        with pytest.raises(SimulatorError, match=text):
            Simulator.start(config, directory=tmp_path / str(n))


def test_the_program_is_built_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    built = module.build()
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 0, "golang 1", ""))
    one = module.fingerprint()
    monkeypatch.setattr(module, "SOURCES", tmp_path)
    assert module.fingerprint() != one
    monkeypatch.undo()
    assert module.build() == built and os.access(built, os.X_OK)


# ---- Properties and updates


def by_type(kind: type, *paths: str) -> Any:
    return PC.PropertySpec(type=kind, pathSet=list(paths))


def test_vms_are_read_from_the_datastore_in_one_call(client: Client) -> None:
    step = PC.TraversalSpec(type=vim.Datastore, path="vm", skip=False)
    spec = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=client.all(vim.Datastore)["vmware"], skip=True, selectSet=[step])],
        propSet=[by_type(vim.VirtualMachine, "name", "runtime.powerState", "config.files.vmPathName", "snapshot")],
    )
    answer = client.content.propertyCollector.RetrievePropertiesEx([spec], PC.RetrieveOptions())
    assert answer.token is None
    read = {p["name"]: p for p in ({x.name: x.val for x in o.propSet} for o in answer.objects)}
    assert read["linux"] == {
        "name": "linux", "runtime.powerState": "poweredOn", "config.files.vmPathName": "[vmware] linux/linux.vmx"
    }  # fmt: skip
    assert "snapshot" in read["foreign"] and "iso" in read and "beside" not in read


def test_pages(client: Client) -> None:
    collector = client.content.propertyCollector
    vms = list(client.all(vim.VirtualMachine).values())
    spec = PC.FilterSpec(objectSet=[PC.ObjectSpec(obj=v) for v in vms], propSet=[by_type(vim.ManagedEntity, "name")])
    answer, names, calls = collector.RetrievePropertiesEx([spec], PC.RetrieveOptions(maxObjects=7)), [], 1
    while True:
        assert len(answer.objects) <= 7
        names += [o.propSet[0].val for o in answer.objects]
        if not answer.token:
            break
        answer, calls = collector.ContinueRetrievePropertiesEx(answer.token), calls + 1
    assert sorted(names) == sorted(client.all(vim.VirtualMachine)) and calls == -(-len(vms) // 7)
    answer = collector.RetrievePropertiesEx([spec], PC.RetrieveOptions(maxObjects=7))
    collector.CancelRetrievePropertiesEx(answer.token)
    with pytest.raises(vmodl.fault.InvalidArgument):
        collector.ContinueRetrievePropertiesEx(answer.token)


def test_what_cannot_be_read(client: Client) -> None:
    collector, vm = client.content.propertyCollector, client.vm("linux")
    gone = vim.VirtualMachine("vm-999999", client.si._stub)

    def read(obj: Any, *paths: str, lenient: bool = False) -> Any:
        spec = PC.FilterSpec(
            objectSet=[PC.ObjectSpec(obj=obj)],
            propSet=[by_type(vim.VirtualMachine, *paths)],
            reportMissingObjectsInResults=lenient,
        )
        return collector.RetrievePropertiesEx([spec], PC.RetrieveOptions())

    assert [p.name for p in read(vm, "snapshot", "name", "guest.appState").objects[0].propSet] == ["name"]
    with pytest.raises(vmodl.query.InvalidProperty) as caught:
        read(vm, "name", "runtime.nonsense")
    assert caught.value.name == "runtime.nonsense"
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        read(gone, "name")
    assert read(gone, "name", lenient=True) is None


def filter_on(collector: Any, objects: list[Any], spec: Any, *, lenient: bool = False) -> Any:
    return collector.CreateFilter(
        PC.FilterSpec(
            objectSet=[PC.ObjectSpec(obj=o) for o in objects], propSet=[spec], reportMissingObjectsInResults=lenient
        ),
        True,
    )


def wait(collector: Any, version: str, seconds: int = 20, most: int | None = None) -> Any:
    return collector.WaitForUpdatesEx(version, PC.WaitOptions(maxWaitSeconds=seconds, maxObjectUpdates=most))


def test_no_update_is_lost_in_a_storm(vcenter: Simulator, client: Client) -> None:
    """Each task has a filter of its own, made while others change; every one must be seen to enter and to succeed."""
    vms = [vm for name, vm in client.all(vim.VirtualMachine).items() if name.startswith("many-")]
    collector = client.content.propertyCollector.CreatePropertyCollector()
    for round_ in range(3):
        last: dict[str, str] = {}
        tasks = []
        for vm in vms:
            tasks.append(vm.CreateSnapshot_Task(f"s{round_}", "", False, True))
            filter_on(collector, [tasks[-1]], by_type(vim.Task, "info.state"))
        version = ""
        while sum(s == "success" for s in last.values()) < len(tasks):
            update = wait(collector, version)
            assert update is not None, last
            version = update.version
            for f in update.filterSet:
                for o in f.objectSet:
                    assert (o.kind == "enter") is (o.obj._moId not in last)
                    last[o.obj._moId] = o.changeSet[0].val
        assert set(last) == {t._moId for t in tasks}
        for f in collector.filter:
            f.Destroy()
    assert len(collector.filter) == 0


def test_several_filters_and_collectors_do_not_mix(vcenter: Simulator, client: Client) -> None:
    one = client.content.propertyCollector.CreatePropertyCollector()
    two = client.content.propertyCollector.CreatePropertyCollector()
    linux, windows = client.vm("linux"), client.vm("windows")
    f1 = filter_on(one, [linux], by_type(vim.VirtualMachine, "runtime.powerState"))
    f2 = filter_on(one, [linux, windows], by_type(vim.VirtualMachine, "name"))
    f3 = filter_on(two, [windows], by_type(vim.VirtualMachine, "runtime"))
    first, other = wait(one, ""), wait(two, "")
    assert {f.filter for f in first.filterSet} == {f1, f2} and [f.filter for f in other.filterSet] == [f3]
    vcenter.vm("linux", power="off")
    update = wait(one, first.version)
    assert [(f.filter, [(o.kind, o.obj, o.changeSet[0].val) for o in f.objectSet]) for f in update.filterSet] == [
        (f1, [("modify", linux, "poweredOff")])
    ]
    assert wait(two, other.version, 0) is None
    vcenter.vm("linux", power="on")
    f1.DestroyPropertyFilter()
    assert wait(one, update.version, 0) is None
    two.DestroyPropertyCollector()
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        wait(two, other.version, 0)


def test_a_filter_made_later_joins_in(client: Client) -> None:
    collector = client.content.propertyCollector.CreatePropertyCollector()
    filter_on(collector, [client.vm("linux")], by_type(vim.VirtualMachine, "name"))
    version = wait(collector, "").version
    late = filter_on(collector, [client.vm("windows")], by_type(vim.VirtualMachine, "name"))
    update = wait(collector, version)
    assert [f.filter for f in update.filterSet] == [late] and update.filterSet[0].objectSet[0].kind == "enter"


def test_answers_are_cut_and_continued(client: Client) -> None:
    collector = client.content.propertyCollector.CreatePropertyCollector()
    vms = list(client.all(vim.VirtualMachine).values())
    filter_on(collector, vms, by_type(vim.VirtualMachine, "name"))
    seen, version, truncated = [], "", True
    while truncated:
        update = wait(collector, version, 0, most=9)
        version, truncated = update.version, update.truncated
        got = [o.obj for f in update.filterSet for o in f.objectSet]
        assert 0 < len(got) <= 9
        seen += got
    assert len(seen) == len(set(seen)) == len(vms)
    assert wait(collector, version, 0) is None


def test_an_answer_that_was_lost_is_given_again(vcenter: Simulator, client: Client) -> None:
    collector = client.content.propertyCollector.CreatePropertyCollector()
    vm = client.vm("linux")
    filter_on(collector, [vm], by_type(vim.VirtualMachine, "runtime.powerState"))
    version = wait(collector, "").version
    vcenter.vm("linux", power="off")
    vcenter.rule(method="WaitForUpdatesEx", effect="drop_after", count=1)
    with pytest.raises((http.client.HTTPException, OSError)):
        wait(collector, version)
    update = wait(collector, version)
    vcenter.vm("linux", power="on")
    assert update.filterSet[0].objectSet[0].changeSet[0].val == "poweredOff"
    after = wait(collector, update.version)
    assert after.filterSet[0].objectSet[0].changeSet[0].val == "poweredOn"
    with pytest.raises(vmodl.query.InvalidCollectorVersion):
        wait(collector, version)
    full = wait(collector, "")  # from the beginning
    assert full.filterSet[0].objectSet[0].kind == "enter"


def test_objects_that_leave_and_values_that_become_unset(vcenter: Simulator, client: Client) -> None:
    collector = client.content.propertyCollector.CreatePropertyCollector()
    vcenter.register("nested", name="leaving")
    leaving, linux = client.vm("leaving"), client.vm("linux")
    snapshot = create(client, linux).result
    filter_on(collector, [leaving, linux], by_type(vim.VirtualMachine, "snapshot"), lenient=True)
    version = wait(collector, "").version
    remove(client, snapshot)
    update = wait(collector, version)
    change = update.filterSet[0].objectSet[0].changeSet[0]
    assert (change.name, change.op, change.val) == ("snapshot", "assign", None)
    vcenter.unregister("leaving")
    update = wait(collector, update.version).filterSet[0]
    assert [(o.kind, o.obj) for o in update.objectSet] == [("leave", leaving)]
    assert [m.obj for m in update.missingSet] == [leaving]
    assert isinstance(update.missingSet[0].fault, vmodl.fault.ManagedObjectNotFound)
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        filter_on(collector, [leaving], by_type(vim.VirtualMachine, "name"))
    filter_on(collector, [leaving], by_type(vim.VirtualMachine, "name"), lenient=True)
    assert wait(collector, "").filterSet[-1].missingSet[0].obj == leaving


def test_a_filter_follows_its_traversal(vcenter: Simulator, client: Client) -> None:
    collector = client.content.propertyCollector.CreatePropertyCollector()
    step = PC.TraversalSpec(type=vim.Datastore, path="vm", skip=False)
    spec = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=client.all(vim.Datastore)["nested"], skip=True, selectSet=[step])],
        propSet=[by_type(vim.VirtualMachine, "name")],
    )
    collector.CreateFilter(spec, True)
    first = wait(collector, "")
    assert [o.changeSet[0].val for o in first.filterSet[0].objectSet] == ["spanning"]
    vcenter.register("nested", name="newcomer")
    second = wait(collector, first.version)
    assert [(o.kind, o.changeSet[0].val) for o in second.filterSet[0].objectSet] == [("enter", "newcomer")]
    vcenter.unregister("newcomer")
    assert [o.kind for o in wait(collector, second.version).filterSet[0].objectSet] == ["leave"]


def test_waiting_ends_in_time_or_when_it_is_cancelled(vcenter: Simulator, client: Client) -> None:
    collector = client.content.propertyCollector.CreatePropertyCollector()
    filter_on(collector, [client.vm("linux")], by_type(vim.VirtualMachine, "name"))
    version = wait(collector, "").version
    begin = time.monotonic()
    assert wait(collector, version, 1) is None
    assert 1 <= time.monotonic() - begin < 5
    caught: list[Exception] = []

    def waiter() -> None:
        try:
            wait(collector, version, 60)
        except vmodl.MethodFault as fault:
            caught.append(fault)

    thread = threading.Thread(target=waiter)
    seq = vcenter.trace()[-1]["seq"]
    thread.start()
    vcenter.wait_for(lambda e: e["method"] == "WaitForUpdatesEx", since=seq)
    with session(vcenter) as unrelated:  # another session's calls go on meanwhile
        assert unrelated.vm("linux")
    collector.CancelWaitForUpdates()
    thread.join(10)
    assert [type(f) for f in caught] == [vmodl.fault.RequestCanceled]


# ---- NFS datastores


def mount(host: Any, name: str, **spec: Any) -> Any:
    what = {"remoteHost": "10.0.2.15", "remotePath": "/tank/new", "accessMode": "readWrite", **spec}
    return host.configManager.datastoreSystem.CreateNasDatastore(
        vim.host.NasVolume.Specification(localPath=name, **what)
    )


def unmount(host: Any, datastore: Any) -> None:
    host.configManager.datastoreSystem.RemoveDatastore(datastore)


def test_mounting_and_unmounting_host_by_host(vcenter: Simulator, client: Client) -> None:
    hosts = list(client.all(vim.HostSystem).values())
    datastore = mount(hosts[0], "fresh")
    assert mount(hosts[1], "fresh", accessMode="readOnly") == datastore
    assert {m.key: m.mountInfo.accessMode for m in datastore.host} == {hosts[0]: "readWrite", hosts[1]: "readOnly"}
    assert datastore in hosts[0].datastore and datastore not in hosts[2].datastore
    with pytest.raises(vim.fault.AlreadyExists):
        mount(hosts[0], "fresh")
    with pytest.raises(vim.fault.DuplicateName):
        mount(hosts[2], "fresh", remoteHost="nas.example")
    with pytest.raises(vim.fault.DuplicateName):
        mount(hosts[2], "another name")
    vcenter.register("fresh", name="tenant", host=hosts[0].name)
    with pytest.raises(vim.fault.ResourceInUse):
        hosts[0].configManager.datastoreSystem.RemoveDatastore(datastore)
    hosts[1].configManager.datastoreSystem.RemoveDatastore(datastore)
    assert [m.key for m in datastore.host] == [hosts[0]]
    vcenter.unregister("tenant")
    hosts[0].configManager.datastoreSystem.RemoveDatastore(datastore)
    assert "fresh" not in client.all(vim.Datastore)
    with pytest.raises(vim.fault.NotFound):
        hosts[0].configManager.datastoreSystem.RemoveDatastore(datastore)


def test_nfs_4_1_with_several_servers(client: Client) -> None:
    host = next(iter(client.all(vim.HostSystem).values()))
    datastore = mount(host, "multi", type="NFS41", remoteHostNames=["10.0.2.15", "10.0.3.15"], securityType="AUTH_SYS")
    nas = datastore.info.nas
    assert (nas.type, list(nas.remoteHostNames), nas.securityType) == ("NFS41", ["10.0.2.15", "10.0.3.15"], "AUTH_SYS")
    host.configManager.datastoreSystem.RemoveDatastore(datastore)


def volumes(host: Any) -> dict[str, tuple[str, list[str], str]]:
    """What a host itself says of its NFS volumes: type, servers, access mode."""
    return {
        info.volume.name: (info.volume.type, list(info.volume.remoteHostNames), info.mountInfo.accessMode)
        for info in host.config.fileSystemVolume.mountInfo
        if isinstance(info.volume, vim.host.NasVolume)
    }


def test_a_host_says_how_it_mounts_itself(vcenter: Simulator, client: Client) -> None:
    first, second = list(client.all(vim.HostSystem).values())[:2]
    wide = ["10.0.2.15", "10.0.3.15"]
    datastore = mount(first, "multi", type="NFS41", remoteHostNames=wide)
    assert mount(second, "multi", type="NFS41", remoteHostNames=wide[1:], accessMode="readOnly") == datastore
    assert volumes(first)["multi"] == ("NFS41", wide, "readWrite")
    assert volumes(second)["multi"] == ("NFS41", wide[1:], "readOnly")
    told = {host["name"]: {one["datastore"]: one for one in host["mounts"]} for host in vcenter.hosts()}
    assert (told[second.name]["multi"]["servers"], told[second.name]["multi"]["access"]) == (wide[1:], "readOnly")
    datastore.RenameDatastore("multiple")
    assert "multi" not in volumes(first) and "multiple" in volumes(second)
    for host in (first, second):
        unmount(host, datastore)
    assert "multiple" not in volumes(first)


def test_a_host_that_is_not_connected_mounts_nothing(vcenter: Simulator, client: Client) -> None:
    host = client.all(vim.HostSystem)["DC0_H0"]
    assert vcenter.change_host("DC0_H0", connection="disconnected", maintenance=True) == 1
    datastores = client.all(vim.Datastore)
    assert (host.runtime.connectionState, host.runtime.inMaintenanceMode) == ("disconnected", True)
    for call in (lambda: mount(host, "fresh"), lambda: unmount(host, datastores["vmware"])):
        with pytest.raises(vmodl.fault.HostNotConnected):
            call()
    vcenter.change_host("DC0_H0", connection="connected", maintenance=False)
    datastore = mount(host, "fresh")
    unmount(host, datastore)
    for wrong in ({"pattern": "none"}, {"pattern": "DC0_H0", "connection": "lost"}):
        with pytest.raises(SimulatorError):
            vcenter.change_host(wrong.pop("pattern"), **wrong)


def test_rules_reach_the_mounting_by_the_name_of_the_host(vcenter: Simulator, client: Client) -> None:
    host, other = client.all(vim.HostSystem)["DC0_H0"], client.all(vim.HostSystem)["DC0_C0_H0"]
    vcenter.rule(method="CreateNasDatastore", vm="DC0_H0", effect="call_fault", fault="PlatformConfigFault")
    with pytest.raises(vim.fault.PlatformConfigFault):
        mount(host, "fresh")
    datastore = mount(other, "fresh", accessMode="readOnly")
    unmount(other, datastore)
    seen = [entry for entry in vcenter.trace() if entry.get("method") in ("CreateNasDatastore", "RemoveDatastore")]
    assert [(entry["object_name"], entry.get("fault", "")) for entry in seen] == [
        ("DC0_H0", "PlatformConfigFault"), ("DC0_C0_H0", ""), ("DC0_C0_H0", ""),
    ]  # fmt: skip
    assert seen[1]["args"]["accessMode"] == "readOnly" and seen[2]["args"]["datastore"] == "fresh"


def test_vms_deployed_on_a_fresh_datastore_survive_a_restart(tmp_path: Path) -> None:
    with Simulator.start({"datastores": []}, directory=tmp_path, state=True) as server:
        with session(server) as client:
            mount(client.all(vim.HostSystem)["DC0_H0"], "fresh", accessMode="readOnly")
        with pytest.raises(SimulatorError, match='no datastore "none"'):
            server.deploy("none", {"name": "web"})
        moids = server.deploy("fresh", {"name": "web", "count": 2}, {"name": "db", "guest": "windows", "snapshots": 1})
        before, hosts = server.machines(), server.hosts()
        assert [machine["name"] for machine in before] == ["web-0001", "web-0002", "db"]
        assert [machine["moid"] for machine in before] == moids
        assert {machine["host"] for machine in before} == {"DC0_H0"}
        server.kill()
        server.restart()
        assert server.machines() == before and server.hosts() == hosts
        server.deploy("fresh", {"name": "app"})
        with pytest.raises(SimulatorError, match="name is taken"):
            server.deploy("fresh", {"name": "db"})
        assert len(server.machines()) == 4


def test_renaming_a_datastore(client: Client) -> None:
    datastore, vm = client.all(vim.Datastore)["nested"], client.vm("spanning")
    with pytest.raises(vim.fault.DuplicateName):
        datastore.RenameDatastore("vmware")
    datastore.RenameDatastore("100% new")
    assert datastore.name == datastore.summary.name == datastore.info.nas.name == "100%25 new"
    assert devices(vm, vim.vm.device.VirtualDisk)[1].backing.fileName.startswith("[100%25 new] ")
    datastore.RenameDatastore("nested")
    assert create(client, vm).state == "success"


# ---- Folders, resource pools, custom attributes; the REST API


def test_folders_pools_and_attributes_list_their_vms(tmp_path: Path) -> None:
    vms = [
        {"name": "web", "folder": "prod/a%2fb", "resource_pool": "gold", "host": "DC0_C0_H0", "attributes": {"a": "1"}},
        {"name": "erp", "folder": "prod", "vapp": "SAP", "host": "DC0_C0_H0"},
    ]
    config = {"datacenters": ["DC0"], "datastores": [{"name": "vmware", "server": "h", "path": "/p", "vms": vms}]}
    with Simulator.start(config, directory=tmp_path, state=True) as vcenter:
        for _restart in range(2):
            with session(vcenter) as client:
                web, erp = client.vm("web"), client.vm("erp")
                assert web.parent.name == "a%2fb" and web.parent.childEntity == [web]
                assert web.parent.parent.name == "prod" and web.parent.parent.parent.name == "vm"
                assert web.resourcePool.name == "gold" and web.resourcePool.vm == [web]
                assert web.resourcePool.parent.name == "Resources" and web.resourcePool.owner.name == "DC0_C0"
                assert erp.parent is None and erp.parentVApp == erp.resourcePool and erp.resourcePool.vm == [erp]
                assert erp.parentVApp.parentFolder == web.parent.parent
                (field,) = client.content.customFieldsManager.field
                assert [(one.key, one.value) for one in web.customValue] == [(field.key, "1")]
            vcenter.restart()
        with session(vcenter) as client:
            vcenter.vm("web", folder="", host="DC0_H0", resource_pool="", attributes={"b": "2"})
            web = client.vm("web")
            assert web.parent.name == "vm" and web.resourcePool.owner.name == "DC0_H0"
            assert [folder.childEntity for name, folder in client.all(vim.Folder).items() if name == "a%2fb"] == [[]]
            assert [field.name for field in client.content.customFieldsManager.field] == ["a", "b"]
            vcenter.unregister("web")
            assert "web" not in client.all(vim.VirtualMachine)


def rest(vcenter: Simulator, method: str, path: str, key: str = "", login: str = "") -> tuple[int, Any]:
    context = ssl.create_default_context(cafile=str(vcenter.ca_path))
    connection = http.client.HTTPSConnection(vcenter.host, vcenter.port, context=context, timeout=10)
    headers = {"vmware-api-session-id": key} if key else {}
    if login:
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, json.loads(body) if body.startswith((b"{", b"[", b'"')) else None


def test_sessions_of_the_rest_api(vcenter: Simulator) -> None:
    account = f"{vcenter.user}:{vcenter.password}"
    assert rest(vcenter, "POST", "/api/session", login=account + "x")[0] == 401
    assert rest(vcenter, "GET", "/api/cis/tagging/category", key="none")[0] == 401
    status, key = rest(vcenter, "POST", "/api/session", login=account)
    assert status == 201 and rest(vcenter, "GET", "/api/cis/tagging/category", key)[0] == 200
    status, answer = rest(vcenter, "POST", "/rest/com/vmware/cis/session", login=account)
    assert status == 200 and vcenter.rest_sessions() == 2
    assert rest(vcenter, "DELETE", "/rest/com/vmware/cis/session", answer["value"])[0] == 200
    assert rest(vcenter, "DELETE", "/api/session", key)[0] == 204 and vcenter.rest_sessions() == 0
    assert rest(vcenter, "GET", "/api/cis/tagging/category", key)[0] == 401
    assert rest(vcenter, "GET", "/api/cis/tagging/category/absent", key="")[0] == 401
    assert rest(vcenter, "GET", "/api/other")[0] == 404
    rest(vcenter, "POST", "/api/session", login=account)
    vcenter.expire_sessions()
    assert vcenter.rest_sessions() == 0


@pytest.mark.parametrize(
    ("oldest", "newest", "offered"),
    [("6.5", "6.5", ["6.5"]), ("9.0.0.0", "9.0.0.0", ["9.0.0.0"]), ("8.0.3.0", "9.0.0.0", ["9.0.0.0", "8.0.3.0"])],
)
def test_api_versions(tmp_path: Path, oldest: str, newest: str, offered: list[str]) -> None:
    with Simulator.start(directory=tmp_path, api_version=newest, oldest_api_version=oldest) as vcenter:
        context = ssl.create_default_context(cafile=str(vcenter.ca_path))
        connection = http.client.HTTPSConnection(vcenter.host, vcenter.port, context=context, timeout=10)
        connection.request("GET", "/sdk/vimServiceVersions.xml")
        assert re.findall("<version>(.*?)</version>", connection.getresponse().read().decode()) == offered
        stub = SoapStubAdapter(
            host=vcenter.host, port=vcenter.port, sslContext=context, version="vim.version.version12"
        )
        with pytest.raises(vmodl.fault.InvalidRequest, match="Unsupported version URI"):
            vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()


def test_vms_deployed_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in docs/start/lab.md."""
    monkeypatch.setattr(by_hand, "vcenter_folder", lambda lab: tmp_path)
    datastores = [{"name": "vmware", "server": "10.0.2.15", "path": "/tank/vmware"}]
    server = Simulator.start({"datastores": datastores}, directory=tmp_path, detached=True)
    try:
        assert command_line.main(["deploy", "web"]) == 0
        assert command_line.main(["deploy", "--no-tools", "fw01"]) == 0
        with session(server) as client:
            tools = {name: vm.guest.toolsStatus for name, vm in client.all(vim.VirtualMachine).items()}
        assert tools == {"web": "toolsOk", "fw01": "toolsNotInstalled"}
    finally:
        module.end_stray(tmp_path)
