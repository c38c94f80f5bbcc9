# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of a ZFS snapshot that a person asks for and does not name."""

from __future__ import annotations

import time
from datetime import datetime

from ..schedule.naming import unused_name
from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.names import check_dataset, check_snapshot
from .manifest import PREFIX

_SAME = 120.0  # seconds that a snapshot of this minute is away, at most


def name_now(zfs: Zfs, dataset: str, schema: str) -> str:
    """The name that the naming `schema` gives a snapshot of `dataset` now.

    One that has this name already is the answer to a question that is repeated within its minute. One of another time
    is not: when clocks go back a minute comes again, and who asks before an upgrade must not be given what is an hour
    old. Raises InputError, ZfsError.
    """
    now = time.time()

    def is_older(name: str) -> bool:
        found = snapshots.properties(zfs, check_snapshot(check_dataset(dataset), name), PREFIX)
        return found is not None and abs(now - int(found.get("creation", "0"))) > _SAME

    return unused_name(schema, datetime.fromtimestamp(now).astimezone(), is_older)
