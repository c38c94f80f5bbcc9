# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: what may exist in vSphere because of us, written before it does.

An entry is written before a VMware snapshot is created (`intended`) and closed only when the snapshot is seen to be
gone. Whatever kills a run in between, the open entries say where to look. Every method is one durable transaction,
however many VMware snapshots it tells of: a disk that takes 20 ms for each would otherwise set the pace of a run.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Iterable, Mapping, Sequence

from ..errors import RegistryError
from ..zfs.properties import Assignment
from . import elapsed
from .creation import Creation
from .database import Database
from .identity import run_id_at, whole_of

QUIESCING, RELEASING, ENDED = "quiescing", "releasing", "ended"  # a run's states
# An entry's states. `absent`: it was not there when it was looked for, but its creation, whose answer nobody saw, may
# still be on its way; only when it is not there either after a while is it `gone`. `unconsolidated`: it was removed,
# and the VM's disks need consolidation since then.
INTENDED, CREATED, REMOVING, ABSENT, GONE = "intended", "created", "removing", "absent", "gone"
UNCONSOLIDATED = "unconsolidated"
REMEMBERED = timedelta(days=90)  # how long a run stays here; what it took says itself how consistent it is


@dataclass(frozen=True)
class Entry:
    """One VMware snapshot that exists or may exist. `id` is 0 until it is written, `snapshot_moid` "" until known.

    `changed` is when its state changed last, UTC in ISO 8601, `uptime` what elapsed.mark says of it. `username` is the
    account that it was asked for with, "" where that is not known. `needed_consolidation`: the VM's disks did before
    its VMware snapshot was asked for, or, as far as a recovery saw it, before the removal was.
    """

    run: str
    hostname: str
    port: int
    vm_moid: str
    instance_uuid: str
    vm_name: str
    name: str
    snapshot_moid: str = ""
    state: str = INTENDED
    note: str = ""
    changed: str = ""
    creation: Creation = Creation.ASKED
    username: str = ""
    needed_consolidation: bool = False
    uptime: str = ""
    id: int = 0

    @property
    def watched(self) -> bool:
        """Whether it was looked for and is not there, and nothing kept anybody from looking since."""
        return self.state == ABSENT and not self.note

    @property
    def removal_asked(self) -> bool:
        """Whether its removal may have been asked for: only that can be why the VM's disks need consolidation now. One
        that was there and is absent since may have been removed before its VM was out of sight.
        """
        return self.state in (REMOVING, UNCONSOLIDATED) or (self.state == ABSENT and bool(self.snapshot_moid))

    @property
    def unchanged_for(self) -> float:
        """Seconds since its state changed last, however the clock was set meanwhile."""
        return elapsed.seconds_since(self.changed, self.uptime)


@dataclass(frozen=True)
class RunRecord:
    """A run as the journal knows it. `snapshots` are its ZFS snapshots (`dataset@name`)."""

    id: str
    task: str
    dataset: str
    snapshots: tuple[str, ...]
    state: str
    started: str
    ended: str
    result: dict[str, Any]


