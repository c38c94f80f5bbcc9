#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_snapshot_recover
short_description: Remove VMware snapshots that an interrupted run left behind
version_added: 1.0.0
description:
  - Removes the VMware snapshots of coordinated runs that are no longer alive, because they were killed or their host
    lost power. They are known from the journal on the storage host, and with O(scan=true) from vSphere as well.
  - Each is removed by managed object ID, without its children, and looked for afterwards. A VM that moved or was
    renamed is followed, one that is gone is accepted.
  - A VM that was registered anew and is off may be a restored one, which has to be reverted to the VMware snapshot. It
    is left alone and listed under RV(left).
  - It also writes the consistency records that an interrupted run had finished, but not written to its ZFS snapshots.
  - Nothing else is touched, neither a VMware snapshot of somebody else nor one of a run that is alive.
  - The module fails when something is left, and says what and why. What is only RV(watched) is no failure. The command
    C(vmware-zfs status) says the same.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.connection.runtime
  - quiesce.vmware_zfs.connection.timeouts
author:
  - The quiesce.vmware_zfs authors (@quiesce)
attributes:
  check_mode:
    support: full
    details: Logs in and lists what would be removed. Records that would be written are not listed.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  scan:
    description:
      - Whether to search every VM of the stored credentials' servers for VMware snapshots that carry this storage
        host's mark, for after the state database was lost.
      - One that carries a former identity of this host, of before its disk was cloned or restored elsewhere, is removed
        only if the journal knows its run. Otherwise a clone may need it, and it is listed under RV(left).
    type: bool
    default: false
  lock_timeout:
    description: Seconds to wait for another recovery.
    type: float
    default: 60.0
seealso:
  - module: quiesce.vmware_zfs.vmware_coordinated_snapshot
"""

EXAMPLES = r"""
- name: Remove what interrupted runs left
  quiesce.vmware_zfs.vmware_snapshot_recover:

- name: Search vSphere too, after the storage host was restored from a backup
  quiesce.vmware_zfs.vmware_snapshot_recover:
    scan: true
"""

RETURN = r"""
removed:
  description: The VMware snapshots that were removed, or would be in check mode.
  returned: success or failure
  type: list
  elements: dict
  contains: &item
    run_id:
      description: The run that left it.
      type: str
      sample: 20260131T020000-1f2e3d4c
    server:
      description: The vCenter or ESXi host.
      type: str
      sample: vcenter.example.com
    vm:
      description: Name of the VM, as it was then.
      type: str
      sample: mail
    moid:
      description: Managed object ID of the VM.
      type: str
      sample: vm-61
    vmware_snapshot:
      description: Name of the VMware snapshot.
      type: str
      sample: vmware-zfs 20260131T020000-1f2e3d4c
    vmware_snapshot_moid:
      description: Managed object ID of the VMware snapshot, empty where it was not known.
      type: str
      sample: snapshot-14
    reason:
      description: What there is to say of it.
      type: str
      sample: ""
left:
  description:
    - The VMware snapshots that are still there, or may be, each with the reason.
    - Also those that were removed, but whose removal left disks that need consolidation.
  returned: success or failure
  type: list
  elements: dict
  contains: *item
watched:
  description:
    - The VMware snapshots that are not there, but may come to be because nobody saw their creation end, or come back
      with their VM, which is not there either.
    - They are looked for again by each recovery, until they have been absent for half an hour. Nothing has to be done
      about them.
    - In check mode those that were watched before and are not there.
  returned: success or failure
  type: list
  elements: dict
  contains: *item
sealed:
  description:
    - ZFS snapshots whose consistency record was written now.
    - The interrupted run had finished the record, and kept it in the journal.
  returned: success or failure
  type: list
  elements: str
  sample: []
lowered:
  description:
    - ZFS snapshots of release 1.0.0 whose consistency record was lowered because it said more than is known.
    - This release never lowers a record of its own.
  returned: success or failure
  type: list
  elements: str
  sample: []
problems:
  description: What else could not be settled, one sentence each.
  returned: success or failure
  type: list
  elements: str
  sample: []
"""

from functools import partial

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import (
    TIMEOUTS,
    ArgumentSpec,
    run_module,
    timeouts,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery.recover import recover
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect

SPEC = TIMEOUTS + ArgumentSpec(
    {"scan": {"type": "bool", "default": False}, "lock_timeout": {"type": "float", "default": 60.0}}
)


def run(module):
    options = module.params
    connection = partial(connect, timeouts=timeouts(options))
    with open_engine(Paths.from_environment(), read_only=module.check_mode, connect=connection) as engine:
        done = recover(engine, options["scan"], dry=module.check_mode, lock_timeout=options["lock_timeout"])
    for problem in done.problems:
        module.warn(problem)
    return {"changed": bool(done.removed or done.sealed or done.lowered), **done.require_clean()}


def main():
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
