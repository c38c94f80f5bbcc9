#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_vsphere_role
short_description: Create or remove a vSphere role with the privileges for coordinated snapshots or restores
version_added: 1.0.0
description:
  - Creates a role with exactly the specified privileges in vCenter or on an ESXi host, and assigns it to a user or
    group on an inventory object.
  - By default, the role has only the privileges that coordinated snapshots need, which are
    C(VirtualMachine.State.CreateSnapshot) and C(VirtualMachine.State.RemoveSnapshot).
  - For an account that restores VMs, O(restore) gives the role the exact privileges of each way to restore.
  - To mount datastores, the account also needs C(Host.Config.Storage) on the hosts. This privilege covers all storage
    of the hosts. Remove it after the datastores are mounted.
  - Every role includes the privileges to read (C(System.Anonymous), C(System.View), C(System.Read)).
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.attributes.action_group
  - quiesce.vmware_zfs.connection
  - quiesce.vmware_zfs.connection.timeouts
author:
  - The quiesce.vmware_zfs authors (@quiesce)
requirements:
  - pyVmomi 8.0.3 or later
notes:
  - The module can run on any host that has pyVmomi and can reach the server, for example the controller. The password
    of the administrator is then not sent to the storage host.
  - The account that logs in needs C(Authorization.ModifyRoles), and C(Authorization.ModifyPermissions) on the object.
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
      - V(present) creates or changes the role and assigns it to O(principal).
      - V(absent) removes the role from O(principal) and deletes the role. The module fails while the role is assigned
        to other users or groups.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: The name of the role. If the role exists, its privileges are replaced with O(privileges).
    type: str
    default: vmware-zfs
  privileges:
    description:
      - The IDs of the privileges, in addition to the privileges to read and to those of O(restore).
      - If neither O(privileges) nor O(restore) is set, they are C(VirtualMachine.State.CreateSnapshot) and
        C(VirtualMachine.State.RemoveSnapshot).
    type: list
    elements: str
  restore:
    description:
      - What an account with the role can do to restore VMs. The role gets the privileges for each entry.
      - V(folder) restores a VM into the datastore of the original. V(clone) restores it from a ZFS clone, which is
        mounted on an ESXi host. V(mount) mounts a ZFS snapshot as a datastore. V(disk) attaches one disk to another VM.
      - V(network), V(power_on) and V(replace) are needed in addition to connect the restored VM to a port group, to
        power it on, and to shut down and rename the VM that it replaces.
      - Use a role and an account of their own for restores, because runs need none of these privileges except
        C(VirtualMachine.State.RemoveSnapshot).
    type: list
    elements: str
    choices: [folder, clone, drill, mount, disk, network, power_on, replace]
    version_added: 1.1.0
  principal:
    description:
      - The user or group to assign the role to, for example V(snapshots@vsphere.local). The account must exist.
      - A user or group can have only one role on an object. The module replaces a different role.
      - If not set, the role is not assigned.
    type: str
  group:
    description: Whether O(principal) is a group.
    type: bool
    default: false
  path:
    description:
      - The inventory path of the object on which the role is assigned, for example V(DC0/vm/production). V(/) is the
        root of the inventory.
      - The account must be able to see the VMs, their datastores and their datacenter. If the role is assigned only on
        a VM folder, also assign a role with read access on the datastores.
      - The privileges of O(restore) are needed on folders, resource pools, ESXi hosts and networks. Assign the role on
        the datacenter.
    type: str
    default: /
  propagate:
    description: Whether the assignment also applies to all objects below O(path).
    type: bool
    default: true
seealso:
  - module: quiesce.vmware_zfs.vmware_cred
"""

EXAMPLES = r"""
- name: Create a role for snapshots of all VMs and assign it to a dedicated account
  quiesce.vmware_zfs.vmware_vsphere_role:
    hostname: vcenter.example.com
    username: administrator@vsphere.local
    password: "{{ administrator_password }}"
    principal: snapshots@vsphere.local
  delegate_to: localhost

