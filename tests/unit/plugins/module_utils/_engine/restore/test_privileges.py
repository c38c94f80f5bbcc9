# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The privileges of a restore: those of a role, and those that a server says are missing."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import privileges
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.privileges import (
    FOLDER,
    HOST,
    POOL,
    USES,
    WAYS,
    Target,
    missing,
    needed,
    of_ways,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.privileges import COORDINATE
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_vsphere_role

TARGETS = [Target(FOLDER, "group-v3", "vm"), Target(POOL, "resgroup-6", "Resources"), Target(HOST, "host-1", "esxi01")]


def test_a_mount_needs_one_privilege_and_a_plain_restore_none_to_power_on() -> None:
    assert of_ways(["mount"]) == ("Host.Config.Storage",)
    assert "VirtualMachine.Interact.PowerOn" not in of_ways(["folder", "clone", "mount", "disk", "network", "replace"])
    assert not {"VirtualMachine.Inventory.Delete", "VirtualMachine.Config.AddNewDisk"} & set(of_ways(WAYS))
    assert set(of_ways(["clone"])) == {*of_ways(["folder"]), "Host.Config.Storage"}


def test_a_vm_without_our_vmware_snapshot_needs_no_revert() -> None:
    plain = needed(["register", "disconnect"])
    assert not {"VirtualMachine.State.RevertToSnapshot", "Host.Config.Storage"} & {*plain[FOLDER], *plain[POOL]}
    assert "VirtualMachine.State.RevertToSnapshot" in needed(["register", "revert"])[FOLDER]
    assert POOL not in needed(["template"])
    for use in USES:
        assert needed([use, use]) == needed([use])


def test_what_is_missing_is_named_with_its_object(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, str], tuple[str, ...]]] = []

    def lacking(session: Any, kind: Any, objects: dict[str, str], wanted: tuple[str, ...]) -> list[tuple[str, str]]:
        asked.append((kind.__name__, objects, wanted))
        return [(one, name) for one in wanted for name in objects.values() if one == "Resource.AssignVMToPool"]

    monkeypatch.setattr(privileges, "lacking_on", lacking)
    session: Any = None
    second_vm = [Target(FOLDER, "group-v3", "the same folder"), Target(POOL, "resgroup-6", "the same pool")]
    found = missing(session, ["register"], [*TARGETS, *second_vm])
    assert [str(one) for one in found] == ["Resource.AssignVMToPool on 'Resources'"]
    assert [(kind, objects) for kind, objects, _unused in asked] == [
        ("vim.Folder", {"group-v3": "vm"}),
        ("vim.ResourcePool", {"resgroup-6": "Resources"}),
    ]


def test_the_module_documents_the_ways_and_keeps_its_default() -> None:
    documented = yaml.safe_load(vmware_vsphere_role.DOCUMENTATION)["options"]["restore"]
    assert documented["choices"] == list(WAYS) == list(vmware_vsphere_role.SPEC.options["restore"]["choices"])
    wanted = vmware_vsphere_role.wanted_privileges
    assert wanted(None, None) == list(COORDINATE)
    assert wanted(None, ["mount"]) == ["Host.Config.Storage"]
    assert wanted(list(COORDINATE), ["mount"]) == [*COORDINATE, "Host.Config.Storage"]
    assert wanted([], None) == []
