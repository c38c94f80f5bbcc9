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
  - Makes a new key, encrypts every stored password with it and removes the old key.
  - A kill or a power cut at any instant leaves every password readable, and the next call ends what was interrupted.
    Runs that are alive and snapshot tasks whose time comes are not disturbed.
  - It helps when the key may have been read, in a backup say, and the database has not. Who has read both knows the
    passwords; then change those.
  - Nothing is changed while a stored password cannot be read, because it would be lost for good.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
author:
  - The quiesce.vmware_zfs authors (@quiesce)
requirements:
  - cryptography 3.4 or later
notes:
  - The module runs on the storage host, as root.
  - A backup of the database from before can only be read with a backup of the key from before. Back up both together.
  - The key lies in C(/etc/vmware-zfs/secret.key) and the state in C(/var/lib/vmware-zfs). The environment variables
    E(VMWARE_ZFS_KEY_FILE) and E(VMWARE_ZFS_STATE_DIR) name other places.
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Keys are told by their ids alone.
  idempotent:
    support: partial
    details: With O(max_age=0) every call replaces the key.
options:
  max_age:
    description:
      - Replace the key only when it is this many days old, by the time at which its file was written.
      - A key file that is dated in the future, because a clock was wrong, is replaced as well.
      - With V(0) it is replaced in any case.
      - An interrupted replacement is ended whatever its age, and nothing else is done in that call.
    type: float
    default: 0
seealso:
  - module: quiesce.vmware_zfs.vmware_cred
"""

EXAMPLES = r"""
- name: Replace the key
  quiesce.vmware_zfs.vmware_cred_key:

- name: Replace it once a year, in a play that runs every night
  quiesce.vmware_zfs.vmware_cred_key:
    max_age: 365
"""

RETURN = r"""
new_key:
  description: Whether a key was made, or would be in check mode; V(false) too when an interrupted call was ended.
  returned: success
  type: bool
  sample: true
encrypted_anew:
  description: The ids of the credentials whose password was encrypted anew, or would be in check mode.
  returned: success
  type: list
  elements: int
  sample: [1, 2]
removed_keys:
  description: The ids of the keys that were removed, or would be in check mode. They are no secret.
  returned: success
  type: list
  elements: str
  sample: [3f9a01bc]
"""

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import ArgumentSpec, run_module
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import rotation
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths

SPEC = ArgumentSpec({"max_age": {"type": "float", "default": 0}})


def run(module):
    max_age = module.params["max_age"]
    if not max_age >= 0:
        raise InputError(f"max_age is {max_age:g}", "Give a number of days, or 0")
    carry_out = rotation.plan if module.check_mode else rotation.rotate
    done = carry_out(Paths.from_environment(), max_age)
    before = {"removed_keys": [], "encrypted_anew": [], "new_key": False}
    return {"changed": done.changed, **done.as_dict(), "diff": {"before": before, "after": done.as_dict()}}


def main():
    run_module(SPEC, run, libraries=["cryptography"])


if __name__ == "__main__":
    main()
