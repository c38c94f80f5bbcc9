#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_snapshot_recover
short_description: Remove leftover VMware snapshots of interrupted runs
version_added: 1.0.0
description:
  - Removes the VMware snapshots of interrupted coordinated runs. A run is interrupted if its process was killed or the
    host lost power, for example. The module finds the VMware snapshots in the journal on the storage host and, with
    O(scan=true), in vSphere.
  - Each VMware snapshot is removed by managed object ID, without its children. The module then verifies that it is
    gone. VMs that were moved or renamed are found. VMs that no longer exist are ignored.
  - If a VM was registered again and is powered off, it may be a restored VM that still has to be reverted to the VMware
    snapshot. The module does not remove this snapshot and lists it in RV(left).
  - The module also writes the consistency records that an interrupted run completed but did not write to its ZFS
    snapshots.
  - The module does not remove other VMware snapshots, nor those of active runs.
  - The module fails if VMware snapshots remain, and lists them with the reasons. VMware snapshots that are only
    RV(watched) are not a failure. The command C(vmware-zfs status) shows the same information.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.connection.runtime
  - quiesce.vmware_zfs.connection.timeouts
author:
  - The quiesce.vmware_zfs authors (@quiesce)
attributes:
  check_mode:
    support: full
    details: The module logs in and lists the VMware snapshots to remove. It does not list the records to write.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  scan:
    description:
      - Whether to search every VM on the servers of the stored credentials for VMware snapshots of this storage host.
        Use this after the state database was lost.
      - The storage host gets a new identity if its disk is cloned or restored on another machine. A VMware snapshot
        with a former identity is removed only if its run is in the journal. Otherwise the other machine may still need
        it, and it is listed in RV(left).
    type: bool
    default: false
  lock_timeout:
    description: The maximum time in seconds to wait for another recovery.
    type: float
    default: 60.0
seealso:
  - module: quiesce.vmware_zfs.vmware_coordinated_snapshot
"""

EXAMPLES = r"""
- name: Remove the VMware snapshots of interrupted runs
  quiesce.vmware_zfs.vmware_snapshot_recover:

- name: Also search vSphere after the storage host was restored from a backup
  quiesce.vmware_zfs.vmware_snapshot_recover:
    scan: true
"""

RETURN = r"""
removed:
  description: The VMware snapshots that were removed, or would be removed in check mode.
  returned: success or failure
  type: list
  elements: dict
  contains: &item
    run_id:
      description: The ID of the run that created the VMware snapshot.
      type: str
      sample: 20260131T020000-1f2e3d4c
    server:
      description: The vCenter or ESXi host.
      type: str
      sample: vcenter.example.com
    vm:
      description: The name of the VM at the time of the run.
      type: str
      sample: mail
    moid:
      description: The managed object ID of the VM.
      type: str
      sample: vm-61
    vmware_snapshot:
      description: The name of the VMware snapshot.
      type: str
      sample: vmware-zfs 20260131T020000-1f2e3d4c
    vmware_snapshot_moid:
      description: The managed object ID of the VMware snapshot. Empty if it is not known.
      type: str
      sample: snapshot-14
    reason:
      description: The reason why it remains or is watched, or other information.
      type: str
      sample: ""
left:
  description:
    - The VMware snapshots that still exist, or may still exist, each with the reason.
    - The list also contains VMware snapshots that were removed but whose VM needs disk consolidation.
  returned: success or failure
  type: list
  elements: dict
  contains: *item
watched:
  description:
    - The VMware snapshots that do not exist but may still appear. Either the end of their creation is unknown, or their
      VM is missing and may return.
    - Each recovery checks for them until they have been absent for half an hour. No action is required.
    - In check mode, the VMware snapshots that were already watched and do not exist.
  returned: success or failure
  type: list
  elements: dict
  contains: *item
sealed:
  description:
    - The ZFS snapshots whose consistency record was written by this call.
    - The interrupted run had completed the record and stored it in the journal.
  returned: success or failure
  type: list
  elements: str
  sample: []
lowered:
  description:
    - The ZFS snapshots of release 1.0.0 whose consistency record was changed to a lower level, because the higher level
      was not verified.
    - The current release never reduces the level of a record that it wrote.
  returned: success or failure
  type: list
  elements: str
  sample: []
undone_restores:
  description:
    - The IDs of interrupted restores that were undone, or would be undone in check mode. Nothing of them is left.
    - A restore that finished is not changed.
  returned: success or failure
  type: list
  elements: str
  sample: []
problems:
  description: Other problems that the recovery could not solve, one sentence each.
  returned: success or failure
  type: list
  elements: str
  sample: []
"""

from functools import partial
from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils import _ansible
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery.recover import recover
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect

SPEC = _ansible.TIMEOUTS + _ansible.ArgumentSpec(
    {"scan": {"type": "bool", "default": False}, "lock_timeout": {"type": "float", "default": 60.0}}
)


def run(module: Any) -> dict[str, Any]:
    options = module.params
    connection = partial(connect, timeouts=_ansible.timeouts(options))
    with open_engine(Paths.from_environment(), read_only=module.check_mode, connect=connection) as engine:
        done = recover(engine, options["scan"], dry=module.check_mode, lock_timeout=options["lock_timeout"])
    for problem in done.problems:
        module.warn(problem)
    return {
        "changed": bool(done.removed or done.sealed or done.lowered or done.undone_restores),
        **done.require_clean(),
    }


def main() -> None:
    _ansible.run_module(SPEC, run)


if __name__ == "__main__":
    main()
