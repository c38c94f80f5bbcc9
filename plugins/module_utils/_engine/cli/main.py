# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `vmware-zfs`, for systemd timers and for administrators of the storage host."""

from __future__ import annotations

import argparse
import io
import os
import sys
from typing import Any, Callable, Mapping, Sequence

from ..drills.recent import recent
from ..errors import InputError, QuiesceError, RegistryError, TaskNotFound
from ..observe.destroyed_snapshots import destroyed
from ..recovery.leftovers import leftovers
from ..recovery.recover import recover
from ..secret import leave_no_core_dump
from ..state.database import Paths
from ..state.engine import Engine, open_engine
from ..state.identity import whole_of
from ..state.journal_entries import ENDED
from ..tasks.turn import overview, summary, take_turn
from ..tasks.turn_result import TurnResult
from ..text import counted, vm_on
from . import drill, points, restores, turn_report
from .output import WARNING, complain, local_time, print_json, print_table, say, seconds_text
from .turn_report import reason_of

_COMPLETE = {True: "complete", False: "not complete", None: ""}
DESCRIPTION = "Take consistent ZFS snapshots of the VMware VMs on this storage host."
EPILOG = """\
examples:
  vmware-zfs status             show active runs, the last runs and leftover VMware snapshots
  vmware-zfs show RUN           show the consistency level of each VM in a run, with the reasons
  vmware-zfs tasks              list the snapshot tasks with their schedules and next runs
  vmware-zfs run 3              run snapshot task 3 now
  vmware-zfs run 3 --dry-run    show which ZFS snapshots task 3 would take and destroy
  vmware-zfs points tank/vmware --vm mail
                                list the ZFS snapshots from which the VM can be restored
  vmware-zfs recover            remove the VMware snapshots of interrupted runs
  vmware-zfs recover --dry-run  list these VMware snapshots without removing them
  vmware-zfs recover --scan     also search vSphere, if the state in /var/lib/vmware-zfs was lost
  vmware-zfs restore tank/vmware@auto-2026-01-31_02-00 mail
                                restore the VM next to the original, powered off and without a network
  vmware-zfs restore tank/vmware@auto-2026-01-31_02-00 mail --replace --power-on
                                restore the VM in place of the original, which is renamed and kept
  vmware-zfs mount tank/vmware@auto-2026-01-31_02-00 --on esx1.example.com
                                mount the whole ZFS snapshot as a datastore
  vmware-zfs restores           list what is restored
  vmware-zfs restores --end ID  end a restore that uses a clone

exit status:
  0   success
  1   failure, or VMware snapshots are left; the last line names the cause and the solution.
      'restore --dry-run' and 'mount --dry-run': something forbids it
  2   invalid usage
  3   'run' took the snapshot, but it is not complete
  75  'run --scheduled' could not start and will be tried again

environment:
  VMWARE_ZFS_STATE_DIR, VMWARE_ZFS_KEY_FILE and VMWARE_ZFS_LOCK_DIR override the locations of state, key and locks.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. An error is one line on standard error."""
    options = _parser().parse_args(arguments)
    leave_no_core_dump()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for names that the locale cannot show
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except QuiesceError as error:
        complain(error)
        return 1
    except BrokenPipeError:  # `vmware-zfs status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "vmware-zfs", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    status = commands.add_parser("status", help="show active runs, the last runs and leftover VMware snapshots")
    status.add_argument("--last", type=int, default=10, metavar="N", help="number of last runs to show (default: 10)")
    status.set_defaults(command=_status)
    recovery = commands.add_parser("recover", help="remove the VMware snapshots of interrupted runs")
    recovery.add_argument("--scan", action="store_true", help="also search every VM for VMware snapshots of this host")
    recovery.add_argument("--dry-run", action="store_true", help="only list what would be removed and undone")
    recovery.add_argument(
        "--only", choices=("runs", "restores"), help="only recover interrupted runs, or only restores"
    )
    recovery.set_defaults(command=_recover)
    show = commands.add_parser("show", help="show the result of a run for each VM")
    show.add_argument("run", metavar="RUN", help="the ID of the run, as listed by 'vmware-zfs status'")
    show.set_defaults(command=_show)
    tasks = commands.add_parser("tasks", help="list the snapshot tasks with their schedules and next runs")
    tasks.set_defaults(command=_tasks)
    run = commands.add_parser("run", help="run a snapshot task: take its snapshot, then apply its retention")
    run.add_argument("task", type=int, metavar="TASK", help="the ID of the task, as listed by 'vmware-zfs tasks'")
    how = run.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="only show the ZFS snapshots to take and destroy")
    how.add_argument("--scheduled", action="store_true", help="run only if the task is enabled and due (for timers)")
    run.set_defaults(command=_run)
    for each in (
        status,
        show,
        recovery,
        tasks,
        run,
        points.add_to(commands),
        *restores.add_parsers(commands),
        drill.add_to(commands),
    ):
        each.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def _recover(options: argparse.Namespace) -> int:
    with open_engine(Paths.from_environment(), read_only=options.dry_run) as engine:
        done = recover(engine, scan=options.scan, dry=options.dry_run, only=options.only or "")
    if options.json:
        print_json(done.as_dict())
    else:
        verb = "would remove" if options.dry_run else "removed"
        for item in done.as_dict()["removed"]:
            say(f"{verb} {_snapshot(item)}")
        for name in done.sealed:
            say(f"wrote the record of {name}, which an interrupted run had completed")
        for name in done.lowered:
            say(f"reduced the level of {name}, because release 1.0.0 had not verified it")
        for restore in done.undone_restores:
            say(f"{'would undo' if options.dry_run else 'undid'} the interrupted restore {restore}")
        _say_leftovers(done.as_dict())
        if not any(done.as_dict().values()):
            say("nothing to recover: no interrupted run left anything")
    done.require_clean()
    return 1 if done.problems else 0


