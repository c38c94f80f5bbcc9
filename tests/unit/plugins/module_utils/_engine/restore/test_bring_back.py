# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM comes back on a fake vSphere, and every step fails once."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import RegistryError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import flow, power_on, undo_vsphere
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.networks import Network
from ansible_collections.quiesce.vmware_zfs.tests.unit.restore_scene import OURS, Scene

IDENTITY = {
    "id": "msg.uuid.altered",
    "text": "msg.uuid.altered:This virtual machine might have been moved or copied.",
    "choices": {"0": "button.uuid.cancel", "1": "button.uuid.copiedTheVM", "2": "button.uuid.movedTheVM"},
}
TASKS = [
    "RegisterVM_Task", "RevertToSnapshot_Task", "RemoveSnapshot_Task", "ReconfigVM_Task", "Rename_Task",
    "PowerOnVM_Task",
]  # fmt: skip


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "_RETRY", 0.01)
    monkeypatch.setattr(power_on, "_LOOK", 0.05)
    monkeypatch.setattr(power_on, "_POWER_OFF", 0.2)
    monkeypatch.setattr(undo_vsphere, "_RETRY", 0.01)
    monkeypatch.setattr(undo_vsphere, "_PATIENCE", flow.Patience(task=0.5, server=2))


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.vcenter.stop()


def test_a_vm_comes_back_beside_the_living_one(scene: Scene) -> None:
    copy = scene.copy(["before-upgrade", OURS])
    brought = scene.bring_one()
    assert brought.error is None and brought.reverted and brought.moid == copy.moid
    assert scene.names() == [
        ("mail", "[vmware] mail/mail.vmx"),
        ("mail-restored", "[vmware] mail-restored/mail.vmx"),
    ]
    assert [node.name for node in copy.nodes()] == ["before-upgrade"] and copy.current == copy.snapshots[0].moid
    assert copy.config.power == "off" and copy.config.cards == [{"network": "LAN", "connected": False}]
    assert copy.config.extra_config == {"uuid.action": "create"} and not copy.config.change_tracking
    assert scene.journal.kinds() == [("registration", "done"), ("rename", "done"), ("handover", "done")]
    assert scene.journal.steps[0]["data"]["vm_moid"] == copy.moid
    assert scene.living.config.power == "on" and scene.living.config.cards == [{"network": "LAN"}]


def test_a_restore_needs_few_requests_and_counts_them(scene: Scene) -> None:
    scene.copy(["before-upgrade", OURS])
    brought = scene.bring_one(power_on=True)
    assert brought.powered_on
    looks = 1  # at the guest, which all VMs share
    assert brought.requests == scene.requests() - looks <= 12


def test_the_revert_comes_after_the_proof_and_the_cards_after_the_revert(scene: Scene) -> None:
    scene.copy()
    order = {name: number for number, name in enumerate(scene_calls(scene))}
    assert order["RegisterVM_Task"] < order["RevertToSnapshot_Task"] < order["RemoveSnapshot_Task"]
    assert order["RemoveSnapshot_Task"] < order["ReconfigVM_Task"] < order["Rename_Task"]


def scene_calls(scene: Scene) -> list[str]:
    scene.bring_one()
    return [name for name in scene.vcenter.calls if name.endswith("_Task")]  # in the order of their first calls


def test_the_revert_is_to_ours_and_not_to_the_current_one(scene: Scene) -> None:
    """Another product created a VMware snapshot between ours and the ZFS snapshot."""
    copy = scene.copy(["before-upgrade", OURS, "other-product"])
    copy.snapshots[0].children[0].config = replace(copy.config, guest="windows")
    brought = scene.bring_one()
    assert brought.reverted and copy.config.guest == "windows"
    assert [node.name for node in copy.nodes()] == ["before-upgrade", "other-product"]


def test_a_vm_without_ours_comes_back_without_a_revert(scene: Scene) -> None:
    copy = scene.copy(["before-upgrade"])
    brought = scene.bring_one(snapshot="")
    assert brought.error is None and not brought.reverted and "RevertToSnapshot_Task" not in scene.vcenter.calls
    assert [node.name for node in copy.nodes()] == ["before-upgrade"]


