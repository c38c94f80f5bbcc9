# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of a restore in the lab's vCenter, for VMs without files: register, revert, power on, answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from .simulator import Simulator, SimulatorError
from .vsphere import Client, cards, disks, done, eventually, files, session, snapshot_tree

UUID = "4207aaaa-0000-1111-2222-333344445555"
MAIL: dict[str, Any] = {
    "name": "mail", "bios_uuid": UUID, "instance_uuid": "5007aaaa-0000-1111-2222-333344445555",
    "cards": [{"mac": "00:50:56:01:02:03"}, {"mac": "00:50:56:00:00:09", "mac_type": "manual", "network": "office"}],
    "disks": [{}, {}, {"datastore": "other"}], "extra_config": {"HDCS.agent": "no"},
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "datacenters": ["DC0"],
    "networks": [{"name": "office"}, {"name": "isolated"}],
    "datastores": [
        {"name": "vmware", "server": "10.0.2.15", "path": "/tank/vmware", "vms": [MAIL, {"name": "web"}]},
        {"name": "other", "server": "10.0.2.15", "path": "/tank/other"},
        {"name": "local", "type": "local", "vms": [{"name": "scratch", "power": "off"}]},
    ],
}
COPY = "[vmware] mail-restored/mail.vmx"


@pytest.fixture
def vcenter(tmp_path: Path) -> Iterator[Simulator]:
    with Simulator.start(CONFIG, directory=tmp_path, create_seconds=0.01, remove_seconds=0.01, state=True) as started:
        yield started


@pytest.fixture
def client(vcenter: Simulator) -> Iterator[Client]:
    with session(vcenter) as one:
        yield one


def snapshot(vm: Any, name: str = "ours", memory: bool = False) -> Any:
    return done(vm.CreateSnapshot_Task(name, "of a run", memory, True))


@pytest.fixture
def copy(vcenter: Simulator, client: Client) -> Any:
    """A registered copy of `mail`, with the snapshot that was open when it was copied."""
    snapshot(client.vm("mail"))
    vcenter.copy("mail", r"\[vmware\] mail-restored/mail\.vmx")
    return client.register(COPY, "mail-restored")


# ---- Registering


def test_copy_is_registered_with_its_snapshots(client: Client, copy: Any) -> None:
    assert (copy.name, copy.runtime.powerState) == ("mail-restored", "poweredOff")
    assert copy.config.files.vmPathName == COPY and copy.config.uuid == UUID
    assert copy.config.instanceUuid != client.vm("mail").config.instanceUuid, "it is taken"
    assert copy.resourcePool == client.host().parent.resourcePool and copy.runtime.host.name == "DC0_H0"
    tree = snapshot_tree(copy)["ours"]
    assert tree.quiesced and tree.description == "of a run"
    assert tree.snapshot != snapshot_tree(client.vm("mail"))["ours"].snapshot
    folder = "[vmware] mail-restored"
    assert [files(one) for one in disks(copy)] == [
        [f"{folder}/mail-000001.vmdk", f"{folder}/mail.vmdk"],
        [f"{folder}/mail_1-000001.vmdk", f"{folder}/mail_1.vmdk"],
        ["[other] mail/mail_2-000001.vmdk", "[other] mail/mail_2.vmdk"],  # still that of the living VM
    ]


def test_registered_vm_is_found_by_its_file_and_its_name(client: Client, copy: Any) -> None:
    index, folder = client.content.searchIndex, client.datacenter.vmFolder
    assert index.FindByDatastorePath(client.datacenter, COPY) == copy
    assert index.FindByDatastorePath(client.datacenter, "[vmware] mail-restored/other.vmx") is None
    assert index.FindChild(folder, "mail-restored") == copy and index.FindChild(folder, "restored") is None
    done(copy.Rename_Task("a%2fb"))
    assert index.FindChild(folder, "a%2fb") == copy
    (task,) = folder.recentTask
    assert task.info.descriptionId.startswith("Folder.register") and task.info.result == copy


