# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The properties of VMs, from the results of a property collector."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    LoginRefused,
    PermissionDenied,
    SessionLost,
    VSphereFault,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import faults, vm_snapshots, vms
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.inventory import UNREAD, unescape
from pyVmomi import vim, vmodl


def disk(mode: str = "persistent", *files: str, **more: Any) -> Any:
    """Return a disk with these files, the file in use first."""
    backing = None
    for name in reversed(files or ("[ds] web/web.vmdk",)):
        backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
            fileName=name, diskMode=mode, datastore=vim.Datastore("datastore-1", None), parent=backing, **more
        )
    return vim.vm.device.VirtualDisk(key=2000, backing=backing, deviceInfo=vim.Description(label="Hard disk 1"))


def vm(*devices: Any, **properties: Any) -> vms.Vm:
    given = {"name": "web", "runtime.powerState": "poweredOn", "config.hardware.device": list(devices)}
    return vms.vm_of("vm-1", {**given, **{key.replace("__", "."): value for key, value in properties.items()}})


def test_disks_with_their_chains() -> None:
    found = vm(disk("persistent", "[ds] web/web-000001.vmdk", "[ds] web/web.vmdk")).disks
    files = (("datastore-1", "web/web-000001.vmdk"), ("datastore-1", "web/web.vmdk"))
    assert found == (vms.Disk("Hard disk 1", files, False, 2000),)
    assert vm(disk("independent_persistent")).disks[0].independent
    assert vm(disk("independent_nonpersistent")).disks[0].independent


def test_the_datastores_on_which_it_has_anything() -> None:
    refs = [vim.Datastore(f"datastore-{number}", None) for number in (2, 3)]
    assert vm(disk(), datastore=refs).datastores == {"datastore-2", "datastore-3"}
    assert vm(disk()).datastores == frozenset()


def test_images_in_its_drives_are_no_files_of_it() -> None:
    device = vim.vm.device
    refs = [vim.Datastore(f"datastore-{number}", None) for number in range(5)]
    drives = [
        device.VirtualCdrom(key=1, backing=device.VirtualCdrom.IsoBackingInfo(fileName="[x] a.iso", datastore=refs[2])),
        device.VirtualFloppy(key=2, backing=device.VirtualFloppy.ImageBackingInfo(fileName="a", datastore=refs[3])),
        device.VirtualCdrom(key=3, backing=device.VirtualCdrom.RemotePassthroughBackingInfo(deviceName="")),
        device.VirtualCdrom(key=4),
    ]
    found = vm(disk(), *drives, datastore=refs)
    assert found.images == {"datastore-2", "datastore-3"} and len(found.datastores) == 5
    assert vm(disk()).images == frozenset()


def test_a_label_that_cannot_be_read_does_not_make_the_vm_unreadable() -> None:
    assert vm(**{UNREAD: {"parent": "System.View"}}).readable
    assert not vm(**{UNREAD: {"guest.guestFamily": "System.Read"}}).readable


def test_where_its_snapshot_files_go() -> None:
    assert vm(config__files__snapshotDirectory="[ds] web/").snapshot_directory == "[ds] web/"
    assert vm().snapshot_directory == ""


def test_the_state_of_a_vm_has_its_disks_where_they_were_asked_for() -> None:
    """None is not the same as no disks: the disks could not be read."""
    shown = {"config.hardware.device": [disk()], "config.files.vmPathName": "[ds] web/web.vmx"}
    state = vm_snapshots.state_of(shown)
    assert state.disks == vm(disk()).disks and state.vmx_path == "[ds] web/web.vmx"
    assert vm_snapshots.state_of({"config.hardware.device": []}).disks == ()
    unread = vm_snapshots.state_of({})
    assert unread.disks is None and unread.vmx_path == ""


@pytest.mark.parametrize(
    ("name", "datastore"),
    [
        ("[ds] web/web.vmdk", "ds"),
        ("[ds [old]] web/web.vmdk", "ds [old]"),
        ("[ds%2f1] web/web.vmdk", "ds/1"),
        ("[] /vmfs/devices/x", ""),
        ("[ds]", "ds"),
        ("web.vmdk", ""),
        ("", ""),
    ],
)
def test_the_name_of_a_datastore(name: str, datastore: str) -> None:
    assert vms.datastore_of(name) == datastore


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("[ds] web/web.vmdk", "web/web.vmdk"),
        ("[ds [old]] web/web.vmdk", "web/web.vmdk"),
        ("[] /vmfs/devices/x", "/vmfs/devices/x"),
        ("web.vmdk", "web.vmdk"),
    ],
)
def test_paths_within_a_datastore(name: str, path: str) -> None:
    assert vms.path_of(name) == path


@pytest.mark.parametrize(
    ("device", "said"),
    [
        (vim.vm.device.VirtualPCIPassthrough(key=1), "PCI passthrough device (device 1)"),
        (
            vim.vm.device.ParaVirtualSCSIController(key=2, sharedBus="physicalSharing"),
            "its controller device 2 shares its SCSI bus",
        ),
        (disk(sharing="sharingMultiWriter"), "shared by several writers"),
        (
            vim.vm.device.VirtualDisk(
                key=3, backing=vim.vm.device.VirtualDisk.RawDiskMappingVer1BackingInfo(compatibilityMode="physicalMode")
            ),
            "raw device mapping in physical mode",
        ),
    ],
)
def test_devices_that_forbid_snapshots(device: Any, said: str) -> None:
    (obstacle,) = vm(disk(), device).obstacles
    assert said in obstacle