def test_a_vm_that_lost_ours_is_refused(scene: Scene) -> None:
    """Its files list it, so without it the VM would start from what it wrote after the quiesce."""
    scene.copy(["before-upgrade"])
    brought = scene.bring_one(snapshot=OURS)
    assert "has no VMware snapshot" in str(brought.error) and not brought.handed_over
    assert scene.undo() == [] and scene.names() == scene.before


def test_a_vm_that_does_not_start_is_handed_over_all_the_same(scene: Scene) -> None:
    """It is complete, so the user can look for the cause."""
    copy = scene.copy()
    scene.vcenter.rule(method="PowerOnVM_Task", effect="task_fault", fault="GenericVmConfigFault", message="no luck")
    brought = scene.bring_one(power_on=True)
    assert brought.handed_over and not brought.powered_on and "no luck" in str(brought.error)
    assert copy.config.name == "mail-restored" and scene.journal.kinds()[-1] == ("handover", "done")


def test_a_vm_that_fails_before_is_not_handed_over(scene: Scene) -> None:
    scene.copy()
    scene.vcenter.rule(method="ReconfigVM_Task", effect="task_fault", fault="GenericVmConfigFault", message="no luck")
    assert not scene.bring_one().handed_over and "handover" not in dict(scene.journal.kinds())


def test_cards_of_a_vm_that_replaces_another_stay(scene: Scene) -> None:
    copy = scene.copy(cards=[{"network": "LAN", "connected": True}])
    assert scene.bring_one(keep_cards=True).error is None
    assert copy.config.cards == [{"network": "LAN", "connected": True}]


@pytest.mark.parametrize(
    ("network", "card"),
    [
        (Network("network-1", "Lab", "Lab"), {"network": "Lab", "connected": True}),
        (Network("dvportgroup-1", "Lab", "dvportgroup-1", "50 2f"),
         {"network": "dvportgroup-1", "switch": "50 2f", "connected": True}),
    ],
)  # fmt: skip
def test_cards_move_to_a_port_group(scene: Scene, network: Network, card: dict[str, Any]) -> None:
    copy = scene.copy(cards=[{"network": "LAN", "connected": True}])
    assert scene.bring_one(network=network).error is None
    assert copy.config.cards == [card]


def test_static_addresses_are_reported(scene: Scene) -> None:
    scene.copy(cards=[{"network": "LAN"}, {"network": "DMZ", "static": True}])
    assert scene.bring_one().static_cards == ("Network adapter 2",)


def test_a_template_is_only_registered_and_renamed(scene: Scene) -> None:
    copy = scene.copy(template=True)
    brought = scene.bring_one(template=True, power_on=True)
    assert brought.error is None and not brought.reverted and not brought.powered_on
    assert copy.config.template and copy.config.name == "mail-restored" and copy.pool == ""
    assert not {"RevertToSnapshot_Task", "ReconfigVM_Task", "PowerOnVM_Task"} & set(scene.vcenter.calls)


def test_a_suspended_vm_is_powered_off_before_its_cards_are_disconnected(scene: Scene) -> None:
    copy = scene.copy([], power="suspended")
    brought = scene.bring_one(snapshot="")
    assert brought.error is None and brought.memory_discarded and copy.config.power == "off"
    assert copy.config.cards[0]["connected"] is False


# ---- The proof


@pytest.mark.parametrize("where", ["now", "in the snapshot"])
def test_a_disk_of_the_living_vm_is_refused_before_anything_is_done(scene: Scene, where: str) -> None:
    copy = scene.copy()
    bad = replace(copy.config, disks=[{}, {"folder": "mail"}])
    if where == "now":
        copy.config = bad
    else:
        copy.snapshots[0].config = bad
    brought = scene.bring_one()
    assert brought.error is not None and "Hard disk 2" in str(brought.error)
    assert "'[vmware] mail/mail_1" in str(brought.error) and "is not in the copy" in str(brought.error)
    assert {name for name in scene.vcenter.calls if name.endswith("_Task")} == {"RegisterVM_Task"}
    assert scene.undo() == [] and scene.names() == scene.before


