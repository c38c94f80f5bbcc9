# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role credentials stores, changes and purges credentials, never shows a password, and explains failures.

The test runs on this machine instead of the storage host to save time. The demo applies the role over SSH.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.lab.simulator import Simulator

CANARY = "canary-4711"


def apply(
    folder: Path, credentials: list[dict[str, Any]], *options: str, entry: str = "main", **variables: Any
) -> "subprocess.CompletedProcess[str]":
    """Apply the role with -vvv and --diff."""
    playbook = folder / "play.json"
    task = {
        "name": "Apply a task file of the role",
        "ansible.builtin.include_role": {"name": "quiesce.vmware_zfs.credentials", "tasks_from": entry},
        "vars": {"credentials_credentials": credentials, **variables},
    }
    play = {"name": "Store", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}
    playbook.write_text(json.dumps([play]))
    return subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-vvv", "--diff", *options, str(playbook)],
        env={
            **os.environ,
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "VMWARE_ZFS_STATE_DIR": str(folder / "state"),
            "VMWARE_ZFS_KEY_FILE": str(folder / "key" / "secret.key"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_does_what_it_says_and_shows_no_password(tree: str, vcenter: Simulator, tmp_path: Path) -> None:
    right = {
        "hostname": vcenter.host, "port": vcenter.port, "username": vcenter.user, "password": vcenter.password,
        "filesystem": tree, "thumbprint": vcenter.thumbprint,
    }  # fmt: skip
    down = {"hostname": "esxi.lab", "username": "root", "password": CANARY, "filesystem": tree, "verify_login": False}

    predicted = apply(tmp_path, [right, down], "--check")
    assert predicted.returncode == 0 and "changed=1" in predicted.stdout, predicted.stdout
    assert not (tmp_path / "state").exists()
    stored = apply(tmp_path, [right, down])
    assert stored.returncode == 0 and "changed=1" in stored.stdout, stored.stdout
    key = (tmp_path / "key" / "secret.key").read_bytes()
    replaced = apply(tmp_path, [], entry="rotate_key", credentials_key_max_age=0)
    assert replaced.returncode == 0 and "changed=1" in replaced.stdout, replaced.stdout
    assert key != (tmp_path / "key" / "secret.key").read_bytes()
    again = apply(tmp_path, [right, down])
    assert again.returncode == 0 and "changed=0" in again.stdout, again.stdout
    changed = apply(tmp_path, [{**right, "datastores": ["vmware"]}, down])
    assert changed.returncode == 0 and "changed=1" in changed.stdout, changed.stdout
    wrong = apply(tmp_path, [{**right, "password": CANARY}, down])
    assert wrong.returncode != 0 and "refused the login" in wrong.stdout, wrong.stdout
    twice = apply(tmp_path, [right, {**right, "hostname": vcenter.host.upper(), "password": CANARY}])
    assert twice.returncode != 0 and "lists a credential twice" in twice.stdout, twice.stdout
    purged = apply(tmp_path, [right], credentials_purge=True)
    assert purged.returncode == 0 and "(item=esxi.lab)" in purged.stdout, purged.stdout
    for done in (predicted, stored, replaced, again, changed, wrong, twice, purged):
        assert CANARY not in done.stdout + done.stderr and vcenter.password not in done.stdout + done.stderr
        assert f"item={vcenter.host}" in done.stdout or done in (replaced, twice)
