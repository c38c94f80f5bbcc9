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
  - Takes a VMware snapshot of every running VM that has files on the dataset, then one atomic ZFS snapshot, then
    removes the VMware snapshots again, whatever happened in between.
  - How consistent each VM is in the ZFS snapshot is read from vSphere, before and after the ZFS snapshot is taken.
    It is recorded on the ZFS snapshot of each dataset, in user properties that begin with C(quiesce.vmware_zfs:).
    Until both are done, and after an interrupted run, the record says V(crash).
  - VMware snapshots are removed by managed object ID and without their children, so a snapshot that an administrator or
    a backup product takes in the meantime stays. They never include memory.
  - The servers to talk to are those of the stored credentials whose O(ignore:filesystem) concerns the dataset. Only
    stored credentials are used, because only they are there after a crash, when the host cleans up by itself.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.connection.runtime
  - quiesce.vmware_zfs.connection.timeouts
author:
  - The quiesce.vmware_zfs authors (@quiesce)
attributes:
  check_mode:
    support: full
    details: Logs in, plans, and returns the plan. Nothing is snapshotted.
  diff_mode:
    support: full
    details: Shows the ZFS snapshots that come to be.
  idempotent:
    support: partial
    details: A snapshot that O(name) names is taken once. With O(naming_schema) a run takes one, at most one a minute.
options:
  dataset:
    description: The dataset to snapshot, as C(zfs list) shows it.
    type: str
    required: true
  recursive:
    description: Whether the datasets below O(dataset) are snapshotted too, in the same atomic step.
    type: bool
    default: false
  exclude:
    description:
      - Datasets below O(dataset) to leave out, with what lies below them, when O(recursive=true).
      - Exclude volumes that no VM uses, such as swap. The record of a volume that no datastore of a stored credential
        accounts for is V(crash) and not complete.
    type: list
    elements: str
    default: []
  name:
    description:
      - Name of the ZFS snapshot, the part behind the C(@).
      - When a coordinated snapshot of this name exists already, nothing is done and its record is returned. The module
        fails if O(on_vm_failure) or O(on_quiesce_failure) does not allow that record.
    type: str
  naming_schema:
    description:
      - Name of the ZFS snapshot with the parts of a date as C(strftime) knows them, in the storage host's time.
      - Must hold C(%Y), C(%m), C(%d), C(%H) and C(%M), or C(%s).
      - If neither this nor O(name) is given it is V(auto-%Y-%m-%d_%H-%M).
      - When a snapshot has this name already it is returned, as with O(name), but only if it is of now. A name that is
        taken because clocks went back gets the seconds since 1970 behind it.
    type: str
  on_quiesce_failure:
    description:
      - What to do with a VM that cannot be quiesced.
      - V(crash_consistent) takes its VMware snapshot without quiescing.
      - V(skip) takes no VMware snapshot of it; the ZFS snapshot holds it as after a power cut.
      - V(fail) fails the run and leaves no ZFS snapshot. One that turns out to hold less after it was taken is
        destroyed again, together with those of earlier waves. One that exists already with such a record is refused.
    type: str
    choices: [crash_consistent, skip, fail]
    default: crash_consistent
  on_vm_failure:
    description:
      - What to do when no VMware snapshot can be taken of a VM, or when a server or datastore cannot be asked.
      - V(continue) takes the ZFS snapshot all the same, with a record that says so.
      - V(fail) fails the run and leaves no ZFS snapshot, as with O(on_quiesce_failure).
    type: str
    choices: [continue, fail]
    default: continue
  exclude_vms:
    description:
      - VMs to leave alone, each by name (shell patterns allowed), instance UUID or managed object ID.
      - An excluded VM that runs counts as V(crash) in the consistency of the whole.
      - A VM that the account may not read can be excluded by its managed object ID only.
    type: list
    elements: str
    default: []
  vm_timeout:
    description: Seconds within which the VMware snapshot of one VM must be ready; the VM is left behind otherwise.
    type: float
    default: 300.0
  max_hold:
    description:
      - Seconds after which the VMs are released, whether the ZFS snapshot has been taken by then or not.
      - Once the ZFS snapshot was taken, the VMs of a server are held until it has shown what became of them, 10 seconds
        at most, or 2 when O(max_hold) is over.
      - Removing the VMware snapshots may take as long again before the run ends and leaves the rest to the recovery.
    type: float
    default: 900.0
  wave_size:
    description:
      - Take O(dataset) and those below it in waves of at most so many VMs, one after the other. The VMs of a wave are
        released before the next wave holds any, so that a slow VM holds up those of its wave alone.
      - The snapshots of different waves show different instants, so no dataset is ever cut, and datasets that share a
        VM are never parted; a wave is larger than this where they carry more VMs. Every wave is a run of its own in the
        journal, with O(max_hold).
      - With V(0) all VMs are held at the same time and one atomic ZFS snapshot shows a single instant.
    type: int
    default: 0
  limit_per_vcenter:
    description: VMware snapshots that one vCenter or ESXi host creates or removes at the same time, at most.
    type: int
    default: 32
  limit_per_host:
    description: VMware snapshots that are created or removed at the same time on one ESXi host of a vCenter, at most.
    type: int
    default: 8
  lock_timeout:
    description: Seconds to wait for another run over the same, an upper or a lower dataset.
    type: float
    default: 60.0
  aliases:
    description:
      - Names and addresses under which ESXi hosts reach this storage host although it does not know them itself, for
        example behind NAT, or a virtual address that another node holds at the moment.
    type: list
    elements: str
    default: []
