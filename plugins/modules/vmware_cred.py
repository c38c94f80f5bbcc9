#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_cred
short_description: Create, change or remove the credential of a vCenter or ESXi host
version_added: 1.0.0
description:
  - A credential says which vCenter or ESXi host runs the VMs whose disks lie on a dataset, and how to log in there.
    Coordinated snapshots of the dataset use it.
  - It is stored on the storage host, the password encrypted with a key that only root can read.
  - The options are the whole credential. One that is left out takes its default, also when another value is stored;
    only the password stays. Only with O(id) every option that is left out stays as it is.
  - Nothing is stored before a login with it succeeded and showed that the account may do what is needed, unless
    O(verify_login=false).
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.attributes.action_group
  - quiesce.vmware_zfs.connection.runtime
  - quiesce.vmware_zfs.connection.timeouts
author:
  - The quiesce.vmware_zfs authors (@quiesce)
attributes:
  check_mode:
    support: full
    details: The login is tried in check mode too.
  diff_mode:
    support: full
    details: A password is never shown, only that it changes.
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) creates the credential, or changes it where it differs from the options.
      - V(absent) removes it. The last credential of a server is kept while VMware snapshots may be left there, because
        only with it can they be removed, see O(force).
    type: str
    choices: [present, absent]
    default: present
  force:
    description: Whether to remove it also while VMware snapshots may be left, for a server that is gone for good.
    type: bool
    default: false
    version_added: 1.1.0
  also_removed:
    description:
      - With O(state=absent), other credentials that are to be removed as well, by tasks of their own. As they go too,
        none of them counts as one that could still remove the VMware snapshots of a server.
      - This one may be among them, and one that is not stored does not matter.
    type: list
    elements: dict
    default: []
    version_added: 1.1.0
    suboptions:
      id:
        description: Its id; or its other four values.
        type: int
      hostname:
        description: Name or address of its server.
        type: str
      port:
        description: TCP port of the server's API. V(443) by default.
        type: int
      username:
        description: Its user.
        type: str
      filesystem:
        description: Name of its dataset.
        type: str
  id:
    description:
      - The credential to change or remove, as M(quiesce.vmware_zfs.vmware_cred_info) lists it. The other options are
        then what is to change, and may rename it.
      - Without it, O(hostname), O(port), O(username) and O(filesystem) together say which credential is meant.
      - With it the environment variables for the other options are not read.
    type: int
  hostname:
    description:
      - Name or address of the vCenter or ESXi host.
      - If neither this nor O(id) is set, the environment variable E(VMWARE_HOST) is used.
    type: str
  port:
    description: TCP port of its API. V(443) by default.
    type: int
  username:
    description:
      - User to log in as.
      - If neither this nor O(id) is set, the environment variable E(VMWARE_USER) is used.
    type: str
  password:
    description:
      - Password of O(username). A new credential needs one. When it is left out the stored one stays.
      - If neither this nor O(id) is set, the environment variable E(VMWARE_PASSWORD) is used.
    type: str
  update_password:
    description:
      - V(always) replaces the stored password when it differs from O(password).
      - V(on_create) uses O(password) for a new credential only.
    type: str
    choices: [always, on_create]
    default: always
  filesystem:
    description:
      - Name of the dataset whose VMs this server runs, for example V(tank/vmware). It must exist on the storage host.
      - Datasets below it are covered too.
      - It can be a volume when O(datastores) names the datastore on it.
    type: str
  datastores:
    description:
      - Names of the datastores that lie on O(filesystem). The VMs of such a datastore count as lying on every dataset
        that is mounted below it as well, because which folder lies on which is not known.
      - A datastore that is no NFS, such as VMFS, may lie on any volume at or below O(filesystem). These volumes count
        as known when there are as many such datastores in the list. To be exact, use the volume as O(filesystem) and
        name its datastore.
      - When left out, or an empty list, the datastores are found anew at each run, so that renaming one loses nothing.
    type: list
    elements: str
  validate_certs:
    description:
      - Whether the server's certificate must be signed by a known authority and issued for O(hostname). V(true) by
        default.
      - If neither this nor O(id) is set, the environment variable E(VMWARE_VALIDATE_CERTS) is used.
      - A O(thumbprint) decides alone and makes this option irrelevant.
    type: bool
  ca_path:
    description:
      - Absolute path, on the storage host, of the authorities to trust, a PEM file or a folder prepared with
        C(openssl rehash).
      - When left out the authorities that the storage host trusts are used. With O(id) an empty string removes a stored
        path.
    type: path
  thumbprint:
    description:
      - SHA-256 thumbprint of the server's certificate, which is then the only certificate that is accepted.
      - Colons, spaces and case do not matter. Read it with C(openssl x509 -noout -fingerprint -sha256).
      - When left out none is pinned. With O(id) an empty string removes a stored thumbprint.
    type: str
  verify_login:
    description:
      - Whether a login is tried before anything is stored.
      - Turn it off to mend a credential while its server is down.
    type: bool
    default: true
  verify_privileges:
    description:
      - Whether, after that login, the account must have the privileges C(VirtualMachine.State.CreateSnapshot) and
        C(VirtualMachine.State.RemoveSnapshot) on each VM that lies on O(filesystem). The playbook
        C(quiesce.vmware_zfs.vsphere_role) makes a role that has no others.
      - Only VMs that the account can see, on datastores that are mounted already, can be looked at. An ESXi host cannot
        be asked.
      - Turn it off for an account that is not to touch some of the VMs; runs then take those for V(crash).
    type: bool
    default: true
