# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A storage host as release 1.0.0 leaves it, from that release's tarball: engine, command, units, database, journal."""

from __future__ import annotations

import json
import tarfile
from typing import Any

from jinja2 import DictLoader, Environment

from tests.lab.places import ROOT
from tests.lab.push import push
from tests.lab.storage_host import StorageHost

TARBALL = ROOT / "tests" / "data" / "quiesce-vmware_zfs-1.0.0.tar.gz"
UNITS = ("vmware-zfs-recover.service", "vmware-zfs-recover.timer", "vmware-zfs-task@.service")
VARIABLES = {"ansible_managed": "for a test", "runtime_recover_randomized_delay": "5s"}  # the rest is in the defaults
_FOLDER = "/root/release"
_SET_UP = f"""
import json, sys
from pathlib import Path
sys.path.insert(0, "{_FOLDER}/plugins")
from module_utils.registry.credentials import Credential, Credentials
from module_utils.registry.database import Paths
from module_utils.registry.snapshot_tasks import SnapshotTask, SnapshotTasks
from module_utils.runtime.engine_copy import EngineCopy, sources
from module_utils.secret import Secret
credential = json.load(sys.stdin)
copy = EngineCopy(Path("/opt/vmware-zfs/engine"), Path("/usr/local/bin/vmware-zfs"), Path(sys.executable))
copy.install(sources())
copy.install_command()
password = Secret(credential.pop("password"))
with Credentials.open(Paths()) as credentials:
    credentials.insert(Credential("", "", "").merged(credential), password)
with SnapshotTasks.open(Paths()) as tasks:
    print(tasks.insert(SnapshotTask("").merged({{"dataset": credential["filesystem"]}})).id)
"""


def set_up(host: StorageHost, credential: dict[str, Any]) -> int:
    """Set the host up as the role runtime of 1.0.0 does; store the credential and a snapshot task of its filesystem.

    Needs the virtual environment in /opt/vmware-zfs/venv. Returns the id of the task.
    """
    push(host, {f"{_FOLDER}/release.tar.gz": TARBALL, **{f"/etc/systemd/system/{n}": t for n, t in _units().items()}})
    host.ssh(["tar", "-xzf", f"{_FOLDER}/release.tar.gz", "-C", _FOLDER])
    host.ssh(["systemctl", "daemon-reload"])
    done = host.ssh(["/opt/vmware-zfs/venv/bin/python", "-c", _SET_UP], input=json.dumps(credential))
    host.ssh(["rm", "-r", _FOLDER])
    return int(done.stdout)


def _units() -> dict[str, bytes]:
    with tarfile.open(TARBALL) as tar:
        files = {
            member.name.rpartition("/")[2]: tar.extractfile(member)
            for member in tar.getmembers()
            if member.name.startswith("roles/runtime/templates/")
        }
        templates = {name: file.read().decode() for name, file in files.items() if file is not None}
    role = Environment(loader=DictLoader(templates), autoescape=False)
    return {name: role.get_template(f"{name}.j2").render(VARIABLES).encode() for name in UNITS}
