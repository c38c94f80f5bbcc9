# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured, as plain data: each case is one situation in vSphere, in which every system does the same job."""

from __future__ import annotations

import math
from dataclasses import dataclass

ENGINE = "quiesce.vmware_zfs"
SCALE = "1,000 datasets, 10,000 ZFS snapshots"  # measured by zfs_scale.py
SEQUENTIAL = "one after the other"  # what the reference product does
PEERS = (
    "vmware.vmware.vm_snapshot, loop",
    "vmware.vmware.vm_snapshot, async",
    "community.vmware.vmware_guest_snapshot, loop",
    "community.vmware.vmware_guest_snapshot, async",
)


@dataclass(frozen=True)
class Case:
    """`vms` eligible VMs, evenly on `vcenters`; creation and removal take `seconds` each.

    They lie on `datasets` children of one dataset, each with a datastore. `in_flight` is how many tasks a vCenter is
    given at once. `straggler`: the creation for one VM takes so long instead (seconds). `others`: so many VMs more in
    the inventory, on another datastore. `credentials`: so many are stored. `latency`: seconds until a vCenter has
    answered the call that starts a task. `vm_timeout` (seconds) and `wave_size`: the module's options; 0 leaves them as
    they are.
    """

    name: str
    vms: int
    seconds: float
    in_flight: int = 32
    vcenters: int = 1
    straggler: float = 0.0
    others: int = 0
    credentials: int = 1
    latency: float = 0.0
    vm_timeout: float = 0.0
    wave_size: int = 0
    datasets: int = 1
    systems: tuple[str, ...] = (ENGINE,)

    @property
    def limit(self) -> float:
        """The shortest hold window that is possible (seconds): all rounds of creations, and all of removals.

        0 for waves, which have a window each. A straggler that is waited for no longer than `vm_timeout` has its
        snapshot removed when it comes.
        """
        if self.wave_size:
            return 0.0
        each = math.ceil(self.vms / self.vcenters / self.in_flight) * self.seconds
        if self.vm_timeout and self.straggler > self.vm_timeout:
            return max(self.vm_timeout + each, self.straggler + self.seconds)
        return max(each, self.straggler) + each

    @property
    def sequential_limit(self) -> float:
        """The shortest that one after the other can be (seconds)."""
        return 2 * self.vms * self.seconds


WITH_PEERS = (ENGINE, SEQUENTIAL, *PEERS)
WITH_SEQUENTIAL = (ENGINE, SEQUENTIAL)


def _sizes() -> list[Case]:
    cases = []
    for vms in (10, 100, 1000):
        for seconds in (0.0, 0.5, 2.0):
            in_flight = 64 if vms == 1000 else 32
            systems = WITH_PEERS if vms == 10 or (vms, seconds) == (100, 2.0) else WITH_SEQUENTIAL
            cases.append(Case(f"{vms} VMs at {seconds:g} s", vms, seconds, in_flight, systems=systems))
    return cases


FULL: list[Case] = [
    *_sizes(),
    Case("100 VMs at 2 s, 8 in flight", 100, 2.0, 8),
    Case("100 VMs at 2 s, 100 in flight", 100, 2.0, 100),
    Case("100 VMs at 2 s, calls take 30 ms", 100, 2.0, 32, latency=0.03),
    Case("1000 VMs at 0.5 s, calls take 20 ms", 1000, 0.5, 64, latency=0.02),
    Case("100 VMs at 2 s, 100 in flight, calls take 30 ms", 100, 2.0, 100, latency=0.03),
    Case("a straggler of 30 s among 100 VMs", 100, 0.5, 32, straggler=30.0),
    Case("a straggler of 30 s, vm_timeout 5 s", 100, 0.5, 32, straggler=30.0, vm_timeout=5.0),
    Case("a straggler of 30 s, four waves", 100, 0.5, 32, straggler=30.0, wave_size=25, datasets=4),
    Case("100 VMs of an inventory of 100", 100, 0.0),
    Case("100 VMs of an inventory of 10,000", 100, 0.0, others=9900),
    Case("1 vCenter, 10 credentials", 10, 2.0, credentials=10, datasets=10),
    Case("10 vCenters, 100 credentials", 100, 2.0, vcenters=10, credentials=100, datasets=10),
]

# What CI runs: requests and ratios to a limit that leaves room for a busy machine.
SMALL: list[Case] = [
    Case("20 VMs at 0.5 s", 20, 0.5, 32, systems=WITH_SEQUENTIAL),
    Case("100 VMs of an inventory of 100", 100, 0.0),
    Case("100 VMs of an inventory of 2,000", 100, 0.0, others=1900),
]
