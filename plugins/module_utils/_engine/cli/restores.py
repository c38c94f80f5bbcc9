# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of `vmware-zfs` that restore: restore, mount, unmount, restores."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from contextlib import ExitStack
from functools import partial
from typing import Any, Mapping

from ..errors import InputError, RestoreFailed
from ..restore import ending
from ..restore.account import Account, open_session, session_to_undo, stored_account
from ..restore.plan import RestorePlan
from ..restore.planner import make_plan
from ..restore.request import CLONE, DISK, FOLDER, MOUNT, RestoreRequest, parse_snapshot
from ..restore.result import RestoreResult
from ..restore.run import execute
from ..secret import Secret
from ..state.database import Paths
from ..state.engine import Engine, open_engine
from ..state.restores import DONE, RestoreRecord
from ..vsphere.session import Endpoint, Session
from .output import local_time, print_json, print_table, say

_ENVIRONMENT = "VMWARE_HOST, VMWARE_USER, VMWARE_PASSWORD and VMWARE_VALIDATE_CERTS"


def add_parsers(commands: Any) -> list[argparse.ArgumentParser]:
    """Add the commands to the parser of `vmware-zfs`, and return their parsers."""
    restore = commands.add_parser("restore", help="restore VMs, or one disk, from a ZFS snapshot")
    restore.add_argument("snapshot", metavar="SNAPSHOT", help="the ZFS snapshot, as listed by 'vmware-zfs points'")
    restore.add_argument("vms", metavar="VM", nargs="+", help="the names of the VMs")
    restore.add_argument("--instant", action="store_true", help="run the VMs from a ZFS clone instead of a copy")
    restore.add_argument(
        "--on", metavar="HOST", default="", help="the ESXi host that gets the VMs (default: as before)"
    )
    restore.add_argument("--name", default="", help="the name of the restored VM (default: VM-restored-DATE)")
    restore.add_argument("--replace", action="store_true", help="in place of the living VM, which is kept and renamed")
    restore.add_argument("--force", action="store_true", help="power off the living VM if it does not shut down")
    restore.add_argument(
        "--network", metavar="NAME", default="", help="the port group for its network cards, or 'keep'"
    )
    restore.add_argument("--disk", type=int, metavar="N", default=0, help="only disk N, for another VM")
    restore.add_argument("--attach-to", metavar="VM", default="", help="the VM that gets the disk")
    restore.add_argument("--power-on", action="store_true", help="power on the restored VMs")
    restore.set_defaults(command=_restore)
    mount = commands.add_parser("mount", help="mount a whole ZFS snapshot as a datastore of an ESXi host")
    mount.add_argument("snapshot", metavar="SNAPSHOT", help="the ZFS snapshot, as listed by 'vmware-zfs points'")
    mount.add_argument("--on", metavar="HOST", required=True, help="the ESXi host")
    mount.set_defaults(command=_mount)
    unmount = commands.add_parser("unmount", help="take a datastore away that 'mount' created")
    unmount.add_argument("snapshot", metavar="SNAPSHOT", help="the ZFS snapshot that is mounted")
    unmount.set_defaults(command=_unmount)
    restores = commands.add_parser("restores", help="list what is restored, or end a restore")
    restores.add_argument("--end", metavar="ID", help="take away what runs on a clone")
    restores.set_defaults(command=_restores)
    for each in (restore, mount):
        each.add_argument("--dry-run", action="store_true", help="only show what would be done, and what forbids it")
        each.add_argument("--nfs-server", metavar="ADDRESS", default="", help="this storage host, as ESXi reaches it")
        each.add_argument("--nfs-client", metavar="ADDRESS", action="append", default=[], help="an address of the host")
    for each in (restore, mount, unmount, restores):
        _add_account(each)
    return [restore, mount, unmount, restores]


def _add_account(parser: argparse.ArgumentParser) -> None:
    account = parser.add_argument_group("account", f"default: {_ENVIRONMENT}, or a stored one with purpose 'restore'")
    account.add_argument("--server", default="", help="the vCenter or ESXi host")
    account.add_argument("--port", type=int, default=443)
    account.add_argument("--username", default="", help="its password is in VMWARE_PASSWORD, or is asked for")
    account.add_argument("--ca-path", metavar="PATH", help="the certificates of the authority that signed its own")
    account.add_argument("--thumbprint", metavar="SHA256", help="the SHA-256 thumbprint of its certificate")


