# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state database of a storage host: one SQLite file that only root can read."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, Iterator, Sequence

from ..durable import sync_folder
from ..errors import RegistryError
from ..text import printable
from .schema import MIGRATIONS

BUSY_TIMEOUT = 15.0  # seconds to wait for another process that is writing
_SHORT_BUSY_TIMEOUT = 0.1  # seconds to wait after the database was locked for BUSY_TIMEOUT


@dataclass(frozen=True)
class Paths:
    """Where a storage host keeps its state. The defaults are for root; tests and other users set other paths."""

    state_dir: Path = Path("/var/lib/vmware-zfs")
    key_file: Path = Path("/etc/vmware-zfs/secret.key")
    lock_dir: Path = Path("/run/vmware-zfs")

    @classmethod
    def from_environment(cls) -> "Paths":
        """Return the defaults, overridden by VMWARE_ZFS_STATE_DIR, VMWARE_ZFS_KEY_FILE and VMWARE_ZFS_LOCK_DIR."""
        return cls(
            Path(os.environ.get("VMWARE_ZFS_STATE_DIR") or cls.state_dir),
            Path(os.environ.get("VMWARE_ZFS_KEY_FILE") or cls.key_file),
            Path(os.environ.get("VMWARE_ZFS_LOCK_DIR") or cls.lock_dir),
        )

    @property
    def database(self) -> Path:
        return self.state_dir / "state.db"


class Database:
    """An open state database. It is thread-safe, and a context manager that closes the file at the end."""

    def __init__(self, path: Path, connection: sqlite3.Connection, busy_timeout: float = BUSY_TIMEOUT) -> None:
        self.path = path
        self._connection = connection
        self._busy_timeout = busy_timeout
        self._lock = threading.RLock()  # one thread at a time uses the connection, and a transaction is of one thread
        connection.row_factory = sqlite3.Row

    @classmethod
    def open(cls, paths: Paths, read_only: bool = False, busy_timeout: float = BUSY_TIMEOUT) -> "Database":
        """Open the database in `paths`. Create it or update its schema first.

        With `read_only`, nothing is created or changed: a missing database is read as an empty one, and one with an
        older schema is read from a copy in memory. Raises RegistryError.
        """
        path = paths.database
        with _sentences(path, OSError):
            if read_only:
                return cls(path, _open_for_reading(path, busy_timeout), busy_timeout)
            make_private_folder(path.parent)
            _create_private_file(path)
            connection = _connect(path, busy_timeout)
            try:
                _keep_a_log(connection, busy_timeout)
                connection.execute("PRAGMA synchronous = FULL")
                _migrate(connection, path)
            except BaseException:
                connection.close()
                raise
            return cls(path, connection, busy_timeout)

    def __enter__(self) -> "Database":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with _sentences(self.path):
            self._connection.close()

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of a query. Raises RegistryError."""
        with self._lock, _sentences(self.path):
            return self._connection.execute(statement, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write in a transaction: on disk when the block ends, rolled back if the block raises.

        Other processes cannot write before the block ends. Raises RegistryError. If the database was locked for too
        long, the next transaction waits only briefly, because VMs are on hold while a run writes.
        """
        with self._lock, _sentences(self.path):
            try:
                with _transaction(self._connection):
                    yield self._connection
            except sqlite3.OperationalError as error:
                if "locked" in str(error):
                    self._wait_for_others(min(_SHORT_BUSY_TIMEOUT, self._busy_timeout))
                raise
            self._wait_for_others(self._busy_timeout)

    def empty_log(self) -> None:
        """Write the write-ahead log's changes to the database file and empty the log, which contains old content.

        Raises RegistryError. It is not an error if the log remains until another process has finished reading.
        """
        with self._lock, _sentences(self.path):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _wait_for_others(self, seconds: float) -> None:
        self._connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")


