#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_vm_restore
short_description: Restore VMs, or one disk of a VM, from a ZFS snapshot
version_added: 1.1.0
description:
  - Restores VMs from a ZFS snapshot. By default, the files of a VM are copied into the datastore of the original, and
    the restored VM is registered next to the original, powered off and with its network cards disconnected. If the pool
    supports block cloning, the copy shares its blocks with the snapshot and takes seconds.
  - With O(instant=true), the VMs run from a ZFS clone that is mounted on one ESXi host. With O(replace=true), a
    restored VM takes the place of the original. With O(disk), another VM gets one disk.
  - A restored VM is reverted to the VMware snapshot of the run that took the ZFS snapshot, so that it starts from the
    frozen state. This VMware snapshot is then removed from the restored VM.
  - Before the revert, the module checks that the restored VM uses only files of the copy. If it uses another file, for
    example a disk of the original, the module fails, and no VM is changed.
  - Everything that can forbid a restore is checked before the first change. Check mode lists it in RV(refusals).
  - Every change is written to the journal on the storage host before it is made. If the restore fails, its changes are
    undone at once. If it is killed, the next recovery undoes them.
  - With several VMs, a VM that fails is undone, and the other VMs are restored. The module then fails and returns in
    RV(vms) what was done for each VM.
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
      - The module logs in and returns the plan. It does not fail if something forbids the restore, but lists it in
        RV(refusals) and warns about it.
      - With O(state=absent), it does not check whether a VM is powered on.
  diff_mode:
    support: full
    details: The diff shows the names of the restored VMs, or the disk that is attached.
  idempotent:
    support: full
    details:
      - A VM that an earlier restore of this storage host brought back from the same ZFS snapshot, in the same way and
        with the same name, is not restored again while it exists. It is not changed either, even if O(power_on),
        O(network) or O(host) differ now. RV(existing_restores) has the ID of the earlier restore.
      - To restore the VM once more, set another O(name), or end the earlier restore with O(state=absent).
