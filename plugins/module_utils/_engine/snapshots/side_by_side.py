# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs work on several servers in parallel threads, so that no server waits for another."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet  # Python's own only from 3.11 on
from contextlib import suppress
from typing import Callable, Generic, Sequence, TypeVar

from ..planning.server_logins import ServerLogin

_LOOK = 0.25  # seconds between two calls of `until`

Result = TypeVar("Result")


class Pending(Generic[Result]):
    """A task that runs on every login."""

    def __init__(self, futures: Sequence[tuple[ServerLogin, Future[Result]]]) -> None:
        self._futures = futures

    def wait(self, until: Callable[[], bool] = lambda: False) -> list[tuple[ServerLogin, Result | None]]:
        """Wait for all results, or until `until()` is True. Returns the results by login, None if not finished.

        After the wait, raises the first error of the finished tasks.
        """
        for _unused, future in self._futures:
            _wait(future, until)
        return [(login, future.result() if future.done() else None) for login, future in self._futures]

    def wait_at(self, login: ServerLogin, until: Callable[[], bool]) -> None:
        """Wait for one login only. Raises nothing."""
        _wait(next(future for one, future in self._futures if one is login), until)


def _wait(future: Future[Result], until: Callable[[], bool]) -> None:
    while not future.done() and not until():
        # wait() of concurrent.futures would take 50 % longer.
        with suppress(NotYet):
            future.exception(timeout=_LOOK)


class SideBySide:
    """Two threads for each login: one works, the other looks. A look without an answer does not delay the work.

    Each thread runs its tasks one by one, in the order in which they were submitted.
    """

    def __init__(self, logins: Sequence[ServerLogin]) -> None:
        self._workers = [(login, ThreadPoolExecutor(max_workers=1)) for login in logins]
        self._lookers = [(login, ThreadPoolExecutor(max_workers=1)) for login in logins]

    def work(self, task: Callable[[ServerLogin], Result]) -> Pending[Result]:
        """Run `task` on every login in the working threads."""
        return Pending([(login, thread.submit(task, login)) for login, thread in self._workers])

    def look(self, task: Callable[[ServerLogin], Result]) -> Pending[Result]:
        """Run `task` on every login in the looking threads."""
        return Pending([(login, thread.submit(task, login)) for login, thread in self._lookers])

    def look_at(self, login: ServerLogin, task: Callable[[], object]) -> None:
        """Run `task` in the looking thread of one login. Its result and errors are ignored."""
        next(thread for one, thread in self._lookers if one is login).submit(task)

    def close(self) -> None:
        """Wait for all threads to finish."""
        for _unused, thread in [*self._workers, *self._lookers]:
            thread.shutdown()
