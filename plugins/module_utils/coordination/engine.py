# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run or a recovery works with, opened together."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable, Iterator

from ..registry.cipher import Cipher
from ..registry.credentials import Credentials
from ..registry.database import Database, Paths
from ..registry.snapshot_tasks import SnapshotTasks
from ..vsphere.session import connect
from ..zfs.command import Zfs
from .identity import StorageHost
from .journal import Journal
from .lock import Locks
from .sites import Connect


@dataclass
class Engine:
    """`report` is told of each step in words, for whoever watches."""

    zfs: Zfs
    credentials: Credentials
    tasks: SnapshotTasks
    journal: Journal
    locks: Locks
    host: StorageHost
    connect: Connect
    report: Callable[[str], None]


@contextmanager
def open_engine(
    paths: Paths, read_only: bool = False, report: Callable[[str], None] = lambda step: None, connect: Connect = connect
) -> Iterator[Engine]:
    """Open the state of `paths`; with `read_only` nothing is created or changed. Raises RegistryError."""
    with Database.open(paths, read_only=read_only) as database:
        yield Engine(
            zfs=Zfs(),
            credentials=Credentials(database, Cipher(paths.key_file)),
            tasks=SnapshotTasks(database),
            journal=Journal(database),
            locks=Locks(paths.lock_dir),
            host=StorageHost.here(),
            connect=connect,
            report=report,
        )
