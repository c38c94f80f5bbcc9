# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stored snapshot tasks, and the instant of a schedule for which a run begins."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError, TaskNotFound
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.calendar import Schedule
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import (
    SnapshotTask,
    SnapshotTasks,
)

NIGHTLY = {
    "dataset": "tank/vmware", "recursive": True, "lifetime_value": 1, "lifetime_unit": "WEEK",
    "naming_schema": "auto-%Y-%m-%d_%H-%M", "vmware_sync": True, "exclude": ["tank/vmware/b", "tank/vmware/a"],
    "schedule": {"minute": "0", "hour": "0", "dom": "*", "month": "*", "dow": "*", "begin": None, "end": None},
}  # fmt: skip


@pytest.fixture
def tasks(tmp_path: Path) -> Iterator[SnapshotTasks]:
    with SnapshotTasks.open(Paths(tmp_path / "state")) as opened:
        yield opened


def test_a_task_is_what_was_stored(tasks: SnapshotTasks) -> None:
    wanted = SnapshotTask("").merged(NIGHTLY)
    stored = tasks.insert(wanted)
    assert tasks.list_all() == [stored] == [tasks.get(stored.id)]
    assert stored.settings() == wanted.settings() and stored.exclude == ("tank/vmware/a", "tank/vmware/b")
    assert stored.schedule.hour == "0" and stored.schedule.end == "23:59" and len(stored.key) == 16
    assert stored.merged(NIGHTLY) == stored


def test_keys_are_never_given_twice(tmp_path: Path) -> None:
    """IDs repeat after a database was lost. Snapshots of the earlier task must not belong to the new one."""
    keys = set()
    for number in range(2):
        with SnapshotTasks.open(Paths(tmp_path / str(number))) as tasks:
            stored = tasks.insert(SnapshotTask("").merged(NIGHTLY))
            keys.add(stored.key)
            assert stored.id == 1
    assert len(keys) == 2


