# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore VMs with a playbook that a user would write with the modules of other collections.

    python -m benchmarks.restores.playbook

It reads a job as JSON from standard input and prints its cost. The steps are those of `vmware-zfs restore`: copy the
folder, register the VM, revert it to the VMware snapshot of the run, remove that, disconnect the network card, and
power on the VM. The playbook does not check that the disks of a VM are in its folder, and it undoes nothing.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.lab.storage_host import StorageHost

from ..peers.modules import DATACENTER, play

_ITEM = {"datacenter": DATACENTER, "name": "{{ item }}-restored"}


def main() -> None:
    job = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "playbook.json")  # JSON is YAML
        path.write_text(json.dumps(playbook(job), indent=1), encoding="utf-8")
        print(json.dumps(play(path, job["vcenter"])))


def playbook(job: dict[str, Any]) -> list[dict[str, Any]]:
    folder, ours = f"/{DATACENTER}/vm", job["vmware_snapshot"]
    dataset, _unused, snapshot = job["snapshot"].partition("@")
    ssh = ["ssh", "-F", str(StorageHost(job["storage_host"]).ssh_config), "storage"]
    copy = f"cp -a /{dataset}/.zfs/snapshot/{snapshot}/{{{{ item }}}} /{dataset}/{{{{ item }}}}-restored"
    vmx = f"[{job['datastore']}] {{{{ item }}}}-restored/{{{{ item }}}}.vmx"
    answer = {"question": "msg.uuid.altered", "response": "button.uuid.copiedTheVM"}
    modules = {
        "Copy the folder": {"ansible.builtin.command": {"argv": [*ssh, copy]}},
        "Register the VM": {
            "community.vmware.vmware_guest_register_operation": {
                **_ITEM, "folder": folder, "esxi_hostname": job["esxi_host"], "path": vmx,
            }
        },
        "Revert the VM": {
            "community.vmware.vmware_guest_snapshot": {
                **_ITEM, "folder": folder, "state": "revert", "snapshot_name": ours,
            }
        },
        "Remove the VMware snapshot": {
            "vmware.vmware.vm_snapshot": {**_ITEM, "folder": folder, "state": "absent", "snapshot_name": ours}
        },
        "Disconnect the network card": {
            "community.vmware.vmware_guest_network": {
                **_ITEM, "label": "Network adapter 1", "network_name": "VM Network", "connected": False,
                "start_connected": False,
            }
        },
        "Power on the VM": {
            "vmware.vmware.vm_powerstate": {
                **_ITEM, "folder": folder, "state": "powered-on", "question_answers": [answer],
            }
        },
    }  # fmt: skip
    tasks = [{"name": name, **module, "loop": job["vms"]} for name, module in modules.items()]
    return [{"name": "Restore the VMs", "hosts": "localhost", "gather_facts": False, "tasks": tasks}]


if __name__ == "__main__":
    main()
