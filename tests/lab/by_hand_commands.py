# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of `tests/lab/lab` for the vCenter and its VMs: vcenter, deploy, undeploy, vms, fail, disks."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any, Callable, Iterator, Sequence

from . import by_hand, failing
from .hypervisor.report import Row, report
from .places import LabError
from .storage_host import StorageHost

Command = Callable[[StorageHost, argparse.Namespace], int]
_TOOLS = {"running": "running", "not_running": "stopped", "not_installed": "none"}
_TOOLS_OFF = {"running": "installed", "not_running": "installed", "not_installed": "none"}


def add(command: Callable[[str, Command, str], Any]) -> None:
    """Add the commands to the parser. `command` adds one of them and returns its parser."""
    command("vcenter", _vcenter, "start a vCenter without NFS datastores, and write an inventory")
    _add_deploy(command("deploy", _deploy, "put running VMs on a datastore of that vCenter"))
    added = command("undeploy", _undeploy, "power VMs off, remove them from the vCenter, and delete their files")
    added.add_argument("vms", nargs="+", metavar="VM", help="names of the VMs")
    added = command("vms", _vms, "list the VMs of that vCenter, their VMware snapshots, and how they fail")
    added.add_argument("--json", action="store_true", help="as JSON")
    added = command("fail", _fail, "let a VM fail in a named way, or list the ways")
    added.add_argument("vm", nargs="?", metavar="VM", help="name of the VM")
    added.add_argument("kind", nargs="?", metavar="KIND", help=f"{', '.join(failing.KINDS)}; {failing.NONE}: end it")
    added = command("disks", _disks, "show what the disks of real VMs hold in a ZFS snapshot")
    added.add_argument("snapshot", metavar="SNAPSHOT", help="a ZFS snapshot, or a dataset for its newest one")
    added.add_argument("--json", action="store_true", help="as JSON")


def _add_deploy(added: Any) -> None:
    added.add_argument("--datastore", default="vmware", help="the datastore (default: vmware)")
    added.add_argument("--no-tools", action="store_true", help="the VMs have no VMware Tools")
    added.add_argument("--off", action="store_true", help="the VMs are powered off")
    added.add_argument("--windows", action="store_true", help="the guests are Windows Server with VSS")
    added.add_argument("--real", action="store_true", help="the VMs have real disks; the first one starts a hypervisor")
    added.add_argument("vms", nargs="+", metavar="VM", help="names of the VMs")


def _vcenter(lab: StorageHost, options: argparse.Namespace) -> int:
    simulator, inventory = by_hand.start(lab)
    print(f"A vCenter runs on port {simulator.port}; its thumbprint is {simulator.thumbprint}.")
    print(f"How Ansible reaches both is in {inventory}.")
    return 0


def _deploy(lab: StorageHost, options: argparse.Namespace) -> int:
    by_hand.deploy(
        lab,
        options.datastore,
        options.vms,
        tools=not options.no_tools,
        on=not options.off,
        windows=options.windows,
        real=options.real,
    )
    state = "powered off" if options.off else "powered on"
    print(f"Deployed {', '.join(options.vms)} on the datastore {options.datastore}, {state}.")
    return 0


def _undeploy(lab: StorageHost, options: argparse.Namespace) -> int:
    by_hand.undeploy(lab, options.vms)
    print(f"Removed {', '.join(options.vms)}.")
    return 0


def _vms(lab: StorageHost, options: argparse.Namespace) -> int:
    found = by_hand.vms(lab)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    table = [("VM", "DATASTORE", "POWER", "TOOLS", "GUEST", "DISKS", "FAILS", "VMWARE SNAPSHOTS")]
    print_table(table + [_vm_row(one) for one in found])
    return 0


def _vm_row(one: dict[str, Any]) -> tuple[str, ...]:
    guest, disks = "windows" if one["windows"] else "linux", "real" if one["real"] else "simulated"
    snapshots = [*one["snapshots"], *(["needs consolidation"] if one["consolidation_needed"] else [])]
    tools = (_TOOLS if one["power"] == "on" else _TOOLS_OFF)[one["tools"]]
    place = (one["name"], one["datastore"], one["power"], tools, guest, disks)
    return (*place, one["fails"] or "-", ", ".join(snapshots) or "-")


def _fail(lab: StorageHost, options: argparse.Namespace) -> int:
    if options.vm is None:
        print_table([("KIND", "WHAT HAPPENS"), *((name, kind.text) for name, kind in failing.KINDS.items())])
        return 0
    simulator = by_hand.attached(lab)
    found = by_hand.machine(simulator, options.vm)
    if options.kind is None:
        raise LabError(
            f"It is missing how {options.vm} fails; use {', '.join(failing.KINDS)}, or {failing.NONE} to end it"
        )
    if options.kind == failing.NONE:
        failing.end(lab, simulator, found)
        print(f"{options.vm} works again.")
    else:
        failing.start(lab, simulator, found, options.kind)
        print(f"{options.vm}: {failing.KINDS[options.kind].text}. End it with `tests/lab/lab fail {options.vm} none`.")
    return 0


def _disks(lab: StorageHost, options: argparse.Namespace) -> int:
    try:
        machines = by_hand.attached(lab).machines()
    except LabError:
        machines = []
    snapshot, rows = report(lab, options.snapshot, machines)
    if options.json:
        print(json.dumps({"snapshot": snapshot, "vms": [asdict(row) for row in rows]}, indent=2))
        return 0
    print(f"{snapshot}:")
    table = [("VM", "RECORD", "JOURNAL RECOVERY", "LOST WRITES", "FILES IN STEP", "DATABASE", "RECORD IS TRUE")]
    print_table(table + [_disk_row(row) for row in rows])
    return 0


def _disk_row(row: Row) -> tuple[str, ...]:
    lost = "unknown" if row.lost is None else f"{row.lost} or more" if row.at_least and row.lost else str(row.lost)
    verdict = f"no: {', '.join(row.disagreements)}" if row.disagreements else "yes" if row.level else "-"
    journal, step = "needed" if row.needs_recovery else "not needed", "yes" if row.in_step else "no"
    return row.vm, row.level or "none", journal, lost, step, row.unfinished or "complete", verdict


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with aligned columns."""
    for line in aligned(rows):
        print(line)


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Return the lines of a table with aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip()
