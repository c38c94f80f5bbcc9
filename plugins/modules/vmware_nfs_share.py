#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_nfs_share
short_description: Export a ZFS dataset to ESXi hosts through NFS
version_added: 1.0.0
description:
  - Exports a directory of a mounted dataset through the NFS server of the storage host, so that ESXi hosts can mount it
    as a datastore.
  - The module writes one file per share in C(/etc/exports.d). It does not change other files or the exports of other
    entries.
  - In the table of active exports, the module changes only the lines for O(path) and the clients of this share. Exports
    that are in no file, such as those of a Pacemaker cluster, are kept.
  - The module does not withdraw a share (O(state=absent) or O(enabled=false)) while VMs are registered on a datastore
    that the share serves.
  - The module does not restrict such a share either. A restriction removes a client that the new O(networks) and
    O(hosts) do not cover, sets O(read_only=true), removes a security flavor of O(security) that ESXi supports, or maps
    root to another user. The module does not know which ESXi host uses which entry. O(force) is therefore required even
    if the client runs none of the VMs.
  - To find these VMs, the module queries the vCenters and ESXi hosts of all stored credentials. Without a stored
    credential, it cannot check for VMs.
  - If C(exportfs) refuses the share, the module restores the share's file and the exports.
  - New clients are exported before old ones are withdrawn. A client that is covered before and after the change never
    loses access to the share.
  - Shares are always exported with C(sync) and C(no_subtree_check). C(sync) is required because ESXi treats every
    acknowledged write as stored.
  - While the dataset is not mounted, its path is not exported. Otherwise ESXi would mount the empty directory under the
    mountpoint as the datastore.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
author:
  - The quiesce.vmware_zfs authors (@quiesce)
requirements:
  - the Linux kernel NFS server with C(exportfs), on the storage host
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
      - V(present) creates the share, or changes it to match the options. An option that is not set takes its default,
        even if the share exists.
      - V(absent) removes the share of O(path). The exports of other entries are not changed. The module fails while VMs
        are registered on a datastore of the share. See O(force).
    type: str
    choices: [present, absent]
    default: present
  path:
    description:
      - The directory to export, usually the mountpoint of a dataset. It must be on a mounted dataset, and no part of
        the path can be a symbolic link.
      - The path identifies the share.
    type: str
    required: true
  networks:
    description:
      - The networks that can mount the share, in CIDR notation without host bits, for example V(192.168.1.0/24) or
        V(2001:db8::/64).
      - The networks must not overlap. V(0.0.0.0/0) and V(::/0) are not allowed.
      - Set at least one network or one of O(hosts).
    type: list
    elements: str
    default: []
  hosts:
    description:
      - The host names or IP addresses of hosts that can mount the share. A name must resolve on the storage host.
    type: list
    elements: str
    default: []
  maproot_user:
    description:
      - The user that the root user of a client is mapped to. ESXi accesses the share as root, so datastores need
        V(root).
      - If not set, root is mapped to the server's anonymous user and the module warns about it.
    type: str
  maproot_group:
    description:
      - The group that the root user of a client is mapped to. The default is the primary group of O(maproot_user).
      - With O(maproot_user=root), both V(wheel) and V(root) mean the group with the ID 0, as on TrueNAS. It does not
        matter whether the storage host has a group C(wheel).
    type: str
  mapall_user:
    description:
      - The user that all users of a client are mapped to, including root. Cannot be used with O(maproot_user).
    type: str
  mapall_group:
    description:
      - The group that all users of a client are mapped to. The default is the primary group of O(mapall_user).
    type: str
  read_only:
    description: Whether to export the share read-only.
    type: bool
    default: false
  security:
    description:
      - The security flavors that clients can use. NFS 3 datastores need V(sys). NFS 4.1 datastores can use V(sys),
        V(krb5) or V(krb5i). ESXi does not support V(krb5p).
    type: list
    elements: str
    choices: [sys, krb5, krb5i, krb5p]
    default: [sys]
  enabled:
    description:
      - Whether to export the share. V(false) keeps the share's file with its entries as comments. The module fails
        while VMs are registered on a datastore of the share. See O(force).
    type: bool
    default: true
  force:
    description:
      - Whether to withdraw or restrict the share even if VMs are registered on a datastore that it serves, or if a
        server with a credential for its dataset cannot be queried. If an ESXi host loses access to the share, its VMs
        lose their disks.
    type: bool
    default: false
    version_added: 1.1.0
  aliases:
    description:
      - Additional host names and IP addresses that ESXi hosts use to reach this storage host. Use this for addresses
        that are not configured on this storage host, such as NAT addresses. The module uses them to find the datastores
        that the share serves, before it withdraws or restricts the share.
    type: list
    elements: str
    default: []
    version_added: 1.1.0
