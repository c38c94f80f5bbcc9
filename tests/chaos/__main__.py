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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Callable

importlib.import_module("tests.conftest")  # makes the collection importable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.storage_host import StorageHost

    from .episode import Verdict
    from .plan import Hand, Tally
    from .restore_plan import Maker as CaseMaker
    from .restore_stage import RestoreStage
    from .stage import Stage

ROOT = Path(__file__).resolve().parents[2]
TRIES = 2  # of a run during which the lab hangs


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Prove that nothing is left behind.")
    parser.add_argument(
        "--seed", type=int, default=int(os.environ.get("SEED") or 1), help="repeats a sequence of faults"
    )
    parser.add_argument(
        "--faults", type=int, default=200, help="go on until so many struck, and half as many real disks were compared"
    )
    parser.add_argument("--minutes", type=float, default=40.0, help="stop after so long, whatever has struck")
    parser.add_argument("--short", action="store_true", help="only a kill at every step of the journal")
    parser.add_argument("--only", type=int, default=0, metavar="RUN", help="play only this run of the sequence")
    parser.add_argument(
        "--only-restore", type=int, default=0, metavar="RESTORE", help="play only this restore of the sequence"
    )
    parser.add_argument("--restores", type=int, default=0, metavar="N", help="play only N restores (default: all)")
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
    from tests.lab.hypervisor.host import Hypervisor
    from tests.lab.storage_host import StorageHost

    from .plan import Tally
    from .stage import LAB

    host = StorageHost(f"{LAB}-short" if options.short else LAB)
    print("Starting the storage host", flush=True)
    host.reset()  # pristine: an earlier run may have been killed with a disk that fails
    tally = Tally(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        if whole(options):
            print("Cutting the storage host's power twice, with the engine on it", flush=True)
            cut_power(options, host, folder, tally)
        if not options.only_restore and not options.restores:
            play(options, Player(options, host, folder), tally)
        if not options.short and not options.only:
            print("\nRestoring VMs", flush=True)
            host.reset()
            play_restores(options, RestorePlayer(options, host, folder), tally)
    finally:
        Hypervisor(host).down()
        host.down()
        shutil.rmtree(folder, ignore_errors=True)
    tally.write(options.report)
    return conclude(options, tally)


def whole(options: argparse.Namespace) -> bool:
    """Return whether everything is played."""
    return not (options.short or options.only or options.only_restore or options.restores)


def conclude(options: argparse.Namespace, tally: Tally) -> int:
    """Print what came of all runs, and return the exit status."""
    runs = not (options.only or options.only_restore or options.restores)
    print(f"\n{tally.table(whole=runs)}\n{tally.line()}")
    all_of_it = whole(options)
    too_few = all_of_it and tally.run_faults < options.faults
    if too_few:
        print(f"Fewer than {options.faults} faults struck within {options.minutes:g} minutes.")
    blind_to_disks = all_of_it and too_few_disks(options, tally)
    if blind_to_disks:
        print(f"Fewer than {options.faults // 2} real disks were compared with their records.")
    if tally.problems:
        print("\n".join(tally.problems))
        print(f"Repeat all with `make chaos SEED={options.seed}`, or one run with the options before its faults.")
    blind = runs and not tally.judged["sealed"]
    if blind:
        print("No record was sealed, so nothing was proved of records.")
    unkilled = (runs and bool(tally.missing_steps())) or (all_of_it and bool(tally.missing_restore_steps()))
    return int(bool(tally.problems) or too_few or blind_to_disks or blind or unkilled)


def too_few_disks(options: argparse.Namespace, tally: Tally) -> bool:
    """Return whether too few real disks were compared to prove something about the records."""
    return bool(tally.judged["disks"] < options.faults // 2)


def cut_power(options: argparse.Namespace, host: StorageHost, folder: Path, tally: Tally) -> None:
    from . import power_cut

    folders, first = itertools.count(1), power_cut.drawn_instant(random.Random(options.seed))

    def once() -> Verdict:
        return power_cut.play(folder / f"power-{next(folders)}", host, first)

    verdict = until_the_lab_holds(once, "power cut", tally, host.reset)
    if verdict is not None and verdict.broke:
        host.reset()


class Player:
    """Plays runs on a stage, and makes another one when something unforeseen has come in between."""

    def __init__(self, options: argparse.Namespace, host: StorageHost, folder: Path) -> None:
        self._options, self._host, self._folder = options, host, folder
        self._numbers = itertools.count(1)
        self._stage = self._made()

    def _made(self) -> Stage:
        from .stage import Stage

        folder = self._folder / f"stage-{next(self._numbers)}"
        return Stage(folder, self._host, "tank/chaos", real=not self._options.short)

    def renew(self) -> None:
        self.close()
        self._host.reset()
        self._stage = self._made()

    def close(self) -> None:
        self._stage.close()

    def play(self, number: int, hand: Hand) -> Verdict:
        """Play one run with its faults. A repetition deals the same ones."""
        from .episode import Episode
        from .plan import deal

        rng = random.Random(f"{self._options.seed}/{number}")
        faults = deal(rng, hand)
        begun = time.monotonic()
        verdict = Episode(self._stage, faults, rng).play()
        verdict.played = ", ".join(map(str, faults))
        if self._options.verbose:
            struck = ", ".join(verdict.faults)
            print(f"{number:4} {time.monotonic() - begun:5.1f} s  {verdict.played}; struck: {struck}")
        return verdict


class RestorePlayer(Player):
    """Plays restores."""

    _stage: RestoreStage

    def _made(self) -> Stage:
        from .restore_stage import RestoreStage

        return RestoreStage(self._folder / f"restores-{next(self._numbers)}", self._host, "tank/restores")

    def play_restore(self, number: int, maker: CaseMaker) -> Verdict:
        """Play one restore with its faults. A repetition deals the same ones."""
        from .restores import RestoreEpisode

        rng = random.Random(f"{self._options.seed}/restore/{number}")
        case, begun = maker(rng), time.monotonic()
        verdict = RestoreEpisode(self._stage, case, rng).play()
        verdict.played = str(case)
        if self._options.verbose:
            print(f"{number:4} {time.monotonic() - begun:5.1f} s  {case}; struck: {', '.join(verdict.faults)}")
        return verdict


def play_restores(options: argparse.Namespace, player: RestorePlayer, tally: Tally) -> None:
    """One restore after the other: each step of the journal, then each other fault."""
    from .restore_plan import cases

    dealt = list(enumerate(cases(random.Random(options.seed)), 1))
    if options.only_restore:
        dealt = [(number, maker) for number, maker in dealt if number == options.only_restore]
    try:
        for number, maker in dealt[: options.restores or None]:
            what = f"--seed {options.seed} --only-restore {number}"
            verdict = until_the_lab_holds(partial(player.play_restore, number, maker), what, tally, player.renew)
            after(options, f"restore-{number}", verdict, player, tally)
    finally:
        player.close()


def after(
    options: argparse.Namespace, number: int | str, verdict: Verdict | None, player: Player, tally: Tally
) -> None:
    """Report what came of a run or a restore."""
    tally.write(options.report)
    if verdict is not None and verdict.violated():
        tell(options, number, verdict, tally)
    print(tally.line(), end="\r" if sys.stdout.isatty() else "\n", flush=True)
    if verdict is not None and verdict.broke:
        player.renew()


def play(options: argparse.Namespace, player: Player, tally: Tally) -> None:
    """One run after the other, until enough faults struck or the time is over."""
    try:
        for number, hand in dealt(options, tally):
            what = f"--seed {options.seed} --only {number}"
            verdict = until_the_lab_holds(partial(player.play, number, hand), what, tally, player.renew)
            after(options, number, verdict, player, tally)
    finally:
        player.close()


def tell(options: argparse.Namespace, number: int | str, verdict: Verdict, tally: Tally) -> None:
    """Print the violations of a run, and keep the evidence."""
    evidence = options.report.with_name(f"{options.report.stem}-{options.seed}-{number}.json")
    evidence.write_text(json.dumps(verdict.evidence, indent=1) + "\n")
    print("\n" + "\n".join(tally.problems[-verdict.count() :]) + f"\nEvidence: {evidence}")


def until_the_lab_holds(
    play_once: Callable[[], Verdict], what: str, tally: Tally, renew: Callable[[], None]
) -> Verdict | None:
    """Play a run, and play it again if the lab itself hung, which says nothing about the engine. None: it always hung.

    `renew` starts the lab again.
    """
    for _unused in range(TRIES):
        verdict = play_once()
        if not verdict.lab_hang:
            tally.add(verdict, f"{what}: {verdict.played}" if verdict.played else what)
            return verdict
        tally.lab_hangs.append(f"{what}: {verdict.lab_hang}")
        print(f"\nHang of the lab: {tally.lab_hangs[-1]}", flush=True)
        renew()
    return None


def dealt(options: argparse.Namespace, tally: Tally) -> Iterator[tuple[int, Hand]]:
    """For each run its number and its hand."""
    from .plan import hands, step_hands

    begun = time.monotonic()
    for number, hand in enumerate(hands(random.Random(options.seed), options.short), 1):
        if options.short or options.only:
            enough = number > (options.only or len(step_hands()))
        else:
            enough = tally.run_faults >= options.faults and not too_few_disks(options, tally)
        if enough or time.monotonic() - begun > options.minutes * 60:
            return
        if not options.only or number == options.only:
            yield number, hand


if __name__ == "__main__":
    sys.exit(main())
