# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the role runtime over SSH, and the recovery that the storage host runs itself.

Use a separate host, because its power is cut. Tasks are slow under emulation, so one test covers everything.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.lab.push import push
from tests.lab.simulator import PASSWORD, USER, Simulator
from tests.lab.storage_host import StorageHost

from . import release_1_0_0
from .conftest import StartVcenter
from .scene import ended, nfs, nodes

ASIDE = "/root/vmware-zfs"
TIMER, SERVICE = "vmware-zfs-recover.timer", "vmware-zfs-recover.service"

ROLE = [
    {
        "name": "Apply a task file of the role",
        "ansible.builtin.include_role": {"name": "quiesce.vmware_zfs.runtime", "tasks_from": "{{ entry }}"},
        "vars": {
            "runtime_wheels": "/var/lib/lab/wheels",
            "runtime_wheels_remote_src": True,
            "runtime_recover_randomized_delay": "5s",
        },
    }
]

# Run other commands in the sandbox of the service: the required ZFS operations work, and others do not.
PROBE = f"""
folder=/run/systemd/system/{SERVICE}.d
mkdir $folder
cat >$folder/probe.conf <<'END'
[Service]
ExecStart=
ExecStart=/bin/sh -exc 'zfs snapshot -o lab:a=b tank/other@probe; zfs set lab:c=d tank/other@probe; ! touch /etc/probe'
END
systemctl daemon-reload
systemctl start {SERVICE} || journalctl --unit {SERVICE} --output=cat
rm -r $folder
systemctl daemon-reload
zfs get -H -o value lab:a,lab:c tank/other@probe
"""


@pytest.fixture
def host() -> Iterator[StorageHost]:
    """A storage host in its initial state. The virtual environment in the image of the lab is moved aside."""
    host = StorageHost("runtime")
    host.reset()
    host.ssh(["mv", "/opt/vmware-zfs", ASIDE])
    yield host
    host.down()


