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
import sys
import textwrap
import time
from itertools import zip_longest
from typing import Any, Iterator, Sequence

from . import demo_stage
from .demo_stage import API, DATASET, LEVELS, NAME, REAL, SERVICE, TIMER, Stage
from .hypervisor.report import Row
from .hypervisor.report import report as read_disks
from .installed import Installed
from .places import BUILD, ROOT
from .progress import step
from .simulator import Simulator
from .storage_host import StorageHost

RESULT = BUILD / "demo.json"
WIDTH = 100
DISK = 28  # characters of the column of disks
CLOCKS = 3.0  # seconds
BARE = f"{DATASET}@bare"  # the plain ZFS snapshot
WRITES = 30  # that each guest makes before it
GUEST_SECONDS = 120.0
SHOWN = ("name", "level", "reason", "hold_seconds", "policy", "accept")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    began = time.monotonic()
    with demo_stage.new(options.keep) as stage:
        demo = run(stage, demo_stage.build_collection(), options.verbose)
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


def run(stage: Stage, installed: Installed, verbose: bool) -> dict[str, Any]:
    """Apply the playbook twice, deploy the VMs, wait for the snapshot. Returns what is written to build/demo.json."""
    host, vcenter = stage.host, stage.vcenter
    first = demo_stage.configure(stage, installed, verbose)
    second = step(
        "Apply site.yml again",
        lambda: demo_stage.play(stage, installed, verbose, each_role=False),
        lambda changed: f"changed={changed}",
        ticks=not verbose,
    )
    demo_stage.deploy(stage)
    step(f"Take a plain ZFS snapshot, {BARE}", lambda: take_plain(stage))
    taken = demo_stage.wait_for_timer(stage, time.time())
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
        "controller": installed.version(),
        "site_changed_first": first,
        "site_changed_second": second,
        "run": taken["run_id"],
        "taken_by": f"{TIMER} (systemd)",
        "service": host.ssh(["systemctl", "is-failed", SERVICE], check=False).stdout.strip(),
    }


def take_plain(stage: Stage) -> None:
    """Take a ZFS snapshot without vSphere, once the guests have written for some time."""
    deadline = time.monotonic() + GUEST_SECONDS
    while any(stage.hypervisor.call("show", vmx=f"[vmware] {vm}/{vm}.vmx")["returned"] < WRITES for vm in REAL):
        if time.monotonic() > deadline:
            raise SystemExit(f"A guest made fewer than {WRITES} writes in {GUEST_SECONDS:g} s.")
        time.sleep(0.5)
    time.sleep(CLOCKS)  # the clocks of the guests differ, and only writes before the ZFS snapshot count
    stage.host.ssh(["zfs", "snapshot", BARE])


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


if __name__ == "__main__":
    sys.exit(main())