def test_what_appears_with_the_revert_is_refused_before_the_settings_change(scene: Scene) -> None:
    """The second proof reads the disks that the revert brought."""
    copy = scene.copy()
    scene.vcenter.rule(method="RemoveSnapshot_Task", effect="task_slow", seconds=0.2)
    original = scene.vcenter.inventory.remove_snapshot

    def remove(machine: Any, moid: str) -> bool:
        copy.config = replace(copy.config, disks=[{"datastore": "san"}])
        return original(machine, moid)

    scene.vcenter.inventory.remove_snapshot = remove  # type: ignore[method-assign]
    brought = scene.bring_one()
    assert "[san] mail-restored/mail.vmdk" in str(brought.error) and "ReconfigVM_Task" not in scene.vcenter.calls
    assert scene.undo() == [] and scene.names() == scene.before


def test_an_unreadable_copy_is_refused(scene: Scene) -> None:
    scene.copy()
    scene.vcenter.deny("System.Read", r"mail-restored.*")
    brought = scene.bring_one()
    assert "System.Read" in str(brought.error)
    scene.vcenter.grant_all()
    assert scene.undo() == [] and scene.names() == scene.before


def test_a_copy_on_a_disconnected_host_is_refused(scene: Scene) -> None:
    scene.copy(properties={"runtime.connectionState": "disconnected"})
    brought = scene.bring_one()
    assert "vSphere shows it as disconnected" in str(brought.error)
    assert scene.undo() == [
        "The VM 'mail-restored (restore 1a2b3c4d)' is still registered, because its host is not connected, so its "
        "state is unknown; connect the host"
    ]


# ---- Answers that are lost


@pytest.mark.parametrize("method", TASKS)
@pytest.mark.parametrize("effect", ["drop_before", "drop_after"])
def test_a_lost_answer_is_looked_up(scene: Scene, method: str, effect: str) -> None:
    copy = scene.copy()
    scene.vcenter.rule(method=method, effect=effect, count=1)
    brought = scene.bring_one(power_on=True)
    assert brought.error is None and brought.reverted and brought.powered_on and copy.config.power == "on"
    assert [name for name, _unused in scene.names()] == ["mail", "mail-restored"]


@pytest.mark.parametrize("method", TASKS)
@pytest.mark.parametrize("carried_out", [True, False])
def test_a_task_that_vanishes_is_looked_up(scene: Scene, method: str, carried_out: bool) -> None:
    copy = scene.copy()
    scene.vcenter.rule(method=method, effect="task_vanish", carried_out=carried_out, count=1)
    brought = scene.bring_one(power_on=True)
    assert brought.error is None and brought.reverted and copy.config.power == "on"


@pytest.mark.parametrize("method", TASKS)
def test_a_busy_vm_is_waited_for(scene: Scene, method: str) -> None:
    scene.copy()
    scene.vcenter.rule(method=method, effect="task_fault", fault="TaskInProgress", count=2,
                       fields={"Task": {"Type": "Task", "Value": "task-0"}})  # fmt: skip
    assert scene.bring_one(power_on=True).error is None


def test_a_session_that_ends_is_opened_again(scene: Scene) -> None:
    scene.copy()
    scene.vcenter.rule(method="RegisterVM_Task", effect="task_slow", seconds=0.2)
    vms = scene.vm()
    scene.vcenter.expire_sessions()
    assert scene.bring(vms)[0].error is None


# ---- What fails


@pytest.mark.parametrize("method", TASKS)
def test_a_task_that_fails_ends_the_restore_and_leaves_nothing(scene: Scene, method: str) -> None:
    scene.copy()
    scene.vcenter.rule(method=method, effect="task_fault", fault="GenericVmConfigFault", message="no such\nluck")
    brought = scene.bring_one(power_on=True)
    assert "no such\\nluck (GenericVmConfigFault)" in str(brought.error) and " failed: " in str(brought.error)
    assert scene.undo() == [] and scene.names() == scene.before
    assert "PowerOffVM_Task" not in scene.vcenter.calls


