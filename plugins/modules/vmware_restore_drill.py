#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_restore_drill
short_description: Start the VMs of a ZFS snapshot from a clone, look at them, and take them away again
version_added: 1.1.0
description:
  - Shows whether the VMs in a ZFS snapshot can be restored. The VMs are started from a ZFS clone that is mounted on one
    ESXi host. Their network cards are disconnected, or connected to an isolated port group. The module waits for VMware
    Tools and the heartbeat of each guest. Then everything is taken away again, whatever happened.
  - The original VMs are not touched. Before a VM is started, the module checks that it uses only files of the clone.
  - The verdict is stored on the ZFS snapshot, in the property C(quiesce.vmware_zfs:verified). Retention keeps the
    newest verified ZFS snapshot of a task.
  - Every change is written to the journal on the storage host before it is made. If the drill is killed, the next
    recovery takes it away. Recovery powers off only VMs that have the mark of the drill.
  - The module fails if a VM fails the drill, if no VM could be judged, or if something is left. It then returns in
    RV(vms) the verdict on each VM.
extends_documentation_fragment:
  - quiesce.vmware_zfs.aliases
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.attributes.action_group
  - quiesce.vmware_zfs.connection
  - quiesce.vmware_zfs.connection.restore
  - quiesce.vmware_zfs.connection.runtime
  - quiesce.vmware_zfs.connection.timeouts
author:
  - The quiesce.vmware_zfs authors (@quiesce)
attributes:
  check_mode:
    support: full
    details:
      - The module logs in and returns the plan. It does not fail if something forbids the drill, but lists it in
        RV(refusals) and warns about it.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Each drill starts the VMs again.
options:
  task:
    description:
      - The ID of a snapshot task. Its newest complete ZFS snapshot is used, unless O(snapshot) is set.
      - M(quiesce.vmware_zfs.vmware_snapshot_task_info) lists the tasks.
    type: int
  snapshot:
    description:
      - The ZFS snapshot, for example V(tank/vmware@auto-2026-01-31_02-00). Snapshots of the same name on child datasets
        are included. With O(task), the part after the C(@) is enough.
    type: str
  vms:
    description:
      - The names or instance UUIDs of the VMs, or the paths of their C(.vmx) files in the dataset.
      - By default, all VMs in the ZFS snapshot are candidates.
    type: list
    elements: str
    default: []
  sample:
    description:
      - The largest number of VMs to try. V(0) means all. The VMs whose last drill is the longest ago come first, so
        that regular drills try every VM in turn.
    type: int
    default: 0
  host:
    description:
      - The name of the ESXi host that runs the VMs, as shown in vCenter.
      - By default, it is the host of the datacenter with the most free memory.
    type: str
  network:
    description:
      - The port group for the network cards of the VMs. V(disconnect) disconnects them.
      - A port group that an original VM uses is refused.
    type: str
    default: disconnect
  at_a_time:
    description: The largest number of VMs that run at the same time.
    type: int
    default: 2
  memory:
    description:
      - The memory in MB that the VMs that run at the same time may have together. V(0) means the memory that the ESXi
        host has free.
      - A VM that needs more is not started. Its verdict is V(inconclusive).
    type: int
    default: 0
  boot_timeout:
    description: The maximum time in seconds to wait for VMware Tools and the heartbeat of a guest.
    type: float
    default: 300.0
  command:
    description:
      - The absolute path of a program on the storage host. It looks at each VM after the heartbeat was seen. Only root
        may be able to change the file.
      - It gets only these environment variables. E(VMWARE_ZFS_VM) is the name of the VM. E(VMWARE_ZFS_DRILL_VM) is
        its name in the drill. E(VMWARE_ZFS_ADDRESS) is its IP address, or empty. E(VMWARE_ZFS_SNAPSHOT) is the ZFS
        snapshot. E(VMWARE_ZFS_VERDICT) is the verdict so far. E(VMWARE_ZFS_DISKS) has the paths of the files of its
        base disks in the ZFS snapshot, one per line. These files are read-only.
      - If its exit status is not 0, the VM fails the drill.
    type: path
  command_timeout:
    description: The maximum time in seconds that O(command) may take for a VM.
    type: float
    default: 120.0
  server:
    description:
      - The host name or IP address that the ESXi host uses to reach this storage host.
      - By default, it is the address from which the original datastore is mounted.
    type: str
  clients:
    description:
      - The IP addresses from which the ESXi host mounts NFS datastores. The clone is exported only to these addresses.
      - By default, they are the addresses of all VMkernel adapters of the host.
    type: list
    elements: str
    default: []
