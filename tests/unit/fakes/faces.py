# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The properties of a fake server's objects as clients read them, by the first part of their path.

They are real pyVmomi objects, made anew at each read, so that a reader keeps what it saw.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Iterator, Mapping

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import sdk

from .inventory import VM_FOLDER, Config, Datastore, Inventory, Machine, Snapshot, chain_to

_POWER = {"on": "poweredOn", "off": "poweredOff", "suspended": "suspended"}
_GUESTS = {"linux": "otherLinux64Guest", "windows": "windows2019srv_64Guest"}


def face(inventory: Inventory, kind: Any, moid: str) -> dict[str, Any] | None:
    """The properties of an object of the inventory, None if it is not there."""
    vim = sdk.vim
    if issubclass(kind, vim.VirtualMachine) and moid in inventory.machines:
        return _machine(inventory, inventory.machines[moid])
    if issubclass(kind, vim.Datastore) and moid in inventory.datastores:
        return _datastore(inventory, inventory.datastores[moid])
    if issubclass(kind, vim.vm.Snapshot):
        return _snapshot(inventory, moid)
    if issubclass(kind, vim.CustomFieldsManager):
        return {"field": _fields(inventory)}
    return _place(inventory, moid)


def all_of(inventory: Inventory, kind: Any) -> list[Any]:
    """References to all objects of a kind."""
    vim = sdk.vim
    found = [_reference(inventory, moid) for moid in inventory.places]
    found += [vim.Datastore(moid) for moid in inventory.datastores]
    found += [vim.VirtualMachine(moid) for moid in inventory.machines]
    return [reference for reference in found if isinstance(reference, kind)]


def _place(inventory: Inventory, moid: str) -> dict[str, Any] | None:
    vim = sdk.vim
    place = inventory.places.get(moid)
    if place is None:
        return None
    face = {"name": place.name, "parent": _reference(inventory, place.parent)}
    if place.kind == "Datacenter":
        face["datastore"] = [vim.Datastore(one) for one in inventory.datastores]
        face["vmFolder"] = vim.Folder(VM_FOLDER)
    if place.kind == "Folder":
        face["recentTask"] = [vim.Task(task.moid) for task in inventory.recent.get(moid, ())]
    if place.kind == "VirtualApp":
        face |= {"parentFolder": _reference(inventory, place.folder), "parentVApp": None}
    return face


def _reference(inventory: Inventory, moid: str) -> Any:
    return getattr(sdk.vim, inventory.places[moid].kind)(moid) if moid else None


def _fields(inventory: Inventory) -> list[Any]:
    return [
        sdk.vim.CustomFieldsManager.FieldDef(key=key, name=name, type=str) for name, key in inventory.attributes.items()
    ]


def _values(inventory: Inventory, machine: Machine) -> list[Any]:
    return [
        sdk.vim.CustomFieldsManager.StringValue(key=inventory.attributes[name], value=value)
        for name, value in machine.config.attributes.items()
    ]


def _datastore(inventory: Inventory, datastore: Datastore) -> dict[str, Any]:
    vim = sdk.vim
    if datastore.type == "local":
        info, kind = vim.host.VmfsDatastoreInfo(name=datastore.name), "VMFS"
    else:
        nas = vim.host.NasVolume(remoteHost=datastore.server, remotePath=datastore.path, name=datastore.name)
        info, kind = vim.host.NasDatastoreInfo(name=datastore.name, nas=nas), "NFS"
    carried = [machine for machine in inventory.machines.values() if datastore in inventory.datastores_of(machine)]
    return {
        "name": datastore.name,
        "summary": vim.Datastore.Summary(name=datastore.name, type=kind, accessible=True),
        "info": info,
        "vm": [vim.VirtualMachine(machine.moid) for machine in carried],
    }