- name: Create a role for snapshots and datastores in one datacenter
  quiesce.vmware_zfs.vmware_vsphere_role:
    hostname: vcenter.example.com
    username: administrator@vsphere.local
    password: "{{ administrator_password }}"
    name: vmware-zfs with datastores
    privileges:
      - VirtualMachine.State.CreateSnapshot
      - VirtualMachine.State.RemoveSnapshot
      - Host.Config.Storage
    principal: storage@vsphere.local
    path: DC0
  delegate_to: localhost

- name: Create a role for restores into the datastore, with power-on
  quiesce.vmware_zfs.vmware_vsphere_role:
    hostname: vcenter.example.com
    username: administrator@vsphere.local
    password: "{{ administrator_password }}"
    name: vmware-zfs restore
    restore: [folder, power_on]
    principal: restore@vsphere.local
    path: DC0
  delegate_to: localhost
"""

RETURN = r"""
role:
  description: The role after the change, or as it would be in check mode.
  returned: success
  type: dict
  contains:
    name:
      description: The name of the role.
      type: str
      sample: vmware-zfs
    privileges:
      description: The privileges of the role, including the privileges to read. V(null) if the role does not exist.
      type: list
      elements: str
      sample:
        - System.Anonymous
        - System.Read
        - System.View
        - VirtualMachine.State.CreateSnapshot
        - VirtualMachine.State.RemoveSnapshot
    permission:
      description: The permission of O(principal) on the object at O(path). V(null) if there is none.
      type: dict
      contains:
        role:
          description: The name of the assigned role.
          type: str
          sample: vmware-zfs
        propagate:
          description: Whether the permission also applies to all objects below.
          type: bool
          sample: true
"""

from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils import _ansible
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.privileges import WAYS, of_ways
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.privileges import COORDINATE
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.roles import Grant, Roles
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect

SPEC = _ansible.CONNECTION + _ansible.ArgumentSpec(
    {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str", "default": "vmware-zfs"},
        "privileges": {"type": "list", "elements": "str"},
        "restore": {"type": "list", "elements": "str", "choices": list(WAYS)},
        "principal": {"type": "str"},
        "group": {"type": "bool", "default": False},
        "path": {"type": "str", "default": "/"},
        "propagate": {"type": "bool", "default": True},
    }
)


def wanted_privileges(privileges: list[str] | None, restore: list[str] | None) -> list[str]:
    """Return the privileges of the role, without those to read."""
    if privileges is None and restore is None:
        return list(COORDINATE)
    return [*(privileges or ()), *of_ways(restore or ())]


def run(module: Any) -> dict[str, Any]:
    parameters = module.params
    missing = [name for name in ("hostname", "username", "password") if not parameters[name]]
    if missing:
        variables = " and ".join(_ansible.ENVIRONMENT[name] for name in missing)
        raise InputError(
            f"The login data is incomplete: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            f"Set {'it' if len(missing) == 1 else 'them'}, or set {variables} in the environment of the task",
        )
    grant = None
    if parameters["principal"]:
        grant = Grant(parameters["principal"], parameters["group"], parameters["path"], parameters["propagate"])
    password = Secret(parameters["password"])
    with connect(
        _ansible.endpoint(parameters), parameters["username"], password, _ansible.timeouts(parameters)
    ) as session:
        roles = Roles(session, parameters["name"], grant)
        before = roles.state()
        wanted = wanted_privileges(parameters["privileges"], parameters["restore"])
        after = roles.wanted(wanted) if parameters["state"] == "present" else roles.unwanted()
        if before != after and not module.check_mode:
            roles.change(before, after)
    return {
        "changed": before != after,
        "role": {"name": parameters["name"], **after.as_dict()},
        "diff": {"before": before.as_dict(), "after": after.as_dict()},
    }


def main() -> None:
    _ansible.run_module(SPEC, run, libraries=["pyVmomi"])


if __name__ == "__main__":
    main()