def _show(options: argparse.Namespace) -> int:
    with open_engine(Paths.from_environment(), read_only=True) as engine:
        run = engine.journal.run(options.run)
        gone = {} if run is None else destroyed(engine.zfs, [run])
    if run is None:
        raise InputError(f"The run '{options.run}' is not in the journal", "List the runs with 'vmware-zfs status'")
    if options.json:
        print_json({**summary(run), **run.result, "destroyed": gone[run.id]})
        return 0
    vms = run.result.get("vms", ())
    say(f"{run.snapshots[0]}: {summary(run)['consistency_text'] or 'no snapshot'}, started {local_time(run.started)}")
    for name in gone[run.id] or ():
        say(f"{name} has been destroyed")
    for warning in run.result.get("warnings", ()):
        say(f"warning: {warning}")
    for problem in run.result.get("problems", ()):
        say(problem)
    if vms:
        rows = [_row_of(vm) for vm in vms]
        print_table(["VM", "level", "held", "reason"], rows)
    return 0


def _row_of(vm: Mapping[str, Any]) -> list[str]:
    return [vm["name"], vm["level"], seconds_text(vm["hold_seconds"]), reason_of(vm)]


def _tasks(options: argparse.Namespace) -> int:
    with open_engine(Paths.from_environment(), read_only=True) as engine:
        found = [overview(engine, task) for task in engine.tasks.list_all()]
    if options.json:
        print_json({"tasks": found})
    elif not found:
        say("no snapshot tasks")
    else:
        rows = [
            [
                str(task["id"]),
                task["dataset"],
                "yes" if task["recursive"] else "no",
                " ".join(task["schedule"][field] for field in ("minute", "hour", "dom", "month", "dow")),
                local_time(task["next_run"]) if task["next_run"] else "disabled",
                counted(task["lifetime_value"], task["lifetime_unit"].lower()),
                "quiesced" if task["vmware_sync"] else "not quiesced",
                (task["last_run"] or {}).get("consistency_text") or "-",
            ]
            for task in found
        ]
        head = ["ID", "dataset", "recursive", "min hour dom mon dow", "next run", "lifetime", "VMs", "last level"]
        print_table(head, rows)
    return 0


