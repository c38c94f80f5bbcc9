# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Datasets that are destroyed or renamed between the plan and the ZFS snapshot."""

from __future__ import annotations

from dataclasses import replace
from typing import Sequence

from ..errors import DatasetNotFound, RunFailed
from ..planning.plan import Plan
from ..text import vm_on
from ..zfs.command import Zfs
from ..zfs.datasets import existing
from ..zfs.names import dataset_of, is_within, pool_of
from .quiesce import Hold


def without_gone(zfs: Zfs, plan: Plan, holds: Sequence[Hold], error: DatasetNotFound, timeout: float) -> Plan:
    """Return the plan without the datasets that no longer exist. `error` is the error of `zfs snapshot`.

    Waits `timeout` seconds at most. Raises `error` if all datasets exist or none does. Raises RunFailed if a VM had
    files on a dataset that is gone, because the current location of these files is unknown.
    """
    present = existing(zfs, _above(plan), timeout)
    gone = [name for name in plan.datasets if name not in present]
    if len(gone) in (0, len(plan.datasets)):
        raise error
    for hold in holds:
        lost = next((name for name in gone if hold.datasets is not None and name in hold.datasets), None)
        if lost is not None:
            raise RunFailed(
                f"the dataset {lost} was destroyed or renamed during the run, and the "
                f"{vm_on(hold.member.name, hold.member.server)} has files on it",
                "Find out which user or tool changed the dataset, check the VM, and take the snapshot again",
            )
    warnings = [f"The dataset {name} was destroyed or renamed during the run and is left out." for name in gone]
    return replace(
        plan,
        snapshots=tuple(name for name in plan.snapshots if dataset_of(name) not in gone),
        warnings=(*plan.warnings, *warnings),
    )


def _above(plan: Plan) -> str:
    """Return the dataset that is above all datasets of the plan: a policy can include others of the pool."""
    inside = all(is_within(name, plan.dataset) for name in plan.datasets)
    return plan.dataset if inside else pool_of(plan.dataset)
