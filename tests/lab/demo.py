# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show the whole workflow: start the lab, apply site.yml, deploy VMs, and let the storage host take a snapshot of them.

The storage host runs real OpenZFS; the vCenter is simulated. The demo builds the collection, installs it as a user
does, with the oldest supported ansible-core, and applies the playbook site.yml twice over ssh. Then the storage host's
own timer takes the snapshot, without Ansible. The VMs include one without VMware Tools that a policy accepts at crash,
one whose quiesce fails and one that is excluded. Two VMs have real disks in a second guest, which mounts the export
that site.yml made. The demo reads these disks in the ZFS snapshot, and in a plain ZFS snapshot that it took shortly
before. The result is also written to build/demo.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import ExitStack
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence, TypeVar

from .by_hand import vcenter_folder
from .hypervisor.host import Hypervisor
from .hypervisor.report import Row
from .hypervisor.report import report as read_disks
from .installed import Installed, install
from .places import BUILD, ROOT
from .role_lines import RoleLines
from .simulator import Simulator, end_stray
from .storage_host import StorageHost

FOLDER = BUILD / "demo"
RESULT = BUILD / "demo.json"
NAME = "demo"
API = "8.0.2.0"
TIMER, SERVICE = "vmware-zfs-task@1.timer", "vmware-zfs-task@1.service"
TIMER_SECONDS = 300.0  # the task runs every minute
WIDTH = 100
DISK = 28  # characters of the column of disks
CLOCKS = 3.0  # seconds
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
BARE = f"{DATASET}@bare"  # the plain ZFS snapshot
WRITES = 30  # that each guest makes before it
GUEST_SECONDS = 120.0
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
SHOWN = ("name", "level", "reason", "hold_seconds", "policy", "accept")
Result = TypeVar("Result")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    began = time.monotonic()
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
        vcenter = running.enter_context(
            step("Start a simulated vCenter", lambda: start_vcenter(host, hypervisor.port, options.keep))
        )
        installed = step("Build and install the collection", lambda: install(FOLDER / "controller"))
        demo = run(host, hypervisor, vcenter, installed, options.verbose)
        if options.keep:
            running.pop_all()
    RESULT.write_text(json.dumps(demo, indent=1) + "\n")
    print("\n".join(["", *report(demo), "", *to_try(demo, options.keep), ""]))
    print(f"The demo took {time.monotonic() - began:.0f} s. Its result is in {RESULT.relative_to(ROOT)}.", flush=True)
    expected = {vm["name"]: vm["level"] for vm in demo["vms"]} == LEVELS
    proven = all(disk["coordinated"] == {"needs_recovery": False, "unflushed_lost": 0} for disk in demo["disks"])
    return 0 if expected and proven and not demo["vmware_snapshots_left"] and not demo["site_changed_second"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("make demo ARGS=...", description="Show the whole workflow in the lab.")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the complete output of Ansible")
    parser.add_argument("--keep", action="store_true", help="leave the lab running; stop it with 'make lab-down'")
    return parser


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


def run(
    host: StorageHost, hypervisor: Hypervisor, vcenter: Simulator, installed: Installed, verbose: bool
) -> dict[str, Any]:
    """Apply the playbook twice, deploy the VMs, wait for the snapshot. Returns what is written to build/demo.json."""
    controller = installed.version()
    print(f"\nApply site.yml with {controller}:", flush=True)
    first = play(installed, host, vcenter, verbose)
    second = step(
        "Apply site.yml again",
        lambda: play(installed, host, vcenter, verbose, each_role=False),
        lambda changed: f"changed={changed}",
        ticks=not verbose,
    )
    names = ", ".join(vm["name"] for vm in VMS)
    step(f"Deploy {len(VMS)} VMs on the new datastore", lambda: vcenter.deploy("vmware", *VMS))
    print(f"  {names}; {' and '.join(REAL)} have real disks", flush=True)
    step(f"Take a plain ZFS snapshot, {BARE}", lambda: take_plain(host, hypervisor))
    deployed = time.time()
    taken = step("Wait until the timer of the storage host takes a snapshot", lambda: by_timer(host, deployed))
    disks = step("Read the disks in both ZFS snapshots", lambda: disks_in(host, vcenter, taken["zfs_snapshot"]))
    return {
        "zfs_snapshot": taken["zfs_snapshot"],
        "consistency": taken["consistency"],
        "consistency_text": taken["consistency_text"],
        "complete": taken["complete"],
        "vms": [{key: vm[key] for key in SHOWN} for vm in taken["vms"]],
        "disks": disks,
        "hold_window_seconds": taken["hold_window_seconds"],
        "vmware_snapshots_left": sum(ours(tree) for tree in vcenter.snapshots().values()),
        "zfs_version": host.ssh(["zfs", "version"]).stdout.splitlines()[0],
        "vcenter": f"simulated vCenter (govmomi), API {API}",
        "controller": controller,
        "site_changed_first": first,
        "site_changed_second": second,
        "run": taken["run_id"],
        "taken_by": f"{TIMER} (systemd)",
        "service": host.ssh(["systemctl", "is-failed", SERVICE], check=False).stdout.strip(),
    }


def take_plain(host: StorageHost, hypervisor: Hypervisor) -> None:
    """Take a ZFS snapshot without vSphere, once the guests have written for some time."""
    deadline = time.monotonic() + GUEST_SECONDS
    while any(hypervisor.call("show", vmx=f"[vmware] {vm}/{vm}.vmx")["returned"] < WRITES for vm in REAL):
        if time.monotonic() > deadline:
            raise SystemExit(f"A guest made fewer than {WRITES} writes in {GUEST_SECONDS:g} s.")
        time.sleep(0.5)
    time.sleep(CLOCKS)  # the clocks of the guests differ, and only writes before the ZFS snapshot count
    host.ssh(["zfs", "snapshot", BARE])


def disks_in(host: StorageHost, vcenter: Simulator, snapshot: str) -> list[dict[str, Any]]:
    """Read the real disks in the plain ZFS snapshot and in the coordinated one."""
    machines = vcenter.machines()
    bare, coordinated = ({row.vm: row for row in read_disks(host, name, machines)[1]} for name in (BARE, snapshot))
    return [
        {"vm": vm, "level": coordinated[vm].level, "bare": found_in(bare[vm]), "coordinated": found_in(coordinated[vm])}
        for vm in REAL
    ]


def found_in(row: Row) -> dict[str, Any]:
    return {"needs_recovery": row.needs_recovery, "unflushed_lost": row.lost}


def play(installed: Installed, host: StorageHost, vcenter: Simulator, verbose: bool, each_role: bool = True) -> int:
    """Run demo.yml as a user does: with an inventory, over ssh. Returns the number of tasks that changed something."""
    inventory = FOLDER / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"storage": host.inventory()}}}))
    variables = {
        "vcenter_hostname": "10.0.2.2",  # the loopback address of this machine, as the guest reaches it
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
        runs = json.loads(host.ssh(["vmware-zfs", "status", "--json", "--last", "3"], check=False).stdout)["runs"]
        done = [run for run in runs if run["state"] == "ended" and started(run) > since]
        if done:
            break
        time.sleep(2.0)
    else:
        raise SystemExit(f"No run ended within {TIMER_SECONDS:g} s. The log of {SERVICE}:\n{journal(host)}")
    host.ssh(["systemctl", "stop", TIMER])
    host.ssh(["sh", "-c", f"while systemctl is-active {SERVICE} | grep -q activating; do sleep 0.5; done"])
    taken: dict[str, Any] = json.loads(host.ssh(["vmware-zfs", "show", "--json", done[-1]["run_id"]]).stdout)
    log = journal(host)
    if taken["zfs_snapshot"] not in log or host.ssh(["pgrep", "-f", "ansible"], check=False).stdout:
        raise SystemExit(f"{SERVICE} did not take {taken['zfs_snapshot']}. Its log:\n{log}")
    return taken


def journal(host: StorageHost) -> str:
    """The log of the task's service."""
    return host.ssh(["journalctl", "--unit", SERVICE, "--output=cat"]).stdout


def started(run: dict[str, Any]) -> float:
    return datetime.fromisoformat(run["started"]).timestamp()


def ours(tree: list[dict[str, Any]]) -> bool:
    """Whether a VM's snapshot tree has a VMware snapshot of this collection."""
    return any(node["name"].startswith("vmware-zfs ") or ours(node["children"]) for node in tree)


def report(demo: dict[str, Any]) -> Iterator[str]:
    """The result, for a person."""
    yield f"{demo['zfs_snapshot']}: {demo['consistency_text']}, {'complete' if demo['complete'] else 'not complete'}"
    yield ""
    yield from table(demo["vms"], demo["disks"])
    yield ""
    yield f"Disks are real if the table shows them. {BARE} is a plain ZFS snapshot that was taken shortly before."
    yield f"The timer of the storage host took this ZFS snapshot, without Ansible, on {demo['zfs_version']}."
    yield f"The VMs were held for {demo['hold_window_seconds']:.1f} s."
    yield f"VMware snapshots left: {demo['vmware_snapshots_left']}."
    if demo["service"] == "failed":
        yield f"{SERVICE} is listed as failed, because VMs that should be quiesced were not."


def table(vms: Sequence[dict[str, Any]], disks: Sequence[dict[str, Any]]) -> Iterator[str]:
    width = max(len(vm["name"]) for vm in vms)
    real = {disk["vm"]: disk for disk in disks}
    head = f"{'VM':{width}}  {'level':11}  {'held':>6}  {'disk':{DISK}}  "
    yield f"{head}reason"
    for vm in vms:
        held = f"{vm['hold_seconds']:.1f} s" if vm["hold_seconds"] is not None else "-"
        reason = "; ".join(filter(None, (vm["reason"], vm["policy"] if vm["accept"] == "crash" else "")))
        left = [vm["name"].ljust(width), vm["level"].ljust(11), held.rjust(6)]
        blank = ["".ljust(len(cell)) for cell in left]
        disk = disk_text(real[vm["name"]]) if vm["name"] in real else ["-"]
        text = textwrap.wrap(reason, WIDTH - len(head))
        for number, (of_disk, why) in enumerate(zip_longest(disk, text, fillvalue="")):
            yield "  ".join([*(left if number == 0 else blank), of_disk.ljust(DISK), why]).rstrip()


def disk_text(disk: dict[str, Any]) -> list[str]:
    """What is on a real disk, for a person: in the coordinated ZFS snapshot, and in the plain one."""
    return [said_of(disk["coordinated"]), f"plain: {said_of(disk['bare'])}"]


def said_of(found: dict[str, Any]) -> str:
    state = "dirty" if found["needs_recovery"] else "clean"
    return f"{state}, {found['unflushed_lost']} writes lost"


def to_try(demo: dict[str, Any], kept: bool) -> Iterator[str]:
    """Three commands for the lab that was left running."""
    if not kept:
        yield "'make demo ARGS=--keep' leaves the lab running. Then try:"
    else:
        yield "The lab is still running; 'make lab-down' stops it. Try:"
    commands = {
        "vmware-zfs status": "the last runs",
        f"vmware-zfs show {demo['run'] if kept else 'RUN'}": "each VM in a run",
        "vmware-zfs run 1 --dry-run": "what the next run would do",
    }
    width = max(map(len, commands))
    for command, purpose in commands.items():
        yield f"  tests/lab/lab --name {NAME} ssh {command:{width}}  # {purpose}"


def step(
    what: str, work: Callable[[], Result], outcome: Callable[[Result], str] = lambda result: "", ticks: bool = True
) -> Result:
    """Do `work` and print how long it took. A terminal shows the seconds while it runs, if `ticks` is set."""
    began = time.monotonic()
    done = threading.Event()

    def tick() -> None:
        while not done.wait(1.0):
            print(f"\r{what} ... {time.monotonic() - began:.0f} s", end="", flush=True)

    terminal = ticks and sys.stdout.isatty()
    if terminal:
        threading.Thread(target=tick, daemon=True).start()
    try:
        result = work()
    except BaseException:
        print(flush=True)
        raise
    finally:
        done.set()
    said = f"{what}: {outcome(result)}".removesuffix(": ")
    print(f"{chr(13) if terminal else ''}{said:72} {time.monotonic() - began:8.0f} s", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
