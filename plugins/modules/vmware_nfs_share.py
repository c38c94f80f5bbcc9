#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_nfs_share
short_description: Export a dataset to ESXi hosts by NFS
version_added: 1.0.0
description:
  - Exports a directory of a mounted dataset by the storage host's own NFS server, so that ESXi hosts can mount it as a
    datastore.
  - Each share has a file of its own in C(/etc/exports.d). No other file is ever written, and what other entries export
    stays as it is.
  - Of what the NFS server exports now only the lines for O(path) and the clients of this share are changed. What is in
    no file, such as the exports of a Pacemaker cluster, stays.
  - A share is not withdrawn (O(state=absent), O(enabled=false)) while VMs are registered on a datastore that it serves.
    Neither is it restricted, which is to take the share from a client that the new O(networks) and O(hosts) do not
    cover, to make it O(read_only), to take away a flavour of O(security) that ESXi knows, or to map root to another
    user. Which ESXi host uses which entry is not known, so O(force) is needed also for a client that runs none of the
    VMs.
  - The vCenters and ESXi hosts of all stored credentials are asked about VMs. Without a stored credential nobody can be
    asked.
  - When C(exportfs) refuses the share, its file and what is exported are what they were.
  - New clients are exported before old ones are withdrawn. A client that is covered before and after never loses the
    share.
  - Shares are always exported with C(sync), because ESXi takes what the server has acknowledged for written, and with
    C(no_subtree_check).
  - While the dataset is not mounted nothing is exported under its path, so that ESXi does not take the empty directory
    below for the datastore.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
author:
  - The quiesce.vmware_zfs authors (@quiesce)
requirements:
  - the kernel's NFS server with C(exportfs), on the storage host
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) has the share as the options say; what is left out gets its default, also where the share is there.
      - V(absent) removes the share of O(path). What other entries export is not touched. It is refused while VMs are
        registered there, see O(force).
    type: str
    choices: [present, absent]
    default: present
  path:
    description:
      - The directory to export, usually the mountpoint of a dataset. It must lie on a mounted dataset, and no part of
        it may be a symbolic link.
      - It is what tells one share from another.
    type: str
    required: true
  networks:
    description:
      - The networks that may mount it, in their normal form, for example V(192.168.1.0/24) or V(2001:db8::/64).
      - They must not share addresses with each other, and none may be V(0.0.0.0/0) or V(::/0).
      - At least one network or one of O(hosts) has to be given.
    type: list
    elements: str
    default: []
  hosts:
    description:
      - The hosts that may mount it, by name or address. A name must resolve on the storage host.
    type: list
    elements: str
    default: []
  maproot_user:
    description:
      - The user as whom root of a client works. ESXi works as root, so V(root) is what datastores need.
      - When left out root is mapped to the server's user for anonymous clients, and the module warns.
    type: str
  maproot_group:
    description:
      - The group that goes with O(maproot_user), by default that user's own.
      - With the user V(root) both V(wheel) and V(root) mean root's group, as on TrueNAS, whatever C(wheel) is here.
    type: str
  mapall_user:
    description:
      - The user as whom everybody works, root included. It excludes O(maproot_user).
    type: str
  mapall_group:
    description:
      - The group that goes with O(mapall_user), by default that user's own.
    type: str
  read_only:
    description: Whether clients may only read.
    type: bool
    default: false
  security:
    description:
      - The security flavours that clients may use. NFS 3 datastores need V(sys); NFS 4.1 datastores can use V(sys),
        V(krb5) or V(krb5i). ESXi does not know V(krb5p).
    type: list
    elements: str
    choices: [sys, krb5, krb5i, krb5p]
    default: [sys]
  enabled:
    description:
      - Whether it is exported. V(false) keeps the share's file with its entries as comments. It is refused while VMs
        are registered there, see O(force).
    type: bool
    default: true
  force:
    description:
      - Whether to withdraw or restrict the share also while VMs are registered on a datastore that it serves, and when
        a server whose credential is for its dataset cannot be asked about that. VMs whose ESXi hosts lose the share
        lose their disks.
    type: bool
    default: false
    version_added: 1.1.0
  aliases:
    description:
      - Names and addresses under which ESXi hosts reach this storage host although it does not know them itself, for
        example behind NAT. They tell which datastores the share serves before it is withdrawn or restricted.
    type: list
    elements: str
    default: []
    version_added: 1.1.0
