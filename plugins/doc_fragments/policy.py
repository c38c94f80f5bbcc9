# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy of a coordinated snapshot; the argument specs are POLICY and STORED_POLICY of _ansible.py."""

from __future__ import annotations

import re


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  on_quiesce_failure:
    description:
      - What to do with a VM that cannot be quiesced.
      - V(crash_consistent) takes the VMware snapshot without quiescing.
      - V(skip) takes no VMware snapshot of the VM. In the ZFS snapshot, the VM is in the state of a power failure.
      - V(fail) fails the run without a ZFS snapshot. If the problem is found after the ZFS snapshot was taken, the run
        destroys it, together with the snapshots of earlier waves. The run also fails if a snapshot with
        this name already exists and its record does not satisfy the policy.
    type: str
    choices: [crash_consistent, skip, fail]
    default: crash_consistent
  on_vm_failure:
    description:
      - What to do if the VMware snapshot of a VM fails, or if a server or datastore cannot be queried.
      - V(continue) takes the ZFS snapshot anyway and notes the failure in the record.
      - V(fail) fails the run without a ZFS snapshot, as with O(on_quiesce_failure=fail).
    type: str
    choices: [continue, fail]
    default: continue
  exclude_vms:
    description:
      - The VMs to exclude from quiescing, by name (shell patterns are allowed), instance UUID or managed object ID.
      - A running VM that is excluded counts as V(crash) in the consistency of the whole snapshot.
      - A VM that the account cannot read can only be excluded by its managed object ID.
    type: list
    elements: str
    default: []
  policies:
    description:
      - Policies for single VMs. The first policy that matches a VM applies to it. What that policy does not set is as in
        the other options. A VM that no policy matches is treated as the other options say.
      - O(exclude_vms) comes before O(policies). After O(policies) come the policies that
        M(quiesce.vmware_zfs.vmware_vm_policies) has stored for the dataset of the VM, and then those of its parent
        datasets.
      - If a label of a VM cannot be read, it may be unknown which policy is the first one. The run then uses the
        strictest policy that may apply, and shows a warning.
      - A policy that matches no VM causes a warning.
    type: list
    elements: dict
    default: []
    options:
      match:
        description: The VMs that the policy matches. A VM must meet all conditions that are set. Set at least one.
        type: dict
        required: true
        options:
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
              - The path of a resource pool, such as V(/DC0/host/Cluster1/Resources/Test). VMs in the pools below it match,
                too.
              - Without a slash, this is the name of any resource pool above the VM.
            type: str
          attribute:
            description: A custom attribute of the VM.
            type: dict
            options:
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
            options:
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
          - What to do if the VMware snapshot of the VM fails, or if the VM cannot be quiesced although that is required.
          - V(fail) fails the run without a ZFS snapshot, and V(continue) notes the failure in the record.
          - If this is not set, O(on_vm_failure) and O(on_quiesce_failure) apply. With O(policies[].accept=crash), the
            default is V(continue).
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
          - Whether to exclude the VM, as with O(exclude_vms). No other option can be set together with V(true).
        type: bool
      vm_timeout:
        description: The maximum time in seconds to create the VMware snapshot of the VM. See O(vm_timeout).
        type: float
      on_span:
        description:
          - What to do if the VM has disks or its configuration file on other datasets of this host.
          - V(report) lists these datasets in the result. This is the default.
          - V(include) also snapshots these datasets at the same instant, with all VMs on them. Datasets of other pools,
            datasets in O(exclude), and datasets that already have a ZFS snapshot with this name are not included, and
            the run shows a warning. The run locks the whole pool.
          - V(fail) fails the run before it changes anything.
        type: str
        choices: [report, include, fail]
  vm_timeout:
    description:
      - The maximum time in seconds to create the VMware snapshot of one VM. After this time, the run continues without
        the VM.
    type: float
    default: 300.0
  max_hold:
    description:
      - The maximum time in seconds to hold the VMs. After this time, the VMs are released even if the ZFS snapshot has
        not been taken.
      - After the ZFS snapshot is taken, the VMs of a server are held until the server has reported their state. This
        takes at most 10 seconds, or 2 seconds if O(max_hold) has expired.
      - The removal of the VMware snapshots has the same time limit. After that, the run ends and recovery removes the
        remaining VMware snapshots.
    type: float
    default: 900.0
  wave_size:
    description:
      - Snapshot O(dataset) and its child datasets in waves of at most this many VMs, one after the other. The VMs of a
        wave are released before the next wave starts, so a slow VM delays only the VMs of the same wave.
      - The ZFS snapshots of different waves are taken at different times. A dataset always belongs to one wave, and so
        do datasets that share a VM. A wave can contain more VMs than this if such datasets contain more. Each wave is a
        separate run in the journal, and O(max_hold) applies to each wave.
      - With V(0), all VMs are held at the same time, and one atomic ZFS snapshot is taken.
    type: int
    default: 0
  limit_per_vcenter:
    description:
      - The maximum number of VMware snapshots to create or remove at the same time on a vCenter or ESXi host.
    type: int
    default: 32
  limit_per_host:
    description:
      - The maximum number of VMware snapshots to create or remove at the same time on each ESXi host of a vCenter.
    type: int
    default: 8
"""

    TASK: str


# For snapshot tasks. Their options have no default value, because with O(id), options that are not set do not change.
# The sanity test `yamllint` reads assignments in the class and accepts only literal text there.
ModuleDocFragment.TASK = re.sub(
    r"((?:\n    (?:type|choices|elements): .*)+)\n    default: (.*)",
    r"\n      - The default is V(\2).\1",
    ModuleDocFragment.DOCUMENTATION,
)
