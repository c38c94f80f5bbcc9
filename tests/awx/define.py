# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run playbooks/awx.yml against the stand-in in the same way as against AWX."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..lab.commands import ask
from .api import TOKEN, Awx

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "extensions" / "awx" / "project"
SECRET = "canary-4711"
VARIABLES: dict[str, Any] = {
    "awx_project_url": "https://git.example.com/storage/awx-vmware-zfs.git",
    "awx_machine_credential": "storage hosts",
    "awx_storage_hosts": {"storage01.example.com": {}},
    "awx_vsphere_inputs": {"host": "vcenter.example.com", "username": "snapshots@vsphere.local", "password": SECRET},
    "awx_restore_credential": "restores",
    "awx_follow_up": "VMware ZFS - status",
    "awx_nightly_dataset": "tank/vmware",
}


def playbooks() -> list[str]:
    """Return the playbooks that AWX would find in the project."""
    return sorted(path.name for path in PROJECT.glob("*.yml"))


def define(awx: Awx, **variables: Any) -> "subprocess.CompletedProcess[str]":
    """Run the playbook. The output is in `stdout`."""
    return ask(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            f"--extra-vars={json.dumps({**VARIABLES, **variables})}",
            "quiesce.vmware_zfs.awx",
        ],
        seconds=300,
        CONTROLLER_HOST=awx.url,
        CONTROLLER_OAUTH_TOKEN=TOKEN,
        ANSIBLE_LOCALHOST_WARNING="false",
        ANSIBLE_NOCOLOR="true",
    )
