# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks that the kernel drops with the process: runs over the same or nested datasets exclude each other.

A run locks its dataset exclusively and every dataset above it shared, from the pool downwards, so that two runs meet
on a lock exactly when one's dataset contains the other's. It also locks a file of its own for as long as it lives:
that is how others know that it is alive, and who it is.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Callable, Iterator

from ..errors import LockTimeout, RegistryError
from ..zfs.names import is_within
from .identity import whole_of

_RUN = re.compile(r"[0-9A-Za-z-]{1,64}\Z")
_RETRY = 0.2  # seconds between tries
_FILE = "+lock"  # '+' is in no dataset's name, so this file never meets a child's folder


@dataclass(frozen=True)
class Holder:
    """A run that is alive, as its lock file tells. `since` is local time with its offset to UTC, ISO 8601."""

    run: str
    dataset: str
    pid: int
    since: str


class Locks:
    """The locks below one folder. The files are empty or tell who holds them; only the kernel's lock counts."""

    def __init__(self, folder: Path) -> None:
        self._datasets = folder / "datasets"
        self._runs = folder / "runs"
        self._folder = folder

    @contextmanager
    def run(self, run: str, dataset: str, timeout: float) -> Iterator[None]:
        """Hold the dataset tree for a run, waiting at most `timeout` seconds. Raises LockTimeout, RegistryError."""
        deadline = time.monotonic() + timeout
        components = dataset.split("/")
        with ExitStack() as stack:
            for depth in range(1, len(components) + 1):
                path = self._datasets.joinpath(*components[:depth], _FILE)
                lock = _try_lock(path, shared=depth < len(components))
                while lock is None:
                    if time.monotonic() >= deadline:
                        raise self._refusal(dataset, timeout)
                    time.sleep(_RETRY)
                    lock = _try_lock(path, shared=depth < len(components))
                stack.callback(os.close, lock)
            stack.enter_context(self.alive(run, dataset))
            yield

    @contextmanager
    def recovery(self, timeout: float | None = None) -> Iterator[bool]:
        """Hold the one lock of recovery until the block ends; yields whether it was free.

        With a `timeout` (seconds) it is waited for and LockTimeout raised when it does not become free.
        """
        path = self._folder / "recovery+lock"
        deadline = time.monotonic() + (timeout or 0.0)
        lock = _try_lock(path, shared=False)
        while lock is None and time.monotonic() < deadline:
            time.sleep(_RETRY)
            lock = _try_lock(path, shared=False)
        if lock is None and timeout is not None:
            raise LockTimeout(f"Another recovery did not end within {timeout:g} seconds", "Wait for its end")
        try:
            yield lock is not None
        finally:
            if lock is not None:
                os.close(lock)

    def is_alive(self, run: str) -> bool:
        """Whether the run's process still lives; never what is no id of a run, as anybody can set it on a snapshot.

        A wave lives as long as its whole run, which has one lock however many waves there are. Those of release 1.0.0
        have a lock each.
        """
        return bool(_RUN.match(run)) and any(self._is_held(self._runs / one) for one in (run, whole_of(run)))

    def _is_held(self, path: Path) -> bool:
        if not path.exists():
            return False
        lock = _try_lock(path, shared=True)
        if lock is None:
            return True
        os.close(lock)
        return False

    def living(self) -> Callable[[str], bool]:
        """Tells of a run (or a wave) whether it is alive, or was when this was called: what has been read meanwhile may
        be older than the end of the run.
        """
        before = {holder.run for holder in self.holders()}
        return lambda run: whole_of(run) in before or self.is_alive(run)

    def holders(self) -> list[Holder]:
        """The runs that are alive."""
        found = []
        for path in sorted(self._runs.glob("*")):
            if self._is_held(path):
                try:
                    found.append(Holder(**json.loads(path.read_text())))
                except (OSError, ValueError, TypeError):
                    found.append(Holder(path.name, "", 0, ""))
        return found

    @contextmanager
    def alive(self, run: str, dataset: str) -> Iterator[None]:
        """Have the run known as alive until the block ends. Waits, because a look at the lock takes it for a moment.

        Raises RegistryError.
        """
        holder = Holder(run, dataset, os.getpid(), datetime.now().astimezone().isoformat(timespec="seconds"))
        path = self._runs / run
        lock = _try_lock(path, shared=False)
        while lock is None:
            time.sleep(_RETRY)
            lock = _try_lock(path, shared=False)
        try:
            _write(path, json.dumps(asdict(holder)))
            yield
        finally:
            with suppress(OSError):  # the file says nothing without its lock
                path.unlink()
            os.close(lock)

    def _refusal(self, dataset: str, timeout: float) -> LockTimeout:
        for holder in self.holders():
            if is_within(holder.dataset, dataset) or is_within(dataset, holder.dataset):
                return LockTimeout(
                    f"The run {holder.run} (process {holder.pid}) holds {holder.dataset} since {holder.since}"
                    f" and did not end within {timeout:g} seconds",
                    "Wait for its end, or raise lock_timeout",
                )
        return LockTimeout(f"Another process holds {dataset}", "Try again when it has ended")


def _try_lock(path: Path, shared: bool) -> int | None:
    """The descriptor that holds the file's lock, or None when another process has it. Closing it unlocks."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RegistryError(
            f"The lock file {path} cannot be opened: {error.strerror}",
            "Run as root (become: true), or name another lock folder",
        ) from error
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise RegistryError(
            f"The lock file {path} cannot be locked: {error.strerror}", "Name a lock folder on a local file system"
        ) from error
    return descriptor


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise RegistryError(
            f"The lock file {path} cannot be written: {error.strerror}",
            "Make room on its file system, or name another lock folder",
        ) from error
