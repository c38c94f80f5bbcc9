# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores the verdict of a drill on the ZFS snapshots with files of the VMs that were tried (records/verified.py)."""

from __future__ import annotations

from ..errors import QuiesceError
from ..grouping import grouped
from ..records import verified
from ..records.manifest import PREFIX
from ..records.record import RUN
from ..records.verdicts import TRIED
from ..records.verified import Verified, VmVerdict, verdict_in
from ..state.database import utc_now
from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.names import SnapshotName
from ..zfs.properties import Assignment, assign
from .result import DrillResult, VmDrilled, verdict_of

_SECONDS = 60.0
_NO_RECORD = "it has no record of this storage host"


def store(zfs: Zfs, result: DrillResult) -> list[str]:
    """Store the verdict on the ZFS snapshots of each VM. Returns a sentence for each snapshot where that failed."""
    name = SnapshotName.of(result.zfs_snapshot).name
    tried = result.with_verdict(*TRIED)
    by_dataset = grouped((dataset, vm) for vm in tried for dataset in vm.datasets)
    failures = {}
    for dataset, vms in by_dataset.items():
        snapshot = str(SnapshotName(dataset, name))
        try:
            reason = _store(zfs, snapshot, result, vms)
        except QuiesceError as error:
            reason = error.problem
        if reason:
            failures[snapshot] = reason
    return [f"The verdict was not stored on {snapshot}: {reason}." for snapshot, reason in failures.items()]


def _store(zfs: Zfs, snapshot: str, result: DrillResult, vms: list[VmDrilled]) -> str:
    """Store the verdict on one ZFS snapshot. Returns why that failed, or ""."""
    values = snapshots.properties(zfs, snapshot, PREFIX)
    run = values.get(RUN, "") if values is not None else ""
    if values is None or not run:
        return _NO_RECORD
    now = utc_now()
    found = Verified(
        run,
        result.drill_id,
        now,
        result.seconds,
        verdict_of([vm.verdict for vm in vms], bool(result.problems)),
        tuple(VmVerdict(vm.name, vm.vmx, vm.verdict, now) for vm in vms),
    ).after(verdict_in(values))
    # Only a snapshot that this host took is changed: a replica belongs to the host that sent it.
    wanted = Assignment(snapshot, "", ((verified.KEY, found.text()),))
    reason = assign(zfs, RUN, run, [wanted], _SECONDS).get(snapshot, "")
    return reason and f"{reason}, or {_NO_RECORD}"
