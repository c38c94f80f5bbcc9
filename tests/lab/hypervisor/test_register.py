# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of a restore on real files: the lab's vCenter registers, reverts and powers on, the hypervisor reads."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim

from ..vsphere import Client, cards, disks, done, eventually, files, snapshot_tree
from .conftest import CLONE, DATASET, UUID, VOLUMES, Store, answer, moment, wait_for_writes
from .host import Hypervisor
from .judge import disagreements, examine
from .share import share

MAC = "00:50:56:11:22:33"


def test_copy_is_registered_reverted_and_powered_on(
    hypervisor: Hypervisor, client: Client, store: Store, vm: Any
) -> None:
    """A restore into the living datastore, step by step. The copy starts with the disk of the snapshot."""
    wait_for_writes(hypervisor, vm)
    taken = done(vm.CreateSnapshot_Task("ours", "of a run", False, True))
    frozen = moment(hypervisor, vm)
    wait_for_writes(hypervisor, vm)
    copied = store.copy(vm.name, "restored")
    done(taken.RemoveSnapshot_Task(False))
    living = [files(one) for one in disks(vm)]

    copy = client.register(copied, "restored")

    assert copy.name == "restored" and copy.config.uuid == UUID and copy.runtime.powerState == "poweredOff"
    assert copy.config.instanceUuid != vm.config.instanceUuid
    assert 'displayName = "restored"' in store.run(f"cat /{DATASET}/restored/*.vmx")
    ours = snapshot_tree(copy)["ours"]
    assert (ours.id, ours.description, ours.quiesced) == (1, "of a run", True)
    folder = f"[vmware] restored/{vm.name}"
    assert files(disks(copy)[0]) == [f"{folder}-000001.vmdk", f"{folder}.vmdk"]
    assert files(disks(ours.snapshot)[0]) == [f"{folder}.vmdk"]
    assert disks(copy)[0].capacityInBytes == 32 << 20

    done(ours.snapshot.RevertToSnapshot_Task(None, True))
    assert files(disks(copy)[0]) == [f"{folder}-000002.vmdk", f"{folder}.vmdk"]
    assert not store.run(f"ls /{DATASET}/restored | grep -c 000001-delta || true").strip().strip("0")
    done(ours.snapshot.RemoveSnapshot_Task(False))
    assert copy.snapshot is None and files(disks(copy)[0]) == [f"{folder}.vmdk"]
    store.run(f"zfs snapshot {DATASET}@restored")
    found = examine(hypervisor.storage, f"{DATASET}@restored", "restored")
    assert disagreements("filesystem", found, frozen) == []

    task = copy.PowerOnVM_Task()
    answer(copy, "button.uuid.copiedTheVM")
    done(task)
    assert copy.config.uuid != UUID and cards(copy)[0].macAddress != cards(vm)[0].macAddress
    wait_for_writes(hypervisor, copy)
    assert [files(one) for one in disks(vm)] == living and vm.runtime.powerState == "poweredOn"
    copy.ShutdownGuest()
    eventually(lambda: copy.runtime.powerState == "poweredOff")
    copy.UnregisterVM()
    store.run(f"rm -r /{DATASET}/restored; zfs destroy {DATASET}@restored")