seealso:
  - module: quiesce.vmware_zfs.vmware_cred_info
  - module: quiesce.vmware_zfs.vmware_coordinated_snapshot
"""

EXAMPLES = r"""
- name: Let snapshots of tank/vmware quiesce the VMs of a vCenter
  quiesce.vmware_zfs.vmware_cred:
    hostname: vcenter.example.com
    username: administrator@vsphere.local
    password: "{{ vcenter_password }}"
    filesystem: tank/vmware

- name: The same for a single ESXi host, whose self-signed certificate is pinned
  quiesce.vmware_zfs.vmware_cred:
    hostname: esxi01.example.com
    username: root
    password: "{{ esxi_password }}"
    filesystem: tank/vms
    thumbprint: "{{ esxi_sha256_thumbprint }}"

- name: Change the password of credential 1
  quiesce.vmware_zfs.vmware_cred:
    id: 1
    password: "{{ new_password }}"

- name: Follow a vCenter to its new name while it is still down
  quiesce.vmware_zfs.vmware_cred:
    id: 1
    hostname: vcenter2.example.com
    verify_login: false

- name: Remove a credential
  quiesce.vmware_zfs.vmware_cred:
    state: absent
    hostname: vcenter.example.com
    username: administrator@vsphere.local
    filesystem: tank/vmware
"""

RETURN = r"""
credential:
  description:
    - The credential as it is now, or as it would be in check mode. With O(state=absent) the one that was removed.
    - V(null) when there was nothing to remove.
  returned: success
  type: dict
  contains:
    id:
      description: Its id; V(null) when check mode would create it.
      type: int
      sample: 1
    hostname:
      description: Name (in lower case) or address of the server.
      type: str
      sample: vcenter.example.com
    port:
      description: TCP port of its API.
      type: int
      sample: 443
    username:
      description: User to log in as.
      type: str
      sample: administrator@vsphere.local
    filesystem:
      description: Name of the dataset.
      type: str
      sample: tank/vmware
    datastores:
      description: Names of the datastores, sorted; empty when they are found anew at each run.
      type: list
      elements: str
      sample: []
    validate_certs:
      description: Whether the server's certificate is verified.
      type: bool
      sample: true
    ca_path:
      description: Path of the trusted authorities; V(null) for those that the storage host trusts.
      type: str
      sample: null
    thumbprint:
      description: SHA-256 thumbprint that the server's certificate must have; V(null) when none is pinned.
      type: str
      sample: null
    created:
      description: When it was stored first, in UTC; V(null) when check mode would create it.
      type: str
      sample: "2026-01-31T08:15:00Z"
    updated:
      description: When it was changed last, in UTC; V(null) when check mode would create it.
      type: str
      sample: "2026-01-31T08:15:00Z"