seealso:
  - module: quiesce.vmware_zfs.vmware_vm_restore
  - module: quiesce.vmware_zfs.vmware_restore_point_info
  - module: quiesce.vmware_zfs.vmware_vsphere_role
"""

EXAMPLES = r"""
- name: Try three VMs of the newest complete ZFS snapshot of a task, in turn
  quiesce.vmware_zfs.vmware_restore_drill:
    task: 1
    sample: 3

- name: Show what a drill would do, and what forbids it
  quiesce.vmware_zfs.vmware_restore_drill:
    task: 1
  check_mode: true
  register: plan

- name: Try two VMs of a ZFS snapshot in an isolated network, and look into their disks
  quiesce.vmware_zfs.vmware_restore_drill:
    hostname: vcenter.example.com
    username: restore@vsphere.local
    password: "{{ vcenter_restore_password }}"
    snapshot: tank/vmware@auto-2026-01-31_02-00
    vms: [mail, db]
    network: drills
    command: /usr/local/sbin/look-at-vm
"""

RETURN = r"""
drill_id:
  description: The ID of the drill. Empty in check mode.
  returned: success, or failure after the plan was made
  type: str
  sample: 20260131T091500-1f2e3d4c
zfs_snapshot:
  description: The ZFS snapshot.
  returned: success, or failure after the plan was made
  type: str
  sample: tank/vmware@auto-2026-01-31_02-00
verdict:
  description:
    - The worst verdict on the VMs that were tried. V(not tried) if there are none, and in check mode.
  returned: success, or failure after the plan was made
  type: str
  sample: verified
host:
  description: The name of the ESXi host that ran the VMs.
  returned: success, or failure after the plan was made
  type: str
  sample: esx1.example.com
vms:
  description: All VMs of the request, also those that were not tried.
  returned: success, or failure after the plan was made
  type: list
  elements: dict
  contains:
    name:
      description: The name of the VM at the time of the ZFS snapshot.
      type: str
      sample: mail
    dataset:
      description: The dataset with its configuration.
      type: str
      sample: tank/vmware
    vmx:
      description: The path of its configuration in the dataset.
      type: str
      sample: mail/mail.vmx
    datasets:
      description: The datasets with files of the VM.
      type: list
      elements: str
      sample: [tank/vmware]
    drill_name:
      description: The name of the VM in the drill. Empty if it was not registered.
      type: str
      sample: mail (drill 20260131T091500-1f2e3d4c)
    verdict:
      description:
        - V(verified) if VMware Tools ran and the heartbeat was green or yellow. V(booted) if the VM ran and has no
          VMware Tools. V(failed) if it did not start as expected. V(inconclusive) if nothing is known, for example
          because the ESXi host had no free memory. V(not tried) if it had no turn.
      type: str
      sample: verified
    reason:
      description: The reason why the verdict is not better.
      type: str
      sample: ""
    level:
      description: The consistency level of the VM in the record of the ZFS snapshot. V(unknown) without a record.
      type: str
      sample: filesystem
    tools:
      description: The last seen state of VMware Tools.
      type: str
      sample: running
    heartbeat:
      description: The last seen heartbeat of the guest.
      type: str
      sample: green
    address:
      description: The last seen IP address of the guest.
      type: str
      sample: ""
    boot_seconds:
      description: The time in seconds from the power-on to the verdict. V(null) if it was not powered on.
      type: float
      sample: 41.2
    seconds:
      description: The time in seconds from the registration of the VM to its removal from the inventory.
      type: float
      sample: 49.8
    command_output:
      description: The last 1000 characters that O(command) printed, as one line.
      type: str
      sample: ""
problems:
  description: What could not be read in the ZFS snapshot, one sentence each. The ZFS snapshot is then not verified.
  returned: success, or failure after the plan was made
  type: list
  elements: str
  sample: []
recorded:
  description: Whether the verdict was stored on the ZFS snapshots.
  returned: success, or failure after the plan was made
  type: bool
  sample: true
left:
  description: What could not be taken away, one sentence each. Recovery tries again every hour.
  returned: success, or failure after the plan was made
  type: list
  elements: str
  sample: []
seconds:
  description: The duration of the drill in seconds.
  returned: success, or failure after the plan was made
  type: float
  sample: 93.5
