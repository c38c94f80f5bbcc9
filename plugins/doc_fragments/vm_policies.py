# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies for single VMs; the argument spec is VM_POLICIES of _ansible.py."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  policies:
    description:
      - Policies for single VMs. The first policy that matches a VM applies to it. What that policy does not set is as
        in the options of the run or of the snapshot task. Those options also apply to a VM that no policy matches.
      - The order is O(ignore:exclude_vms), the policies of the run or of the snapshot task, the policies that
        M(quiesce.vmware_zfs.vmware_vm_policies) has stored for the dataset of the VM, and those of its parent datasets.
      - If a label of a VM cannot be read, it may be unknown which policy is the first one. The run then uses the
        strictest policy that may apply, and shows a warning.
      - A policy that matches no VM causes a warning.
    type: list
    elements: dict
    default: []
    suboptions:
      match:
        description: The VMs that the policy matches. A VM must meet all conditions that are set. Set at least one.
        type: dict
        required: true
        suboptions:
          name:
            description: The name of the VM. It is compared literally first, and then as a shell pattern.
            type: str
          instance_uuid:
            description: The instance UUID of the VM.
            type: str
          moid:
            description: The managed object ID of the VM, such as V(vm-61).
            type: str
          folder:
            description:
              - The path of a folder, such as V(/DC0/vm/Production). VMs in its subfolders match, too.
              - Without a slash, this is the name of any folder above the VM.
            type: str
          resource_pool:
            description:
              - The path of a resource pool, such as V(/DC0/host/Cluster1/Resources/Test). VMs in the pools below it
                match, too.
              - Without a slash, this is the name of any resource pool above the VM.
            type: str
          attribute:
            description: A custom attribute of the VM.
            type: dict
            suboptions:
              name:
                description: The name of the custom attribute.
                type: str
                required: true
              value:
                description: Its value. It is compared literally first, and then as a shell pattern.
                type: str
                required: true
          tag:
            description:
              - A vSphere tag. The account reads the tags with the REST API of the vCenter. ESXi hosts have no tags.
              - If the tags cannot be read, the run fails before it changes anything.
            type: dict
            suboptions:
              category:
                description: The category of the tag.
                type: str
                required: true
              name:
                description: The name of the tag.
                type: str
                required: true
      quiesce:
        description:
          - Whether to quiesce the VM.
          - V(required) takes no VMware snapshot without quiescing. If the VM cannot be quiesced, that is a failure.
          - V(preferred) takes the VMware snapshot without quiescing if the VM cannot be quiesced.
          - V(never) takes the VMware snapshot without quiescing. The VM is then accepted at V(crash).
        type: str
        choices: [required, preferred, never]
      on_failure:
        description:
          - What to do if the VMware snapshot of the VM fails, or if the VM cannot be quiesced although that is
            required.
          - V(fail) fails the run without a ZFS snapshot, and V(continue) notes the failure in the record.
          - If this is not set, O(ignore:on_vm_failure) and O(ignore:on_quiesce_failure) apply. With
            O(policies[].accept=crash), the default is V(continue).
        type: str
        choices: [fail, continue]
      accept:
        description:
          - The level that the VM must reach for a complete snapshot. The default is V(filesystem), and V(crash) with
            O(policies[].quiesce=never).
          - The consistency of the snapshot does not change. It is the lowest level that the VMs have reached.
        type: str
        choices: [crash, filesystem, application]
      exclude:
        description:
          - Whether to exclude the VM, as with O(ignore:exclude_vms). No other option can be set together with V(true).
        type: bool
      vm_timeout:
        description: The maximum time in seconds to create the VMware snapshot of the VM. The default is
          O(ignore:vm_timeout).
        type: float
      on_span:
        description:
          - What to do if the VM has disks or its configuration file on other datasets of this host.
          - V(report) lists these datasets in the result. This is the default.
          - V(include) also snapshots these datasets at the same instant, with all VMs on them. Datasets of other pools,
            datasets in O(ignore:exclude), and datasets that already have a ZFS snapshot with this name are not
            included, and the run shows a warning. The run locks the whole pool.
          - V(fail) fails the run before it changes anything.
        type: str
        choices: [report, include, fail]
"""

    TASK: str


# For snapshot tasks. With O(id), options that are not set do not change, so there is no default value.
ModuleDocFragment.TASK = ModuleDocFragment.DOCUMENTATION.replace(
    "\n    type: list\n    elements: dict\n    default: []",
    "\n      - The default is V([]).\n    type: list\n    elements: dict",
)