def _machine(inventory: Inventory, machine: Machine) -> dict[str, Any]:
    vim, config = sdk.vim, machine.config
    guest_id = _GUESTS[config.guest]
    guest = vim.vm.GuestInfo(
        toolsRunningStatus="guestToolsRunning" if machine.tools_running else "guestToolsNotRunning",
        toolsVersionStatus2="guestToolsNotInstalled" if config.tools == "not_installed" else "guestToolsCurrent",
    )
    if machine.tools_running:
        guest.guestId, guest.guestFamily = guest_id, "windowsGuest" if config.guest == "windows" else "linuxGuest"
        guest.ipAddress = "10.0.2.77" if any(card.get("connected", True) for card in config.cards) else None
    face = {
        "name": config.name,
        "config": vim.vm.ConfigInfo(
            name=config.name,
            guestId=guest_id,
            template=config.template,
            changeTrackingEnabled=config.change_tracking,
            extraConfig=[vim.option.OptionValue(key=key, value=value) for key, value in config.extra_config.items()],
            instanceUuid=machine.instance_uuid,
            files=vim.vm.FileInfo(vmPathName=machine.vmx_path, snapshotDirectory=machine.path("")),
            hardware=vim.vm.VirtualHardware(device=list(_devices(inventory, machine, config, machine.chain()))),
        ),
        "runtime": vim.vm.RuntimeInfo(
            powerState="poweredOff" if config.template else _POWER[config.power],
            connectionState="connected",
            faultToleranceState="notConfigured",
            consolidationNeeded=machine.consolidation_needed,
            host=vim.HostSystem("host-1"),
            question=_question(machine),
        ),
        "guestHeartbeatStatus": "green" if machine.tools_running else "gray",
        "guest": guest,
        "capability": vim.vm.Capability(snapshotOperationsSupported=True),
        "snapshot": _tree_of(machine),
        "datastore": [vim.Datastore(one.moid) for one in inventory.datastores_of(machine)],
        "recentTask": [vim.Task(task.moid) for task in machine.recent],
        "parent": _reference(inventory, machine.folder),
        "parentVApp": _reference(inventory, machine.vapp),
        "resourcePool": None if config.template else _reference(inventory, machine.pool),
        "customValue": _values(inventory, machine),
        "availableField": _fields(inventory),
    }
    for path, value in config.properties.items():
        first, _dot, rest = path.partition(".")
        setattr(face[first], rest, value)
    return face


def _snapshot(inventory: Inventory, moid: str) -> dict[str, Any] | None:
    found = inventory.snapshot(moid)
    if found is None:
        return None
    machine, node = found
    config = node.config or machine.config
    above = chain_to(machine.snapshots, moid)[:-1]  # the files that were in use when it was taken
    devices = list(_devices(inventory, machine, config, above))
    files = sdk.vim.vm.FileInfo(vmPathName=machine.vmx_path, snapshotDirectory=machine.path(""))
    hardware = sdk.vim.vm.VirtualHardware(device=devices)
    return {"config": sdk.vim.vm.ConfigInfo(name=config.name, files=files, hardware=hardware)}


def _question(machine: Machine) -> Any:
    asked = machine.question
    if asked is None:
        return None
    choices = [sdk.vim.ElementDescription(key=key, label=label, summary="") for key, label in asked["choices"].items()]
    return sdk.vim.vm.QuestionInfo(
        id="7",
        text=asked["text"],
        choice=sdk.vim.option.ChoiceOption(choiceInfo=choices),
        message=[sdk.vim.vm.Message(id=asked["id"], text=asked["text"])],
    )


def _devices(inventory: Inventory, machine: Machine, config: Config, chain: list[Snapshot]) -> Iterator[Any]:
    device = sdk.vim.vm.device
    controller = device.ParaVirtualSCSIController(key=1000, sharedBus="noSharing", scsiCtlrUnitNumber=7)
    controller.deviceInfo = sdk.vim.Description(label="SCSI controller 0", summary="VMware paravirtual SCSI")
    yield controller
    for number, disk in enumerate(config.disks):
        yield _disk(inventory, machine, number, disk, chain)
    for number, card in enumerate(config.cards):
        yield _card(number, card)
    if config.iso:
        iso = inventory.datastore(config.iso)
        backing = device.VirtualCdrom.IsoBackingInfo(fileName=f"[{iso.name}] iso/install.iso")
        backing.datastore = sdk.vim.Datastore(iso.moid)
        label = sdk.vim.Description(label="CD/DVD drive 1", summary="ISO")
        yield device.VirtualCdrom(key=3000, controllerKey=200, deviceInfo=label, backing=backing)
    if config.pci_passthrough:
        label = sdk.vim.Description(label="PCI device 0", summary="a graphics card")
        yield device.VirtualPCIPassthrough(key=13000, deviceInfo=label)
    if config.vgpu:
        label = sdk.vim.Description(label="PCI device 1", summary="a vGPU")
        backing = device.VirtualPCIPassthrough.VmiopBackingInfo(vgpu="grid_p40-2q")
        yield device.VirtualPCIPassthrough(key=13001, deviceInfo=label, backing=backing)


