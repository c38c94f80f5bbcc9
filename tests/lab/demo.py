# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole workflow before your eyes: `make demo`.

A storage host with real OpenZFS and a simulated vCenter are started, both with nothing set up. The collection is built
and installed as a user would, with the lowest ansible-core that it supports and without this checkout. Its playbook
site.yml, over ssh, exports a share, stores a credential, mounts the datastore and stores a snapshot task; VMs are
deployed on the datastore, as a person would; the playbook runs again and changes nothing. Then the storage host's own
timer takes the coordinated snapshot, without Ansible. What came of it is read from ZFS, from systemd's journal and from
the simulator's own inventory, shown as a table and written to build/demo.json.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, TypeVar

from .installed import Installed, install
from .places import BUILD, ROOT
from .simulator import Simulator, end_stray
from .storage_host import StorageHost

FOLDER = BUILD / "demo"
RESULT = BUILD / "demo.json"
API = "8.0.2.0"
TIMER, SERVICE = "vmware-zfs-task@1.timer", "vmware-zfs-task@1.service"
TIMER_SECONDS = 300.0  # the task runs every minute
INVENTORY: dict[str, Any] = {
    "datacenters": ["DC0"],
    "datastores": [{"name": "local", "type": "local", "vms": [{"name": "scratch", "count": 2}]}],
}
VMS: tuple[dict[str, Any], ...] = (
    *({"name": f"web-{number}"} for number in (1, 2, 3)),
    *({"name": f"app-{number}"} for number in (1, 2)),
    {"name": "db", "guest": "windows"},
    {"name": "mail", "guest": "windows"},
    {"name": "archive", "power": "off"},
    {"name": "golden-image", "template": True},
)
Result = TypeVar("Result")


def main() -> int:
    began = time.monotonic()
    end_stray(FOLDER / "vcenter")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    host = StorageHost("demo")
    try:
        step("Starting the storage host, pristine", host.reset)
        with step(
            "Starting the vCenter, without any NFS datastore",
            lambda: Simulator.start(
                INVENTORY, directory=FOLDER / "vcenter", api_version=API, create_seconds=1.0, remove_seconds=1.0
            ),
        ) as vcenter:
            installed = step("Building and installing the collection", lambda: install(FOLDER / "controller"))
            print(f"\nWith {installed.version()}:")
            print("site.yml, from nothing (each task takes some seconds on an emulated processor):", flush=True)
            first = play(installed, host, vcenter)
            vcenter.deploy("vmware", *VMS)
            deployed = time.time()
            print(f"\nVMs are deployed on the new datastore: {', '.join(vm['name'] for vm in VMS)}.")
            print("site.yml again, which must change nothing:", flush=True)
            second = play(installed, host, vcenter)
            taken = step("Waiting for the storage host's timer to take the snapshot", lambda: by_timer(host, deployed))
            left = [name for name, tree in vcenter.snapshots().items() if ours(tree)]
            properties = host.ssh(
                ["zfs", "get", "-H", "-p", "-o", "property,value,source", "all", taken["zfs_snapshot"]]
            ).stdout.splitlines()
            demo = summary(taken, len(left), host, vcenter)
            demo.update(
                controller=installed.version(),
                site_changed_first=first,
                site_changed_second=second,
                taken_by=taken["taken_by"],
            )
    finally:
        host.down()
    RESULT.write_text(json.dumps(demo, indent=1) + "\n")
    show(demo, properties, time.monotonic() - began)
    running = [vm for vm in taken["vms"] if vm["power"] == "poweredOn"]
    good = running and demo["consistency"] != "crash" and all(vm["level"] != "crash" for vm in running)
    return 0 if good and not left and not second else 1


def play(installed: Installed, host: StorageHost, vcenter: Simulator) -> int:
    """Run the playbook as a user would: an inventory, ansible-playbook, ssh. Returns how many tasks changed things."""
    inventory = FOLDER / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"storage": host.inventory()}}}))
    variables = {
        "vcenter_hostname": "10.0.2.2",  # where the guest finds this machine's loopback
        "vcenter_port": vcenter.port,
        "vcenter_username": vcenter.user,
        "vcenter_ca_path": str(vcenter.ca_path),
    }
    command = [
        str(installed.commands / "ansible-playbook"),
        f"--inventory={inventory}",
        f"--extra-vars={json.dumps(variables)}",
        str(Path(__file__).with_name("demo.yml")),
    ]
    environment = {
        **installed.environment(),
        "VMWARE_PASSWORD": vcenter.password,
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
    }
    recap = ""
    with subprocess.Popen(command, env=environment, cwd=FOLDER, stdout=subprocess.PIPE, text=True) as ansible:
        assert ansible.stdout is not None
        for line in ansible.stdout:
            print(line, end="", flush=True)
            recap = line if line.startswith("storage ") else recap
    changed = re.search(r" changed=(\d+) ", recap)
    if ansible.returncode or changed is None:
        raise SystemExit("The playbook failed; what it said is above.")
    return int(changed[1])


