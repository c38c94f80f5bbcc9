# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of restores: each step that would have to be undone, written before it is carried out.

A step is written as `intended` before it changes anything, and as `done` after that. If a restore is killed in between,
its steps show what may exist. Each write is on disk when the call returns.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Mapping, Sequence

from ..errors import RestoreNotFound
from .database import Database, utc_now

# States of a restore. Recovery undoes a running restore whose process is dead.
RUNNING = "running"
DONE = "done"  # also of a step; a finished restore belongs to the user, and recovery leaves it alone
UNDONE = "undone"  # also of a step
ENDED = "ended"  # a user ended a finished restore
STATES = (RUNNING, DONE, UNDONE, ENDED)

INTENDED = "intended"  # of a step

# The ways of a restore.
FOLDER = "folder"  # a copy of the VM's folder in the dataset of the living VM
CLONE = "clone"  # the VM runs from a ZFS clone
MOUNT = "mount"  # a whole ZFS snapshot as a datastore
DISK = "disk"  # one disk at another VM
DRILL = "drill"  # VMs start from a ZFS clone, are looked at, and are taken away again
WAYS = (FOLDER, CLONE, MOUNT, DISK, DRILL)


@dataclass(frozen=True)
class RestoreRecord:
    """A restore. `id` is like the ID of a run. `vm` is the name of the original VM, `name` that of the restored one.

    `hostname`, `port` and `username` are the server and the account. `started` and `ended` are UTC in ISO 8601; `ended`
    is "" before the restore is finished. `host` is the identity of the storage host.
    """

    id: str
    snapshot: str
    way: str
    vm: str
    name: str
    hostname: str
    port: int
    username: str
    state: str = RUNNING
    started: str = ""
    ended: str = ""
    host: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """What a message calls it."""
        return "drill" if self.way == DRILL else "restore"


@dataclass(frozen=True)
class RestoreStep:
    """A step of a restore. `note` says why it could not be undone yet, or ""."""

    id: int
    restore: str
    kind: str
    data: Mapping[str, Any]
    state: str = INTENDED
    changed: str = ""
    note: str = ""


class Restores:
    """Writes and reads the journal of restores. It is thread-safe.

    `host` is the identity of this storage host, which is stored with each restore.
    """

    def __init__(self, database: Database, host: str = "") -> None:
        self._database, self._host = database, host

    def open(self, restore: RestoreRecord) -> None:
        """Write a new restore, with the time of now, before its first step."""
        self._write(
            "INSERT INTO restore (id, snapshot, way, vm, name, hostname, port, username, state, started, host)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            restore.id, restore.snapshot, restore.way, restore.vm, restore.name,
            restore.hostname, restore.port, restore.username, RUNNING, utc_now(), self._host,
        )  # fmt: skip

    def intend(self, restore: str, kind: str, data: Mapping[str, Any]) -> int:
        """Write a step before it is carried out, and return its ID."""
        return self._write(
            "INSERT INTO restore_step (restore, kind, data, state, changed) VALUES (?, ?, ?, ?, ?)",
            restore, kind, json.dumps(dict(data)), INTENDED, utc_now(),
        )  # fmt: skip

    def done(self, step: int, **more: Any) -> None:
        """Record that a step was carried out. `more` is added to its data."""
        with self._database.transaction() as connection:
            for row in connection.execute("SELECT data FROM restore_step WHERE id = ?", (step,)).fetchall():
                connection.execute(
                    "UPDATE restore_step SET state = ?, changed = ?, data = ? WHERE id = ?",
                    (DONE, utc_now(), json.dumps({**json.loads(row["data"]), **more}), step),
                )

    def undone(self, step: int) -> None:
        """Record that nothing of a step exists any more."""
        self._write("UPDATE restore_step SET state = ?, changed = ?, note = '' WHERE id = ?", UNDONE, utc_now(), step)

    def note(self, step: int, reason: str) -> None:
        """Record why a step could not be undone yet. Its state stays."""
        self._write("UPDATE restore_step SET note = ? WHERE id = ?", reason, step)

    def keep_result(self, restore: str, result: Mapping[str, Any]) -> None:
        """Store the reported result of a restore. Its state stays."""
        self._write("UPDATE restore SET result = ? WHERE id = ?", json.dumps(dict(result)), restore)

    def set_state(self, restore: str, state: str) -> None:
        """Set the state of a restore, and when it ended unless it runs again."""
        ended = "" if state == RUNNING else utc_now()
        self._write("UPDATE restore SET state = ?, ended = ? WHERE id = ?", state, ended, restore)

    def list(self, states: Sequence[str] = ()) -> Sequence[RestoreRecord]:
        """Return the restores, newest first: all, or those in one of `states`."""
        where = f"state IN ({', '.join('?' * len(states))})" if states else "TRUE"
        rows = self._database.rows(f"SELECT * FROM restore WHERE {where} ORDER BY rowid DESC", tuple(states))
        return [_restore(row) for row in rows]

    def get(self, restore: str) -> RestoreRecord:
        """Return a restore. Raises RestoreNotFound."""
        for row in self._database.rows("SELECT * FROM restore WHERE id = ?", (restore,)):
            return _restore(row)
        raise RestoreNotFound(f"There is no restore with the id {restore}", "List them with 'vmware-zfs restores'")

    def steps(self, restore: str) -> Sequence[RestoreStep]:
        """Return the steps of a restore in the order in which they were carried out."""
        rows = self._database.rows("SELECT * FROM restore_step WHERE restore = ? ORDER BY id", (restore,))
        return [RestoreStep(**{**dict(row), "data": json.loads(row["data"])}) for row in rows]

    def unfinished(self) -> Sequence[RestoreRecord]:
        """Return the running restores, oldest first. The process of each may be alive: see Locks.is_alive."""
        return self.list([RUNNING])[::-1]

    def inherited(self) -> set[str]:
        """Return the restores that began on another machine, from which this journal was copied."""
        rows = self._database.rows("SELECT id FROM restore WHERE host NOT IN ('', ?)", (self._host,))
        return {str(row["id"]) for row in rows}

    def forget(self, before: datetime) -> None:
        """Delete the restores from before this time of which nothing exists any more."""
        with self._database.transaction() as connection:
            old = connection.execute(
                "SELECT id FROM restore WHERE state IN (?, ?) AND started < ? AND id NOT IN"
                " (SELECT restore FROM restore_step WHERE state != ?)",
                (UNDONE, ENDED, before.strftime("%Y-%m-%dT%H:%M:%SZ"), UNDONE),
            ).fetchall()
            for statement in ("DELETE FROM restore_step WHERE restore = ?", "DELETE FROM restore WHERE id = ?"):
                connection.executemany(statement, [(row["id"],) for row in old])

    def _write(self, statement: str, *values: Any) -> int:
        with self._database.transaction() as connection:
            return int(connection.execute(statement, values).lastrowid or 0)


def _restore(row: sqlite3.Row) -> RestoreRecord:
    return RestoreRecord(**{**dict(row), "result": json.loads(row["result"])})
