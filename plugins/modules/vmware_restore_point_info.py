#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_restore_point_info
short_description: List the ZFS snapshots from which VMs can be restored
version_added: 1.1.0
description:
  - Lists the ZFS snapshots of a dataset and of the datasets below it, with the consistency level and the VMs of each,
    what keeps it from being destroyed, and when it expires.
  - The module reads only ZFS, the files on the dataset and the state on this host. It contacts no server.
  - A ZFS snapshot without a consistency record is listed too, for example one that was taken with C(zfs snapshot) or
    received without properties. The VMs in it are found by their files, and their level is V(unknown).
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.attributes.info
  - quiesce.vmware_zfs.connection.state
author:
  - The quiesce.vmware_zfs authors (@quiesce)
options:
  dataset:
    description:
      - The name of a dataset, as shown by C(zfs list), or of one ZFS snapshot.
    type: str
    required: true
  vm:
    description:
      - List only the ZFS snapshots that hold this VM.
      - This is the name of the VM, its instance UUID, or the path of its C(.vmx) file. Set the path if a ZFS snapshot
        holds two VMs of the same name.
      - The module fails if no ZFS snapshot holds the VM.
    type: str
seealso:
  - module: quiesce.vmware_zfs.vmware_coordinated_snapshot
  - module: quiesce.vmware_zfs.vmware_snapshot_retention
"""

EXAMPLES = r"""
- name: List the restore points of a VM
  quiesce.vmware_zfs.vmware_restore_point_info:
    dataset: tank/vmware
    vm: mail
  register: result

- name: Show the newest complete restore point
  ansible.builtin.debug:
    msg: "{{ result.points | selectattr('complete', 'true') | map(attribute='snapshot') | first }}"

- name: Show what is in one ZFS snapshot
  quiesce.vmware_zfs.vmware_restore_point_info:
    dataset: tank/vmware@auto-2026-01-31_02-00
