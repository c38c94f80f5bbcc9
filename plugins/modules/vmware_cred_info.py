#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_cred_info
short_description: List the credentials of vCenters and ESXi hosts
version_added: 1.0.0
description:
  - Lists the credentials that are stored on the storage host. Passwords are never returned.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.attributes.info
  - quiesce.vmware_zfs.connection.state
author:
  - The quiesce.vmware_zfs authors (@quiesce)
options:
  id:
    description: List only the credential with this ID.
    type: int
  hostname:
    description: List only the credentials of this vCenter or ESXi host.
    type: str
  filesystem:
    description: List only the credentials of this dataset.
    type: str
  purpose:
    description: List only the credentials with this purpose.
    type: str
    choices: [snapshot, restore]
    version_added: 1.1.0
seealso:
  - module: quiesce.vmware_zfs.vmware_cred
"""

EXAMPLES = r"""
- name: List all credentials
  quiesce.vmware_zfs.vmware_cred_info:
  register: stored

- name: List the credentials of a dataset
  quiesce.vmware_zfs.vmware_cred_info:
    filesystem: tank/vmware
"""

RETURN = r"""
credentials:
  description: The credentials that match the options, oldest first. Empty if there are none.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The ID of the credential.
      type: int
      sample: 1
    hostname:
      description: The host name (in lower case) or IP address of the server.
      type: str
      sample: vcenter.example.com
    port:
      description: The TCP port of the server's API.
      type: int
      sample: 443
    username:
      description: The user to log in as.
      type: str
      sample: administrator@vsphere.local
    filesystem:
      description: The name of the dataset.
      type: str
      sample: tank/vmware
    purpose:
      description: V(snapshot) if runs use the credential, V(restore) if restores use it.
      type: str
      sample: snapshot
    datastores:
      description: The names of the datastores, sorted. Empty if each run discovers them.
      type: list
      elements: str
      sample: []
    validate_certs:
      description: Whether the server's certificate is verified.
      type: bool
      sample: true
    ca_path:
      description: The path of the trusted certificate authorities. V(null) for those of the storage host.
      type: str
      sample: null
    thumbprint:
      description: The SHA-256 thumbprint of the pinned certificate. V(null) if no certificate is pinned.
      type: str
      sample: null
    created:
      description: The creation time, in UTC.
      type: str
      sample: "2026-01-31T08:15:00Z"
    updated:
      description: The time of the last change, in UTC.
      type: str
      sample: "2026-01-31T08:15:00Z"
"""

from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import ArgumentSpec, run_module
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credentials
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.host_names import canonical_host

SPEC = ArgumentSpec(
    {
        "id": {"type": "int"},
        "hostname": {"type": "str"},
        "filesystem": {"type": "str"},
        "purpose": {"type": "str", "choices": ["snapshot", "restore"]},
    }
)


def run(module: Any) -> dict[str, Any]:
    asked = {name: value for name, value in module.params.items() if value is not None}
    if "hostname" in asked:
        asked["hostname"] = canonical_host(asked["hostname"])
    with Credentials.open(Paths.from_environment(), read_only=True) as credentials:
        listed = credentials.list_all()
    return {
        "changed": False,
        "credentials": [
            one.as_dict() for one in listed if all(getattr(one, name) == value for name, value in asked.items())
        ],
    }


def main() -> None:
    run_module(SPEC, run, libraries=[])


if __name__ == "__main__":
    main()