options:
  state:
    description:
      - V(present) restores the VMs.
      - V(absent) ends the restore O(restore_id). Its VMs are removed from the inventory, or its disk is removed from
        the other VM. The datastore is unmounted and the clone is destroyed. What was written to the clone is lost. The
        module fails while a VM of the restore is powered on.
      - A VM whose files were copied is an ordinary VM. V(absent) only removes its restore from the list and keeps the
        VM. The module warns about that.
    type: str
    choices: [present, absent]
    default: present
  restore_id:
    description:
      - The ID of the restore to end, as returned in RV(restore_id) or by M(quiesce.vmware_zfs.vmware_restore_info).
        Required with O(state=absent).
    type: str
  snapshot:
    description:
      - The ZFS snapshot, for example V(tank/vmware@auto-2026-01-31_02-00). Snapshots of the same name on child datasets
        are included. M(quiesce.vmware_zfs.vmware_restore_point_info) lists the ZFS snapshots.
      - Required with O(state=present).
    type: str
  vms:
    description:
      - The names or instance UUIDs of the VMs at the time of the ZFS snapshot. Required with O(state=present).
      - If the snapshot contains several VMs of the same name, set the path of the C(.vmx) file instead, relative to the
        dataset, for example V(mail/mail.vmx).
    type: list
    elements: str
  instant:
    description:
      - Whether to run the VMs from a ZFS clone instead of a copy. No data is copied, and a VM can have files on several
        datasets. The ZFS snapshot cannot be destroyed until the restore is ended.
      - To keep a VM, move it to another datastore with Storage vMotion, and then end the restore.
    type: bool
    default: false
  host:
    description:
      - The name of the ESXi host that gets the VMs, as shown in vCenter. With O(instant=true) or O(disk), it also
        mounts the clone.
      - By default, the host of the original VM is used. If this host cannot take the VM, another host of the datacenter
        is used. With O(disk), it is the host of the VM that gets the disk.
    type: str
  name:
    description:
      - The name of the restored VM. Allowed for one VM only.
      - By default, it is the name of the VM with C(-restored-) and the date of the ZFS snapshot.
    type: str
  replace:
    description:
      - Whether the restored VM takes the place of the original. The original is shut down and renamed. It keeps its
        files until a person deletes it. The restored VM gets its name, and keeps its network cards and identity.
      - The original is not touched before the restored VM is complete.
    type: bool
    default: false
  force:
    description: Whether to power off the original if its guest does not shut down. Used with O(replace=true).
    type: bool
    default: false
  disk:
    description:
      - The number of one disk of the VM. V(1) is its first disk. Only this disk is restored. It is attached to the VM
        O(attach_to).
      - The disk is in the state of the VMware snapshot of the run. It is attached from a ZFS clone.
    type: int
  attach_to:
    description: The name or managed object ID of the VM that gets the disk. Required with O(disk).
    type: str
  network:
    description:
      - What to do with the network cards of the restored VM. V(disconnect) disconnects them, and V(keep) keeps their
        settings. Any other value is the name of a port group to connect them to.
      - By default, this is V(keep) with O(replace=true), and V(disconnect) otherwise.
    type: str
  power_on:
    description:
      - Whether to power on the restored VMs.
      - The module waits up to O(boot_timeout) for the heartbeat of VMware Tools and for an address. If they do not come
        in time, this is a warning.
    type: bool
    default: false
  server:
    description:
      - The host name or IP address that the ESXi host uses to reach this storage host. Used with O(instant=true) and
        O(disk).
      - By default, it is the address from which the original datastore is mounted.
    type: str
  clients:
    description:
      - The IP addresses from which the ESXi host mounts NFS datastores. The clone is exported only to these addresses.
        Used with O(instant=true) and O(disk).
      - By default, they are the addresses of all VMkernel adapters of the host.
    type: list
    elements: str
    default: []
  boot_timeout:
    description: The maximum time in seconds to wait for a guest after O(power_on=true). V(0) does not wait.
    type: float
    default: 300.0
  limit_per_vcenter:
    description: The maximum number of VMs that are restored at the same time.
    type: int
    default: 32
  limit_per_host:
    description: The maximum number of VMs that are restored at the same time on an ESXi host.
    type: int
    default: 8
seealso:
  - module: quiesce.vmware_zfs.vmware_restore_point_info
  - module: quiesce.vmware_zfs.vmware_restore_info
  - module: quiesce.vmware_zfs.vmware_snapshot_datastore
  - module: quiesce.vmware_zfs.vmware_vsphere_role
"""

EXAMPLES = r"""
- name: Restore a VM next to the original, powered off and without a network
  quiesce.vmware_zfs.vmware_vm_restore:
    snapshot: tank/vmware@auto-2026-01-31_02-00
    vms: [mail]

- name: Show what a restore would do, and what forbids it
  quiesce.vmware_zfs.vmware_vm_restore:
    snapshot: tank/vmware@auto-2026-01-31_02-00
    vms: [mail]
    replace: true
  check_mode: true
  register: plan

- name: Run two VMs at once from a clone, in an isolated network, with the account of the task
  quiesce.vmware_zfs.vmware_vm_restore:
    hostname: vcenter.example.com
    username: restore@vsphere.local
    password: "{{ vcenter_restore_password }}"
    snapshot: tank/vmware@auto-2026-01-31_02-00
    vms: [mail, db]
    instant: true
    host: esx1.example.com
    network: isolated
    power_on: true
  register: restored

- name: End this restore
  quiesce.vmware_zfs.vmware_vm_restore:
    hostname: vcenter.example.com
    username: restore@vsphere.local
    password: "{{ vcenter_restore_password }}"
    restore_id: "{{ restored.restore_id }}"
    state: absent

- name: Restore a VM in place of the original
  quiesce.vmware_zfs.vmware_vm_restore:
    snapshot: tank/vmware@auto-2026-01-31_02-00
    vms: [mail]
    replace: true
    power_on: true

