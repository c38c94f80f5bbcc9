# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the playbook remove with this machine as the storage host and the simulated vCenter.

tests/check/test_playbooks.py tests the order of the removals and the checks before them.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from tests.collection_path import collections_path
from tests.lab.commands import ask
from tests.lab.places import GUEST
from tests.lab.simulator import Simulator

from .conftest import StartVcenter
from .scene import open_scene, run_module


def mounted(vcenter: Simulator) -> bool:
    return any(mount["datastore"] == "vmware" for host in vcenter.hosts() for mount in host["mounts"])


def test_nothing_goes_while_vms_are_registered_and_then_everything(start_vcenter: StartVcenter) -> None:
    vcenter = start_vcenter({"name": "local", "type": "local"})
    server = {"hostname": vcenter.host, "port": vcenter.port, "username": vcenter.user, "filesystem": "tank/vmware"}
    datastore = {**server, "name": "vmware", "servers": [GUEST], "path": "/tank/vmware", "cluster": "DC0_C0"}
    variables = {
        "vmware_zfs_hosts": "localhost", "ansible_become": False,
        "nfs_share_shares": [{"path": "/tank/vmware"}], "credentials_credentials": [server],
        "nfs_datastore_datastores": [datastore], "snapshot_task_tasks": [{"dataset": "tank/vmware"}],
    }  # fmt: skip

    def remove(fails: bool = False) -> tuple[int, str]:
        """Return the number of changed tasks and the output."""
        done = ask(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                f"-e{json.dumps(variables)}",
                "quiesce.vmware_zfs.remove",
            ],
            ANSIBLE_COLLECTIONS_PATH=str(collections_path()),
            ANSIBLE_PYTHON_INTERPRETER=sys.executable,
            ANSIBLE_NOCOLOR="true",
            COLUMNS="80",
        )
        assert (done.returncode != 0) is fails, done.stdout
        recap = re.search(r"^localhost +: ok=\d+ +changed=(\d+)", done.stdout, re.MULTILINE)
        assert recap is not None, done.stdout
        return int(recap.group(1)), " ".join(done.stdout.split())

    with open_scene("tank/vmware") as scene:
        scene.enrol(vcenter)
        assert run_module("vmware_nfs_datastore", datastore)["changed"]
        vcenter.deploy("vmware", {"name": "web"})

        changed, said = remove(fails=True)
        assert "'vmware' has 1 registered VM ('web'" in said
        assert changed == 0 and mounted(vcenter) and len(scene.engine.credentials.list_all()) == 1

        vcenter.unregister("web")
        assert remove()[0] == 2 and not mounted(vcenter) and scene.engine.credentials.list_all() == []
