# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the engine on the storage host with a credential and a snapshot task. Use functions of the engine instead of
roles, which take minutes under emulation.
"""

from __future__ import annotations

import json
from typing import Any

from jinja2 import Environment, FileSystemLoader

from tests.lab.places import ROOT
from tests.lab.push import engine_files, push
from tests.lab.simulator import Simulator
from tests.lab.storage_host import StorageHost

CA_PATH = "/etc/ssl/certs/lab-vcenter.pem"
SET_UP = """
import json, sys
from pathlib import Path
sys.path.insert(0, "/root/push")
from engine.state.credentials import Credential, Credentials
from engine.state.database import Paths
from engine.state.snapshot_tasks import SnapshotTask, SnapshotTasks
from engine.runtime.engine_copy import EngineCopy, sources
from engine.schedule import occurrences
from engine.tasks import timers
from engine.secret import Secret
import time
given = json.load(sys.stdin)
paths = Paths()
copy = EngineCopy(Path("/opt/vmware-zfs/engine"), Path("/usr/local/bin/vmware-zfs"), Path(sys.executable))
if given.get("credential"):
    copy.install(sources())
    copy.install_command()
    password = Secret(given["credential"].pop("password"))
    with Credentials.open(paths) as credentials:
        credentials.insert(Credential("", "", "").merged(given["credential"]), password)
with SnapshotTasks.open(paths) as tasks:
    wanted = (tasks.find(SnapshotTask("").merged({"dataset": given["task"]["dataset"]})) or SnapshotTask(""))
    wanted = wanted.merged(given["task"])
    stored = tasks.update(wanted) if wanted.id else tasks.insert(wanted)
systemd = timers.Timers()
systemd.require()
wakings = occurrences.wakings(stored.schedule, time.time())
timer = timers.wanted(stored.dataset, wakings, stored.jitter, stored.enabled)
systemd.change(stored.id, systemd.read(stored.id), timer)
print(stored.key)
"""


REMOVE_TIMER = """
import sys
sys.path.insert(0, "/root/push")
from engine.tasks import timers
systemd = timers.Timers()
systemd.change(1, systemd.read(1), timers.NONE)
"""


def bring(host: StorageHost) -> None:
    """Install the engine, and the unit of the service as rendered by the role runtime."""
    role = Environment(loader=FileSystemLoader(ROOT / "roles" / "runtime" / "templates"), autoescape=False)
    unit = role.get_template("vmware-zfs-task@.service.j2").render(ansible_managed="for a test").encode()
    push(host, {**engine_files("/root/push/engine"), "/etc/systemd/system/vmware-zfs-task@.service": unit})


def have(host: StorageHost, schedule: dict[str, str], credential: dict[str, Any] | None = None) -> str:
    """Store the credential and the snapshot task with its timer. Return the key of the task."""
    task = {
        "dataset": "tank/vmware", "recursive": True, "lifetime_value": 1, "lifetime_unit": "HOUR",
        "schedule": {"minute": "*", "hour": "*", **schedule},
    }  # fmt: skip
    script = ["/opt/vmware-zfs/venv/bin/python", "-c", SET_UP]
    return host.ssh(script, json.dumps({"credential": credential, "task": task}), timeout=300).stdout.strip()


def enrol(vcenter: Simulator, host: StorageHost) -> dict[str, Any]:
    """Return the vCenter login for the storage host, and install the CA certificate of the vCenter there."""
    push(host, {CA_PATH: vcenter.ca_path})
    return {
        "hostname": "10.0.2.2", "port": vcenter.port, "username": vcenter.user, "password": vcenter.password,
        "filesystem": "tank/vmware", "ca_path": CA_PATH,
    }  # fmt: skip


def remove_timer(host: StorageHost) -> None:
    """Remove the timer of the first task, as vmware_snapshot_task does."""
    host.ssh(["/opt/vmware-zfs/venv/bin/python", "-c", REMOVE_TIMER])
