# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state database: it is private and durable, only upgrades, and reports every problem in one sentence."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import RegistryError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import database
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.schema import MIGRATIONS

INSERT = """
    INSERT INTO credential
        (hostname, port, username, filesystem, datastores, validate_certs, password, created, updated)
    VALUES (?, 443, 'root', 'tank', '[]', 1, '', '', '')
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "var" / "state", tmp_path / "etc" / "secret.key", tmp_path / "run")


def hosts(opened: Database) -> list[str]:
    return [row["hostname"] for row in opened.rows("SELECT hostname FROM credential ORDER BY id")]


def add(opened: Database, host: str) -> None:
    with opened.transaction() as connection:
        connection.execute(INSERT, (host,))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_reading_creates_nothing(paths: Paths, tmp_path: Path) -> None:
    with Database.open(paths, read_only=True) as opened:
        assert hosts(opened) == []
    assert list(tmp_path.iterdir()) == []


def test_reading_leaves_no_file_behind_and_cannot_write(paths: Paths) -> None:
    with Database.open(paths) as opened:
        add(opened, "a")
    before = paths.database.read_bytes()
    with Database.open(paths, read_only=True) as opened:
        assert hosts(opened) == ["a"]
        with pytest.raises(RegistryError, match="it is read-only; make its file system"):
            add(opened, "b")
    assert [path.name for path in paths.state_dir.iterdir()] == ["state.db"]
    assert paths.database.read_bytes() == before


def test_only_its_owner_can_read_it(paths: Paths) -> None:
    old = os.umask(0)
    try:
        with Database.open(paths) as opened:
            add(opened, "a")
            assert {path.name: mode(path) for path in paths.state_dir.iterdir()} == {
                "state.db": 0o600,
                "state.db-wal": 0o600,
                "state.db-shm": 0o600,
            }
    finally:
        os.umask(old)
    assert mode(paths.state_dir) == 0o700


def test_a_commit_is_on_disk_before_the_next_step(paths: Paths) -> None:
    with Database.open(paths) as opened:
        names = ("journal_mode", "synchronous", "foreign_keys")
        settings = {name: opened.rows(f"PRAGMA {name}")[0][0] for name in names}
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("granted", [0o640, 0o604, 0o620, 0o666])
def test_a_database_open_to_others_is_refused(paths: Paths, granted: int, read_only: bool) -> None:
    Database.open(paths).close()
    paths.database.chmod(granted)
    with pytest.raises(RegistryError) as caught:
        Database.open(paths, read_only)
    assert f"accessible to other users (mode {granted:04o}); run 'chmod 0600 {paths.database}'" in str(caught.value)


def test_a_folder_in_which_others_write_is_refused(paths: Paths) -> None:
    paths.state_dir.mkdir(parents=True)
    paths.state_dir.chmod(0o777)
    with pytest.raises(RegistryError, match="run 'chmod 0700"):
        Database.open(paths)
    assert list(paths.state_dir.iterdir()) == []


def test_a_file_of_another_user_is_refused(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    Database.open(paths).close()
    real = os.stat(paths.database)
    fields = [*real[:4], 4711, *real[5:]]
    monkeypatch.setattr(Path, "stat", lambda path, **options: os.stat_result(fields))
    with pytest.raises(RegistryError, match=r"belongs to another user \(uid 4711\)"):
        Database.open(paths, read_only=True)


def test_an_older_schema_is_brought_forward_once(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    with Database.open(paths) as opened:
        add(opened, "a")
    newer = (*MIGRATIONS, ("CREATE TABLE more (id INTEGER)", "INSERT INTO more VALUES (7)"))
    monkeypatch.setattr(database, "MIGRATIONS", newer)
    before = paths.database.read_bytes()
    with Database.open(paths, read_only=True) as opened:
        assert hosts(opened) == ["a"] and [row["id"] for row in opened.rows("SELECT id FROM more")] == [7]
    assert paths.database.read_bytes() == before, "reading migrated the file itself"
    for _again in range(2):
        with Database.open(paths) as opened:
            assert hosts(opened) == ["a"] and [row["id"] for row in opened.rows("SELECT id FROM more")] == [7]


def test_a_migration_that_fails_leaves_the_schema_as_it_was(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    Database.open(paths).close()
    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE more (id INTEGER)",) * 2))
    with pytest.raises(RegistryError, match="already exists"):
        Database.open(paths)
    monkeypatch.setattr(database, "MIGRATIONS", MIGRATIONS)
    with Database.open(paths) as opened:
        assert opened.rows("SELECT name FROM sqlite_master WHERE name = 'more'") == []


@pytest.mark.parametrize("read_only", [False, True])
def test_a_database_of_a_newer_release_is_refused(paths: Paths, read_only: bool) -> None:
    Database.open(paths).close()
    with sqlite3.connect(paths.database) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(RegistryError, match=r"written by a newer release \(schema 999.*update the collection"):
        Database.open(paths, read_only)


def test_many_processes_may_open_it_first(paths: Paths) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        f"from {database.__name__} import Database, Paths\n"
        "root = Path(sys.argv[1])\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "with Database.open(Paths(root)) as opened, opened.transaction() as connection:\n"
        f"    connection.execute({INSERT!r}, (sys.argv[2],))\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(paths.state_dir), f"host{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    complaints = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        complaints.append(process.communicate(timeout=60)[1])
    assert complaints == [""] * len(processes)
    with Database.open(paths) as opened:
        assert sorted(hosts(opened)) == [f"host{number}" for number in range(8)]


def test_a_block_that_raises_changes_nothing(paths: Paths) -> None:
    with Database.open(paths) as opened:
        with pytest.raises(ConnectionResetError), opened.transaction() as connection:
            connection.execute(INSERT, ("a",))
            raise ConnectionResetError("of the caller, not of the database")
        assert hosts(opened) == []


def test_a_locked_database_says_so(paths: Paths) -> None:
    refused = pytest.raises(RegistryError, match="is locked by another process; try again after it has ended")
    with Database.open(paths) as first, Database.open(paths, busy_timeout=0) as second:
        with first.transaction(), refused:
            add(second, "b")
        add(second, "c")
        assert hosts(first) == ["c"]


def test_a_database_that_stays_locked_is_not_waited_for_as_long_again(paths: Paths) -> None:
    def seconds() -> float:
        begun = time.monotonic()
        with pytest.raises(RegistryError, match="is locked by another process"):
            add(second, "b")
        return time.monotonic() - begun

    with Database.open(paths) as first, Database.open(paths, busy_timeout=1.0) as second:
        with first.transaction():
            assert seconds() >= 1.0
            assert max(seconds(), seconds()) < 0.9
        add(second, "c")
        with first.transaction():
            assert seconds() >= 1.0


def test_a_full_disk_says_so_and_changes_nothing(paths: Paths) -> None:
    with Database.open(paths) as opened:
        add(opened, "a")
        pages = opened.rows("PRAGMA page_count")[0][0]
        opened.rows(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(RegistryError, match="its file system is full; free some space; nothing was changed"):
            add(opened, "b" * 100_000)
        assert hosts(opened) == ["a"]
        opened.rows(f"PRAGMA max_page_count = {pages * 100}")
        add(opened, "c")
        assert hosts(opened) == ["a", "c"]


def test_something_else_in_its_place_is_left_alone(paths: Paths) -> None:
    paths.state_dir.mkdir(parents=True, mode=0o700)
    paths.database.write_text("a letter to my heirs\n" * 100)
    paths.database.chmod(0o600)
    for read_only in (False, True):
        with pytest.raises(RegistryError, match="is not a database; restore it from a backup"):
            Database.open(paths, read_only)
    assert paths.database.read_text().startswith("a letter to my heirs")


def test_a_damaged_database_says_so(paths: Paths) -> None:
    with Database.open(paths) as opened:
        for number in range(200):
            add(opened, f"host{number}" * 20)
    content = bytearray(paths.database.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    paths.database.write_bytes(content)
    with Database.open(paths, read_only=True) as opened, pytest.raises(RegistryError, match="is damaged; restore it"):
        hosts(opened)


def test_a_state_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match=r"cannot be used: .*Not a directory"):
        Database.open(Paths(tmp_path / "file" / "state"))


def test_the_environment_names_other_places(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("VMWARE_ZFS_STATE_DIR", "VMWARE_ZFS_KEY_FILE", "VMWARE_ZFS_LOCK_DIR"):
        monkeypatch.delenv(variable, raising=False)
    assert Paths.from_environment() == Paths()
    monkeypatch.setenv("VMWARE_ZFS_STATE_DIR", "/a")
    monkeypatch.setenv("VMWARE_ZFS_KEY_FILE", "/b")
    monkeypatch.setenv("VMWARE_ZFS_LOCK_DIR", "/c")
    assert Paths.from_environment() == Paths(Path("/a"), Path("/b"), Path("/c"))
