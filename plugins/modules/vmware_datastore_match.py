#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_datastore_match
short_description: Tell which datastores lie on which datasets, and why not
version_added: 1.0.0
description:
  - Asks a vCenter or ESXi host for its datastores, and tells for each one on which datasets of this storage host it
    lies. For those that lie on none it says why, in words.
  - A datastore matches when one of its NFS servers is this storage host and the path that it mounts leads into a
    mounted dataset. The path may be the dataset's mountpoint, a directory below it, a bind mount, a symbolic link, or
    an NFS version 4 path that begins at an export with C(fsid=0).
  - The server is recognised by host name, by every address of this storage host in any spelling, and by O(aliases).
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
      - Names and addresses under which ESXi hosts reach this storage host although it does not know them itself, for
        example behind NAT, or a virtual address that another node holds at the moment.
      - A name also stands for the addresses that it resolves to.
    type: list
    elements: str
    default: []
  dataset:
    description: Return only the datastores that lie on this dataset or on one below it.
    type: str
seealso:
  - module: quiesce.vmware_zfs.vmware_cred
  - module: quiesce.vmware_zfs.vmware_dataset_vms_info
"""

EXAMPLES = r"""
- name: Match the datastores that a stored credential sees
  quiesce.vmware_zfs.vmware_datastore_match:
    id: 1
  register: matched

- name: Show the datastores that lie on none of the datasets, and why
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.reason }}"
  loop: "{{ matched.datastores | rejectattr('datasets') }}"
  loop_control:
    label: "{{ item.moid }}"

- name: Look before a credential is stored, with ESXi hosts that reach this storage host through NAT
  quiesce.vmware_zfs.vmware_datastore_match:
    hostname: vcenter.example.com
    username: administrator@vsphere.local
    password: "{{ vcenter_password }}"
    aliases:
      - 203.0.113.5
      - nfs.example.com

- name: Which datastores does a snapshot of tank/vmware concern?
  quiesce.vmware_zfs.vmware_datastore_match:
    hostname: vcenter.example.com
    username: administrator@vsphere.local
    filesystem: tank/vmware
    dataset: tank/vmware
"""

RETURN = r"""
datastores:
  description: The verdict on every datastore, sorted by datacenter and name.
  returned: success
  type: list
  elements: dict
  contains:
    moid:
      description: Managed object ID, which tells apart datastores of the same name in two datacenters.
      type: str
      sample: datastore-52
    name:
      description: Name of the datastore.
      type: str
      sample: vmware
    datacenter:
      description: Name of its datacenter.
      type: str
      sample: DC0
    type:
      description: Type as vSphere has it; V(NFS) is NFS version 3, V(NFS41) version 4.1.
      type: str
      sample: NFS
    accessible:
      description: Whether vSphere can reach it at the moment.
      type: bool
      sample: true
    remote_hosts:
      description: The NFS servers as the ESXi hosts mount them; empty for what is no NFS datastore.
      type: list
      elements: str
      sample: [10.0.2.15]
    remote_path:
      description: The path as the ESXi hosts mount it; empty for what is no NFS datastore.
      type: str
      sample: /tank/vmware
    datasets:
      description: The dataset that the datastore lies on, then those that are mounted below it; empty if there is none.
      type: list
      elements: str
      sample: [tank/vmware, tank/vmware/nested]
    relation:
      description:
        - What the mounted path is. V(root) is the dataset's mountpoint, V(subdirectory) a directory below it, V(bind) a
          bind mount, V(symlink) a path through a symbolic link. V(null) when the datastore lies on no dataset.
      type: str
      sample: root
    path:
      description: The mounted directory within the dataset; empty for the dataset's root.
      type: str
      sample: ""
    reason:
      description: Why the verdict is as it is, in one sentence.
      type: str
      sample: /tank/vmware is the mountpoint of tank/vmware
    warnings:
      description: What deserves a look although the datastore matches, a sentence each.
      type: list
      elements: str
      sample: []
datasets:
  description: The same by dataset. The name of every dataset that carries datastores, with those datastores.
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

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import (
    LOGIN,
    ArgumentSpec,
    login,
    run_module,
    timeouts,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.matching.match import by_dataset, match_here
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.server_logins import datasets_around
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import list_datastores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import list_datasets
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import is_within, pool_of

SPEC = LOGIN + ArgumentSpec(
    {
        "aliases": {"type": "list", "elements": "str", "default": []},
        "dataset": {"type": "str"},
    }
)

IN_DATASETS = ("moid", "name", "datacenter", "relation")


def run(module: Any) -> dict[str, Any]:
    wanted = module.params["dataset"]
    if wanted is None:
        datasets = list_datasets(Zfs())
    else:
        list_datasets(Zfs(), wanted)  # raises where there is no such dataset
        datasets = datasets_around(Zfs(), pool_of(wanted))
    server, username, password = login(module)
    with connect(server, username, password, timeouts(module.params)) as session:
        datastores = list_datastores(session)
    matches = match_here(datastores, datasets, module.params["aliases"])
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
    run_module(SPEC, run, libraries=["pyVmomi"])


if __name__ == "__main__":
    main()