@pytest.mark.parametrize("method", TASKS)
def test_a_missing_privilege_is_named(scene: Scene, method: str) -> None:
    scene.copy()
    scene.vcenter.rule(method=method, effect="call_fault", fault="NoPermission",
                       fields={"PrivilegeId": "VirtualMachine.Some.Privilege"})  # fmt: skip
    brought = scene.bring_one(power_on=True)
    assert "lacks the privilege VirtualMachine.Some.Privilege" in str(brought.error)
    assert scene.undo() == [] and scene.names() == scene.before


@pytest.mark.parametrize("method", TASKS)
def test_a_task_without_end_is_given_up(scene: Scene, method: str) -> None:
    scene.copy()
    scene.patience = replace(scene.patience, task=0.3, power_on=0.3)
    scene.vcenter.rule(method=method, effect="task_hang", count=1)
    brought = scene.bring_one(power_on=True)
    assert "did not end within 0.3 s" in str(brought.error)
    assert scene.undo() != []  # a task still works on the VM
    scene.vcenter.release()
    for _unused in range(100):
        if scene.is_idle():
            break
        time.sleep(0.01)
    left = scene.undo()
    if method == "PowerOnVM_Task":
        assert ["powered on" in text for text in left] == [True]
    else:
        assert left == [] and scene.names() == scene.before


def test_a_name_that_was_taken_meanwhile(scene: Scene) -> None:
    scene.copy()
    scene.vcenter.register("vmware", name="mail-restored", power="off")
    before = scene.names()
    brought = scene.bring_one()
    assert str(brought.error) == (
        "The name 'mail-restored' is taken by another VM in the same folder; choose another name."
    )
    assert scene.undo() == [] and scene.names() == before


def test_two_vmware_snapshots_of_the_name_of_ours_are_refused(scene: Scene) -> None:
    scene.copy([OURS, OURS])
    assert "has 2 VMware snapshots" in str(scene.bring_one().error)
    assert "RevertToSnapshot_Task" not in scene.vcenter.calls


