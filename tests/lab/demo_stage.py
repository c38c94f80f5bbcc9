# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab of `make demo` and `make restore`: a storage host that site.yml has configured, and VMs on its datastore.

The storage host runs real OpenZFS; the vCenter is simulated. The collection is built and installed as a user does, with
the oldest supported ansible-core, and site.yml is applied over ssh. The storage host's own timer takes the snapshots.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Iterator

from .by_hand import attached, vcenter_folder
from .hypervisor.host import Hypervisor
from .installed import Installed, install
from .places import BUILD, LabError
from .progress import step
from .role_lines import RoleLines
from .simulator import Simulator, end_stray
from .storage_host import StorageHost

FOLDER = BUILD / "demo"
NAME = "demo"
API = "8.0.2.0"
TIMER, SERVICE = "vmware-zfs-task@1.timer", "vmware-zfs-task@1.service"
TIMER_SECONDS = 300.0  # the task runs every minute
INVENTORY: dict[str, Any] = {
    "datacenters": ["DC0"],
    "datastores": [{"name": "local", "type": "local", "vms": [{"name": "scratch", "count": 2}]}],
}
VMS: tuple[dict[str, Any], ...] = (
    {"name": "app"},
    {"name": "appliance", "tools": "not_installed"},  # accepted at crash in demo.yml
    {"name": "archive", "power": "off"},
    {"name": "ci-runner"},  # excluded in demo.yml
    {"name": "db", "guest": "windows"},
    {"name": "erp", "guest": "windows"},  # its quiesce fails
    {"name": "golden-image", "template": True},
    {"name": "mail", "guest": "windows", "real": True},
    {"name": "web", "real": True},
)
REAL = tuple(vm["name"] for vm in VMS if vm.get("real"))
DATASET = "tank/vmware"
LEVELS = {
    "app": "filesystem",
    "appliance": "crash",
    "archive": "still",
    "ci-runner": "crash",
    "db": "application",
    "erp": "crash",
    "golden-image": "still",
    "mail": "application",
    "web": "filesystem",
}


@dataclass(frozen=True)
class Stage:
    """The storage host, the hypervisor for VMs with real disks, and the vCenter. All of them run."""

    host: StorageHost
    hypervisor: Hypervisor
    vcenter: Simulator


@contextmanager
def new(keep: bool) -> Iterator[Stage]:
    """Start everything with nothing configured. It ends with the block, or with `keep` only if the block fails."""
    host = StorageHost(NAME)
    end_stray(vcenter_folder(host))
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with ExitStack() as running:
        running.callback(host.down)
        step("Start a storage host with nothing configured", host.reset)
        hypervisor = Hypervisor(host)
        running.callback(hypervisor.down)
        step("Start a hypervisor for VMs with real disks", hypervisor.up)
        vcenter = step("Start a simulated vCenter", lambda: start_vcenter(host, hypervisor.port, keep))
        yield Stage(host, hypervisor, running.enter_context(vcenter))
        if keep:
            running.pop_all()


def kept() -> Stage:
    """Return the lab that `make demo ARGS=--keep` left running. Raises LabError if there is none."""
    host = StorageHost(NAME)
    hypervisor = Hypervisor(host)
    if not host.running() or not hypervisor.running():
        raise LabError("No demo is left running; run `make demo ARGS=--keep` first")
    return Stage(host, hypervisor, attached(host))


def build_collection() -> Installed:
    return step("Build and install the collection", lambda: install(FOLDER / "controller"))


def configure(stage: Stage, installed: Installed, verbose: bool) -> int:
    """Apply site.yml and show each role. Returns the number of tasks that changed something."""
    print(f"\nApply site.yml with {installed.version()}:", flush=True)
    return play(stage, installed, verbose)


def deploy(stage: Stage) -> None:
    """Deploy the VMs on the datastore that site.yml has mounted."""
    names = ", ".join(vm["name"] for vm in VMS)
    step(f"Deploy {len(VMS)} VMs on the new datastore", lambda: stage.vcenter.deploy("vmware", *VMS))
    print(f"  {names}; {' and '.join(REAL)} have real disks", flush=True)


def wait_for_timer(stage: Stage, since: float) -> dict[str, Any]:
    """Return the first run that the timer starts after `since` (seconds since the epoch), and stop the timer."""
    return step("Wait until the timer of the storage host takes a snapshot", lambda: by_timer(stage.host, since))


