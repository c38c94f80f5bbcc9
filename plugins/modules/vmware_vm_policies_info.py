#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_vm_policies_info
short_description: List the policies that are stored for datasets
version_added: 1.1.0
description:
  - Lists the policies for single VMs that M(quiesce.vmware_zfs.vmware_vm_policies) has stored on a storage host.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.attributes.info
  - quiesce.vmware_zfs.connection.state
author:
  - The quiesce.vmware_zfs authors (@quiesce)
options:
  dataset:
    description: List only the policies that are stored for this dataset.
    type: str
seealso:
  - module: quiesce.vmware_zfs.vmware_vm_policies
"""

EXAMPLES = r"""
- name: List the policies of all datasets
  quiesce.vmware_zfs.vmware_vm_policies_info:
  register: stored

- name: Show the datasets that have policies
  ansible.builtin.debug:
    msg: "{{ stored.dataset_policies | map(attribute='dataset') }}"
"""

RETURN = r"""
dataset_policies:
  description: The policies of each dataset, by the name of the dataset. Empty if there are none.
  returned: success
  type: list
  elements: dict
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
      description: The creation time, in UTC.
      type: str
      sample: "2026-01-31T08:15:00Z"
    updated:
      description: The time of the last change, in UTC.
      type: str
      sample: "2026-01-31T08:15:00Z"
"""

from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import ArgumentSpec, run_module
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.dataset_policies import StoredPolicies

SPEC = ArgumentSpec({"dataset": {"type": "str"}})


def run(module: Any) -> dict[str, Any]:
    dataset = module.params["dataset"]
    with StoredPolicies.open(Paths.from_environment(), read_only=True) as stored:
        found = [one.as_dict() for one in stored.list_all() if dataset in (None, one.dataset)]
    return {"changed": False, "dataset_policies": found}


def main() -> None:
    run_module(SPEC, run, libraries=[])


if __name__ == "__main__":
    main()
