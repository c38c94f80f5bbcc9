# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run or a recovery works with, opened together."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Callable, Iterator

from ..vsphere.session import Connect, connect
from ..zfs.command import Zfs
from .cipher import Cipher
from .credentials import Credentials
from .database import Database, Paths
from .identity import StorageHost
from .journal import Journal
from .locks import Locks
from .snapshot_tasks import SnapshotTasks

_LAST_WORDS = 2.0  # seconds in which the last steps have to be told


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
    with Database.open(paths, read_only=read_only) as database, _unhindered(report) as told:
        host = StorageHost.here(paths, read_only)
        yield Engine(
            zfs=Zfs(),
            credentials=Credentials(database, Cipher(paths.key_file)),
            tasks=SnapshotTasks(database),
            journal=Journal(database, host.id),
            locks=Locks(paths.lock_dir),
            host=host,
            connect=connect,
            report=told,
        )


@contextmanager
def _unhindered(report: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """`report` in a thread of its own: whoever watches may be gone, or have stopped the terminal, and must not keep VMs
    on hold by that.
    """
    steps: SimpleQueue[str | None] = SimpleQueue()

    def tell() -> None:
        for step in iter(steps.get, None):
            try:
                report(step)
            except (OSError, ValueError):  # a broken pipe, a terminal that hung up, a stream that was closed
                pass

    teller = threading.Thread(target=tell, name="report", daemon=True)
    teller.start()
    try:
        yield steps.put
    finally:
        steps.put(None)
        teller.join(_LAST_WORDS)
