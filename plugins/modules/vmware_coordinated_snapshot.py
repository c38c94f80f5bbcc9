#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_coordinated_snapshot
short_description: Take a ZFS snapshot of a dataset while the VMs on it are quiesced
version_added: 1.0.0
description:
  - Takes a VMware snapshot of every running VM that has files on the dataset, takes one atomic ZFS snapshot, and
    removes the VMware snapshots. The VMware snapshots are removed even if a step fails.
  - The module reads from vSphere how consistent each VM is, before and after it takes the ZFS snapshot. It records the
    result on the ZFS snapshot of each dataset, in user properties that start with C(quiesce.vmware_zfs:). The record
    is V(crash) until both checks are complete, and after an interrupted run.
  - VMware snapshots are removed by managed object ID and without their children. A snapshot that an administrator or a
    backup product takes in the meantime is kept. The VMware snapshots never include memory.
  - The module uses the stored credentials whose O(ignore:filesystem) covers the dataset. It does not accept other
    credentials, because the storage host needs a stored one to clean up after a crash.
extends_documentation_fragment:
  - quiesce.vmware_zfs.aliases
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.connection.runtime
  - quiesce.vmware_zfs.connection.timeouts
  - quiesce.vmware_zfs.policy
  - quiesce.vmware_zfs.vm_policies
author:
  - The quiesce.vmware_zfs authors (@quiesce)
attributes:
  check_mode:
    support: full
    details: The module logs in and returns the plan. It takes no snapshots.
  diff_mode:
    support: full
    details: The diff shows the new ZFS snapshots.
  idempotent:
    support: partial
    details: With O(name), the snapshot is taken once. With O(naming_schema), at most one snapshot is taken per minute.
options:
  dataset:
    description: The name of the dataset to snapshot, as shown by C(zfs list).
    type: str
    required: true
  recursive:
    description: Whether to also snapshot the child datasets of O(dataset), in the same atomic step.
    type: bool
    default: false
  exclude:
    description:
      - The child datasets of O(dataset) to exclude, with their own child datasets. Used with O(recursive=true).
      - Exclude volumes that no VM uses, such as swap. If no datastore of a stored credential accounts for a volume, its
        record is V(crash) and not complete.
    type: list
    elements: str
    default: []
  name:
    description:
      - The name of the ZFS snapshot, without the dataset and the C(@).
      - If a coordinated snapshot with this name exists, the module changes nothing and returns its record. The module
        fails if O(on_vm_failure) or O(on_quiesce_failure) does not allow that record.
    type: str
  naming_schema:
    description:
      - The name of the ZFS snapshot with C(strftime) date codes, in the storage host's local time.
      - It must contain C(%Y), C(%m), C(%d), C(%H) and C(%M), or C(%s).
      - If neither this nor O(name) is set, V(auto-%Y-%m-%d_%H-%M) is used.
      - If a snapshot with this name exists and was taken within the last two minutes, the module returns it as with
        O(name). If the name is used by another snapshot, for example because the clock was set back, the seconds since
        1970 are appended to the name.
    type: str
  lock_timeout:
    description: The maximum time in seconds to wait for another run on the same dataset, a parent or a child dataset.
    type: float
    default: 60.0
seealso:
  - module: quiesce.vmware_zfs.vmware_cred
  - module: quiesce.vmware_zfs.vmware_dataset_vms_info
  - module: quiesce.vmware_zfs.vmware_snapshot_recover
"""

EXAMPLES = r"""
- name: Take a coordinated snapshot of a dataset and its child datasets
  quiesce.vmware_zfs.vmware_coordinated_snapshot:
    dataset: tank/vmware
    recursive: true
  register: taken

- name: Show the consistency of the snapshot
  ansible.builtin.debug:
    msg: "{{ taken.zfs_snapshot }} is {{ taken.consistency }}"

- name: Take a snapshot before an upgrade, and fail if a VM cannot be quiesced
  quiesce.vmware_zfs.vmware_coordinated_snapshot:
    dataset: tank/vmware
    name: before-upgrade
    on_quiesce_failure: fail
    on_vm_failure: fail
    exclude_vms:
      - "scratch-*"

- name: Accept the firewalls at crash, and take the other disks of the database server into the same instant
  quiesce.vmware_zfs.vmware_coordinated_snapshot:
    dataset: tank/vmware
    policies:
      - match:
          name: "fw*"
        accept: crash
      - match:
          tag:
            category: backup
            name: database
        quiesce: required
        on_failure: fail
        accept: application
        on_span: include

- name: Show the plan without taking a snapshot
  quiesce.vmware_zfs.vmware_coordinated_snapshot:
    dataset: tank/vmware
  check_mode: true
