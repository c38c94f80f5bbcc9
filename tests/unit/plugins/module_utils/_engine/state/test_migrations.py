# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database of release 1.0.0 (schema 6) is upgraded to the current schema, with all content of its journal."""

from __future__ import annotations

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import rotation, schema
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.cipher import Cipher
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.creation import Creation
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import (
    RESTORE,
    SNAPSHOT,
    Credentials,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal_entries import (
    UNCONSOLIDATED,
    Entry,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.properties import Assignment

OF_1_0_0 = 6
STATES = ("intended", "created", "removing", "absent", "gone")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A database of release 1.0.0, whose journal has an entry in each state, asked for once and twice."""
    paths = Paths(tmp_path / "state", tmp_path / "key", tmp_path / "locks")
    paths.state_dir.mkdir(mode=0o700)
    paths.database.touch(0o600)
    with sqlite3.connect(paths.database) as connection:
        for migration in schema.MIGRATIONS[:OF_1_0_0]:
            for statement in migration:
                connection.execute(statement)
        for twice in (0, 1):
            for state in STATES:
                connection.execute(
                    "INSERT INTO vm_snapshot (run, hostname, port, vm, instance_uuid, vm_name, name, state, changed,"
                    " twice) VALUES ('r', 'vc', 443, ?, '', '', 's', ?, '2026-01-31T00:00:00.000+00:00', ?)",
                    (f"{state}{twice}", state, twice),
                )
        for state in ("quiescing", "snapshotting", "releasing", "lost", "ended"):
            connection.execute(
                "INSERT INTO run (id, task, dataset, snapshots, state, started) VALUES (?, '', 'tank', '[]', ?, '')",
                (f"run {state}", state),
            )
        connection.execute(f"PRAGMA user_version = {OF_1_0_0}")
    connection.close()
    return paths


@pytest.mark.parametrize("read_only", [False, True])
def test_what_is_known_of_each_creation(paths: Paths, read_only: bool) -> None:
    """If in doubt, the value is used that requires more checks for absence."""
    with Database.open(paths, read_only) as opened:
        found = {entry.vm_moid: entry.creation for entry in Journal(opened).entries("r")}
    assert found == {
        "intended0": Creation.ASKED,
        "created0": Creation.MADE,
        "removing0": Creation.MADE,
        "absent0": Creation.UNANSWERED,
        "gone0": Creation.MADE,
        **{f"{state}1": Creation.REPEATED for state in STATES},
    }


@pytest.mark.parametrize("read_only", [False, True])
def test_what_it_could_not_consolidate_is_open_again(paths: Paths, read_only: bool) -> None:
    """Release 1.0.0 closed each as gone and tried again in the next run, so only the last one of a VM counts."""
    failed = "its disks need consolidation, which failed: A file is locked"
    unasked = "it was never asked for"
    with sqlite3.connect(paths.database) as connection:
        for vm, *notes in (
            ("failed", failed),
            ("failed always", "", failed, failed),
            ("succeeded later", failed, ""),
            ("not tried later", failed, unasked),
            ("failed for another reason", "its VM was busy"),
        ):
            for number, note in enumerate(notes):
                connection.execute(
                    "INSERT INTO vm_snapshot (run, hostname, port, vm, instance_uuid, vm_name, name, state, changed,"
                    " note) VALUES ('old', 'vc', 443, ?, '', '', ?, 'gone', '2026-01-31T00:00:00.000+00:00', ?)",
                    (vm, str(number), note),
                )
    connection.close()
    with Database.open(paths, read_only) as opened:
        found = [
            (one.vm_moid, one.name, one.state, one.note) for one in Journal(opened).open_entries() if one.run == "old"
        ]
    assert found == [
        ("failed", "0", UNCONSOLIDATED, failed),
        ("failed always", "2", UNCONSOLIDATED, failed),
        ("not tried later", "0", UNCONSOLIDATED, failed),
    ]


def test_the_states_of_its_runs_stay(paths: Paths) -> None:
    """Runs with states that no longer exist are completed by a recovery, which checks their ZFS snapshots."""
    with Database.open(paths) as opened:
        runs = {run.id: run.state for run in Journal(opened).runs()}
        assert runs == {f"run {state}": state for state in runs.values()} and len(runs) == 5
        assert opened.rows("PRAGMA user_version")[0][0] == len(schema.MIGRATIONS) == 16


def test_a_dry_recovery_reads_it_from_the_threads_of_its_servers(paths: Paths, tmp_path: Path) -> None:
    """This also holds if there is no database yet."""
    for where, open_entries in ((paths, 8), (Paths(tmp_path / "none", tmp_path / "key", tmp_path / "locks"), 0)):
        with Database.open(where, read_only=True) as opened, ThreadPoolExecutor(max_workers=1) as pool:
            assert len(pool.submit(Journal(opened).open_entries).result()) == open_entries


def test_the_journal_of_today_works_on_it(paths: Paths) -> None:
    one = Assignment("tank/a@s", "", (("a", "b"),))
    with Database.open(paths) as opened:
        journal = Journal(opened)
        assert journal.unsealed_runs() == []
        journal.keep_seals("run lost", [one])
        (entry,) = journal.intend([Entry("new", "vc", 443, "vm-1", "", "", "s")])
        assert [(one.id, one.creation) for one in journal.entries("new")] == [(entry, Creation.ASKED)]
    with Database.open(paths) as opened:
        assert Journal(opened).seals("run lost") == [one]


def test_a_run_has_one_record_for_each_zfs_snapshot(paths: Paths) -> None:
    insert = "INSERT INTO seal (run, snapshot, createtxg, properties) VALUES ('r', 'tank/a@s', '', '[]')"
    with Database.open(paths) as opened, opened.transaction() as connection:
        connection.execute(insert)
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(insert)


BEFORE_PURPOSES = 14


def test_credentials_keep_their_ids_and_passwords_and_get_a_purpose(tmp_path: Path) -> None:
    """Passwords are bound to IDs. The ID of a deleted credential is not used again."""
    paths = Paths(tmp_path / "state", tmp_path / "etc" / "key", tmp_path / "locks")
    paths.state_dir.mkdir(mode=0o700)
    paths.database.touch(0o600)
    cipher = Cipher(paths.key_file)
    with sqlite3.connect(paths.database) as connection:
        for statement in (one for migration in schema.MIGRATIONS[:BEFORE_PURPOSES] for one in migration):
            connection.execute(statement)
        for number in (1, 3, 7):
            bound = json.dumps(["credential", number, f"vc{number}", 443, "root", True, None, None])
            connection.execute(
                "INSERT INTO credential VALUES (?, ?, 443, 'root', 'tank', '[\"ds\"]', 1, NULL, NULL, ?, 'c', 'u')",
                (number, f"vc{number}", cipher.encrypt(Secret(f"password {number}"), bound)),
            )
        connection.execute("DELETE FROM credential WHERE id = 7")
        connection.execute(f"PRAGMA user_version = {BEFORE_PURPOSES}")
    connection.close()
    for read_only in (True, False):
        with Credentials.open(paths, read_only) as credentials:
            found = {one.id: credentials.password(one).reveal() for one in credentials.for_snapshots()}
            assert found == {1: "password 1", 3: "password 3"}
            assert all(one.purpose == SNAPSHOT and one.datastores == ("ds",) for one in credentials.list_all())
    assert rotation.rotate(paths, 0.0).encrypted_anew == (1, 3)
    with Credentials.open(paths) as credentials:
        again = replace(credentials.get(3), id=0, purpose=RESTORE)
        assert credentials.insert(again, Secret("more")).id == 8
        assert credentials.password(credentials.get(3)).reveal() == "password 3"


def test_an_empty_table_of_credentials_remembers_its_last_id(tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:")
    for statement in (one for migration in schema.MIGRATIONS[:BEFORE_PURPOSES] for one in migration):
        connection.execute(statement)
    connection.execute("INSERT INTO credential VALUES (5, 'vc', 443, 'r', 'tank', '[]', 1, NULL, NULL, '', '', '')")
    connection.execute("DELETE FROM credential")
    for statement in schema.MIGRATIONS[BEFORE_PURPOSES]:
        connection.execute(statement)
    insert = (
        "INSERT INTO credential (hostname, port, username, filesystem, datastores, validate_certs, password, created,"
    )
    row = connection.execute(f"{insert} updated) VALUES ('vc', 443, 'r', 'tank', '[]', 1, '', '', '')")
    assert row.lastrowid == 6
    assert connection.execute("SELECT count(*) FROM sqlite_sequence WHERE name LIKE 'cred%'").fetchone() == (1,)
    connection.close()