def _run(options: argparse.Namespace) -> int:
    report = (lambda step: None) if options.json else say
    try:
        with open_engine(Paths.from_environment(), read_only=options.dry_run, report=report) as engine:
            turn = take_turn(engine, engine.tasks.get(options.task), options.scheduled, options.dry_run)
    except RegistryError as error:
        if options.scheduled and not isinstance(error, TaskNotFound):
            return _again(error)  # for example, the state is locked or its disk is full
        raise
    if options.json:
        print_json(turn.as_dict())
    else:
        _print_turn(turn, options.dry_run)
    if turn.failure is None:
        return turn_report.status(turn)
    if turn.again:
        return _again(turn.failure)
    complain(turn.failure)
    return turn_report.FAILED


def _again(error: QuiesceError) -> int:
    complain(error, "The run stays due. Its systemd service tries again in five minutes.")
    return turn_report.AGAIN


def _print_turn(turn: TurnResult, dry: bool) -> None:
    for line in turn_report.lines(turn, dry):
        say(line.text, WARNING if line.warning else 0)


def _status(options: argparse.Namespace) -> int:
    with open_engine(Paths.from_environment(), read_only=True) as engine:
        found = status(engine, options.last)
    if options.json:
        print_json(found)
    else:
        _print_status(found)
    return 1 if found["left"] or found["problems"] else 0


def status(engine: Engine, last: int) -> dict[str, Any]:
    """Return the active runs, the leftovers of dead runs (leftovers.py) and the `last` runs as plain data."""
    alive = engine.locks.holders()
    living = {holder.run for holder in alive}
    runs = engine.journal.runs(limit=last)
    gone = destroyed(engine.zfs, runs)
    return {
        "alive": [dict(holder.__dict__) for holder in alive],
        **leftovers(engine).as_dict(),
        "drills": recent(engine, last),
        "runs": [
            {**summary(run), "state": "alive" if whole_of(run.id) in living else run.state, "destroyed": gone[run.id]}
            for run in runs
        ],
    }


def _print_status(found: dict[str, Any]) -> None:
    for holder in found["alive"]:
        since = local_time(holder["since"])
        what = f"{holder['kind']} {holder['run']}"
        say(f"{what} has been active on {holder['dataset']} since {since} (process {holder['pid']})")
    if found["runs"]:
        rows = [
            [
                local_time(run["started"]),
                run["zfs_snapshot"],
                run["consistency_text"] or "-",
                _state(run),
                seconds_text(run["hold_window_seconds"]),
                run["run_id"],
            ]
            for run in found["runs"]
        ]
        print_table(["started", "ZFS snapshot", "level", "state", "held", "run"], rows)
    else:
        say("no runs")
    drill.show_recent(found.get("drills", ()))
    _say_leftovers(found)
    if found["left"] or found["problems"]:
        say("run 'vmware-zfs recover'")


def _state(run: dict[str, Any]) -> str:
    """Return the state of a run in `status` for people. A run that is neither active nor ended was interrupted."""
    if run["state"] == "alive":
        return "active"
    if run["state"] != ENDED:
        return f"interrupted ({run['state']})"
    if run["consistency"] is None:
        return "no snapshot"
    return "destroyed" if run["destroyed"] else _COMPLETE[run["complete"]]


def _say_leftovers(found: dict[str, Any]) -> None:
    """Print problems and leftovers, for `recover` and `status`. The lines that need action come last."""
    for problem in found["problems"]:
        say(problem)
    for kind in ("watched", "left"):
        for item in found[kind]:
            say(f"{kind}: {_snapshot(item)}: {item['reason']}")


def _snapshot(item: dict[str, Any]) -> str:
    return (
        f"VMware snapshot '{item['vmware_snapshot']}' of the {vm_on(item['vm'], item['server'])} (run {item['run_id']})"
    )


if __name__ == "__main__":
    raise SystemExit(main())