"""

RETURN = r"""
zfs_snapshot:
  description: The ZFS snapshot of O(dataset).
  returned: success, or failure after the plan was made
  type: str
  sample: tank/vmware@auto-2026-01-31_02-00
zfs_snapshots:
  description: All ZFS snapshots of the run.
  returned: success, or failure after the plan was made
  type: list
  elements: str
  sample: [tank/vmware@auto-2026-01-31_02-00]
created:
  description: Whether this run took the ZFS snapshots and they still exist.
  returned: success, or failure after the plan was made
  type: bool
  sample: true
run_id:
  description: The ID of the run that took the ZFS snapshots. Empty in check mode and if the run was refused.
  returned: success, or failure after the plan was made
  type: str
  sample: 20260131T020000-1f2e3d4c
consistency:
  description:
    - The consistency level of the ZFS snapshot, which is the lowest level of its VMs.
    - V(crash) is the state after a power failure.
    - V(filesystem) means that VMware Tools reported flushed and frozen file systems.
    - V(application) means that applications with a Windows VSS writer were prepared too.
    - V(still) means that no VM was running.
    - In check mode, the best level that the run can reach.
    - V(null) if no ZFS snapshot was taken, or if it was destroyed again.
  returned: success, or failure after the plan was made
  type: str
  sample: filesystem
required_consistency:
  description:
    - The lowest level of the VMs that are neither excluded nor accepted at V(crash) by a policy.
    - V(null) if there are no such VMs, or if no ZFS snapshot was taken.
  returned: success, or failure after the plan was made
  type: str
  sample: filesystem
consistency_text:
  description:
    - The consistency for people. It is RV(required_consistency), and how many VMs are excluded or accepted at V(crash).
    - V(null) if no ZFS snapshot was taken, or if it was destroyed again.
  returned: success, or failure after the plan was made
  type: str
  sample: "filesystem (1 VM accepted at crash: fw01)"
vms_excluded:
  description: The number of running VMs that are excluded.
  returned: success, or failure after the plan was made
  type: int
  sample: 0
vms_accepted:
  description: The number of VMs that are at V(crash) and that a policy accepts at V(crash).
  returned: success, or failure after the plan was made
  type: int
  sample: 1
complete:
  description:
    - Whether every VM reached the level that its policy asks for. Without a policy, this is V(filesystem). Excluded VMs
      and VMs that are not running do not count.
  returned: success, or failure after the plan was made
  type: bool
  sample: true
problems:
  description: The problems outside the VMs that reduce the consistency of the snapshot, one sentence each.
  returned: success, or failure after the plan was made
  type: list
  elements: str
  sample: []
refusals:
  description: The reasons why O(on_quiesce_failure) or O(on_vm_failure) does not allow the run.
  returned: in check mode, or when the run was refused
  type: list
  elements: str
  sample: []
hold_window_seconds:
  description:
    - The time in seconds from the first request for a VMware snapshot to the end of the last removal.
    - V(null) in check mode, if the run was refused, and for a snapshot that already existed.
  returned: success, or failure after the plan was made
  type: float
  sample: 4.2
waves:
  description:
    - The result of each wave, in order. The other return values combine all waves. The consistency is the lowest of all
      waves, and the hold window is the longest.
  returned: when the snapshot is, or was, taken in waves
  type: list
  elements: dict
  contains:
    run_id:
      description: The ID of the wave's run. Empty in check mode.
      type: str
      sample: 20260131T020000-1f2e3d4c-2
    zfs_snapshots:
      description: The ZFS snapshots of the wave, all taken at the same instant.
      type: list
      elements: str
      sample: [tank/vmware/win@auto-2026-01-31_02-00]
    created:
      description: Whether the wave took the ZFS snapshots.
      type: bool
      sample: true
    consistency:
      description: The consistency level of the wave, as in RV(consistency).
      type: str
      sample: application
    consistency_text:
      description: The consistency of the wave for people, as in RV(consistency_text).
      type: str
      sample: application
    complete:
      description: Whether the wave is complete, as in RV(complete).
      type: bool
      sample: true
    hold_window_seconds:
      description: The hold window of the wave, as in RV(hold_window_seconds).
      type: float
      sample: 4.2
vmware_snapshots_left:
  description: The number of VMware snapshots that could not be removed. The module fails if this is not V(0).
  returned: success, or failure after the plan was made
  type: int
  sample: 0
left:
  description: The VMware snapshots that could not be removed, each with the reason.
  returned: success, or failure after the plan was made
  type: list
  elements: str
  sample: []