class Journal:
    """Writes and reads the journal. Safe for use by several threads, one transaction at a time.

    `host` is the identity of this storage host, which runs are entered with.
    """

    def __init__(self, database: Database, host: str = "") -> None:
        self._database, self._host = database, host
        self._lock = threading.Lock()

    def open_run(self, run: str, task: str, dataset: str, snapshots: Sequence[str], state: str = QUIESCING) -> None:
        self._write(
            "INSERT INTO run (id, task, dataset, snapshots, state, started, host) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(run, task, dataset, json.dumps(list(snapshots)), state, _now(), self._host)],
        )

    def set_state(self, run: str, state: str) -> None:
        self._write("UPDATE run SET state = ? WHERE id = ?", [(state, run)])

    def end_run(self, run: str, result: dict[str, Any], state: str = ENDED) -> None:
        """The run did all it could; `result` is what it reported."""
        self._write(
            "UPDATE run SET state = ?, ended = ?, result = ? WHERE id = ?", [(state, _now(), json.dumps(result), run)]
        )

    def intend(self, entries: Iterable[Entry]) -> list[int]:
        """Write entries before their VMware snapshots are created, all in one transaction; return their ids."""
        ids: list[int] = []
        with self._lock, self._database.transaction() as connection:
            for entry in entries:
                cursor = connection.execute(
                    "INSERT INTO vm_snapshot"
                    " (run, hostname, port, vm, instance_uuid, vm_name, name, username, needed_consolidation, state,"
                    " changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        entry.run,
                        entry.hostname,
                        entry.port,
                        entry.vm_moid,
                        entry.instance_uuid,
                        entry.vm_name,
                        entry.name,
                        entry.username,
                        entry.needed_consolidation,
                        INTENDED,
                        _now(),
                    ),
                )
                ids.append(int(cursor.lastrowid or 0))
        return ids

    def repeat(self, entry: int) -> None:
        """The creation is about to be asked for again, and the first one may still come to be."""
        self._write("UPDATE vm_snapshot SET creation = ? WHERE id = ?", [(Creation.REPEATED, entry)])

    def move(self, entries: Iterable[Entry]) -> None:
        """These were found on the server, the VM and by the account that they name now."""
        self._write(
            "UPDATE vm_snapshot SET hostname = ?, port = ?, vm = ?, username = ? WHERE id = ?",
            [(entry.hostname, entry.port, entry.vm_moid, entry.username, entry.id) for entry in entries],
        )

    def created(self, snapshots: Mapping[int, str]) -> None:
        """The creation of these VMware snapshots succeeded: entry -> managed object ID."""
        self._write(
            "UPDATE vm_snapshot SET state = ?, changed = ?, snapshot = ?,"
            " creation = CASE creation WHEN ? THEN creation ELSE ? END WHERE id = ?",
            [(CREATED, _now(), moid, Creation.REPEATED, Creation.MADE, entry) for entry, moid in snapshots.items()],
        )

    def removing(self, snapshots: Mapping[int, tuple[str, bool]]) -> None:
        """The removal of these VMware snapshots is about to be asked for: entry -> its managed object ID, and whether
        the VM's disks need consolidation before it.
        """
        self._write(
            "UPDATE vm_snapshot SET state = ?, changed = ?, snapshot = ?, needed_consolidation = ? WHERE id = ?",
            [(REMOVING, _now(), moid, needed, entry) for entry, (moid, needed) in snapshots.items()],
        )

    def absent(self, entries: Iterable[int]) -> None:
        """These VMware snapshots are not there, and their creation may still be on its way: looked for from now on.

        When one was looked for first stays, unless that is in the future because the clock was set back.
        """
        now = _now()
        uptime = elapsed.mark(now)
        self._write(
            "UPDATE vm_snapshot SET changed = CASE WHEN state != ? OR changed > ? THEN ? ELSE changed END,"
            " uptime = CASE WHEN state != ? OR changed > ? THEN ? ELSE uptime END, state = ?, note = '' WHERE id = ?",
            [(ABSENT, now, now, ABSENT, now, uptime, ABSENT, entry) for entry in entries],
        )

    def gone(self, notes: Mapping[int, str]) -> None:
        """These VMware snapshots were seen to be gone, or never to have come to be: entry -> what is to be known."""
        self._advance(GONE, "note", notes)

    def unconsolidated(self, notes: Mapping[int, str]) -> None:
        """These VMware snapshots were removed, and the disks need consolidation since then: entry -> what failed."""
        self._advance(UNCONSOLIDATED, "note", notes)

    def note(self, notes: Mapping[int, str]) -> None:
        """Why these VMware snapshots are still there (entry -> reason); their entries stay open."""
        self._write("UPDATE vm_snapshot SET note = ? WHERE id = ?", [(note, entry) for entry, note in notes.items()])

    def keep_seals(self, run: str, seals: Iterable[Assignment]) -> None:
        """Write the finished records of the run's ZFS snapshots before they are set there, all in one transaction."""
        self._write(
            "INSERT OR REPLACE INTO seal (run, snapshot, createtxg, properties) VALUES (?, ?, ?, ?)",
            [(run, one.snapshot, one.createtxg, json.dumps(one.properties)) for one in seals],
        )

    def drop_seals(self, run: str, snapshots: Iterable[str]) -> None:
        """The records of these ZFS snapshots are set, or the snapshots are gone."""
        self._write("DELETE FROM seal WHERE run = ? AND snapshot = ?", [(run, snapshot) for snapshot in snapshots])

    def seals(self, run: str) -> list[Assignment]:
        """The records of the run that are not known to be set, in the run's order."""
        with self._lock:
            rows = self._database.rows(
                "SELECT snapshot, createtxg, properties FROM seal WHERE run = ? ORDER BY rowid", (run,)
            )
        return [Assignment(row[0], row[1], tuple((key, value) for key, value in json.loads(row[2]))) for row in rows]

    def unsealed_runs(self) -> list[str]:
        """The runs with records that are not known to be set, oldest first."""
        with self._lock:
            return [row[0] for row in self._database.rows("SELECT run FROM seal GROUP BY run ORDER BY min(rowid)")]

    def forget(self, before: datetime) -> None:
        """Forget the runs that ended and began before then, but for the newest of each task, which tells what it did
        last, and for those of which a VMware snapshot may be left; and every record that could not be set since then.
        """
        with self._lock, self._database.transaction() as connection:
            newest = connection.execute("SELECT id, max(rowid) FROM run WHERE task != '' GROUP BY task")
            left = connection.execute("SELECT run FROM vm_snapshot WHERE state != ?", (GONE,))
            kept = {whole_of(row[0]) for rows in (newest, left) for row in rows}
            ended = connection.execute("SELECT id FROM run WHERE state = ? AND started < ?", (ENDED, _iso(before)))
            old = [(row["id"],) for row in ended if whole_of(row["id"]) not in kept]
            connection.executemany("DELETE FROM vm_snapshot WHERE run = ?", old)
            connection.executemany("DELETE FROM run WHERE id = ?", old)
            connection.execute("DELETE FROM seal WHERE run < ?", (run_id_at(before),))  # its pool is gone for good

    def open_entries(self) -> list[Entry]:
        """Every VMware snapshot that exists or may exist, oldest first."""
        return self._entries("state != ?", GONE)

    def entries(self, run: str) -> list[Entry]:
        """All entries of a run, oldest first."""
        return self._entries("run = ?", run)

    def runs(self, states: Sequence[str] = (), limit: int = 1000) -> list[RunRecord]:
        """The newest runs first, all or those in one of `states`."""
        return self._runs(f"state IN ({', '.join('?' * len(states))})" if states else "TRUE", states, limit)

    def run(self, run: str) -> RunRecord | None:
        """The run with this id."""
        return next(iter(self._runs("id = ?", (run,), 1)), None)

    def inherited(self) -> set[str]:
        """The runs that began on another machine, from which this journal was copied."""
        with self._lock:
            return {
                row[0] for row in self._database.rows("SELECT id FROM run WHERE host NOT IN ('', ?)", (self._host,))
            }

    def last_run(self, task: str) -> list[RunRecord]:
        """The newest run of a snapshot task (its key), the first of its waves first; empty if there is none."""
        newest = self._runs("task = ?", (task,), 1)
        if not newest:
            return []
        whole = whole_of(newest[0].id)
        waves = self._runs("id = ? OR id GLOB ?", (whole, f"{whole}-*"), -1)
        return sorted(waves, key=lambda run: run.id != whole)

    def _runs(self, where: str, values: Sequence[str], limit: int) -> list[RunRecord]:
        with self._lock:
            rows = self._database.rows(
                f"SELECT id, task, dataset, snapshots, state, started, ended, result FROM run WHERE {where}"
                " ORDER BY rowid DESC LIMIT ?",  # not by time: a clock that was ahead would be the newest for a year
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
        with self._lock:
            rows = self._database.rows(f"SELECT {columns} FROM vm_snapshot WHERE {where} ORDER BY id", (value,))
        return [
            Entry(
                **{
                    **dict(row),
                    "creation": Creation(row["creation"]),
                    "needed_consolidation": bool(row["needed_consolidation"]),
                }
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
        with self._lock, self._database.transaction() as connection:
            connection.executemany(statement, parameters)


def ignore_registry_errors(write: Callable[[], None]) -> None:
    """Write to the journal if it can be written. For what only saves recovery work: it must never stop a removal."""
    try:
        write()
    except RegistryError:
        pass


def _now() -> str:
    return _iso(datetime.now(timezone.utc))


def _iso(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds")
