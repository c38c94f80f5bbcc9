# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test which VMs a dataset has according to vSphere."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.places import GUEST
from tests.lab.simulator import Simulator

from .conftest import StartVcenter
from .scene import Scene, calls, nfs, run_module, vm_of


def ask(dataset: str, **options: Any) -> dict[str, Any]:
    result = run_module("vmware_dataset_vms_info", {"dataset": dataset, "aliases": [GUEST], **options})
    assert "failed" not in result, result
    assert result["changed"] is False
    return result


def test_every_vm_with_what_stands_in_its_way(scene: Scene, start_vcenter: StartVcenter, tree: str) -> None:
    vcenter = start_vcenter(
        nfs(
            "vmware", tree,
            {"name": "web"}, {"name": "off", "power": "off"}, {"name": "golden", "template": True},
            {"name": "mute", "tools": "not_running"}, {"name": "bare", "tools": "not_installed"},
            {"name": "gpu", "pci_passthrough": True},
            {"name": "split", "disks": [{}, {"datastore": "nested"}, {"datastore": "local"}]},
            {"name": "left-out", "disks": [{}, {"kind": "independent_persistent"}]},
            {"name": "db", "guest": "windows", "power": "suspended"},
        ),
        nfs("nested", f"{tree}/nested", {"name": "deep"}),
        {"name": "local", "type": "local", "vms": [{"name": "scratch"}, {"name": "iso-only", "iso": "vmware"}]},
    )  # fmt: skip
    scene.enrol(vcenter)

    below = ask(tree)
    assert below["has_vms"] and {vm["name"] for vm in below["vms"]} == {
        "web", "off", "golden", "mute", "bare", "gpu", "split", "left-out", "db", "deep",
    }  # fmt: skip
    facts = {vm["name"]: (vm["power"], vm["tools"], vm["can_snapshot"], vm["can_quiesce"]) for vm in below["vms"]}
    assert facts == {
        "web": ("poweredOn", "running", True, True),
        "off": ("poweredOff", "not running", True, False),
        "golden": ("poweredOff", "not running", True, False),
        "mute": ("poweredOn", "not running", True, False),
        "bare": ("poweredOn", "not installed", True, False),
        "gpu": ("poweredOn", "running", False, False),
        "split": ("poweredOn", "running", True, True),
        "left-out": ("poweredOn", "running", True, True),
        "db": ("suspended", "not running", True, False),
        "deep": ("poweredOn", "running", True, True),
    }
    assert vm_of(below, "golden")["template"] and not vm_of(below, "off")["template"]
    assert "PCI passthrough" in vm_of(below, "gpu")["reasons"][0]
    assert "VMware snapshots do not include its" in vm_of(below, "left-out")["reasons"][0]
    assert vm_of(below, "web")["reasons"] == []
    split = vm_of(below, "split")
    assert (split["datasets"], split["spans"]) == ([tree, f"{tree}/nested"], ["the datastore local"])
    assert [disk["lies_on"] for disk in split["disks"]] == [[tree], [f"{tree}/nested"], ["the datastore local"]]

    alone = ask(tree, recursive=False)
    assert "deep" not in {vm["name"] for vm in alone["vms"]}
    assert vm_of(alone, "split")["spans"] == [f"{tree}/nested", "the datastore local"]
    assert not {method for method in calls(vcenter) if method.endswith("_Task")}


def test_no_vms_and_inline_credentials(scene: Scene, vcenter: Simulator, tree: str) -> None:
    inline = {
        "hostname": vcenter.host, "port": vcenter.port, "username": vcenter.user, "password": vcenter.password,
        "ca_path": str(vcenter.ca_path),
    }  # fmt: skip
    assert len(ask(tree, **inline)["vms"]) == 3
    empty = ask(f"{tree}/ds1", **inline)
    assert empty["has_vms"] is False and empty["vms"] == []


def test_a_vm_that_two_credentials_show_is_told_once(scene: Scene, vcenter: Simulator, tree: str) -> None:
    scene.enrol(vcenter, f"{tree}/nested")
    scene.enrol(vcenter, hostname="127.0.0.1")
    names = [vm["name"] for vm in ask(tree)["vms"]]
    assert sorted(names) == ["app", "db", "web"]


@pytest.mark.parametrize("whole", [False, True])
def test_a_vm_that_may_not_be_read_hides_no_other(scene: Scene, vcenter: Simulator, tree: str, whole: bool) -> None:
    vcenter.register("vmware", name="own", extra_config={"HDCS.agent": "true"})
    vcenter.deny("System.Read", "app", whole)
    (moid,) = (machine["moid"] for machine in vcenter.machines() if machine["name"] == "app")
    scene.enrol(vcenter, f"{tree}/nested")
    found = {vm["name"]: vm for vm in ask(tree)["vms"]}
    assert found.keys() == {"db", "own", "web", moid}
    assert not found[moid]["can_snapshot"] and "lacks the privilege System.Read on it" in found[moid]["reasons"][0]
    assert not found["own"]["can_snapshot"] and "vCLS" in found["own"]["reasons"][0]
