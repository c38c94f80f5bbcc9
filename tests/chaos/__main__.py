# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.chaos`: see docs/reliability.md."""

from __future__ import annotations

import argparse
import importlib
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

importlib.import_module("tests.conftest")  # makes the collection importable

if TYPE_CHECKING:
    from .plan import Tally
    from .stage import Stage

ROOT = Path(__file__).resolve().parents[2]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Prove that nothing is left behind.")
    parser.add_argument(
        "--seed", type=int, default=int(os.environ.get("SEED") or 1), help="repeats a sequence of faults"
    )
    parser.add_argument("--faults", type=int, default=200, help="go on until so many struck")
    parser.add_argument("--minutes", type=float, default=25.0, help="stop after so long, whatever has struck")
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
            tally.add(power_cut.play(folder / "power", host, random.Random(options.seed)), "power cut")
        stage = Stage(folder / "stage", host, "tank/chaos")
        try:
            play(options, stage, tally)
        finally:
            stage.close()
    finally:
        host.down()
        shutil.rmtree(folder, ignore_errors=True)
    tally.write(options.report)
    print(f"\n{tally.table()}\n{tally.line()}")
    if tally.problems:
        print("\n".join(tally.problems))
        print(f"Repeat all with `make chaos SEED={options.seed}`, or one run with the options in brackets.")
    return int(bool(tally.problems) or bool(not options.only and tally.missing_steps()))


def play(options: argparse.Namespace, stage: Stage, tally: Tally) -> None:
    """One run after the other, until enough faults struck or the time is over."""
    from .episode import Episode
    from .plan import deal, hands, step_hands

    for number, hand in enumerate(hands(random.Random(options.seed), options.short), 1):
        if options.short or options.only:
            enough = number > (options.only or len(step_hands()))
        else:
            enough = sum(tally.faults.values()) >= options.faults
        if enough or time.monotonic() - tally.begun > options.minutes * 60:
            return
        if options.only and number != options.only:
            continue
        rng = random.Random(f"{options.seed}/{number}")
        faults = deal(rng, hand)
        what = ", ".join(map(str, faults))
        begun = time.monotonic()
        verdict = Episode(stage, faults, rng).play()
        tally.add(verdict, f"--seed {options.seed} --only {number}: {what}")
        tally.write(options.report)
        if options.verbose:
            print(f"{number:4} {time.monotonic() - begun:5.1f} s  {what}; struck: {', '.join(verdict.faults)}")
        if verdict.violated():
            print("\n" + "\n".join(tally.problems[-verdict.count() :]))
        print(tally.line(), end="\r" if sys.stdout.isatty() else "\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