notes:
  - The module runs on the storage host, as root.
  - A datastore is one file system for ESXi. Datasets below O(path) are not visible through the share, in whose place
    ESXi sees empty directories. Share each dataset that is to hold VMs, and mount each as a datastore of its own.
  - NFS 3 and NFS 4.1 both find the share under O(path). A root of NFS version 4 (C(fsid=0)) is not needed; when another
    entry sets one elsewhere the module warns, because NFS 4.1 then does not find the share.
seealso:
  - module: quiesce.vmware_zfs.vmware_nfs_share_info
"""

EXAMPLES = r"""
- name: Share tank/vmware with the ESXi hosts
  quiesce.vmware_zfs.vmware_nfs_share:
    path: /mnt/tank/vmware
    networks: [192.168.1.0/24]
    maproot_user: root
    maproot_group: wheel

- name: Share templates, for reading only, with two hosts
  quiesce.vmware_zfs.vmware_nfs_share:
    path: /mnt/tank/templates
    hosts: [esxi01.example.com, esxi02.example.com]
    maproot_user: root
    read_only: true

- name: Stop exporting it for a while
  quiesce.vmware_zfs.vmware_nfs_share:
    path: /mnt/tank/vmware
    networks: [192.168.1.0/24]
    maproot_user: root
    enabled: false

- name: Remove the share; the dataset stays
  quiesce.vmware_zfs.vmware_nfs_share:
    path: /mnt/tank/vmware
    state: absent
"""

RETURN = r"""
share:
  description: The share as it is now, or would be in check mode; V(null) with O(state=absent).
  returned: success
  type: dict
  contains:
    path:
      description: The directory that is exported.
      type: str
      sample: /mnt/tank/vmware
    clients:
      description: The networks and hosts that may mount it.
      type: list
      elements: str
      sample: [192.168.1.0/24]
    options:
      description: Their options, as in exports(5).
      type: list
      elements: str
      sample: ["sec=sys", "rw", "sync", "no_subtree_check", "mountpoint", "no_root_squash"]
    enabled:
      description: Whether it is exported.
      type: bool
      sample: true
dataset:
  description: The dataset that it lies on; empty with O(state=absent).
  returned: success
  type: str
  sample: tank/vmware
file:
  description: The share's file.
  returned: success
  type: str
  sample: /etc/exports.d/quiesce.vmware_zfs-mnt-tank-vmware-cde0b9c3.exports
"""

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import (
    ArgumentSpec,
    conceal,
    require_libraries,
    run_module,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.server import NfsServer
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.nfs_datastore.served import (
    Served,
    refuse_in_use,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.connector import Connector
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credentials
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect

SPEC = ArgumentSpec(
    {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "path": {"type": "str", "required": True},
        "networks": {"type": "list", "elements": "str", "default": []},
        "hosts": {"type": "list", "elements": "str", "default": []},
        "maproot_user": {"type": "str"},
        "maproot_group": {"type": "str"},
        "mapall_user": {"type": "str"},
        "mapall_group": {"type": "str"},
        "read_only": {"type": "bool", "default": False},
        "security": {
            "type": "list",
            "elements": "str",
            "choices": ["sys", "krb5", "krb5i", "krb5p"],
            "default": ["sys"],
        },
        "enabled": {"type": "bool", "default": True},
        "force": {"type": "bool", "default": False},
        "aliases": {"type": "list", "elements": "str", "default": []},
    }
)


def run(module):
    server = NfsServer()
    if module.params["state"] == "present":
        plan = server.plan(module.params)
    else:
        plan = server.plan_removal(module.params["path"])
    if plan.withdraws and not module.params["force"]:
        ask_vsphere(module, server)
    if plan.changed and not module.check_mode:
        server.carry_out(plan)
    for warning in plan.warnings:
        module.warn(warning)
    return {
        "changed": plan.changed,
        "share": plan.share.as_dict() if plan.share else None,
        "dataset": plan.dataset,
        "file": str(plan.file),
        "diff": plan.diff(),
    }


def ask_vsphere(module, server):
    """Refuse to withdraw or restrict a share that VMs live on, as far as there are credentials to know."""
    path = module.params["path"]
    with Credentials.open(Paths.from_environment(), read_only=True) as credentials:
        stored = credentials.list_all()
        if stored:
            require_libraries(["pyVmomi", "cryptography"])
            share = Served(path, server.dataset_of(path), server.exported(), module.params["aliases"])
            refuse_in_use(share, stored, lambda one: conceal(module, credentials.password(one)), Connector(connect))


def main():
    run_module(SPEC, run, libraries=())


if __name__ == "__main__":
    main()
