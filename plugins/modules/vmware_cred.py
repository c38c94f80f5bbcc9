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
  - A credential names the vCenter or ESXi host that runs the VMs on a dataset, and contains the login data for it.
    Coordinated snapshots of the dataset use the credential, or restores from its snapshots. See O(purpose).
  - The credential is stored on the storage host. The password is encrypted with a key that only root can read.
  - The options describe the complete credential. An option that is not set returns to its default, even if another
    value is stored. Only the stored password is kept. If O(id) is set, every option that is not set keeps its stored
    value.
  - Before the module stores a credential, it logs in with it and checks that the account has the required privileges,
    unless O(verify_login=false).
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
    details: The module logs in to verify the credential in check mode too.
  diff_mode:
    support: full
    details: The diff shows that the password changes, but never the password.
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) creates the credential, or changes it if it differs from the options.
      - V(absent) removes the credential. The module fails if this is the last credential of a server that may still
        have leftover VMware snapshots, because they cannot be removed without a credential. It also fails if this is
        the last credential for restores of a server with an unfinished restore. See O(force).
    type: str
    choices: [present, absent]
    default: present
  force:
    description:
      - Whether to remove the credential even if leftover VMware snapshots or unfinished restores may exist. Use this
        for a server that no longer exists.
    type: bool
    default: false
    version_added: 1.1.0
  also_removed:
    description:
      - Other credentials that separate tasks also remove. Used with O(state=absent).
      - The module assumes that the credentials in this list cannot remove leftover VMware snapshots.
      - The list may contain this credential and credentials that are not stored.
    type: list
    elements: dict
    default: []
    version_added: 1.1.0
    suboptions:
      id:
        description: The ID of the credential. If not set, set the other suboptions.
        type: int
      hostname:
        description: The host name or IP address of the server.
        type: str
      port:
        description: The TCP port of the server's API. The default is V(443).
        type: int
      username:
        description: The user of the credential.
        type: str
      filesystem:
        description: The name of the dataset.
        type: str
      purpose:
        description: The purpose of the credential. The default is V(snapshot).
        type: str
        choices: [snapshot, restore]
  id:
    description:
      - The ID of the credential to change or remove. M(quiesce.vmware_zfs.vmware_cred_info) lists the IDs.
      - If set, only the options that are set change. They can also change O(hostname), O(port), O(username),
        O(filesystem) and O(purpose). The environment variables for the other options are not read.
      - If not set, O(hostname), O(port), O(username), O(filesystem) and O(purpose) identify the credential.
    type: int
  hostname:
    description:
      - The host name or IP address of the vCenter or ESXi host.
      - If neither this nor O(id) is set, the environment variable E(VMWARE_HOST) is used.
    type: str
  port:
    description: The TCP port of the server's API. The default is V(443).
    type: int
  username:
    description:
      - The user to log in as.
      - If neither this nor O(id) is set, the environment variable E(VMWARE_USER) is used.
    type: str
  password:
    description:
      - The password of O(username). It is required for a new credential. If not set, the stored password is kept.
      - If neither this nor O(id) is set, the environment variable E(VMWARE_PASSWORD) is used.
    type: str
  update_password:
    description:
      - V(always) replaces the stored password if it differs from O(password).
      - V(on_create) uses O(password) only for a new credential.
    type: str
    choices: [always, on_create]
    default: always
  filesystem:
    description:
      - The name of the dataset that contains the VMs of this server, for example V(tank/vmware). The dataset must exist
        on the storage host.
      - The credential also applies to its child datasets.
      - The dataset can be a volume if O(datastores) names the datastore on it.
    type: str
  purpose:
    description:
      - The purpose of the credential. The default is V(snapshot).
      - V(snapshot) is for coordinated snapshots and their cleanup. They never use a credential with another purpose.
      - V(restore) is for restores of VMs, which need more privileges. The playbook C(quiesce.vmware_zfs.vsphere_role)
        creates a role with them. Restores never use a credential with another purpose.
      - The same account can be stored once for each purpose.
    type: str
    choices: [snapshot, restore]
    version_added: 1.1.0
  datastores:
    description:
      - The names of the datastores on O(filesystem).
      - The VMs of these datastores are treated as if they had files on O(filesystem) and on every dataset that is
        mounted below it, because it is not known which directory belongs to which dataset.
      - A datastore that is not NFS, such as VMFS, can be on any volume at or below O(filesystem). These volumes are
        accounted for if the list contains as many such datastores as there are volumes. For an exact match, set
        O(filesystem) to the volume and name its datastore here.
      - If not set or empty, each run discovers the datastores. Renaming a datastore then has no effect.
    type: list
    elements: str
  validate_certs:
    description:
      - Whether the server's certificate must be signed by a trusted certificate authority and issued for O(hostname).
        The default is V(true).
      - If neither this nor O(id) is set, the environment variable E(VMWARE_VALIDATE_CERTS) is used.
      - This option is ignored if O(thumbprint) is set.
    type: bool
  ca_path:
    description:
      - The absolute path, on the storage host, of the certificate authorities to trust. This is a PEM file, or a
        directory prepared with C(openssl rehash).
      - If not set, the certificate authorities of the storage host are used. If O(id) is set, an empty string removes
        the stored path.
    type: path
  thumbprint:
    description:
      - The SHA-256 thumbprint of the server's certificate. If set, only the certificate with this thumbprint is
        accepted.
      - Colons, spaces and case are ignored. C(openssl x509 -noout -fingerprint -sha256) shows the thumbprint.
      - If not set, no certificate is pinned. If O(id) is set, an empty string removes the stored thumbprint.
    type: str
  verify_login:
    description:
      - Whether to log in before the credential is stored.
      - Set this to V(false) to correct a credential while its server is down.
    type: bool
    default: true
  verify_privileges:
    description:
      - Whether to check, after the login, that the account has the privileges C(VirtualMachine.State.CreateSnapshot)
        and C(VirtualMachine.State.RemoveSnapshot) on each VM on O(filesystem). The playbook
        C(quiesce.vmware_zfs.vsphere_role) creates a role with only these privileges.
      - With O(purpose=restore), only the login is checked. Which privileges a restore needs depends on how a VM is
        restored. The check mode of a restore names those that are missing.
      - The check covers only VMs that the account can see, on datastores that are already mounted. An ESXi host does
        not support this check.
      - Set this to V(false) for an account that must not snapshot some of the VMs. Runs record these VMs as V(crash).
    type: bool
    default: true
