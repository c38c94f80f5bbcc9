#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_runtime
short_description: Have the storage host's own runtime, which works without a controller
version_added: 1.0.0
description:
  - Keeps on the storage host what it needs to take and to recover coordinated snapshots by itself; a virtual
    environment with pyVmomi and cryptography in C(/opt/vmware-zfs/venv), a copy of this collection's engine in
    C(/opt/vmware-zfs/engine), and the command C(/usr/local/bin/vmware-zfs).
  - The role P(quiesce.vmware_zfs.runtime#role) calls this module, and adds the systemd units that use the command.
  - A new engine replaces the old one in one step. What runs stays with the engine that it began with, whose copy is
    kept until nobody uses it.
  - The state, which is credentials, key and journal, is never touched.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
author:
  - The quiesce.vmware_zfs authors (@quiesce)
requirements:
  - Python 3.9 or later with the module venv, on the storage host
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
      - V(present) has the runtime as this collection brings it.
      - V(absent) removes virtual environment, engine and command. It refuses while a run is alive, and while the
        journal knows of VMware snapshots that are left or watched, because nobody on this host could remove them any
        more.
    type: str
    choices: [present, absent]
    default: present
  python:
    description: The Python that the virtual environment is made with, where there is none that runs.
    type: path
    default: /usr/bin/python3
  wheels:
    description:
      - A folder of wheels on the storage host to install the libraries from, for a host that reaches no package index.
      - When left out they come from the index that pip on that host is configured for.
    type: path
  force:
    description:
      - Whether O(state=absent) also removes it while VMware snapshots may be left. While a run is alive it never does.
    type: bool
    default: false
seealso:
  - module: quiesce.vmware_zfs.vmware_snapshot_recover
"""

EXAMPLES = r"""
- name: Have the runtime, with libraries from the package index
  quiesce.vmware_zfs.vmware_runtime:

- name: Have the runtime on a host without a package index
  quiesce.vmware_zfs.vmware_runtime:
    wheels: /var/cache/vmware-zfs-wheels

- name: Remove the runtime
  quiesce.vmware_zfs.vmware_runtime:
    state: absent
"""

RETURN = r"""
engine:
  description: What tells this engine from another one, a hash of its files. Empty when it was removed.
  returned: success
  type: str
  sample: 3f2a9c0d41be77e5
libraries:
  description: Versions of the libraries in the virtual environment; in check mode those that are there now.
  returned: success
  type: dict
  sample: {"pyVmomi": "8.0.3.0.1", "cryptography": "42.0.5"}
missing:
  description: The libraries that were missing or too old, each with the oldest version that will do.
  returned: success
  type: list
  elements: str
  sample: ["pyVmomi>=8.0.3"]
"""

import os
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import (
    RUNTIME_PYTHON,
    ArgumentSpec,
    run_module,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runtime.engine_copy import (
    EngineCopy,
    digest,
    sources,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runtime.python_environment import (
    PythonEnvironment,
    lacking,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.locks import Locks
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.text import counted, printable

ENVIRONMENT = Path(RUNTIME_PYTHON).parents[1]
ENGINE = ENVIRONMENT.with_name("engine")
COMMAND = Path("/usr/local/bin/vmware-zfs")

SPEC = ArgumentSpec(
    {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "python": {"type": "path", "default": "/usr/bin/python3"},
        "wheels": {"type": "path"},
        "force": {"type": "bool", "default": False},
    }
)


def run(module):
    os.umask(0o022)  # whatever the login's is: for everyone to read, for root to change
    environment = PythonEnvironment(ENVIRONMENT)
    copy = EngineCopy(ENGINE, COMMAND, environment.python)
    change = present if module.params["state"] == "present" else absent
    return change(module, environment, copy)


def present(module, environment, copy):
    files = sources()
    engine, versions, had = digest(files), environment.versions(), copy.digest()
    missing, has_command = lacking(versions), copy.has_command()
    if not module.check_mode:
        if missing:
            wheels = module.params["wheels"]
            with nobody_at_work():
                environment.build(module.params["python"], Path(wheels) if wheels else None)
        if had != engine:
            copy.install(files)
        if not has_command:
            copy.install_command()
    return {
        "changed": bool(missing or had != engine or not has_command),
        "engine": engine,
        "libraries": (environment.versions() if missing and not module.check_mode else versions) or {},
        "missing": missing,
        "diff": {
            "before": {"engine": had or "", "missing": missing, "command": has_command},
            "after": {"engine": engine, "missing": [], "command": True},
        },
    }


def absent(module, environment, copy):
    refuse_while_alive(Locks(Paths.from_environment().lock_dir))  # the role asks so before it stops the first timer
    if not module.params["force"]:
        refuse_while_left()
    there = {"environment": ENVIRONMENT.exists(), "engine": ENGINE.exists(), "command": COMMAND.exists()}
    if any(there.values()) and not module.check_mode:
        with nobody_at_work():
            copy.remove()
            environment.remove()
    return {
        "changed": any(there.values()),
        "engine": "",
        "libraries": {},
        "missing": [],
        "diff": {"before": there, "after": dict.fromkeys(there, False)},
    }


@contextmanager
def nobody_at_work():
    """Change what processes import only while no run is alive, and keep recovery from starting meanwhile."""
    locks = Locks(Paths.from_environment().lock_dir)
    with locks.recovery(timeout=60.0):
        refuse_while_alive(locks)
        yield


def refuse_while_alive(locks):
    for holder in locks.holders():
        raise InputError(
            f"The run {holder.run} (process {holder.pid}) works on {holder.dataset} since {holder.since}",
            "Try again when it has ended; 'vmware-zfs status' tells",
        )


def refuse_while_left():
    with Database.open(Paths.from_environment(), read_only=True) as database:
        left = Journal(database).open_entries()
    if left:
        raise InputError(
            f"{counted(len(left), 'VMware snapshot')} may be left or still come to be, first '{left[0].name}' of the VM"
            f" '{printable(left[0].vm_name, 80)}' on {left[0].hostname},"
            " which only the runtime on this host would remove",
            "Run 'vmware-zfs recover' until 'vmware-zfs status' tells of none, or set force",
        )


def main():
    run_module(SPEC, run, libraries=())


if __name__ == "__main__":
    main()
