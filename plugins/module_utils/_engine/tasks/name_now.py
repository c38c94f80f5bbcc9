# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of a ZFS snapshot that a person asks for and does not name."""

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

_SAME = 120.0  # seconds that a snapshot of this minute is away, at most


def name_now(zfs: Zfs, dataset: str, recursive: bool, exclude: Sequence[str], schema: str) -> str:
    """The name that the naming `schema` gives a snapshot of `dataset` now, and of what is below it if `recursive`.

    One that has this name already is the answer to a question that is repeated within its minute. One of another time
    is not: when clocks go back a minute comes again, and who asks before an upgrade must not be given what is an hour
    old. Nor is one that not all of the datasets have, which a snapshot task took. Raises InputError, ZfsError.
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
