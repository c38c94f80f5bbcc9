# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of the VMware snapshots that the engine creates, each written before the VMware snapshot exists.

An entry is written before a VMware snapshot is created (`intended`) and closed only after the VMware snapshot is
verified to be gone. If a run is killed in between, its open entries show where to look. Every method is one durable
transaction for any number of VMware snapshots, because a write takes up to 20 ms on slow disks.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Iterable, Mapping, Sequence

from ..errors import RegistryError
from ..zfs.properties import Assignment
from . import elapsed
from .creation import Creation
from .database import Database
from .identity import run_id_at, whole_of
from .journal_entries import (
    ABSENT,
    CREATED,
    ENDED,
    GONE,
    INTENDED,
    QUIESCING,
    REMOVING,
    UNCONSOLIDATED,
    Entry,
    RunRecord,
)

REMEMBERED = timedelta(days=90)  # how long runs stay in the journal; ZFS snapshots contain their own records


class Journal:
    """Writes and reads the journal. It is thread-safe.

    `host` is the identity of this storage host, which is stored with each run.
    """

    def __init__(self, database: Database, host: str = "") -> None:
        self._database, self._host = database, host

    def open_run(self, run: str, task: str, dataset: str, snapshots: Sequence[str], state: str = QUIESCING) -> None:
        self._write(
            "INSERT INTO run (id, task, dataset, snapshots, state, started, host) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(run, task, dataset, json.dumps(list(snapshots)), state, _now(), self._host)],
        )

    def set_state(self, run: str, state: str) -> None:
        self._write("UPDATE run SET state = ? WHERE id = ?", [(state, run)])

    def end_run(self, run: str, result: dict[str, Any], state: str = ENDED) -> None:
        """Mark the run as ended; `result` is its reported result."""
        self._write(
            "UPDATE run SET state = ?, ended = ?, result = ? WHERE id = ?", [(state, _now(), json.dumps(result), run)]
        )

    def intend(self, entries: Iterable[Entry]) -> list[int]:
        """Write entries before their VMware snapshots are created, and return the IDs of the entries."""
        ids: list[int] = []
        with self._database.transaction() as connection:
            for entry in entries:
                cursor = connection.execute(
                    "INSERT INTO vm_snapshot"
                    " (run, hostname, port, vm, instance_uuid, vm_name, name, username, needed_consolidation, state,"
                    " changed) VALUES (:run, :hostname, :port, :vm_moid, :instance_uuid, :vm_name, :name, :username,"
                    " :needed_consolidation, :state, :changed)",
                    {**vars(entry), "state": INTENDED, "changed": _now()},
                )
                ids.append(int(cursor.lastrowid or 0))
        return ids

    def repeat(self, entry: int) -> None:
        """Record that the creation is about to be requested again, although the first one may still succeed."""
        self._write("UPDATE vm_snapshot SET creation = ? WHERE id = ?", [(Creation.REPEATED, entry)])

    def move(self, entries: Iterable[Entry]) -> None:
        """Update the server, VM and account of these entries, which were found there."""
        self._write(
            "UPDATE vm_snapshot SET hostname = ?, port = ?, vm = ?, username = ? WHERE id = ?",
            [(entry.hostname, entry.port, entry.vm_moid, entry.username, entry.id) for entry in entries],
        )

    def created(self, snapshots: Mapping[int, str]) -> None:
        """Record that these VMware snapshots were created: entry -> managed object ID."""
        self._write(
            "UPDATE vm_snapshot SET state = ?, changed = ?, snapshot = ?,"
            " creation = CASE creation WHEN ? THEN creation ELSE ? END WHERE id = ?",
            [(CREATED, _now(), moid, Creation.REPEATED, Creation.MADE, entry) for entry, moid in snapshots.items()],
        )

    def removing(self, snapshots: Mapping[int, tuple[str, bool]]) -> None:
        """Record that the removal of these VMware snapshots is about to be requested.

        `snapshots` maps an entry to the managed object ID and to whether the VM's disks need consolidation before the
        removal.
        """
        self._write(
            "UPDATE vm_snapshot SET state = ?, changed = ?, snapshot = ?, needed_consolidation = ? WHERE id = ?",
            [(REMOVING, _now(), moid, needed, entry) for entry, (moid, needed) in snapshots.items()],
        )

    def absent(self, entries: Iterable[int]) -> None:
        """Record that these VMware snapshots were not found, although their creation may still be running.

        The time of the first such check is kept, unless it is in the future because the clock was set back.
        """
        now = _now()
        uptime = elapsed.mark(now)
        self._write(
            "UPDATE vm_snapshot SET changed = CASE WHEN state != ? OR changed > ? THEN ? ELSE changed END,"
            " uptime = CASE WHEN state != ? OR changed > ? THEN ? ELSE uptime END, state = ?, note = '' WHERE id = ?",
            [(ABSENT, now, now, ABSENT, now, uptime, ABSENT, entry) for entry in entries],
        )

    def gone(self, notes: Mapping[int, str]) -> None:
        """Record that these VMware snapshots are gone or never existed: entry -> note."""
        self._advance(GONE, "note", notes)

    def unconsolidated(self, notes: Mapping[int, str]) -> None:
        """Record that these were removed and the VM's disks have needed consolidation since then: entry -> failure."""
        self._advance(UNCONSOLIDATED, "note", notes)

    def note(self, notes: Mapping[int, str]) -> None:
        """Record why these VMware snapshots still exist (entry -> reason). The entries stay open."""
        self._write("UPDATE vm_snapshot SET note = ? WHERE id = ?", [(note, entry) for entry, note in notes.items()])

    def keep_seals(self, run: str, seals: Iterable[Assignment]) -> None:
        """Store the complete records of the run's ZFS snapshots before they are set on the ZFS snapshots."""
        self._write(
            "INSERT OR REPLACE INTO seal (run, snapshot, createtxg, properties) VALUES (?, ?, ?, ?)",
            [(run, one.snapshot, one.createtxg, json.dumps(one.properties)) for one in seals],
        )

    def drop_seals(self, run: str, snapshots: Iterable[str]) -> None:
        """Delete the stored records of these ZFS snapshots, which are set or whose snapshots no longer exist."""
        self._write("DELETE FROM seal WHERE run = ? AND snapshot = ?", [(run, snapshot) for snapshot in snapshots])

    def seals(self, run: str) -> list[Assignment]:
        """Return the stored records of the run, which may not be set yet, in the run's order."""
        rows = self._database.rows(
            "SELECT snapshot, createtxg, properties FROM seal WHERE run = ? ORDER BY rowid", (run,)
        )
        return [Assignment(row[0], row[1], tuple((key, value) for key, value in json.loads(row[2]))) for row in rows]

    def unsealed_runs(self) -> list[str]:
        """Return the runs with stored records, which may not be set yet, oldest first."""
        return [row[0] for row in self._database.rows("SELECT run FROM seal GROUP BY run ORDER BY min(rowid)")]

    def forget(self, before: datetime) -> None:
        """Delete ended runs from before this time, and stored records from before it that could not be set.

        The newest run of each task stays, because it shows the last result of the task. Runs of which a VMware snapshot
        may still exist stay as well.
        """
        with self._database.transaction() as connection:
            newest = connection.execute("SELECT id, max(rowid) FROM run WHERE task != '' GROUP BY task")
            left = connection.execute("SELECT run FROM vm_snapshot WHERE state != ?", (GONE,))
            kept = {whole_of(row[0]) for rows in (newest, left) for row in rows}
            ended = connection.execute("SELECT id FROM run WHERE state = ? AND started < ?", (ENDED, _iso(before)))
            old = [(row["id"],) for row in ended if whole_of(row["id"]) not in kept]
            connection.executemany("DELETE FROM vm_snapshot WHERE run = ?", old)
            connection.executemany("DELETE FROM run WHERE id = ?", old)
            connection.execute("DELETE FROM seal WHERE run < ?", (run_id_at(before),))  # the pool no longer exists

    def open_entries(self) -> list[Entry]:
        """Return every VMware snapshot that exists or may exist, oldest first."""
        return self._entries("state != ?", GONE)

    def entries(self, run: str) -> list[Entry]:
        """Return all entries of a run, oldest first."""
        return self._entries("run = ?", run)

    def runs(self, states: Sequence[str] = (), limit: int = 1000) -> list[RunRecord]:
        """Return runs, newest first: all, or those in one of `states`."""
        return self._runs(f"state IN ({', '.join('?' * len(states))})" if states else "TRUE", states, limit)

    def run(self, run: str) -> RunRecord | None:
        """Return the run with this ID, or None."""
        return next(iter(self._runs("id = ?", (run,), 1)), None)

    def inherited(self) -> set[str]:
        """Return the runs that began on another machine, from which this journal was copied."""
        return {row[0] for row in self._database.rows("SELECT id FROM run WHERE host NOT IN ('', ?)", (self._host,))}

    def last_run(self, task: str) -> list[RunRecord]:
        """Return the waves of the newest run of a snapshot task (its key), in order; empty if there is no run."""
        newest = self._runs("task = ?", (task,), 1)
        if not newest:
            return []
        whole = whole_of(newest[0].id)
        waves = self._runs("id = ? OR id GLOB ?", (whole, f"{whole}-*"), -1)
        return sorted(waves, key=lambda run: run.id != whole)

    def _runs(self, where: str, values: Sequence[str], limit: int) -> list[RunRecord]:
        rows = self._database.rows(
            f"SELECT id, task, dataset, snapshots, state, started, ended, result FROM run WHERE {where}"
            " ORDER BY rowid DESC LIMIT ?",  # not by time, because the clock may have been wrong
            (*values, limit),
        )
        return [
            RunRecord(row[0], row[1], row[2], tuple(json.loads(row[3])), row[4], row[5], row[6], json.loads(row[7]))
            for row in rows
        ]

    def _entries(self, where: str, value: str) -> list[Entry]:
        columns = (
            "run, hostname, port, vm AS vm_moid, instance_uuid, vm_name, name, snapshot AS snapshot_moid, state, note,"
            " changed, creation, username, needed_consolidation, uptime, id"
        )
        rows = self._database.rows(f"SELECT {columns} FROM vm_snapshot WHERE {where} ORDER BY id", (value,))
        return [
            replace(
                Entry(**dict(row)),
                creation=Creation(row["creation"]),
                needed_consolidation=bool(row["needed_consolidation"]),
            )
            for row in rows
        ]

    def _advance(self, state: str, column: str, values: Mapping[int, str]) -> None:
        self._write(
            f"UPDATE vm_snapshot SET state = ?, changed = ?, {column} = ? WHERE id = ?",
            [(state, _now(), value, entry) for entry, value in values.items()],
        )

    def _write(self, statement: str, parameters: Sequence[Sequence[Any]]) -> None:
        if not parameters:
            return
        with self._database.transaction() as connection:
            connection.executemany(statement, parameters)


def ignore_registry_errors(write: Callable[[], None]) -> None:
    """Write to the journal but ignore errors: such an entry only saves work in recovery and must not stop a removal."""
    try:
        write()
    except RegistryError:
        pass


def _now() -> str:
    return _iso(datetime.now(timezone.utc))


def _iso(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds")
