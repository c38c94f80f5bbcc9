# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill is asked to do, checked as far as that is possible without a server."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError
from ..restore.request import DISCONNECT, KEEP
from ..seconds import check_seconds
from ..zfs.names import SnapshotName, check_dataset, check_snapshot


@dataclass(frozen=True)
class DrillRequest:
    """A drill.

    `vms` are names, instance UUIDs or .vmx paths; empty means all VMs in the snapshot. `sample` is the largest number
    of VMs to try, 0 for all; those whose last drill is the longest ago come first. `host` is the name of the ESXi
    host; "" means the one with the most free memory. `network` is a port group for the network cards, or DISCONNECT.
    `at_a_time` is the number of VMs that run at the same time, and `memory` their memory in MB, 0 for what the host has
    free. `command` is a program on the storage host that looks at each VM, "" for none. Time limits are in seconds.
    `server`, `clients` and `aliases` are as in RestoreRequest.
    """

    snapshot: SnapshotName
    vms: tuple[str, ...] = ()
    sample: int = 0
    host: str = ""
    network: str = DISCONNECT
    at_a_time: int = 2
    memory: int = 0
    boot_timeout: float = 300.0
    command: str = ""
    command_timeout: float = 120.0
    server: str = ""
    clients: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise InputError for a request that is invalid whatever the snapshot contains."""
        check_dataset(self.snapshot.dataset)
        check_snapshot(*self.snapshot)
        check_seconds("boot_timeout", self.boot_timeout)
        check_seconds("command_timeout", self.command_timeout)
        rules = (
            (len(set(self.vms)) < len(self.vms), "A VM was named twice", "Name each VM once"),
            (self.sample < 0, f"sample is {self.sample}", "Set it to a number of VMs, or to 0 for all"),
            (self.at_a_time < 1, f"at_a_time is {self.at_a_time}", "Set it to at least 1"),
            (
                self.memory < 0,
                f"memory is {self.memory}",
                "Set it to a number of MB, or to 0 for what the host has free",
            ),
            (
                self.network in (KEEP, ""),
                "The VMs of a drill cannot keep their networks, because their originals use them",
                f"Set network to an isolated port group, or to '{DISCONNECT}'",
            ),
            (
                bool(self.command) and not self.command.startswith("/"),
                "The command of a drill is not an absolute path",
                "Set it to the path of a program on the storage host",
            ),
        )
        for wrong, problem, remedy in rules:
            if wrong:
                raise InputError(problem, remedy)
