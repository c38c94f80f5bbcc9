# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy takes the place of the living VM, which is shut down, renamed and kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import flow, undo_vsphere
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import replace as replacement
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.replace import name_aside
from ansible_collections.quiesce.vmware_zfs.tests.unit.restore_scene import Scene

ASIDE = ("mail-replaced-2026-11-28", "[vmware] mail/mail.vmx")
OURS_NOW = ("mail", "[vmware] mail-restored/mail.vmx")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "_RETRY", 0.01)
    monkeypatch.setattr(replacement, "_LOOK", 0.05)
    monkeypatch.setattr(undo_vsphere, "_RETRY", 0.01)
    monkeypatch.setattr(undo_vsphere, "_PATIENCE", flow.Patience(task=0.5, server=2))


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.vcenter.stop()


def bring(scene: Scene, force: bool = False, power_on: bool = False) -> str:
    """Replace the living VM. Returns the error, or ""."""
    living = scene.replacing(force)
    brought = scene.bring_one(name="mail", identity="keep", living=living, power_on=power_on)
    return str(brought.error or "")


def test_the_copy_takes_the_name_and_the_living_vm_is_kept(scene: Scene) -> None:
    copy = scene.copy()
    assert bring(scene, power_on=True) == ""
    assert scene.names() == sorted([ASIDE, OURS_NOW])
    assert scene.living.config.power == "off" and copy.config.power == "on"
    assert scene.living.config.cards == [{"network": "LAN"}] and copy.config.extra_config == {"uuid.action": "keep"}
    assert scene.journal.kinds() == [
        ("registration", "done"),
        ("living_off", "done"),
        ("rename", "done"),
        ("rename", "done"),
        ("handover", "done"),
    ]
    assert "PowerOffVM_Task" not in scene.vcenter.calls


def test_the_living_vm_is_not_touched_before_the_copy_is_proven(scene: Scene) -> None:
    scene.copy(disks=[{"folder": "mail"}])
    assert "is not in the copy" in bring(scene, force=True)
    assert scene.living.config.power == "on" and not {"ShutdownGuest", "PowerOffVM_Task"} & set(scene.vcenter.calls)
    assert scene.undo() == [] and scene.names() == scene.before


@pytest.mark.parametrize("power", ["off", "suspended"])
def test_a_living_vm_that_is_off_is_only_renamed(scene: Scene, power: str) -> None:
    scene.vcenter.vm("mail", power=power)
    scene.copy()
    assert bring(scene) == "" and scene.names() == sorted([ASIDE, OURS_NOW])
    assert scene.living.config.power == power and ("living_off", "done") not in scene.journal.kinds()


@pytest.mark.parametrize(
    ("living", "problem"),
    [
        ({"stubborn": True}, "its guest did not shut down within 0.2 s"),
        ({"tools": "not_running"}, "could not shut down the guest of a VM"),
    ],
)
def test_a_guest_that_does_not_shut_down_needs_force(living: dict[str, object], problem: str) -> None:
    scene = Scene(**living)
    scene.copy()
    error = bring(scene)
    assert error.startswith("The original VM 'mail' was not shut down: ")
    assert problem in error and error.endswith("shut it down in its guest, or use force to power it off.")
    assert scene.living.config.power == "on"
    state = "intended" if living.get("stubborn") else "done"  # one that was asked may still shut down
    assert [one for one in scene.journal.kinds() if one[0] == "living_off"] == [("living_off", state)]
    assert scene.undo() == [] and scene.names() == scene.before
    scene.copy()
    assert bring(scene, force=True) == "" and scene.living.config.power == "off"
    assert scene.names() == sorted([ASIDE, OURS_NOW])
    scene.vcenter.stop()


def test_a_living_vm_that_is_another_one_is_left_alone(scene: Scene) -> None:
    scene.copy()
    living = replace(scene.replacing(), instance_uuid="5001")
    brought = scene.bring_one(name="mail", living=living)
    assert "is not the same as when the restore began" in str(brought.error)
    assert scene.living.config.power == "on" and scene.undo() == [] and scene.names() == scene.before


def test_a_living_vm_that_moved_is_left_alone(scene: Scene) -> None:
    scene.copy()
    living = replace(scene.replacing(), vmx_path="[san] mail/mail.vmx")
    assert scene.bring_one(name="mail", living=living).error is not None
    assert scene.living.config.power == "on"


def test_a_living_vm_that_another_restore_has_replaced_is_left_alone(scene: Scene) -> None:
    scene.copy()
    scene.vcenter.vm("mail", name="mail-replaced-2026-11-27")
    assert "is not the same as when the restore began" in bring(scene)
    assert scene.living.config.power == "on" and "mail-replaced-2026-11-27" in [name for name, _path in scene.names()]


def test_a_name_that_is_taken_is_noticed_before_the_shutdown(scene: Scene) -> None:
    scene.copy()
    scene.vcenter.register("vmware", name=ASIDE[0], power="off")
    before = scene.names()
    assert bring(scene) == (
        "The original VM cannot be renamed: the name 'mail-replaced-2026-11-28' is taken; rename the VM that has this "
        "name."
    )
    assert scene.living.config.power == "on" and scene.undo() == [] and scene.names() == before


def test_a_living_vm_on_a_disconnected_host_is_left_alone(scene: Scene) -> None:
    scene.copy()
    scene.vcenter.vm("mail", properties={"runtime.connectionState": "notResponding"})
    assert "The host of the original VM 'mail' is not connected" in bring(scene, force=True)
    assert scene.living.config.power == "on" and "ShutdownGuest" not in scene.vcenter.calls


@pytest.mark.parametrize("effect", ["drop_before", "drop_after"])
@pytest.mark.parametrize("method", ["ShutdownGuest", "Rename_Task", "FindChild"])
def test_a_lost_answer_is_looked_up(scene: Scene, method: str, effect: str) -> None:
    scene.copy()
    scene.vcenter.rule(method=method, effect=effect, count=1)
    assert bring(scene, force=True) == "" and scene.names() == sorted([ASIDE, OURS_NOW])
    assert scene.living.config.power == "off"


def test_a_lost_power_off_is_looked_up(scene: Scene) -> None:
    scene.vcenter.vm("mail", tools="not_running")
    scene.copy()
    scene.vcenter.rule(method="PowerOffVM_Task", effect="drop_after", count=1)
    assert bring(scene, force=True) == "" and scene.living.config.power == "off"


def test_a_failure_after_the_shutdown_gives_the_names_back_and_reports_the_living_vm(scene: Scene) -> None:
    """It is not powered on again: a person decides that."""
    scene.copy()
    scene.vcenter.rule(method="PowerOnVM_Task", effect="task_fault", fault="InsufficientResourcesFault")
    assert "InsufficientResourcesFault" in bring(scene, power_on=True)
    assert scene.undo() == ["The VM 'mail' was shut down and is off; power it on"]
    assert scene.names() == scene.before and scene.living.config.power == "off"
    scene.vcenter.vm("mail", power="on")
    assert scene.undo() == []


def test_the_new_name_fits_into_the_inventory() -> None:
    assert name_aside("mail", "2026-11-28") == "mail-replaced-2026-11-28"
    assert name_aside("m" * 80, "2026-11-28") == "m" * 60 + "-replaced-2026-11-28"
