#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_dataset_vms_info
short_description: List the VMs on a dataset and whether each can be snapshotted
version_added: 1.0.0
description:
  - Lists the VMs that have files on a dataset of this storage host. For each VM, the module returns the power state,
    the state of VMware Tools, the disks, and whether a VMware snapshot can be taken, with the reasons if it cannot.
  - A VM is on the dataset if its configuration file, a disk, the parent of a disk, a delta disk, a snapshot or its swap
    file is there. A CD image does not count.
  - A VM that the account cannot read is also listed, with the reason, because its files may be on the dataset.
  - The module warns about a volume that no datastore of a credential accounts for, because VMs may use it as a LUN.
extends_documentation_fragment:
  - quiesce.vmware_zfs.aliases
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.attributes.info
  - quiesce.vmware_zfs.attributes.action_group
  - quiesce.vmware_zfs.connection
  - quiesce.vmware_zfs.connection.runtime
  - quiesce.vmware_zfs.connection.timeouts
author:
  - The quiesce.vmware_zfs authors (@quiesce)
options:
  dataset:
    description: The name of the dataset, as shown by C(zfs list).
    type: str
    required: true
  recursive:
    description: Whether to include the child datasets of O(dataset).
    type: bool
    default: true
  hostname:
    description:
      - The host name or IP address of the vCenter or ESXi host to query. Set O(username) and O(password) too.
      - If O(password) is not set, the module queries every server that has a stored credential for O(dataset).
      - If not set, the environment variable E(VMWARE_HOST) is used.
seealso:
  - module: quiesce.vmware_zfs.vmware_datastore_match
  - module: quiesce.vmware_zfs.vmware_coordinated_snapshot
"""

EXAMPLES = r"""
- name: List the VMs on tank/vmware
  quiesce.vmware_zfs.vmware_dataset_vms_info:
    dataset: tank/vmware
  register: result

- name: Show the running VMs that cannot be quiesced, with the reasons
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.reasons | join('; ') }}"
  loop: "{{ result.vms | selectattr('power', 'eq', 'poweredOn') | rejectattr('can_quiesce') }}"
  loop_control:
    label: "{{ item.moid }}"

- name: Query a vCenter that has no stored credential
  quiesce.vmware_zfs.vmware_dataset_vms_info:
    dataset: tank/vmware
    recursive: false
    hostname: vcenter.example.com
    username: administrator@vsphere.local
    password: "{{ vcenter_password }}"
"""

RETURN = r"""
has_vms:
  description: Whether at least one VM, running or not, has files on the dataset.
  returned: success
  type: bool
  sample: true
vms:
  description: The VMs, sorted by server and name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name of the VM, or its managed object ID if the account cannot read the name.
      type: str
      sample: mail
    moid:
      description: The managed object ID of the VM.
      type: str
      sample: vm-61
    instance_uuid:
      description: The instance UUID of the VM. It does not change if the VM is moved or renamed.
      type: str
      sample: 5029440e-c62e-30b0-2d0c-9a2b6a1b0f1e
    server:
      description: The vCenter or ESXi host that manages the VM.
      type: str
      sample: vcenter.example.com
    vmx_path:
      description: The path of the VM's configuration file.
      type: str
      sample: "[vmware] mail/mail.vmx"
    template:
      description: Whether the VM is a template.
      type: bool
      sample: false
    power:
      description: V(poweredOn), V(poweredOff) or V(suspended).
      type: str
      sample: poweredOn
    guest:
      description: >-
        V(windows server), V(windows), V(linux) or V(other). The type of guest limits the level that quiescing can
        reach.
      type: str
      sample: linux
    tools:
      description: The state of VMware Tools, V(running), V(not running) or V(not installed).
      type: str
      sample: running
    disks:
      description: The virtual disks of the VM.
      type: list
      elements: dict
      contains:
        label:
          description: The name of the device.
          type: str
          sample: Hard disk 1
        file:
          description: The path of the disk in its datastore.
          type: str
          sample: mail/mail.vmdk
        lies_on:
          description: The datasets, or datastores outside this storage host, that contain the disk or a parent of it.
          type: list
          elements: str
          sample: [tank/vmware]
        independent:
          description: Whether the disk is independent. VMware snapshots do not include independent disks.
          type: bool
          sample: false
    can_snapshot:
      description: Whether a VMware snapshot of the VM can be taken.
      type: bool
      sample: true
    can_quiesce:
      description: >-
        Whether the VM is running and a VMware snapshot can quiesce it. V(false) for a guest of the type V(other),
        because quiescing is not known to freeze its file systems.
      type: bool
      sample: true
    reasons:
      description: The reasons why no snapshot can be taken, or why it cannot reach a higher consistency level.
      type: list
      elements: str
      sample: []
    consolidation_needed:
      description: Whether vSphere reports that the disks of the VM need consolidation.
      type: bool
      sample: false
    datasets:
      description: The requested datasets that contain files of the VM.
      type: list
      elements: str
      sample: [tank/vmware]
    spans:
      description: The other datasets and datastores that contain files of the VM.
      type: list
      elements: str
      sample: []
"""

from contextlib import ExitStack
from functools import partial
from typing import Any, Callable, Mapping, Sequence

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils import _ansible
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError, VSphereError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning import server_logins
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.connector import Connector
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.problem import texts
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.selection import datasets_around
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.vm_report import vm_report
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import (
    Credential,
    Credentials,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import connect
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import list_datasets, select
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import pool_of

SPEC = (
    _ansible.CONNECTION
    + _ansible.ALIASES
    + _ansible.ArgumentSpec(
        {
            "dataset": {"type": "str", "required": True},
            "recursive": {"type": "bool", "default": True},
        }
    )
)


def run(module: Any) -> dict[str, Any]:
    options = module.params
    zfs = Zfs()
    chosen = select(list_datasets(zfs, options["dataset"]), options["dataset"], options["recursive"])
    names = [dataset.name for dataset in chosen]
    with ExitStack() as stack:
        credentials, password = accounts(options, names, stack)
        logins, problems = server_logins.open_logins(
            stack,
            credentials,
            password,
            datasets_around(zfs, pool_of(options["dataset"])),
            zfs.host,
            options["aliases"],
            Connector(partial(connect, timeouts=_ansible.timeouts(options))),
        )
        if problems and len(logins) < len({(one.hostname, one.port, one.username) for one in credentials}):
            raise VSphereError(" ".join(texts(problems)).rstrip("."))
        for problem in texts([*problems, *server_logins.unknown_volumes(chosen, logins)]):
            module.warn(problem)
        vms = vm_report(logins, names)
    return {"changed": False, "has_vms": bool(vms), "vms": vms}


def accounts(
    options: Mapping[str, Any], names: Sequence[str], stack: ExitStack
) -> tuple[list[Credential], Callable[[Credential], Secret]]:
    """Return the credentials to log in with and a function that returns their passwords.

    The credentials are the one in the options, or the stored ones.
    """
    if options["password"]:
        if not (options["hostname"] and options["username"]):
            raise InputError("password is set without hostname and username", "Set all three, or none of them")
        inline = Credential("", "", options["dataset"]).merged(options)
        return [inline], lambda credential: Secret(options["password"])
    credentials = stack.enter_context(Credentials.open(Paths.from_environment(), read_only=True))
    stored = credentials.find_for_datasets(names)
    if not stored:
        raise InputError(
            f"No credential is stored for {options['dataset']}",
            "Store one with vmware_cred, or set hostname, username and password",
        )
    return stored, credentials.password


def main() -> None:
    _ansible.run_module(SPEC, run)


if __name__ == "__main__":
    main()
