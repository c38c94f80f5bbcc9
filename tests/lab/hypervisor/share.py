# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Share a dataset with the hypervisor as the collection does: with its own engine, on the storage host."""

from __future__ import annotations

import json

from ..link import HYPERVISOR
from ..places import LabError
from ..push import engine_files, push
from ..storage_host import StorageHost

FOLDER = "/run/hypervisor-share"
PROGRAM = f"""
import json, sys
sys.path.insert(0, "{FOLDER}")
from engine.exports.server import NfsServer
options, server = json.load(sys.stdin), NfsServer()
plan = server.plan(options)
if plan.is_needed:
    server.carry_out(plan)
"""


def share(storage: StorageHost, path: str) -> None:
    """Export a dataset read-write to the hypervisor, with the access of root."""
    push(storage, engine_files(f"{FOLDER}/engine"))
    asked = {
        "state": "present", "path": path, "networks": [], "hosts": [HYPERVISOR], "maproot_user": "root",
        "maproot_group": "wheel", "mapall_user": None, "mapall_group": None, "read_only": False,
        "security": ["sys"], "enabled": True,
    }  # fmt: skip
    done = storage.ssh(["python3", "-c", PROGRAM], input=json.dumps(asked), check=False)
    if done.returncode:
        raise LabError(f"The share of {path} could not be changed: {done.stderr.strip()[-500:]}")