def start_vcenter(host: StorageHost, hypervisor: int, keep: bool) -> Simulator:
    vcenter = Simulator.start(
        INVENTORY,
        directory=vcenter_folder(host),
        api_version=API,
        create_seconds=1.0,
        remove_seconds=1.0,
        detached=keep,
        hypervisor=hypervisor,
    )
    for run_number in range(20):
        # Each run creates two snapshots of this VM: a quiesced one, which fails, and one without quiescing.
        fault = {"effect": "task_fault", "fault": "ApplicationQuiesceFault"}
        vcenter.rule(method="CreateSnapshot.*", vm="erp", skip=run_number, count=1, **fault)
    return vcenter


def play(stage: Stage, installed: Installed, verbose: bool, each_role: bool = True) -> int:
    """Run demo.yml as a user does: with an inventory, over ssh. Returns the number of tasks that changed something."""
    inventory = FOLDER / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"storage": stage.host.inventory()}}}))
    variables = {
        "vcenter_hostname": "10.0.2.2",  # the loopback address of this machine, as the guest reaches it
        "vcenter_port": stage.vcenter.port,
        "vcenter_username": stage.vcenter.user,
        "vcenter_ca_path": str(stage.vcenter.ca_path),
    }
    command = [
        str(installed.commands / "ansible-playbook"),
        f"--inventory={inventory}",
        f"--extra-vars={json.dumps(variables)}",
        str(Path(__file__).with_name("demo.yml")),
    ]
    environment = {
        **installed.environment(),
        "VMWARE_PASSWORD": stage.vcenter.password,
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
    }
    output, roles = [], RoleLines()
    with subprocess.Popen(
        command, env=environment, cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as ansible:
        assert ansible.stdout is not None
        for line in ansible.stdout:
            output.append(line)
            summary = [f"{text}\n" for text in roles.read(line)]
            print("".join([line] if verbose else summary if each_role else []), end="", flush=True)
    if ansible.returncode or roles.changed is None:
        raise SystemExit(f"{'' if verbose else ''.join(output)}\nThe playbook failed; its output is above.")
    return roles.changed


def by_timer(host: StorageHost, since: float) -> dict[str, Any]:
    """Wait for a run that the timer starts after `since`, stop the timer, and return the run."""
    deadline = time.monotonic() + TIMER_SECONDS
    while time.monotonic() < deadline:
        if done := [run for run in ended(host) if started_at(run) > since]:
            break
        time.sleep(2.0)
    else:
        raise SystemExit(f"No run ended within {TIMER_SECONDS:g} s. The log of {SERVICE}:\n{journal(host)}")
    host.ssh(["systemctl", "stop", TIMER])
    host.ssh(["sh", "-c", f"while systemctl is-active {SERVICE} | grep -q activating; do sleep 0.5; done"])
    taken = show(host, done[-1])
    log = journal(host)
    if taken["zfs_snapshot"] not in log or host.ssh(["pgrep", "-f", "ansible"], check=False).stdout:
        raise SystemExit(f"{SERVICE} did not take {taken['zfs_snapshot']}. Its log:\n{log}")
    return taken


def last_run(stage: Stage) -> dict[str, Any]:
    """Return the newest run of a lab that was left running."""
    runs = ended(stage.host)
    if not runs:
        raise LabError("The demo that is left running has no ZFS snapshot; run `make demo ARGS=--keep` again")
    return show(stage.host, runs[0])


def ended(host: StorageHost) -> list[dict[str, Any]]:
    """Return the last runs that have ended, the newest one first."""
    asked = ["vmware-zfs", "status", "--json", "--last", "3"]
    runs = json.loads(host.ssh(asked, check=False, timeout=TIMER_SECONDS).stdout)["runs"]
    return [run for run in runs if run["state"] == "ended"]


def show(host: StorageHost, run: dict[str, Any]) -> dict[str, Any]:
    """Return a run with its VMs."""
    shown: dict[str, Any] = json.loads(host.ssh(["vmware-zfs", "show", "--json", run["run_id"]]).stdout)
    return shown


def journal(host: StorageHost) -> str:
    """The log of the task's service."""
    return host.ssh(["journalctl", "--unit", SERVICE, "--output=cat"]).stdout


def started_at(run: dict[str, Any]) -> float:
    return datetime.fromisoformat(run["started"]).timestamp()
