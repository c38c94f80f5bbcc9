#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_cred_key
short_description: Replace the key that encrypts the stored passwords
version_added: 1.0.0
description:
  - Creates a new key, encrypts every stored password with it and removes the old key.
  - If the module is killed or the host loses power, every password remains readable. The next call completes the
    interrupted replacement. The replacement does not affect active runs or scheduled snapshot tasks.
  - Replace the key if someone may have read the key but not the database, for example in a backup. If someone may have
    read both, change the passwords too.
  - The module fails without a change if it cannot decrypt a stored password, because that password would be lost.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
author:
  - The quiesce.vmware_zfs authors (@quiesce)
requirements:
  - cryptography 3.4 or later
notes:
  - The module must run on the storage host as root.
  - A backup of the database can only be used with the key of the same time. Back up both together.
  - The key is in C(/etc/vmware-zfs/secret.key). The state is stored in C(/var/lib/vmware-zfs). Set the environment
    variables E(VMWARE_ZFS_KEY_FILE) and E(VMWARE_ZFS_STATE_DIR) to use other locations.
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: The diff shows only the IDs of the keys.
  idempotent:
    support: partial
    details: With O(max_age=0), every call replaces the key.
options:
  max_age:
    description:
      - The minimum age of the key in days. A newer key is not replaced. The age is that of the key file.
      - A key file with a modification time in the future, for example because the clock was wrong, is also replaced.
      - V(0) always replaces the key.
      - If a replacement was interrupted, the call completes it and does nothing else, whatever the age of the key.
    type: float
    default: 0
seealso:
  - module: quiesce.vmware_zfs.vmware_cred
"""

EXAMPLES = r"""
- name: Replace the key
  quiesce.vmware_zfs.vmware_cred_key:

- name: Replace the key once a year, in a play that runs every night
  quiesce.vmware_zfs.vmware_cred_key:
    max_age: 365
"""

RETURN = r"""
new_key:
  description:
    - Whether a key was created, or would be created in check mode.
    - V(false) if the call only completed an interrupted replacement.
  returned: success
  type: bool
  sample: true
encrypted_anew:
  description: The IDs of the credentials whose password was encrypted again, or would be encrypted again in check mode.
  returned: success
  type: list
  elements: int
  sample: [1, 2]
removed_keys:
  description: The IDs of the keys that were removed, or would be removed in check mode. An ID is not a secret.
  returned: success
  type: list
  elements: str
  sample: [3f9a01bc]
"""

from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import ArgumentSpec, run_module
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import rotation
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths

SPEC = ArgumentSpec({"max_age": {"type": "float", "default": 0}})


def run(module: Any) -> dict[str, Any]:
    max_age = module.params["max_age"]
    if not max_age >= 0:
        raise InputError(f"max_age is {max_age:g}", "Set max_age to a number of days, or to 0")
    carry_out = rotation.plan if module.check_mode else rotation.rotate
    done = carry_out(Paths.from_environment(), max_age)
    before = {"removed_keys": [], "encrypted_anew": [], "new_key": False}
    return {"changed": done.changed, **done.as_dict(), "diff": {"before": before, "after": done.as_dict()}}


def main() -> None:
    run_module(SPEC, run, libraries=["cryptography"])


if __name__ == "__main__":
    main()
