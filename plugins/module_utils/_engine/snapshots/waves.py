# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Splits a plan into waves.

A wave is a separate run with one atomic ZFS snapshot of its datasets. Its VMs are released before the next wave holds
any, so a slow VM delays only the VMs of its wave. The disadvantage is that the ZFS snapshots of different waves show
different points in time. Therefore datasets that share a VM are always in the same wave.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ..planning.plan import NOTHING, Plan
from ..zfs.names import dataset_of


def cut(plan: Plan, size: int) -> list[Plan]:
    """Split `plan` into waves that hold at most `size` VMs each. With 0 there is one wave.

    A wave is larger if a single dataset, or datasets that share VMs, have more VMs. Datasets without a VM to hold do
    not form a separate wave. A VM that may have files on any dataset is in every wave, and so is a problem that may
    affect any dataset.
    """
    if not size:
        return [plan]
    group_of = _groups(plan)
    vms = Counter(id(group_of[member.datasets[0]]) for member in plan.members if member.action != NOTHING)
    waves: list[set[str]] = []
    held = 0
    for group in {id(group): group for group in group_of.values()}.values():
        more = vms[id(group)]
        if waves and (not held or not more or held + more <= size):
            waves[-1] |= group
        else:
            waves.append(set(group))
            held = 0
        held += more
    return [_wave(plan, wave) for wave in waves]


def _groups(plan: Plan) -> dict[str, set[str]]:
    """Return, for each dataset of the plan in order, the group of datasets that share VMs with it, including itself."""
    group_of = {dataset: {dataset} for dataset in plan.datasets}
    for member in plan.members:
        for dataset in member.datasets[1:]:
            first, other = group_of[member.datasets[0]], group_of[dataset]
            if other is not first:
                first |= other
                group_of.update(dict.fromkeys(other, first))
    return group_of


def _wave(plan: Plan, datasets: set[str]) -> Plan:
    return replace(
        plan,
        snapshots=tuple(name for name in plan.snapshots if dataset_of(name) in datasets),
        members=tuple(one for one in plan.members if not one.datasets or not datasets.isdisjoint(one.datasets)),
        problems=tuple(one for one in plan.problems if any(map(one.concerns, datasets))),
    )
