# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run steps in parallel as soon as their dependencies are complete, and report their durations."""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, Callable, Sequence

from .commands import stop_all

Say = Callable[[str], None]
QUIET_SECONDS = 20.0


@dataclass
class Step:
    """`work` receives a function that reports the progress, and the results of its dependencies by name.

    `patience` is the nice value of the step. Steps that all other steps depend on have priority.
    """

    name: str
    work: Callable[[Say, dict[str, Any]], Any]
    needs: Sequence[str] = ()
    patience: int = 0
    began: float = 0.0
    took: float = 0.0


class Runner:
    """Run steps until all are complete or the first one fails."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = {step.name: step for step in steps}
        self._start = time.monotonic()
        self._said = self._start
        self._guard = threading.Lock()
        self._terminal = sys.stdout.isatty()

    def run(self) -> dict[str, Any]:
        """Return the results by name. The first error is raised after all active commands have been stopped."""
        results: dict[str, Any] = {}
        waiting = list(self._steps.values())
        running: dict[Future[Any], Step] = {}
        try:
            while waiting or running:
                for step in [step for step in waiting if all(need in results for need in step.needs)]:
                    waiting.remove(step)
                    running[self._begin(step, results)] = step
                done, _unused = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in done:
                    step = running.pop(future)
                    step.took = time.monotonic() - step.began
                    results[step.name] = future.result()
                    self._line(f"{step.name}: done in {step.took:.0f} s" if step.took >= 1 else f"{step.name}: there")
                self._progress(list(running.values()))
        except BaseException:
            stop_all()
            wait(running)
            raise
        return results

    def _begin(self, step: Step, results: dict[str, Any]) -> Future[Any]:
        future: Future[Any] = Future()

        def work() -> None:
            try:
                # On Linux, this is the priority of the thread, and its commands inherit it.
                if step.patience:
                    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), step.patience)
                future.set_result(step.work(self._sayer(step), results))
            except BaseException as error:
                future.set_exception(error)

        step.began = time.monotonic()
        threading.Thread(target=work, name=step.name).start()
        return future

    def _sayer(self, step: Step) -> Say:
        def say(doing: str) -> None:
            self._line(f"{step.name}: {doing}")

        return say

    def _line(self, text: str) -> None:
        with self._guard:
            end = "\033[K\n" if self._terminal else "\n"
            print(f"{self._elapsed()} {text}", end=end, flush=True)
            self._said = time.monotonic()

    def _progress(self, running: Sequence[Step]) -> None:
        """Show a progress line on a terminal. Otherwise, print a line if there was no output for some time."""
        if not running:
            return
        text = f"{self._elapsed()} under way: " + ", ".join(
            f"{step.name} ({time.monotonic() - step.began:.0f} s)" for step in running
        )
        with self._guard:
            if self._terminal:
                print(f"\r{text[:110]}\033[K\r", end="", flush=True)
            elif time.monotonic() - self._said >= QUIET_SECONDS:
                print(text, flush=True)
                self._said = time.monotonic()

    def _elapsed(self) -> str:
        return f"[{time.monotonic() - self._start:4.0f} s]"

    def table(self) -> str:
        """Return a table of the durations."""
        lines = [f"{'STEP':<28} {'BEGAN':>8} {'TOOK':>8}"]
        for step in sorted(self._steps.values(), key=lambda step: step.began):
            lines.append(f"{step.name:<28} {step.began - self._start:>6.0f} s {step.took:>6.0f} s")
        lines.append(f"{'all':<28} {'':>8} {time.monotonic() - self._start:>6.0f} s")
        return "\n".join(lines)
