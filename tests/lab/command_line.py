# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `tests/lab/lab`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Callable, Sequence

from . import by_hand, by_hand_commands, clean_up, set_up
from .places import LabError, default_lab_name
from .storage_host import StorageHost, labs

DESCRIPTION = """\
The lab's storage host: a virtual machine with its own kernel, OpenZFS, an NFS server, systemd and sshd.
"""
EXAMPLES = """\
examples:
  tests/lab/lab setup              build what the lab needs (some minutes the first time, seconds later)
  tests/lab/lab up                 have a storage host running; seconds, from a saved running state
  tests/lab/lab ssh zfs list       run a command in it; without a command: a shell
  tests/lab/lab ssh -t top         the same with a terminal
  tests/lab/lab reset              pristine again, whatever happened to it
  tests/lab/lab power-cut          the power fails; then `up --keep` boots the same disks
  tests/lab/lab --name two up      start a second lab
  tests/lab/lab vcenter            start a vCenter; docs/start/lab.md is a tour
  tests/lab/lab deploy --real db   put a VM with real disks on a datastore
  tests/lab/lab fail db quiesce    let it fail; without arguments: the ways to fail
  PATH=$(tests/lab/lab path):$PATH zfs list    the host's own zfs and zpool, as if they were local
"""


def _up(lab: StorageHost, options: argparse.Namespace) -> int:
    if options.keep and not lab.running():
        lab.boot()
        by_hand.refresh(lab)
    else:
        if not lab.running():
            by_hand.end(lab)
        lab.up()
    return _say(lab)


def _reset(lab: StorageHost, options: argparse.Namespace) -> int:
    by_hand.end(lab)  # its datastores, and the disks of its VMs, are gone
    lab.reset()
    return _say(lab)


def _power_cut(lab: StorageHost, options: argparse.Namespace) -> int:
    lab.power_cut()
    print(f"The power of {lab.name} is cut; `tests/lab/lab --name {lab.name} up --keep` boots its disks again.")
    return 0


def _down(lab: StorageHost, options: argparse.Namespace) -> int:
    for each in labs() if options.all else [lab]:
        by_hand.end(each)
        each.down()
        print(f"{each.name} is down.")
    return 0


def _ssh(lab: StorageHost, options: argparse.Namespace) -> int:
    return lab.interactive(options.words, options.terminal)


def _path(lab: StorageHost, options: argparse.Namespace) -> int:
    print(lab.path_dir)
    return 0


def _status(lab: StorageHost, options: argparse.Namespace) -> int:
    known = {each.name: each for each in [*labs(), lab]}
    found = [each.status() for each in known.values()]
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    row = "{:<34} {:<8} {:>7} {:>6} {:>6}  {}"
    print(row.format("LAB", "STATE", "PID", "SSH", "NFS", "PROCESSOR"))
    for each in found:
        state = "running" if each["running"] else "down"
        print(
            row.format(
                each["name"], state, *(each.get(key, "-") for key in ("pid", "ssh_port", "nfs_port", "processor"))
            )
        )
    return 0


def _setup(lab: StorageHost, options: argparse.Namespace) -> int:
    set_up.main(refresh=options.refresh)
    return 0


def _clean(lab: StorageHost, options: argparse.Namespace) -> int:
    clean_up.main()
    return 0


def _say(lab: StorageHost) -> int:
    print(f"{lab.name} runs: ssh on port {lab.ssh_port}, NFS on port {lab.nfs_port} of 127.0.0.1.")
    print(f"Its zfs and zpool are in {lab.path_dir}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tests/lab/lab",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--name", default=None, help=f"which lab, when several run side by side (default: {default_lab_name()})"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[StorageHost, argparse.Namespace], int], text: str) -> Any:
        added = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(run=run)
        return added

    command("setup", _setup, "build all that the lab needs, or find that it is there").add_argument(
        "--refresh", action="store_true", help="look for newer packages in the Debian archive and build from them"
    )
    command("up", _up, "start the storage host in its initial state, or keep a running one").add_argument(
        "--keep", action="store_true", help="boot the disks that a power cut or `down` left, from power-on"
    )
    command("reset", _reset, "throw away what happened to it and start it pristine")
    command("down", _down, "stop it").add_argument("--all", action="store_true", help="stop every lab of this checkout")
    command("power-cut", _power_cut, "end it at once, as a failing power supply does")
    added = command("ssh", _ssh, "run a command in it, or a shell")
    added.add_argument("-t", dest="terminal", action="store_true", help="give the command a terminal, as ssh -t does")
    added.add_argument("words", nargs=argparse.REMAINDER, metavar="command")
    by_hand_commands.add(command)
    command("path", _path, "print the folder of the wrappers zfs and zpool, for PATH")
    command("clean", _clean, "stop everything of this checkout and remove build/; the cache of what was built stays")
    command("status", _status, "show the labs of this checkout").add_argument(
        "--json", action="store_true", help="as JSON"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(StorageHost(options.name), options)
        return status
    except LabError as error:
        print(f"{error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
