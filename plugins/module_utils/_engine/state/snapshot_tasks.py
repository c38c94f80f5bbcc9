# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores snapshot tasks: which dataset to snapshot, when, how, and how long to keep its ZFS snapshots."""

from __future__ import annotations

import dataclasses
import json
import secrets
import sqlite3
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterable, Iterator, Mapping

from ..errors import InputError, TaskNotFound
from ..policy import Policy
from ..schedule.calendar import Schedule
from ..schedule.naming import DEFAULT_SCHEMA, check_schema
from ..schedule.retention import check_lifetime
from ..vm_policies import parse_stored
from ..zfs.names import check_dataset, refuse_restores
from .database import Database, Paths, utc_now

_MOST_TRIES = 2  # a run that did not finish (for example after a power failure) is tried once more
_CLOCK_SLACK = 60.0  # seconds


@dataclasses.dataclass(frozen=True)
class SnapshotTask:
    """A stored snapshot task, or with id 0 one that is not stored. (dataset, naming_schema) is unique.

    `key` identifies the task in its ZFS snapshots. `policy`, `lock_timeout` and `aliases` are those of its requests
    (planning/request.py). Times are in seconds; `created` and `updated` are UTC in ISO 8601. In the database, in
    options and in results, the fields of `policy` are settings like the others.
    """

    dataset: str
    naming_schema: str = DEFAULT_SCHEMA
    recursive: bool = False
    exclude: tuple[str, ...] = ()
    lifetime_value: int = 2
    lifetime_unit: str = "WEEK"
    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    jitter: int = 30
    enabled: bool = True
    allow_empty: bool = True
    vmware_sync: bool = True
    tolerate_incomplete: bool = False
    policy: Policy = dataclasses.field(default_factory=Policy)
    lock_timeout: float = 3600.0
    aliases: tuple[str, ...] = ()
    connect_timeout: float = 15.0
    call_timeout: float = 60.0
    id: int = 0
    key: str = ""
    created: str = ""
    updated: str = ""

    def __str__(self) -> str:
        return f"{self.id} ({self.dataset}, {self.naming_schema})"

    def settings(self) -> dict[str, Any]:
        """Return the user's settings as plain data."""
        return {name: value for name, value in self.as_dict().items() if name not in _GIVEN}

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results: JSON types."""
        values = json.loads(json.dumps(dataclasses.asdict(self)))
        del values["policy"]
        return {**values, **self.policy.options(), **{name: values[name] or None for name in _GIVEN}}

    def declared(self, options: Mapping[str, Any]) -> "SnapshotTask":
        """Return this task with exactly `options`; those that are None get their defaults, not the stored values.

        Raises InputError.
        """
        given = {name: getattr(self, name) for name in _GIVEN}
        return dataclasses.replace(SnapshotTask("").merged(options), **given)

    def merged(self, options: Mapping[str, Any]) -> "SnapshotTask":
        """Return this task with the `options` that are not None. Raises InputError.

        A schedule is replaced as a whole: fields of it that are None get their defaults.
        """
        given = {name: options[name] for name in _SETTINGS if options.get(name) is not None}
        if "schedule" in given:
            given["schedule"] = Schedule(**{k: v for k, v in given["schedule"].items() if v is not None})
        return _canonical(dataclasses.replace(self, policy=self.policy.merged(options), **given))


_GIVEN = ("id", "key", "created", "updated")
_SETTINGS = tuple(field.name for field in dataclasses.fields(SnapshotTask) if field.name not in (*_GIVEN, "policy"))
_LISTS = ("exclude", "aliases")


class SnapshotTasks:
    """The snapshot tasks in a state database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @contextmanager
    def open(cls, paths: Paths, read_only: bool = False) -> Iterator["SnapshotTasks"]:
        """Open the tasks in the database of `paths`, and close it at the end. Raises RegistryError."""
        with Database.open(paths, read_only) as database:
            yield cls(database)

    def list_all(self) -> list[SnapshotTask]:
        """List all tasks, oldest first."""
        return [_from_row(row) for row in self._database.rows("SELECT * FROM task ORDER BY id")]

    def get(self, task_id: int) -> SnapshotTask:
        """Return a task. Raises TaskNotFound."""
        for task in self.list_all():
            if task.id == task_id:
                return task
        raise TaskNotFound(f"There is no snapshot task with the id {task_id}", "List them with 'vmware-zfs tasks'")

    def find(self, wanted: SnapshotTask) -> SnapshotTask | None:
        """Return the stored task with the same dataset and naming schema, or None."""
        return next((task for task in self.list_all() if _identity(task) == _identity(wanted)), None)

    def refuse_twin(self, wanted: SnapshotTask) -> None:
        """Raise InputError if a task other than `wanted.id` has the identity of `wanted`."""
        twin = self.find(wanted)
        if twin is not None and twin.id != wanted.id:
            raise InputError(
                f"The snapshot task {twin.id} already snapshots {twin.dataset} as {twin.naming_schema}",
                "Change that task, or choose another naming_schema, because snapshot names must be unique",
            )

    def insert(self, wanted: SnapshotTask) -> SnapshotTask:
        """Store a new task and return it with its ID. Its schedule starts now. Raises InputError."""
        now = utc_now()
        key = secrets.token_hex(8)
        with self._database.transaction() as connection:
            self.refuse_twin(wanted)
            cursor = connection.execute(
                "INSERT INTO task (key, dataset, naming_schema, settings, handled, created, updated)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, *_columns(wanted), time.time(), now, now),
            )
        return dataclasses.replace(wanted, id=cursor.lastrowid or 0, key=key, created=now, updated=now)

    def update(self, wanted: SnapshotTask) -> SnapshotTask:
        """Replace the settings of the task `wanted.id`. Raises TaskNotFound, InputError.

        A changed or re-enabled schedule starts now. Earlier instants of it are not caught up.
        """
        stored = dataclasses.replace(wanted, updated=utc_now())
        with self._database.transaction() as connection:
            before = self.get(wanted.id)
            self.refuse_twin(wanted)
            connection.execute(
                "UPDATE task SET dataset = ?, naming_schema = ?, settings = ?, updated = ? WHERE id = ?",
                (*_columns(stored), stored.updated, stored.id),
            )
            if (before.schedule, before.enabled) != (stored.schedule, stored.enabled):
                connection.execute("UPDATE task SET handled = ? WHERE id = ?", (time.time(), stored.id))
        return stored

    def delete(self, task_id: int) -> None:
        """Remove the task but keep its ZFS snapshots. Raises TaskNotFound."""
        with self._database.transaction() as connection:
            self.get(task_id)
            connection.execute("DELETE FROM task WHERE id = ?", (task_id,))

    def begin(self, task_id: int, now: float, due: Callable[[float, float], float | None]) -> float | None:
        """Begin a run for the instant that `due(after, now)` returns, and return the instant; None if none is due.

        The instant is done when `end` is called. Until then it is due again, but only once more. If the clock was set
        back, the task does not pause until the old time is reached again.
        """
        with self._database.transaction() as connection:
            rows = self._database.rows("SELECT handled, begun, tries FROM task WHERE id = ?", (task_id,))
            if not rows:
                self.get(task_id)
            handled, begun, tries = rows[0]
            if handled > now:
                handled = now - _CLOCK_SLACK
                connection.execute("UPDATE task SET handled = ? WHERE id = ?", (handled, task_id))
            instant = due(handled, now)
            if instant is None or (instant == begun and tries >= _MOST_TRIES):
                return None
            tries = tries + 1 if instant == begun else 1
            connection.execute("UPDATE task SET begun = ?, tries = ? WHERE id = ?", (instant, tries, task_id))
            return instant

    def end(self, task_id: int, instant: float) -> None:
        """Mark the instant of the schedule as done, whether or not the run succeeded."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE task SET handled = ? WHERE id = ? AND begun = ?", (instant, task_id, instant))

    def again(self, task_id: int, instant: float) -> None:
        """Keep the instant due without counting an attempt, because its run could not begin."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE task SET tries = 0 WHERE id = ? AND begun = ?", (task_id, instant))

    def turned(self, task_id: int, now: float, spared: bool) -> None:
        """Record that a task was processed. `spared`: retention kept old snapshots because the clock may be wrong."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE task SET turned = ?, spared = ? WHERE id = ?", (now, spared, task_id))

    def last_turn(self, task_id: int) -> tuple[float, bool]:
        """Return when the task was last processed (seconds since 1970, 0 if unknown), and `spared` (see `turned`)."""
        rows = self._database.rows("SELECT turned, spared FROM task WHERE id = ?", (task_id,))
        return (float(rows[0][0]), bool(rows[0][1])) if rows else (0.0, False)

    def note_included(self, key: str, datasets: Iterable[str]) -> None:
        """Record that a run of the task with this key also snapshots `datasets`, so that retention finds them later."""
        rows = [(key, dataset) for dataset in datasets]
        if rows:
            with self._database.transaction() as connection:
                connection.executemany("INSERT OR IGNORE INTO included_dataset (task, dataset) VALUES (?, ?)", rows)

    def included(self, key: str) -> frozenset[str]:
        """Return the datasets that runs of the task with this key have included because of a policy."""
        rows = self._database.rows("SELECT dataset FROM included_dataset WHERE task = ?", (key,))
        return frozenset(str(row[0]) for row in rows)

    def handled(self, task_id: int) -> float:
        """Return the instant (seconds since 1970) up to which the schedule of a stored task is done."""
        rows = self._database.rows("SELECT handled FROM task WHERE id = ?", (task_id,))
        return float(rows[0][0])


def _identity(task: SnapshotTask) -> tuple[str, str]:
    return task.dataset, task.naming_schema


def _columns(task: SnapshotTask) -> tuple[str, str, str]:
    return task.dataset, task.naming_schema, json.dumps(task.settings())


def _from_row(row: sqlite3.Row) -> SnapshotTask:
    stored = json.loads(row["settings"])
    settings = {name: stored[name] for name in _SETTINGS if name in stored}  # an older release stored fewer settings
    settings.update({name: tuple(stored[name]) for name in _LISTS}, schedule=Schedule(**stored["schedule"]))
    policy = Policy().merged({**stored, "policies": parse_stored(stored.get("policies"))})
    return SnapshotTask(policy=policy, **settings, **{name: row[name] for name in _GIVEN})


def _canonical(task: SnapshotTask) -> SnapshotTask:
    """Normalise the settings, so that a second run with the same options changes nothing."""
    task.schedule.check()
    task.schedule.check_jitter(task.jitter)
    check_schema(task.naming_schema, check_dataset(task.dataset))
    refuse_restores(task.dataset)
    check_lifetime(task.lifetime_value, task.lifetime_unit)
    return dataclasses.replace(
        task,
        exclude=tuple(sorted(set(task.exclude))),
        policy=dataclasses.replace(task.policy, exclude_vms=tuple(sorted(set(task.policy.exclude_vms)))),
        aliases=tuple(sorted(set(task.aliases))),
    )