recovery:
  description:
    - The result of the recovery of earlier, interrupted runs, as returned by
      M(quiesce.vmware_zfs.vmware_snapshot_recover).
  returned: when a ZFS snapshot was taken
  type: dict
  sample: {removed: [], left: [], watched: [], sealed: [], lowered: [], undone_restores: [], problems: []}
vms:
  description:
    - Every VM with files on the datasets. The files of a VM are its configuration, disks, delta disks, snapshots and
      swap file.
  returned: success, or failure after the plan was made
  type: list
  elements: dict
  contains:
    name:
      description: The name of the VM, or its managed object ID if the account cannot read the name.
      type: str
      sample: mail
    moid:
      description: The managed object ID of the VM.
      type: str
      sample: vm-61
    instance_uuid:
      description: The instance UUID of the VM. It does not change if the VM is moved or renamed.
      type: str
      sample: 5029440e-c62e-30b0-2d0c-9a2b6a1b0f1e
    server:
      description: The vCenter or ESXi host that manages the VM.
      type: str
      sample: vcenter.example.com
    vmx_path:
      description: The path of the VM's configuration file.
      type: str
      sample: "[vmware] mail/mail.vmx"
    vmware_snapshot_moid:
      description:
        - The managed object ID of the VMware snapshot. Revert a restored VM to this snapshot.
        - Empty if no VMware snapshot was taken, for example in check mode.
      type: str
      sample: snapshot-214
    power:
      description: V(poweredOn), V(poweredOff) or V(suspended). V(null) for a snapshot that already existed.
      type: str
      sample: poweredOn
    action:
      description:
        - The planned action, V(quiesce), V(snapshot) (without quiescing) or V(nothing).
        - V(null) for a snapshot that already existed.
      type: str
      sample: quiesce
    level:
      description: The consistency level of the VM in the ZFS snapshot, as in RV(consistency).
      type: str
      sample: filesystem
    reason:
      description: The reason why the level is not higher.
      type: str
      sample: ""
    spans:
      description:
        - Other datasets and datastores with files of the VM. This ZFS snapshot does not include them.
        - Empty for a snapshot taken by release 1.0.0.
      type: list
      elements: str
      sample: []
    hold_seconds:
      description:
        - The time in seconds from the request for the VMware snapshot to its removal.
        - V(null) if there was no VMware snapshot or it could not be removed, in check mode, and for a snapshot that
          already existed.
      type: float
      sample: 3.9
    policy:
      description:
        - The policy of the VM, with the condition that matches. Empty if no policy matches.
      type: str
      sample: "policy 2 (name 'fw*')"
    accept:
      description: The level that the VM must reach for a complete snapshot.
      type: str
      sample: filesystem
    excluded:
      description: Whether a policy or O(exclude_vms) excludes the VM.
      type: bool
      sample: false
"""

from functools import partial
from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils import _ansible
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runs import run as runs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule import naming
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks.name_now import name_now
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect

SPEC = (
    _ansible.TIMEOUTS
    + _ansible.POLICY
    + _ansible.ALIASES
    + _ansible.ArgumentSpec(
        {
            "dataset": {"type": "str", "required": True},
            "recursive": {"type": "bool", "default": False},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "name": {"type": "str"},
            "naming_schema": {"type": "str"},
            "lock_timeout": {"type": "float", "default": 60.0},
        },
        mutually_exclusive=[("name", "naming_schema")],
    )
)


def run(module: Any) -> dict[str, Any]:
    options = module.params
    take = runs.preview if module.check_mode else runs.execute
    connection = partial(connect, timeouts=_ansible.timeouts(options))
    with open_engine(Paths.from_environment(), read_only=module.check_mode, connect=connection) as engine:
        name = options["name"]
        if name is None:
            schema = naming.check_schema(options["naming_schema"] or naming.DEFAULT_SCHEMA)
            name = name_now(engine.zfs, options["dataset"], options["recursive"], options["exclude"], schema)
        request = Request.from_options(options, name)
        request.check()
        result = take(engine, request)
    left = (result.recovery or {}).get("left", [])
    for warning in [*result.problems, *result.warnings, *(item["reason"] for item in left)]:
        module.warn(warning)
    returned = result.as_dict()
    del returned["warnings"]
    changed = result.created or (module.check_mode and not result.run_id and not result.refusals)
    after = result.zfs_snapshots if changed else []
    diff = {"before": {"zfs_snapshots": []}, "after": {"zfs_snapshots": after}}
    return {**returned, "changed": changed, "diff": diff}


def main() -> None:
    _ansible.run_module(SPEC, run)


if __name__ == "__main__":
    main()
