# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run `vmware-zfs restore` as a separate program: it reads a job as JSON from standard input and prints its cost.

The command is that of a user, with the start of Python and with `--power-on`. Its programs and files are in the storage
host of the lab. `own_seconds` is the time in which it waits neither for the storage host nor for vCenter.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import replace
from typing import Any
from unittest import mock

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import main as cli
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import restores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import Engine, open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs

from tests.lab.guest_door import GuestDoor
from tests.lab.storage_host import StorageHost

from ..memory import peak_mb
from .cases import CLONE
from .waits import Waits


def main() -> None:
    job = json.load(sys.stdin)
    os.environ.update(job["environment"])
    waits = Waits()
    with ExitStack() as stack:
        stack.enter_context(waits.for_storage_host())
        stack.enter_context(waits.for_vcenter())
        door = GuestDoor(StorageHost(job["storage_host"]))
        stack.callback(door.close)
        stack.enter_context(mock.patch.object(restores, "open_engine", _opened_with(door)))
        stack.enter_context(redirect_stdout(sys.stderr))
        status = cli.main(_words(job))
    ended = time.monotonic()
    if status:
        sys.exit(f"the restore ended with status {status}")
    seconds = ended - job["begun"]
    cost = {"seconds": seconds, "own_seconds": seconds - waits.seconds(), "cpu_seconds": time.process_time()}
    print(json.dumps({**cost, "peak_mb": peak_mb()}))


def _words(job: dict[str, Any]) -> list[str]:
    """Return the words of the command."""
    vcenter = job["vcenter"]
    os.environ["VMWARE_PASSWORD"] = vcenter["password"]
    account = ["--server", vcenter["hostname"], "--port", str(vcenter["port"]), "--username", vcenter["username"]]
    way = ["--instant", "--on", job["esxi_host"]] if job["way"] == CLONE else []
    return ["restore", job["snapshot"], *job["vms"], *way, "--power-on", *account, "--ca-path", vcenter["ca_path"]]


def _opened_with(door: GuestDoor) -> Any:
    """Return `open_engine` with the storage host of the lab behind the engine."""

    @contextmanager
    def opened(*arguments: Any, **options: Any) -> Iterator[Engine]:
        with open_engine(*arguments, **options) as engine:
            yield replace(engine, zfs=Zfs(host=door))

    return opened


if __name__ == "__main__":
    main()