@pytest.mark.check
def test_clone_is_mounted_registered_and_unmounted(
    hypervisor: Hypervisor, client: Client, store: Store, vm: Any
) -> None:
    """A restore from a ZFS clone, with the locks and the swap file of the living VM in it."""
    done(vm.CreateSnapshot_Task("ours", "", False, True))
    store.run(f"zfs snapshot {DATASET}@night; zfs clone -o mountpoint=/{CLONE} {DATASET}@night {CLONE}")
    share(hypervisor.storage, f"/{CLONE}")
    with pytest.raises(vim.fault.PlatformConfigFault):
        client.mount("clone", "/tank/nothing")
    clone = client.mount("clone", f"/{CLONE}")
    assert clone.summary.url == f"ds://{VOLUMES[f'/{CLONE}']}/"
    copy = client.register(f"[clone] {vm.name}/{vm.name}.vmx", "instant")
    assert list(copy.datastore) == [clone] and files(disks(copy)[0])[-1] == f"[clone] {vm.name}/{vm.name}.vmdk"
    with pytest.raises(vim.fault.ResourceInUse):
        client.unmount(clone)
    task = copy.PowerOnVM_Task()
    answer(copy, "button.uuid.movedTheVM")
    with pytest.raises(vim.fault.FileLocked, match=rf"is locked by esx01\.lab.*{vm.name}\.vmx"):
        done(task)  # a clone keeps the file IDs, so that the locks fit
    store.run(f"rm -f /{CLONE}/{vm.name}/.lck-* /{CLONE}/{vm.name}/*.vswp")
    done(copy.PowerOnVM_Task())  # its identity is settled
    assert copy.config.uuid == UUID and copy.guest.toolsRunningStatus == "guestToolsRunning"
    done(copy.PowerOffVM_Task())
    copy.UnregisterVM()
    client.unmount(clone)
    assert "clone" not in client.all(vim.Datastore)


def test_files_say_what_a_vm_is(hypervisor: Hypervisor, client: Client, store: Store, vm: Any) -> None:
    """Disks in other places, raw LUNs, an independent disk, network cards, a working directory, encryption."""
    name = vm.name
    done(vm.PowerOffVM_Task())
    store.copy(name, "odd")
    vmx, living = f"{DATASET}/odd/{name}.vmx", VOLUMES[f"/{DATASET}"]
    for raw, kind in (("rdmp", "vmfsPassthroughRawDeviceMap"), ("rdm", "vmfsRawDeviceMap")):
        store.run(
            f'cd /{DATASET}/odd; sed \'s/createType=.*/createType="{kind}"/; s/ VMFS .*/ VMFSRDM "lun-{raw}.vmdk"/\' '
            f"{name}.vmdk >{raw}.vmdk; touch lun-{raw}.vmdk"
        )
    disk = {"deviceType": "scsi-hardDisk", "present": "TRUE"}
    added = {
        "scsi0:1": {"fileName": f"{living}/{name}/{name}.vmdk", **disk},
        "scsi0:2": {"fileName": "rdmp.vmdk", "mode": "independent-persistent", **disk},
        "scsi0:3": {"fileName": "rdm.vmdk", **disk},
        "scsi0:4": {"fileName": "missing.vmdk", "mode": "independent-nonpersistent", **disk},
        "sata0:0": {"fileName": "/vmfs/volumes/00000000-00000000/gone/gone.vmdk", "present": "TRUE"},
        "sata0:1": {"fileName": "/vmfs/volumes/x/install.iso", "deviceType": "cdrom-image", "present": "TRUE"},
        "scsi0:5": {"fileName": "absent.vmdk", "present": "FALSE"},
        "ethernet1": {
            "present": "TRUE", "virtualDev": "e1000", "networkName": "isolated", "addressType": "static",
            "address": MAC, "startConnected": "FALSE",
        },
        "vtpm": {"present": "TRUE"},
        "encryption": {"keySafe": "vmware:key/list/(pair/(fqid/%3cVMWARE%2dNULL%3e/kms/key-7,HMAC%2dSHA%2d256,x))"},
    }  # fmt: skip
    for device, keys in added.items():
        store.edit(vmx, **{f"{device}.{key}": value for key, value in keys.items()})
    store.edit(vmx, workingDir=f"{living}/work", memSize="2048", **{"HDCS.agent": "yes", "ctkEnabled": "TRUE"})
    odd = client.register(f"[vmware] odd/{name}.vmx", "odd")
    assert odd.name == "odd"
    shown = [(one.unitNumber, files(one)[0], one.backing.diskMode) for one in disks(odd)]
    assert shown == [
        (0, f"[vmware] odd/{name}.vmdk", "persistent"),
        (1, f"[vmware] {name}/{name}.vmdk", "persistent"),  # the living disk
        (2, "[vmware] odd/rdmp.vmdk", "independent_persistent"),
        (3, "[vmware] odd/rdm.vmdk", "persistent"),
        (4, "[vmware] odd/missing.vmdk", "independent_nonpersistent"),
        (0, "[] /vmfs/volumes/00000000-00000000/gone/gone.vmdk", "persistent"),
    ]
    assert [getattr(one.backing, "compatibilityMode", None) for one in disks(odd)[2:4]] == [
        "physicalMode",
        "virtualMode",
    ]
    first, second = cards(odd)
    assert first.backing.deviceName == "VM Network" and first.connectable.startConnected
    assert (second.macAddress, second.addressType) == (MAC, "manual") and not second.connectable.startConnected
    assert second.backing.network == client.all(vim.Network)["isolated"]
    assert {one.name for one in odd.network} == {"VM Network", "isolated"}
    assert (odd.config.keyId.keyId, odd.config.keyId.providerId.id) == ("key-7", "kms")
    assert any(isinstance(one, vim.vm.device.VirtualTPM) for one in odd.config.hardware.device)
    assert odd.config.hardware.memoryMB == 2048 and odd.config.changeTrackingEnabled
    assert odd.config.files.snapshotDirectory == "[vmware] work/"
    assert "HDCS.agent" in [one.key for one in odd.config.extraConfig]
    task = odd.PowerOnVM_Task()
    answer(odd, "button.uuid.movedTheVM")
    with pytest.raises(vim.fault.FileNotFound, match=r"missing\.vmdk"):
        done(task)
    odd.UnregisterVM()
    store.run(f"rm -r /{DATASET}/odd")


