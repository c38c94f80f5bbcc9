# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`vmware-zfs drill`: starts VMs of a ZFS snapshot from a clone, looks at them, and takes all of it away again."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import Any, Mapping, Sequence

from ..drills.choice import snapshot_of
from ..drills.plan import DrillPlan
from ..drills.planner import make_plan
from ..drills.recent import ENDED
from ..drills.request import DrillRequest
from ..drills.result import DrillResult
from ..drills.run import execute
from ..drills.summary import doubts, failure, planned, remarks, state_of
from ..errors import RestoreFailed
from ..records.verdicts import INCONCLUSIVE, NOT_TRIED
from ..restore.account import open_session
from ..restore.request import DISCONNECT
from ..state.database import Paths
from ..state.engine import Engine, open_engine
from ..text import counted, printable
from . import turn_report
from .account import account_of, add_account, add_addresses, addresses
from .output import local_time, print_json, print_table, say

_DESCRIPTION = """\
Starts VMs from a clone of the newest complete ZFS snapshot of a task, without a network, and waits for the heartbeat of
VMware Tools. Then everything is taken away again. The original VMs are not touched."""


def add_to(commands: Any) -> argparse.ArgumentParser:
    """Add the command to the subparsers of `vmware-zfs`, and return its parser."""
    what = "start the VMs of a ZFS snapshot from a clone, look at them, and take them away"
    parser: argparse.ArgumentParser = commands.add_parser("drill", help=what, description=_DESCRIPTION)
    parser.add_argument("task", type=int, metavar="TASK", help="the ID of the task, as listed by 'vmware-zfs tasks'")
    parser.add_argument(
        "--snapshot", metavar="NAME", default="", help="another ZFS snapshot (default: the newest complete one)"
    )
    parser.add_argument("--vm", metavar="NAME", action="append", default=[], help="only this VM (default: all)")
    parser.add_argument(
        "--sample", type=int, metavar="N", default=0, help="at most N VMs, in turn (default: 0, which means all)"
    )
    parser.add_argument(
        "--on", metavar="HOST", default="", help="the ESXi host (default: the one with most free memory)"
    )
    parser.add_argument(
        "--network", metavar="NAME", default=DISCONNECT, help="an isolated port group (default: disconnected)"
    )
    parser.add_argument("--at-a-time", type=int, metavar="N", default=2, help="how many VMs run at a time (default: 2)")
    parser.add_argument(
        "--memory", type=int, metavar="MB", default=0, help="their memory together (default: 0: what the host has free)"
    )
    parser.add_argument(
        "--boot-timeout", type=float, metavar="SECONDS", default=300, help="how long to wait for a guest (default: 300)"
    )
    parser.add_argument("--command", dest="program", metavar="PATH", default="", help="a program that looks at each VM")
    parser.add_argument(
        "--command-timeout", type=float, metavar="SECONDS", default=120, help="its time limit (default: 120)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would be done, and what forbids it")
    add_addresses(parser)
    add_account(parser)
    parser.set_defaults(command=_drill)
    return parser


def show_recent(drills: Sequence[Mapping[str, Any]]) -> None:
    """Print the last drills, for 'vmware-zfs status'."""
    for one in drills:
        started = local_time(one["started"])
        said = one["verdict"] or ("no VM was tried" if one["state"] == ENDED else one["state"])
        names = ", ".join(printable(name, 80) for name in (*one["failed"], *one["inconclusive"]))
        say(f"drill {one['drill_id']} of {one['zfs_snapshot']}, {started}: {said}" + (f" ({names})" if names else ""))


def _drill(options: argparse.Namespace) -> int:
    try:
        done = _done(options)
    except RestoreFailed as error:
        if options.json:
            print_json({**error.details, "error": str(error)})
        raise
    if isinstance(done, DrillPlan):
        return _show_plan(done, options.json)
    if options.json:
        print_json(done.as_dict())
    else:
        _show_result(done)
    return _status(done)


def _done(options: argparse.Namespace) -> DrillPlan | DrillResult:
    """Carry out the drill, or with --dry-run only plan it. All reports are printed when this returns."""
    report = (lambda step: None) if options.json else say
    with ExitStack() as stack:
        engine = stack.enter_context(open_engine(Paths.from_environment(), read_only=options.dry_run, report=report))
        request = _request(engine, options)
        request.check()
        session = stack.enter_context(open_session(engine, account_of(engine, options, request.snapshot.dataset)))
        return make_plan(engine, session, request) if options.dry_run else execute(engine, session, request)


def _request(engine: Engine, options: argparse.Namespace) -> DrillRequest:
    task = engine.tasks.get(options.task)
    return DrillRequest(
        snapshot_of(engine.zfs, task, options.snapshot),
        tuple(options.vm),
        sample=options.sample,
        host=options.on,
        network=options.network,
        at_a_time=options.at_a_time,
        memory=options.memory,
        boot_timeout=options.boot_timeout,
        command=options.program,
        command_timeout=options.command_timeout,
        **addresses(options, task.aliases),
    )


def _show_plan(plan: DrillPlan, as_json: bool) -> int:
    if as_json:
        print_json(plan.as_dict())
    else:
        for warning in (*plan.problems, *plan.warnings):
            say(f"warning: {warning}")
        for line in planned(plan):
            say(line)
    return turn_report.FAILED if plan.refusals else turn_report.DONE


def _show_result(done: DrillResult) -> None:
    tried = [vm for vm in done.vms if vm.verdict != NOT_TRIED]
    if tried:
        print_table(["VM", "verdict", "level", "seen"], [[vm.name, vm.verdict, vm.level, state_of(vm)] for vm in tried])
    if len(done.vms) > len(tried):
        say(f"not tried: {counted(len(done.vms) - len(tried), 'VM')}")
    for warning in done.warnings:
        say(f"warning: {warning}")
    for line in remarks(done):
        say(line)


def _status(done: DrillResult) -> int:
    if failure(done):
        return turn_report.FAILED
    return turn_report.INCOMPLETE if doubts(done) or done.verdict in (INCONCLUSIVE, NOT_TRIED) else turn_report.DONE
