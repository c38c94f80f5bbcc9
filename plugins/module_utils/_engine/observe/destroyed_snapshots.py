# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ZFS snapshots of earlier runs were destroyed since: the journal only knows that they were taken."""

from __future__ import annotations

from typing import Iterable, Mapping, Sequence

from ..errors import DatasetNotFound, QuiesceError
from ..records.record import RUN
from ..state.journal import RunRecord
from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.datasets import list_datasets
from ..zfs.names import pool_of

_SECONDS = 10.0  # for a pool to answer: whoever looks at night must not wait for one that hangs


def destroyed(zfs: Zfs, runs: Iterable[RunRecord]) -> dict[str, list[str] | None]:
    """By the run's id, those of the ZFS snapshots that it took that are not there any more, or not under their names.

    None where that is not known, because the pool is not imported or does not answer. A few processes for each pool.
    """
    by_pool: dict[str, list[RunRecord]] = {}
    found: dict[str, list[str] | None] = {}
    for run in runs:
        found[run.id] = []
        if run.result.get("consistency") is not None:
            by_pool.setdefault(pool_of(run.dataset), []).append(run)
    for pool, took in by_pool.items():
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
    """The run of each of the runs' snapshots that is there, None where it cannot be read."""
    names = list(dict.fromkeys(name for run in runs for name in run.snapshots))
    there = snapshots.existing(zfs, names, _SECONDS)
    if not there:
        _require_pool(zfs, [*dict.fromkeys(run.dataset for run in runs), pool])
        return {}
    said = snapshots.own_of_each(zfs, there, (RUN,))
    return {name: said[name].get(RUN, "") if name in said else None for name in there}


def _require_pool(zfs: Zfs, datasets: Sequence[str]) -> None:
    """Raise DatasetNotFound unless one of the datasets is there: all of a pool that is not imported seems destroyed."""
    for name in datasets:
        try:
            list_datasets(zfs, name)
            return
        except DatasetNotFound:
            continue
    raise DatasetNotFound(f"The pool of {datasets[0]} is not imported")