- name: Attach the second disk of a VM to another VM
  quiesce.vmware_zfs.vmware_vm_restore:
    snapshot: tank/vmware@auto-2026-01-31_02-00
    vms: [mail]
    disk: 2
    attach_to: helper
"""

RETURN = r"""
restore_id:
  description:
    - The ID of the restore. Empty in check mode.
    - If all VMs existed, the ID of the earlier restore.
  returned: success, or failure after the plan was made
  type: str
  sample: 20260131T091500-1f2e3d4c
existing_restores:
  description: The IDs of earlier restores that brought back VMs of this task. These VMs were not changed.
  returned: success, or failure after the plan was made
  type: list
  elements: str
  sample: []
zfs_snapshot:
  description: The ZFS snapshot.
  returned: success, or failure after the plan was made
  type: str
  sample: tank/vmware@auto-2026-01-31_02-00
way:
  description:
    - The way of the restore. V(folder) copies the files of a VM, V(clone) runs it from a ZFS clone, V(disk) attaches
      one disk.
  returned: success, or failure after the plan was made
  type: str
  sample: folder
vms:
  description: The restored VMs. Empty with O(disk). In check mode, the VMs as they would be restored.
  returned: success, or failure after the plan was made
  type: list
  elements: dict
  contains:
    name:
      description: The name of the VM at the time of the ZFS snapshot.
      type: str
      sample: mail
    restored_name:
      description: The name of the restored VM.
      type: str
      sample: mail-restored-2026-01-31
    moid:
      description: The managed object ID of the restored VM. Empty in check mode.
      type: str
      sample: vm-205
    level:
      description: The consistency level of the VM in the record of the ZFS snapshot. V(unknown) without a record.
      type: str
      sample: filesystem
    reason:
      description: The reason why the level is not higher.
      type: str
      sample: ""
    reverted_to:
      description:
        - The name of the VMware snapshot to which the restored VM was reverted, or would be in check mode.
        - Empty if the ZFS snapshot has no VMware snapshot of the VM, for example because it was powered off.
      type: str
      sample: vmware-zfs 20260131T020000-1f2e3d4c
    vmx_path:
      description: The path of the configuration file of the restored VM. Empty in check mode.
      type: str
      sample: "[vmware] mail-restored-2026-01-31/mail.vmx"
    host:
      description: The name of the ESXi host of the restored VM.
      type: str
      sample: esx1.example.com
    replaced:
      description: The new name of the original VM, which was replaced. Empty without O(replace=true).
      type: str
      sample: ""
    bytes:
      description: The size of the copied files. V(null) in check mode and with O(instant=true).
      type: int
      sample: 42953867264
    shared:
      description:
        - Whether the copy shares its blocks with the ZFS snapshot. V(null) in check mode and with O(instant=true).
      type: bool
      sample: true
    powered_on:
      description: Whether the restored VM was powered on.
      type: bool
      sample: false
    tools:
      description: The state of VMware Tools after the power-on, for example V(running). Otherwise empty.
      type: str
      sample: ""
    heartbeat:
      description: The heartbeat of the guest after the power-on, for example V(green). Otherwise empty.
      type: str
      sample: ""
    address:
      description: The IP address of the guest after the power-on. Otherwise empty.
      type: str
      sample: ""
    warnings:
      description: What a person should know about the restored VM, one sentence each.
      type: list
      elements: str
      sample: []
    seconds:
      description: The time in seconds from the registration of the VMs to the end of the restore of this VM.
      type: float
      sample: 6.1
    requests:
      description: The number of requests to vSphere for this VM.
      type: int
      sample: 11
    restored:
      description: Whether the VM was restored.
      type: bool
      sample: true
    error:
      description: The reason why the VM was not restored, or why the restored VM was not powered on. Otherwise empty.
      type: str
      sample: ""
datastores:
  description: The datastores of the ZFS clones. Empty for a copy and in check mode.
  returned: success, or failure after the plan was made
  type: list
  elements: dict
  contains:
    moid:
      description: The managed object ID of the datastore.
      type: str
      sample: datastore-91
    name:
      description: The name of the datastore.
      type: str
      sample: restore-20260131T091500-1f2e3d4c
    dataset:
      description: The dataset of the ZFS snapshot.
      type: str
      sample: tank/vmware
    clone:
      description: The ZFS clone.
      type: str
      sample: tank/vmware-zfs-restores/20260131T091500-1f2e3d4c/0
