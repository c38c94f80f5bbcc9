#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_restore_info
short_description: List the restores of VMs
version_added: 1.1.0
description:
  - Lists the restores of a storage host that are finished and not ended, that are running, or that were interrupted.
  - The module reads only the state on this host. It contacts no server.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.attributes.info
  - quiesce.vmware_zfs.connection.state
author:
  - The quiesce.vmware_zfs authors (@quiesce)
options:
  restore_id:
    description: List only the restore with this ID.
    type: str
  snapshot:
    description: List only the restores from this ZFS snapshot.
    type: str
seealso:
  - module: quiesce.vmware_zfs.vmware_vm_restore
  - module: quiesce.vmware_zfs.vmware_snapshot_datastore
"""

EXAMPLES = r"""
- name: List the restores
  quiesce.vmware_zfs.vmware_restore_info:
  register: result

- name: End all restores that use a ZFS clone
  quiesce.vmware_zfs.vmware_vm_restore:
    restore_id: "{{ item.restore_id }}"
    state: absent
  loop: "{{ result.restores | selectattr('clones') }}"
  loop_control:
    label: "{{ item.restore_id }}"
"""

RETURN = r"""
restores:
  description: The restores that match the options, newest first. Empty if there are none.
  returned: success
  type: list
  elements: dict
  contains:
    restore_id:
      description: The ID of the restore.
      type: str
      sample: 20260131T091500-1f2e3d4c
    zfs_snapshot:
      description: The ZFS snapshot.
      type: str
      sample: tank/vmware@auto-2026-01-31_02-00
    way:
      description:
        - The way of the restore. V(folder) copied the files of the VMs, V(clone) runs them from a ZFS clone, V(disk)
          attached one disk to another VM, V(mount) mounted the whole ZFS snapshot as a datastore.
      type: str
      sample: clone
    vm:
      description: The names of the VMs at the time of the ZFS snapshot. Empty if the whole ZFS snapshot is mounted.
      type: str
      sample: mail
    restored_name:
      description: The names of the restored VMs, or of the VM that has the disk.
      type: str
      sample: mail-restored-2026-01-31
    server:
      description: The vCenter or ESXi host.
      type: str
      sample: vcenter.example.com
    state:
      description:
        - V(restored), V(running), or V(interrupted). The next recovery undoes an interrupted restore.
      type: str
      sample: restored
    started:
      description: The start time, in UTC.
      type: str
      sample: "2026-01-31T09:15:00Z"
    clones:
      description: The ZFS clones of the restore.
      type: list
      elements: str
      sample: [tank/vmware-zfs-restores/20260131T091500-1f2e3d4c/0]
    datastores:
      description: The names of the datastores of the clones.
      type: list
      elements: str
      sample: [restore-20260131T091500-1f2e3d4c]
    problems:
      description: What could not be undone yet, one sentence each.
      type: list
      elements: str
      sample: []
"""

from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import ArgumentSpec, run_module
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.ending import overview
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import open_engine

SPEC = ArgumentSpec({"restore_id": {"type": "str"}, "snapshot": {"type": "str"}})


def run(module: Any) -> dict[str, Any]:
    wanted = {"restore_id": module.params["restore_id"], "zfs_snapshot": module.params["snapshot"]}
    with open_engine(Paths.from_environment(), read_only=True) as engine:
        found = overview(engine)
    asked = {name: value for name, value in wanted.items() if value is not None}
    return {
        "changed": False,
        "restores": [one for one in found if all(one[name] == value for name, value in asked.items())],
    }


def main() -> None:
    run_module(SPEC, run, libraries=[])


if __name__ == "__main__":
    main()