"""

RETURN = r"""
points:
  description: The restore points, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    snapshot:
      description: The name of the ZFS snapshot.
      type: str
      sample: tank/vmware@auto-2026-01-31_02-00
    dataset:
      description: The dataset of the ZFS snapshot.
      type: str
      sample: tank/vmware
    creation:
      description: When the ZFS snapshot was created, in the local time of the storage host.
      type: str
      sample: "2026-01-31T02:00:04+01:00"
    age_seconds:
      description: The age of the ZFS snapshot in seconds.
      type: int
      sample: 698400
    level:
      description:
        - With O(vm), the consistency level of the VM, otherwise that of the ZFS snapshot. V(unknown) without a record.
        - A record that is not sealed counts as V(crash).
      type: str
      sample: filesystem
    level_text:
      description: The level for people. VMs that are excluded or that a policy accepts at V(crash) are shown apart.
      type: str
      sample: filesystem (1 excluded)
    complete:
      description:
        - Whether every VM in the record reached the level that its policy asks for. V(null) without a record.
      type: bool
      sample: true
    recorded:
      description: Whether the ZFS snapshot has a sealed consistency record.
      type: bool
      sample: true
    run_id:
      description: The ID of the run that took the ZFS snapshot. Empty without a record.
      type: str
      sample: 20260131T010000-1f2e3d4c
    vms:
      description: The VMs in the ZFS snapshot, sorted by name. With O(vm), only this VM.
      type: list
      elements: dict
      contains:
        name:
          description: The name that the VM had.
          type: str
          sample: mail
        level:
          description: The consistency level of the VM. V(unknown) without a record.
          type: str
          sample: filesystem
        reason:
          description: Why the level is not higher.
          type: str
          sample: ""
        vmx_path:
          description:
            - The path of the configuration file, with the name of its datastore. Without a record, the path is relative
              to the dataset.
          type: str
          sample: "[vmware] mail/mail.vmx"
        datasets:
          description:
            - The datasets with files of the VM, by the names that they had when the ZFS snapshot was taken. C(the
              datastore X) is storage that is not on that host.
          type: list
          elements: str
          sample: [tank/vmware]
        revert_to:
          description:
            - The name of the VMware snapshot to revert to before the VM is powered on. Empty if there is none.
          type: str
          sample: vmware-zfs 20260131T010000-1f2e3d4c
        instance_uuid:
          description: The instance UUID of the VM. Empty if it is not known.
          type: str
          sample: 5029440e-c62e-30b0-2d0c-9a2b6a1b0f1e
        server:
          description: The vCenter or ESXi host that managed the VM. Empty without a record.
          type: str
          sample: vcenter.example.com
        remarks:
          description:
            - Sentences about what a restore of the VM needs, and about files that are damaged or are not in this ZFS
              snapshot. Always empty with a record.
          type: list
          elements: str
          sample: []
    vms_known:
      description: Whether RV(points[].vms) could be read.
      type: bool
      sample: true
    holds:
      description: The tags of the holds on the ZFS snapshot.
      type: list
      elements: str
      sample: [keep]
    clones:
      description: The names of the clones of the ZFS snapshot.
      type: list
      elements: str
      sample: []
    restores:
      description: The IDs of the restores that use the ZFS snapshot by a hold or a clone.
      type: list
      elements: str
      sample: []
    verified:
      description: The verdict of the last drill on the ZFS snapshot. V(null) if there was no drill.
      type: dict
      contains:
        result:
          description:
            - The worst verdict on the VMs that were tried.
            - V(verified), V(booted), V(inconclusive) or V(failed), as in M(quiesce.vmware_zfs.vmware_restore_drill).
          type: str
          sample: verified
        time:
          description: The end of the drill, in UTC.
          type: str
          sample: "2026-01-31T09:15:00Z"
        seconds:
          description: The duration of the drill in seconds.
          type: float
          sample: 93.5
        drill:
          description: The ID of the drill.
          type: str
          sample: 20260131T091500-1f2e3d4c
        run:
          description: The run that took the ZFS snapshot.
          type: str
          sample: 20260131T020000-1f2e3d4c
        vms:
          description: The last verdict on each VM that was tried on this ZFS snapshot.
          type: list
          elements: dict
          contains:
            name:
              description: The name of the VM.
              type: str
              sample: mail
            vmx:
              description: The path of its configuration in the dataset.
              type: str
              sample: mail/mail.vmx
            verdict:
              description: The verdict.
              type: str
              sample: verified
            time:
              description: The time of the verdict, in UTC.
              type: str
              sample: "2026-01-31T09:15:00Z"
        more:
          description: The number of VMs that did not fit into the list.
          type: int
          sample: 0
    pinned_by:
      description: What keeps the ZFS snapshot from being destroyed, for people.
      type: list
      elements: str
      sample: [hold keep]
    expires:
      description:
        - When the lifetime of the ZFS snapshot ends, in the local time of the storage host.
        - V(null) if it has no lifetime, or if the lifetime has ended.
      type: str
      sample: "2026-02-14T02:00:04+01:00"
    expiry:
      description: When retention destroys the ZFS snapshot, or why it does not, for people.
      type: str
      sample: 2026-02-14 02:00
    problems:
      description: Sentences about what lowers the level, or what could not be read.
      type: list
      elements: str
      sample: []
not_read:
  description: ZFS snapshots whose VMs are not known because reading their files would have taken too long.
  returned: success
  type: list
  elements: str
  sample: []
problems:
  description: Sentences about datasets whose files cannot be read.
  returned: success
  type: list
  elements: str
  sample: []
"""

from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import ArgumentSpec, run_module
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.points import find_points
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import open_engine

SPEC = ArgumentSpec({"dataset": {"type": "str", "required": True}, "vm": {"type": "str"}})


def run(module: Any) -> dict[str, Any]:
    with open_engine(Paths.from_environment(), read_only=True) as engine:
        found = find_points(engine, module.params["dataset"], module.params["vm"] or "")
    return {"changed": False, **found.as_dict()}


def main() -> None:
    run_module(SPEC, run, libraries=[])


if __name__ == "__main__":
    main()
