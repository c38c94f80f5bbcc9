#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_nfs_datastore
short_description: Mount an NFS export as a datastore on ESXi hosts and detect drift
version_added: 1.0.0
description:
  - Mounts an NFS export as a datastore on all ESXi hosts of a cluster, a datacenter or a list, or unmounts it.
  - Compares the servers, the path, the NFS version, the access mode and the name on every host. Differences are
    reported as drift for each host. O(on_drift) controls what the module does about them.
  - A datastore with registered VMs or templates is never unmounted, even if the VMs are on another host.
  - A datastore of the same name in another datacenter is a different datastore and is ignored.
  - The comparison of servers and paths ignores the case of host names, the notation of IPv6 addresses, repeated slashes
    and trailing slashes. If other hosts already mount the export, the module uses their notation, because vCenter
    treats an NFS 3 export in another notation as a different datastore.
  - Before the first change, the module checks for conflicts that vSphere would refuse. The conflicts are an export that
    the host or its datacenter already mounts under another name, a name that another datastore of the datacenter uses,
    and an export that other hosts of the datacenter mount with the other NFS version.
  - A host that is not connected to vCenter is skipped with a warning. The module fails if no connected host remains. It
    also fails if O(state=absent) and a disconnected host is known to mount the datastore, because VMs on that host may
    still use it. Hosts in maintenance mode are included.
  - If a host fails, the module continues with the other hosts. It then fails at the end, names the failed hosts, and
    returns in RV(ignore:hosts) what was done on each host.
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
    details: In check mode, drift that would make the module fail is a warning, so that all drift is reported.
  diff_mode:
    support: full
  idempotent:
    support: full
author:
  - The quiesce.vmware_zfs authors (@quiesce)
options:
  state:
    description:
      - V(present) mounts the datastore on every selected host. V(absent) unmounts it from every selected host.
      - V(purged) unmounts every NFS datastore of this storage host, except those in O(keep). A datastore belongs to
        this storage host if each of its servers is a name or address of this storage host, or is in O(aliases). A
        datastore with registered VMs is not unmounted, and the module warns about it. Datastores of restores are left
        alone.
    type: str
    choices: [present, absent, purged]
    default: present
  name:
    description: The name of the datastore. Required unless O(state=purged).
    type: str
  servers:
    description:
      - The host names or IP addresses that the ESXi hosts use to reach the storage host. More than one is allowed only
        with O(version=4.1).
      - Required with O(state=present). With O(state=absent), set O(servers) and O(path) to unmount the datastore only
        if it is this export.
    type: list
    elements: str
  path:
    description: The absolute path of the exported directory.
    type: str
  version:
    description: The NFS version. V(4.1) uses AUTH_SYS for authentication.
    type: str
    choices: ["3", "4.1"]
    default: "3"
  access_mode:
    description: The vSphere access mode, which controls whether the hosts can write to the datastore.
    type: str
    choices: [readWrite, readOnly]
    default: readWrite
  cluster:
    description: The name of a cluster. Selects all hosts of the cluster.
    type: str
  hosts:
    description: The names of the hosts to select, as shown in vCenter. All of them must be in one datacenter.
    type: list
    elements: str
  datacenter:
    description:
      - The name of a datacenter. Selects all hosts of the datacenter.
      - With O(cluster) or O(hosts), this option restricts the selection to the datacenter. Use it if the same name
        exists in several datacenters.
      - A connection to a single ESXi host does not need O(cluster), O(hosts) or O(datacenter).
    type: str
  on_drift:
    description:
      - What to do with hosts whose mount differs from the requested one.
      - V(fail) fails before the first change on any host.
      - V(report) warns about these hosts, does not change them, and continues with the other hosts.
      - V(remount) unmounts the datastore and mounts it again. vSphere has no other way to change a server, a path, a
        version or an access mode. The module fails before the first change if a datastore to unmount has registered
        VMs. With O(state=absent), V(remount) is the same as V(fail).
    type: str
    choices: [fail, report, remount]
    default: fail
  keep:
    description:
      - The names of the datastores that O(state=purged) does not unmount. Required with O(state=purged). The list can
        be empty.
    type: list
    elements: str
  aliases:
    description:
      - Additional host names and IP addresses that ESXi hosts use to reach this storage host. Use this for addresses
        that are not configured on this storage host, such as NAT addresses or a virtual address that is currently on
        another cluster node. Used by O(state=purged).
    type: list
    elements: str
    default: []
notes:
  - The account needs the privilege Host > Configuration > Storage partition configuration (C(Host.Config.Storage)) on
    the hosts, and read access to their datacenter and to its VMs.
  - Do not reduce O(call_timeout). If an NFS server does not respond, an ESXi host waits for 30 seconds or more before
    it reports the failure.
seealso:
  - module: quiesce.vmware_zfs.vmware_datastore_match
  - module: quiesce.vmware_zfs.vmware_cred
"""

EXAMPLES = r"""
- name: Mount a datastore on every host of a cluster
  quiesce.vmware_zfs.vmware_nfs_datastore:
    hostname: vcenter.example.com
    username: storage@vsphere.local
    password: "{{ vcenter_password }}"
    cluster: production
    name: vmware
    servers: [nfs.example.com]
    path: /tank/vmware

