#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_snapshot_datastore
short_description: Mount a whole ZFS snapshot as a datastore of an ESXi host
version_added: 1.1.0
description:
  - Clones a ZFS snapshot and the snapshots of the same name on the child datasets, exports the clones to one ESXi host,
    and mounts them there as datastores. Use this to look at files, to copy them, or to restore VMs by hand.
  - The ZFS snapshot itself is not changed. Files that are written to the datastore are written to the clone.
  - The ZFS snapshot cannot be destroyed while it is mounted.
  - The module registers no VMs. Before you power on a VM that you register by hand, revert it to the VMware snapshot of
    the run. M(quiesce.vmware_zfs.vmware_vm_restore) does this for you.
  - Every change is written to the journal on the storage host before it is made. If the module fails, its changes are
    undone at once. If it is killed, the next recovery undoes them.
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
      - The module logs in and returns the plan. It does not fail if something forbids the mount, but lists it in
        RV(refusals) and warns about it.
      - With O(state=absent), it does not check whether VMs are registered on the datastores.
  diff_mode:
    support: full
    details: The diff shows the ZFS snapshot.
  idempotent:
    support: full
    details: If this storage host has mounted the ZFS snapshot on the host already, the module changes nothing.
options:
  state:
    description:
      - V(present) mounts the ZFS snapshot.
      - V(absent) unmounts its datastores and destroys the clones. What was written to the clones is lost. The module
        fails while VMs are registered on the datastores.
    type: str
    choices: [present, absent]
    default: present
  snapshot:
    description:
      - The ZFS snapshot, for example V(tank/vmware@auto-2026-01-31_02-00).
        M(quiesce.vmware_zfs.vmware_restore_point_info) lists the ZFS snapshots.
    type: str
    required: true
  host:
    description:
      - The name of the ESXi host that mounts the ZFS snapshot, as shown in vCenter. Required with O(state=present).
      - With O(state=absent), the ZFS snapshot is unmounted from this host, or from all hosts if O(host) is not set.
    type: str
  server:
    description:
      - The host name or IP address that the ESXi host uses to reach this storage host.
      - By default, it is the address from which the datastore of the dataset is mounted.
    type: str
  clients:
    description:
      - The IP addresses from which the ESXi host mounts NFS datastores. The clones are exported only to these
        addresses.
      - By default, they are the addresses of all VMkernel adapters of the host.
    type: list
    elements: str
    default: []
seealso:
  - module: quiesce.vmware_zfs.vmware_vm_restore
  - module: quiesce.vmware_zfs.vmware_restore_info
  - module: quiesce.vmware_zfs.vmware_restore_point_info
"""

EXAMPLES = r"""
- name: Mount a ZFS snapshot as a datastore
  quiesce.vmware_zfs.vmware_snapshot_datastore:
    snapshot: tank/vmware@auto-2026-01-31_02-00
    host: esx1.example.com
  register: mounted

- name: Show the name of the datastore
  ansible.builtin.debug:
    msg: "{{ mounted.datastores | map(attribute='name') | join(', ') }}"

- name: Unmount the ZFS snapshot and destroy its clone
  quiesce.vmware_zfs.vmware_snapshot_datastore:
    snapshot: tank/vmware@auto-2026-01-31_02-00
    state: absent
"""

RETURN = r"""
restore_id:
  description: The ID of the restore that mounted the ZFS snapshot. Empty in check mode if it is not mounted yet.
  returned: with O(state=present), on success or failure after the plan was made
  type: str
  sample: 20260131T091500-1f2e3d4c
existing_restores:
  description: The ID of the earlier restore that mounted the ZFS snapshot on the host. Nothing was changed.
  returned: with O(state=present), on success
  type: list
  elements: str
  sample: []
zfs_snapshot:
  description: The ZFS snapshot.
  returned: with O(state=present), on success or failure after the plan was made
  type: str
  sample: tank/vmware@auto-2026-01-31_02-00
datastores:
  description: The datastores of the ZFS clones. Empty in check mode if they do not exist yet.
  returned: with O(state=present), on success or failure after the plan was made
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
seconds:
  description: The duration in seconds.
  returned: with O(state=present), on success or failure after the plan was made
  type: float
  sample: 3.2
steps:
  description: The steps that the module would take, for people.
  returned: in check mode, or when the mount was refused
  type: list
  elements: str
  sample: []
refusals:
  description: What forbids the mount, one sentence each. Nothing was changed.
  returned: in check mode, or when the mount was refused
  type: list
  elements: str
  sample: []
summary:
  description: What was mounted, or would be mounted in check mode, as lines for people.
  returned: with O(state=present), on success or failure after the plan was made
  type: list
  elements: str
  sample: [the datastore restore-20260131T091500-1f2e3d4c is a clone of tank/vmware]
left:
  description: What could not be undone, one sentence each. Recovery tries again every hour.
  returned: when the mount failed and was undone
  type: list
  elements: str
  sample: []
"""

from functools import partial
from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils import _ansible, _restores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import request as requests
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.earlier import mounted
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import MOUNT
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect

SPEC = (
    _ansible.CONNECTION
    + _restores.ADDRESSES
    + _ansible.ArgumentSpec(
        {
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "snapshot": {"type": "str", "required": True},
            "host": {"type": "str"},
        },
        required_if=[["state", "present", ["host"]]],
    )
)


def run(module: Any) -> dict[str, Any]:
    options = module.params
    snapshot, host = requests.parse_snapshot(options["snapshot"]), options["host"] or ""
    connection = partial(connect, timeouts=_ansible.timeouts(options))
    with open_engine(Paths.from_environment(), read_only=module.check_mode, connect=connection) as engine:
        if options["state"] == "absent":
            return _restores.end(module, engine, mounted(engine, str(snapshot), host))
        request = requests.RestoreRequest(
            snapshot,
            way=MOUNT,
            host=host,
            **_restores.addresses(options),
        )
        result = _restores.restore(module, engine, request)
    return {name: value for name, value in result.items() if name not in ("vms", "attached", "way")}


def main() -> None:
    _ansible.run_module(SPEC, run)


if __name__ == "__main__":
    main()
