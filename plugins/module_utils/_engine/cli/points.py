# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`vmware-zfs points`: the ZFS snapshots from which VMs can be restored."""

from __future__ import annotations

import argparse
from typing import Any, Iterator

from ..grouping import grouped
from ..records.verdicts import VERIFIED
from ..records.verified import Verified
from ..restore.point import Points, RestorePoint
from ..restore.point_vms import PointVm
from ..restore.points import find_points
from ..state.database import Paths
from ..state.engine import open_engine
from ..text import counted, printable
from .output import local_time, print_json, print_table, say

_SHOWN_VMS = 5
_HOUR, _DAY = 3600, 86400
_COMPLETE = {True: "yes", False: "no", None: "unknown"}


def add_to(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the subparsers of `vmware-zfs`, and return its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "points", help="list the ZFS snapshots from which VMs can be restored"
    )
    parser.add_argument("target", metavar="DATASET", help="a dataset, or one ZFS snapshot to show in detail")
    parser.add_argument("--vm", default="", metavar="NAME", help="only snapshots with this VM, and its level")
    parser.set_defaults(command=show)
    return parser


def show(options: argparse.Namespace) -> int:
    with open_engine(Paths.from_environment(), read_only=True) as engine:
        found = find_points(engine, options.target, options.vm)
    if options.json:
        print_json(found.as_dict())
        return 0
    if "@" in options.target:
        _show_one(found.points[0])
    else:
        _show_all(found, options.vm)
    for line in _notes(found):
        say(line)
    return 0


def _show_all(found: Points, vm: str) -> None:
    if not found.points:
        say(f"{found.target} has no ZFS snapshots")
        return
    last = "revert to" if vm else "VMs"
    head = ["ZFS snapshot", "created", "age", "level", "complete", "drill", "expires", "pinned by", last]
    print_table(head, [_row(point, bool(vm)) for point in found.points])


def _row(point: RestorePoint, of_vm: bool) -> list[str]:
    return [
        str(point.snapshot),
        _created(point),
        age_text(point.age),
        point.level_text,
        _COMPLETE[point.complete],
        "-" if point.drilled is None else point.drilled.result,
        point.expiry.text,
        ", ".join(point.pins.texts()) or "-",
        _revert_to(point.vms[0]) if of_vm else vms_text(point),
    ]


def _show_one(point: RestorePoint) -> None:
    say(f"{point.snapshot}, created {_created(point)}, {age_text(point.age)} ago")
    say(f"level: {point.level_text}, complete: {_COMPLETE[point.complete]}")
    if point.drilled is not None:
        say(_drill_text(point.drilled))
    say(f"expires: {point.expiry.text}")
    say(f"pinned by: {', '.join(point.pins.texts()) or '-'}")
    if point.vms:
        head = ["VM", "level", "revert to", ".vmx file", "files on", "reason"]
        print_table(head, [_vm_row(vm) for vm in point.vms])
    else:
        say("no VMs" if point.vms_known else "its VMs are not known")


def _drill_text(drilled: Verified) -> str:
    """Return the verdict of the last drill. VMs that were not verified are named."""
    others = [f"'{printable(vm.name, 80)}' {vm.verdict}" for vm in drilled.vms if vm.verdict != VERIFIED]
    named = f": {', '.join(others[:_SHOWN_VMS])}" if others else ""
    vms = counted(len(drilled.vms) + drilled.more, "VM")
    return f"drill: {drilled.result}, {vms}, {local_time(drilled.time)}{named}"


def _vm_row(vm: PointVm) -> list[str]:
    return [vm.name, vm.level, _revert_to(vm), vm.vmx_path, ", ".join(vm.datasets), vm.reason]


def _notes(found: Points) -> Iterator[str]:
    """Yield the lines below a table. A text is shown once for all ZFS snapshots. Lines with a command are last."""
    for text, names in grouped(_remarks(found)).items():
        more = f" and {counted(len(names) - 1, 'other')}" if len(names) > 1 else ""
        yield f"{names[0]}{more}: {text}"
    yield from found.problems
    if found.not_read:
        number = counted(len(found.not_read), "ZFS snapshot")
        yield (
            f"the files of {number} without a record were not read, because it takes too long; "
            f"read one with 'vmware-zfs points {found.not_read[0]}'"
        )


def _remarks(found: Points) -> Iterator[tuple[str, str]]:
    """Yield problems of restore points and remarks on their VMs, each with the name of the ZFS snapshot."""
    for point in found.points:
        for problem in point.problems:
            yield problem, str(point.snapshot)
        for vm in point.vms:
            for remark in vm.remarks:
                yield f"VM '{printable(vm.name, 80)}': {remark}", str(point.snapshot)


def vms_text(point: RestorePoint) -> str:
    """Return the number of VMs and the first names."""
    if not point.vms_known:
        return "unknown"
    names = [printable(vm.name, 80) for vm in point.vms]
    more = f" and {len(names) - _SHOWN_VMS} more" if len(names) > _SHOWN_VMS else ""
    return f"{len(names)}: {', '.join(names[:_SHOWN_VMS])}{more}" if names else "none"


def age_text(seconds: float) -> str:
    """Return an age in the unit that a person would use: 40 min, 30 h, 12 days."""
    if seconds < _HOUR:
        return f"{seconds // 60:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR:.0f} h"
    return f"{seconds // _DAY:.0f} days"


def _revert_to(vm: PointVm) -> str:
    return vm.revert_to or "nothing"


def _created(point: RestorePoint) -> str:
    return local_time(point.as_dict()["creation"])
