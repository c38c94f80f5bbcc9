# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of VMs with real files: their name, network cards, disks, settings, and moves to another datastore."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim

from ..simulator import Simulator
from ..vsphere import (
    Client,
    add_disk,
    cards,
    connection,
    disks,
    done,
    edit,
    eventually,
    files,
    remove_disk,
    search,
    snapshot_tree,
)
from .conftest import CLONE, DATASET, UUID, VOLUMES, Store, answer, moment, wait_for_writes
from .host import Hypervisor
from .inside import settings
from .judge import disagreements, examine, lost
from .share import share

pytestmark = pytest.mark.check  # a minute; test_register.py and test_hardware.py run always


def vmx(store: Store, folder: str, dataset: str = DATASET) -> dict[str, str]:
    """Return the settings in the .vmx file of a folder."""
    return settings.parse(store.run(f"cat /{dataset}/{folder}/*.vmx"))


def reconfigure(vm: Any, *devices: Any, **values: Any) -> None:
    done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=list(devices), **values)))


def test_rename_changes_the_name_in_the_file(client: Client, store: Store, vm: Any) -> None:
    folder, path = vm.name, vm.config.files.vmPathName
    done(vm.Rename_Task("another name"))
    assert vmx(store, folder)["displayName"] == "another name" == vm.name
    assert vm.config.files.vmPathName == path
    done(vm.PowerOffVM_Task())
    vm.UnregisterVM()
    assert client.register(path).name == "another name"


def test_revert_brings_cards_and_settings_back(store: Store, vm: Any) -> None:
    name = vm.name
    taken = done(vm.CreateSnapshot_Task("ours", "", False, True))
    done(vm.PowerOffVM_Task())
    option = vim.option.OptionValue(key="uuid.action", value="keep")
    isolated = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="isolated")
    change = edit(cards(vm)[0], connectable=connection(start=False), backing=isolated)
    reconfigure(vm, change, extraConfig=[option], changeTrackingEnabled=True)
    written = vmx(store, name)
    assert (written["ethernet0.startConnected"], written["ethernet0.networkName"]) == ("FALSE", "isolated")
    assert (written["uuid.action"], written["ctkEnabled"]) == ("keep", "TRUE")
    done(vm.Rename_Task("renamed"))
    before = cards(taken)[0]
    assert before.connectable.startConnected and before.backing.deviceName == "VM Network"

    done(taken.RevertToSnapshot_Task(None, True))

    card = cards(vm)[0]
    assert card.connectable.startConnected and card.backing.deviceName == "VM Network"
    assert not vm.config.changeTrackingEnabled and "uuid.action" not in [one.key for one in vm.config.extraConfig]
    assert vm.name == "renamed" == vmx(store, name)["displayName"] and "uuid.action" not in vmx(store, name)
    done(vm.PowerOnVM_Task())


def test_base_disk_is_attached_to_another_vm(
    hypervisor: Hypervisor, vcenter: Simulator, client: Client, store: Store, vm: Any
) -> None:
    """The helper runs while the disk of a clone is added and removed. The disk of the living VM is refused."""
    name, helper_name = vm.name, f"helper-{vm.name}"
    done(vm.CreateSnapshot_Task("ours", "", False, True))
    store.copy(name, "copy")
    vcenter.deploy("vmware", {"name": helper_name, "real": True, "host": "DC0_H0"})
    helper = client.vm(helper_name)
    with pytest.raises(vim.fault.FileLocked):
        reconfigure(helper, add_disk(f"[vmware] {name}/{name}.vmdk"))
    with pytest.raises(vim.fault.FileNotFound):
        reconfigure(helper, add_disk("[vmware] copy/nothing.vmdk"))
    assert len(disks(helper)) == 1
    reconfigure(helper, add_disk(f"[vmware] copy/{name}.vmdk", unit=3))
    assert files(disks(helper)[1]) == [f"[vmware] copy/{name}.vmdk"]
    assert ".lck-" in store.run(f"ls -A /{DATASET}/copy")
    assert vmx(store, helper_name)["scsi0:3.fileName"] == f"{VOLUMES[f'/{DATASET}']}/copy/{name}.vmdk"
    wait_for_writes(hypervisor, helper)
    done(helper.PowerOffVM_Task())
    done(helper.PowerOnVM_Task())
    reconfigure(helper, remove_disk(disks(helper)[1]))
    assert ".lck-" not in store.run(f"ls -A /{DATASET}/copy") and "scsi0:3.fileName" not in vmx(store, helper_name)
    assert f"{name}-flat.vmdk" in store.run(f"ls /{DATASET}/copy"), "the file stays"
    done(helper.PowerOffVM_Task())
    reconfigure(helper, add_disk(f"[vmware] copy/{name}.vmdk"))
    reconfigure(helper, remove_disk(disks(helper)[1], destroy=True))
    assert f"{name}-flat.vmdk" not in store.run(f"ls /{DATASET}/copy")
    store.run(f"rm -r /{DATASET}/copy")


