#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_nfs_datastore
short_description: Mount an NFS export as a datastore on ESXi hosts, and detect drift
version_added: 1.0.0
description:
  - Has every ESXi host of a cluster, of a datacenter or of a list mount an NFS export as a datastore, or none of them.
  - Compares the servers, the path, the NFS version, the access mode and the name on every host. What differs is told
    host by host as drift, and never mended in silence, see O(on_drift).
  - A datastore with registered VMs, templates included, is never unmounted, on whichever host the VMs are.
  - The same name in another datacenter is another datastore, which is not looked at.
  - Servers and paths are compared by what they mean. The case of a host name, the spelling of an IPv6 address, doubled
    and trailing slashes make no difference. A host that joins others is given their spelling, because vCenter takes an
    NFS 3 export with another spelling for another datastore.
  - What vSphere would refuse halfway is seen before the first change. That is an export that a host, or its
    datacenter, mounts under another name already, a name that stands for another datastore of the datacenter, and an
    export that other hosts of the datacenter mount with the other NFS version.
  - A host that is not connected to vCenter is skipped with a warning, and the others are done. It is an error when none
    is left, and when O(state=absent) and the host is known to mount the datastore, because then something may still use
    what is about to be destroyed. Maintenance mode is no obstacle, for datastores are mounted before a host is used.
  - A host that fails does not keep the others from being done. The module then fails in the end, names the hosts, and
    tells in RV(ignore:hosts) what was done on each.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.attributes.action_group
  - quiesce.vmware_zfs.connection
  - quiesce.vmware_zfs.connection.login
  - quiesce.vmware_zfs.connection.runtime
  - quiesce.vmware_zfs.connection.timeouts
attributes:
  check_mode:
    support: full
    details: Drift that would make the module fail is a warning in check mode, so that all of it is seen.
  diff_mode:
    support: full
  idempotent:
    support: full
author:
  - The quiesce.vmware_zfs authors (@quiesce)
options:
  state:
    description:
      - V(present) has the datastore mounted on every host in scope, V(absent) on none.
      - V(purged) unmounts every NFS datastore that lies on this storage host, except those in O(keep). A datastore lies
        on this storage host when every one of its servers is a name or an address of it, or one of O(aliases). Those
        with registered VMs stay, with a warning.
    type: str
    choices: [present, absent, purged]
    default: present
  name:
    description: Name of the datastore. Required unless O(state=purged).
    type: str
  servers:
    description:
      - Names or addresses by which the ESXi hosts reach the storage host. Several of them only with O(version=4.1).
      - Required with O(state=present). With O(state=absent), O(servers) and O(path) make sure that the datastore of
        that name is the one that is meant.
    type: list
    elements: str
  path:
    description: The exported directory, as an absolute path.
    type: str
  version:
    description: The NFS version to mount with. V(4.1) logs in with AUTH_SYS.
    type: str
    choices: ["3", "4.1"]
    default: "3"
  access_mode:
    description: Whether the hosts may write, as vSphere calls it.
    type: str
    choices: [readWrite, readOnly]
    default: readWrite
  cluster:
    description: Name of the cluster whose hosts are meant.
    type: str
  hosts:
    description: Names of the hosts that are meant, as vCenter lists them. They must be in one datacenter.
    type: list
    elements: str
  datacenter:
    description:
      - Name of the datacenter. Alone it means all of its hosts, with O(cluster) or O(hosts) it tells equal names apart.
      - With a single ESXi host O(cluster), O(hosts) and O(datacenter) are not needed.
    type: str
  on_drift:
    description:
      - What becomes of hosts that mount the datastore otherwise than it is asked for.
      - V(fail) fails before anything is changed on any host.
      - V(report) leaves them as they are, with a warning, and does the others.
      - V(remount) unmounts on them and mounts again, which is how vSphere can change a server, a path, a version or an
        access mode. It fails before anything is changed when a datastore to unmount carries registered VMs.
        With O(state=absent) it is the same as V(fail).
    type: str
    choices: [fail, report, remount]
    default: fail
  keep:
    description: Names of the datastores that O(state=purged) leaves alone. Required with it; may be empty.
    type: list
    elements: str
  aliases:
    description:
      - Names and addresses under which ESXi hosts reach this storage host although it does not know them itself, for
        example behind NAT, or a virtual address that another node holds at the moment. Used by O(state=purged).
    type: list
    elements: str
    default: []
notes:
  - The account needs the privilege Host > Configuration > Storage partition configuration (C(Host.Config.Storage)) on
    the hosts, and read access to their datacenter and to the VMs on it.
  - A host gives up on a server that does not answer only after half a minute or more, so O(call_timeout) should not be
    lowered.
seealso:
  - module: quiesce.vmware_zfs.vmware_datastore_match
  - module: quiesce.vmware_zfs.vmware_cred
"""

EXAMPLES = r"""
- name: Mount the share on every host of a cluster
  quiesce.vmware_zfs.vmware_nfs_datastore:
    hostname: vcenter.example.com
    username: storage@vsphere.local
    password: "{{ vcenter_password }}"
    cluster: production
    name: vmware
    servers: [nfs.example.com]
    path: /tank/vmware

- name: Mount with NFS 4.1 over two networks on two hosts, logging in with a stored credential
  quiesce.vmware_zfs.vmware_nfs_datastore:
    id: 1
    hosts: [esx1.example.com, esx2.example.com]
    name: vmware
    servers: [192.0.2.10, 198.51.100.10]
    path: /tank/vmware
    version: "4.1"

