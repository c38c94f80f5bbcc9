# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the ZFS snapshots of earlier runs that no longer exist. The journal only shows that they were taken."""

from __future__ import annotations

from typing import Iterable, Mapping, Sequence

from ..errors import DatasetNotFound, QuiesceError
from ..grouping import grouped
from ..records.record import RUN
from ..state.journal_entries import RunRecord
from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.datasets import list_datasets
from ..zfs.names import pool_of

_SECONDS = 10.0  # time limit for a pool that hangs, so that the status is shown soon


def destroyed(zfs: Zfs, runs: Iterable[RunRecord]) -> dict[str, list[str] | None]:
    """Return the ZFS snapshots that were destroyed or renamed, by run ID.

    The value is None if the pool is not imported or does not respond. Starts a few processes for each pool.
    """
    known = list(runs)
    found: dict[str, list[str] | None] = {run.id: [] for run in known}
    with_snapshots = (run for run in known if run.result.get("consistency") is not None)
    for pool, took in grouped((pool_of(run.dataset), run) for run in with_snapshots).items():
        try:
            owners = _owners(zfs, pool, took)
        except QuiesceError:
            found.update({run.id: None for run in took})
        else:
            found.update({run.id: _missing(run, owners) for run in took})
    return found


def _missing(run: RunRecord, owners: Mapping[str, str | None]) -> list[str]:
    return [name for name in run.snapshots if owners.get(name, "") not in (run.id, None)]


def _owners(zfs: Zfs, pool: str, runs: Sequence[RunRecord]) -> dict[str, str | None]:
    """Return the run of each existing snapshot of the runs, or None if its properties cannot be read."""
    names = list(dict.fromkeys(name for run in runs for name in run.snapshots))
    present = snapshots.existing(zfs, names, _SECONDS)
    if not present:
        _require_pool(zfs, [*dict.fromkeys(run.dataset for run in runs), pool])
        return {}
    own = snapshots.own_of_each(zfs, present, (RUN,))
    return {name: own[name].get(RUN, "") if name in own else None for name in present}


def _require_pool(zfs: Zfs, datasets: Sequence[str]) -> None:
    """Raise DatasetNotFound unless one of the datasets exists. Otherwise the pool is not imported."""
    for name in datasets:
        try:
            list_datasets(zfs, name)
            return
        except DatasetNotFound:
            continue
    raise DatasetNotFound(f"The pool of {datasets[0]} is not imported")
