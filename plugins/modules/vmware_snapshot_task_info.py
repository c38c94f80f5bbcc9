#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_snapshot_task_info
short_description: List scheduled coordinated snapshots
version_added: 1.0.0
description:
  - Lists the snapshot tasks of a storage host, when each runs next, and what its last run came to.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.attributes.info
  - quiesce.vmware_zfs.connection.state
author:
  - The quiesce.vmware_zfs authors (@quiesce)
options:
  id:
    description: List only the task with this id.
    type: int
  dataset:
    description: List only the tasks of this dataset.
    type: str
seealso:
  - module: quiesce.vmware_zfs.vmware_snapshot_task
"""

EXAMPLES = r"""
- name: List all snapshot tasks
  quiesce.vmware_zfs.vmware_snapshot_task_info:
  register: stored

- name: Show when the VMs are snapshotted next
  ansible.builtin.debug:
    msg: "{{ stored.tasks | map(attribute='next_run') | select | sort | first }}"
"""

RETURN = r"""
tasks:
  description: The tasks that were asked for, oldest first; empty when there are none.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      type: int
      sample: 1
    key:
      description: What the ZFS snapshots of the task carry in C(quiesce.vmware_zfs:task).
      type: str
      sample: 3f0c4e6b9a5d2871
    dataset:
      description: The dataset.
      type: str
      sample: tank/vmware
    recursive:
      description: Whether the datasets below it are snapshotted too.
      type: bool
      sample: true
    exclude:
      description: Datasets below it that are left out.
      type: list
      elements: str
      sample: []
    lifetime_value:
      description: How long its snapshots are kept, in units of RV(tasks[].lifetime_unit).
      type: int
      sample: 1
    lifetime_unit:
      description: The unit of RV(tasks[].lifetime_value).
      type: str
      sample: WEEK
    naming_schema:
      description: How its snapshots are named.
      type: str
      sample: auto-%Y-%m-%d_%H-%M
    schedule:
      description: When it runs.
      type: dict
      sample: {minute: "0", hour: "0", dom: "*", month: "*", dow: "*", begin: "00:00", end: "23:59"}
    jitter:
      description: Within how many seconds after its due minute a run begins.
      type: int
      sample: 30
    enabled:
      description: Whether it runs by itself.
      type: bool
      sample: true
    allow_empty:
      description: Whether it also takes a snapshot when nothing was written since its last one.
      type: bool
      sample: true
    vmware_sync:
      description: Whether the VMs are quiesced.
      type: bool
      sample: true
    tolerate_incomplete:
      description: Whether a turn succeeds also when its snapshot is not complete.
      type: bool
      sample: false
    on_quiesce_failure:
      description: What it does with a VM that cannot be quiesced.
      type: str
      sample: crash_consistent
    on_vm_failure:
      description: What it does when no VMware snapshot can be taken of a VM.
      type: str
      sample: continue
    exclude_vms:
      description: VMs that it leaves alone.
      type: list
      elements: str
      sample: []
    vm_timeout:
      description: Seconds within which the VMware snapshot of one VM must be ready.
      type: float
      sample: 300.0
    max_hold:
      description: Seconds after which the VMs are released.
      type: float
      sample: 900.0
    wave_size:
      description: VMs that are held at the same time at most, 0 for all.
      type: int
      sample: 0
    limit_per_vcenter:
      description: VMware snapshots at a time on one vCenter.
      type: int
      sample: 32
    limit_per_host:
      description: VMware snapshots at a time on one ESXi host.
      type: int
      sample: 8
    lock_timeout:
      description: Seconds that it waits for another run.
      type: float
      sample: 3600.0
    aliases:
      description: Further names and addresses of the storage host.
      type: list
      elements: str
      sample: []
    connect_timeout:
      description: Seconds that connecting to a server may take.
      type: float
      sample: 15.0
    call_timeout:
      description: Seconds that a server may take to answer a call.
      type: float
      sample: 60.0
    created:
      description: When it was stored first, in UTC.
      type: str
      sample: "2026-01-31T08:15:00Z"
    updated:
      description: When it was changed last, in UTC.
      type: str
      sample: "2026-01-31T08:15:00Z"
    next_run:
      description:
        - When it is due next, in the storage host's local time; V(null) when it is disabled.
        - It begins within RV(tasks[].jitter) seconds from then on.
      type: str
      sample: "2026-02-01T00:00+01:00"
    last_run:
      description: Its newest run, V(null) when there was none.
      type: dict
      contains:
        run_id:
          description: The run.
          type: str
          sample: 20260131T020000-1f2e3d4c
        started:
          description: When it began, in UTC.
          type: str
          sample: "2026-01-31T02:00:00.412+00:00"
        state:
          description:
            - How far it came. V(ended) when it did all it could.
            - V(quiescing) and V(releasing) while it is under way, or when it was interrupted there and no recovery has
              ended it yet.
          type: str
          sample: ended
        zfs_snapshot:
          description: Its ZFS snapshot.
          type: str
          sample: tank/vmware@auto-2026-01-31_02-00
        created:
          description: Whether it was taken.
          type: bool
          sample: true
        consistency:
          description:
            - How consistent it was when the run ended. If its record could not be written then, a recovery may have
              written it since.
            - V(null) when no ZFS snapshot was taken, and as long as the run has not ended.
          type: str
          sample: filesystem
        complete:
          description: Whether every VM that was to be quiesced was; V(null) as long as the run has not ended.
          type: bool
          sample: true
        hold_window_seconds:
          description:
            - Seconds from the first request for a VMware snapshot to the end of the last removal.
            - V(null) with RV(tasks[].vmware_sync=false), and as long as the run has not ended.
          type: float
          sample: 4.2
"""

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import ArgumentSpec, run_module
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks.turn import overview

SPEC = ArgumentSpec({"id": {"type": "int"}, "dataset": {"type": "str"}})


def run(module):
    asked = {name: value for name, value in module.params.items() if value is not None}
    with open_engine(Paths.from_environment(), read_only=True) as engine:
        found = [overview(engine, task) for task in engine.tasks.list_all()]
    return {
        "changed": False,
        "tasks": [task for task in found if all(task[name] == value for name, value in asked.items())],
    }


def main():
    run_module(SPEC, run, libraries=[])


if __name__ == "__main__":
    main()