steps:
  description: The steps that the drill would take, for people.
  returned: in check mode, or when the drill was refused
  type: list
  elements: str
  sample: []
refusals:
  description: What forbids the drill, one sentence each. Nothing was changed.
  returned: in check mode, or when the drill was refused
  type: list
  elements: str
  sample: []
summary:
  description: The verdicts as lines for people. In check mode, what the drill would do.
  returned: in check mode, and after a drill
  type: list
  elements: str
  sample: ["'mail': verified (heartbeat green, 41.2 s after the power-on)"]
"""

from functools import partial
from typing import Any, Mapping

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils import _ansible, _restores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.choice import snapshot_of
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.plan import DrillPlan
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.planner import make_plan
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.request import DrillRequest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.result import DrillResult
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.run import execute
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.summary import (
    doubts,
    failure,
    planned,
    summary,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import QuiesceError, RestoreFailed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.verdicts import (
    BOOTED,
    INCONCLUSIVE,
    VERIFIED,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.account import open_session
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.request import parse_snapshot
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import Engine, open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect

SPEC = (
    _ansible.CONNECTION
    + _restores.ADDRESSES
    + _ansible.ArgumentSpec(
        {
            "task": {"type": "int"},
            "snapshot": {"type": "str"},
            "vms": {"type": "list", "elements": "str", "default": []},
            "sample": {"type": "int", "default": 0},
            "host": {"type": "str"},
            "network": {"type": "str", "default": "disconnect"},
            "at_a_time": {"type": "int", "default": 2},
            "memory": {"type": "int", "default": 0},
            "boot_timeout": {"type": "float", "default": 300.0},
            "command": {"type": "path"},
            "command_timeout": {"type": "float", "default": 120.0},
        },
        required_one_of=[["task", "snapshot"]],
    )
)


def request_of(engine: Engine, options: Mapping[str, Any]) -> DrillRequest:
    task = engine.tasks.get(options["task"]) if options["task"] is not None else None
    named = options["snapshot"] or ""
    return DrillRequest(
        parse_snapshot(named) if task is None else snapshot_of(engine.zfs, task, named),
        tuple(options["vms"]),
        sample=options["sample"],
        host=options["host"] or "",
        network=options["network"],
        at_a_time=options["at_a_time"],
        memory=options["memory"],
        boot_timeout=options["boot_timeout"],
        command=options["command"] or "",
        command_timeout=options["command_timeout"],
        **_restores.addresses(options, task.aliases if task is not None else ()),
    )


def run(module: Any) -> dict[str, Any]:
    options = module.params
    connection = partial(connect, timeouts=_ansible.timeouts(options))
    with open_engine(Paths.from_environment(), read_only=module.check_mode, connect=connection) as engine:
        request = request_of(engine, options)
        request.check()
        try:
            account = _restores.account_of(module, engine, request.snapshot.dataset)
            with open_session(engine, account) as session:
                if module.check_mode:
                    return _planned(module, make_plan(engine, session, request))
                return _judged(module, execute(engine, session, request))
        except QuiesceError as error:
            _restores.warn(module, error.details.pop("warnings", []))
            raise


def _planned(module: Any, plan: DrillPlan) -> dict[str, Any]:
    returned = {**plan.as_dict(), "summary": planned(plan), "changed": not plan.refusals}
    _restores.warn(module, returned.pop("warnings"))
    _restores.warn(module, [f"Outside check mode, this fails: {refusal}" for refusal in plan.refusals])
    return returned


def _judged(module: Any, result: DrillResult) -> dict[str, Any]:
    """Return the result of the module. Raises RestoreFailed if a VM failed, or if nothing is known."""
    returned = {**result.as_dict(), "summary": summary(result), "changed": True}
    problem = failure(result)
    if not problem and not result.with_verdict(BOOTED, VERIFIED):
        problem = f"The drill of {result.zfs_snapshot} could not judge any VM: {' '.join(doubts(result)[:3])}".rstrip(
            ".: "
        )
    if problem:
        raise RestoreFailed(problem, "See the page about drills in the documentation", **returned)
    del returned["warnings"]
    _restores.warn(module, [*result.warnings, *result.problems])
    _restores.warn(module, [f"{INCONCLUSIVE}: {text}" for text in doubts(result)])
    return returned


def main() -> None:
    _ansible.run_module(SPEC, run)


if __name__ == "__main__":
    main()
