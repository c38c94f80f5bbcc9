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
  - A snapshot task takes a coordinated snapshot of a dataset at the times of its schedule, as
    M(quiesce.vmware_zfs.vmware_coordinated_snapshot) does, and destroys its ZFS snapshots when their time is over. The
    storage host does so by itself, with a systemd timer; no controller is needed.
  - Only ZFS snapshots that this very task took are ever destroyed, by exact name, and only when their lifetime is over
    by their creation time. One that is held or has a clone stays, and so do the newest one and the newest one that is
    complete. Those of a run that has not ended stay, too. So does what was received, and what lies on a dataset that
    the task does not take, because it is excluded or below a task that is not recursive.
  - The options are the whole task. One that is left out takes the default that is named, also when another value is
    stored. Only with O(id) an option that is left out stays as it is.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.connection.state
author:
  - The quiesce.vmware_zfs authors (@quiesce)
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the settings and the timer's unit file.
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) creates the task and its timer, or changes them where they differ from the options.
      - V(absent) removes both. The ZFS snapshots of the task stay, and are not destroyed by anyone from then on.
    type: str
    choices: [present, absent]
    default: present
  id:
    description:
      - The task to change or remove, as M(quiesce.vmware_zfs.vmware_snapshot_task_info) lists it. Only the options that
        are given change.
      - Without it, O(dataset) and O(naming_schema) together say which task is meant.
    type: int
  dataset:
    description: The dataset to snapshot, as C(zfs list) shows it.
    type: str
  recursive:
    description: Whether the datasets below O(dataset) are snapshotted too, in the same step. V(false) by default.
    type: bool
  exclude:
    description:
      - Datasets below O(dataset) to leave out, with what lies below them, when O(recursive=true).
      - Exclude volumes that no VM uses, such as swap. The record of a volume that no datastore of a stored credential
        accounts for is V(crash) and not complete.
    type: list
    elements: str
  lifetime_value:
    description: How long the snapshots are kept, in units of O(lifetime_unit). V(2) by default.
    type: int
  lifetime_unit:
    description: The unit of O(lifetime_value); a month has 30 days, a year 365. V(WEEK) by default.
    type: str
    choices: [HOUR, DAY, WEEK, MONTH, YEAR]
  naming_schema:
    description:
      - Names of the snapshots, with the parts of a date as C(strftime) knows them, in the storage host's time.
      - Must hold C(%Y), C(%m), C(%d), C(%H) and C(%M), or C(%s). V(auto-%Y-%m-%d_%H-%M) by default.
      - A name that is taken, as when clocks go back, gets the seconds since 1970 behind it.
      - Beside the parts of a date it holds letters, digits, blanks and C(_-.:), as ZFS takes no others. So C(%z) is
        refused, whose C(+) ZFS does not take; leave it out, or use C(%s).
    type: str
  schedule:
    description:
      - When the task runs, in the storage host's local time, as crontab has it (numbers, names, ranges, lists, steps).
      - When O(schedule.dom) and O(schedule.dow) are both restricted, a day matches if either does.
      - A run that was missed because the storage host was off is made up for once, after its start.
      - A schedule is one value. Fields that are left out take their defaults, so O(schedule.hour=2) alone is 02:00
        every day, whatever was stored before. Without any schedule a task runs every hour.
    type: dict
    suboptions:
      minute:
        description: Minutes, 0 to 59.
        type: str
        default: "00"
      hour:
        description: Hours, 0 to 23.
        type: str
        default: "*"
      dom:
        description: Days of the month, 1 to 31.
        type: str
        default: "*"
      month:
        description: Months, 1 to 12 or jan to dec.
        type: str
        default: "*"
      dow:
        description: Days of the week, 0 to 7 (0 and 7 are Sunday) or sun to sat.
        type: str
        default: "*"
      begin:
        description: Time of day (HH:MM) before which it does not run.
        type: str
        default: "00:00"
      end:
        description: Time of day (HH:MM) after which it does not run.
        type: str
        default: "23:59"
  jitter:
    description:
      - Within how many seconds after its due minute a run begins. V(30) by default, so that storage hosts with equal
        schedules do not all turn to a vCenter in the same second; V(0) is that second. A fleet needs about 30 seconds
        for each 1,000 VMs that its hosts snapshot on one vCenter.
      - Each host has its own place in that time and keeps it, by its machine ID (C(/etc/machine-id)) and the task's id.
        Hosts cloned with one machine ID would all have the same. Before systemd 247 the place is another for each run.
      - The snapshot is named after the due minute, however late its place is.
      - At most V(3600), and at least five seconds less than the time between two runs.
    type: int
  enabled:
    description: Whether the task runs by itself. V(true) by default.
    type: bool
  allow_empty:
    description: Whether to take a snapshot also when nothing was written since the task's last one. V(true) by default.
    type: bool
  vmware_sync:
    description:
      - Whether the VMs on the dataset are quiesced. V(true) by default.
      - V(false) takes plain ZFS snapshots. They carry the property C(quiesce.vmware_zfs:mode=plain) and are always
        V(crash).
    type: bool
  tolerate_incomplete:
    description:
      - Whether a turn succeeds when a VM of its snapshot was not quiesced, or a server could not take part. V(false) by
        default.
      - With V(false) C(vmware-zfs run) takes the snapshot, applies retention, and then ends with the exit status 3. The
        service of the task fails, and its log has a warning with each VM and the reason.
      - VMs that are powered off or named in O(exclude_vms) are no reason to fail.
    type: bool
  on_quiesce_failure:
    description:
      - What to do with a VM that cannot be quiesced, as in M(quiesce.vmware_zfs.vmware_coordinated_snapshot).
        V(crash_consistent) by default.
    type: str
    choices: [crash_consistent, skip, fail]
  on_vm_failure:
    description:
      - What to do when no VMware snapshot can be taken of a VM, or when a server or datastore cannot be asked, as in
        M(quiesce.vmware_zfs.vmware_coordinated_snapshot). V(continue) by default.
    type: str
    choices: [continue, fail]
  exclude_vms:
    description:
      - VMs to leave alone, each by name (shell patterns allowed), instance UUID or managed object ID.
      - A VM that the account may not read can be excluded by its managed object ID only.
    type: list
    elements: str
  vm_timeout:
    description: Seconds within which the VMware snapshot of one VM must be ready. V(300) by default.
    type: float
  max_hold:
    description: Seconds after which the VMs are released, whether the ZFS snapshot was taken or not. V(900) by default.
    type: float
  wave_size:
    description:
      - Take the datasets in waves of at most so many VMs, each with an instant of its own; no dataset is ever cut. See
        M(quiesce.vmware_zfs.vmware_coordinated_snapshot). V(0) by default, which means one instant for all.
    type: int
  limit_per_vcenter:
    description: VMware snapshots that one server creates or removes at the same time, at most. V(32) by default.
    type: int
  limit_per_host:
    description: VMware snapshots that are created or removed at the same time on one ESXi host. V(8) by default.
    type: int
  lock_timeout:
    description:
      - Seconds to wait for another run over the same, an upper or a lower dataset. V(3600) by default, so that tasks of
        the same minute run one after the other.
    type: float
  aliases:
    description: Names and addresses by which ESXi hosts know this storage host although it does not know them itself.
    type: list
    elements: str
  connect_timeout:
    description: Seconds that connecting to a server may take. V(15) by default.
    type: float
  call_timeout:
    description: Seconds that a server may take to answer any one call. V(60) by default.
    type: float
