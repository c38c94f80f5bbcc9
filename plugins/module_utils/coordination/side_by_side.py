# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work at several servers at the same time, a thread for each, so that none waits for another."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet  # Python's own only from 3.11 on
from contextlib import suppress
from typing import Callable, Sequence

from .sites import Site

_LOOK = 0.25  # seconds between two looks at `until`


class SideBySide:
    """A thread for each site. What is given to a site is done in order, one after the other."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._threads = [(site, ThreadPoolExecutor(max_workers=1)) for site in sites]

    def run(self, work: Callable[[Site], None], until: Callable[[], bool] = lambda: False) -> list[Site]:
        """Do `work` at every site and wait for all, or until `until()` is true. Returns the sites that are still at it.

        Raises the first error of those that ended, once nothing is waited for any more.
        """
        futures: dict[Future[None], Site] = {thread.submit(work, site): site for site, thread in self._threads}
        for future in futures:
            while not future.done() and not until():
                # Not by wait() of concurrent.futures, which costs half as much again.
                with suppress(NotYet):
                    future.exception(timeout=_LOOK)
        for future in futures:
            if future.done():
                future.result()
        return [site for future, site in futures.items() if not future.done()]

    def close(self) -> None:
        """Wait for whatever is still being done."""
        for _unused, thread in self._threads:
            thread.shutdown()