def by_timer(host: StorageHost, since: float) -> dict[str, Any]:
    """The run that the task's timer began after `since`, when it has ended; then the timer is stopped."""
    deadline = time.monotonic() + TIMER_SECONDS
    while time.monotonic() < deadline:
        runs = json.loads(host.ssh(["vmware-zfs", "status", "--json", "--last", "3"]).stdout)["runs"]
        done = [run for run in runs if run["state"] == "ended" and started(run) > since]
        if done:
            break
        time.sleep(2.0)
    else:
        raise SystemExit(f"No run came to its end in {TIMER_SECONDS:g} s; {SERVICE} says:\n{journal(host)}")
    host.ssh(["systemctl", "stop", TIMER])
    host.ssh(["sh", "-c", f"while systemctl is-active {SERVICE} | grep -q activating; do sleep 0.5; done"])
    taken: dict[str, Any] = json.loads(host.ssh(["vmware-zfs", "show", "--json", done[-1]["run_id"]]).stdout)
    said = journal(host)
    if f"took {taken['zfs_snapshot']}," not in said or host.ssh(["pgrep", "-f", "ansible"], check=False).stdout:
        raise SystemExit(f"{taken['zfs_snapshot']} was not taken by {SERVICE}, whose journal says:\n{said}")
    return {**taken, "taken_by": f"{TIMER} (systemd)"}


def journal(host: StorageHost) -> str:
    """What the task's service has said."""
    return host.ssh(["journalctl", "--unit", SERVICE, "--output=cat"]).stdout


def started(run: dict[str, Any]) -> float:
    return datetime.fromisoformat(run["started"]).timestamp()


def ours(tree: list[dict[str, Any]]) -> bool:
    """Whether a VMware snapshot of this collection is anywhere in a VM's snapshot tree."""
    return any(node["name"].startswith("vmware-zfs ") or ours(node["children"]) for node in tree)


def summary(taken: dict[str, Any], left: int, host: StorageHost, vcenter: Simulator) -> dict[str, Any]:
    return {
        "zfs_snapshot": taken["zfs_snapshot"],
        "consistency": taken["consistency"],
        "vms": [{key: vm[key] for key in ("name", "level", "reason", "hold_seconds")} for vm in taken["vms"]],
        "hold_window_seconds": taken["hold_window_seconds"],
        "vmware_snapshots_left": left,
        "zfs_version": host.ssh(["zfs", "version"]).stdout.splitlines()[0],
        "vcenter": f"vCenter simulator (govmomi vcsim) on port {vcenter.port}, API {API}",
    }


def show(demo: dict[str, Any], properties: list[str], seconds: float) -> None:
    """The result for a person."""
    width = max(len(vm["name"]) for vm in demo["vms"])
    print(f"\n{'VM':{width}}  {'level':11}  {'held':>7}  why no more")
    for vm in demo["vms"]:
        held = f"{vm['hold_seconds']:.1f} s" if vm["hold_seconds"] is not None else "-"
        print(f"{vm['name']:{width}}  {vm['level']:11}  {held:>7}  {vm['reason']}")
    print(f"\nOn {demo['zfs_version']}, with {demo['vcenter']}:")
    again = demo["site_changed_second"]
    print(f"  site.yml changed {demo['site_changed_first']} things from nothing, and {again} when it was run again")
    print(f"  {demo['zfs_snapshot']} was taken by {demo['taken_by']} and is {demo['consistency']}; it carries")
    for line in properties:
        name, value, source = line.split("\t")
        if name.startswith("quiesce.vmware_zfs:") and source == "local":
            print(f"    {name} = {value if len(value) < 60 else value[:57] + '...'}")
    print(f"  VMs were held for {demo['hold_window_seconds']:.1f} s in all")
    print(f"  VMware snapshots left: {demo['vmware_snapshots_left']}")
    print(f"\nThe demo took {seconds:.0f} s. The same as data: {RESULT.relative_to(ROOT)}", flush=True)


def step(what: str, work: Callable[[], Result]) -> Result:
    """Do `work` and tell how long it takes; on a terminal the time runs."""
    began = time.monotonic()
    done = threading.Event()

    def tick() -> None:
        while not done.wait(1.0):
            print(f"\r{what} ... {time.monotonic() - began:.0f} s", end="", flush=True)

    ticker = threading.Thread(target=tick, daemon=True)
    if sys.stdout.isatty():
        ticker.start()
    try:
        return work()
    finally:
        done.set()
        print(f"{chr(13) if sys.stdout.isatty() else ''}{what}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
