# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that begin where the demo ends: with its lab, and the ZFS snapshot that the timer of its host took."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from . import demo_stage
from .demo_stage import Stage
from .places import ROOT, LabError


class Outcome(Protocol):
    """The result of a program."""

    def as_dict(self) -> dict[str, Any]:
        """Return what is written to the file of the result."""

    def is_good(self) -> bool:
        """Return whether everything is as it must be."""

    def report(self) -> Iterator[str]:
        """Yield the result as lines for a person."""


@dataclass(frozen=True)
class Program:
    """A program with the name `target` in the Makefile. `run` gets the lab and the run that took the ZFS snapshot, as
    `show --json` returns it.
    """

    target: str
    description: str
    result: Path
    run: Callable[[Stage, dict[str, Any]], Outcome]

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run it, write the result, and return the exit status."""
        options = self._parser().parse_args(arguments)
        began = time.monotonic()
        try:
            with ExitStack() as running:
                outcome = self.run(*_lab(options, running))
        except LabError as error:
            print(f"{error}.", file=sys.stderr)
            return 1
        self.result.write_text(json.dumps(outcome.as_dict(), indent=1) + "\n")
        print("\n".join(["", *outcome.report(), ""]))
        where = self.result.relative_to(ROOT)
        print(f"It took {time.monotonic() - began:.0f} s. The result is in {where}.", flush=True)
        return 0 if outcome.is_good() else 1

    def _parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(f"make {self.target} ARGS=...", description=self.description)
        parser.add_argument("-v", "--verbose", action="store_true", help="show the complete output of Ansible")
        parser.add_argument("--keep", action="store_true", help="leave the lab running; stop it with 'make lab-down'")
        parser.add_argument("--kept", action="store_true", help="use the lab that 'make demo ARGS=--keep' left running")
        return parser


def _lab(options: argparse.Namespace, running: ExitStack) -> tuple[Stage, dict[str, Any]]:
    if options.kept:
        stage = demo_stage.kept()
        return stage, demo_stage.last_run(stage)
    stage = running.enter_context(demo_stage.new(options.keep))
    demo_stage.configure(stage, demo_stage.build_collection(), options.verbose)
    demo_stage.deploy(stage)
    return stage, demo_stage.wait_for_timer(stage, time.time())


def what_remains(touched: Sequence[str], left: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield which original VMs were touched, and what is left by kind, as lines for a person."""
    yield f"Original VMs that were touched: {', '.join(touched) or 'none'}."
    kinds = (f"{kind}: {', '.join(names)}" for kind, names in left.items() if names)
    yield f"Left behind: {'; '.join(kinds) or 'nothing'}."