@pytest.mark.check
@pytest.mark.parametrize("content", ["garbage", "", None])
def test_file_that_is_no_vm_is_refused(client: Client, store: Store, vm: Any, content: str | None) -> None:
    store.run(f"mkdir -p /{DATASET}/no; rm -f /{DATASET}/no/no.vmx")
    if content is not None:
        store.run(f"echo '{content}' >/{DATASET}/no/no.vmx")
    with pytest.raises(vim.fault.NotFound if content is None else vim.fault.InvalidDatastorePath):
        client.register("[vmware] no/no.vmx")
    store.run(f"rm -r /{DATASET}/no")


def test_registered_path_or_name_is_refused(client: Client, store: Store, vm: Any) -> None:
    with pytest.raises(vim.fault.AlreadyExists):
        client.register(vm.config.files.vmPathName)
    copied = store.copy(vm.name, "twice")
    with pytest.raises(vim.fault.DuplicateName):
        client.register(copied)  # the name in the file
    registered = client.register(copied, "another name")
    assert registered.config.files.vmPathName == copied
    registered.UnregisterVM()
    store.run(f"rm -r /{DATASET}/twice")


@pytest.mark.check
def test_unregistered_vm_is_registered_again(client: Client, vm: Any) -> None:
    path, name = vm.config.files.vmPathName, vm.name
    done(vm.CreateSnapshot_Task("kept", "", False, False))
    done(vm.PowerOffVM_Task())
    vm.UnregisterVM()
    again = client.register(path)
    assert again.name == name and list(snapshot_tree(again)) == ["kept"]
    done(again.PowerOnVM_Task())  # it is where it was: no question


@pytest.mark.check
def test_template_is_registered_as_such(client: Client, store: Store, vm: Any) -> None:
    store.run(f"cp -a /{DATASET}/{vm.name} /{DATASET}/golden; cd /{DATASET}/golden; mv {vm.name}.vmx golden.vmtx")
    template = client.register("[vmware] golden/golden.vmtx", "golden", template=True)
    assert template.config.template and template.resourcePool is None
    assert template.config.files.vmPathName == "[vmware] golden/golden.vmtx"
    template.UnregisterVM()
    store.run(f"rm -r /{DATASET}/golden")
