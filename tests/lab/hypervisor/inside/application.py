# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An application in the guest that is consistent only between two jobs.

A job is registered in a database, changes two files one after the other, and is completed in the database. In the
meantime the files differ and the database has an open job. A restart completes what a power cut has interrupted."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

FOLDER, DATABASE, PAIR = "application", "jobs.sqlite", ("left", "right")
WORK_SECONDS, REST_SECONDS = 0.2, 0.4  # a job takes some hundred milliseconds more, for its flushes


class Application:
    """`turn` carries out jobs until `stop` is set."""

    def __init__(self, mounted: Path, stop: threading.Event) -> None:
        self._folder = mounted / FOLDER
        self._stop = stop
        self._busy = threading.Lock()
        self.amid_job = threading.Event()  # the files differ
        self.ready = threading.Event()  # its database can be read

    def turn(self) -> None:
        self._folder.mkdir(exist_ok=True)
        database = sqlite3.connect(self._folder / DATABASE, isolation_level=None)
        try:
            database.execute("CREATE TABLE IF NOT EXISTS job (number INTEGER PRIMARY KEY, state TEXT NOT NULL)")
            number = self._complete_interrupted(database)
            while not self._stop.wait(REST_SECONDS):
                number += 1
                with self._busy:
                    self._job(database, number)
        finally:
            database.close()

    @contextmanager
    def paused(self, seconds: float) -> Iterator[None]:
        """Wait for the end of the current job and start no other one. Raises TimeoutError if the job takes too long."""
        if not self._busy.acquire(timeout=seconds):
            raise TimeoutError(f"the application did not pause within {seconds:.0f} s")
        try:
            yield
        finally:
            self._busy.release()

    def _complete_interrupted(self, database: sqlite3.Connection) -> int:
        """Return the number of the last job."""
        number: int = database.execute("SELECT coalesce(max(number), 0) FROM job").fetchone()[0]
        self.ready.set()
        for name in PAIR:
            self._write(name, number)
        database.execute("UPDATE job SET state = 'completed' WHERE state = 'open'")
        return number

    def _job(self, database: sqlite3.Connection, number: int) -> None:
        database.execute("INSERT INTO job VALUES (?, 'open')", (number,))
        self._write(PAIR[0], number)
        self.amid_job.set()
        self._stop.wait(WORK_SECONDS)
        self.amid_job.clear()
        self._write(PAIR[1], number)
        database.execute("UPDATE job SET state = 'completed' WHERE number = ?", (number,))
        if number % 100 == 0:
            database.execute("DELETE FROM job WHERE number < ?", (number,))

    def _write(self, name: str, number: int) -> None:
        with open(self._folder / name, "w", encoding="ascii") as file:
            file.write(f"{number}\n")
            file.flush()
            os.fsync(file.fileno())
