# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The storage host's own front door: the command `vmware-zfs`, for systemd's timers and for a person at night."""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import sys
from contextlib import suppress
from typing import Any, Callable, Sequence, TextIO

from ..errors import InputError, QuiesceError, RegistryError, TaskNotFound
from ..observe.destroyed_snapshots import destroyed
from ..recovery import leftovers
from ..recovery.recover import recover
from ..secret import leave_no_core_dump
from ..state.database import Paths
from ..state.engine import Engine, open_engine
from ..state.identity import whole_of
from ..tasks.turn import overview, summary, take_turn
from ..text import printable, table, vm_on
from . import turn_report

_ERROR, _WARNING = 3, 4  # priorities of syslog(3)
_COMPLETE = {True: "complete", False: "not complete", None: ""}
DESCRIPTION = "Consistent ZFS snapshots of the VMware VMs on this storage host."
EPILOG = """\
what to do at night:
  vmware-zfs status             is a run under way, did the last ones succeed, is a VMware snapshot left?
  vmware-zfs show RUN           how consistent is each VM in that run, and why no more?
  vmware-zfs tasks              what is snapshotted when, and when next?
  vmware-zfs run 3              the snapshot task 3, now
  vmware-zfs run 3 --dry-run    only say what it would take, and which snapshots have had their time
  vmware-zfs recover            remove the VMware snapshots that interrupted runs left
  vmware-zfs recover --dry-run  only say which
  vmware-zfs recover --scan     also search vSphere, after the state in /var/lib/vmware-zfs was lost

exit status: 0 all is well, 1 something failed or is left (the last line says what and what to do), 2 wrong usage,
  3 `run` took the snapshot but it is not complete, 75 `run --scheduled` could not begin and is tried again.
environment: VMWARE_ZFS_STATE_DIR, VMWARE_ZFS_KEY_FILE, VMWARE_ZFS_LOCK_DIR name other places for state, key, locks.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors are one line on standard error."""
    options = _parser().parse_args(arguments)
    leave_no_core_dump()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the locale cannot show is no reason to fail
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except QuiesceError as error:
        _complain(error)
        return 1
    except BrokenPipeError:  # `vmware-zfs status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "vmware-zfs", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    status = commands.add_parser("status", help="show runs under way, VMware snapshots that may be left, last runs")
    status.add_argument("--last", type=int, default=10, metavar="N", help="how many of the last runs (default: 10)")
    status.set_defaults(command=_status)
    recovery = commands.add_parser("recover", help="remove the VMware snapshots that interrupted runs left")
    recovery.add_argument("--scan", action="store_true", help="also search every VM for VMware snapshots with our mark")
    recovery.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    recovery.set_defaults(command=_recover)
    show = commands.add_parser("show", help="show what became of each VM in a run")
    show.add_argument("run", metavar="RUN", help="the run, as 'vmware-zfs status' lists it")
    show.set_defaults(command=_show)
    tasks = commands.add_parser("tasks", help="list the snapshot tasks and when each runs next")
    tasks.set_defaults(command=_tasks)
    run = commands.add_parser("run", help="run a snapshot task: take its snapshot, then apply its retention")
    run.add_argument("task", type=int, metavar="TASK", help="the task's id, as 'vmware-zfs tasks' lists it")
    how = run.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="only say what would be taken and destroyed")
    how.add_argument("--scheduled", action="store_true", help="only if it is enabled and due (for its timer)")
    run.set_defaults(command=_run)
    for each in (status, show, recovery, tasks, run):
        each.add_argument("--json", action="store_true", help="print data instead of text")
    return parser


def _recover(options: argparse.Namespace) -> int:
    with open_engine(Paths.from_environment(), read_only=options.dry_run) as engine:
        done = recover(engine, scan=options.scan, dry=options.dry_run)
    if options.json:
        _print_json(done.as_dict())
    else:
        verb = "would remove" if options.dry_run else "removed"
        for item in done.removed:
            _say(f"{verb} {_snapshot(item)}")
        for name in done.sealed:
            _say(f"wrote the record of {name}, which its run had finished")
        for name in done.lowered:
            _say(f"lowered the record of {name}, which release 1.0.0 had left unfinished")
        _say_leftovers(done.as_dict())
        if not any(done.as_dict().values()):
            _say("nothing is left of interrupted runs")
    done.require_clean()
    return 1 if done.problems else 0


def _show(options: argparse.Namespace) -> int:
    with open_engine(Paths.from_environment(), read_only=True) as engine:
        run = engine.journal.run(options.run)
        gone = {} if run is None else destroyed(engine.zfs, [run])
    if run is None:
        raise InputError(f"The journal knows no run '{options.run}'", "List the runs with 'vmware-zfs status'")
    if options.json:
        _print_json({**summary(run), **run.result, "destroyed": gone[run.id]})
        return 0
    vms = run.result.get("vms", ())
    _say(f"{run.snapshots[0]}: {run.result.get('consistency') or 'no snapshot'}, begun {run.started[:19]} (UTC)")
    for name in gone[run.id] or ():
        _say(f"{name} was destroyed since")
    for warning in run.result.get("warnings", ()):
        _say(f"warning: {warning}")
    for problem in run.result.get("problems", ()):
        _say(problem)
    if vms:
        rows = [[vm["name"], vm["level"], _seconds(vm["hold_seconds"]), vm["reason"]] for vm in vms]
        _print_table(["VM", "level", "held", "why no more"], rows)
    return 0


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def _tasks(options: argparse.Namespace) -> int:
    with open_engine(Paths.from_environment(), read_only=True) as engine:
        found = [overview(engine, task) for task in engine.tasks.list_all()]
    if options.json:
        _print_json({"tasks": found})
    elif not found:
        _say("no snapshot task yet")
    else:
        rows = [
            [
                str(task["id"]),
                task["dataset"] + (" and below" if task["recursive"] else ""),
                " ".join(task["schedule"][field] for field in ("minute", "hour", "dom", "month", "dow")),
                task["next_run"] or "disabled",
                f"{task['lifetime_value']} {task['lifetime_unit'].lower()}",
                "VMs quiesced" if task["vmware_sync"] else "ZFS alone",
            ]
            for task in found
        ]
        _print_table(["id", "dataset", "min hour dom mon dow", "next", "kept for", ""], rows)
    return 0


