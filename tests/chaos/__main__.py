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

importlib.import_module("tests.conftest")  # makes the collection importable

ROOT = Path(__file__).resolve().parents[2]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Prove that nothing is left behind.")
    parser.add_argument(
        "--seed", type=int, default=int(os.environ.get("SEED") or 1), help="repeats a sequence of faults"
    )
    parser.add_argument("--faults", type=int, default=200, help="go on until so many struck")
    parser.add_argument("--minutes", type=float, default=25.0, help="stop after so long, whatever has struck")
    parser.add_argument("--short", action="store_true", help="every journal step once, no power cut")
    parser.add_argument("--only", type=int, default=0, metavar="RUN", help="play only this run of the sequence")
    parser.add_argument("--mutation", default="", help="break the engine on purpose, to see that it is noticed")
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
    from .episode import Episode
    from .plan import Tally, deal, hands
    from .stage import LAB, Stage

    host = StorageHost(f"{LAB}-short" if options.short else LAB)
    print("Starting the storage host", flush=True)
    host.reset()  # pristine: an earlier run may have been killed with a disk that fails
    tally = Tally(options.seed)
    order = random.Random(options.seed)
    dealer = hands(order, options.short)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    terminal = sys.stdout.isatty()
    stage = Stage(folder / "stage", host, "tank/chaos", options.mutation)
    try:
        for number, hand in enumerate(dealer, 1):
            enough = not tally.missing_steps() if options.short else sum(tally.faults.values()) >= options.faults
            if enough or time.monotonic() - tally.begun > options.minutes * 60:
                break
            rng = random.Random(f"{options.seed}/{number}")
            faults = deal(rng, hand)
            what = ", ".join(map(str, faults))
            if options.only and number != options.only:
                if number > options.only:
                    break
                continue
            begun = time.monotonic()
            verdict = Episode(stage, faults, rng).play()
            tally.add(verdict, f"SEED={options.seed}, --only {number}: {what}")
            if options.verbose:
                hit = ", ".join(verdict.faults) + ", ".join(verdict.steps_killed)
                print(f"{number:4} {time.monotonic() - begun:5.1f} s  {what}  hit: {hit}", flush=True)
            for problem in tally.problems[-20:] if verdict.violated() else ():
                print(f"\n{problem}", file=sys.stderr, flush=True)
            print(tally.line(), end="\r" if terminal else "\n", flush=True)
            tally.write(options.report)
        if not options.short and not options.only and not options.mutation:
            print("\nCutting the storage host's power, with the engine on it: two cold starts", flush=True)
            tally.add(power_cut.play(folder / "power", host, rng=random.Random(options.seed)), "power cut")
    finally:
        stage.close()
        host.down()
        shutil.rmtree(folder, ignore_errors=True)
    tally.write(options.report)
    print(f"\n{tally.table()}\n{tally.line()}")
    failed = bool(tally.problems) or bool(not options.only and tally.missing_steps())
    if failed:
        print("\n".join(tally.problems))
        print(
            f"Repeat it with `make chaos SEED={options.seed}`, one run of it with `--seed {options.seed} --only <run>`."
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
