# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a restore are undone in reverse order, and what is still needed stays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator, Mapping
from unittest.mock import ANY

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import ConnectionFailed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import undo as undoing
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import undo_storage, undo_vsphere
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.steps import VmSteps
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import (
    DONE,
    ENDED,
    FOLDER,
    RUNNING,
    UNDONE,
    RestoreRecord,
    Restores,
)

RESTORE = RestoreRecord("r1", "tank/vmware@auto", FOLDER, "mail, web", "mail-restored", "vcenter", 443, "restorer")


@dataclass
class World:
    """Undoes nothing in reality. `stays` are the kinds of which something stays."""

    engine: Any
    restores: Restores
    undone: list[str]
    stays: dict[str, str]

    def step(self, kind: str, vm: str = "", done: bool = True) -> None:
        steps = VmSteps(self.restores, "r1", vm)
        number = steps.intend(kind, {"which": f"{vm} {kind}".strip()})
        if done:
            steps.done(number)

    def undo(self, finished: bool = False, session: Any = "session") -> list[str]:
        self.undone.clear()
        return undoing.undo(self.engine, session, RESTORE, finished)

    def state(self) -> str:
        return self.restores.get("r1").state


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    paths = Paths(tmp_path / "state", tmp_path / "key", tmp_path / "locks")
    with Database.open(paths) as database:
        restores = Restores(database)
        restores.open(RESTORE)
        made = World(SimpleNamespace(restores=restores, zfs=None), restores, [], {})

        def undo(_place: Any, kind: str, data: Mapping[str, Any], *_more: Any) -> str:
            made.undone.append(data["which"])
            if made.stays.get(kind) == "unreachable":
                raise ConnectionFailed("vcenter could not be reached", "Check the network")
            return made.stays.get(kind, "")

        monkeypatch.setattr(undo_storage, "undo", undo)
        monkeypatch.setattr(undo_vsphere, "undo", undo)
        yield made


def of_two_vms(world: World) -> None:
    world.step("hold")
    for vm in ("mail", "web"):
        world.step("folder", vm)
        world.step("registration", vm)
        world.step("rename", vm, done=False)


def test_everything_is_undone_in_reverse_order(world: World) -> None:
    of_two_vms(world)
    assert world.undo() == [] and world.state() == UNDONE
    assert world.undone == [
        "web rename", "web registration", "web folder", "mail rename", "mail registration", "mail folder", "hold"
    ]  # fmt: skip
    assert world.undo() == [] and world.undone == []


def test_the_files_stay_while_a_vm_is_registered(world: World) -> None:
    of_two_vms(world)
    world.stays["registration"] = "The VM 'mail' is still registered"
    assert world.undo() == ["The VM 'mail' is still registered"] * 2
    assert world.undone == ["web rename", "web registration", "mail rename", "mail registration", "hold"]
    assert world.state() == RUNNING
    assert {step.note for step in world.restores.steps("r1") if step.kind == "registration"} == {
        "The VM 'mail' is still registered"
    }
    world.stays.clear()
    assert world.undo() == [] and world.undone == ["web registration", "web folder", "mail registration", "mail folder"]
    assert world.state() == UNDONE


def test_a_clone_stays_while_it_is_mounted(world: World) -> None:
    for kind in ("hold", "clone", "export", "mount"):
        world.step(kind)
    world.step("registration", "mail")
    world.stays["mount"] = "The datastore is still mounted"
    assert world.undo() == ["The datastore is still mounted"]
    assert world.undone == ["mail registration", "mount", "hold"]


def test_a_clone_stays_while_one_of_its_vms_does(world: World) -> None:
    for kind in ("clone", "export", "mount"):
        world.step(kind)
    world.step("registration", "mail")
    world.step("rename", "web")
    world.stays["registration"] = "It is powered on"
    assert world.undo() == ["It is powered on"] and world.undone == ["web rename", "mail registration"]


def test_a_vm_that_was_handed_over_stays_with_all_that_it_needs(world: World) -> None:
    world.step("hold")
    for kind in ("clone", "mount"):
        world.step(kind)
    for kind in ("registration", "rename", "handover"):
        world.step(kind, "mail")
    world.step("registration", "web")
    assert world.undo() == [] and world.undone == ["web registration", "hold"] and world.state() == DONE