def test_all_disks_are_in_a_snapshot(hypervisor: Hypervisor, client: Client, store: Store, vm: Any) -> None:
    """Two disks, one of them independent, and a working directory for the files of snapshots."""
    name, work = vm.name, f"work-{vm.name}"
    done(vm.PowerOffVM_Task())
    store.run(f"mkdir /{DATASET}/{work}")
    for disk in ("second", "third"):
        descriptor = f"sed s/{name}-flat/{disk}-flat/ {name}.vmdk >{disk}.vmdk"
        store.run(f"cd /{DATASET}/{name}; cp {name}-flat.vmdk {disk}-flat.vmdk; {descriptor}")
    working = vim.option.OptionValue(key="workingDir", value=f"{VOLUMES[f'/{DATASET}']}/{work}")
    independent = add_disk(f"[vmware] {name}/third.vmdk", "independent_persistent")
    reconfigure(vm, add_disk(f"[vmware] {name}/second.vmdk"), independent, extraConfig=[working])
    done(vm.PowerOnVM_Task())
    taken = done(vm.CreateSnapshot_Task("ours", "", False, True))
    frozen = moment(hypervisor, vm)
    wait_for_writes(hypervisor, vm)
    here, there = f"[vmware] {name}", f"[vmware] {work}"
    assert [files(one) for one in disks(vm)] == [
        [f"{there}/{name}-000001.vmdk", f"{here}/{name}.vmdk"],
        [f"{there}/second-000002.vmdk", f"{here}/second.vmdk"],
        [f"{here}/third.vmdk"],
    ]
    assert f"{name}-Snapshot1.vmsn" in store.run(f"ls /{DATASET}/{work}")
    assert taken.config.files.snapshotDirectory == vm.config.files.snapshotDirectory == f"{there}/"
    assert [files(one)[0] for one in disks(taken)] == [f"{here}/{one}.vmdk" for one in (name, "second", "third")]
    done(taken.RevertToSnapshot_Task(None, True))
    assert len([one for one in store.run(f"ls /{DATASET}/{work}").split() if one.endswith("-delta.vmdk")]) == 2
    done(taken.RemoveSnapshot_Task(False))
    assert [files(one) for one in disks(vm)] == [[f"{here}/{one}.vmdk"] for one in (name, "second", "third")]
    assert store.run(f"ls /{DATASET}/{work}") == ""
    store.run(f"zfs snapshot {DATASET}@{name}")
    assert disagreements("filesystem", examine(hypervisor.storage, f"{DATASET}@{name}", name), frozen) == []
    store.run(f"zfs destroy {DATASET}@{name}")


