# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.chaos`: see docs/reliability.md."""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Callable

importlib.import_module("tests.conftest")  # makes the collection importable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .faults import Fault
    from .plan import Tally
    from .stage import Stage

ROOT = Path(__file__).resolve().parents[2]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Prove that nothing is left behind.")
    parser.add_argument(
        "--seed", type=int, default=int(os.environ.get("SEED") or 1), help="repeats a sequence of faults"
    )
    parser.add_argument("--faults", type=int, default=200, help="go on until so many struck")
    parser.add_argument("--minutes", type=float, default=24.0, help="stop after so long, whatever has struck")
    parser.add_argument("--short", action="store_true", help="only a kill at every step of the journal")
    parser.add_argument("--only", type=int, default=0, metavar="RUN", help="play only this run of the sequence")
    parser.add_argument("--report", type=Path, default=ROOT / "build" / "chaos.json")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


def own_mounts() -> None:
    """Start again where a mount is seen by nobody else and ends with the process: the state directory is to be full."""
    from .stage import OWN_MOUNTS

    if OWN_MOUNTS in os.environ:
        return
    unshare = shutil.which("unshare")
    if unshare is None:
        sys.exit("The command unshare (util-linux) is missing, without which no disk can be made full; install it.")
    how = ["--mount"] if os.geteuid() == 0 else ["--mount", "--map-root-user"]
    os.environ[OWN_MOUNTS] = "yes"
    os.execv(unshare, [unshare, *how, sys.executable, "-m", "tests.chaos", *sys.argv[1:]])


def main() -> int:
    options = arguments()
    own_mounts()
    from tests.lab.storage_host import StorageHost

    from . import power_cut
    from .plan import Tally
    from .stage import LAB, Stage

    host = StorageHost(f"{LAB}-short" if options.short else LAB)
    print("Starting the storage host", flush=True)
    host.reset()  # pristine: an earlier run may have been killed with a disk that fails
    tally = Tally(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        if not options.short and not options.only:
            print("Cutting the storage host's power twice, with the engine on it", flush=True)
            verdict = power_cut.play(folder / "power", host, random.Random(options.seed))
            tally.add(verdict, "power cut")
            if verdict.broke:
                host.reset()
        numbers = itertools.count(1)
        play(options, lambda: Stage(folder / f"stage-{next(numbers)}", host, "tank/chaos"), tally)
    finally:
        host.down()
        shutil.rmtree(folder, ignore_errors=True)
    tally.write(options.report)
    print(f"\n{tally.table(whole=not options.only)}\n{tally.line()}")
    whole = not options.short and not options.only
    too_few = whole and sum(tally.faults.values()) < options.faults
    if too_few:
        print(f"Fewer than {options.faults} faults struck within {options.minutes:g} minutes.")
    if tally.problems:
        print("\n".join(tally.problems))
        print(f"Repeat all with `make chaos SEED={options.seed}`, or one run with the options before its faults.")
    blind = not options.only and not tally.judged["sealed"]
    if blind:
        print("No record was sealed, so nothing was proved of records.")
    return int(bool(tally.problems) or too_few or blind or bool(not options.only and tally.missing_steps()))


def play(options: argparse.Namespace, make_stage: Callable[[], Stage], tally: Tally) -> None:
    """One run after the other, until enough faults struck or the time is over."""
    from .episode import Episode

    stage = make_stage()
    try:
        for number, faults, rng in dealt(options, tally):
            what = ", ".join(map(str, faults))
            begun = time.monotonic()
            verdict = Episode(stage, faults, rng).play()
            tally.add(verdict, f"--seed {options.seed} --only {number}: {what}")
            tally.write(options.report)
            if options.verbose:
                print(f"{number:4} {time.monotonic() - begun:5.1f} s  {what}; struck: {', '.join(verdict.faults)}")
            if verdict.violated():
                evidence = options.report.with_name(f"{options.report.stem}-{options.seed}-{number}.json")
                evidence.write_text(json.dumps(verdict.evidence, indent=1) + "\n")
                print("\n" + "\n".join(tally.problems[-verdict.count() :]) + f"\nEvidence: {evidence}")
            print(tally.line(), end="\r" if sys.stdout.isatty() else "\n", flush=True)
            if verdict.broke:
                stage.close()
                stage.host.reset()
                stage = make_stage()
    finally:
        stage.close()


def dealt(options: argparse.Namespace, tally: Tally) -> Iterator[tuple[int, list[Fault], random.Random]]:
    """For each run its number, its faults, and the generator for what else is drawn."""
    from .plan import deal, hands, step_hands

    for number, hand in enumerate(hands(random.Random(options.seed), options.short), 1):
        if options.short or options.only:
            enough = number > (options.only or len(step_hands()))
        else:
            enough = sum(tally.faults.values()) >= options.faults
        if enough or time.monotonic() - tally.begun > options.minutes * 60:
            return
        if not options.only or number == options.only:
            rng = random.Random(f"{options.seed}/{number}")
            yield number, deal(rng, hand), rng


if __name__ == "__main__":
    sys.exit(main())