- name: Look for drift on all hosts of a datacenter, changing nothing
  quiesce.vmware_zfs.vmware_nfs_datastore:
    id: 1
    datacenter: DC0
    name: images
    servers: [nfs.example.com]
    path: /tank/images
    access_mode: readOnly
  check_mode: true
  register: images

- name: Unmount it, if it still is that export, from a single ESXi host
  quiesce.vmware_zfs.vmware_nfs_datastore:
    hostname: esx1.example.com
    username: root
    password: "{{ esxi_password }}"
    name: images
    servers: [nfs.example.com]
    path: /tank/images
    state: absent

- name: Have the cluster mount nothing from this storage host but one datastore
  quiesce.vmware_zfs.vmware_nfs_datastore:
    id: 1
    cluster: production
    state: purged
    keep: [vmware]
    aliases: [nfs.example.com]
"""

RETURN = r"""
datastore:
  description:
    - The datastore as vSphere knows it in the end; V(null) when there is none (yet), and with O(state=purged).
  returned: success, and when a host failed
  type: dict
  contains:
    moid:
      description: Managed object ID.
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
    servers:
      description: The NFS servers. With NFS 4.1 vSphere adds further addresses that the server told it of.
      type: list
      elements: str
      sample: [nfs.example.com]
    path:
      description: The exported directory as it is mounted.
      type: str
      sample: /tank/vmware
    accessible:
      description: Whether vSphere can reach it at the moment.
      type: bool
      sample: true
hosts:
  description:
    - What was done on each host in scope, or in check mode would be, sorted by name. With O(state=purged) there is one
      entry for each datastore and host that it is about.
  returned: success, when a host failed, and when drift made the module fail
  type: list
  elements: dict
  contains:
    name:
      description: Name of the host.
      type: str
      sample: esx1.example.com
    moid:
      description: Managed object ID of the host.
      type: str
      sample: host-21
    datastore:
      description: Name of the datastore.
      type: str
      sample: vmware
    action:
      description:
        - What was done, one of V(mount), V(unmount), V(remount) and V(nothing).
        - V(drift) stands for a host that mounts it otherwise and was left as it is, V(skipped) for one that is not
          connected, V(in_use) for a datastore that stays because of its VMs, V(failed) for a host that failed.
      type: str
      sample: mount
    mounted:
      description: Whether the host mounts a datastore of this name in the end; in check mode, whether it does now.
      type: bool
      sample: true
    drift:
      description: What differed on the host before anything was done.
      type: list
      elements: dict
      contains:
        property:
          description: One of V(name), V(servers), V(path), V(version), V(access_mode) and V(type).
          type: str
          sample: access_mode
        wanted:
          description: What is asked for.
          type: str
          sample: readWrite
        found:
          description: What is there.
          type: str
          sample: readOnly
        message:
          description: The same in words, to go on after the host's name.
          type: str
          sample: mounts 'vmware' readOnly, not readWrite
    reason:
      description: Why it was skipped, kept or failed, or what else is worth knowing; often empty.
      type: str
      sample: ""
"""

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import (
    LOGIN,
    ArgumentSpec,
    login,
    run_module,
    timeouts,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.nfs_datastore.request import wanted
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.nfs_datastore.run import absent, present, purge
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.hosts import Scope
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect

SPEC = LOGIN + ArgumentSpec(
    {
        "state": {"type": "str", "choices": ["present", "absent", "purged"], "default": "present"},
        "name": {"type": "str"},
        "servers": {"type": "list", "elements": "str"},
        "path": {"type": "str"},
        "version": {"type": "str", "choices": ["3", "4.1"], "default": "3"},
        "access_mode": {"type": "str", "choices": ["readWrite", "readOnly"], "default": "readWrite"},
        "cluster": {"type": "str"},
        "hosts": {"type": "list", "elements": "str"},
        "datacenter": {"type": "str"},
        "on_drift": {"type": "str", "choices": ["fail", "report", "remount"], "default": "fail"},
        "keep": {"type": "list", "elements": "str"},
        "aliases": {"type": "list", "elements": "str", "default": []},
    },
    mutually_exclusive=[["cluster", "hosts"], ["name", "keep"]],
    required_if=[
        ["state", "present", ["name", "servers", "path"]],
        ["state", "absent", ["name"]],
        ["state", "purged", ["keep"]],
    ],
)


def run(module):
    options = module.params
    hosts = options["hosts"]
    scope = Scope(options["cluster"], options["datacenter"], None if hosts is None else tuple(hosts))
    datastore = None
    if options["state"] != "purged":
        datastore = wanted(
            options["name"],
            options["servers"] or (),
            options["path"] or "",
            options["version"],
            options["access_mode"],
        )
    server, username, password = login(module)
    with connect(server, username, password, timeouts(options)) as session:
        if datastore is None:
            result = purge(session, options["keep"], options["aliases"], scope, module.check_mode)
        else:
            reach = present if options["state"] == "present" else absent
            result = reach(session, datastore, scope, options["on_drift"], module.check_mode)
    for warning in result.pop("warnings"):
        module.warn(warning)
    return result


def main():
    run_module(SPEC, run, libraries=["pyVmomi"])


if __name__ == "__main__":
    main()