def test_devices_that_do_not() -> None:
    virtual = vim.vm.device.VirtualDisk.RawDiskMappingVer1BackingInfo(compatibilityMode="virtualMode")
    quiet = vim.vm.device.ParaVirtualSCSIController(key=2, sharedBus="noSharing")
    assert vm(disk(), quiet, vim.vm.device.VirtualDisk(key=3, backing=virtual)).obstacles == ()


@pytest.mark.parametrize("mode", ["independent_persistent", "independent_nonpersistent"])
def test_vsphere_decides_where_its_hosts_differ(mode: str) -> None:
    passthrough: Any = vim.vm.device.VirtualPCIPassthrough
    vgpu = passthrough(key=1, backing=passthrough.VmiopBackingInfo(vgpu="grid_p40-2q"))
    assert vm(disk(), vgpu, disk(mode, sharing="sharingMultiWriter")).obstacles == ()
    dynamic = passthrough(key=1, backing=passthrough.DynamicBackingInfo(assignedId="1"))
    assert len(vm(disk(), dynamic).obstacles) == 1


def chain(length: int) -> list[Any]:
    trees: list[Any] = []
    for _unused in range(length):
        trees = [vim.vm.SnapshotTree(childSnapshotList=trees)]
    return trees


def test_states_that_forbid_snapshots() -> None:
    assert vm(capability__snapshotOperationsSupported=False).obstacles != ()
    assert "its snapshot chain is 32 long; the maximum is 32" in vm(snapshot__rootSnapshotList=chain(32)).obstacles[0]
    assert vm(snapshot__rootSnapshotList=[*chain(31), *chain(31)]).obstacles == ()


def test_what_cannot_be_read_is_taken_for_the_worse_case() -> None:
    unknown = vms.vm_of("vm-1", {})
    assert unknown.power == "poweredOn" and unknown.tools == "not running" and unknown.guest == "other"
    assert not unknown.readable and not unknown.known and unknown.why_unknown.startswith("its configuration cannot be")
    away = vm(disk(), runtime__connectionState="notResponding")
    assert away.readable and not away.known and away.why_unknown.startswith("its host is not connected")
    assert vm(disk()).known


@pytest.mark.parametrize(
    ("family", "guest_id", "guest"),
    [
        ("windowsGuest", "windows2019srv_64Guest", "windows server"),
        ("windowsGuest", "windows9Server64Guest", "windows server"),
        ("windowsGuest", "winLonghorn64Guest", "windows server"),
        ("windowsGuest", "windows9_64Guest", "windows"),
        ("", "windows2019srv_64Guest", "windows server"),
        ("linuxGuest", "otherLinux64Guest", "linux"),
        ("", "otherLinux64Guest", "other"),
        ("otherGuestFamily", "freebsd13_64Guest", "other"),
        ("linuxGuest", "windows2019srv_64Guest", "linux"),
    ],
)
def test_the_kind_of_guest(family: str, guest_id: str, guest: str) -> None:
    assert vm(guest__guestFamily=family, config__guestId=guest_id).guest == guest


@pytest.mark.parametrize(
    ("running", "version", "tools"),
    [
        ("guestToolsRunning", "guestToolsCurrent", "running"),
        ("guestToolsRunning", "guestToolsUnmanaged", "running"),
        ("guestToolsNotRunning", "guestToolsCurrent", "not running"),
        ("guestToolsExecutingScripts", "guestToolsCurrent", "not running"),
        ("guestToolsNotRunning", "guestToolsNotInstalled", "not installed"),
    ],
)
def test_the_state_of_tools(running: str, version: str, tools: str) -> None:
    assert vm(guest__toolsRunningStatus=running, guest__toolsVersionStatus2=version).tools == tools


def test_names_are_unescaped_once() -> None:
    assert unescape("a%2fb%5cc%2525") == "a/b\\c%25" and unescape("plain") == "plain"


def test_faults_become_typed_sentences() -> None:
    target = vim.VirtualMachine("vm-1", None)
    denied = vim.fault.NoPermission(privilegeId="VirtualMachine.State.CreateSnapshot", object=target)
    locked = vim.fault.FileLocked(msg="line one\nline two \x1b[31m")
    cases = [
        (vim.fault.NotAuthenticated(), SessionLost, "ended the session"),
        (vim.fault.InvalidLogin(), LoginRefused, "refused the login of 'root'"),
        (denied, PermissionDenied, "lacks the privilege VirtualMachine.State.CreateSnapshot on vm-1 to test"),
        (locked, VSphereFault, "could not test: line one\\nline two \\x1b[31m (FileLocked)"),
        (vmodl.fault.ManagedObjectNotFound(), VSphereFault, "(ManagedObjectNotFound)"),
    ]
    for fault, kind, said in cases:
        error = faults.translate(fault, "vcenter.lab", "test", "root")
        assert error.__class__ is kind and said in str(error) and str(error).isprintable()
