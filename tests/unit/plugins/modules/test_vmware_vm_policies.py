# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vmware_vm_policies and vmware_vm_policies_info through main(): what is stored, shown and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.dataset_policies import StoredPolicies
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vm_policies import parse_stored
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_vm_policies, vmware_vm_policies_info
from ansible_collections.quiesce.vmware_zfs.tests.unit.module_arguments import patch_module_args

FIREWALL = {"match": {"name": "fw*"}, "accept": "crash"}
TAGGED = {"match": {"tag": {"category": "backup", "name": "none"}}, "exclude": True}


@pytest.fixture(autouse=True)
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("VMWARE_ZFS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("VMWARE_ZFS_LOCK_DIR", str(tmp_path / "locks"))
    return Paths.from_environment()


def call(capsys: pytest.CaptureFixture[str], module: Any = vmware_vm_policies, **options: Any) -> dict[str, Any]:
    check = options.pop("check", False)
    arguments = {**options, "_ansible_check_mode": check, "_ansible_diff": True}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    returned: dict[str, Any] = json.loads(capsys.readouterr().out)
    return returned


def test_store_change_and_remove(capsys: pytest.CaptureFixture[str]) -> None:
    asked: dict[str, Any] = {"dataset": "tank/vmware", "policies": [FIREWALL, TAGGED]}
    planned = call(capsys, check=True, **asked)
    assert planned["changed"] and planned["dataset_policies"]["created"] is None
    assert call(capsys, vmware_vm_policies_info)["dataset_policies"] == []
    stored = call(capsys, **asked)
    assert stored["changed"] and stored["dataset_policies"]["policies"] == [FIREWALL, TAGGED]
    assert stored["diff"] == planned["diff"] == {"before": {}, "after": {"policies": [FIREWALL, TAGGED]}}
    assert not call(capsys, **asked)["changed"]
    swapped = call(capsys, **{**asked, "policies": [TAGGED, FIREWALL]})
    assert swapped["changed"]  # the order counts
    (found,) = call(capsys, vmware_vm_policies_info, dataset="tank/vmware")["dataset_policies"]
    assert found["policies"] == [TAGGED, FIREWALL]
    documented = yaml.safe_load(vmware_vm_policies.RETURN)["dataset_policies"]["contains"]
    assert documented.keys() == found.keys()
    removed = call(capsys, dataset="tank/vmware", state="absent")
    assert removed["changed"] and removed["diff"]["after"] == {}
    again = call(capsys, dataset="tank/vmware", state="absent")
    assert not again["changed"] and again["dataset_policies"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataset": "tank/vmware"}, "policies is empty"),
        ({"dataset": "tank//a", "policies": [FIREWALL]}, "is not a valid dataset name"),
        ({"dataset": "tank/a", "policies": [{"match": {}}]}, "The entry 1 of policies is invalid"),
        ({"dataset": "tank/a", "policies": [{"match": {"name": "a"}, "accept": "still"}]}, "accept"),
        ({"dataset": "tank/a", "policies": [{**TAGGED, "accept": "crash"}]}, "exclude is combined with accept"),
        ({"dataset": "tank/a", "policies": [{"match": {"tag": {"name": "none"}}}]}, "category"),
    ],
)
def test_what_is_invalid_is_not_stored(
    options: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str], paths: Paths
) -> None:
    assert said in call(capsys, **options)["msg"]
    assert call(capsys, vmware_vm_policies_info)["dataset_policies"] == [] and not paths.database.exists()


def test_what_cannot_be_read_is_shown_as_it_is_stored_and_can_be_replaced(
    capsys: pytest.CaptureFixture[str], paths: Paths
) -> None:
    future = {"match": {"name": "db"}, "future": 1}
    with StoredPolicies.open(paths) as stored:
        stored.put("tank/a", parse_stored([future, FIREWALL]))
    (found,) = call(capsys, vmware_vm_policies_info)["dataset_policies"]
    assert found["policies"] == [future, FIREWALL]
    replaced = call(capsys, dataset="tank/a", policies=[FIREWALL])
    assert replaced["changed"] and replaced["diff"]["before"] == {"policies": [future, FIREWALL]}
