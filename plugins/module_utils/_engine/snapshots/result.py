# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as plain data: what modules return, what the command line shows and what the journal keeps."""

from __future__ import annotations

from typing import Any, Sequence

from ..errors import SnapshotExists
from ..planning.plan import Plan
from ..planning.problem import Problem, texts
from ..policy import Policy
from ..records import record
from ..records.levels import CRASH, lowest
from ..records.record import Record
from ..text import shortened
from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.names import dataset_of
from .quiesce import Hold
from .run_snapshots import RunSnapshots

# Of a VM: what a record has not, or may lack because somebody else wrote it.
_NOT_RECORDED: dict[str, Any] = {
    **dict.fromkeys(("name", "instance_uuid", "moid", "server", "vmx_path", "vmware_snapshot_moid", "reason"), ""),
    **{"spans": [], "power": None, "action": None},
}
_RECORDED_ALONE = ("disks", "hindrance")  # of a VM in a manifest: what results do not repeat
_OF_A_WAVE = ("run_id", "zfs_snapshots", "created", "consistency", "complete", "hold_window_seconds")
_LONGEST_REASON = 200  # characters in a manifest: it has to fit beside those of a thousand VMs


def of_existing(zfs: Zfs, names: Sequence[str], policy: Policy) -> dict[str, Any] | None:
    """The result of a snapshot that was taken before, by the records of all its datasets; None if none of it exists.

    Raises SnapshotExists when only a part of it exists, when it carries no record, or when the policy does not allow
    what its records say.
    """
    found = snapshots.existing(zfs, names)
    if not found:
        return None
    if len(found) < len(names):
        raise _taken_otherwise(found[0], f"{len(names) - len(found)} of the others do not")
    records = record.read(zfs, names)
    parts: dict[str, dict[str, Record]] = {}
    for name in names:
        if name not in records:
            raise _taken_otherwise(name, "carries no consistency record")
        _require(name, records[name], policy)
        parts.setdefault(records[name].run, {})[name] = records[name]
    results = [_of_records(part) for part in parts.values()]
    return results[0] if len(results) == 1 else together(results, names)


def _require(name: str, found: Record, policy: Policy) -> None:
    """Raise SnapshotExists when the policy does not allow the record."""
    forbidden = policy.forbidden()
    too_little = [vm for vm in found.vms if str(vm.get("hindrance")) in forbidden]
    unproven = not found.sealed or ("vm" in forbidden and found.problems)
    if forbidden and (too_little or unproven or (found.version == 1 and not found.complete)):
        why = (found.problems or [str(vm.get("reason")) for vm in too_little] or ["it is not complete"])[0]
        raise _taken_otherwise(name, f"its record says {found.consistency}, which the policy does not allow: {why}")


def _of_records(found: dict[str, Record]) -> dict[str, Any]:
    """What the records of a run's (or a wave's) ZFS snapshots say together."""
    records = list(found.values())
    vms = {(str(vm.get("server")), str(vm.get("moid"))): vm for one in records for vm in one.vms}
    return {
        **_frame(list(found), created=False, run=records[0].run),
        "consistency": lowest(one.consistency for one in records),
        "complete": all(one.complete for one in records),
        "problems": list(dict.fromkeys(problem for one in records for problem in one.problems)),
        "vms": [
            {
                **_NOT_RECORDED,
                **{key: value for key, value in vm.items() if key not in _RECORDED_ALONE},
                "hold_seconds": None,
            }
            for vm in vms.values()
        ],
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
        "problems": texts(plan.problems),
        "warnings": list(plan.warnings),
        "refusals": list(plan.refusals),
        "vms": [_vm(Hold.planned(member)) for member in plan.members],
    }