def make_private_folder(folder: Path) -> None:
    """Create a private folder. Raises RegistryError if other users can replace files in it, and OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_others(folder, 0o022, 0o700)


def check_private_file(path: Path) -> None:
    """Raise RegistryError if other users can read or write the file. Raises OSError as well."""
    _refuse_others(path, 0o077, 0o600)


def _refuse_others(path: Path, forbidden: int, mode: int) -> None:
    found = path.stat()
    if found.st_uid not in (0, os.geteuid()):
        raise RegistryError(f"{path} belongs to another user (uid {found.st_uid})", f"Run 'chown root:root {path}'")
    if found.st_mode & forbidden:
        raise RegistryError(
            f"{path} is accessible to other users (mode {stat.S_IMODE(found.st_mode):04o})",
            f"Run 'chmod {mode:04o} {path}', and replace its secrets if other users may have read them",
        )


def _create_private_file(path: Path) -> None:
    """Create the file as private; SQLite would not. Its -wal and -shm files get the same mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return
    sync_folder(path.parent)


def _connect(path: Path, busy_timeout: float) -> sqlite3.Connection:
    check_private_file(path)
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,  # a thread for each server writes to the journal; Database has a lock
    )
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")  # no replaced ciphertext remains in a free page
    return connection


def _keep_a_log(connection: sqlite3.Connection, busy_timeout: float) -> None:
    """Switch to write-ahead logging. Retry, because SQLite does not wait for another process that does the same."""
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(0.02)


def _open_for_reading(path: Path, busy_timeout: float) -> sqlite3.Connection:
    try:
        connection = _connect(path, busy_timeout)
    except FileNotFoundError:
        connection = _in_memory()
    else:
        # Not mode=ro: SQLite cannot remove its -wal and -shm files through a read-only handle.
        connection.execute("PRAGMA query_only = ON")
    if _version(connection, path) == len(MIGRATIONS):
        return connection
    copy = _in_memory()
    connection.backup(copy)
    connection.close()
    _migrate(copy, path)
    return copy


def _in_memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)  # as in _connect


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise RegistryError(
            f"The state database {path} was written by a newer release"
            f" (schema {version}; this release supports up to {len(MIGRATIONS)})",
            "Update the collection quiesce.vmware_zfs",
        )
    return version


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    if _version(connection, path) == len(MIGRATIONS):
        return
    with _transaction(connection):
        for migration in MIGRATIONS[_version(connection, path) :]:  # read again: another process may have done it
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back itself if the disk is full
            connection.execute("ROLLBACK")
        raise


_MEANINGS = (
    ("locked", "is locked by another process", "Try again after it has ended; 'fuser -v {path}' shows it"),
    ("full", "cannot be written: its file system is full", "Free some space; nothing was changed"),
    ("readonly", "cannot be written: it is read-only", "Make its file system and the file writable"),
    ("read-only", "cannot be written: it is read-only", "Make its file system and the file writable"),
    ("not a database", "is not a database", "Restore it from a backup, or remove it to start with an empty one"),
    ("malformed", "is damaged", "Restore it from a backup, or remove it to start with an empty one"),
    ("permission denied", "cannot be opened by this user", "Run as root (become: true)"),
)


@contextmanager
def _sentences(path: Path, *others: type[Exception]) -> Iterator[None]:
    """Convert errors of SQLite, and `others`, to RegistryError by their text; Python 3.11 introduced error codes."""
    kinds: tuple[type[Exception], ...] = (sqlite3.Error, *others)
    try:
        yield
    except kinds as error:
        message = printable(error)
        for text, problem, remedy in _MEANINGS:
            if text in message.lower():
                raise RegistryError(f"The state database {path} {problem}", remedy.format(path=path)) from error
        raise RegistryError(
            f"The state database {path} cannot be used: {message}", "Check its file system with 'df' and the kernel log"
        ) from error


def utc_now() -> str:
    """Return the current time for a column: UTC in ISO 8601, in seconds."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