def _card(number: int, card: Mapping[str, Any]) -> Any:
    device = sdk.vim.vm.device
    connected, network = card.get("connected", True), card.get("network", "VM Network")
    if "switch" in card:
        port = sdk.vim.dvs.PortConnection(switchUuid=card["switch"], portgroupKey=network)
        backing = device.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=port)
    else:
        backing = device.VirtualEthernetCard.NetworkBackingInfo(deviceName=network)
    return device.VirtualVmxnet3(
        key=4000 + number,
        controllerKey=100,
        unitNumber=7 + number,
        deviceInfo=sdk.vim.Description(label=f"Network adapter {number + 1}", summary=network),
        backing=backing,
        connectable=device.VirtualDevice.ConnectInfo(
            startConnected=connected, connected=connected, allowGuestControl=True
        ),
        addressType="manual" if card.get("static") else "assigned",
        macAddress=f"00:50:56:00:00:{number:02x}",
    )


def _disk(inventory: Inventory, machine: Machine, number: int, disk: Mapping[str, Any], above: list[Snapshot]) -> Any:
    """A disk with its chain of files: one more for each snapshot, the running one first."""
    device = sdk.vim.vm.device
    place = inventory.datastore(disk["datastore"]) if disk.get("datastore") else machine.home
    mode = disk.get("kind", "flat")
    stem = machine.stem
    folder = disk.get("folder") or machine.directory or stem
    base = f"{stem}_{number}" if number else stem

    def backing(file: str, parent: Any) -> Any:
        if mode == "rdm":
            kind, further = device.VirtualDisk.RawDiskMappingVer1BackingInfo, {"compatibilityMode": "virtualMode"}
        else:
            kind, further = device.VirtualDisk.FlatVer2BackingInfo, {}
        return kind(
            fileName=file,
            datastore=None if "file" in disk else sdk.vim.Datastore(place.moid),
            diskMode="persistent" if mode in ("flat", "rdm") else mode,
            parent=parent,
            **further,
        )

    chain = backing(disk.get("file") or f"[{place.name}] {folder}/{base}.vmdk", None)
    for node in above if mode == "flat" and "file" not in disk else ():
        chain = backing(f"[{place.name}] {folder}/{base}-{node.id:06}.vmdk", chain)
    return device.VirtualDisk(
        key=2000 + number,
        controllerKey=1000,
        unitNumber=number,
        capacityInKB=16 << 20,
        deviceInfo=sdk.vim.Description(label=f"Hard disk {number + 1}", summary="16777216 KB"),
        backing=chain,
    )


def _tree_of(machine: Machine) -> Any:
    """The tree in vSphere's words, None without any snapshot."""
    if not machine.snapshots:
        return None
    vim = sdk.vim

    def tree(nodes: list[Snapshot]) -> list[Any]:
        return [
            vim.vm.SnapshotTree(
                snapshot=vim.vm.Snapshot(node.moid),
                vm=vim.VirtualMachine(machine.moid),
                name=node.name,
                description=node.description,
                id=node.id,
                createTime=datetime.now(timezone.utc),
                state="poweredOff",
                quiesced=node.quiesced,
                backupManifest=node.manifest or None,
                childSnapshotList=tree(node.children),
            )
            for node in nodes
        ]

    current = vim.vm.Snapshot(machine.current) if machine.current else None
    return vim.vm.SnapshotInfo(rootSnapshotList=tree(machine.snapshots), currentSnapshot=current)
