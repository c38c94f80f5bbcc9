#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_vsphere_role
short_description: Have a vSphere role with the few privileges that coordinated snapshots need
version_added: 1.0.0
description:
  - Has a role in vCenter or on an ESXi host with exactly these privileges, and gives it to a user or group on an object
    of the inventory.
  - By default the role is what coordinated snapshots need and no more, C(VirtualMachine.State.CreateSnapshot) and
    C(VirtualMachine.State.RemoveSnapshot). To mount datastores the account needs C(Host.Config.Storage) on the hosts as
    well, which covers all of their storage; take it away again when they are mounted.
  - Reading (C(System.Anonymous), C(System.View), C(System.Read)) is in every role.
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
  - The module runs wherever there is pyVmomi and the server can be reached; the controller will do. The storage host
    need not learn the administrator's password.
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
      - V(present) has the role, and gives it to O(principal).
      - V(absent) takes it from O(principal) and removes it. It refuses while others have it.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: Name of the role. A role of this name that is there already gets exactly O(privileges).
    type: str
    default: vmware-zfs
  privileges:
    description: Identifiers of the privileges, beside those for reading.
    type: list
    elements: str
    default: [VirtualMachine.State.CreateSnapshot, VirtualMachine.State.RemoveSnapshot]
  principal:
    description:
      - The user or group who gets the role, for example V(snapshots@vsphere.local). The account must be there already.
      - A user or group has one role on an object; another one that it has there is replaced.
      - When left out nobody gets it.
    type: str
  group:
    description: Whether O(principal) is a group.
    type: bool
    default: false
  path:
    description:
      - Where O(principal) gets the role, as a path in the inventory, V(DC0/vm/production) say, with V(/) for all of it.
      - The account has to see the VMs, their datastores and their datacenter. A role that is given on a folder of VMs
        alone needs one for reading on the datastores beside it.
    type: str
    default: /
  propagate:
    description: Whether the role is given on everything below O(path) too.
    type: bool
    default: true
seealso:
  - module: quiesce.vmware_zfs.vmware_cred
"""

EXAMPLES = r"""
- name: Let an account of its own take the snapshots of all VMs
  quiesce.vmware_zfs.vmware_vsphere_role:
    hostname: vcenter.example.com
    username: administrator@vsphere.local
    password: "{{ administrator_password }}"
    principal: snapshots@vsphere.local
  delegate_to: localhost

- name: Another one that also mounts datastores, in one datacenter
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
"""

RETURN = r"""
role:
  description: The role as it is now, or as it would be in check mode.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: vmware-zfs
    privileges:
      description: Its privileges, those for reading too; V(null) when there is no such role.
      type: list
      elements: str
      sample:
        - System.Anonymous
        - System.Read
        - System.View
        - VirtualMachine.State.CreateSnapshot
        - VirtualMachine.State.RemoveSnapshot
    permission:
      description: What O(principal) has on the object at O(path); V(null) when nothing.
      type: dict
      contains:
        role:
          description: Name of the role that it has there.
          type: str
          sample: vmware-zfs
        propagate:
          description: Whether it has that on everything below too.
          type: bool
          sample: true
"""

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import (
    CONNECTION,
    ENVIRONMENT,
    ArgumentSpec,
    endpoint,
    run_module,
    timeouts,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.privileges import COORDINATE
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.roles import Grant, Roles
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect

SPEC = CONNECTION + ArgumentSpec(
    {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str", "default": "vmware-zfs"},
        "privileges": {"type": "list", "elements": "str", "default": list(COORDINATE)},
        "principal": {"type": "str"},
        "group": {"type": "bool", "default": False},
        "path": {"type": "str", "default": "/"},
        "propagate": {"type": "bool", "default": True},
    }
)


def run(module):
    parameters = module.params
    missing = [name for name in ("hostname", "username", "password") if not parameters[name]]
    if missing:
        variables = " and ".join(ENVIRONMENT[name] for name in missing)
        raise InputError(
            f"Where to log in is not clear without {' and '.join(missing)}",
            f"Give {'it' if len(missing) == 1 else 'them'}, or set {variables} in the module's environment",
        )
    grant = None
    if parameters["principal"]:
        grant = Grant(parameters["principal"], parameters["group"], parameters["path"], parameters["propagate"])
    password = Secret(parameters["password"])
    with connect(endpoint(parameters), parameters["username"], password, timeouts(parameters)) as session:
        roles = Roles(session, parameters["name"], grant)
        before = roles.state()
        after = roles.wanted(parameters["privileges"]) if parameters["state"] == "present" else roles.unwanted()
        if before != after and not module.check_mode:
            roles.change(before, after)
    return {
        "changed": before != after,
        "role": {"name": parameters["name"], **after.as_dict()},
        "diff": {"before": before.as_dict(), "after": after.as_dict()},
    }


def main():
    run_module(SPEC, run, libraries=["pyVmomi"])


if __name__ == "__main__":
    main()
