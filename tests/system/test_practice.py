# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the faults of the lab by hand: a run says what docs/start/lab.md says, and the VM works again afterwards."""

from __future__ import annotations

import re

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery import recover

from tests.lab import by_hand, command_line, failing
from tests.lab.places import ROOT
from tests.lab.simulator import Simulator
from tests.lab.storage_host import StorageHost

from .conftest import StartVcenter
from .scene import Scene, levels, nfs, vm_of

PAGE = (ROOT / "docs" / "start" / "lab.md").read_text()
ROW = re.compile(r"^\| `([\w-]+)` \| [^|]+ \| (?:`([^|]+)`|-) \|$", re.MULTILINE)
SAID = dict(ROW.findall(PAGE))  # what the run says, for each kind
CREATING = ("tools", "quiesce", "snapshot", "privilege", "disconnected")
REMOVING = ("removal", "consolidation")
OTHERS = ("slow", "timeout", "no-freeze", "no-pause")


@pytest.fixture
def vcenter(tree: str, start_vcenter: StartVcenter, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A vCenter with one VM for each kind, which has its name, and one that does not fail."""
    names = (*CREATING, *REMOVING, "slow", "timeout", "well")
    simulator = start_vcenter(nfs("vmware", tree, *({"name": name} for name in names)))
    monkeypatch.setattr(by_hand, "vcenter_folder", lambda lab: simulator.directory)
    scene.enrol(simulator)
    return simulator


def fail(*kinds: str, end: bool = False) -> None:
    """Let the VMs of these kinds fail, or end it."""
    for kind in kinds:
        assert command_line.main(["fail", kind, "none" if end else kind]) == 0


def test_page_describes_every_kind() -> None:
    assert list(SAID) == list(failing.KINDS)
    assert {*CREATING, *REMOVING, *OTHERS} == set(SAID)


def test_runs_say_what_the_page_says(scene: Scene, vcenter: Simulator) -> None:
    fail(*CREATING)
    result = scene.take()
    for kind in CREATING:
        assert SAID[kind] in vm_of(result, kind)["reason"]
    others = {"well", "slow", "timeout", *REMOVING}
    assert levels(result) == {**dict.fromkeys(CREATING, "crash"), **dict.fromkeys(others, "filesystem")}

    fail(*CREATING, end=True)
    fail(*REMOVING)
    failure = scene.fail()
    assert SAID["removal"] in str(failure)
    assert SAID["consolidation"] in vm_of(failure.details, "consolidation")["reason"]
    shown = {vm["name"]: vm for vm in by_hand.vms(StorageHost("tests"))}
    assert shown["removal"]["snapshots"] and shown["removal"]["fails"] == "removal"
    assert shown["consolidation"]["consolidation_needed"] and not shown["well"]["snapshots"]

    fail(*REMOVING, end=True)
    recover.recover(scene.engine)
    scene.assert_released(vcenter)
    assert set(levels(scene.take()).values()) == {"filesystem"} and vcenter.rules() == []


@pytest.mark.check  # the release waits a minute for the creation
def test_creation_that_does_not_end(scene: Scene, vcenter: Simulator) -> None:
    fail("timeout")
    failure = scene.fail(vm_timeout=2.0)
    assert "its creation is still running" in str(failure)
    fail("timeout", end=True)
    recover.recover(scene.engine)
    scene.assert_released(vcenter)
