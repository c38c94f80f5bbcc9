# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renaming and reconfiguring VMs without files in the lab's vCenter: network cards, disks, settings, privileges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from .simulator import Simulator
from .vsphere import Client, add_disk, cards, connection, disks, done, edit, files, remove_disk, session

CARDS = [{"mac": "00:50:56:01:02:03"}, {"mac": "00:50:56:00:00:09", "mac_type": "manual", "network": "office"}]
VMS: list[dict[str, Any]] = [
    {"name": "mail", "cards": CARDS, "extra_config": {"kept": "1", "old": "2"}},
    {"name": "off", "power": "off", "cards": CARDS},
]
DATASTORES: list[dict[str, Any]] = [
    {"name": "vmware", "server": "10.0.2.15", "path": "/tank/vmware", "vms": VMS},
    {"name": "other", "server": "10.0.2.15", "path": "/tank/other"},
]
NETWORKS: list[dict[str, Any]] = [
    {"name": "office"},
    {"name": "isolated"},
    {"name": "switched", "distributed": True},
]
CONFIG = {"datacenters": ["DC0"], "networks": NETWORKS, "datastores": DATASTORES}


@pytest.fixture
def vcenter(tmp_path: Path) -> Iterator[Simulator]:
    with Simulator.start(CONFIG, directory=tmp_path, create_seconds=0.01) as started:
        yield started


@pytest.fixture
def client(vcenter: Simulator) -> Iterator[Client]:
    with session(vcenter) as one:
        yield one


def reconfigure(vm: Any, *devices: Any, **settings: Any) -> None:
    done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=list(devices), **settings)))


def test_rename_changes_only_the_name(client: Client) -> None:
    vm = client.vm("mail")
    path = vm.config.files.vmPathName
    done(vm.Rename_Task("mail 50%25 a%2fb"))
    assert vm.name == "mail 50%25 a%2fb" == vm.config.name and vm.config.files.vmPathName == path
    with pytest.raises(vim.fault.DuplicateName):
        done(vm.Rename_Task("off"))
    for wrong in ("", "x" * 81):
        with pytest.raises(vim.fault.InvalidName):
            done(vm.Rename_Task(wrong))
    done(client.vm("off").Rename_Task("mail"))


def test_card_is_disconnected_for_the_next_start(client: Client) -> None:
    vm = client.vm("off")
    reconfigure(vm, edit(cards(vm)[0], connectable=connection(start=False)))
    assert [one.connectable.startConnected for one in cards(vm)] == [False, True]
    done(vm.PowerOnVM_Task())
    assert [one.connectable.connected for one in cards(vm)] == [False, True]
    assert vm.guest.ipAddress, "one card is connected"


def test_card_of_a_running_vm_is_disconnected_at_once(client: Client) -> None:
    vm = client.vm("mail")
    for card in cards(vm):
        reconfigure(vm, edit(card, connectable=connection(start=True, now=False)))
    assert [one.connectable.connected for one in cards(vm)] == [False, False] and vm.guest.ipAddress is None
    done(vm.PowerOffVM_Task())
    done(vm.PowerOnVM_Task())
    assert [one.connectable.connected for one in cards(vm)] == [True, True]


def test_card_moves_to_another_network(client: Client) -> None:
    vm = client.vm("mail")
    network = client.all(vim.Network)["isolated"]
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="isolated", network=network)
    reconfigure(vm, edit(cards(vm)[1], backing=backing))
    assert [one.backing.network.name for one in cards(vm)] == ["VM Network", "isolated"]
    assert cards(vm)[1].macAddress == CARDS[1]["mac"] and network in vm.network
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="nowhere")
    with pytest.raises(vim.fault.InvalidDeviceBacking):
        reconfigure(vm, edit(cards(vm)[1], backing=backing))


def test_card_moves_to_a_distributed_port_group(vcenter: Simulator, client: Client) -> None:
    vm = client.vm("off")
    group = client.all(vim.dvs.DistributedVirtualPortgroup)["switched"]
    port = vim.dvs.PortConnection(portgroupKey=group.key, switchUuid=group.config.distributedVirtualSwitch.uuid)
    backing = vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo(port=port)
    vcenter.deny("Network.Assign", "switched")
    with pytest.raises(vim.fault.NoPermission):
        reconfigure(vm, edit(cards(vm)[0], backing=backing))
    vcenter.grant_all()
    reconfigure(vm, edit(cards(vm)[0], backing=backing))
    assert cards(vm)[0].backing.port.portgroupKey == group.key and group in vm.network
    reconfigure(vm, edit(cards(vm)[0], connectable=connection(start=False)))
    assert cards(vm)[0].backing.port.switchUuid == port.switchUuid