def test_a_journal_that_cannot_be_written_ends_the_restore_before_the_step(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.copy()

    def full(*_unused: Any) -> int:
        raise RegistryError("The state database is full")

    monkeypatch.setattr("ansible_collections.quiesce.vmware_zfs.tests.unit.restore_scene.Journal.intend", full)
    assert str(scene.bring_one().error) == "The state database is full."
    assert scene.names() == scene.before and not scene.vcenter.calls


def test_a_stopped_restore_says_so(scene: Scene) -> None:
    scene.copy()
    assert str(scene.bring(scene.vm(), stopped=lambda: True)[0].error) == ("The restore was stopped; start it again.")
    scene.vcenter.rule(method="RevertToSnapshot_Task", effect="task_slow", seconds=0.5)
    brought = scene.bring(scene.vm(), stopped=lambda: "RevertToSnapshot_Task" in scene.vcenter.calls)[0]
    assert str(brought.error) == "The restore was stopped; start it again."
    assert scene.journal.kinds() == [("registration", "done")]


# ---- Power-on


@pytest.mark.parametrize(("identity", "label"), [("create", "copiedTheVM"), ("keep", "movedTheVM")])
@pytest.mark.parametrize("numbers", [("0", "1", "2"), ("2", "0", "1")])
def test_the_question_is_answered_by_its_label(
    scene: Scene, identity: str, label: str, numbers: tuple[str, str, str]
) -> None:
    choices = dict(zip(numbers, IDENTITY["choices"].values()))  # type: ignore[attr-defined]
    copy = scene.copy(question={**IDENTITY, "choices": choices})
    brought = scene.bring_one(power_on=True, identity=identity)
    assert brought.error is None and copy.config.power == "on" and copy.answer == f"button.uuid.{label}"


def test_the_setting_avoids_the_question(scene: Scene) -> None:
    scene.copy(question={**IDENTITY, "avoidable": True})
    assert scene.bring_one(power_on=True).powered_on and "AnswerVM" not in scene.vcenter.calls


@pytest.mark.parametrize(
    "question",
    [
        {"id": "msg.disk.noBackEnd", "text": "Cannot find\x1b[2J a disk.",
         "choices": {"0": "button.retry", "1": "button.cancel"}},
        {"id": "msg.disk.noBackEnd", "text": "Cannot find\x1b[2J a disk.", "choices": {"0": "Yes", "1": "No"}},
        {**IDENTITY, "choices": {"0": "Cancel", "1": "I moved it", "2": "I copied it"},
         "text": "Cannot find\x1b[2J a disk."},
    ],
)  # fmt: skip
def test_an_unexpected_question_is_quoted_and_not_answered(scene: Scene, question: dict[str, Any]) -> None:
    copy = scene.copy(question=question)
    copy_is_stuck = not any(label.endswith(".cancel") for label in question["choices"].values())
    brought = scene.bring_one(power_on=True)
    assert str(brought.error) == (
        "The VM asked an unexpected question at power-on: 'Cannot find\\x1b[2J a disk.'; restore it without power-on, "
        "then power it on in the vSphere client and answer the question there."
    )
    assert copy.answer == ("" if copy_is_stuck else "button.cancel")
    left = scene.undo()
    assert bool(left) is copy_is_stuck
    if not copy_is_stuck:
        assert scene.names() == scene.before


def test_the_guest_is_waited_for_and_reported(scene: Scene) -> None:
    scene.copy()
    scene.patience = replace(scene.patience, guest=5)
    brought = scene.bring_one(power_on=True)
    assert brought.missing == () and brought.guest is not None
    assert (brought.guest.heartbeat, brought.guest.tools, brought.guest.address) == ("green", "running", "")


def test_a_guest_on_a_port_group_has_an_address(scene: Scene) -> None:
    scene.copy(cards=[{"network": "LAN"}])
    scene.patience = replace(scene.patience, guest=5)
    brought = scene.bring_one(power_on=True, network=Network("network-1", "Lab", "Lab"))
    assert brought.missing == () and brought.guest is not None and brought.guest.address == "10.0.2.77"


@pytest.mark.parametrize(("tools", "guest"), [("not_running", 0.2), ("not_installed", 600.0)])
def test_a_guest_that_does_not_come_is_no_error(scene: Scene, tools: str, guest: float) -> None:
    """Without VMware Tools there is nothing to wait for."""
    scene.copy(tools=tools)
    scene.patience = replace(scene.patience, guest=guest)
    brought = scene.bring_one(power_on=True)
    assert brought.error is None and brought.powered_on and brought.missing == ("heartbeat", "VMware Tools")


# ---- Many at once


def test_many_vms_come_back_at_once_with_one_waiter(scene: Scene) -> None:
    directories = [f"mail-{number}" for number in range(20)]
    for directory in directories:
        scene.copy(directory=directory)
    scene.copy(directory="broken", disks=[{"datastore": "san"}])
    results = scene.bring(*(scene.vm(directory, power_on=True) for directory in [*directories, "broken"]))
    assert [one.error is None for one in results] == [True] * 20 + [False]
    assert all(one.requests <= 12 for one in results)
    assert scene.vcenter.calls["CreatePropertyCollector"] == 1
    assert sum(one.requests for one in results) + 40 > scene.requests()


def test_one_account_for_each_vm(scene: Scene) -> None:
    """The journal of a VM has only its own steps."""
    for directory in ("a", "b"):
        scene.copy(directory=directory)
    scene.bring(scene.vm("a"), scene.vm("b"))
    assert [journal.steps[0]["data"]["vmx_path"] for journal in scene.journals] == [
        "[vmware] a/mail.vmx",
        "[vmware] b/mail.vmx",
    ]
