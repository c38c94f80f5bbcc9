# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cost of a module call before the module does its work: AnsiballZ, start of Python, imports, arguments.

One play calls the module once, another one many times. The difference gives the cost of one more call. For comparison,
ansible.builtin.ping is measured, which does nothing else. One of our modules rejects its input; the other one connects
to a closed port, after it has loaded pyVmomi. As on a storage host, Ansible runs the Python of the distribution, and a
module that needs pyVmomi replaces itself with the Python of the role `runtime`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.collection_path import collections_path

from .interpreter import module_environment

PING = "ansible.builtin.ping"
OURS = "quiesce.vmware_zfs.vmware_coordinated_snapshot"
CONNECTING = "quiesce.vmware_zfs.vmware_nfs_datastore"
_CALLS = 10
_PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - {module}: {arguments}
      loop: "{{{{ range({calls}) | list }}}}"
      ignore_errors: true
"""
_ARGUMENTS = {  # and what its error message contains
    PING: ("{}", "ok: [localhost]"),
    OURS: (
        "{dataset: tank/bench, name: bench, vm_timeout: 2, max_hold: 1}",
        "vm_timeout (2 s)",
    ),
    CONNECTING: (
        "{hostname: 127.0.0.9, port: 9, username: u, password: p, name: n, servers: [h], path: /p, datacenter: d}",
        "127.0.0.9:9",
    ),
}


def measure(module: str) -> float:
    """The seconds that one more call of the module takes."""
    with tempfile.TemporaryDirectory() as folder:
        return (_play(module, 1 + _CALLS, Path(folder)) - _play(module, 1, Path(folder))) / _CALLS


def _play(module: str, calls: int, folder: Path) -> float:
    play = folder / "play.yml"
    arguments, answer = _ARGUMENTS[module]
    play.write_text(_PLAY.format(module=module, arguments=arguments, calls=calls), encoding="utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(collections_path()),
        **module_environment(),
        "VMWARE_ZFS_STATE_DIR": str(folder / "state"),
        "VMWARE_ZFS_KEY_FILE": str(folder / "etc" / "secret.key"),
        "VMWARE_ZFS_LOCK_DIR": str(folder / "run"),
    }
    begun = time.monotonic()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", str(play)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.monotonic() - begun
    if done.stdout.count(answer) < calls:
        raise RuntimeError(f"the play of {module} failed: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    return seconds