def test_configuration_of_a_snapshot_has_the_disks_without_its_delta(client: Client) -> None:
    vm = client.vm("mail")
    first, second = snapshot(vm, "first"), snapshot(vm, "second")
    assert files(disks(first)[0]) == ["[vmware] mail/mail.vmdk"]
    assert files(disks(second)[0]) == ["[vmware] mail/mail-000001.vmdk", "[vmware] mail/mail.vmdk"]
    done(first.RemoveSnapshot_Task(False))
    assert files(disks(second)[0]) == ["[vmware] mail/mail.vmdk"]


def test_unregistered_vm_is_registered_by_its_path(client: Client) -> None:
    vm = client.vm("web")
    path = vm.config.files.vmPathName
    with pytest.raises(vim.fault.InvalidPowerState):
        vm.UnregisterVM()
    done(vm.PowerOffVM_Task())
    instance = vm.config.instanceUuid
    vm.UnregisterVM()
    assert "web" not in client.all(vim.VirtualMachine)
    again = client.register(path)
    assert again != vm and again.name == "web" and again.config.instanceUuid == instance


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("mail/mail.vmx", vim.fault.InvalidDatastorePath),
        ("[nowhere] mail/mail.vmx", vim.fault.InvalidDatastorePath),
        ("[vmware] ../mail.vmx", vim.fault.InvalidDatastorePath),
        ("[vmware] mail/mail.vmdk", vim.fault.InvalidDatastorePath),
        ("[vmware] nothing/nothing.vmx", vim.fault.NotFound),
        ("[vmware] mail/mail.vmx", vim.fault.AlreadyExists),
    ],
)
def test_wrong_path_is_refused(client: Client, path: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        client.register(path)


def test_taken_name_is_refused_in_the_same_folder_only(vcenter: Simulator, client: Client) -> None:
    vcenter.copy("mail", ".*mail-restored.*")
    with pytest.raises(vim.fault.DuplicateName) as refused:
        client.register(COPY)
    assert refused.value.object == client.vm("mail")
    folder = client.datacenter.vmFolder.CreateFolder("restored")
    registered = done(folder.RegisterVM_Task(COPY, None, False, client.host().parent.resourcePool, None))
    assert registered.name == "mail" and registered.parent == folder
    assert list(folder.childEntity) == [registered]


def test_vm_is_registered_in_a_pool_or_a_vapp(vcenter: Simulator, client: Client) -> None:
    vcenter.copy("mail", ".*mail-restored.*")
    vcenter.vm("web", resource_pool="prod", vapp="shop", host="DC0_H0")
    vcenter.vm("scratch", vapp="top", host="DC0_H0")
    folder, root = client.datacenter.vmFolder, client.host().parent.resourcePool
    prod, top = (client.all(kind)[name] for kind, name in ((vim.ResourcePool, "prod"), (vim.VirtualApp, "top")))
    (shop,) = prod.resourcePool
    for number, pool in enumerate((prod, shop, top)):
        made = done(folder.RegisterVM_Task(COPY, f"restored-{number}", False, pool, None))
        assert made.resourcePool == pool and made.runtime.host.name == "DC0_H0"
        made.UnregisterVM()
    assert sorted(one.name for one in root.resourcePool) == ["prod", "top"]


def test_template_needs_a_host_and_no_pool(vcenter: Simulator, client: Client) -> None:
    vcenter.copy("mail", r".*golden\.vmtx")
    folder, host = client.datacenter.vmFolder, client.host()
    path, pool = "[vmware] golden/golden.vmtx", host.parent.resourcePool
    for wrong in ((False, None, host), (True, pool, host), (True, None, None), (False, pool, host)):
        with pytest.raises(vmodl.fault.InvalidArgument):
            done(folder.RegisterVM_Task(path, "golden", *wrong))
    made = done(folder.RegisterVM_Task(path, "golden", True, None, host))
    assert made.config.template and made.resourcePool is None and made.config.files.vmPathName == path
    with pytest.raises(vmodl.fault.NotSupported):
        done(made.PowerOnVM_Task())


def test_host_must_be_connected_and_mount_the_datastore(vcenter: Simulator, client: Client) -> None:
    vcenter.copy("mail", ".*mail-restored.*")
    vcenter.change_host("DC0_H0", connection="disconnected")
    with pytest.raises(vmodl.fault.HostNotConnected):
        client.register(COPY, "restored")
    vcenter.change_host("DC0_H0", connection="connected")
    client.mount("clone", "/tank/clone", host="DC0_C0_H0")
    with pytest.raises(vim.fault.InvalidDatastorePath):
        client.register("[clone] mail-restored/mail.vmx", "restored")
    with pytest.raises(vmodl.fault.InvalidArgument):
        pool = client.host("DC0_C0_H0").parent.resourcePool
        done(client.datacenter.vmFolder.RegisterVM_Task(COPY, "restored", False, pool, client.host()))


@pytest.mark.parametrize(("rule", "same"), [("if_taken", False), ("always", False), ("never", True)])
def test_instance_uuid_of_a_copy(vcenter: Simulator, client: Client, rule: str, same: bool) -> None:
    vcenter.behave(new_instance_uuid=rule)
    vcenter.copy("mail", ".*mail-restored.*")
    registered = client.register(COPY, "restored")
    assert (registered.config.instanceUuid == MAIL["instance_uuid"]) is same


def test_quiesced_can_be_unknown_after_a_registration(vcenter: Simulator, client: Client) -> None:
    vcenter.behave(quiesced_after_registration=False)
    snapshot(client.vm("mail"))
    vcenter.copy("mail", ".*mail-restored.*")
    assert not snapshot_tree(client.register(COPY, "restored"))["ours"].quiesced


def test_registered_copy_survives_a_restart(vcenter: Simulator, client: Client, copy: Any) -> None:
    moid = copy._moId
    vcenter.kill()
    vcenter.restart()
    with session(vcenter) as again:
        vm = again.vm("mail-restored")
        assert vm._moId == moid and list(snapshot_tree(vm)) == ["ours"]
        assert files(disks(vm)[0])[-1] == "[vmware] mail-restored/mail.vmdk"


def test_rules_match_the_name_of_the_vm_that_is_registered(vcenter: Simulator, client: Client) -> None:
    vcenter.copy("mail", ".*mail-restored.*")
    vcenter.rule(method="RegisterVM_Task", vm="restored", effect="task_fault", fault="InsufficientResourcesFault")
    with pytest.raises(vim.fault.InsufficientResourcesFault):
        client.register(COPY, "restored")
    client.register(COPY, "other-name")
    events = [one for one in vcenter.trace() if one["kind"] == "task" and one["event"] == "finished"]
    assert [one["vm_name"] for one in events] == ["restored", "other-name"]


@pytest.mark.parametrize(
    ("privilege", "entity"),
    [("VirtualMachine.Inventory.Register", "vm"), ("Resource.AssignVMToPool", "Resources")],
)
def test_registering_needs_privileges(vcenter: Simulator, client: Client, privilege: str, entity: str) -> None:
    vcenter.copy("mail", ".*mail-restored.*")
    vcenter.deny(privilege, entity)
    with pytest.raises(vim.fault.NoPermission) as refused:
        client.register(COPY, "restored")
    assert refused.value.privilegeId == privilege
    vcenter.grant_all()
    client.register(COPY, "restored")


def test_hanging_registration_is_released(vcenter: Simulator, client: Client) -> None:
    vcenter.copy("mail", ".*mail-restored.*")
    vcenter.rule(method="RegisterVM_Task", effect="task_hang")
    pool = client.host().parent.resourcePool
    task = client.datacenter.vmFolder.RegisterVM_Task(COPY, "restored", False, pool, None)
    eventually(lambda: task.info.state == "running")
    assert vcenter.release("other") == 0 and vcenter.release("restored") == 1
    assert done(task).name == "restored"


def test_hanging_power_on_asks_after_its_release(vcenter: Simulator, client: Client, copy: Any) -> None:
    vcenter.rule(method="PowerOnVM_Task", effect="task_hang")
    task = copy.PowerOnVM_Task()
    assert eventually(lambda: vcenter.release("mail-restored")) == 1
    answer(copy, "button.uuid.movedTheVM")
    done(task)


def test_copy_needs_a_simulated_vm(vcenter: Simulator) -> None:
    with pytest.raises(SimulatorError, match="no simulated VM"):
        vcenter.copy("nobody", ".*")


# ---- Reverting


def test_revert_brings_back_settings_and_powers_off(vcenter: Simulator, client: Client) -> None:
    vm = client.vm("mail")
    kept = snapshot(vm)
    vcenter.vm("mail", cards=[], disks=[{"key": 2000}], extra_config={"new": "1"})
    assert not cards(vm) and len(disks(vm)) == 1
    done(kept.RevertToSnapshot_Task(None, True))
    assert vm.runtime.powerState == "poweredOff" and len(disks(vm)) == 3
    assert [one.macAddress for one in cards(vm)] == ["00:50:56:01:02:03", "00:50:56:00:00:09"]
    assert [(one.key, one.value) for one in vm.config.extraConfig] == [("HDCS.agent", "no")]


@pytest.mark.parametrize(("suppress", "state"), [(True, "poweredOff"), (False, "poweredOn")])
def test_revert_to_a_snapshot_with_memory(client: Client, suppress: bool, state: str) -> None:
    vm = client.vm("mail")
    kept = snapshot(vm, memory=True)
    done(kept.RevertToSnapshot_Task(None, suppress))
    assert vm.runtime.powerState == state


def test_revert_and_removal_in_a_copy_leave_the_living_vm_alone(client: Client, copy: Any) -> None:
    living = client.vm("mail")
    before = [files(one) for one in disks(living)]
    ours = snapshot_tree(copy)["ours"].snapshot
    done(ours.RevertToSnapshot_Task(None, True))
    done(ours.RemoveSnapshot_Task(False))
    assert copy.snapshot is None and files(disks(copy)[0]) == ["[vmware] mail-restored/mail.vmdk"]
    assert [files(one) for one in disks(living)] == before and list(snapshot_tree(living)) == ["ours"]


# ---- Questions at power-on


def question(vm: Any) -> Any:
    return eventually(lambda: vm.runtime.question)


def answer(vm: Any, label: str) -> None:
    asked = question(vm)
    (key,) = [one.key for one in asked.choice.choiceInfo if one.label == label]
    vm.AnswerVM(asked.id, key)


def test_copy_asks_and_waits_for_the_answer(client: Client, copy: Any) -> None:
    task = copy.PowerOnVM_Task()
    asked = question(copy)
    assert asked.text.startswith("msg.uuid.altered:") and asked.message[0].id == "msg.uuid.altered"
    assert task.info.state == "running" and copy.summary.runtime.question.id == asked.id
    with pytest.raises(vim.fault.ConcurrentAccess):
        copy.AnswerVM("another", "0")
    with pytest.raises(vmodl.fault.InvalidArgument):
        copy.AnswerVM(asked.id, "9")
    with pytest.raises(vim.fault.TaskInProgress):
        done(copy.CreateSnapshot_Task("s", "", False, False))
    answer(copy, "button.uuid.copiedTheVM")
    done(task)
    assert copy.runtime.powerState == "poweredOn" and copy.runtime.question is None
    assert copy.config.uuid != UUID
    generated, manual = [one.macAddress for one in cards(copy)]
    assert generated != "00:50:56:01:02:03" and manual == "00:50:56:00:00:09"
    done(copy.PowerOffVM_Task())
    done(copy.PowerOnVM_Task())  # it does not ask again


def test_moved_vm_keeps_its_identity(client: Client, copy: Any) -> None:
    task = copy.PowerOnVM_Task()
    answer(copy, "button.uuid.movedTheVM")
    done(task)
    assert copy.config.uuid == UUID and cards(copy)[0].macAddress == "00:50:56:01:02:03"


def test_cancelled_question_fails_the_power_on(client: Client, copy: Any) -> None:
    task = copy.PowerOnVM_Task()
    answer(copy, "button.uuid.cancel")
    with pytest.raises(vim.fault.GenericVmConfigFault, match=r"msg\.uuid\.altered"):
        done(task)
    assert copy.runtime.powerState == "poweredOff" and copy.runtime.question is None


def test_numbers_and_order_of_the_answers_differ(vcenter: Simulator, client: Client, copy: Any) -> None:
    labels = ["button.uuid.copiedTheVM", "button.uuid.cancel", "button.uuid.movedTheVM"]
    vcenter.behave(
        uuid_choices=[{"key": str(5 - place), "label": label} for place, label in enumerate(labels)],
        question_messages=False,
    )
    task = copy.PowerOnVM_Task()
    asked = question(copy)
    assert [(one.key, one.label) for one in asked.choice.choiceInfo] == list(zip(("5", "4", "3"), labels))
    assert not asked.message
    answer(copy, "button.uuid.movedTheVM")
    done(task)


@pytest.mark.parametrize(("action", "same"), [("keep", True), ("create", False)])
def test_uuid_action_answers_the_question(vcenter: Simulator, client: Client, action: str, same: bool) -> None:
    vcenter.copy("mail", ".*mail-restored.*", extra_config={"uuid.action": action})
    vm = client.register(COPY, "restored")
    done(vm.PowerOnVM_Task())
    assert (vm.config.uuid == UUID) is same


def test_uuid_action_can_be_ignored(vcenter: Simulator, client: Client) -> None:
    vcenter.behave(uuid_action=False)
    vcenter.copy("mail", ".*mail-restored.*", extra_config={"uuid.action": "create"})
    vm = client.register(COPY, "restored")
    task = vm.PowerOnVM_Task()
    answer(vm, "button.uuid.movedTheVM")
    done(task)


def test_unexpected_question_is_asked_too(vcenter: Simulator, client: Client) -> None:
    choices = [{"label": "button.retry"}, {"label": "button.abort", "cancel": True}]
    vcenter.vm("scratch", question={"id": "msg.disk.unusual", "text": "Is this right?", "choices": choices})
    vm = client.vm("scratch")
    task = vm.PowerOnVM_Task()
    assert question(vm).text == "msg.disk.unusual:Is this right?"
    answer(vm, "button.abort")
    with pytest.raises(vim.fault.GenericVmConfigFault):
        done(task)
    task = vm.PowerOnVM_Task()
    answer(vm, "button.retry")
    done(task)


def test_question_ends_with_the_vm(vcenter: Simulator, client: Client, copy: Any) -> None:
    task = copy.PowerOnVM_Task()
    question(copy)
    with pytest.raises(vim.fault.TaskInProgress):
        copy.UnregisterVM()
    vcenter.unregister("mail-restored")
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        done(task)


def test_answering_needs_a_privilege(vcenter: Simulator, client: Client, copy: Any) -> None:
    vcenter.deny("VirtualMachine.Interact.AnswerQuestion", "mail-restored")
    copy.PowerOnVM_Task()
    with pytest.raises(vim.fault.NoPermission):
        answer(copy, "button.uuid.movedTheVM")
    vcenter.grant_all()
    answer(copy, "button.uuid.movedTheVM")


def test_encrypted_vm_needs_its_key_provider(vcenter: Simulator, client: Client) -> None:
    vcenter.vm("scratch", key_provider="kms", tpm=True)
    vm = client.vm("scratch")
    assert vm.config.keyId.providerId.id == "kms" and vm.runtime.cryptoState == "safe"
    assert any(isinstance(one, vim.vm.device.VirtualTPM) for one in vm.config.hardware.device)
    vcenter.behave(key_providers=["another"])
    with pytest.raises(vim.fault.GenericVmConfigFault, match="kms"):
        done(vm.PowerOnVM_Task())
    vcenter.behave(key_providers=["kms"])
    done(vm.PowerOnVM_Task())


# ---- How a guest comes up and goes down


def test_guest_reports_after_a_while(vcenter: Simulator, client: Client) -> None:
    vcenter.behave(start={"tools": 0.3, "heartbeat": 0.6, "address": 0.9})
    vm = client.vm("scratch")
    done(vm.PowerOnVM_Task())
    assert (vm.guest.toolsRunningStatus, vm.guestHeartbeatStatus) == ("guestToolsNotRunning", "gray")
    assert vm.guest.ipAddress is None
    eventually(lambda: vm.guest.toolsRunningStatus == "guestToolsRunning")
    eventually(lambda: vm.guestHeartbeatStatus == "green")
    eventually(lambda: vm.guest.ipAddress)


def test_guest_that_never_reports(vcenter: Simulator, client: Client) -> None:
    vcenter.vm("scratch", start={"tools": 0, "heartbeat": -1, "address": -1})
    vm = client.vm("scratch")
    done(vm.PowerOnVM_Task())
    assert (vm.guest.toolsRunningStatus, vm.guestHeartbeatStatus, vm.guest.ipAddress) == (
        "guestToolsRunning", "gray", None,
    )  # fmt: skip
    vcenter.vm("scratch", start={"tools": -1})
    assert vm.guest.toolsRunningStatus == "guestToolsNotRunning"


def test_vm_that_is_on_from_the_start_is_up(vcenter: Simulator, client: Client) -> None:
    vcenter.behave(start={"tools": -1, "heartbeat": -1, "address": -1})
    vm = client.vm("web")
    assert (vm.guest.toolsRunningStatus, vm.guestHeartbeatStatus) == ("guestToolsRunning", "green")
    assert vm.guest.ipAddress


def test_guest_shuts_down_after_a_while_or_never(vcenter: Simulator, client: Client) -> None:
    vm = client.vm("web")
    vcenter.behave(start={"shutdown": -1})
    vm.ShutdownGuest()
    vcenter.behave(start={"shutdown": 0.2})
    assert vm.runtime.powerState == "poweredOn"
    vm.ShutdownGuest()
    assert vm.runtime.powerState == "poweredOn"
    eventually(lambda: vm.runtime.powerState == "poweredOff")
    with pytest.raises(vim.fault.InvalidPowerState):
        vm.ShutdownGuest()
    vcenter.vm("mail", tools="not_running")
    with pytest.raises(vim.fault.ToolsUnavailable):
        client.vm("mail").ShutdownGuest()


def test_unknown_behavior_is_refused(vcenter: Simulator) -> None:
    with pytest.raises(SimulatorError, match="unknown field"):
        vcenter.behave(nothing=1)
    with pytest.raises(SimulatorError, match="new_instance_uuid"):
        vcenter.behave(new_instance_uuid="sometimes")


def test_esxi_host_registers_and_asks_too(tmp_path: Path) -> None:
    datastores = [{"name": "vmware", "server": "10.0.2.15", "path": "/tank/vmware", "vms": [{"name": "mail"}]}]
    options: dict[str, Any] = {"directory": tmp_path, "esxi": True, "create_seconds": 0.01}
    with Simulator.start({"datastores": datastores}, **options) as esxi, session(esxi) as client:
        snapshot(client.vm("mail"))
        esxi.copy("mail", ".*mail-restored.*")
        copy = client.register(COPY, "restored", host="localhost.localdomain")
        done(snapshot_tree(copy)["ours"].snapshot.RevertToSnapshot_Task())
        task = copy.PowerOnVM_Task()
        answer(copy, "button.uuid.copiedTheVM")
        done(task)
        done(copy.PowerOffVM_Task())
        copy.UnregisterVM()
        host = client.host("localhost.localdomain")
        assert host.configManager.advancedOption.QueryOptions("NFS41.MaxVolumes")[0].value == 256


def test_vm_that_was_moved_by_vcenter_does_not_ask(vcenter: Simulator, client: Client, copy: Any) -> None:
    vcenter.move("scratch", datastore="other")
    vcenter.vm("scratch", vmx="local")
    done(client.vm("scratch").PowerOnVM_Task())
    vcenter.move("mail-restored", datastore="other")
    task = copy.PowerOnVM_Task()
    answer(copy, "button.uuid.movedTheVM")
    done(task)
