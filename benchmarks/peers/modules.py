# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do the job with a playbook that a user would write with the modules of other collections.

    python -m benchmarks.peers.modules --system vmware.vmware|community.vmware --mode loop|async

It reads a job as JSON from standard input and prints its cost: `seconds` and `cpu_seconds` of ansible-playbook with all
its child processes, and `peak_mb` of the largest process (not the sum: `async` has many at a time).

`loop` snapshots one VM at a time. `async` starts the maximum number of tasks per vCenter, and waits for them before it
starts the next batch. Server and password are in the environment, which both collections read. The certificate is
verified with the authority in SSL_CERT_FILE, because the collections have no option for it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .environment import peers_environment

MODULES = {"vmware.vmware": "vmware.vmware.vm_snapshot", "community.vmware": "community.vmware.vmware_guest_snapshot"}
DATACENTER = "DC0"  # the simulator's first datacenter; both modules need one
TASK_SECONDS = 3600  # a user's time limit for one snapshot
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def main() -> None:
    parser = argparse.ArgumentParser(description="Do a job with the module of a peer")
    parser.add_argument("--system", choices=sorted(MODULES), required=True)
    parser.add_argument("--mode", choices=("loop", "async"), required=True)
    options = parser.parse_args()
    job = json.load(sys.stdin)
    if len(job["vcenters"]) != 1:
        sys.exit("The playbooks of the peers support only one vCenter; pass a job with one vCenter")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "playbook.json")  # JSON is YAML
        path.write_text(json.dumps(playbook(job, MODULES[options.system], options.mode), indent=1), encoding="utf-8")
        print(json.dumps(play(path, job["vcenters"][0])))


def playbook(job: dict[str, Any], module: str, mode: str) -> list[dict[str, Any]]:
    """Create all VMware snapshots, take the ZFS snapshot, and always remove the VMware snapshots."""
    zfs = ["zfs", "snapshot", "-r", f"{job['dataset']}@{job['snapshot']}"]
    create = _tasks(job, module, mode, {"state": "present", "quiesce": True})
    remove = _tasks(job, module, mode, {"state": "absent"})
    take = {"name": "Take the ZFS snapshot", "ansible.builtin.command": {"argv": zfs}}
    tasks = [{"name": "Snapshot the VMs", "block": [*create, take], "always": remove}]
    return [{"name": "One consistent snapshot", "hosts": "localhost", "gather_facts": False, "tasks": tasks}]


def _tasks(job: dict[str, Any], module: str, mode: str, what: dict[str, Any]) -> list[dict[str, Any]]:
    task = {
        "name": f"Ensure that the VMware snapshots are {what['state']}",
        module: {
            "datacenter": DATACENTER,
            "folder": f"/{DATACENTER}/vm",
            "name": "{{ item }}",
            "snapshot_name": job["snapshot"],
            **what,
        },
    }
    if mode == "loop":
        return [{**task, "loop": job["vms"]}]
    wait = {
        "name": "Wait for the VMware snapshots",
        "ansible.builtin.async_status": {"jid": "{{ item.ansible_job_id }}"},
        "loop": "{{ begun.results }}",
        "register": "ended",
        "until": "ended is finished",
        "retries": TASK_SECONDS,
        "delay": 1,
    }
    size = job["limits"]["per_vcenter"]
    batches = [job["vms"][first : first + size] for first in range(0, len(job["vms"]), size)]
    return [
        step
        for batch in batches
        for step in ({**task, "loop": batch, "async": TASK_SECONDS, "poll": 0, "register": "begun"}, wait)
    ]


def play(path: Path, vcenter: dict[str, Any]) -> dict[str, float]:
    """Run the playbook and return its cost. Raise SystemExit with the output of ansible-playbook if it fails."""
    # A background task outlives its parent process. It must become a child of this process to be counted.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    command = [str(peers_environment() / "bin" / "ansible-playbook"), str(path)]
    log = path.with_name("log")
    begun = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=path.parent,
            env=_environment(path.parent, vcenter),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    cpu_seconds, peak_kb = 0.0, 0
    ended, status = begun, 1
    while True:
        try:
            pid, result, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        cpu_seconds += usage.ru_utime + usage.ru_stime
        peak_kb = max(peak_kb, usage.ru_maxrss)
        if pid == process.pid:
            ended, status = time.monotonic(), os.waitstatus_to_exitcode(result)
            process.returncode = status
    if status:
        sys.exit(f"ansible-playbook ended with status {status}:\n{log.read_text(encoding='utf-8', errors='replace')}")
    return {"seconds": ended - begun, "cpu_seconds": cpu_seconds, "peak_mb": peak_kb / 1024}


def _environment(folder: Path, vcenter: dict[str, Any]) -> dict[str, str]:
    """The environment of the caller, without the variables of Ansible and Python: the peers must not see these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
    return {
        **kept,
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_ASYNC_DIR": str(folder / "async"),
        "SSL_CERT_FILE": vcenter["ca_path"],
        "VMWARE_HOST": vcenter["hostname"],
        "VMWARE_PORT": str(vcenter["port"]),
        "VMWARE_USER": vcenter["username"],
        "VMWARE_PASSWORD": vcenter["password"],
        "VMWARE_VALIDATE_CERTS": "true",
    }


if __name__ == "__main__":
    main()
