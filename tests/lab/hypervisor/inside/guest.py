# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in a VM: an ext4 on its disk, a writer and an application. They are threads of this process."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Callable, Iterator

from . import kernel, records
from .application import Application

WRITE_SECONDS = 0.03  # between two records
REMEMBERED = 5000  # records
PAUSE_SECONDS = 20.0  # for the application, before a freeze is given up
STOP_SECONDS = 60.0


class Guest:
    """`started` and `returned` are the numbers of the last record whose write has started and returned.

    `broken` names what does not work: a program that has ended with an error, or the file system if it cannot be
    mounted. Then nothing runs in the VM, as in one that does not boot.
    """

    def __init__(self, device: str, mounted: Path) -> None:
        self._mounted = mounted
        self._stop = threading.Event()
        self._application = Application(mounted, self._stop)
        self.broken: set[str] = set()
        self.log: deque[tuple[int, float]] = deque(maxlen=REMEMBERED)
        self.started = self.returned = 0
        self._ready = threading.Event()
        turns = {"writer": self._write, "application": self._application.turn}
        self._threads = [threading.Thread(target=self._run, args=(turn,), name=name) for name, turn in turns.items()]
        if self._mount(device):
            for thread in self._threads:
                thread.start()
            self._ready.wait(STOP_SECONDS)
            self._application.ready.wait(STOP_SECONDS)

    def _mount(self, device: str) -> bool:
        """Return whether the file system of the guest can be mounted."""
        self._mounted.mkdir(parents=True, exist_ok=True)
        try:
            kernel.mount(device, self._mounted, "ext4", kernel.NOATIME)
        except OSError as error:
            print(f"{self._mounted} cannot be mounted: {error}", file=sys.stderr)
            self.broken.add("file system")
            self._threads.clear()
        return not self.broken

    def as_dict(self) -> dict[str, Any]:
        """Return what is measured. `dead`: one of its programs does not run."""
        return {"started": self.started, "returned": self.returned, "dead": bool(self.broken)}

    def wait_for_job(self) -> None:
        """Wait until the application is in the middle of a job."""
        self._application.amid_job.wait(PAUSE_SECONDS)

    @contextmanager
    def frozen(self, with_application: bool) -> Iterator[None]:
        """Empty the journal and block all writes. With the application, wait for the end of its job before.

        Raises TimeoutError if the application is too slow, and other kinds of OSError.
        """
        with self._application.paused(PAUSE_SECONDS) if with_application else nullcontext():
            kernel.freeze(self._mounted)
            try:
                yield
            finally:
                kernel.thaw(self._mounted)

    def shut_down(self) -> None:
        """Stop the programs and unmount the disk, as a person does."""
        self._end()
        if "file system" not in self.broken:
            kernel.unmount(self._mounted)

    def cut(self) -> None:
        """Stop the programs. What they have not written is lost, because the disk refuses it by now."""
        self._end()
        if "file system" in self.broken:
            return
        try:
            kernel.unmount(self._mounted)
        except OSError:
            kernel.unmount(self._mounted, kernel.LAZY)

    def _end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_SECONDS)
            if thread.is_alive():
                raise TimeoutError(f"the {thread.name} of the guest does not end; does the storage host respond?")

    def _run(self, turn: Callable[[], None]) -> None:
        try:
            turn()
        except Exception as error:  # the disk refuses everything after a power cut
            self.broken.add(threading.current_thread().name)
            print(f"{self._mounted}: {threading.current_thread().name} ends: {error}", file=sys.stderr)
        finally:
            (self._ready if turn == self._write else self._application.ready).set()

    def _write(self) -> None:
        """Write a record again and again. No write is flushed, so only a freeze brings all of them to the disk."""
        file = os.open(self._mounted / records.FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            content = os.pread(file, records.SIZE * records.SLOTS, 0)
            self.started = self.returned = max(records.numbers(content), default=0)
            self._ready.set()
            while not self._stop.wait(WRITE_SECONDS):
                self.started += 1
                os.pwrite(file, records.encode(self.started), records.offset(self.started))
                self.returned = self.started
                self.log.append((self.returned, time.time()))
        finally:
            os.close(file)
