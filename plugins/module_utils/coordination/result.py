# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as plain data: what modules return, what the command line shows and what the journal keeps."""

from __future__ import annotations

from typing import Any, Sequence

from ..errors import SnapshotExists
from ..zfs import snapshots
from ..zfs.command import Zfs
from . import record
from .consistency import lowest
from .plan import Plan
from .quiesce import Hold

_NOT_RECORDED: dict[str, Any] = {"power": None, "action": None, "spans": []}  # of a VM: what no restore has to know
_OF_A_WAVE = ("run_id", "zfs_snapshots", "created", "consistency", "complete", "hold_window_seconds")


def of_existing(zfs: Zfs, names: Sequence[str]) -> dict[str, Any] | None:
    """The result of a snapshot that was taken before, None if none of its parts exists.

    Raises SnapshotExists when only a part of it exists, or when it carries no consistency record.
    """
    found = snapshots.existing(zfs, names)
    if not found:
        return None
    if len(found) < len(names):
        raise _taken_otherwise(found[0], f"{len(names) - len(found)} of the others do not")
    runs = snapshots.own(zfs, names, record.RUN)
    parts: dict[str, list[str]] = {}
    for name in names:
        if name not in runs:
            raise _taken_otherwise(name, "carries no consistency record")
        parts.setdefault(runs[name], []).append(name)
    results = [_of_record(zfs, part) for part in parts.values()]
    return results[0] if len(results) == 1 else together(results, names)


def _of_record(zfs: Zfs, names: Sequence[str]) -> dict[str, Any]:
    """What the record says that a wave's ZFS snapshots share."""
    taken = record.read(zfs, names[0])
    if taken is None:
        raise _taken_otherwise(names[0], "carries no consistency record")
    return {
        **_frame(names, created=False, run=taken.run),
        "consistency": taken.consistency,
        "complete": taken.complete,
        "problems": taken.problems,
        "vms": [{**_NOT_RECORDED, **vm, "hold_seconds": None} for vm in taken.vms],
    }


def _taken_otherwise(name: str, how: str) -> SnapshotExists:
    return SnapshotExists(
        f"The ZFS snapshot {name} exists already and {how}", "Choose another name, or destroy it if it is not needed"
    )


def of_plan(plan: Plan) -> dict[str, Any]:
    """What a dry run shows: the plan, with the level that each VM can reach at best."""
    return {
        **_frame(plan.snapshots, created=False, run=""),
        "consistency": plan.best(),
        "complete": plan.can_be_complete(),
        "problems": list(plan.problems),
        "refusals": list(plan.refusals),
        "vms": [_vm(Hold(member, level=member.level, reason=member.reason)) for member in plan.members],
    }


def of_run(
    run: str, plan: Plan, holds: Sequence[Hold], taken: record.Record | None, left: Sequence[str]
) -> dict[str, Any]:
    """What a run did. `taken` is None when no ZFS snapshot came of it; `left` are VMware snapshots that are still
    there.
    """
    begun = [hold.started for hold in holds if hold.started is not None]
    ended = [hold.released for hold in holds if hold.released is not None]
    return {
        **_frame(plan.snapshots, created=taken is not None, run=run),
        "consistency": taken.consistency if taken else None,
        "complete": bool(taken and taken.complete),
        "problems": list(taken.problems if taken else plan.problems),
        "vms": [_vm(hold) for hold in holds],
        "hold_window_seconds": round(max(ended) - min(begun), 3) if begun and ended else 0.0,
        "vmware_snapshots_left": len(left),
        "left": list(left),
    }


def together(results: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """The results of a run's waves as one result. `names` are the run's ZFS snapshots, also of waves that never began.

    Its consistency is that of the worst wave, its hold window the longest; it is complete when all of it was taken.
    """
    taken = [result for result in results if result["consistency"] is not None]
    whole = sum(len(result["zfs_snapshots"]) for result in taken) == len(names)
    windows = [result["hold_window_seconds"] for result in results if result["hold_window_seconds"] is not None]
    return {
        **results[0],
        "zfs_snapshot": names[0],
        "zfs_snapshots": list(names),
        "created": any(result["created"] for result in results),
        "consistency": lowest([result["consistency"] for result in taken]) if taken else None,
        "complete": whole and all(result["complete"] for result in taken),
        "problems": list(dict.fromkeys(problem for result in results for problem in result["problems"])),
        "vms": list({(vm["server"], vm["moid"]): vm for result in results for vm in result["vms"]}.values()),
        "hold_window_seconds": max(windows, default=None),
        "vmware_snapshots_left": sum(result["vmware_snapshots_left"] for result in results),
        "left": [left for result in results for left in result["left"]],
        "waves": [{key: result[key] for key in _OF_A_WAVE} for result in results],
    }


def vm_facts(hold: Hold) -> dict[str, Any]:
    """What the manifest keeps of a VM."""
    member = hold.member
    return {
        "name": member.name,
        "instance_uuid": member.instance_uuid,
        "moid": member.moid,
        "server": member.server,
        "vmx_path": member.vmx_path,
        "vmware_snapshot_moid": hold.snapshot,
        "level": hold.level,
        "reason": hold.reason,
    }


def _vm(hold: Hold) -> dict[str, Any]:
    held = hold.started is not None and hold.released is not None
    return {
        **vm_facts(hold),
        "power": hold.member.power,
        "action": hold.member.action,
        "spans": list(hold.member.spans),
        "hold_seconds": round(hold.released - hold.started, 3) if held else None,  # type: ignore[operator]
    }


def _frame(names: Sequence[str], created: bool, run: str) -> dict[str, Any]:
    return {
        "run_id": run,
        "zfs_snapshot": names[0],
        "zfs_snapshots": list(names),
        "created": created,
        "hold_window_seconds": None,
        "vmware_snapshots_left": 0,
        "left": [],
    }
