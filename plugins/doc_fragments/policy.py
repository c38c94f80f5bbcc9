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