seealso:
  - module: quiesce.vmware_zfs.vmware_snapshot_task_info
  - module: quiesce.vmware_zfs.vmware_snapshot_retention
  - module: quiesce.vmware_zfs.vmware_coordinated_snapshot
"""

EXAMPLES = r"""
- name: Snapshot the VMs every night, keep a week
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

- name: Beside it, one on the first of each month, kept for a year
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

- name: In a fleet of hosts with one schedule and 20,000 VMs on one vCenter, begin within the ten minutes from 02:00 on
  quiesce.vmware_zfs.vmware_snapshot_task:
    dataset: tank/vmware
    naming_schema: nightly-%Y-%m-%d_%H-%M
    schedule:
      minute: "0"
      hour: "2"
    jitter: 600

- name: Stop the first one until it is applied again
  quiesce.vmware_zfs.vmware_snapshot_task:
    id: 1
    enabled: false
"""

RETURN = r"""
task:
  description: The task, or the one that was removed; V(null) when there was none to remove.
  returned: success
  type: dict
  contains:
    id:
      description: Its id; V(null) when check mode would create it.
      type: int
      sample: 1
    key:
      description:
        - What the ZFS snapshots of the task carry in the property C(quiesce.vmware_zfs:task).
        - V(null) when check mode would create it.
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
      description: How long its snapshots are kept, in units of RV(task.lifetime_unit).
      type: int
      sample: 1
    lifetime_unit:
      description: The unit of RV(task.lifetime_value).
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
      description: When it was stored first, in UTC; V(null) when check mode would create it.
      type: str
      sample: "2026-01-31T08:15:00Z"
    updated:
      description: When it was changed last, in UTC; V(null) when check mode would create it.
      type: str
      sample: "2026-01-31T08:15:00Z"
