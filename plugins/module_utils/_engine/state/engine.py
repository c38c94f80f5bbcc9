# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens everything that a run or a recovery needs."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Callable, Iterator

from ..vsphere.session import Connect, connect
from ..zfs.command import Zfs
from .credentials import Credentials
from .database import Database, Paths
from .dataset_policies import StoredPolicies
from .drills import Drills
from .identity import StorageHost
from .journal import Journal
from .locks import Locks
from .restores import Restores
from .snapshot_tasks import SnapshotTasks

_FLUSH_TIMEOUT = 2.0  # seconds to wait for the last reports


@dataclass
class Engine:
    """The state and the connections of a run or a recovery. `report` receives a text for each step, for display."""

    zfs: Zfs
    credentials: Credentials
    tasks: SnapshotTasks
    policies: StoredPolicies
    journal: Journal
    restores: Restores
    drills: Drills
    locks: Locks
    host: StorageHost
    connect: Connect
    report: Callable[[str], None]


@contextmanager
def open_engine(
    paths: Paths, read_only: bool = False, report: Callable[[str], None] = lambda step: None, connect: Connect = connect
) -> Iterator[Engine]:
    """Open the state in `paths`. With `read_only`, nothing is created or changed. Raises RegistryError."""
    with Database.open(paths, read_only=read_only) as database, _in_background(report) as queued_report:
        host = StorageHost.here(paths, read_only)
        yield Engine(
            zfs=Zfs(),
            credentials=Credentials.stored_in(database, paths, read_only),
            tasks=SnapshotTasks(database),
            policies=StoredPolicies(database),
            journal=Journal(database, host.id),
            restores=Restores(database, host.id),
            drills=Drills(database),
            locks=Locks(paths.lock_dir),
            host=host,
            connect=connect,
            report=queued_report,
        )


@contextmanager
def _in_background(report: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Call `report` in a separate thread, so that a closed or stopped terminal does not extend the hold of VMs."""
    steps: SimpleQueue[str | None] = SimpleQueue()

    def report_steps() -> None:
        for step in iter(steps.get, None):
            try:
                report(step)
            except (OSError, ValueError):  # a broken pipe, or a closed terminal or stream
                pass

    thread = threading.Thread(target=report_steps, name="report", daemon=True)
    thread.start()
    try:
        yield steps.put
    finally:
        steps.put(None)
        thread.join(_FLUSH_TIMEOUT)
