# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs whose files are on several datasets: which further datasets a run includes because a policy says so."""

from __future__ import annotations

from typing import Callable, Collection, Iterator

from ..text import vm_on
from ..vm_policies import INCLUDE
from ..zfs.names import SnapshotName, is_within, pool_of
from .plan import Member, Plan
from .request import Request
from .selection import Selection


def wanted(plan: Plan) -> Iterator[tuple[Member, str]]:
    """Yield the VMs that have files on further datasets of this host which a policy includes, with each dataset."""
    for member in plan.members:
        if member.treatment.on_span == INCLUDE and not member.treatment.exclude:
            for dataset in member.other_datasets:
                yield member, dataset


def further(
    plan: Plan, request: Request, selection: Selection, existing: Callable[[list[str]], Collection[str]]
) -> tuple[list[str], list[str]]:
    """Return the datasets that the run also has to include, and warnings for those that it cannot include.

    `existing` returns which of the given ZFS snapshots exist.
    """
    vms = {dataset: member for member, dataset in wanted(plan)}
    names = {dataset: str(SnapshotName(dataset, request.snapshot)) for dataset in sorted(vms)}
    taken = set(existing(list(names.values()))) if names else set()
    reasons = {
        dataset: f"the ZFS snapshot {name} exists already" if name in taken else _why_not(dataset, request, selection)
        for dataset, name in names.items()
    }
    warnings = [
        f"The {vm_on(vms[dataset].name, vms[dataset].server)} also has files on {dataset}, which cannot be included: "
        f"{reason}."
        for dataset, reason in reasons.items()
        if reason
    ]
    return [dataset for dataset, reason in reasons.items() if not reason], warnings


def _why_not(dataset: str, request: Request, selection: Selection) -> str:
    if pool_of(dataset) != pool_of(request.dataset):
        return "it is on another pool, and ZFS takes the snapshots of two pools at different times"
    if any(is_within(dataset, excluded) for excluded in request.exclude):
        return "exclude names it"
    known = next((one for one in selection.around if one.name == dataset), None)
    if known is None:
        return "it was not found"
    return "a 'zfs receive' into it is not complete" if known.receiving else ""
