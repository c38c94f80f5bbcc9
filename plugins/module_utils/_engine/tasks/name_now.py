# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the name of a ZFS snapshot that a user requests without a name."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Sequence

from ..records.manifest import PREFIX
from ..records.record import TASK
from ..schedule.naming import unused_name
from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.datasets import list_datasets, select
from ..zfs.names import check_dataset, check_snapshot

_SAME = 120.0  # seconds; a snapshot of the current minute is not older than this


def name_now(zfs: Zfs, dataset: str, recursive: bool, exclude: Sequence[str], schema: str) -> str:
    """Return the name for a snapshot of `dataset` (and its children if `recursive`) now, from the naming `schema`.

    If a snapshot with this name was taken within the current minute, its name is returned, so that a repeated request
    gets the same snapshot. A snapshot of another time does not count: when clocks go back, the same minute occurs
    twice, and a snapshot before an upgrade must not be an hour old. A snapshot of a snapshot task, or one that not all
    of the datasets have, does not count either. Raises InputError, ZfsError.
    """
    now = time.time()
    chosen = select(list_datasets(zfs, check_dataset(dataset)), dataset, recursive, exclude)

    def is_taken(name: str) -> bool:
        found = snapshots.properties(zfs, check_snapshot(dataset, name), PREFIX)
        if found is not None and (found.get(TASK) or abs(now - int(found.get("creation", "0"))) > _SAME):
            return True
        names = [check_snapshot(one.name, name) for one in chosen]
        return 0 < len(snapshots.existing(zfs, names)) < len(names)

    return unused_name(schema, datetime.fromtimestamp(now).astimezone(), is_taken)
