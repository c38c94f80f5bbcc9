#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_snapshot_task
short_description: Create, change or remove a scheduled coordinated snapshot
version_added: 1.0.0
description:
  - A snapshot task takes coordinated snapshots of a dataset on a schedule, as
    M(quiesce.vmware_zfs.vmware_coordinated_snapshot) does, and destroys its expired ZFS snapshots. It runs on the
    storage host with a systemd timer and needs no controller.
  - A task destroys only its own ZFS snapshots, by exact name, and only after their lifetime has expired. The lifetime
    starts at the creation time. Snapshots that are held or have a clone are kept. The newest snapshot, the newest
    complete snapshot, and the snapshots of a run that has not ended are also kept.
  - Received snapshots are kept, and so are snapshots of datasets that the task does not snapshot because they are
    excluded or the task is not recursive.
  - The options describe the complete task. An option that is not set returns to its default, even if another value is
    stored. If O(id) is set, every option that is not set keeps its stored value.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.connection.state
  - quiesce.vmware_zfs.policy.task
  - quiesce.vmware_zfs.vm_policies.task
author:
  - The quiesce.vmware_zfs authors (@quiesce)
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: The diff shows the settings and the unit file of the timer.
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) creates the task and its timer, or changes them if they differ from the options.
      - V(absent) removes both. The ZFS snapshots of the task are kept, and are no longer destroyed automatically.
    type: str
    choices: [present, absent]
    default: present
  id:
    description:
      - The ID of the task to change or remove. M(quiesce.vmware_zfs.vmware_snapshot_task_info) lists the IDs. Only the
        options that are set change.
      - If not set, O(dataset) and O(naming_schema) identify the task.
    type: int
  dataset:
    description: The name of the dataset to snapshot, as shown by C(zfs list).
    type: str
  recursive:
    description:
      - Whether to also snapshot the child datasets of O(dataset), in the same atomic step. The default is V(false).
    type: bool
  exclude:
    description:
      - The child datasets of O(dataset) to exclude, with their own child datasets. Used with O(recursive=true).
      - Exclude volumes that no VM uses, such as swap. If no datastore of a stored credential accounts for a volume, its
        record is V(crash) and not complete.
    type: list
    elements: str
  lifetime_value:
    description: The lifetime of the snapshots, in units of O(lifetime_unit). The default is V(2).
    type: int
  lifetime_unit:
    description:
      - The unit of O(lifetime_value). A month has 30 days, a year has 365 days. The default is V(WEEK).
    type: str
    choices: [HOUR, DAY, WEEK, MONTH, YEAR]
  naming_schema:
    description:
      - The names of the snapshots with C(strftime) date codes, in the storage host's local time.
      - It must contain C(%Y), C(%m), C(%d), C(%H) and C(%M), or C(%s). The default is V(auto-%Y-%m-%d_%H-%M).
      - If a name is already in use, for example because the clock was set back, the seconds since 1970 are appended to
        it.
      - Other allowed characters are letters, digits, spaces and C(_-.:). C(%z) is not allowed, because it produces a
        C(+), which ZFS does not accept. Use C(%s) instead, or omit the time zone.
    type: str
  schedule:
    description:
      - The times at which the task runs, in the storage host's local time. The syntax is that of crontab (numbers,
        names, ranges, lists and steps).
      - If both O(schedule.dom) and O(schedule.dow) are restricted, a day matches if either of them matches.
      - If the storage host was off when the task was due, the task runs once after the host starts.
      - The schedule is one value. A suboption that is not set takes its default, so O(schedule.hour=2) alone means
        02:00 every day, even if another schedule is stored. Without a schedule, the task runs every hour.
    type: dict
    suboptions:
      minute:
        description: The minutes, 0 to 59.
        type: str
        default: "00"
      hour:
        description: The hours, 0 to 23.
        type: str
        default: "*"
      dom:
        description: The days of the month, 1 to 31.
        type: str
        default: "*"
      month:
        description: The months, 1 to 12 or jan to dec.
        type: str
        default: "*"
      dow:
        description: The days of the week, 0 to 7 (0 and 7 are Sunday) or sun to sat.
        type: str
        default: "*"
      begin:
        description: The earliest time of day (HH:MM) at which the task runs.
        type: str
        default: "00:00"
      end:
        description: The latest time of day (HH:MM) at which the task runs.
        type: str
        default: "23:59"
  jitter:
    description:
      - The maximum delay in seconds between the due minute and the start of a run. The default is V(30). The delay
        keeps storage hosts with the same schedule from connecting to a vCenter in the same second. V(0) means no delay.
      - If several storage hosts use one vCenter, allow about 30 seconds for each 1,000 VMs that they snapshot on it.
      - The delay of a task on a host is always the same. It depends on the host's machine ID (C(/etc/machine-id)) and
        the ID of the task. Hosts that were cloned with the same machine ID have the same delay. Before systemd 247, the
        delay is different for each run.
      - The name of the snapshot contains the due minute, whatever the delay.
      - The maximum is V(3600). The delay must be at least five seconds shorter than the time between two runs.
    type: int
  enabled:
    description: Whether the task runs on its schedule. The default is V(true).
    type: bool
  allow_empty:
    description:
      - Whether to take a snapshot even if nothing was written since the task's last snapshot. The default is V(true).
    type: bool
  vmware_sync:
    description:
      - Whether to quiesce the VMs on the dataset. The default is V(true).
      - V(false) takes plain ZFS snapshots. They have the property C(quiesce.vmware_zfs:mode=plain) and their level is
        always V(crash).
    type: bool
  tolerate_incomplete:
    description:
      - Whether a run succeeds if a VM was not quiesced or a server did not take part. The default is V(false).
      - If V(false), C(vmware-zfs run) takes the snapshot, applies the retention, and exits with status 3. The systemd
        service of the task fails. Its log contains a warning for each VM, with the reason.
      - VMs that are powered off or listed in O(exclude_vms) do not make the run fail.
    type: bool
  lock_timeout:
    description:
      - The maximum time in seconds to wait for another run on the same dataset, a parent or a child dataset. The
        default is V(3600), so that tasks that are due in the same minute run one after the other.
    type: float
  aliases:
    description:
      - Additional host names and IP addresses that ESXi hosts use to reach this storage host. Use this for addresses
        that are not configured on this storage host, such as NAT addresses.
    type: list
    elements: str
  connect_timeout:
    description: The maximum time in seconds to connect to a server. The default is V(15).
    type: float
  call_timeout:
    description: The maximum time in seconds to wait for the response to an API call. The default is V(60).
    type: float