seealso:
  - module: quiesce.vmware_zfs.vmware_cred
  - module: quiesce.vmware_zfs.vmware_dataset_vms_info
  - module: quiesce.vmware_zfs.vmware_snapshot_recover
"""

EXAMPLES = r"""
- name: Snapshot the VMs' dataset and what lies below it
  quiesce.vmware_zfs.vmware_coordinated_snapshot:
    dataset: tank/vmware
    recursive: true
  register: taken

- name: Show how consistent it is
  ansible.builtin.debug:
    msg: "{{ taken.zfs_snapshot }} is {{ taken.consistency }}"

- name: Before an upgrade, all or nothing
  quiesce.vmware_zfs.vmware_coordinated_snapshot:
    dataset: tank/vmware
    name: before-upgrade
    on_quiesce_failure: fail
    on_vm_failure: fail
    exclude_vms:
      - "scratch-*"

- name: Show what would happen, without doing it
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
  description: Whether this run took them, and they are still there.
  returned: success, or failure after the plan was made
  type: bool
  sample: true
run_id:
  description: The run that took them, empty in check mode and when the run was refused.
  returned: success, or failure after the plan was made
  type: str
  sample: 20260131T020000-1f2e3d4c
consistency:
  description:
    - How consistent the VMs are in the ZFS snapshot, as much as the worst of them is. V(crash) is as after a power
      cut, V(filesystem) with file systems that were flushed and frozen as VMware Tools report, V(application) with
      prepared applications (those with a writer of Windows VSS), V(still) when nothing ran.
    - In check mode the best that can be reached.
    - V(null) when no ZFS snapshot was taken, or it was destroyed again.
  returned: success, or failure after the plan was made
  type: str
  sample: filesystem
complete:
  description: Whether every VM that was to be quiesced was.
  returned: success, or failure after the plan was made
  type: bool
  sample: true
problems:
  description: What lowers the consistency of the whole beside the VMs themselves, one sentence each.
  returned: success, or failure after the plan was made
  type: list
  elements: str
  sample: []
refusals:
  description: Why O(on_quiesce_failure) and O(on_vm_failure) forbid the run, in check mode.
  returned: in check mode, or when the run was refused
  type: list
  elements: str
  sample: []
hold_window_seconds:
  description:
    - Seconds from the first request for a VMware snapshot to the end of the last removal.
    - V(null) in check mode, when the run was refused, and for a snapshot that was there already.
  returned: success, or failure after the plan was made
  type: float
  sample: 4.2
waves:
  description:
    - What each wave did, in their order. The values beside are those of all waves together, the consistency of the
      worst and the hold window of the longest.
  returned: when the snapshot is, or was, taken in waves
  type: list
  elements: dict
  contains:
    run_id:
      description: The run of the wave, empty in check mode.
      type: str
      sample: 20260131T020000-1f2e3d4c-2
    zfs_snapshots:
      description: The ZFS snapshots of the wave, of one instant.
      type: list
      elements: str
      sample: [tank/vmware/win@auto-2026-01-31_02-00]
    created:
      description: Whether the wave took them.
      type: bool
      sample: true
    consistency:
      description: How consistent the VMs of the wave are, as in RV(consistency).
      type: str
      sample: application
    complete:
      description: Whether every VM of the wave that was to be quiesced was.
      type: bool
      sample: true
    hold_window_seconds:
      description: How long the wave held its VMs, as in RV(hold_window_seconds).
      type: float
      sample: 4.2
vmware_snapshots_left:
  description: How many VMware snapshots could not be removed. The module fails unless it is 0.
  returned: success, or failure after the plan was made
  type: int
  sample: 0
left:
  description: Those VMware snapshots, each with the reason.
  returned: success, or failure after the plan was made
  type: list
  elements: str
  sample: []
