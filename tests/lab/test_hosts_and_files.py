# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts, the files in datastores, and moves between datastores in the lab's vCenter, for VMs without files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from .simulator import Simulator
from .vsphere import Client, disks, done, files, search, session

VMS: list[dict[str, Any]] = [
    {"name": "mail", "disks": [{}, {"datastore": "other"}], "host": "DC0_H0"},
    {"name": "off", "power": "off", "host": "DC0_H0"},
]
DATASTORES: list[dict[str, Any]] = [
    {"name": "vmware", "server": "10.0.2.15", "path": "/tank/vmware", "vms": VMS},
    {"name": "other", "server": "10.0.2.15", "path": "/tank/other"},
    {"name": "one-host", "server": "10.0.2.15", "path": "/tank/one", "hosts": ["DC0_C0_H0"]},
]


@pytest.fixture
def vcenter(tmp_path: Path) -> Iterator[Simulator]:
    config = {"datacenters": ["DC0"], "datastores": DATASTORES}
    with Simulator.start(config, directory=tmp_path, create_seconds=0.01) as started:
        yield started


@pytest.fixture
def client(vcenter: Simulator) -> Iterator[Client]:
    with session(vcenter) as one:
        yield one


def limit(host: Any) -> int:
    (option,) = host.configManager.advancedOption.QueryOptions("NFS.MaxVolumes")
    return int(option.value)


def test_host_without_a_free_nfs_volume_refuses_to_mount(vcenter: Simulator, client: Client) -> None:
    host = client.host()
    assert limit(host) == 256
    vcenter.change_host("DC0_H0", nfs_max_volumes=3)
    assert limit(host) == 3 and limit(client.host("DC0_C0_H0")) == 256
    clone = client.mount("clone", "/tank/clone")
    with pytest.raises(vim.fault.PlatformConfigFault, match="maximum number"):
        client.mount("second", "/tank/second")
    client.unmount(clone)
    client.mount("second", "/tank/second")
    vcenter.behave(nfs_max_volumes=8)
    assert limit(client.host("DC0_C0_H0")) == 8
    with pytest.raises(vim.fault.InvalidName):
        host.configManager.advancedOption.QueryOptions("NFS.Nothing")


def test_memory_of_a_host_is_readable(vcenter: Simulator, client: Client) -> None:
    host = client.host()
    assert host.hardware.memorySize > 0 and host.summary.quickStats.overallMemoryUsage > 0
    vcenter.change_host("DC0_H0", memory_mb=2048, used_mb=2000)
    assert host.hardware.memorySize == host.summary.hardware.memorySize == 2048 << 20
    assert host.summary.quickStats.overallMemoryUsage == 2000
    assert client.host("DC0_C0_H0").hardware.memorySize != 2048 << 20


def addresses(host: Any) -> list[str]:
    return [one.spec.ip.ipAddress for one in host.config.network.vnic]


def test_hosts_have_addresses(vcenter: Simulator, client: Client) -> None:
    hosts = client.all(vim.HostSystem).values()
    assert len({address for host in hosts for address in addresses(host)}) == len(hosts)
    vcenter.change_host("DC0_H0", addresses=["198.18.0.9", "198.18.1.9"])
    assert addresses(client.host()) == ["198.18.0.9", "198.18.1.9"]
    client.mount("clone", "/tank/clone")
    assert addresses(client.host()) == ["198.18.0.9", "198.18.1.9"]


def test_disconnected_host_refuses_everything(vcenter: Simulator, client: Client) -> None:
    host, vm = client.host(), client.vm("off")
    vcenter.change_host("DC0_H0", connection="disconnected")
    assert host.runtime.connectionState == "disconnected"
    for call in (
        lambda: client.mount("clone", "/tank/clone"),
        lambda: limit(host),
        lambda: done(vm.PowerOnVM_Task()),
        lambda: done(vm.RelocateVM_Task(vim.vm.RelocateSpec(datastore=client.all(vim.Datastore)["other"]))),
    ):
        with pytest.raises(vmodl.fault.HostNotConnected):
            call()


