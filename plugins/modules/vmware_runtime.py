#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_runtime
short_description: Install the runtime that lets a storage host work without a controller
version_added: 1.0.0
description:
  - Installs the software that the storage host needs to take and recover coordinated snapshots without a controller. It
    consists of a virtual environment with pyVmomi and cryptography in C(/opt/vmware-zfs/venv), a copy of this
    collection's engine in C(/opt/vmware-zfs/engine), and the command C(/usr/local/bin/vmware-zfs).
  - The role P(quiesce.vmware_zfs.runtime#role) calls this module and adds the systemd units that use the command.
  - A new engine replaces the old one in one step. A running process continues with the engine that it started with. The
    copy of that engine is kept until no process uses it.
  - The module never changes the state, which consists of the credentials, the key and the journal.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
author:
  - The quiesce.vmware_zfs authors (@quiesce)
requirements:
  - Python 3.9 or later with the C(venv) module, on the storage host
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
      - V(present) installs the runtime of this collection, or updates it.
      - V(absent) removes the virtual environment, the engine and the command. The module fails while a run is active.
        It also fails while the journal lists VMware snapshots that are left or watched, because this host could no
        longer remove them.
    type: str
    choices: [present, absent]
    default: present
  python:
    description: The Python to create the virtual environment with. It is used only if there is no working environment.
    type: path
    default: /usr/bin/python3
  wheels:
    description:
      - A directory of wheels on the storage host. Use this to install the libraries on a host without access to a
        package index.
      - If not set, pip installs the libraries from the package index that is configured on the host.
    type: path
  force:
    description:
      - Whether O(state=absent) removes the runtime even if VMware snapshots may be left. It never removes the runtime
        while a run is active.
    type: bool
    default: false
seealso:
  - module: quiesce.vmware_zfs.vmware_snapshot_recover
"""

EXAMPLES = r"""
- name: Install the runtime with libraries from the package index
  quiesce.vmware_zfs.vmware_runtime:

- name: Install the runtime on a host without a package index
  quiesce.vmware_zfs.vmware_runtime:
    wheels: /var/cache/vmware-zfs-wheels

- name: Remove the runtime
  quiesce.vmware_zfs.vmware_runtime:
    state: absent
"""

RETURN = r"""
engine:
  description: The hash of the engine's files, which identifies its version. Empty if the engine was removed.
  returned: success
  type: str
  sample: 3f2a9c0d41be77e5
libraries:
  description: The versions of the libraries in the virtual environment. In check mode, the current versions.
  returned: success
  type: dict
  sample: {"pyVmomi": "8.0.3.0.1", "cryptography": "42.0.5"}
missing:
  description: The libraries that were missing or too old, each with the minimum version.
  returned: success
  type: list
  elements: str
  sample: ["pyVmomi>=8.0.3"]
"""

import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils import _ansible
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runtime import engine_copy, python_environment
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.locks import Locks
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.text import counted, printable

ENVIRONMENT = Path(_ansible.RUNTIME_PYTHON).parents[1]
ENGINE = ENVIRONMENT.with_name("engine")
COMMAND = Path("/usr/local/bin/vmware-zfs")

SPEC = _ansible.ArgumentSpec(
    {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "python": {"type": "path", "default": "/usr/bin/python3"},
        "wheels": {"type": "path"},
        "force": {"type": "bool", "default": False},
    }
)


def run(module: Any) -> dict[str, Any]:
    os.umask(0o022)  # everyone can read the files, only root can change them
    environment = python_environment.PythonEnvironment(ENVIRONMENT)
    copy = engine_copy.EngineCopy(ENGINE, COMMAND, environment.python)
    change = present if module.params["state"] == "present" else absent
    return change(module, environment, copy)


def present(
    module: Any, environment: python_environment.PythonEnvironment, copy: engine_copy.EngineCopy
) -> dict[str, Any]:
    files = engine_copy.sources()
    engine, versions, had = engine_copy.digest(files), environment.versions(), copy.digest()
    missing, has_command = python_environment.lacking(versions), copy.has_command()
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


def absent(
    module: Any, environment: python_environment.PythonEnvironment, copy: engine_copy.EngineCopy
) -> dict[str, Any]:
    refuse_while_alive(Locks(Paths.from_environment().lock_dir))  # the role checks this before it stops a timer
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
def nobody_at_work() -> Iterator[None]:
    """Require that no run is active, and hold the recovery lock while the files that processes import change."""
    locks = Locks(Paths.from_environment().lock_dir)
    with locks.recovery(timeout=60.0):
        refuse_while_alive(locks)
        yield


def refuse_while_alive(locks: Locks) -> None:
    for holder in locks.holders():
        raise InputError(
            f"The run {holder.run} (process {holder.pid}) has been active on {holder.dataset} since {holder.since}",
            "Try again after the run has ended; 'vmware-zfs status' shows active runs",
        )


def refuse_while_left() -> None:
    with Database.open(Paths.from_environment(), read_only=True) as database:
        left = Journal(database).open_entries()
    if left:
        raise InputError(
            f"{counted(len(left), 'VMware snapshot')} may exist or may still appear, for example '{left[0].name}' of "
            f"the VM '{printable(left[0].vm_name, 80)}' on {left[0].hostname}, and only the runtime on this host can"
            " remove them",
            "Run 'vmware-zfs recover' until 'vmware-zfs status' lists none, or set force",
        )


def main() -> None:
    _ansible.run_module(SPEC, run, libraries=())


if __name__ == "__main__":
    main()