def _restore(options: argparse.Namespace) -> int:
    way = DISK if options.disk or options.attach_to else CLONE if options.instant else FOLDER
    return _carry_out(
        options,
        RestoreRequest(
            parse_snapshot(options.snapshot),
            tuple(options.vms),
            way,
            host=options.on,
            name=options.name,
            network=options.network,
            replace=options.replace,
            force=options.force,
            disk=options.disk,
            attach_to=options.attach_to,
            power_on=options.power_on,
            server=options.nfs_server,
            clients=tuple(options.nfs_client),
        ),
    )


def _mount(options: argparse.Namespace) -> int:
    request = RestoreRequest(
        parse_snapshot(options.snapshot),
        way=MOUNT,
        host=options.on,
        server=options.nfs_server,
        clients=tuple(options.nfs_client),
    )
    return _carry_out(options, request)


def _carry_out(options: argparse.Namespace, request: RestoreRequest) -> int:
    request.check()
    report = (lambda step: None) if options.json else say
    with ExitStack() as stack:
        engine = stack.enter_context(open_engine(Paths.from_environment(), read_only=options.dry_run, report=report))
        session = stack.enter_context(open_session(engine, _account(engine, options, request.snapshot.dataset)))
        if options.dry_run:
            return _show_plan(make_plan(session, engine.zfs, request), options.json)
        try:
            done = execute(engine, session, request)
        except RestoreFailed as error:
            if options.json:
                print_json({**error.details, "error": str(error)})
            raise
    _show_result(done, options.json)
    return 0


def _account(engine: Engine, options: argparse.Namespace, dataset: str) -> Account:
    """Return the account of the options, or of the environment, or the stored one."""
    server = options.server or os.environ.get("VMWARE_HOST", "")
    username = options.username or os.environ.get("VMWARE_USER", "")
    if not username:
        return stored_account(engine, dataset, server)
    if not server:
        raise InputError("A user was given, but no server", "Give --server as well, or set VMWARE_HOST")
    password = os.environ.get("VMWARE_PASSWORD", "")
    if not password:
        if not sys.stdin.isatty():
            raise InputError("No password was given", "Set VMWARE_PASSWORD, or store an account with purpose: restore")
        password = getpass.getpass(f"Password of {username} on {server}: ")
    verify = os.environ.get("VMWARE_VALIDATE_CERTS", "true").strip().lower() not in ("false", "no", "off", "0")
    return Account(
        Endpoint(server, options.port, verify, options.ca_path, options.thumbprint), username, Secret(password)
    )


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


def _show_result(done: RestoreResult, as_json: bool) -> None:
    if as_json:
        print_json(done.as_dict())
        return
    if done.vms and done.way != DISK:
        rows = [
            [vm.name, vm.restored_name, vm.level, _state_of(vm.powered_on, vm.heartbeat), vm.host] for vm in done.vms
        ]
        print_table(["VM", "restored as", "level", "state", "host"], rows)
    for datastore in done.datastores:
        say(f"datastore {datastore['name']} is a clone of {datastore['dataset']}")
    if done.attached is not None:
        say(f"{done.attached['file']} is attached to '{done.attached['vm']}'")
    for warning in [*done.warnings, *(f"'{vm.name}': {one}" for vm in done.vms for one in vm.warnings)]:
        say(f"warning: {warning}")
    if done.datastores:
        say(f"to take it away again: vmware-zfs restores --end {done.restore_id}")


def _state_of(on: bool, heartbeat: str) -> str:
    return "off" if not on else f"on, heartbeat {heartbeat}" if heartbeat else "on"


def _unmount(options: argparse.Namespace) -> int:
    snapshot = str(parse_snapshot(options.snapshot))
    with open_engine(Paths.from_environment()) as engine:
        mounted = [one for one in engine.restores.list([DONE]) if one.way == MOUNT and one.snapshot == snapshot]
        if not mounted:
            raise InputError(f"{snapshot} is not mounted", "List what is restored with 'vmware-zfs restores'")
        return _end(engine, options, [one.id for one in mounted])


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
    return [local_time(one["started"].replace("Z", "+00:00")), *(one[name] or "-" for name in names)]


def _end(engine: Engine, options: argparse.Namespace, ids: list[str]) -> int:
    for restore in [engine.restores.get(one) for one in ids]:
        stays = ending.end(engine, restore, partial(_session_to_end, engine, options, restore))
        if not options.json:
            say(stays or f"restore {restore.id} is ended; nothing of it is left")
    if options.json:
        print_json({"ended": ids})
    return 0


def _session_to_end(engine: Engine, options: argparse.Namespace, restore: RestoreRecord) -> Session:
    if options.username or os.environ.get("VMWARE_USER"):
        options.server = options.server or os.environ.get("VMWARE_HOST", "") or restore.hostname
        return open_session(engine, _account(engine, options, restore.snapshot))
    return session_to_undo(engine, restore)