"""

import time
from dataclasses import asdict

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import ArgumentSpec, run_module
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import (
    QUIESCE_FAILURE,
    VM_FAILURE,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.calendar import Schedule
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.naming import (
    DEFAULT_SCHEMA,
    check_schema,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.occurrences import wakings
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.retention import UNITS
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import (
    SnapshotTask,
    SnapshotTasks,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import timers
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks.turn import check
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import (
    list_datasets,
    not_there,
    select,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import check_dataset

STRINGS = {"type": "list", "elements": "str"}
SPEC = ArgumentSpec(
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
        "on_quiesce_failure": {"type": "str", "choices": list(QUIESCE_FAILURE)},
        "on_vm_failure": {"type": "str", "choices": list(VM_FAILURE)},
        "exclude_vms": STRINGS,
        "vm_timeout": {"type": "float"},
        "max_hold": {"type": "float"},
        "wave_size": {"type": "int"},
        "limit_per_vcenter": {"type": "int"},
        "limit_per_host": {"type": "int"},
        "lock_timeout": {"type": "float"},
        "aliases": STRINGS,
        "connect_timeout": {"type": "float"},
        "call_timeout": {"type": "float"},
    },
    required_one_of=[("id", "dataset")],
)


def run(module):
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


def look_up(tasks, parameters):
    """The stored task that is meant, or None. An id to change must exist; one to remove may be gone already."""
    if parameters["id"] is None:
        schema = parameters["naming_schema"]  # not checked: also a task of an older release can be removed
        return tasks.find(
            SnapshotTask(check_dataset(parameters["dataset"]), DEFAULT_SCHEMA if schema is None else schema)
        )
    if parameters["state"] == "present":
        return tasks.get(parameters["id"])
    return next((task for task in tasks.list_all() if task.id == parameters["id"]), None)


def wanted_task(existing, parameters):
    """With id only what is given changes; without it the options are the whole task."""
    if parameters["id"] is not None:
        return existing.merged(parameters)
    return (existing or SnapshotTask("")).declared(parameters)


def timer_of(task):
    return timers.wanted(task.dataset, wakings(task.schedule, time.time()), task.jitter, task.enabled)


def check_datasets(task):
    """Raise what a run would raise for its dataset and its exclude; return what it would warn of."""
    found = list_datasets(Zfs(), task.dataset)
    chosen = select(found, task.dataset, task.recursive, task.exclude)
    check_schema(task.naming_schema, max((dataset.name for dataset in chosen), key=len))
    if task.vmware_sync and chosen[0].kind == "volume":
        raise InputError(f"'{task.dataset}' is a volume", "Name the file system that the NFS datastore lies on")
    return not_there(task.exclude, found)


def settings(task, timer):
    return {**task.settings(), "timer": timer.as_dict()} if task else {}


def change(paths, systemd, existing, wanted, timer, wanted_timer):
    """Carry it out. The task is stored before its timer starts and goes after its timer: no timer without a task."""
    with SnapshotTasks.open(paths) as tasks:
        if wanted is None:
            systemd.change(existing.id, timer, wanted_timer)
            tasks.delete(existing.id)
            return None
        if existing is None:
            wanted = tasks.insert(wanted)
        elif existing.settings() != wanted.settings():
            wanted = tasks.update(wanted)
        systemd.change(wanted.id, timer, wanted_timer)
        return wanted


def main():
    run_module(SPEC, run, libraries=[])


if __name__ == "__main__":
    main()
