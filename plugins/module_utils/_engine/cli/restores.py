# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of `vmware-zfs` that restore: restore, mount, unmount, restores."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from functools import partial
from typing import Any, Callable, Mapping

from ..errors import InputError, RestoreFailed
from ..restore import ending
from ..restore.account import open_session, session_to_end
from ..restore.earlier import mounted
from ..restore.plan import RestorePlan
from ..restore.planner import make_plan
from ..restore.request import DISCONNECT, RestoreRequest, parse_snapshot, way_of
from ..restore.result import RestoreResult
from ..restore.run import execute
from ..restore.summary import remarks, state_of
from ..state.database import Paths
from ..state.engine import Engine, open_engine
from ..state.restores import MOUNT
from .account import account_of, add_account, add_addresses, addresses, given_account
from .output import local_time, print_json, print_table, say

_RESTORE = """\
The restored VM is named VM-restored-DATE, is off and has disconnected network cards, unless options say otherwise.
It is reverted to the VMware snapshot of its run, so that it starts from the frozen state."""


def add_parsers(commands: Any) -> list[argparse.ArgumentParser]:
    """Add the commands to the parser of `vmware-zfs`, and return their parsers."""
    restore = _parser(commands, "restore", "restore VMs, or one disk, from a ZFS snapshot", _restore, _RESTORE)
    _snapshot_of(restore)
    restore.add_argument("vms", metavar="VM", nargs="+", help="the names of the VMs, or the paths of their .vmx files")
    restore.add_argument("--instant", action="store_true", help="run the VMs from a ZFS clone, without a copy")
    restore.add_argument("--on", metavar="HOST", default="", help="the ESXi host for the VMs (default: as before)")
    restore.add_argument(
        "--name", metavar="NAME", default="", help="the name of the restored VM (default: VM-restored-DATE)"
    )
    restore.add_argument("--replace", action="store_true", help="in place of the original, which is renamed and kept")
    restore.add_argument("--force", action="store_true", help="power off the original if it does not shut down")
    restore.add_argument("--network", metavar="NAME", default="", help="a port group, 'keep' or 'disconnect'")
    restore.add_argument("--disk", type=int, metavar="N", help="only disk N, for another VM")
    restore.add_argument("--attach-to", metavar="VM", default="", help="the VM that gets the disk")
    restore.add_argument("--power-on", action="store_true", help="power on the restored VMs and wait for their guests")
    restore.add_argument(
        "--boot-timeout", type=float, metavar="SECONDS", default=300, help="how long to wait for a guest (default: 300)"
    )
    mount = _parser(commands, "mount", "mount a whole ZFS snapshot as a datastore of an ESXi host", _mount)
    _snapshot_of(mount)
    mount.add_argument("--on", metavar="HOST", required=True, help="the ESXi host")
    unmount = _parser(
        commands, "unmount", "unmount a ZFS snapshot that 'mount' mounted, and destroy its clone", _unmount
    )
    _snapshot_of(unmount)
    unmount.add_argument("--on", metavar="HOST", default="", help="only from this ESXi host (default: all)")
    restores = _parser(commands, "restores", "list what is restored, or end a restore", _restores)
    restores.add_argument("--end", metavar="ID", default="", help="take away what uses a clone; a copied VM stays")
    for each in (restore, mount):
        each.add_argument("--dry-run", action="store_true", help="only show what would be done, and what forbids it")
        add_addresses(each)
    for each in (restore, mount, unmount, restores):
        add_account(each)
    return [restore, mount, unmount, restores]


def _parser(
    commands: Any, name: str, what: str, command: Callable[[argparse.Namespace], int], details: str = ""
) -> argparse.ArgumentParser:
    description = f"{what[0].upper()}{what[1:]}. {details}".rstrip()
    parser: argparse.ArgumentParser = commands.add_parser(name, help=what, description=description)
    parser.set_defaults(command=command)
    return parser


