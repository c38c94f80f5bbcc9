# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A discrete-event simulation (simpy) of the load on the vCenters of a fleet of storage hosts with the same schedule.

Each storage host starts its run at the time that schedule and jitter define. It creates VMware snapshots within the
limits of its task, takes its ZFS snapshot, and removes the VMware snapshots. A vCenter works on a limited number of
operations at a time and queues the others. The simulation does not include that a vCenter slows down under load, nor
the load from other clients.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from statistics import median, quantiles
from typing import Any, Generator, Iterator, Sequence

import simpy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Limits
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.calendar import (
    LONGEST_JITTER,
    Schedule,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.occurrences import next_due

Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Fleet:
    """The assumed fleet. Times are in seconds. docs/scaling.md gives the source of each figure."""

    vms: tuple[int, ...] = (40_000, 20_000, 10_000, 10_000, 8_000, 4_000, 3_000, 2_000, 2_000, 1_000)  # of each vCenter
    vms_per_storage_host: int = 100  # on average; some have three times as many
    esxi_hosts: int = 16  # that run the VMs of one storage host
    operations: int = 640  # that a vCenter works on at a time, before it queues
    sessions: int = 2_000  # that a vCenter accepts
    creation: float = 2.0  # the median of a log-normal distribution
    removal: float = 2.0  # also the median
    spread: float = 0.5  # sigma of both: one in 20 takes 2.3 times the median
    preparation: float = 2.0  # from the start of a run to its first request: login, matching, plan
    zfs_snapshot: float = 1.0  # including the check of each VM


@dataclass(frozen=True)
class Vm:
    esxi_host: int
    creation: float
    removal: float


@dataclass(frozen=True)
class StorageHost:
    place: float  # within the jitter, from 0 to 1
    vms: tuple[Vm, ...]


class Vcenter:
    """A simulated vCenter, with its operations (in progress and queued) and its open sessions."""

    def __init__(self, environment: simpy.Environment, fleet: Fleet) -> None:
        self.workers = simpy.Resource(environment, fleet.operations)
        self.in_flight = self.most_in_flight = self.done = 0
        self.sessions = self.most_sessions = 0

    def ask(self, change: int) -> None:
        self.in_flight += change
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.done += change < 0

    def log_in(self, change: int) -> None:
        self.sessions += change
        self.most_sessions = max(self.most_sessions, self.sessions)


def simulate(fleet: Fleet, jitter: int, seed: int = 1, schedule: Schedule | None = None) -> dict[str, Any]:
    """Simulate one run of each storage host. The same seed gives the same VMs and the same work for every jitter.

    Returns plain data: a list `vcenters` with the figures of each, and `hold_windows` of all storage hosts, in seconds.
    """
    schedule = schedule or Schedule("0", "2")
    schedule.check_jitter(jitter)
    due = next_due(schedule, time.time())
    assert due is not None
    seen = [_simulate_vcenter(fleet, vms, jitter, f"{seed} {number}") for number, vms in enumerate(fleet.vms)]
    return {
        "jitter": jitter,
        "due": time.strftime("%H:%M", time.localtime(due)),
        "hold_windows": sorted(window for one in seen for window in one.pop("windows")),
        "vcenters": seen,
    }


def _simulate_vcenter(fleet: Fleet, vms: int, jitter: int, seed: str) -> dict[str, Any]:
    hosts = list(_storage_hosts(fleet, vms, random.Random(seed)))
    environment = simpy.Environment()
    vcenter = Vcenter(environment, fleet)
    windows: list[float] = []
    turns = [environment.process(_turn(environment, fleet, vcenter, host, jitter, windows)) for host in hosts]
    curve: list[tuple[int, int]] = []
    environment.process(_watch(environment, vcenter, curve))
    environment.run(simpy.AllOf(environment, turns))
    return {
        "vms": vms,
        "storage_hosts": len(hosts),
        "operations": vcenter.done,
        "most_in_flight": vcenter.most_in_flight,
        "seconds_queued": sum(in_flight > fleet.operations for in_flight, _sessions in curve),
        "most_sessions": vcenter.most_sessions,
        "over_after": round(environment.now, 1),
        "windows": windows,
        "in_flight": [in_flight for in_flight, _sessions in curve],
        "sessions": [sessions for _in_flight, sessions in curve],
    }


def _storage_hosts(fleet: Fleet, vms: int, draw: random.Random) -> Iterator[StorageHost]:
    count = max(1, round(vms / fleet.vms_per_storage_host))
    sizes = [draw.gammavariate(4.0, 1.0) for _unused in range(count)]
    owners = draw.choices(range(count), weights=sizes, k=vms)
    for number in range(count):
        yield StorageHost(draw.random(), tuple(_vm(fleet, draw) for _unused in range(owners.count(number))))


def _vm(fleet: Fleet, draw: random.Random) -> Vm:
    creation, removal = (
        seconds * draw.lognormvariate(0.0, fleet.spread) for seconds in (fleet.creation, fleet.removal)
    )
    return Vm(draw.randrange(fleet.esxi_hosts), creation, removal)


def _turn(
    environment: simpy.Environment,
    fleet: Fleet,
    vcenter: Vcenter,
    host: StorageHost,
    jitter: int,
    windows: list[float],
) -> Process:
    yield environment.timeout(host.place * jitter)
    vcenter.log_in(+1)
    yield environment.timeout(fleet.preparation)
    begun = environment.now
    yield _phase(environment, vcenter, [(vm.esxi_host, vm.creation) for vm in host.vms])
    yield environment.timeout(fleet.zfs_snapshot)
    yield _phase(environment, vcenter, [(vm.esxi_host, vm.removal) for vm in host.vms])
    windows.append(round(environment.now - begun, 2))
    vcenter.log_in(-1)


def _phase(environment: simpy.Environment, vcenter: Vcenter, operations: Sequence[tuple[int, float]]) -> simpy.Event:
    """All creations or all removals of a run (ESXi host, seconds), within the limits of a task."""
    waiting, busy = list(reversed(operations)), Counter[int]()
    flows = (_flow(environment, vcenter, waiting, busy) for _unused in range(Limits().per_vcenter))
    return simpy.AllOf(environment, [environment.process(flow) for flow in flows])


def _flow(
    environment: simpy.Environment, vcenter: Vcenter, waiting: list[tuple[int, float]], busy: Counter[int]
) -> Process:
    """Work on one operation at a time, until the rest is only for busy hosts; the flows of those hosts handle it."""
    most = Limits().per_host
    while True:
        place = next((at for at in range(len(waiting) - 1, -1, -1) if busy[waiting[at][0]] < most), None)
        if place is None:
            return
        host, seconds = waiting.pop(place)
        busy[host] += 1
        vcenter.ask(+1)
        with vcenter.workers.request() as worker:
            yield worker
            yield environment.timeout(seconds)
        vcenter.ask(-1)
        busy[host] -= 1


def _watch(environment: simpy.Environment, vcenter: Vcenter, curve: list[tuple[int, int]]) -> Process:
    while True:
        curve.append((vcenter.in_flight, vcenter.sessions))
        yield environment.timeout(1.0)


def summary(fleet: Fleet, found: dict[str, Any]) -> dict[str, Any]:
    """The main figures of a simulation: those of the worst vCenter, and the hold windows of the storage hosts."""
    windows, seen = found["hold_windows"], found["vcenters"]
    return {
        "jitter": found["jitter"],
        "operations": sum(one["operations"] for one in seen),
        "most_in_flight": max(one["most_in_flight"] for one in seen),
        "vcenters_above_the_limit": sum(one["most_in_flight"] > fleet.operations for one in seen),
        "seconds_queued": max(one["seconds_queued"] for one in seen),
        "most_sessions": max(one["most_sessions"] for one in seen),
        "hold_window": {
            "median": median(windows),
            "p99": quantiles(windows, n=100, method="inclusive")[98] if len(windows) > 1 else windows[0],
            "longest": windows[-1],
        },
        "over_after": max(one["over_after"] for one in seen),
    }


def rule(fleet: Fleet, vms: int) -> int:
    """The jitter (seconds) with which a vCenter with `vms` VMs has 150 operations in flight on average."""
    return min(LONGEST_JITTER, math.ceil(vms * seconds_per_vm(fleet) / 150))


def seconds_per_vm(fleet: Fleet) -> float:
    """The average time for both operations of one VM."""
    return (fleet.creation + fleet.removal) * math.exp(fleet.spread**2 / 2)


def most_by_rule(fleet: Fleet, vms: int, nights: int) -> int:
    """The maximum in flight on a vCenter with `vms` VMs and the jitter of the rule, over `nights` simulations."""
    alone = replace(fleet, vms=(vms,))
    draws = (simulate(alone, rule(fleet, vms), seed) for seed in range(nights))
    return max(int(found["vcenters"][0]["most_in_flight"]) for found in draws)


def assumptions(fleet: Fleet) -> dict[str, Any]:
    """The fleet as plain data, with derived figures."""
    hosts = sum(max(1, round(vms / fleet.vms_per_storage_host)) for vms in fleet.vms)
    return {**asdict(fleet), **asdict(Limits()), "storage_hosts": hosts, "seconds_per_vm": seconds_per_vm(fleet)}
