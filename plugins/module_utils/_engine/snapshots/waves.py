# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One plan cut into waves.

A wave is a run of its own, with an atomic ZFS snapshot of its own datasets: its VMs are released before the next wave
holds any, so that a slow VM holds up those of its wave alone. The price is that the waves' snapshots show different
instants; therefore datasets that share a VM are never parted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ..planning.plan import NOTHING, Plan


def cut(plan: Plan, size: int) -> list[Plan]:
    """`plan` as waves of at most `size` VMs that are to be held; with 0 it stays whole.

    A wave is larger only where one dataset, or those that share VMs, carry more. Datasets without a VM to be held make
    no wave of their own. A VM that may have files on any dataset is part of every wave, and so is a problem that may
    concern any.
    """
    if not size:
        return [plan]
    group_of = _groups(plan)
    load = Counter(id(group_of[member.datasets[0]]) for member in plan.members if member.action != NOTHING)
    waves: list[set[str]] = []
    held = 0
    for group in {id(group): group for group in group_of.values()}.values():
        more = load[id(group)]
        if waves and (not held or not more or held + more <= size):
            waves[-1] |= group
        else:
            waves.append(set(group))
            held = 0
        held += more
    return [_wave(plan, wave) for wave in waves]


def _groups(plan: Plan) -> dict[str, set[str]]:
    """Each dataset of the plan, in its order, with those that it shares VMs with, itself among them."""
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
        snapshots=tuple(name for name in plan.snapshots if name.split("@")[0] in datasets),
        members=tuple(one for one in plan.members if not one.datasets or not datasets.isdisjoint(one.datasets)),
        problems=tuple(one for one in plan.problems if any(map(one.concerns, datasets))),
    )