def test_cards_are_added_and_removed(client: Client) -> None:
    vm = client.vm("mail")
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="isolated")
    new = vim.vm.device.VirtualVmxnet3(key=-1, backing=backing)
    reconfigure(vm, vim.vm.device.VirtualDeviceSpec(operation="add", device=new))
    assert [one.key for one in cards(vm)] == [4000, 4001, 4002] and cards(vm)[2].macAddress
    reconfigure(vm, vim.vm.device.VirtualDeviceSpec(operation="remove", device=cards(vm)[0]))
    assert [one.key for one in cards(vm)] == [4001, 4002]


def test_existing_disk_is_added_and_removed(client: Client) -> None:
    vm = client.vm("mail")
    reconfigure(vm, add_disk("[other] deep/folder/mail.vmdk", "independent_nonpersistent"))
    added = disks(vm)[1]
    assert files(added) == ["[other] deep/folder/mail.vmdk"] and added.backing.diskMode == "independent_nonpersistent"
    assert {one.name for one in vm.datastore} == {"vmware", "other"}
    reconfigure(vm, remove_disk(added))
    assert len(disks(vm)) == 1 and [one.name for one in vm.datastore] == ["vmware"]
    with pytest.raises(vim.fault.InvalidDeviceSpec):
        reconfigure(vm, remove_disk(added))
    with pytest.raises(vim.fault.InvalidDatastorePath):
        reconfigure(vm, add_disk("[nowhere] mail/mail.vmdk"))


def test_settings_are_changed(client: Client) -> None:
    vm = client.vm("off")
    options = [vim.option.OptionValue(key="new", value="3"), vim.option.OptionValue(key="old", value="")]
    reconfigure(vm, extraConfig=options, changeTrackingEnabled=True, uuid="4207-new", instanceUuid="5007-new")
    assert {one.key: one.value for one in vm.config.extraConfig} == {"new": "3"}
    assert vm.config.changeTrackingEnabled and (vm.config.uuid, vm.config.instanceUuid) == ("4207-new", "5007-new")
    with pytest.raises(vim.fault.InvalidPowerState):
        reconfigure(client.vm("mail"), uuid="4207-other")


def test_other_devices_are_refused(client: Client) -> None:
    vm = client.vm("mail")
    controller = vm.config.hardware.device[0]
    with pytest.raises(vmodl.fault.NotSupported):
        reconfigure(vm, vim.vm.device.VirtualDeviceSpec(operation="remove", device=controller))


@pytest.mark.parametrize(
    ("privilege", "entity"),
    [
        ("VirtualMachine.Config.EditDevice", "off"),
        ("VirtualMachine.Interact.DeviceConnection", "off"),
        ("Network.Assign", "isolated"),
        ("VirtualMachine.Config.AdvancedConfig", "off"),
        ("VirtualMachine.Config.Settings", "off"),
        ("VirtualMachine.Config.ChangeTracking", "off"),
        ("VirtualMachine.Config.AddExistingDisk", "off"),
        ("VirtualMachine.Config.Rename", "off"),
    ],
)
def test_each_kind_of_change_needs_its_privilege(
    vcenter: Simulator, client: Client, privilege: str, entity: str
) -> None:
    vm = client.vm("off")
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="isolated")
    changes: dict[str, Any] = {
        "deviceChange": [
            edit(cards(vm)[0], connectable=connection(start=False), backing=backing),
            add_disk("[other] mail/mail.vmdk"),
        ],
        "extraConfig": [vim.option.OptionValue(key="uuid.action", value="create")],
        "uuid": "4207-new",
        "changeTrackingEnabled": False,
        "name": "renamed",
    }
    vcenter.deny(privilege, entity)
    with pytest.raises(vim.fault.NoPermission) as refused:
        done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(**changes)))
    assert refused.value.privilegeId == privilege
    vcenter.grant_all()
    done(vm.ReconfigVM_Task(vim.vm.ConfigSpec(**changes)))
    vcenter.deny("VirtualMachine.Config.RemoveDisk")
    with pytest.raises(vim.fault.NoPermission):
        reconfigure(vm, remove_disk(disks(vm)[1]))


def test_rules_reach_a_reconfiguration(vcenter: Simulator, client: Client) -> None:
    vcenter.rule(method="ReconfigVM_Task", vm="off", effect="task_fault", fault="GenericVmConfigFault")
    with pytest.raises(vim.fault.GenericVmConfigFault):
        reconfigure(client.vm("off"), changeTrackingEnabled=True)
    assert not client.vm("off").config.changeTrackingEnabled