def _snapshot_of(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("snapshot", metavar="SNAPSHOT", help="the ZFS snapshot, as listed by 'vmware-zfs points'")


def _restore(options: argparse.Namespace) -> int:
    return _carry_out(
        options,
        RestoreRequest(
            parse_snapshot(options.snapshot),
            tuple(options.vms),
            way_of(options.instant, options.disk is not None or bool(options.attach_to)),
            host=options.on,
            name=options.name,
            network=options.network,
            replace=options.replace,
            force=options.force,
            disk=options.disk or 0,
            attach_to=options.attach_to,
            power_on=options.power_on,
            **addresses(options),
            boot_timeout=options.boot_timeout,
        ),
    )


def _mount(options: argparse.Namespace) -> int:
    request = RestoreRequest(
        parse_snapshot(options.snapshot),
        way=MOUNT,
        host=options.on,
        **addresses(options),
    )
    return _carry_out(options, request)


def _carry_out(options: argparse.Namespace, request: RestoreRequest) -> int:
    request.check()
    try:
        done = _done(options, request)
    except RestoreFailed as error:
        if options.json:
            print_json({**error.details, "error": str(error)})
        elif any(vm["restored"] for vm in error.details.get("vms", ())):
            _show_result(RestoreResult.of(error.details), request)
        raise
    if isinstance(done, RestorePlan):
        return _show_plan(done, options.json)
    if options.json:
        print_json(done.as_dict())
    else:
        _show_result(done, request)
    return 0


def _done(options: argparse.Namespace, request: RestoreRequest) -> RestorePlan | RestoreResult:
    """Carry out the restore, or with --dry-run only plan it. All reports are printed when this returns."""
    report = (lambda step: None) if options.json else say
    with ExitStack() as stack:
        engine = stack.enter_context(open_engine(Paths.from_environment(), read_only=options.dry_run, report=report))
        session = stack.enter_context(open_session(engine, account_of(engine, options, request.snapshot.dataset)))
        if options.dry_run:
            return make_plan(session, engine.zfs, request)
        return execute(engine, session, request)


def _show_plan(plan: RestorePlan, as_json: bool) -> int:
    if as_json:
        print_json(plan.as_dict())
    else:
        for step in plan.steps():
            say(f"would {step}")
        for warning in plan.warnings:
            say(f"warning: {warning}")
        for refusal in plan.refusals:
            say(f"not possible: {refusal}")
    return 1 if plan.refusals else 0


def _show_result(done: RestoreResult, request: RestoreRequest) -> None:
    if done.vms:
        rows = [[vm.name, vm.restored_name, vm.level, state_of(vm), vm.host] for vm in done.vms]
        print_table(["VM", "restored as", "level", "state", "ESXi host"], rows)
    for line in remarks(done):
        say(line)
    if any(vm.restored for vm in done.vms) and request.cards == DISCONNECT:
        say("the network cards are disconnected; connect them in the vSphere client when the VM may use the network")
    for warning in [*done.warnings, *(f"'{vm.restored_name}': {one}" for vm in done.vms for one in vm.warnings)]:
        say(f"warning: {warning}")
    if done.datastores:
        say(f"to end this restore: vmware-zfs restores --end {done.restore_id}")


def _unmount(options: argparse.Namespace) -> int:
    snapshot = str(parse_snapshot(options.snapshot))
    with open_engine(Paths.from_environment()) as engine:
        found = mounted(engine, snapshot, options.on)
        if not found:
            where = f" on {options.on}" if options.on else ""
            raise InputError(f"{snapshot} is not mounted{where}", "List what is restored with 'vmware-zfs restores'")
        return _end(engine, options, [one.id for one in found])


def _restores(options: argparse.Namespace) -> int:
    with open_engine(Paths.from_environment(), read_only=not options.end) as engine:
        if options.end:
            return _end(engine, options, [options.end])
        found = ending.overview(engine)
    if options.json:
        print_json({"restores": found})
    elif not found:
        say("nothing is restored")
    else:
        rows = [_row(one) for one in found]
        print_table(["started", "ID", "ZFS snapshot", "way", "VM", "restored as", "state"], rows)
        for one in found:
            for problem in one["problems"]:
                say(f"{one['restore_id']}: {problem}")
    return 0


def _row(one: Mapping[str, Any]) -> list[str]:
    names = ("restore_id", "zfs_snapshot", "way", "vm", "restored_name", "state")
    return [local_time(one["started"]), *(one[name] or "-" for name in names)]


def _end(engine: Engine, options: argparse.Namespace, ids: list[str]) -> int:
    for restore in [engine.restores.get(one) for one in ids]:
        given = partial(given_account, options, restore.hostname)
        stays = ending.end(engine, restore, partial(session_to_end, engine, restore, given))
        if not options.json:
            say(f"ended the restore {restore.id}" + (f". {stays}" if stays else "; nothing of it is left"))
    if options.json:
        print_json({"ended": ids})
    return 0