attached:
  description: The disk that was attached, or would be in check mode. V(null) without O(disk).
  returned: success, or failure after the plan was made
  type: dict
  contains:
    vm:
      description: The name of the VM that gets the disk.
      type: str
      sample: helper
    moid:
      description: The managed object ID of the VM that gets the disk.
      type: str
      sample: vm-77
    file:
      description: The path of the disk. In check mode, it is relative to the dataset.
      type: str
      sample: "[restore-20260131T091500-1f2e3d4c] mail/mail.vmdk"
seconds:
  description: The duration of the restore in seconds.
  returned: success, or failure after the plan was made
  type: float
  sample: 9.4
steps:
  description: The steps that the restore would take, for people.
  returned: in check mode, or when the restore was refused
  type: list
  elements: str
  sample: []
refusals:
  description: What forbids the restore, one sentence each. Nothing was changed.
  returned: in check mode, or when the restore was refused
  type: list
  elements: str
  sample: []
summary:
  description: What was restored, or would be restored in check mode, as lines for people.
  returned: success, or failure after the plan was made
  type: list
  elements: str
  sample: ["'mail' is restored as 'mail-restored-2026-01-31' on esx1.example.com (level filesystem, off)"]
left:
  description: What could not be undone, one sentence each. Recovery tries again every hour.
  returned: when the restore failed and was undone
  type: list
  elements: str
  sample: []
"""

from functools import partial
from typing import Any, Mapping

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils import _ansible, _restores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Limits
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import request as requests
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect

SPEC = (
    _ansible.CONNECTION
    + _restores.ADDRESSES
    + _ansible.ArgumentSpec(
        {
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "restore_id": {"type": "str"},
            "snapshot": {"type": "str"},
            "vms": {"type": "list", "elements": "str"},
            "instant": {"type": "bool", "default": False},
            "host": {"type": "str"},
            "name": {"type": "str"},
            "replace": {"type": "bool", "default": False},
            "force": {"type": "bool", "default": False},
            "disk": {"type": "int"},
            "attach_to": {"type": "str"},
            "network": {"type": "str"},
            "power_on": {"type": "bool", "default": False},
            "boot_timeout": {"type": "float", "default": 300.0},
            "limit_per_vcenter": {"type": "int", "default": 32},
            "limit_per_host": {"type": "int", "default": 8},
        },
        required_if=[["state", "present", ["snapshot", "vms"]], ["state", "absent", ["restore_id"]]],
    )
)


def request_of(options: Mapping[str, Any]) -> requests.RestoreRequest:
    return requests.RestoreRequest(
        requests.parse_snapshot(options["snapshot"]),
        tuple(options["vms"]),
        requests.way_of(options["instant"], options["disk"] is not None or bool(options["attach_to"])),
        host=options["host"] or "",
        name=options["name"] or "",
        network=options["network"] or "",
        replace=options["replace"],
        force=options["force"],
        disk=options["disk"] or 0,
        attach_to=options["attach_to"] or "",
        power_on=options["power_on"],
        **_restores.addresses(options),
        boot_timeout=options["boot_timeout"],
        limits=Limits(options["limit_per_vcenter"], options["limit_per_host"]),
    )


def run(module: Any) -> dict[str, Any]:
    options = module.params
    connection = partial(connect, timeouts=_ansible.timeouts(options))
    with open_engine(Paths.from_environment(), read_only=module.check_mode, connect=connection) as engine:
        if options["state"] == "absent":
            found = [one for one in engine.restores.list() if one.id == options["restore_id"]]
            return _restores.end(module, engine, found)
        return _restores.restore(module, engine, request_of(options))


def main() -> None:
    _ansible.run_module(SPEC, run)


if __name__ == "__main__":
    main()