- name: Mount a datastore with NFS 4.1 over two networks on two hosts, with a stored credential
  quiesce.vmware_zfs.vmware_nfs_datastore:
    id: 1
    hosts: [esx1.example.com, esx2.example.com]
    name: vmware
    servers: [192.0.2.10, 198.51.100.10]
    path: /tank/vmware
    version: "4.1"

- name: Check all hosts of a datacenter for drift without a change
  quiesce.vmware_zfs.vmware_nfs_datastore:
    id: 1
    datacenter: DC0
    name: images
    servers: [nfs.example.com]
    path: /tank/images
    access_mode: readOnly
  check_mode: true
  register: images

- name: Unmount a datastore from a single ESXi host if it is this export
  quiesce.vmware_zfs.vmware_nfs_datastore:
    hostname: esx1.example.com
    username: root
    password: "{{ esxi_password }}"
    name: images
    servers: [nfs.example.com]
    path: /tank/images
    state: absent

- name: Unmount all datastores of this storage host from a cluster, except one
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
    - The datastore as reported by vSphere after the change.
    - V(null) if it does not exist, and with O(state=purged).
  returned: success, and when a host failed
  type: dict
  contains:
    moid:
      description: The managed object ID of the datastore.
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
    servers:
      description: The NFS servers. With NFS 4.1, vSphere adds further addresses that the server reports.
      type: list
      elements: str
      sample: [nfs.example.com]
    path:
      description: The mounted path of the exported directory.
      type: str
      sample: /tank/vmware
    accessible:
      description: Whether vSphere can currently access the datastore.
      type: bool
      sample: true
hosts:
  description:
    - What was done on each selected host, or would be done in check mode, sorted by name.
    - With O(state=purged), there is one entry for each datastore on each host.
  returned: success, when a host failed, and when drift made the module fail
  type: list
  elements: dict
  contains:
    name:
      description: The name of the host.
      type: str
      sample: esx1.example.com
    moid:
      description: The managed object ID of the host.
      type: str
      sample: host-21
    datastore:
      description: The name of the datastore.
      type: str
      sample: vmware
    action:
      description:
        - What was done, one of V(mount), V(unmount), V(remount) and V(nothing).
        - V(drift) is a host whose mount differs and was not changed. V(skipped) is a host that is not connected.
          V(in_use) is a datastore that was not unmounted because it has VMs. V(failed) is a host that failed.
      type: str
      sample: mount
    mounted:
      description: Whether the host mounts a datastore of this name after the change, or currently in check mode.
      type: bool
      sample: true
    drift:
      description: The differences on the host before the change.
      type: list
      elements: dict
      contains:
        property:
          description: One of V(name), V(servers), V(path), V(version), V(access_mode) and V(type).
          type: str
          sample: access_mode
        wanted:
          description: The requested value.
          type: str
          sample: readWrite
        found:
          description: The value on the host.
          type: str
          sample: readOnly
        message:
          description: The difference as text that follows the name of the host.
          type: str
          sample: mounts 'vmware' readOnly, not readWrite
    reason:
      description: The reason why the host was skipped, kept or failed, or other information. Often empty.
      type: str
      sample: ""
"""

from typing import Any, Iterable

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils import _ansible
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.nfs_datastore.outcome import Outcome
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.nfs_datastore.request import wanted
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.nfs_datastore.run import absent, present, purge
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.hosts import Scope
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect

SPEC = _ansible.LOGIN + _ansible.ArgumentSpec(
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


def run(module: Any) -> dict[str, Any]:
    options = module.params
    hosts = options["hosts"]
    scope = Scope(options["cluster"], options["datacenter"], None if hosts is None else tuple(hosts))
    datastore = None
    if options["state"] != "purged":
        datastore = wanted(
            options["name"], options["servers"] or (), options["path"] or "", options["version"], options["access_mode"]
        )
    server, username, password = _ansible.login(module)
    with connect(server, username, password, _ansible.timeouts(options)) as session:
        if datastore is None:
            outcome = purge(session, LocalHost(), options["keep"], options["aliases"], scope, module.check_mode)
        else:
            reach = present if options["state"] == "present" else absent
            outcome = reach(session, datastore, scope, options["on_drift"], module.check_mode)
    result = as_result(outcome)
    if outcome.failure is not None:
        outcome.failure.details.update(result)
        raise outcome.failure
    for note in outcome.notes:
        module.warn(note)
    if outcome.refusal is not None:
        module.warn(f"Outside check mode, this fails: {outcome.refusal}")
    return result


def as_result(outcome: Outcome) -> dict[str, Any]:
    """Return the result of the module. A change that is refused outside check mode changes nothing."""
    before = mounts((host.step.host.name, host.before) for host in outcome.hosts)
    after = mounts((host.step.host.name, host.after) for host in outcome.hosts)
    refused = outcome.refusal is not None
    return {
        "changed": any(host.changed for host in outcome.hosts) and not refused,
        "datastore": outcome.datastore.as_dict() if outcome.datastore else None,
        "hosts": [host.as_dict() for host in outcome.hosts],
        "diff": {"before": before, "after": before if refused else after},
    }


def mounts(hosts: Iterable[tuple[str, tuple[str, ...]]]) -> dict[str, list[str]]:
    """Return the mounts as text by host. If the state is purged, a host can have several entries."""
    found: dict[str, list[str]] = {}
    for name, words in hosts:
        found.setdefault(name, []).extend(words)
    return found


def main() -> None:
    _ansible.run_module(SPEC, run, libraries=["pyVmomi"])


if __name__ == "__main__":
    main()
