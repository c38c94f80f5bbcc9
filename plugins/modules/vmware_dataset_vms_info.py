#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_dataset_vms_info
short_description: Tell which VMs a dataset carries, and whether each can be snapshotted
version_added: 1.0.0
description:
  - Asks vSphere whether VMs have files on a dataset of this storage host, and returns each one with its power state,
    VMware Tools, disks, and whether a VMware snapshot can be taken of it, with the reasons where it cannot.
  - A VM counts when its configuration file, a disk or a parent of one, a delta, a snapshot or its swap file is on the
    dataset. A CD image does not count.
  - A VM that the account may not read is returned as well, with the reason, because its files may be on the dataset.
  - The module warns of a volume that no datastore of a credential accounts for, because VMs may use it as a LUN.
extends_documentation_fragment:
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
    description: The dataset, as C(zfs list) shows it.
    type: str
    required: true
  recursive:
    description: Whether the datasets below O(dataset) count as well.
    type: bool
    default: true
  hostname:
    description:
      - Name or address of the vCenter or ESXi host to ask, together with O(username) and O(password).
      - When O(password) is left out all servers are asked whose stored credentials concern O(dataset).
      - If not set, the environment variable E(VMWARE_HOST) is used.
  aliases:
    description:
      - Names and addresses under which ESXi hosts reach this storage host although it does not know them itself, for
        example behind NAT, or a virtual address that another node holds at the moment.
    type: list
    elements: str
    default: []
seealso:
  - module: quiesce.vmware_zfs.vmware_datastore_match
  - module: quiesce.vmware_zfs.vmware_coordinated_snapshot
"""

EXAMPLES = r"""
- name: Does tank/vmware carry VMs?
  quiesce.vmware_zfs.vmware_dataset_vms_info:
    dataset: tank/vmware
  register: carried

- name: Name the running VMs that cannot be quiesced, and why
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.reasons | join('; ') }}"
  loop: "{{ carried.vms | selectattr('power', 'eq', 'poweredOn') | rejectattr('can_quiesce') }}"
  loop_control:
    label: "{{ item.moid }}"

- name: Ask a vCenter that is not stored yet
  quiesce.vmware_zfs.vmware_dataset_vms_info:
    dataset: tank/vmware
    recursive: false
    hostname: vcenter.example.com
    username: administrator@vsphere.local
    password: "{{ vcenter_password }}"
"""

RETURN = r"""
has_vms:
  description: Whether any VM, running or not, has files on the dataset.
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
      description: Name of the VM; its managed object ID where the name cannot be read.
      type: str
      sample: mail
    moid:
      description: Managed object ID of the VM.
      type: str
      sample: vm-61
    instance_uuid:
      description: Instance UUID, which stays when the VM moves or is renamed.
      type: str
      sample: 5029440e-c62e-30b0-2d0c-9a2b6a1b0f1e
    server:
      description: The vCenter or ESXi host that runs it.
      type: str
      sample: vcenter.example.com
    vmx_path:
      description: Its configuration file.
      type: str
      sample: "[vmware] mail/mail.vmx"
    template:
      description: Whether it is a template.
      type: bool
      sample: false
    power:
      description: V(poweredOn), V(poweredOff) or V(suspended).
      type: str
      sample: poweredOn
    guest:
      description: V(windows server), V(windows), V(linux) or V(other); decides what quiescing can reach.
      type: str
      sample: linux
    tools:
      description: VMware Tools are V(running), V(not running) or V(not installed).
      type: str
      sample: running
    disks:
      description: Its virtual disks.
      type: list
      elements: dict
      contains:
        label:
          description: Name of the device.
          type: str
          sample: Hard disk 1
        file:
          description: Path within its datastore.
          type: str
          sample: mail/mail.vmdk
        lies_on:
          description: The datasets, or foreign datastores, on which it or a parent of it lies.
          type: list
          elements: str
          sample: [tank/vmware]
        independent:
          description: Whether VMware snapshots leave it out.
          type: bool
          sample: false
    can_snapshot:
      description: Whether a VMware snapshot can be taken of it.
      type: bool
      sample: true
    can_quiesce:
      description: >-
        Whether it runs and a VMware snapshot can quiesce it. V(false) for a guest of the kind V(other), which
        quiescing is not known to freeze.
      type: bool
      sample: true
    reasons:
      description: Why no snapshot can be taken, or what lowers the consistency that one can reach.
      type: list
      elements: str
      sample: []
    consolidation_needed:
      description: Whether vSphere says that its disks need consolidation.
      type: bool
      sample: false
    datasets:
      description: The datasets asked about that hold files of it.
      type: list
      elements: str
      sample: [tank/vmware]
    spans:
      description: The other datasets and datastores that hold files of it.
      type: list
      elements: str
      sample: []
"""

from contextlib import ExitStack
from functools import partial

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import (
    CONNECTION,
    ArgumentSpec,
    run_module,
    timeouts,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError, VSphereError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.connector import Connector
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.problem import texts
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.server_logins import (
    datasets_around,
    open_logins,
    unknown_volumes,
)
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

SPEC = CONNECTION + ArgumentSpec(
    {
        "dataset": {"type": "str", "required": True},
        "recursive": {"type": "bool", "default": True},
        "aliases": {"type": "list", "elements": "str", "default": []},
    }
)


def run(module):
    options = module.params
    zfs = Zfs()
    chosen = select(list_datasets(zfs, options["dataset"]), options["dataset"], options["recursive"])
    names = [dataset.name for dataset in chosen]
    with ExitStack() as stack:
        credentials, password = accounts(options, names, stack)
        logins, problems = open_logins(
            stack,
            credentials,
            password,
            datasets_around(zfs, pool_of(options["dataset"])),
            options["aliases"],
            Connector(partial(connect, timeouts=timeouts(options))),
        )
        if problems and len(logins) < len({(one.hostname, one.port, one.username) for one in credentials}):
            raise VSphereError(" ".join(texts(problems)).rstrip("."))
        for problem in texts([*problems, *unknown_volumes(chosen, logins)]):
            module.warn(problem)
        vms = vm_report(logins, names)
    return {"changed": False, "has_vms": bool(vms), "vms": vms}


def accounts(options, names, stack):
    """The credentials to log in with and how to get their passwords: the options' own, or the stored ones."""
    if options["password"]:
        if not (options["hostname"] and options["username"]):
            raise InputError("password is given without hostname and username", "Give all three, or none of them")
        inline = Credential("", "", options["dataset"]).merged(options)
        return [inline], lambda credential: Secret(options["password"])
    credentials = stack.enter_context(Credentials.open(Paths.from_environment(), read_only=True))
    stored = credentials.find_for_datasets(names)
    if not stored:
        raise InputError(
            f"No credential is stored for {options['dataset']}",
            "Store one with vmware_cred, or give hostname, username and password",
        )
    return stored, credentials.password


def main():
    run_module(SPEC, run)


if __name__ == "__main__":
    main()
