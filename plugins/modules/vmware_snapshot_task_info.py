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
  - Lists the snapshot tasks of a storage host, with the time of the next run and the result of the last run.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.attributes.info
  - quiesce.vmware_zfs.connection.state
author:
  - The quiesce.vmware_zfs authors (@quiesce)
options:
  id:
    description: List only the task with this ID.
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

- name: Show the time of the next run
  ansible.builtin.debug:
    msg: "{{ stored.tasks | map(attribute='next_run') | select | sort | first }}"
"""

RETURN = r"""
tasks:
  description: The tasks that match the options, oldest first. Empty if there are none.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The ID of the task.
      type: int
      sample: 1
    key:
      description: The value of the property C(quiesce.vmware_zfs:task) on the ZFS snapshots of the task.
      type: str
      sample: 3f0c4e6b9a5d2871
    dataset:
      description: The name of the dataset.
      type: str
      sample: tank/vmware
    recursive:
      description: Whether the child datasets are also snapshotted.
      type: bool
      sample: true
    exclude:
      description: The child datasets that are excluded.
      type: list
      elements: str
      sample: []
    lifetime_value:
      description: The lifetime of its snapshots, in units of RV(tasks[].lifetime_unit).
      type: int
      sample: 1
    lifetime_unit:
      description: The unit of RV(tasks[].lifetime_value).
      type: str
      sample: WEEK
    naming_schema:
      description: The naming schema of its snapshots.
      type: str
      sample: auto-%Y-%m-%d_%H-%M
    schedule:
      description: The schedule of the task.
      type: dict
      sample: {minute: "0", hour: "0", dom: "*", month: "*", dow: "*", begin: "00:00", end: "23:59"}
    jitter:
      description: The maximum delay in seconds between the due minute and the start of a run.
      type: int
      sample: 30
    enabled:
      description: Whether the task runs on its schedule.
      type: bool
      sample: true
    allow_empty:
      description: Whether the task takes a snapshot even if nothing was written since its last snapshot.
      type: bool
      sample: true
    vmware_sync:
      description: Whether the VMs are quiesced.
      type: bool
      sample: true
    tolerate_incomplete:
      description: Whether a run succeeds even if its snapshot is not complete.
      type: bool
      sample: false
    on_quiesce_failure:
      description: What the task does with a VM that cannot be quiesced.
      type: str
      sample: crash_consistent
    on_vm_failure:
      description: What the task does if the VMware snapshot of a VM fails.
      type: str
      sample: continue
    exclude_vms:
      description: The VMs that are excluded from quiescing.
      type: list
      elements: str
      sample: []
    policies:
      description: The policies for single VMs.
      type: list
      elements: dict
      sample: [{match: {name: "fw*"}, accept: crash}]
    vm_timeout:
      description: The maximum time in seconds to create the VMware snapshot of one VM.
      type: float
      sample: 300.0
    max_hold:
      description: The maximum time in seconds to hold the VMs.
      type: float
      sample: 900.0
    wave_size:
      description: The maximum number of VMs in a wave. V(0) means that all VMs are held at the same time.
      type: int
      sample: 0
    limit_per_vcenter:
      description: The maximum number of VMware snapshots at the same time on a vCenter.
      type: int
      sample: 32
    limit_per_host:
      description: The maximum number of VMware snapshots at the same time on an ESXi host.
      type: int
      sample: 8
    lock_timeout:
      description: The maximum time in seconds to wait for another run.
      type: float
      sample: 3600.0
    aliases:
      description: Additional host names and IP addresses of the storage host.
      type: list
      elements: str
      sample: []
    connect_timeout:
      description: The maximum time in seconds to connect to a server.
      type: float
      sample: 15.0
    call_timeout:
      description: The maximum time in seconds to wait for the response to an API call.
      type: float
      sample: 60.0
    created:
      description: The creation time, in UTC.
      type: str
      sample: "2026-01-31T08:15:00Z"
    updated:
      description: The time of the last change, in UTC.
      type: str
      sample: "2026-01-31T08:15:00Z"
    next_run:
      description:
        - The time at which the task is due next, in the storage host's local time. V(null) if the task is disabled.
        - The run starts up to RV(tasks[].jitter) seconds later.
      type: str
      sample: "2026-02-01T00:00+01:00"
    last_run:
      description: The most recent run of the task. V(null) if it has not run.
      type: dict
      contains:
        run_id:
          description: The ID of the run.
          type: str
          sample: 20260131T020000-1f2e3d4c
        started:
          description: The start time of the run in UTC.
          type: str
          sample: "2026-01-31T02:00:00.412+00:00"
        state:
          description:
            - The state of the run. V(ended) if the run is finished.
            - V(quiescing) or V(releasing) if the run is active, or if it was interrupted in this state and no recovery
              has ended it yet.
          type: str
          sample: ended
        zfs_snapshot:
          description: The ZFS snapshot of the run.
          type: str
          sample: tank/vmware@auto-2026-01-31_02-00
        created:
          description: Whether the ZFS snapshot was taken.
          type: bool
          sample: true
        consistency:
          description:
            - The consistency level at the end of the run. If the run could not write its record, a recovery may have
              written it later.
            - V(null) if no ZFS snapshot was taken, or if the run has not ended.
          type: str
          sample: filesystem
        consistency_text:
          description:
            - The consistency for people. VMs that are excluded or that a policy accepts at V(crash) are shown apart.
            - V(null) if no ZFS snapshot was taken, or if the run has not ended.
          type: str
          sample: "filesystem (1 excluded)"
        complete:
          description: Whether every VM reached the level that its policy asks for. V(null) if the run has not ended.
          type: bool
          sample: true
        hold_window_seconds:
          description:
            - The time in seconds from the first request for a VMware snapshot to the end of the last removal.
            - V(null) with RV(tasks[].vmware_sync=false), or if the run has not ended.
          type: float
          sample: 4.2
"""

from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import ArgumentSpec, run_module
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks.turn import overview

SPEC = ArgumentSpec({"id": {"type": "int"}, "dataset": {"type": "str"}})


def run(module: Any) -> dict[str, Any]:
    asked = {name: value for name, value in module.params.items() if value is not None}
    with open_engine(Paths.from_environment(), read_only=True) as engine:
        found = [overview(engine, task) for task in engine.tasks.list_all()]
    return {
        "changed": False,
        "tasks": [task for task in found if all(task[name] == value for name, value in asked.items())],
    }


def main() -> None:
    run_module(SPEC, run, libraries=[])


if __name__ == "__main__":
    main()