def test_files_of_a_datastore_are_listed(client: Client) -> None:
    vmware, other = client.all(vim.Datastore)["vmware"], client.all(vim.Datastore)["other"]
    (top,) = search(vmware, "", subfolders=False)
    assert top.folderPath == "[vmware] " and [one.path for one in top.file] == ["mail", "off"]
    assert isinstance(top.file[0], vim.host.DatastoreBrowser.FolderInfo)
    (mail,) = search(vmware, "mail", subfolders=False, pattern="*.VMX")
    assert [one.path for one in mail.file] == ["mail.vmx"] and mail.file[0].fileSize
    assert isinstance(mail.file[0], vim.host.DatastoreBrowser.VmConfigInfo)
    found = search(other, "", subfolders=True, queries=[vim.host.DatastoreBrowser.VmDiskQuery()])
    assert [(one.folderPath, [file.path for file in one.file]) for one in found] == [
        ("[other] ", []),
        ("[other] mail", ["mail_1.vmdk"]),
    ]
    with pytest.raises(vim.fault.FileNotFound):
        search(vmware, "nothing", subfolders=False)
    with pytest.raises(vim.fault.InvalidDatastorePath):
        done(vmware.browser.SearchDatastore_Task("[other] mail", None))


def test_listing_needs_a_privilege(vcenter: Simulator, client: Client) -> None:
    vcenter.deny("Datastore.Browse", "vmware")
    with pytest.raises(vim.fault.NoPermission):
        search(client.all(vim.Datastore)["vmware"], "", subfolders=False)


def test_vm_moves_to_another_datastore(client: Client) -> None:
    vm, other = client.vm("mail"), client.all(vim.Datastore)["other"]
    done(vm.RelocateVM_Task(vim.vm.RelocateSpec(datastore=other)))
    assert vm.config.files.vmPathName == "[other] mail/mail.vmx" and list(vm.datastore) == [other]
    assert [files(one)[0] for one in disks(vm)] == ["[other] mail/mail.vmdk", "[other] mail/mail_1.vmdk"]
    assert vm.runtime.question is None and vm.runtime.powerState == "poweredOn"


def test_disk_moves_alone(client: Client) -> None:
    vm, other = client.vm("mail"), client.all(vim.Datastore)["other"]
    locator = vim.vm.RelocateSpec.DiskLocator(diskId=2000, datastore=other)
    done(vm.RelocateVM_Task(vim.vm.RelocateSpec(disk=[locator])))
    assert files(disks(vm)[0])[0].startswith("[other]") and vm.config.files.vmPathName.startswith("[vmware]")


@pytest.mark.parametrize(
    ("vm", "privilege", "entity"),
    [
        ("mail", "Resource.HotMigrate", "mail"),
        ("off", "Resource.ColdMigrate", "off"),
        ("off", "Datastore.AllocateSpace", "other"),
    ],
)
def test_moving_needs_privileges(vcenter: Simulator, client: Client, vm: str, privilege: str, entity: str) -> None:
    vcenter.deny(privilege, entity)
    spec = vim.vm.RelocateSpec(datastore=client.all(vim.Datastore)["other"])
    with pytest.raises(vim.fault.NoPermission) as refused:
        client.vm(vm).RelocateVM_Task(spec)
    assert refused.value.privilegeId == privilege
    vcenter.grant_all()
    done(client.vm(vm).RelocateVM_Task(spec))


def test_datastore_must_be_mounted_on_the_host(client: Client) -> None:
    spec = vim.vm.RelocateSpec(datastore=client.all(vim.Datastore)["one-host"])
    with pytest.raises(vim.fault.InvalidDatastore):
        done(client.vm("off").RelocateVM_Task(spec))
    spec.host, spec.pool = client.host("DC0_C0_H0"), client.host("DC0_C0_H0").parent.resourcePool
    done(client.vm("off").RelocateVM_Task(spec))
    assert client.vm("off").runtime.host.name == "DC0_C0_H0"