seealso:
  - module: quiesce.vmware_zfs.vmware_snapshot_task_info
  - module: quiesce.vmware_zfs.vmware_snapshot_retention
  - module: quiesce.vmware_zfs.vmware_coordinated_snapshot
"""

EXAMPLES = r"""
- name: Take a snapshot every night and keep it for a week
  quiesce.vmware_zfs.vmware_snapshot_task:
    dataset: tank/vmware
    recursive: true
    lifetime_value: 1
    lifetime_unit: WEEK
    naming_schema: auto-%Y-%m-%d_%H-%M
    schedule:
      minute: "0"
      hour: "0"
      dom: "*"
      month: "*"
      dow: "*"
    vmware_sync: true

- name: Take another snapshot on the first day of each month and keep it for a year
  quiesce.vmware_zfs.vmware_snapshot_task:
    dataset: tank/vmware
    recursive: true
    naming_schema: monthly-%Y-%m-%d_%H-%M
    lifetime_value: 1
    lifetime_unit: YEAR
    schedule:
      minute: "30"
      hour: "1"
      dom: "1"

- name: Distribute the runs of many hosts with 20,000 VMs on one vCenter over ten minutes
  quiesce.vmware_zfs.vmware_snapshot_task:
    dataset: tank/vmware
    naming_schema: nightly-%Y-%m-%d_%H-%M
    schedule:
      minute: "0"
      hour: "2"
    jitter: 600

- name: Disable the task with the ID 1
  quiesce.vmware_zfs.vmware_snapshot_task:
    id: 1
    enabled: false
"""

RETURN = r"""
task:
  description: The task, or the task that was removed. V(null) if there was nothing to remove.
  returned: success
  type: dict
  contains:
    id:
      description: The ID of the task. V(null) if check mode would create it.
      type: int
      sample: 1
    key:
      description:
        - The value of the property C(quiesce.vmware_zfs:task) on the ZFS snapshots of the task.
        - V(null) if check mode would create it.
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
      description: The lifetime of its snapshots, in units of RV(task.lifetime_unit).
      type: int
      sample: 1
    lifetime_unit:
      description: The unit of RV(task.lifetime_value).
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
      description: The creation time, in UTC. V(null) if check mode would create it.
      type: str
      sample: "2026-01-31T08:15:00Z"
    updated:
      description: The time of the last change, in UTC. V(null) if check mode would create it.
      type: str
      sample: "2026-01-31T08:15:00Z"
