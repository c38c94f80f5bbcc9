# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work at several servers at the same time, in threads of their own, so that none waits for another."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet  # Python's own only from 3.11 on
from contextlib import suppress
from typing import Callable, Generic, Sequence, TypeVar

from ..planning.server_logins import ServerLogin

_LOOK = 0.25  # seconds between two looks at `until`

Result = TypeVar("Result")


class Pending(Generic[Result]):
    """What is under way at every site."""

    def __init__(self, futures: Sequence[tuple[ServerLogin, Future[Result]]]) -> None:
        self._futures = futures

    def wait(self, until: Callable[[], bool] = lambda: False) -> list[tuple[ServerLogin, Result | None]]:
        """Wait for all, or until `until()` is true. Returns what came of it at each site, None where it is under way.

        Raises the first error of those that ended, once nothing is waited for any more.
        """
        for _unused, future in self._futures:
            _wait(future, until)
        return [(login, future.result() if future.done() else None) for login, future in self._futures]

    def wait_at(self, login: ServerLogin, until: Callable[[], bool]) -> None:
        """Wait for one site only. Raises nothing."""
        _wait(next(future for one, future in self._futures if one is login), until)


def _wait(future: Future[Result], until: Callable[[], bool]) -> None:
    while not future.done() and not until():
        # Not by wait() of concurrent.futures, which costs half as much again.
        with suppress(NotYet):
            future.exception(timeout=_LOOK)


class SideBySide:
    """Two threads for each site: one works, in order, one thing after the other; the other one looks, so that a look
    without an answer keeps no work waiting.
    """

    def __init__(self, logins: Sequence[ServerLogin]) -> None:
        self._workers = [(login, ThreadPoolExecutor(max_workers=1)) for login in logins]
        self._lookers = [(login, ThreadPoolExecutor(max_workers=1)) for login in logins]

    def work(self, task: Callable[[ServerLogin], Result]) -> Pending[Result]:
        """Have `task` done at every site, after what was given before."""
        return Pending([(login, thread.submit(task, login)) for login, thread in self._workers])

    def look(self, task: Callable[[ServerLogin], Result]) -> Pending[Result]:
        """Have `task` done at every site, beside the work."""
        return Pending([(login, thread.submit(task, login)) for login, thread in self._lookers])

    def look_at(self, login: ServerLogin, task: Callable[[], object]) -> None:
        """Have `task` done beside the work of one site. Nothing is done with what comes of it."""
        next(thread for one, thread in self._lookers if one is login).submit(task)

    def close(self) -> None:
        """Wait for whatever is still being done."""
        for _unused, thread in [*self._workers, *self._lookers]:
            thread.shutdown()