"""

import unicodedata

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import (
    STORED_CONNECTION,
    ArgumentSpec,
    conceal,
    endpoint,
    read_environment,
    require_libraries,
    run_module,
    timeouts,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError, RegistryError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.preflight import (
    missing_datastores,
    require_authorities,
    require_nothing_left,
    require_privileges,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import (
    Credential,
    Credentials,
    plan_change,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks.timers import Timers
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import list_datasets

IDENTITY = ("hostname", "username", "filesystem")

SPEC = STORED_CONNECTION + ArgumentSpec(
    {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "force": {"type": "bool", "default": False},
        "also_removed": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "id": {"type": "int"},
                "hostname": {"type": "str"},
                "port": {"type": "int"},
                "username": {"type": "str"},
                "filesystem": {"type": "str"},
            },
        },
        "id": {"type": "int"},
        "update_password": {"type": "str", "choices": ["always", "on_create"], "default": "always", "no_log": False},
        "filesystem": {"type": "str"},
        "datastores": {"type": "list", "elements": "str"},
        "verify_login": {"type": "bool", "default": True},
        "verify_privileges": {"type": "bool", "default": True},
    }
)


def run(module):
    parameters = module.params
    if parameters["id"] is None:
        read_environment(module)
    paths = Paths.from_environment()
    with Credentials.open(paths, read_only=True) as credentials:
        existing = look_up(credentials, parameters)
        if parameters["state"] == "absent":
            wanted, password, change = None, None, plan_change(existing, None)
            if existing and not parameters["force"]:
                with Database.open(paths, read_only=True) as database:
                    also = [look_up(credentials, {**one, "state": "absent"}) for one in parameters["also_removed"]]
                    require_nothing_left(
                        Journal(database), credentials.list_all(), existing, [one for one in also if one]
                    )
        else:
            require_libraries(["cryptography"])
            wanted = wanted_credential(existing, parameters)
            credentials.refuse_twin(wanted)
            if parameters["filesystem"] is not None or parameters["datastores"] is not None:
                check_filesystem(wanted.filesystem, wanted.datastores)
            if parameters["ca_path"]:
                require_authorities(wanted, Timers().has_service())
            password = new_password(module, credentials, existing)
            change = plan_change(existing, wanted, password is not None)
            if change.changed and parameters["verify_login"]:
                try_login(module, wanted, password or conceal(module, credentials.password(existing)))
    if change.changed and not module.check_mode:
        with Credentials.open(paths) as credentials:
            if wanted is None:
                credentials.delete(existing.id)
            elif existing is None:
                wanted = credentials.insert(wanted, password)
            else:
                wanted = credentials.update(wanted, password)
    shown = wanted or existing
    return {
        "changed": change.changed,
        "credential": shown.as_dict() if shown else None,
        "diff": {"before": change.before, "after": change.after},
    }


def look_up(credentials, parameters):
    """The stored credential that is meant, or None. An id to change must exist; one to remove may be gone already."""
    if parameters["id"] is not None:
        if parameters["state"] == "present":
            return credentials.get(parameters["id"])
        return next((one for one in credentials.list_all() if one.id == parameters["id"]), None)
    missing = [name for name in IDENTITY if not parameters[name]]
    if missing:
        raise InputError(
            f"Which credential is meant is not clear without {' and '.join(missing)}",
            f"Give id, or {', '.join(IDENTITY)}",
        )
    return credentials.find(Credential("", "", "").merged(parameters))


def wanted_credential(existing, parameters):
    """With id only what is given changes; without it the options are the whole credential, but for the password."""
    if parameters["id"] is not None:
        return existing.merged(parameters)
    return (existing or Credential("", "", "")).declared(parameters)


def check_filesystem(filesystem, datastores):
    if list_datasets(Zfs(), filesystem)[0].kind == "volume" and not datastores:
        raise InputError(
            f"'{filesystem}' is a volume",
            "Name the file system that the NFS datastore lies on, or name the volume's own datastore in datastores",
        )


def new_password(module, credentials, existing):
    """The password to store, or None to leave the stored one alone."""
    given = Secret(module.params["password"]) if module.params["password"] else None
    if given is not None and any(unicodedata.category(character) in ("Cc", "Cs") for character in given.reveal()):
        raise InputError(
            "The password holds a line break or another control character, which no login takes",
            "Give it without; a text block of YAML ends with a line break unless it begins with '|-'",
        )
    if existing is None:
        if given is None:
            raise InputError("A new credential needs a password", "Give password, or id to change a stored one")
        return given
    if given is None or module.params["update_password"] == "on_create":
        return None
    try:
        stored = conceal(module, credentials.password(existing))
    except RegistryError:
        return given  # what cannot be decrypted any more is mended by giving the password again
    return None if given == stored else given


def try_login(module, wanted, password):
    require_libraries(["pyVmomi"])
    with connect(endpoint(wanted.as_dict()), wanted.username, password, timeouts(module.params)) as session:
        for warning in missing_datastores(session, wanted):
            module.warn(warning)
        if module.params["verify_privileges"]:
            require_privileges(session, wanted, Zfs())


def main():
    run_module(SPEC, run, libraries=[])  # what is left on a host without the runtime can be removed


if __name__ == "__main__":
    main()
