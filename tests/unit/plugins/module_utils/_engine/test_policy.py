# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy options are the same in the class, the argument specs, the documentation and the results of tasks."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.quiesce.vmware_zfs.plugins.doc_fragments.policy import ModuleDocFragment
from ansible_collections.quiesce.vmware_zfs.plugins.doc_fragments.vm_policies import (
    ModuleDocFragment as vm_policies,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import POLICY, STORED_POLICY
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Limits, Policy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import SnapshotTask
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vm_policies import parse
from ansible_collections.quiesce.vmware_zfs.plugins.modules import (
    vmware_coordinated_snapshot,
    vmware_snapshot_task,
    vmware_snapshot_task_info,
)

POLICIES = [{"match": {"name": "fw*"}, "accept": "crash"}]
OTHER = Policy("fail", "fail", ("db",), parse(POLICIES), 100.0, 200.0, 10, Limits(4, 2))


def documented(*texts: str) -> dict[str, dict[str, Any]]:
    """Return the options that the texts document, without their descriptions."""
    return {name: spec_of(option) for text in texts for name, option in yaml.safe_load(text)["options"].items()}


def spec_of(option: dict[str, Any]) -> dict[str, Any]:
    spec = {key: value for key, value in option.items() if key not in ("description", "suboptions")}
    inner = {name: spec_of(each) for name, each in option.get("suboptions", {}).items()}
    return {**spec, "options": inner} if inner else spec


def test_the_argument_specs_have_the_options_of_the_class() -> None:
    defaults = Policy().options()
    assert {name: option["default"] for name, option in POLICY.options.items()} == defaults
    assert STORED_POLICY.options.keys() == defaults.keys()


@pytest.mark.parametrize("module", [vmware_coordinated_snapshot, vmware_snapshot_task])
def test_the_modules_take_all_of_them(module: Any) -> None:
    assert POLICY.options.keys() <= module.SPEC.options.keys()


def test_the_documentation_has_the_argument_specs() -> None:
    assert documented(ModuleDocFragment.DOCUMENTATION, vm_policies.DOCUMENTATION) == POLICY.options
    assert documented(ModuleDocFragment.TASK, vm_policies.TASK) == STORED_POLICY.options


def test_the_documentation_of_a_task_names_the_defaults() -> None:
    texts = (ModuleDocFragment.TASK, vm_policies.TASK)
    options = {name: option for text in texts for name, option in yaml.safe_load(text)["options"].items()}
    for name, default in Policy().options().items():
        assert f"The default is V({default})." in options[name]["description"]


@pytest.mark.parametrize(
    ("text", "where"), [(vmware_snapshot_task.RETURN, "task"), (vmware_snapshot_task_info.RETURN, "tasks")]
)
def test_a_task_returns_them(text: str, where: str) -> None:
    assert POLICY.options.keys() <= yaml.safe_load(text)[where]["contains"].keys()
    assert POLICY.options.keys() <= SnapshotTask("tank/a").as_dict().keys()


def test_options_and_policy_are_the_same() -> None:
    assert all(value != Policy().options()[name] for name, value in OTHER.options().items())
    assert Policy.from_options(OTHER.options()) == OTHER
    assert Policy().merged({"vm_timeout": 7.0, "max_hold": None, "dataset": "tank/a"}) == Policy(vm_timeout=7.0)


def test_a_task_carries_the_policy() -> None:
    task = SnapshotTask("").merged({"dataset": "tank/a", **OTHER.options()})
    assert task.policy == OTHER
    assert OTHER.options().items() <= task.settings().items() and "policy" not in task.settings()
    assert task.declared({"dataset": "tank/a"}).policy == Policy()