seealso:
  - module: quiesce.vmware_zfs.vmware_cred_info
  - module: quiesce.vmware_zfs.vmware_coordinated_snapshot
"""

EXAMPLES = r"""
- name: Store the credential of a vCenter for the VMs on tank/vmware
  quiesce.vmware_zfs.vmware_cred:
    hostname: vcenter.example.com
    username: administrator@vsphere.local
    password: "{{ vcenter_password }}"
    filesystem: tank/vmware

- name: Store the credential of an ESXi host and pin its self-signed certificate
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

- name: Change the host name of a vCenter while it is down
  quiesce.vmware_zfs.vmware_cred:
    id: 1
    hostname: vcenter2.example.com
    verify_login: false

- name: Store a second account, which may restore VMs
  quiesce.vmware_zfs.vmware_cred:
    hostname: vcenter.example.com
    username: restore@vsphere.local
    password: "{{ vcenter_restore_password }}"
    filesystem: tank/vmware
    purpose: restore

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
    - The credential after the change, or as it would be after the change in check mode. With O(state=absent), the
      credential that was removed.
    - V(null) if there was nothing to remove.
  returned: success
  type: dict
  contains:
    id:
      description: The ID of the credential. V(null) if check mode would create it.
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
      description: The creation time, in UTC. V(null) if check mode would create it.
      type: str
      sample: "2026-01-31T08:15:00Z"
    updated:
      description: The time of the last change, in UTC. V(null) if check mode would create it.
      type: str
      sample: "2026-01-31T08:15:00Z"
