# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks against parallel runs on the same or nested datasets. The kernel releases a lock when its process ends.

A run takes an exclusive lock on its dataset and shared locks on all parents, starting with the pool. So two runs
conflict only if the dataset of one contains that of the other. Each run also locks its own file until it ends, which
shows other processes that it is alive, and its details. A restore locks only such a file, so it never hinders a run.
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
_RETRY = 0.2  # seconds between attempts
RUN, RESTORE, DRILL = "run", "restore", "drill"  # kinds of holders
_FILE = "+lock"  # dataset names cannot contain '+', so this never conflicts with the folder of a child dataset


@dataclass(frozen=True)
class Holder:
    """A live run or restore, as described in its lock file. `since` is local time with UTC offset, ISO 8601.

    `run` is the ID, also of a restore. `kind` is RUN, RESTORE or DRILL.
    """

    run: str
    dataset: str
    pid: int
    since: str
    kind: str = RUN


class Locks:
    """The locks in one folder. The files are empty or describe the holder; only the kernel's lock counts."""

    def __init__(self, folder: Path) -> None:
        self._datasets = folder / "datasets"
        self._runs = folder / "runs"
        self._folder = folder

    @contextmanager
    def run(self, run: str, dataset: str, timeout: float) -> Iterator[None]:
        """Lock the dataset tree for a run. Waits at most `timeout` seconds. Raises LockTimeout, RegistryError."""
        deadline = time.monotonic() + timeout
        components = dataset.split("/")
        with ExitStack() as stack:
            for depth in range(1, len(components) + 1):
                path = self._datasets.joinpath(*components[:depth], _FILE)
                lock = _lock(path, depth < len(components), deadline)
                if lock is None:
                    raise self._refusal(dataset, timeout)
                stack.callback(os.close, lock)
            stack.enter_context(self.alive(run, dataset))
            yield

    @contextmanager
    def recovery(self, timeout: float | None = None) -> Iterator[bool]:
        """Hold the recovery lock until the block ends. Yields whether the lock was free.

        With a `timeout` (seconds), wait for the lock and raise LockTimeout if it is not free in time.
        """
        lock = _lock(self._folder / "recovery+lock", False, time.monotonic() + (timeout or 0.0))
        if lock is None and timeout is not None:
            raise LockTimeout(f"Another recovery did not end within {timeout:g} seconds", "Wait until it ends")
        try:
            yield lock is not None
        finally:
            if lock is not None:
                os.close(lock)

    def is_alive(self, run: str) -> bool:
        """Return whether the process of a run or restore is alive; False for an invalid ID, which may come from a
        snapshot.

        A wave is alive as long as its whole run, because all waves share one lock. In release 1.0.0, each wave has its
        own lock.
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
        """Return a function that returns whether a run or wave is alive or was alive at the time of this call.

        Data that was read since this call may be older than the end of a run.
        """
        before = {holder.run for holder in self.holders()}
        return lambda run: whole_of(run) in before or self.is_alive(run)

    def holders(self) -> list[Holder]:
        """Return the live runs and restores."""
        found = []
        for path in sorted(self._runs.glob("*")):
            if self._is_held(path):
                try:
                    found.append(Holder(**json.loads(path.read_text())))
                except (OSError, ValueError, TypeError):
                    found.append(Holder(path.name, "", 0, ""))
        return found

    @contextmanager
    def alive(self, run: str, dataset: str, kind: str = RUN) -> Iterator[None]:
        """Mark the run or restore as alive until the block ends. Locks no dataset.

        Waits for other processes that briefly hold the lock to check it.

        Raises RegistryError.
        """
        holder = Holder(run, dataset, os.getpid(), datetime.now().astimezone().isoformat(timespec="seconds"), kind)
        path = self._runs / run
        while (lock := _try_lock(path, shared=False)) is None:
            time.sleep(_RETRY)
        try:
            _write(path, json.dumps(asdict(holder)))
            yield
        finally:
            with suppress(OSError):  # without its lock, the file has no meaning
                path.unlink()
            os.close(lock)

    def _refusal(self, dataset: str, timeout: float) -> LockTimeout:
        for holder in self.holders():
            nested = is_within(holder.dataset, dataset) or is_within(dataset, holder.dataset)
            if nested and holder.kind == RUN:
                return LockTimeout(
                    f"The run {holder.run} (process {holder.pid}) has locked {holder.dataset} since {holder.since}"
                    f" and did not end within {timeout:g} seconds",
                    "Wait until it ends, or increase lock_timeout",
                )
        return LockTimeout(f"Another process has locked {dataset}", "Try again after it has ended")


def _lock(path: Path, shared: bool, deadline: float) -> int | None:
    """Try to lock the file until `deadline` (monotonic). Returns what `_try_lock` returns."""
    while (lock := _try_lock(path, shared)) is None and time.monotonic() < deadline:
        time.sleep(_RETRY)
    return lock


def _try_lock(path: Path, shared: bool) -> int | None:
    """Return a descriptor that holds the file's lock until it is closed, or None if another process holds the lock."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise RegistryError(
            f"The lock file {path} cannot be opened: {error.strerror}",
            "Run as root (become: true), or set another lock folder",
        ) from error
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise RegistryError(
            f"The lock file {path} cannot be locked: {error.strerror}", "Set a lock folder on a local file system"
        ) from error
    return descriptor


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise RegistryError(
            f"The lock file {path} cannot be written: {error.strerror}",
            "Free space on its file system, or set another lock folder",
        ) from error
