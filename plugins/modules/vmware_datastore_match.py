#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_datastore_match
short_description: Match datastores to ZFS datasets and explain every mismatch
version_added: 1.0.0
description:
  - Lists the datastores of a vCenter or ESXi host and, for each one, the datasets of this storage host that it is on.
    If a datastore is on no dataset, the module returns the reason.
  - A datastore matches if one of its NFS servers is this storage host and the mounted path is in a mounted dataset. The
    path can be the mountpoint of the dataset, a directory below it, a bind mount, a symbolic link, or an NFS version 4
    path relative to an export with C(fsid=0).
  - The module recognizes this storage host by its host name, by all of its IP addresses in any notation, and by
    O(aliases).
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.attributes.info
  - quiesce.vmware_zfs.attributes.action_group
  - quiesce.vmware_zfs.connection
  - quiesce.vmware_zfs.connection.login
  - quiesce.vmware_zfs.connection.runtime
  - quiesce.vmware_zfs.connection.timeouts
author:
  - The quiesce.vmware_zfs authors (@quiesce)
options:
  aliases:
    description:
      - Additional host names and IP addresses that ESXi hosts use to reach this storage host. Use this for addresses
        that are not configured on this storage host, such as NAT addresses or a virtual address that is currently on
        another cluster node.
      - A host name also includes the addresses that it resolves to.
    type: list
    elements: str
    default: []
  dataset:
    description: Return only the datastores on this dataset or on its child datasets.
    type: str
seealso:
  - module: quiesce.vmware_zfs.vmware_cred
  - module: quiesce.vmware_zfs.vmware_dataset_vms_info
"""

EXAMPLES = r"""
- name: Match the datastores that a stored credential can see
  quiesce.vmware_zfs.vmware_datastore_match:
    id: 1
  register: matched

- name: Show the datastores that are on no dataset, with the reason
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.reason }}"
  loop: "{{ matched.datastores | rejectattr('datasets') }}"
  loop_control:
    label: "{{ item.moid }}"

- name: Match datastores without a stored credential, for ESXi hosts that reach this storage host through NAT
  quiesce.vmware_zfs.vmware_datastore_match:
    hostname: vcenter.example.com
    username: administrator@vsphere.local
    password: "{{ vcenter_password }}"
    aliases:
      - 203.0.113.5
      - nfs.example.com

- name: List the datastores that a snapshot of tank/vmware includes
  quiesce.vmware_zfs.vmware_datastore_match:
    hostname: vcenter.example.com
    username: administrator@vsphere.local
    filesystem: tank/vmware
    dataset: tank/vmware
"""

RETURN = r"""
datastores:
  description: The result for each datastore, sorted by datacenter and name.
  returned: success
  type: list
  elements: dict
  contains:
    moid:
      description: >-
        The managed object ID of the datastore. Two datastores with the same name in two datacenters have different IDs.
      type: str
      sample: datastore-52
    name:
      description: The name of the datastore.
      type: str
      sample: vmware
    datacenter:
      description: The name of its datacenter.
      type: str
      sample: DC0
    type:
      description: The datastore type as reported by vSphere. V(NFS) is NFS version 3, V(NFS41) is NFS version 4.1.
      type: str
      sample: NFS
    accessible:
      description: Whether vSphere can currently access the datastore.
      type: bool
      sample: true
    remote_hosts:
      description: The NFS servers in the mount of the ESXi hosts. Empty if this is not an NFS datastore.
      type: list
      elements: str
      sample: [10.0.2.15]
    remote_path:
      description: The path in the mount of the ESXi hosts. Empty if this is not an NFS datastore.
      type: str
      sample: /tank/vmware
    datasets:
      description: The dataset of the datastore, followed by the datasets mounted below it. Empty if there is none.
      type: list
      elements: str
      sample: [tank/vmware, tank/vmware/nested]
    relation:
      description:
        - The type of the mounted path. V(root) is the mountpoint of the dataset, V(subdirectory) is a directory below
          it, V(bind) is a bind mount, V(symlink) is a path with a symbolic link.
        - V(null) if the datastore is on no dataset.
      type: str
      sample: root
    path:
      description: The mounted directory, relative to the dataset's mountpoint. Empty for the mountpoint.
      type: str
      sample: ""
    reason:
      description: The reason for the result, in one sentence.
      type: str
      sample: /tank/vmware is the mountpoint of tank/vmware
    warnings:
      description: Possible problems with a matched datastore, one sentence each.
      type: list
      elements: str
      sample: []
datasets:
  description: The matches by dataset. Each key is the name of a dataset, each value is the list of its datastores.
  returned: success
  type: dict
  sample:
    tank/vmware:
      - moid: datastore-52
        name: vmware
        datacenter: DC0
        relation: root
"""

from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils import _ansible
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.matching.match import by_dataset, match_on
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.selection import datasets_around
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import list_datastores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import list_datasets
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import is_within, pool_of

SPEC = _ansible.LOGIN + _ansible.ArgumentSpec(
    {"aliases": {"type": "list", "elements": "str", "default": []}, "dataset": {"type": "str"}}
)

IN_DATASETS = ("moid", "name", "datacenter", "relation")


def run(module: Any) -> dict[str, Any]:
    wanted, zfs = module.params["dataset"], Zfs()
    if wanted is None:
        datasets = list_datasets(zfs)
    else:
        list_datasets(zfs, wanted)  # raises if the dataset does not exist
        datasets = datasets_around(zfs, pool_of(wanted))
    server, username, password = _ansible.login(module)
    with connect(server, username, password, _ansible.timeouts(module.params)) as session:
        datastores = list_datastores(session)
    matches = match_on(zfs.host, datastores, datasets, module.params["aliases"])
    if wanted is not None:
        matches = [match for match in matches if any(is_within(name, wanted) for name in match.datasets)]
    return {
        "changed": False,
        "datastores": [match.as_dict() for match in matches],
        "datasets": {
            name: [{key: match.as_dict()[key] for key in IN_DATASETS} for match in carried]
            for name, carried in by_dataset(matches).items()
        },
    }


def main() -> None:
    _ansible.run_module(SPEC, run, libraries=["pyVmomi"])


if __name__ == "__main__":
    main()