"""

import unicodedata
from typing import Any, Mapping, Sequence

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils import _ansible
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError, RegistryError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning import preflight
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import (
    SNAPSHOT,
    Credential,
    Credentials,
    endpoint_of,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import Restores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks.timers import Timers
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import list_datasets

IDENTITY = ("hostname", "username", "filesystem")

SPEC = _ansible.STORED_CONNECTION + _ansible.ArgumentSpec(
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
                "purpose": {"type": "str", "choices": ["snapshot", "restore"]},
            },
        },
        "id": {"type": "int"},
        "update_password": {"type": "str", "choices": ["always", "on_create"], "default": "always", "no_log": False},
        "filesystem": {"type": "str"},
        "purpose": {"type": "str", "choices": ["snapshot", "restore"]},
        "datastores": {"type": "list", "elements": "str"},
        "verify_login": {"type": "bool", "default": True},
        "verify_privileges": {"type": "bool", "default": True},
    }
)


def run(module: Any) -> dict[str, Any]:
    parameters = module.params
    if parameters["id"] is None:
        _ansible.read_environment(module)
    paths = Paths.from_environment()
    wanted: Credential | None = None
    password: Secret | None = None
    with Credentials.open(paths, read_only=True) as credentials:
        existing = look_up(credentials, parameters)
        if parameters["state"] == "absent":
            before, after = changed_settings(existing, None)
            if existing and not parameters["force"]:
                with Database.open(paths, read_only=True) as database:
                    also = [look_up(credentials, {**one, "state": "absent"}) for one in parameters["also_removed"]]
                    preflight.require_nothing_left(
                        Journal(database),
                        Restores(database),
                        credentials.list_all(),
                        existing,
                        [one for one in also if one],
                    )
        else:
            _ansible.require_libraries(["cryptography"])
            wanted = wanted_credential(existing, parameters)
            credentials.refuse_twin(wanted)
            if parameters["filesystem"] is not None or parameters["datastores"] is not None:
                check_filesystem(wanted.filesystem, wanted.datastores)
            if parameters["ca_path"]:
                preflight.require_authorities(wanted, Timers().has_service())
            password = new_password(module, credentials, existing)
            before, after = changed_settings(existing, wanted, password is not None)
            if before != after and parameters["verify_login"]:
                stored = password or (existing and _ansible.conceal(module, credentials.password(existing)))
                if stored:
                    try_login(module, wanted, stored)
    if before != after and not module.check_mode:
        with Credentials.open(paths) as credentials:
            if wanted is not None and existing is not None:
                wanted = credentials.update(wanted, password)
            elif wanted is not None and password is not None:  # new_password() requires one for a new credential
                wanted = credentials.insert(wanted, password)
            elif existing is not None:
                credentials.delete(existing.id)
    shown = wanted or existing
    return {
        "changed": before != after,
        "credential": shown.as_dict() if shown else None,
        "diff": {"before": before, "after": after},
    }


def look_up(credentials: Credentials, parameters: Mapping[str, Any]) -> Credential | None:
    """Return the stored credential that the options identify, or None. Raises if an id to change does not exist."""
    if parameters["id"] is not None:
        if parameters["state"] == "present":
            return credentials.get(parameters["id"])
        return next((one for one in credentials.list_all() if one.id == parameters["id"]), None)
    missing = [name for name in IDENTITY if not parameters[name]]
    if missing:
        raise InputError(
            f"The credential cannot be identified without {' and '.join(missing)}",
            f"Set id, or set {', '.join(IDENTITY)}",
        )
    return credentials.find(Credential("", "", "").merged(parameters))


def wanted_credential(existing: Credential | None, parameters: Mapping[str, Any]) -> Credential:
    """Return the requested credential. Without id, options that are not set take their defaults."""
    known = existing or Credential("", "", "")
    return known.declared(parameters) if parameters["id"] is None else known.merged(parameters)


def changed_settings(
    existing: Credential | None, wanted: Credential | None, new_password: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings before and after the change ({} without a credential). A password only shows as changed."""
    before, after = (credential.settings() if credential else {} for credential in (existing, wanted))
    if new_password:
        after["password"] = "a new password"
        if existing is not None:
            before["password"] = "another password"
    return before, after


def check_filesystem(filesystem: str, datastores: Sequence[str]) -> None:
    if list_datasets(Zfs(), filesystem)[0].kind == "volume" and not datastores:
        raise InputError(
            f"'{filesystem}' is a volume",
            "Set filesystem to the file system of the NFS datastore, or name the datastore on the volume in datastores",
        )


def new_password(module: Any, credentials: Credentials, existing: Credential | None) -> Secret | None:
    """Return the password to store, or None to keep the stored one."""
    given = Secret(module.params["password"]) if module.params["password"] else None
    if given is not None and any(unicodedata.category(character) in ("Cc", "Cs") for character in given.reveal()):
        raise InputError(
            "The password contains a line break or another control character, which vSphere does not accept",
            "Remove it; a YAML block scalar ends with a line break unless it starts with '|-'",
        )
    if existing is None:
        if given is None:
            raise InputError("A new credential needs a password", "Set password, or set id to change a stored one")
        return given
    if given is None or module.params["update_password"] == "on_create":
        return None
    try:
        stored = _ansible.conceal(module, credentials.password(existing))
    except RegistryError:
        return given  # the stored password cannot be decrypted; the given one replaces it
    return None if given == stored else given


def try_login(module: Any, wanted: Credential, password: Secret) -> None:
    _ansible.require_libraries(["pyVmomi"])
    with connect(endpoint_of(wanted), wanted.username, password, _ansible.timeouts(module.params)) as session:
        for warning in preflight.missing_datastores(session, wanted):
            module.warn(warning)
        if module.params["verify_privileges"] and wanted.purpose == SNAPSHOT:
            preflight.require_privileges(session, wanted, Zfs())


def main() -> None:
    _ansible.run_module(SPEC, run, libraries=[])  # a credential can be removed without the libraries of the runtime


if __name__ == "__main__":
    main()