def test_a_handover_that_did_not_happen_does_not_count(world: World) -> None:
    world.step("registration", "mail")
    world.step("handover", "mail", done=False)
    assert world.undo() == [] and world.undone == ["mail registration"] and world.state() == UNDONE


def test_a_user_ends_what_was_handed_over(world: World) -> None:
    for kind in ("clone", "mount"):
        world.step(kind)
    for kind in ("registration", "handover"):
        world.step(kind, "mail")
    assert world.undo(finished=True) == [] and world.undone == ["mail registration", "mount", "clone"]
    assert world.state() == ENDED


def test_a_living_vm_that_is_off_is_reported_and_delays_nothing(world: World) -> None:
    for kind in ("folder", "registration", "living_off", "rename"):
        world.step(kind, "mail")
    world.stays["living_off"] = "The VM 'mail' was shut down and is off; power it on"
    assert world.undo() == ["The VM 'mail' was shut down and is off; power it on"]
    assert world.undone == ["mail rename", "mail living_off", "mail registration", "mail folder"]
    world.stays.clear()
    assert world.undo() == [] and world.state() == UNDONE


def test_a_living_vm_that_was_replaced_is_off_on_purpose(world: World) -> None:
    for kind in ("registration", "living_off", "rename", "handover"):
        world.step(kind, "mail")
    world.stays["living_off"] = "The VM 'mail' was shut down and is off; power it on"
    assert world.undo() == [] and world.undone == [] and world.state() == DONE


def test_a_user_who_ends_a_restore_knows_what_is_off(world: World) -> None:
    for kind in ("registration", "living_off", "handover"):
        world.step(kind, "mail")
    world.stays["living_off"] = "The VM 'mail' was shut down and is off; power it on"
    assert world.undo(finished=True) == [] and world.undone == ["mail registration"] and world.state() == ENDED


def test_what_is_left_of_a_failed_vm_keeps_the_restore_open_for_recovery(world: World) -> None:
    for vm in ("mail", "web"):
        world.step("registration", vm)
    world.step("handover", "mail")
    world.stays["registration"] = "It is powered on"
    assert world.undo() == ["It is powered on"] and world.undone == ["web registration"] and world.state() == RUNNING
    world.stays.clear()
    assert world.undo() == [] and world.undone == ["web registration"] and world.state() == DONE


def test_the_marker_of_a_folder_that_was_handed_over_goes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    monkeypatch.setattr(undoing, "hand_over", lambda host, place: given.append(place.path))
    world.engine.zfs = SimpleNamespace(host=None)
    data = {"path": "/tank/vmware/mail-restored", "temporary": "/tank/vmware/.vmware-zfs-r1", "marker": "r1"}
    steps = VmSteps(world.restores, "r1", "mail")
    steps.done(steps.intend("folder", data))
    world.step("handover", "mail")
    assert world.undo() == [] and given == ["/tank/vmware/mail-restored"] and world.undone == []


def test_without_the_server_nothing_is_undone_that_it_may_use(world: World) -> None:
    of_two_vms(world)
    assert undoing.undo(world.engine, None, RESTORE, unreachable="vcenter is down") == ["vcenter is down"] * 2
    assert world.undone == ["hold"] and world.state() == RUNNING


def test_a_server_that_goes_away_stops_only_what_depends_on_it(world: World) -> None:
    of_two_vms(world)
    world.stays["registration"] = "unreachable"
    assert world.undo() == ["vcenter could not be reached; check the network"] * 2
    assert "mail folder" not in world.undone and world.undone[-1] == "hold"


def test_one_vm_of_several_is_undone_alone(world: World) -> None:
    of_two_vms(world)
    assert undoing.undo_vm(world.engine, ANY, "r1", "web") == []
    assert world.undone == ["web rename", "web registration", "web folder"] and world.state() == RUNNING


def test_a_step_whose_end_nobody_saw_may_still_take_effect(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def undo(session: Any, kind: str, data: Any, finished: bool, pending: float | None) -> str:
        seen.append(pending is not None and 0 <= pending < 60)
        return ""

    monkeypatch.setattr(undo_vsphere, "undo", undo)
    world.step("rename", "mail")
    world.step("rename", "web", done=False)
    assert world.undo() == [] and seen == [True, False]
