# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that a restore gives: to VMs, to folders, and to datastores."""

from __future__ import annotations

import re
from datetime import datetime

from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.names import SnapshotName
from .rename import shortened_to_fit

_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})")
_NOT_IN_FOLDERS = re.compile(r"[/\\%\x00-\x1f]")


def snapshot_date(zfs: Zfs, snapshot: SnapshotName) -> str:
    """Return the date of a ZFS snapshot, YYYY-MM-DD: the one in its name, or the local date of its creation."""
    named = _DATE.search(snapshot.name)
    if named:
        return named[1]
    created = (snapshots.properties(zfs, str(snapshot), "creation") or {}).get("creation", "0")
    return datetime.fromtimestamp(int(created)).strftime("%Y-%m-%d")


def default_name(vm: str, date: str) -> str:
    """Return the name of a VM that is restored next to the original one."""
    return shortened_to_fit(vm, f"-restored-{date}")


def temporary_name(name: str, restore: str) -> str:
    """Return the name that a VM has while it is restored. No other VM has it."""
    return shortened_to_fit(name, f" (restore {restore})")


def drill_name(vm: str, drill: str, number: int = 1) -> str:
    """Return the name of a VM in a drill. `number` differs for VMs of the same name. No other VM has this name."""
    return shortened_to_fit(vm, f" (drill {drill}{f'-{number}' if number > 1 else ''})")


def folder_name(name: str) -> str:
    """Return the name of the folder of a restored VM."""
    return _NOT_IN_FOLDERS.sub("_", name).strip(". ") or "restored"


def datastore_name(restore: str, number: int) -> str:
    """Return the name of the datastore of a clone, of at most 42 characters."""
    return f"restore-{restore}" + (f"-{number}" if number > 1 else "")