def test_a_twin_is_refused(tasks: SnapshotTasks) -> None:
    first = tasks.insert(SnapshotTask("").merged(NIGHTLY))
    other = tasks.insert(SnapshotTask("").merged({**NIGHTLY, "naming_schema": "other-%s"}))
    with pytest.raises(InputError, match=f"The snapshot task {first.id} already snapshots tank/vmware as auto-"):
        tasks.insert(SnapshotTask("").merged(NIGHTLY))
    with pytest.raises(InputError, match="already"):
        tasks.update(other.merged({"naming_schema": first.naming_schema}))
    tasks.delete(first.id)
    with pytest.raises(TaskNotFound, match="vmware-zfs tasks"):
        tasks.get(first.id)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("naming_schema", "auto-%Y", "lacks %m %d %H %M"),
        ("naming_schema", "auto/%s", "is not a valid snapshot name"),
        ("naming_schema", "x" * 240 + "-%s", "the maximum is 255"),
        ("lifetime_value", 0, "lifetime_value is 0"),
        ("lifetime_value", 10**12, "lifetime_value is 1000000000000; set lifetime_value to at most"),
        ("lifetime_unit", "FORTNIGHT", "FORTNIGHT"),
        ("schedule", {"minute": "61"}, "minute '61' is not valid in cron syntax"),
        ("schedule", {"minute": "1" * 5000}, "is not valid in cron syntax"),
        ("schedule", {"minute": "*/" + "1" * 5000}, "is not valid in cron syntax"),
        ("schedule", {"end": "1439"}, "use HH:MM in quotes"),
        ("schedule", {"dom": "31", "month": "2"}, "never runs"),
        ("jitter", 3601, "jitter is 3601 s"),
        ("dataset", "-tank", "is not a valid dataset name"),
    ],
)
def test_bad_settings_are_refused(option: str, value: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        SnapshotTask("").merged({**NIGHTLY, option: value})


def test_without_an_id_what_is_left_out_takes_its_default(tasks: SnapshotTasks) -> None:
    """`merged` is the partial update by ID; `declared` sets all options, as a playbook without an ID does."""
    stored = tasks.insert(SnapshotTask("").merged({**NIGHTLY, "enabled": False, "exclude_vms": ["db"]}))
    assert stored.merged({"lifetime_value": 3}).settings() == {**stored.settings(), "lifetime_value": 3}
    declared = stored.declared(NIGHTLY)
    assert (declared.enabled, declared.policy.exclude_vms) == (True, ())
    assert (declared.id, declared.key, declared.created) == (stored.id, stored.key, stored.created)
    assert declared.settings() == SnapshotTask("").merged(NIGHTLY).settings()


@pytest.mark.parametrize("how", [SnapshotTask.merged, SnapshotTask.declared])
def test_a_schedule_is_one_value(tasks: SnapshotTasks, how: Callable[..., SnapshotTask]) -> None:
    stored = tasks.insert(SnapshotTask("").merged({**NIGHTLY, "schedule": {"minute": "*/5", "begin": "08:00"}}))
    assert how(stored, {**NIGHTLY, "schedule": {"hour": "2", "dow": None}}).schedule == Schedule(hour="2")
    assert how(stored, {**NIGHTLY, "schedule": {}}).schedule == Schedule()


def handled(tasks: SnapshotTasks) -> float:
    """Return up to which instant the schedule of the only task is done."""
    ((instant,),) = tasks._database.rows("SELECT handled FROM task")
    return float(instant)


def due_at(*instants: float) -> Callable[[float, float], float | None]:
    """Return a schedule function: the newest of `instants` that is later than `after` and not later than `now`."""
    return lambda after, now: max((it for it in instants if after < it <= now), default=None)


def test_an_instant_is_taken_on_once_and_seen_to(tasks: SnapshotTasks) -> None:
    task = tasks.insert(SnapshotTask("").merged(NIGHTLY))
    start = handled(tasks)
    due = due_at(start - 10, start + 10, start + 20)
    assert tasks.begin(task.id, start, due) is None  # instants before the task was created do not count
    assert tasks.begin(task.id, start + 15, due) == start + 10
    tasks.end(task.id, start + 10)
    assert tasks.begin(task.id, start + 15, due) is None
    assert tasks.begin(task.id, start + 99, due) == start + 20


def test_a_run_that_was_cut_off_is_tried_once_more(tasks: SnapshotTasks) -> None:
    task = tasks.insert(SnapshotTask("").merged(NIGHTLY))
    start = handled(tasks)
    due = due_at(start + 10, start + 20)
    assert [tasks.begin(task.id, start + 15, due) for _unused in range(3)] == [start + 10, start + 10, None]
    assert tasks.begin(task.id, start + 25, due) == start + 20


def test_a_clock_that_is_set_back_silences_nothing(tasks: SnapshotTasks) -> None:
    task = tasks.insert(SnapshotTask("").merged(NIGHTLY))
    year_2040 = time.time() + 14 * 365 * 86400
    assert tasks.begin(task.id, year_2040 + 1, due_at(year_2040)) == year_2040
    tasks.end(task.id, year_2040)
    now = time.time()
    assert tasks.begin(task.id, now, due_at(now - 1, now - 3600)) == now - 1


def test_a_new_schedule_counts_from_now_on(tasks: SnapshotTasks) -> None:
    task = tasks.insert(SnapshotTask("").merged(NIGHTLY))
    with tasks._database.transaction() as connection:
        connection.execute("UPDATE task SET handled = 1000")
    tasks.update(task.merged({"lifetime_value": 9}))
    assert handled(tasks) == 1000
    for change in ({"enabled": False}, {"enabled": True}, {"schedule": {"hour": "3"}}):
        with tasks._database.transaction() as connection:
            connection.execute("UPDATE task SET handled = 1000")
        task = tasks.update(task.merged(change))
        assert handled(tasks) > time.time() - 60
