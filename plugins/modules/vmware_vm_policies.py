#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_vm_policies
short_description: Store policies for the VMs on a dataset
version_added: 1.1.0
description:
  - Stores policies for single VMs on the storage host. They apply to every VM with files on the dataset or its child
    datasets, in every run of a snapshot task and in every run of M(quiesce.vmware_zfs.vmware_coordinated_snapshot).
  - The policies of the run or of the snapshot task come first. Among stored policies, those of the nearest dataset come
    first.
  - If this release cannot read a stored policy, for example after an upgrade, every run shows a warning. The other
    policies still apply. A VM that the unreadable policy matches, or may match, makes the snapshot incomplete unless it
    reaches V(filesystem).
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.connection.state
  - quiesce.vmware_zfs.vm_policies
author:
  - The quiesce.vmware_zfs authors (@quiesce)
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: The diff shows the policies of the dataset.
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) stores O(policies) for the dataset, in place of the policies that are stored for it.
      - V(absent) removes the policies of the dataset.
    type: str
    choices: [present, absent]
    default: present
  dataset:
    description: The name of the dataset, as shown by C(zfs list). It need not exist yet.
    type: str
    required: true
seealso:
  - module: quiesce.vmware_zfs.vmware_vm_policies_info
  - module: quiesce.vmware_zfs.vmware_coordinated_snapshot
  - module: quiesce.vmware_zfs.vmware_snapshot_task
"""

EXAMPLES = r"""
- name: Accept the FreeBSD firewalls at crash in every snapshot of the dataset
  quiesce.vmware_zfs.vmware_vm_policies:
    dataset: tank/vmware
    policies:
      - match:
          name: "fw*"
        accept: crash

- name: Exclude the VMs of a folder, and require the databases to be quiesced
  quiesce.vmware_zfs.vmware_vm_policies:
    dataset: tank/vmware
    policies:
      - match:
          folder: /DC0/vm/Scratch
        exclude: true
      - match:
          tag:
            category: backup
            name: database
        quiesce: required
        on_failure: fail
        vm_timeout: 600

- name: Remove the policies of the dataset
  quiesce.vmware_zfs.vmware_vm_policies:
    dataset: tank/vmware
    state: absent
"""

RETURN = r"""
dataset_policies:
  description: The policies of the dataset. With O(state=absent), those that were removed, or V(null).
  returned: success
  type: dict
  contains:
    dataset:
      description: The name of the dataset.
      type: str
      sample: tank/vmware
    policies:
      description: The policies, in their order. Options that are not set are absent.
      type: list
      elements: dict
      sample: [{match: {name: "fw*"}, accept: crash}]
    created:
      description: The creation time, in UTC. V(null) if check mode would create the policies.
      type: str
      sample: "2026-01-31T08:15:00Z"
    updated:
      description: The time of the last change, in UTC. V(null) if check mode would create the policies.
      type: str
      sample: "2026-01-31T08:15:00Z"
"""

from dataclasses import replace
from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import VM_POLICIES, ArgumentSpec, run_module
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.dataset_policies import (
    DatasetPolicies,
    StoredPolicies,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vm_policies import parse, plain
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import check_dataset

SPEC = ArgumentSpec(
    {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "dataset": {"type": "str", "required": True},
        "policies": {**VM_POLICIES, "default": []},
    }
)


def run(module: Any) -> dict[str, Any]:
    paths, dataset = Paths.from_environment(), check_dataset(module.params["dataset"])
    policies = parse(module.params["policies"])
    present = module.params["state"] == "present"
    if present and not policies:
        raise InputError("policies is empty", "Set at least one policy, or set state to absent")
    with StoredPolicies.open(paths, read_only=True) as stored:
        existing = stored.find(dataset)
    wanted = replace(existing or DatasetPolicies(dataset, ()), policies=policies) if present else None
    before, after = settings(existing), settings(wanted)
    if before != after and not module.check_mode:
        with StoredPolicies.open(paths) as stored:
            if present:
                wanted = stored.put(dataset, policies)
            else:
                stored.delete(dataset)
    shown = wanted or existing
    return {
        "changed": before != after,
        "dataset_policies": shown.as_dict() if shown else None,
        "diff": {"before": before, "after": after},
    }


def settings(stored: DatasetPolicies | None) -> dict[str, Any]:
    return {"policies": plain(stored.policies)} if stored else {}


def main() -> None:
    run_module(SPEC, run, libraries=[])


if __name__ == "__main__":
    main()
