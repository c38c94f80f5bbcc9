# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applies retention: destroys the ZFS snapshots of tasks that have expired (observe/lifetimes.py)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import Callable, Collection, Mapping, Sequence

from ..observe.lifetimes import judged
from ..records.record import RUN
from ..state.snapshot_tasks import SnapshotTask
from ..zfs.command import Zfs
from ..zfs.destroy import destroy

_UNFINISHED = "its run has not ended"


@dataclass(frozen=True)
class Kept:
    """A ZFS snapshot that retention keeps, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Retirement:
    """The result of retention. `destroyed` are names (in a dry run, those that would be destroyed).

    `kept` are the other ZFS snapshots with a task's key.
    """

    destroyed: list[str]
    kept: list[Kept]


def retire(
    zfs: Zfs,
    tasks: Sequence[SnapshotTask],
    found: Mapping[str, Mapping[str, str]],
    dry: bool,
    is_alive: Callable[[str], bool] = lambda run: False,
    spare: Collection[str] = (),
    included: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Retirement:
    """Destroy the expired snapshots of `tasks` among `found` (as returned by `facts`).

    Snapshots of a live run are kept, because their records are not complete. Snapshots of tasks whose key is in `spare`
    are kept, too. `included` are further datasets that belong to a task, by its key. With `dry`, nothing is destroyed.
    """
    judgements = judged(tasks, found, time.time(), spare, included)
    kept = {name: judgement.reason for name, judgement in judgements.items() if not judgement.destroy}
    doomed = {name: found[name]["createtxg"] for name, judgement in judgements.items() if judgement.destroy}
    living = {run for run in {found[name].get(RUN, "") for name in doomed} if run and is_alive(run)}
    refused = {name: _UNFINISHED for name in doomed if found[name].get(RUN, "") in living}
    for name in refused:
        del doomed[name]
    if doomed and not dry:
        refused.update(destroy(zfs, doomed))
    kept.update(refused)
    return Retirement(
        destroyed=[name for name in doomed if name not in refused],
        kept=[Kept(name, reason) for name, reason in kept.items()],
    )
