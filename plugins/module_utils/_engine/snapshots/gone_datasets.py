# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Datasets that somebody destroyed or renamed between the plan and the ZFS snapshot."""

from __future__ import annotations

from dataclasses import replace
from typing import Sequence

from ..errors import DatasetNotFound, RunFailed
from ..planning.plan import Plan
from ..text import vm_on
from ..zfs.command import Zfs
from ..zfs.datasets import existing
from ..zfs.names import dataset_of
from .quiesce import Hold


def without_gone(zfs: Zfs, plan: Plan, holds: Sequence[Hold], error: DatasetNotFound, timeout: float) -> Plan:
    """The plan without the datasets that are not there any more, because of which `zfs snapshot` failed with `error`.

    Looks for `timeout` seconds at most. Raises the error when all are there or none is, and RunFailed when one that is
    gone carried a VM: where its files are now nobody has looked.
    """
    there = existing(zfs, plan.dataset, timeout)
    gone = [name for name in plan.datasets if name not in there]
    if len(gone) in (0, len(plan.datasets)):
        raise error
    for hold in holds:
        lost = next((name for name in gone if hold.datasets is not None and name in hold.datasets), None)
        if lost is not None:
            raise RunFailed(
                f"the dataset {lost} was destroyed or renamed during the run, and the "
                f"{vm_on(hold.member.name, hold.member.server)} has files on it",
                "Find out who did that and what became of the VM, and run it again",
            )
    said = [f"The dataset {name} was destroyed or renamed during the run, and is left out." for name in gone]
    return replace(
        plan,
        snapshots=tuple(name for name in plan.snapshots if dataset_of(name) not in gone),
        warnings=(*plan.warnings, *said),
    )