recovery:
  description:
    - What was found of earlier runs that had been interrupted, as M(quiesce.vmware_zfs.vmware_snapshot_recover)
      returns it.
  returned: when a ZFS snapshot was taken
  type: dict
  sample: {removed: [], left: [], watched: [], sealed: [], lowered: [], problems: []}
vms:
  description: Every VM with files on the datasets, which are its configuration, disks, deltas, snapshots and swap file.
  returned: success, or failure after the plan was made
  type: list
  elements: dict
  contains:
    name:
      description: Name of the VM; its managed object ID where the name cannot be read.
      type: str
      sample: mail
    moid:
      description: Managed object ID.
      type: str
      sample: vm-61
    instance_uuid:
      description: Instance UUID, which stays when the VM moves or is renamed.
      type: str
      sample: 5029440e-c62e-30b0-2d0c-9a2b6a1b0f1e
    server:
      description: The vCenter or ESXi host that runs it.
      type: str
      sample: vcenter.example.com
    vmx_path:
      description: Its configuration file.
      type: str
      sample: "[vmware] mail/mail.vmx"
    vmware_snapshot_moid:
      description:
        - Managed object ID of the VMware snapshot that was taken of it, to which a restored VM has to be reverted.
        - Empty when there was none, as in check mode.
      type: str
      sample: snapshot-214
    power:
      description: V(poweredOn), V(poweredOff) or V(suspended); V(null) for a snapshot that was there already.
      type: str
      sample: poweredOn
    action:
      description:
        - What was planned, V(quiesce), V(snapshot) (without quiescing) or V(nothing); V(null) for a snapshot that was
          there already.
      type: str
      sample: quiesce
    level:
      description: How consistent it is in the ZFS snapshot, as in RV(consistency).
      type: str
      sample: filesystem
    reason:
      description: Why no more.
      type: str
      sample: ""
    spans:
      description:
        - Other datasets and datastores that hold files of it, which this snapshot does not.
        - Empty for a snapshot that release 1.0.0 took.
      type: list
      elements: str
      sample: []
    hold_seconds:
      description:
        - Seconds from the request for its VMware snapshot to its removal.
        - V(null) if there was none or it is left, in check mode, and for a snapshot that was there already.
      type: float
      sample: 3.9
"""

from functools import partial

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import (
    TIMEOUTS,
    ArgumentSpec,
    run_module,
    timeouts,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runs import run as runs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.naming import (
    DEFAULT_SCHEMA,
    check_schema,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks.name_now import name_now
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect

SPEC = TIMEOUTS + ArgumentSpec(
    {
        "dataset": {"type": "str", "required": True},
        "recursive": {"type": "bool", "default": False},
        "exclude": {"type": "list", "elements": "str", "default": []},
        "name": {"type": "str"},
        "naming_schema": {"type": "str"},
        "on_quiesce_failure": {
            "type": "str",
            "choices": ["crash_consistent", "skip", "fail"],
            "default": "crash_consistent",
        },
        "on_vm_failure": {"type": "str", "choices": ["continue", "fail"], "default": "continue"},
        "exclude_vms": {"type": "list", "elements": "str", "default": []},
        "vm_timeout": {"type": "float", "default": 300.0},
        "max_hold": {"type": "float", "default": 900.0},
        "wave_size": {"type": "int", "default": 0},
        "limit_per_vcenter": {"type": "int", "default": 32},
        "limit_per_host": {"type": "int", "default": 8},
        "lock_timeout": {"type": "float", "default": 60.0},
        "aliases": {"type": "list", "elements": "str", "default": []},
    },
    mutually_exclusive=[("name", "naming_schema")],
)


def run(module):
    options = module.params
    take = runs.preview if module.check_mode else runs.execute
    connection = partial(connect, timeouts=timeouts(options))
    with open_engine(Paths.from_environment(), read_only=module.check_mode, connect=connection) as engine:
        name = options["name"]
        if name is None:
            schema = check_schema(options["naming_schema"] or DEFAULT_SCHEMA)
            name = name_now(engine.zfs, options["dataset"], options["recursive"], options["exclude"], schema)
        request = Request.from_options(options, name)
        request.check()
        result = take(engine, request)
    for problem in [
        *result["problems"],
        *result.pop("warnings"),
        *(item["reason"] for item in result.get("recovery", {}).get("left", [])),
    ]:
        module.warn(problem)
    result["changed"] = result["created"] or (module.check_mode and not result["run_id"] and not result["refusals"])
    after = result["zfs_snapshots"] if result["changed"] else []
    return {**result, "diff": {"before": {"zfs_snapshots": []}, "after": {"zfs_snapshots": after}}}


def main():
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