def test_running_vm_moves_to_another_datastore(hypervisor: Hypervisor, client: Client, store: Store, vm: Any) -> None:
    """A person moves an instant restore away from its clone, while the VM runs, with a snapshot."""
    name = vm.name
    store.run(f"zfs create -o mountpoint=/{CLONE} {CLONE}")
    share(hypervisor.storage, f"/{CLONE}")
    clone = client.mount("clone", f"/{CLONE}")
    done(vm.CreateSnapshot_Task("kept", "", False, True))
    wait_for_writes(hypervisor, vm)
    done(vm.RelocateVM_Task(vim.vm.RelocateSpec(datastore=clone)))
    assert list(vm.datastore) == [clone] and vm.config.files.vmPathName == f"[clone] {name}/{name}.vmx"
    assert files(disks(vm)[0]) == [f"[clone] {name}/{name}-000001.vmdk", f"[clone] {name}/{name}.vmdk"]
    assert files(disks(snapshot_tree(vm)["kept"].snapshot)[0]) == [f"[clone] {name}/{name}.vmdk"]
    assert name not in store.run(f"ls /{DATASET}").split()
    (listed,) = search(clone, name, subfolders=False, pattern="*.vmx")
    assert [one.path for one in listed.file] == [f"{name}.vmx"]
    wait_for_writes(hypervisor, vm)
    done(snapshot_tree(vm)["kept"].snapshot.RemoveSnapshot_Task(False))
    written = hypervisor.call("show", vmx=vm.config.files.vmPathName)
    vm.ShutdownGuest()
    eventually(lambda: vm.runtime.powerState == "poweredOff")
    store.run(f"zfs snapshot {CLONE}@moved")
    findings = examine(hypervisor.storage, f"{CLONE}@moved", name)
    assert findings.clean and not findings.needs_recovery and not lost(findings, written)
    done(vm.PowerOnVM_Task())  # no question
    assert vm.config.uuid == UUID
    done(vm.PowerOffVM_Task())
    vm.UnregisterVM()
    client.unmount(clone)


def test_files_of_a_datastore_are_listed_and_deleted(client: Client, store: Store, vm: Any) -> None:
    datastore = client.all(vim.Datastore)["vmware"]
    store.run(f"mkdir -p '/{DATASET}/some folder/deep'; echo 12345 >'/{DATASET}/some folder/deep/notes.txt'")
    found = {one.folderPath: one for one in search(datastore, "some folder", subfolders=True)}
    assert sorted(found) == ["[vmware] some folder", "[vmware] some folder/deep"]
    (notes,) = found["[vmware] some folder/deep"].file
    assert (notes.path, notes.fileSize) == ("notes.txt", 6) and notes.modification
    manager = client.content.fileManager
    done(manager.DeleteDatastoreFile_Task("[vmware] some folder", client.datacenter))
    with pytest.raises(vim.fault.FileNotFound):
        search(datastore, "some folder", subfolders=False)
    with pytest.raises(vim.fault.FileNotFound):
        done(manager.DeleteDatastoreFile_Task("[vmware] some folder", client.datacenter))


def test_removal_in_a_copy_with_a_path_to_the_living_disk_is_refused(client: Client, store: Store, vm: Any) -> None:
    """The lock of the running VM protects its disk from a copy that names it. The engine must refuse earlier."""
    name, living = vm.name, VOLUMES[f"/{DATASET}"]
    done(vm.CreateSnapshot_Task("ours", "", False, True))
    copied = store.copy(name, "wrong")
    store.run(
        f"cd /{DATASET}/wrong; sed -i 's|parentFileNameHint=\"|&{living}/{name}/|' {name}-000001.vmdk; "
        f"sed -i 's|disk0.fileName = \"|&{living}/{name}/|' {name}.vmsd"
    )
    copy = client.register(copied, "wrong")
    assert files(disks(copy)[0]) == [f"[vmware] wrong/{name}-000001.vmdk", f"[vmware] {name}/{name}.vmdk"]
    ours = snapshot_tree(copy)["ours"].snapshot
    assert files(disks(ours)[0]) == [f"[vmware] {name}/{name}.vmdk"]
    task = copy.PowerOnVM_Task()
    answer(copy, "button.uuid.copiedTheVM")
    with pytest.raises(vim.fault.FileLocked):
        done(task)
    copy.UnregisterVM()
    store.run(f"rm -r /{DATASET}/wrong")