"""

import time
from dataclasses import asdict
from typing import Any, Mapping

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import STORED_POLICY, ArgumentSpec, run_module
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule import naming
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.calendar import Schedule
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.occurrences import wakings
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.retention import UNITS
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import (
    SnapshotTask,
    SnapshotTasks,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import timers
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks.turn import check
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import datasets
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import check_dataset

STRINGS = {"type": "list", "elements": "str"}
SPEC = STORED_POLICY + ArgumentSpec(
    {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "id": {"type": "int"},
        "dataset": {"type": "str"},
        "recursive": {"type": "bool"},
        "exclude": STRINGS,
        "lifetime_value": {"type": "int"},
        "lifetime_unit": {"type": "str", "choices": list(UNITS)},
        "naming_schema": {"type": "str"},
        "schedule": {
            "type": "dict",
            "options": {name: {"type": "str", "default": value} for name, value in asdict(Schedule()).items()},
        },
        "jitter": {"type": "int"},
        "enabled": {"type": "bool"},
        "allow_empty": {"type": "bool"},
        "vmware_sync": {"type": "bool"},
        "tolerate_incomplete": {"type": "bool"},
        "lock_timeout": {"type": "float"},
        "aliases": STRINGS,
        "connect_timeout": {"type": "float"},
        "call_timeout": {"type": "float"},
    },
    required_one_of=[("id", "dataset")],
)


def run(module: Any) -> dict[str, Any]:
    paths = Paths.from_environment()
    systemd = timers.Timers()
    with SnapshotTasks.open(paths, read_only=True) as tasks:
        existing = look_up(tasks, module.params)
        wanted = None
        if module.params["state"] == "present":
            wanted = wanted_task(existing, module.params)
            tasks.refuse_twin(wanted)
            check(wanted)
            for warning in check_datasets(wanted):
                module.warn(warning)
            if wanted.enabled and not module.check_mode:
                systemd.require()
    timer = systemd.read(existing.id) if existing else timers.NONE
    wanted_timer = timer_of(wanted) if wanted else timers.NONE
    before, after = settings(existing, timer), settings(wanted, wanted_timer)
    if before != after and not module.check_mode:
        wanted = change(paths, systemd, existing, wanted, timer, wanted_timer)
    shown = wanted or existing
    return {
        "changed": before != after,
        "task": shown.as_dict() if shown else None,
        "diff": {"before": before, "after": after},
    }


def look_up(tasks: SnapshotTasks, parameters: Mapping[str, Any]) -> SnapshotTask | None:
    """Return the stored task that the options identify, or None. Raises if an id to change does not exist."""
    if parameters["id"] is None:
        schema = parameters["naming_schema"]  # not checked, so that a task of an older release can be removed
        return tasks.find(
            SnapshotTask(check_dataset(parameters["dataset"]), naming.DEFAULT_SCHEMA if schema is None else schema)
        )
    if parameters["state"] == "present":
        return tasks.get(parameters["id"])
    return next((task for task in tasks.list_all() if task.id == parameters["id"]), None)


def wanted_task(existing: SnapshotTask | None, parameters: Mapping[str, Any]) -> SnapshotTask:
    """Return the requested task. Without id, options that are not set take their defaults."""
    known = existing or SnapshotTask("")
    return known.declared(parameters) if parameters["id"] is None else known.merged(parameters)


def timer_of(task: SnapshotTask) -> timers.Timer:
    return timers.wanted(task.dataset, wakings(task.schedule, time.time()), task.jitter, task.enabled)


def check_datasets(task: SnapshotTask) -> list[str]:
    """Check the dataset and the excluded datasets as a run does. Return the warnings."""
    found = datasets.list_datasets(Zfs(), task.dataset)
    chosen = datasets.select(found, task.dataset, task.recursive, task.exclude)
    naming.check_schema(task.naming_schema, max((dataset.name for dataset in chosen), key=len))
    if task.vmware_sync and chosen[0].kind == "volume":
        raise InputError(f"'{task.dataset}' is a volume", "Set dataset to the file system of the NFS datastore")
    return datasets.not_there(task.exclude, found)


def settings(task: SnapshotTask | None, timer: timers.Timer) -> dict[str, Any]:
    return {**task.settings(), "timer": asdict(timer)} if task else {}


def change(
    paths: Paths,
    systemd: timers.Timers,
    existing: SnapshotTask | None,
    wanted: SnapshotTask | None,
    timer: timers.Timer,
    wanted_timer: timers.Timer,
) -> SnapshotTask | None:
    """Carry out the change. A task is stored before its timer starts and deleted after its timer is removed."""
    with SnapshotTasks.open(paths) as tasks:
        if wanted is None:
            if existing is not None:
                systemd.change(existing.id, timer, wanted_timer)
                tasks.delete(existing.id)
            return None
        if existing is None:
            wanted = tasks.insert(wanted)
        elif existing.settings() != wanted.settings():
            wanted = tasks.update(wanted)
        systemd.change(wanted.id, timer, wanted_timer)
        return wanted


def main() -> None:
    run_module(SPEC, run, libraries=[])


if __name__ == "__main__":
    main()
