#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_nfs_share_info
short_description: List the NFS shares that this collection manages
version_added: 1.0.0
description:
  - Lists the shares that M(quiesce.vmware_zfs.vmware_nfs_share) created on the storage host. The module reads their
    files in C(/etc/exports.d). Other exports are not listed, nor are those of restores.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.attributes.info
author:
  - The quiesce.vmware_zfs authors (@quiesce)
seealso:
  - module: quiesce.vmware_zfs.vmware_nfs_share
"""

EXAMPLES = r"""
- name: List the shares
  quiesce.vmware_zfs.vmware_nfs_share_info:
  register: result
"""

RETURN = r"""
shares:
  description: The shares, sorted by file name. Empty if there are none.
  returned: success
  type: list
  elements: dict
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
    file:
      description: The path of the share's file.
      type: str
      sample: /etc/exports.d/quiesce.vmware_zfs-mnt-tank-vmware-cde0b9c3.exports
"""

from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import ArgumentSpec, run_module
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.server import NfsServer

SPEC = ArgumentSpec()


def run(module: Any) -> dict[str, Any]:
    shares = NfsServer().shares()
    return {"changed": False, "shares": [{**share.as_dict(), "file": str(file)} for file, share in shares.items()]}


def main() -> None:
    run_module(SPEC, run, libraries=())


if __name__ == "__main__":
    main()
