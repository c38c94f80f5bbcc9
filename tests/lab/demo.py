# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job before your eyes: `make demo`.

A storage host with real OpenZFS and a simulated vCenter are started; a playbook, over ssh, stores a credential, matches
datastores with datasets and takes one coordinated snapshot. What came of it is read from ZFS and from the simulator's
own inventory, shown as a table and written to build/demo.json.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, TypeVar

from ..collection_path import collections_path
from .places import BUILD, ROOT
from .simulator import Simulator, end_stray
from .storage_host import StorageHost

FOLDER = BUILD / "demo"
RESULT = BUILD / "demo.json"
API = "8.0.2.0"
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
            "Starting the vCenter",
            lambda: Simulator.start(
                directory=FOLDER / "vcenter", api_version=API, create_seconds=1.0, remove_seconds=1.0
            ),
        ) as vcenter:
            play(host, vcenter)
            found = json.loads((FOLDER / "result.json").read_text())
            left = [name for name, tree in vcenter.snapshots().items() if ours(tree)]
            demo = summary(found["taken"], len(left), host, vcenter)
    finally:
        host.down()
    RESULT.write_text(json.dumps(demo, indent=1) + "\n")
    show(demo, found, time.monotonic() - began)
    running = [vm for vm in found["taken"]["vms"] if vm["power"] == "poweredOn"]
    return 0 if not left and demo["consistency"] != "crash" and all(vm["level"] != "crash" for vm in running) else 1


def play(host: StorageHost, vcenter: Simulator) -> None:
    """Run the playbook as a user would: an inventory, ansible-playbook, ssh."""
    inventory = FOLDER / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"storage": host.inventory()}}}))
    variables = {
        "vcenter_hostname": "10.0.2.2",  # where the guest finds this machine's loopback
        "vcenter_port": vcenter.port,
        "vcenter_username": vcenter.user,
        "vcenter_ca_path": str(vcenter.ca_path),
        "result_path": str(FOLDER / "result.json"),
    }
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        f"--inventory={inventory}",
        f"--extra-vars={json.dumps(variables)}",
        str(Path(__file__).with_name("demo.yml")),
    ]
    environment = {
        **os.environ,
        "VMWARE_PASSWORD": vcenter.password,
        "ANSIBLE_COLLECTIONS_PATH": str(collections_path()),
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_LOCALHOST_WARNING": "false",
    }
    print("The playbook, over ssh (each task takes some seconds on an emulated processor):", flush=True)
    if subprocess.run(command, env=environment, cwd=FOLDER, check=False).returncode:
        raise SystemExit("The playbook failed; what it said is above.")


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


def show(demo: dict[str, Any], found: dict[str, Any], seconds: float) -> None:
    """The result for a person."""
    width = max(len(vm["name"]) for vm in demo["vms"])
    print(f"\n{'VM':{width}}  {'level':11}  {'held':>7}  why no more")
    for vm in demo["vms"]:
        held = f"{vm['hold_seconds']:.1f} s" if vm["hold_seconds"] is not None else "-"
        print(f"{vm['name']:{width}}  {vm['level']:11}  {held:>7}  {vm['reason']}")
    print(f"\nOn {demo['zfs_version']}, with {demo['vcenter']}:")
    print(f"  {demo['zfs_snapshot']} is {demo['consistency']}; it carries")
    for line in found["properties"]:
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