def _run(options: argparse.Namespace) -> int:
    report = (lambda step: None) if options.json else _say
    failure: QuiesceError | None = None
    try:
        with open_engine(Paths.from_environment(), read_only=options.dry_run, report=report) as engine:
            turn = take_turn(engine, engine.tasks.get(options.task), options.scheduled, options.dry_run)
    except QuiesceError as error:
        if "turn" not in error.details:
            if options.scheduled and isinstance(error, RegistryError) and not isinstance(error, TaskNotFound):
                return _again(error)  # the state is locked, or its disk is full
            raise
        failure, turn = error, error.details["turn"]
    if options.json:
        _print_json({**turn, "failure": "" if failure is None else str(failure)})
    else:
        _print_turn(turn, options.dry_run)
    if failure is None:
        return turn_report.status(turn)
    if failure.details.get("again"):
        return _again(failure)
    _complain(failure)
    return turn_report.FAILED


def _again(error: QuiesceError) -> int:
    _complain(error, "The turn stays due, and its service tries again in five minutes.")
    return turn_report.AGAIN


def _print_turn(turn: dict[str, Any], dry: bool) -> None:
    for line in turn_report.lines(turn, dry):
        _say(line.text, _WARNING if line.warning else 0)


def _status(options: argparse.Namespace) -> int:
    with open_engine(Paths.from_environment(), read_only=True) as engine:
        found = status(engine, options.last)
    if options.json:
        _print_json(found)
    else:
        _print_status(found)
    return 1 if found["left"] or found["problems"] else 0


def status(engine: Engine, last: int) -> dict[str, Any]:
    """Runs that are alive, what dead runs left (leftovers.py), and the `last` runs, as plain data."""
    alive = engine.locks.holders()
    living = {holder.run for holder in alive}
    runs = engine.journal.runs(limit=last)
    gone = destroyed(engine.zfs, runs)
    return {
        "alive": [dict(holder.__dict__) for holder in alive],
        **leftovers.as_dict(engine),
        "runs": [
            {**summary(run), "state": "alive" if whole_of(run.id) in living else run.state, "destroyed": gone[run.id]}
            for run in runs
        ],
    }


def _print_status(found: dict[str, Any]) -> None:
    for holder in found["alive"]:
        _say(f"run {holder['run']} holds {holder['dataset']} since {holder['since']} (process {holder['pid']})")
    if found["runs"]:
        rows = [
            [
                run["started"][:19],
                run["zfs_snapshot"],
                (run["consistency"] or "no snapshot") if run["state"] == "ended" else run["state"],
                "destroyed since" if run["destroyed"] else _COMPLETE[run["complete"]],
                _seconds(run["hold_window_seconds"]),
                run["run_id"],
            ]
            for run in found["runs"]
        ]
        _print_table(["started (UTC)", "snapshot", "consistency", "", "held", "run"], rows)
    else:
        _say("no run yet")
    _say_leftovers(found)
    if found["left"] or found["problems"]:
        _say("run 'vmware-zfs recover'")


def _say_leftovers(found: dict[str, Any]) -> None:
    """What is not over, in the words of `recover` and `status` alike; what is wrong comes last."""
    for problem in found["problems"]:
        _say(problem)
    for kind in ("watched", "left"):
        for item in found[kind]:
            _say(f"{kind} {_snapshot(item)}: {item['reason']}")


def _snapshot(item: dict[str, Any]) -> str:
    return f"'{item['vmware_snapshot']}' of the {vm_on(item['vm'], item['server'])} (run {item['run_id']})"


def _print_json(data: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(data, indent=2, sort_keys=True) + "\n")  # escapes all that is not ASCII


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    sys.stdout.write(table(head, rows, width) + "\n")


def _say(line: str, priority: int = 0) -> None:
    """One line, whatever is in it: names are other people's, and a terminal or a log obeys what it is shown."""
    sys.stdout.write(_marked(sys.stdout, priority) + printable(line, None) + "\n")


def _complain(error: QuiesceError, outlook: str = "") -> None:
    with suppress(OSError):  # a broken pipe
        sys.stdout.flush()  # the error is the last line, also where both streams are one
    sys.stderr.write(f"{_marked(sys.stderr, _ERROR)}{f'vmware-zfs: {error} {outlook}'.rstrip()}\n")


def _marked(stream: TextIO, priority: int) -> str:
    """The mark by which the journal knows a line's priority, "" where nothing else than the journal would show it.

    JOURNAL_STREAM has the device and inode of the stream that the journal reads (systemd.exec(5), sd-daemon(3)).
    """
    try:
        there = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return ""
    in_journal = os.environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"
    return f"<{priority}>" if priority and in_journal else ""


if __name__ == "__main__":
    raise SystemExit(main())