def start_play(folder: Path, host: StorageHost, tasks: list[dict[str, Any]], *options: str) -> "subprocess.Popen[str]":
    """Start ansible-playbook with a play of these tasks."""
    inventory, playbook = folder / "inventory.json", folder / "play.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"storage": host.inventory()}}}))
    play = {"name": "A play on the storage host", "hosts": "storage", "gather_facts": False, "tasks": tasks}
    playbook.write_text(json.dumps([play]))
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("ansible-playbook")), f"--inventory={inventory}", *options, str(playbook)],
        env={**os.environ, "ANSIBLE_PIPELINING": "true", "ANSIBLE_NOCOLOR": "true"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def apply(folder: Path, host: StorageHost, *options: str, entry: str = "main") -> int:
    """Apply the role. Return the number of changed tasks."""
    process = start_play(folder, host, ROLE, f"--extra-vars=entry={entry}", *options)
    said, _unused = process.communicate()
    assert process.returncode == 0, said
    recap = re.search(r"^storage +: ok=\d+ +changed=(\d+)", said, re.MULTILINE)
    assert recap is not None, said
    return int(recap.group(1))


def credential_of(vcenter: Simulator, host: StorageHost, filesystem: str) -> dict[str, Any]:
    """Push the vCenter's authority to the host; return the credential's options."""
    ca_path = f"/etc/ssl/certs/{filesystem.replace('/', '-')}.pem"
    push(host, {ca_path: vcenter.ca_path})
    return {
        "hostname": "10.0.2.2", "port": vcenter.port, "username": USER, "password": PASSWORD,
        "filesystem": filesystem, "ca_path": ca_path,
    }  # fmt: skip


def leave_a_run_of_1_0_0(host: StorageHost, vcenter: Simulator) -> None:
    """Set the host up with release 1.0.0, and kill a run of it while one VM is held and the next is awaited."""
    host.ssh(["mv", ASIDE, "/opt/vmware-zfs"])
    task = release_1_0_0.set_up(host, credential_of(vcenter, host, "tank/other"))
    vcenter.rule(method="CreateSnapshot.*", vm="late", effect="task_hang")
    command = ["ssh", "-F", str(host.ssh_config), "storage", f"vmware-zfs run {task}"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for_tasks(vcenter, "CreateSnapshot", "started", "late", by=run)
    wait_for_tasks(vcenter, "CreateSnapshot", "finished", "held", by=run)
    host.ssh(["pkill", "-KILL", "-f", f"[v]mware-zfs run {task}"])
    assert run.communicate(timeout=60) and run.returncode != 0
    vcenter.release()
    wait_for_tasks(vcenter, "CreateSnapshot", "finished", "late")
    assert ours(vcenter) == ["held", "late"]


def start_run(folder: Path, host: StorageHost, vcenter: Simulator) -> "subprocess.Popen[str]":
    """Start a coordinated snapshot of tank/vmware from the controller."""
    credential = credential_of(vcenter, host, "tank/vmware")
    task = {"dataset": "tank/vmware", "schedule": {"minute": "0", "hour": "0", "dom": "29", "month": "2"}}
    snapshot = {"dataset": "tank/vmware", "name": "cut"}
    tasks = [
        {"name": "Store how to log in", "quiesce.vmware_zfs.vmware_cred": credential},
        {"name": "Store a snapshot task", "quiesce.vmware_zfs.vmware_snapshot_task": task},
        {"name": "Take a snapshot", "quiesce.vmware_zfs.vmware_coordinated_snapshot": snapshot},
    ]
    return start_play(folder, host, tasks)


def wait_for_tasks(
    vcenter: Simulator, method: str, event: str, *vms: str, by: "subprocess.Popen[str] | None" = None
) -> None:
    """Wait until the tasks of this type on `vms` reach `event`. If `by` ends earlier, fail with its output."""
    deadline = time.monotonic() + 300
    waiting = set(vms)
    while waiting:
        waiting -= {entry["vm_name"] for entry in ended(vcenter, method, event)}
        assert by is None or by.poll() is None, by.communicate()[0]
        assert time.monotonic() < deadline, f"{method} on {waiting} did not come to be {event}: {vcenter.trace()}"
        time.sleep(0.2)


def ours(vcenter: Simulator) -> list[str]:
    """Return the VMs with a VMware snapshot of the engine from the inventory of the simulator."""
    return sorted(
        vm
        for vm, trees in vcenter.snapshots().items()
        for node in nodes(trees)
        if node["name"].startswith("vmware-zfs ")
    )


def shown(host: StorageHost, unit: str, *properties: str) -> dict[str, str]:
    """Return the properties of a unit."""
    lines = host.ssh(["systemctl", "show", unit, f"--property={','.join(properties)}"]).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines)


def wait_for_recovery(host: StorageHost) -> None:
    """Wait until no recovery is active."""
    host.ssh(["sh", "-c", f"while systemctl is-active {SERVICE} | grep -q activating; do sleep 0.5; done"], timeout=300)


def status(host: StorageHost) -> tuple[int, dict[str, Any]]:
    """Return the output of the command and its exit status."""
    done = host.ssh(["vmware-zfs", "status", "--json"], check=False)
    return done.returncode, json.loads(done.stdout)


def test_a_host_that_lost_power_recovers_at_boot_by_itself(
    host: StorageHost, start_vcenter: StartVcenter, tmp_path: Path
) -> None:
    # First use check mode on an empty host: it predicts the changes and makes none.
    assert apply(tmp_path, host, "--check") == 2
    assert host.ssh(["ls", "/opt/vmware-zfs", f"/etc/systemd/system/{TIMER}"], check=False).stdout == ""

    # Set the host up with release 1.0.0 and kill a run. The role then upgrades the engine, units, database and journal.
    old = start_vcenter(nfs("other", "tank/other", {"name": "held"}, {"name": "late"}))
    leave_a_run_of_1_0_0(host, old)
    assert apply(tmp_path, host) == 3
    assert "systemd-run" in host.ssh(["systemctl", "cat", "vmware-zfs-task@1.service"]).stdout
    host.ssh(["systemctl", "start", SERVICE], check=False)  # waits for a recovery that the timer started
    assert ours(old) == [], host.ssh(["journalctl", "--unit", SERVICE, "--output=cat"]).stdout
    assert apply(tmp_path, host) == 0
    code, found = status(host)
    assert code == 0 and found["left"] == found["alive"] == found["problems"] == []
    assert [one["zfs_snapshot"].partition("@")[0] for one in found["runs"]] == ["tank/other"]
    assert shown(host, TIMER, "ActiveState", "UnitFileState") == {"ActiveState": "active", "UnitFileState": "enabled"}
    assert shown(host, SERVICE, "LimitCORE") == {"LimitCORE": "0"}
    exposure = host.ssh(["systemd-analyze", "security", "--no-pager", SERVICE]).stdout.splitlines()[-1]
    assert float(re.findall(r"[0-9]+\.[0-9]+", exposure)[0]) < 4.0, exposure

    wait_for_recovery(host)
    assert host.ssh(["sh", "-es"], input=PROBE).stdout == "b\nd\n"

    # The power fails during a run that holds two VMs and creates the VMware snapshot of a third one.
    vcenter = start_vcenter(nfs("vmware", "tank/vmware", {"name": "web"}, {"name": "db"}, {"name": "app"}))
    vcenter.rule(method="CreateSnapshot.*", vm="app", effect="task_hang")
    run = start_run(tmp_path, host, vcenter)
    wait_for_tasks(vcenter, "CreateSnapshot", "started", "app", by=run)
    wait_for_tasks(vcenter, "CreateSnapshot", "finished", "db", "web", by=run)
    host.power_cut()
    assert run.communicate(timeout=120) and run.returncode != 0
    vcenter.release()
    wait_for_tasks(vcenter, "CreateSnapshot", "finished", "app")
    assert ours(vcenter) == ["app", "db", "web"] and not ended(vcenter, "RemoveSnapshot")

    # Only systemd calls recover.
    host.boot()
    wait_for_tasks(vcenter, "RemoveSnapshot", "finished", "app", "db", "web")
    assert ours(vcenter) == []
    wait_for_recovery(host)
    said = host.ssh(["journalctl", "--boot", "--unit", SERVICE, "--output=cat"]).stdout
    assert shown(host, SERVICE, "Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}, said
    removed = r"^removed VMware snapshot 'vmware-zfs \S+' of the VM '(?:app|db|web)'"
    assert len(re.findall(removed, said, re.MULTILINE)) == 3, said
    assert shown(host, TIMER, "ActiveState") == {"ActiveState": "active"}
    code, found = status(host)
    assert found["runs"][0]["zfs_snapshot"] == "tank/vmware@cut"
    # The response for app was lost with the power, so it may be watched for some time although it does not exist.
    assert {one["vm"] for one in found["watched"]} <= {"app", "late"} and found["left"] == [] and code == 0

    # After the removal, the host keeps its state, and systemd has no timer of the runtime.
    assert shown(host, "vmware-zfs-task@2.timer", "ActiveState") == {"ActiveState": "active"}
    assert apply(tmp_path, host, "--extra-vars=runtime_force=true", entry="remove") > 0
    left = host.ssh(["ls", "-d", "/opt/vmware-zfs", f"/etc/systemd/system/{TIMER}", "/var/lib/vmware-zfs"], check=False)
    assert left.stdout.split() == ["/var/lib/vmware-zfs"]
    assert host.ssh(["systemctl", "list-timers", "--all", "--no-legend", "vmware-zfs-*"]).stdout == ""
