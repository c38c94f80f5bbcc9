# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The undo of each step on a fake vSphere: it looks first, can be repeated, and leaves what a person uses."""

from __future__ import annotations

from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import ConnectionFailed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import flow, undo_vsphere
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.flow import Patience, Requests
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.undo_vsphere import undo
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import vm_disks
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.registration import (
    start_rename as start_task,
)
from ansible_collections.quiesce.vmware_zfs.tests.unit.restore_scene import Scene


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "_RETRY", 0.01)
    monkeypatch.setattr(undo_vsphere, "_RETRY", 0.01)
    monkeypatch.setattr(undo_vsphere, "_PATIENCE", Patience(task=0.5, server=0.2))


@pytest.fixture
def patient(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for tasks, however busy the machine is."""
    monkeypatch.setattr(undo_vsphere, "_PATIENCE", Patience(task=60, server=30))


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.vcenter.stop()


@pytest.fixture
def restored(scene: Scene) -> Scene:
    scene.copy()
    assert scene.bring_one().error is None
    return scene


def step(scene: Scene, kind: str) -> dict[str, Any]:
    return next(dict(one["data"]) for one in scene.journal.steps if one["kind"] == kind)


def unregister(scene: Scene, finished: bool = False, **changes: Any) -> str:
    return undo(scene.session, "registration", {**step(scene, "registration"), **changes}, finished)


# ---- Registration


def test_a_registration_is_undone_and_the_files_stay(restored: Scene) -> None:
    assert unregister(restored) == "" and restored.names() == restored.before
    assert "[vmware] mail-restored/mail.vmx" in restored.vcenter.inventory.files
    assert unregister(restored) == ""


def test_without_its_id_a_vm_is_found_by_its_file(restored: Scene) -> None:
    assert unregister(restored, vm_moid="") == "" and restored.names() == restored.before


def test_a_vm_that_was_registered_again_is_found_by_its_file(restored: Scene) -> None:
    assert unregister(restored, vm_moid="vm-9999") == "" and restored.names() == restored.before


def test_a_datastore_that_was_renamed_is_recognised(restored: Scene) -> None:
    restored.vcenter.inventory.datastore("vmware").name = "vmware-old"
    assert unregister(restored) == "" and len(restored.names()) == 1


def test_a_vm_with_other_files_is_left_and_belongs_to_the_user(restored: Scene) -> None:
    """A person moved it to another datastore. So what was under it can be taken away."""
    machine = restored.vcenter.machine("mail-restored")
    machine.home = restored.vcenter.inventory.datastore("san")
    assert unregister(restored) == ""
    assert ("mail-restored", "[san] mail-restored/mail.vmx") in restored.names()


@pytest.mark.parametrize(
    ("power", "finished", "reason"),
    [
        ("on", False, "it is powered on, although its restore did not finish; power it off, then the next recovery "
                      "removes it"),
        ("on", True, "it is powered on; power it off first"),
        ("suspended", True, "it is suspended; resume it and shut it down first"),
    ],
)  # fmt: skip
def test_a_vm_that_runs_is_left(restored: Scene, power: str, finished: bool, reason: str) -> None:
    restored.vcenter.vm("mail-restored", power=power)
    assert unregister(restored, finished) == f"The VM 'mail-restored' is still registered, because {reason}"
    assert len(restored.names()) == 2 and not {"PowerOffVM_Task", "UnregisterVM"} & set(restored.vcenter.calls)


def test_a_suspended_copy_of_an_unfinished_restore_is_unregistered(restored: Scene) -> None:
    restored.vcenter.vm("mail-restored", power="suspended")
    assert unregister(restored) == ""


@pytest.mark.parametrize("effect", ["drop_before", "drop_after"])
def test_a_lost_answer_is_looked_up(restored: Scene, effect: str) -> None:
    restored.vcenter.rule(method="UnregisterVM", effect=effect, count=1)
    if effect == "drop_before":
        with pytest.raises(ConnectionFailed):
            unregister(restored)
    assert unregister(restored) == "" and restored.names() == restored.before


def test_what_the_server_refuses_is_reported(restored: Scene) -> None:
    restored.vcenter.rule(method="UnregisterVM", effect="call_fault", fault="NoPermission",
                          fields={"PrivilegeId": "VirtualMachine.Inventory.Unregister"})  # fmt: skip
    assert "lacks the privilege VirtualMachine.Inventory.Unregister" in unregister(restored)


def test_a_server_that_is_away_is_no_result(restored: Scene) -> None:
    restored.vcenter.rule(effect="drop_before")
    for kind in ("registration", "rename"):
        with pytest.raises(ConnectionFailed):
            undo(restored.session, kind, step(restored, kind))


# ---- Names


def test_a_name_is_given_back_once(restored: Scene) -> None:
    data = step(restored, "rename")
    assert undo(restored.session, "rename", data) == ""
    assert "mail-restored (restore 1a2b3c4d)" in [name for name, _unused in restored.names()]
    assert undo(restored.session, "rename", data) == ""


def start_rename(scene: Scene) -> dict[str, Any]:
    """Start to rename the living VM, as a restore does that is killed before the task has ended."""
    living = scene.living
    start_task(scene.session, living.moid, "mail-replaced")
    paths = {"vmx_path": living.vmx_path, "instance_uuid": living.instance_uuid}
    return {"vm_moid": living.moid, "before": "mail", "after": "mail-replaced", **paths}


@pytest.mark.usefixtures("patient")
def test_a_name_is_given_back_although_its_task_was_still_running(scene: Scene) -> None:
    scene.vcenter.rule(method="Rename_Task", effect="task_slow", seconds=0.2, count=1)
    data = start_rename(scene)
    assert undo(scene.session, "rename", data, pending=1.0) == "" and scene.names() == scene.before
    assert scene.is_idle()


def test_a_name_is_looked_at_again_while_its_task_runs(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.vcenter.rule(method="Rename_Task", effect="task_hang", count=1)
    data = start_rename(scene)
    assert undo(scene.session, "rename", data, pending=1.0) == (
        "A task is still running on the VM 'mail'; try again when it has ended"
    )
    scene.vcenter.release()
    monkeypatch.setattr(undo_vsphere, "_PATIENCE", Patience(task=60, server=30))
    assert undo(scene.session, "rename", data, pending=9.0) == "" and scene.names() == scene.before


def test_a_name_that_a_person_gave_stays(restored: Scene) -> None:
    restored.vcenter.machine("mail-restored").base = "mail"
    restored.vcenter.vm("mail-restored", name="mail-2025")
    assert undo(restored.session, "rename", step(restored, "rename")) == ""
    assert "mail-2025" in [name for name, _unused in restored.names()]


def test_another_vm_keeps_its_name(restored: Scene) -> None:
    data = {**step(restored, "rename"), "instance_uuid": "5001", "vmx_path": "[vmware] other/mail.vmx"}
    assert undo(restored.session, "rename", data) == (
        "The VM 'mail-restored' is not the one that the restore used, so it was left"
    )


@pytest.mark.usefixtures("patient")
def test_a_name_that_is_taken_is_reported(restored: Scene) -> None:
    restored.vcenter.register("vmware", name="mail-restored (restore 1a2b3c4d)")
    assert undo(restored.session, "rename", step(restored, "rename")) == (
        "The VM 'mail-restored' could not get its name 'mail-restored (restore 1a2b3c4d)' back: The name "
        "'mail-restored (restore 1a2b3c4d)' is taken by another VM in the same folder"
    )


def test_a_vm_that_no_longer_exists_needs_no_undo(restored: Scene) -> None:
    steps = [("rename", step(restored, "rename")), ("living_off", {"vm_moid": "vm-9999", "instance_uuid": "1"})]
    restored.vcenter.unregister("mail-restored")
    assert [undo(restored.session, kind, data) for kind, data in steps] == ["", ""]


# ---- Disks


FILE = "[restore-1] mail/mail.vmdk"


def attach(scene: Scene) -> dict[str, Any]:
    requests = Requests(scene.session, Patience(task=5))
    holder = vm_disks.read_disks(scene.session, scene.living.moid)
    assert holder is not None and holder.key_of(FILE) is None
    flow.run_alone(
        scene.session,
        requests.carry_out("The attachment", vm_disks.start_attach, scene.living.moid, holder, FILE),
    )
    return {"vm_moid": scene.living.moid, "instance_uuid": scene.living.instance_uuid, "file": FILE}


def test_a_disk_is_attached_and_removed_without_its_file(scene: Scene) -> None:
    data = attach(scene)
    assert scene.living.config.disks == [{}, {"kind": "independent_persistent", "file": FILE}]
    assert undo(scene.session, "attach", data) == "" and scene.living.config.disks == [{}]
    assert undo(scene.session, "attach", data) == ""


@pytest.mark.usefixtures("patient")
def test_a_disk_is_removed_although_its_task_was_still_running(scene: Scene) -> None:
    scene.vcenter.rule(method="ReconfigVM_Task", effect="task_slow", seconds=0.2, count=1)
    holder = vm_disks.read_disks(scene.session, scene.living.moid)
    assert holder is not None
    vm_disks.start_attach(scene.session, scene.living.moid, holder, FILE)
    data = {"vm_moid": scene.living.moid, "instance_uuid": scene.living.instance_uuid, "file": FILE}
    assert undo(scene.session, "attach", data, pending=1.0) == "" and scene.living.config.disks == [{}]
    assert scene.is_idle()


def test_a_disk_of_another_vm_is_left(scene: Scene) -> None:
    data = {**attach(scene), "instance_uuid": "5001"}
    assert undo(scene.session, "attach", data) == "The VM 'mail' is not the one that the restore used, so it was left"
    assert len(scene.living.config.disks) == 2


def test_a_disk_that_cannot_be_removed_is_reported(scene: Scene) -> None:
    data = attach(scene)
    scene.vcenter.rule(method="ReconfigVM_Task", effect="task_fault", fault="InvalidDeviceOperation")
    assert "The removal of the disk failed: " in undo(scene.session, "attach", data)


def test_a_vm_without_a_free_slot_is_refused(scene: Scene) -> None:
    scene.vcenter.vm("mail", disks=[{}] * 16)
    with pytest.raises(Exception, match="The VM has no free slot for a disk"):
        attach(scene)


# ---- A VM that was asked to shut down


def off(scene: Scene) -> dict[str, Any]:
    return {"vm_moid": scene.living.moid, "instance_uuid": scene.living.instance_uuid}


def test_a_vm_that_was_asked_to_shut_down_is_looked_at_again(scene: Scene) -> None:
    """The restore was killed while the guest was shutting down, which takes a while."""
    said = "The VM 'mail' was asked to shut down, and may still do that; look at it later"
    assert undo(scene.session, "living_off", off(scene), pending=20.0) == said
    scene.vcenter.vm("mail", power="off")
    said = "The VM 'mail' was shut down and is off; power it on"
    assert undo(scene.session, "living_off", off(scene), pending=40.0) == said
    scene.vcenter.vm("mail", power="on")
    assert undo(scene.session, "living_off", off(scene), pending=3600.0) == ""


def test_a_vm_that_was_powered_on_again_after_its_shutdown_is_in_order(scene: Scene) -> None:
    assert undo(scene.session, "living_off", off(scene)) == ""
