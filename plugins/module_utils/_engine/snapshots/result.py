# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates results: of a plan, of a run, and of ZFS snapshots that already exist."""

from __future__ import annotations

from typing import Any, Sequence

from ..errors import SnapshotExists
from ..planning.plan import Plan
from ..planning.problem import Problem, texts
from ..planning.vm_matching import Rule
from ..planning.vm_treatments import LONGEST_POLICY, may_fail, of_recorded, rules_of
from ..policy import Policy
from ..records import record
from ..records.levels import CRASH, FILESYSTEM, lowest, lowest_known
from ..records.record import Record
from ..state.dataset_policies import DatasetPolicies
from ..text import shortened
from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.names import dataset_of
from .quiesce import Hold
from .run_result import RunResult, VmResult, combine
from .run_snapshots import RunSnapshots

# The fields of a VmResult that a manifest stores.
_RECORDED = (
    "name",
    "instance_uuid",
    "moid",
    "server",
    "vmx_path",
    "vmware_snapshot_moid",
    "level",
    "reason",
    "spans",
    "policy",
    "accept",
    "excluded",
)
_DEFAULTS = {"policy": "", "accept": FILESYSTEM, "excluded": False}  # a manifest stores only other values
_LONGEST_REASON = 200  # characters of a reason in a manifest, which may list a thousand VMs


def of_existing(
    zfs: Zfs, names: Sequence[str], policy: Policy, stored: Sequence[DatasetPolicies] = ()
) -> RunResult | None:
    """Return the result for ZFS snapshots that already exist, from all their records; None if none of them exists.

    Raises SnapshotExists if only some of them exist, if one has no record, or if the policy does not allow a record.
    """
    existing = snapshots.existing(zfs, names)
    if not existing:
        return None
    if len(existing) < len(names):
        raise _exists(existing[0], f", but is missing on {len(names) - len(existing)} of {len(names)} datasets")
    records, rules = record.read(zfs, names), rules_of(policy, stored)
    runs: dict[str, dict[str, Record]] = {}
    for name in names:
        if name not in records:
            raise _exists(name, " and has no consistency record")
        _require_allowed(name, records[name], policy, rules)
        runs.setdefault(records[name].run, {})[name] = records[name]
    results = [_of_records(of_run) for of_run in runs.values()]
    return results[0] if len(results) == 1 else combine(results, names)


def _require_allowed(name: str, recorded: Record, policy: Policy, rules: Sequence[Rule]) -> None:
    """Raise SnapshotExists if the policy does not allow the record."""
    forbidden, dataset = policy.forbidden(), dataset_of(name)
    failed = [
        vm
        for vm in recorded.vms
        if vm.get("hindrance") and vm["hindrance"] in of_recorded(rules, vm, dataset, policy).forbidden
    ]
    unproven = not recorded.sealed or ("vm" in forbidden and recorded.problems)
    if may_fail(policy, rules) and (failed or unproven or (recorded.version == 1 and not recorded.complete)):
        why = (recorded.problems or [str(vm.get("reason")) for vm in failed] or ["it is not complete"])[0]
        raise _exists(name, f", and the policy does not allow its record ({recorded.consistency}): {why}")


def _of_records(by_snapshot: dict[str, Record]) -> RunResult:
    """Return the common result of the records of one run or wave, by ZFS snapshot."""
    records = list(by_snapshot.values())
    vms = {(str(vm.get("server")), str(vm.get("moid"))): vm for each in records for vm in each.vms}
    return RunResult(
        run_id=records[0].run,
        zfs_snapshots=list(by_snapshot),
        created=False,
        consistency=lowest(each.consistency for each in records),
        required_consistency=lowest_known(each.required_consistency for each in records),
        complete=all(each.complete for each in records),
        problems=list(dict.fromkeys(problem for each in records for problem in each.problems)),
        vms=[VmResult(**{key: value for key, value in vm.items() if key in _RECORDED}) for vm in vms.values()],
    )


def _exists(name: str, why_not_usable: str) -> SnapshotExists:
    return SnapshotExists(
        f"The ZFS snapshot {name} already exists{why_not_usable}",
        "Choose another name, or destroy the ZFS snapshot if it is not needed",
    )


def of_plan(plan: Plan) -> RunResult:
    """Return what a dry run shows: the plan, with the best level that each VM can reach."""
    return RunResult(
        run_id="",
        zfs_snapshots=list(plan.snapshots),
        created=False,
        consistency=plan.best_level(),
        required_consistency=plan.best_level_of_required(),
        complete=plan.can_be_complete(),
        problems=texts(plan.problems),
        vms=[_vm(Hold.planned(member)) for member in plan.members],
        warnings=list(plan.warnings),
        refusals=list(plan.refusals),
    )


def of_run(
    plan: Plan, holds: Sequence[Hold], problems: Sequence[Problem], run_snapshots: RunSnapshots, left: Sequence[str]
) -> RunResult:
    """Return what a run did, with the levels in its records. `left` are VMware snapshots that were not removed."""
    started = [hold.started for hold in holds if hold.started is not None]
    released = [hold.released for hold in holds if hold.released is not None]
    return RunResult(
        run_id=run_snapshots.record.run,
        zfs_snapshots=list(plan.snapshots),
        created=run_snapshots.exists,
        consistency=run_snapshots.level(),
        required_consistency=run_snapshots.level_of_required(),
        complete=run_snapshots.complete(),
        problems=[*texts(problems), *run_snapshots.notes],
        vms=[_recorded(hold, run_snapshots) for hold in holds],
        warnings=list(plan.warnings),
        hold_window_seconds=round(max(released) - min(started), 3) if started and released else 0.0,
        left=list(left),
    )


def _recorded(hold: Hold, run_snapshots: RunSnapshots) -> VmResult:
    """Return a VM with the level that the records state. A record that could not be written means crash."""
    vm = _vm(hold)
    unsealed = next((name for name in run_snapshots.unsealed if hold.is_on(dataset_of(name))), None)
    if unsealed is not None and vm.level != CRASH:
        vm.level, vm.reason = CRASH, f"the record of {unsealed} could not be written"
    return vm


def manifest_entry(hold: Hold) -> dict[str, Any]:
    """Return a VM for a manifest, with the data for a restore: its disks, and what is not in the ZFS snapshot."""
    vm = _vm(hold)
    entry = {
        **{name: value for name in _RECORDED if (value := getattr(vm, name)) != _DEFAULTS.get(name)},
        "reason": shortened(hold.reason, _LONGEST_REASON),
        **({"policy": shortened(vm.policy, LONGEST_POLICY)} if vm.policy else {}),
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
    }
    return {**entry, "hindrance": hold.hindrance} if hold.hindrance else entry


def _vm(hold: Hold) -> VmResult:
    member = hold.member
    seconds = None if hold.started is None or hold.released is None else round(hold.released - hold.started, 3)
    return VmResult(
        name=member.name,
        instance_uuid=member.instance_uuid,
        moid=member.moid,
        server=member.server,
        vmx_path=member.vmx_path,
        vmware_snapshot_moid=hold.snapshot_moid,
        level=hold.level,
        reason=hold.reason,
        power=member.power,
        action=member.action,
        spans=list(member.spans),
        hold_seconds=seconds,
        policy=member.treatment.policy,
        accept=member.treatment.accept,
        excluded=member.excluded,
    )