notes:
  - The module must run on the storage host as root.
  - For ESXi, a datastore is one file system. Child datasets below O(path) appear to ESXi as empty directories. Create a
    separate share and datastore for each dataset that contains VMs.
  - Both NFS 3 and NFS 4.1 clients use O(path) to mount the share. An NFS version 4 root (C(fsid=0)) is not needed. If
    another entry sets such a root elsewhere, the module warns that NFS 4.1 clients cannot find the share.
seealso:
  - module: quiesce.vmware_zfs.vmware_nfs_share_info
"""

EXAMPLES = r"""
- name: Export a dataset to the network of the ESXi hosts
  quiesce.vmware_zfs.vmware_nfs_share:
    path: /mnt/tank/vmware
    networks: [192.168.1.0/24]
    maproot_user: root
    maproot_group: wheel

- name: Export templates read-only to two hosts
  quiesce.vmware_zfs.vmware_nfs_share:
    path: /mnt/tank/templates
    hosts: [esxi01.example.com, esxi02.example.com]
    maproot_user: root
    read_only: true

- name: Stop the export but keep the share's file
  quiesce.vmware_zfs.vmware_nfs_share:
    path: /mnt/tank/vmware
    networks: [192.168.1.0/24]
    maproot_user: root
    enabled: false

- name: Remove the share and keep the dataset
  quiesce.vmware_zfs.vmware_nfs_share:
    path: /mnt/tank/vmware
    state: absent
"""

RETURN = r"""
share:
  description: The share after the change, or as it would be in check mode. V(null) with O(state=absent).
  returned: success
  type: dict
  contains:
    path:
      description: The exported directory.
      type: str
      sample: /mnt/tank/vmware
    clients:
      description: The networks and hosts that can mount the share.
      type: list
      elements: str
      sample: [192.168.1.0/24]
    options:
      description: The export options of the clients, as in exports(5).
      type: list
      elements: str
      sample: ["sec=sys", "rw", "sync", "no_subtree_check", "mountpoint", "no_root_squash"]
    enabled:
      description: Whether the share is exported.
      type: bool
      sample: true
dataset:
  description: The dataset of the share. Empty with O(state=absent).
  returned: success
  type: str
  sample: tank/vmware
file:
  description: The path of the share's file.
  returned: success
  type: str
  sample: /etc/exports.d/quiesce.vmware_zfs-mnt-tank-vmware-cde0b9c3.exports
"""

from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils import _ansible
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.plan import Plan
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.server import NfsServer
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.nfs_datastore import served
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.connector import Connector
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credentials
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect

SPEC = _ansible.ArgumentSpec(
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


def run(module: Any) -> dict[str, Any]:
    server = NfsServer()
    if module.params["state"] == "present":
        plan = server.plan(module.params)
    else:
        plan = server.plan_removal(module.params["path"])
    if plan.withdraws and not module.params["force"]:
        ask_vsphere(module, server)
    if plan.is_needed and not module.check_mode:
        server.carry_out(plan)
    for warning in plan.warnings:
        module.warn(warning)
    return {
        "changed": plan.is_needed,
        "share": plan.share.as_dict() if plan.share else None,
        "dataset": plan.dataset,
        "file": str(plan.file),
        "diff": diff(plan),
    }


def diff(plan: Plan) -> dict[str, str]:
    """Return the diff of the file. If only the active exports change, return a text that says so."""
    if plan.before == plan.after and plan.is_needed:
        return {"prepared": f"{plan.file} does not change. The NFS server's active exports are updated to match.\n"}
    heads = {"before_header": str(plan.file), "after_header": str(plan.file)}
    return {"before": plan.before, "after": plan.after, **heads}


def ask_vsphere(module: Any, server: NfsServer) -> None:
    """Refuse to withdraw or restrict a share with registered VMs. Checks the servers of all stored credentials."""
    path = module.params["path"]
    with Credentials.open(Paths.from_environment(), read_only=True) as credentials:
        stored = credentials.list_all()
        if stored:
            _ansible.require_libraries(["pyVmomi", "cryptography"])
            share = served.Served(path, server.dataset_of(path), server.exported(), module.params["aliases"])
            served.refuse_in_use(
                server.host,
                share,
                stored,
                lambda one: _ansible.conceal(module, credentials.password(one)),
                Connector(connect),
            )


def main() -> None:
    _ansible.run_module(SPEC, run, libraries=())


if __name__ == "__main__":
    main()
