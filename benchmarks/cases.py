# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases to measure, as plain data. In each case, every system does the same job in the same vSphere inventory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

ENGINE = "quiesce.vmware_zfs"
SCALE = "1,000 datasets, 10,000 ZFS snapshots"  # measured by zfs_scale.py
SEQUENTIAL = "one VM at a time"  # as TrueNAS does
PEERS = (
    "vmware.vmware.vm_snapshot, loop",
    "vmware.vmware.vm_snapshot, async",
    "community.vmware.vmware_guest_snapshot, loop",
    "community.vmware.vmware_guest_snapshot, async",
)


# Policies that a site could have. Each VM of a case has the labels that stage.py gives it; the last policy matches all.
POLICIES: tuple[dict[str, Any], ...] = (
    {"match": {"name": "fw*"}, "accept": "crash"},
    {"match": {"tag": {"category": "backup", "name": "none"}}, "exclude": True},
    {"match": {"tag": {"category": "backup", "name": "crash"}}, "accept": "crash"},
    {"match": {"folder": "/DC0/vm/Databases"}, "quiesce": "required", "vm_timeout": 600},
    {"match": {"folder": "Appliances"}, "quiesce": "never"},
    {"match": {"resource_pool": "Realtime"}, "quiesce": "never"},
    {"match": {"attribute": {"name": "Role", "value": "database*"}}, "accept": "application"},
    {"match": {"attribute": {"name": "Owner", "value": "test"}}, "on_failure": "continue"},
    {"match": {"instance_uuid": "5029c0de-0000-4000-8000-000000000001"}, "exclude": True},
    {"match": {"name": "mail*", "tag": {"category": "backup", "name": "daily"}}, "on_failure": "fail"},
    {"match": {"name": "erp*"}, "on_span": "report"},
    {"match": {"tag": {"category": "backup", "name": "daily"}}, "quiesce": "preferred"},
)


@dataclass(frozen=True)
class Case:
    """`vms` eligible VMs, distributed evenly over `vcenters`; a creation and a removal take `seconds` each.

    The VMs are on `datasets` children of one dataset, each with its own datastore. `in_flight`: maximum number of tasks
    in flight per vCenter. `straggler`: duration of the creation for one of the VMs (seconds). `others`: number of
    additional VMs in the inventory, on another datastore. `credentials`: number of stored credentials. `latency`:
    duration of the call that starts a task (seconds). `vm_timeout` (seconds) and `wave_size`: options of the module; 0
    means the default. `policies`: number of policies (see POLICIES), which need every kind of label.
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
    policies: int = 0
    systems: tuple[str, ...] = (ENGINE,)

    @property
    def limit(self) -> float:
        """The minimum of the hold window (seconds): all rounds of creations, plus all rounds of removals.

        0 for waves, because each wave has its own hold window. If a straggler takes longer than `vm_timeout`, its
        VMware snapshot is removed immediately after the creation.
        """
        if self.wave_size:
            return 0.0
        each = math.ceil(self.vms / self.vcenters / self.in_flight) * self.seconds
        if self.vm_timeout and self.straggler > self.vm_timeout:
            return max(self.vm_timeout + each, self.straggler + self.seconds)
        return max(each, self.straggler) + each

    @property
    def sequential_limit(self) -> float:
        """The minimum for a system that handles one VM at a time (seconds)."""
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
    Case("100 VMs at 2 s, 30 ms per call", 100, 2.0, 32, latency=0.03),
    Case("1000 VMs at 0.5 s, 20 ms per call", 1000, 0.5, 64, latency=0.02),
    Case("100 VMs at 2 s, 100 in flight, 30 ms per call", 100, 2.0, 100, latency=0.03),
    Case("100 VMs, one takes 30 s", 100, 0.5, 32, straggler=30.0),
    Case("100 VMs, one takes 30 s, vm_timeout 5 s", 100, 0.5, 32, straggler=30.0, vm_timeout=5.0),
    Case("100 VMs, one takes 30 s, four waves", 100, 0.5, 32, straggler=30.0, wave_size=25, datasets=4),
    Case("100 VMs, inventory of 100", 100, 0.0),
    Case("100 VMs, inventory of 10,000", 100, 0.0, others=9900),
    Case("1 vCenter, 10 credentials", 10, 2.0, credentials=10, datasets=10),
    Case("10 vCenters, 100 credentials", 100, 2.0, vcenters=10, credentials=100, datasets=10),
]

# For CI: requests and ratios, with bounds that leave room for a busy machine.
SMALL: list[Case] = [
    Case("20 VMs at 0.5 s", 20, 0.5, 32, systems=WITH_SEQUENTIAL),
    Case("100 VMs, inventory of 100", 100, 0.0),
    Case("100 VMs, inventory of 2,000", 100, 0.0, others=1900),
]