def of_run(
    run: str,
    plan: Plan,
    holds: Sequence[Hold],
    problems: Sequence[Problem],
    run_snapshots: RunSnapshots,
    left: Sequence[str],
) -> dict[str, Any]:
    """What a run did, with what its records say on disk. `left` are VMware snapshots that are still there."""
    begun = [hold.started for hold in holds if hold.started is not None]
    ended = [hold.released for hold in holds if hold.released is not None]
    return {
        **_frame(plan.snapshots, created=run_snapshots.exists, run=run),
        "consistency": run_snapshots.level(),
        "complete": run_snapshots.complete(),
        "problems": [*texts(problems), *run_snapshots.notes],
        "warnings": list(plan.warnings),
        "vms": [_recorded(hold, run_snapshots) for hold in holds],
        "hold_window_seconds": round(max(ended) - min(begun), 3) if begun and ended else 0.0,
        "vmware_snapshots_left": len(left),
        "left": list(left),
    }


def _recorded(hold: Hold, run_snapshots: RunSnapshots) -> dict[str, Any]:
    """A VM as its records say: without one it is crash, whatever was seen of it."""
    vm = _vm(hold)
    unsealed = next((name for name in run_snapshots.unsealed if hold.is_on(dataset_of(name))), None)
    if unsealed is not None and vm["level"] != CRASH:
        vm["level"], vm["reason"] = CRASH, f"the record of {unsealed} could not be written"
    return vm


def together(results: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """The results of a run's waves as one result. `names` are the run's ZFS snapshots, also of waves that never began.

    Its consistency is that of the worst wave, its hold window the longest; it is complete when all of it was taken.
    """
    run_snapshots = [result for result in results if result["consistency"] is not None]
    whole = sum(len(result["zfs_snapshots"]) for result in run_snapshots) == len(names)
    windows = [result["hold_window_seconds"] for result in results if result["hold_window_seconds"] is not None]
    return {
        **results[0],
        "zfs_snapshot": names[0],
        "zfs_snapshots": list(names),
        "created": any(result["created"] for result in results),
        "consistency": lowest([result["consistency"] for result in run_snapshots]) if run_snapshots else None,
        "complete": whole and all(result["complete"] for result in run_snapshots),
        "problems": list(dict.fromkeys(problem for result in results for problem in result["problems"])),
        "warnings": list(dict.fromkeys(warning for result in results for warning in result["warnings"])),
        "vms": list({(vm["server"], vm["moid"]): vm for result in results for vm in result["vms"]}.values()),
        "hold_window_seconds": max(windows, default=None),
        "vmware_snapshots_left": sum(result["vmware_snapshots_left"] for result in results),
        "left": [left for result in results for left in result["left"]],
        "waves": [{key: result[key] for key in _OF_A_WAVE} for result in results],
    }


def manifest_entry(hold: Hold) -> dict[str, Any]:
    """What a manifest keeps of a VM: also what a restore has to know of its disks, and what lies elsewhere."""
    entry = {
        **_facts(hold),
        "reason": shortened(hold.reason, _LONGEST_REASON),
        "disks": [
            {
                "key": placed.disk.key,
                "label": placed.disk.label,
                "path": placed.disk.files[0][1] if placed.disk.files else "",
                "datastore": placed.datastore,
                "datasets": list(placed.datasets),
            }
            for placed in hold.member.disks
        ],
        "spans": list(hold.member.spans),
    }
    return {**entry, "hindrance": hold.hindrance} if hold.hindrance else entry


def _facts(hold: Hold) -> dict[str, Any]:
    member = hold.member
    return {
        "name": member.name,
        "instance_uuid": member.instance_uuid,
        "moid": member.moid,
        "server": member.server,
        "vmx_path": member.vmx_path,
        "vmware_snapshot_moid": hold.snapshot_moid,
        "level": hold.level,
        "reason": hold.reason,
    }


def _vm(hold: Hold) -> dict[str, Any]:
    held = hold.started is not None and hold.released is not None
    return {
        **_facts(hold),
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
        "warnings": [],
    }
