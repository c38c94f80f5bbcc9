# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the plan of a drill. It reads everything that can forbid the drill, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterable, Sequence

from ..errors import InputError, QuiesceError
from ..planning.selection import datasets_around
from ..records.verdicts import FAILED, INCONCLUSIVE, NOT_TRIED
from ..restore.datastore_place import find_places, first
from ..restore.host_choice import HostChoice
from ..restore.obstacles import obstacles
from ..restore.plan import RestorePlan
from ..restore.planner import plan_vms
from ..restore.request import DISCONNECT, RestoreRequest
from ..restore.sources import Source, all_sources, find_sources
from ..state.engine import Engine
from ..state.restores import DRILL
from ..text import printable
from ..vsphere.host_capacity import Capacity
from ..vsphere.session import Session
from ..zfs.datasets import Dataset
from ..zfs.names import is_within, pool_of
from .command import check_command
from .plan import DrillPlan, drilled
from .request import DrillRequest
from .result import VmDrilled

_AGENT = "vCLS"  # begins the names of VMs that vSphere creates for itself
NOT_IN_SAMPLE = "It is not in the sample of this drill."


def make_plan(engine: Engine, session: Session, request: DrillRequest) -> DrillPlan:
    """Return the plan. Its `refusals` forbid the drill. Raises InputError for an unknown snapshot or VM."""
    request.check()
    check_command(engine.zfs.host, request.command)
    datasets = datasets_around(engine.zfs, pool_of(request.snapshot.dataset))
    sources, problems = _sources(engine, request, datasets)
    planner = _Planner(engine, session, request, datasets)
    chosen = planner.bootable(planner.in_turn(sources, engine.drills.turns()))
    return planner.plan(chosen, problems)


def _sources(engine: Engine, request: DrillRequest, datasets: Sequence[Dataset]) -> tuple[list[Source], list[str]]:
    """Return the VMs of the request, and what could not be read. Raises InputError if there are none."""
    if request.vms:
        return find_sources(engine.zfs, request.snapshot, request.vms, datasets), []
    found, problems = all_sources(engine.zfs, request.snapshot, datasets)
    if not found:
        raise InputError(
            f"No VM was found in {request.snapshot}" + "".join(f"; {one.rstrip('.')}" for one in problems[:3]),
            "Choose another ZFS snapshot",
        )
    return found, problems


@dataclass
class _Planner:
    """Collects the plan. `judged` are the VMs that are not powered on, each with its verdict."""

    engine: Engine
    session: Session
    request: DrillRequest
    datasets: Sequence[Dataset]
    judged: list[VmDrilled] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def in_turn(self, sources: Sequence[Source], turns: Iterable[str]) -> list[Source]:
        """Return the VMs of the sample: those that had no turn, and those whose last turn is the longest ago.

        `turns` are the VMs that had a turn, the longest ago first.
        """
        candidates = [one for one in sources if not self._left_out(one)]

        order = {vm: number for number, vm in enumerate(turns, 1)}
        ordered = sorted(candidates, key=lambda source: order.get(drilled(source).key, 0))
        count = self.request.sample or len(ordered)
        self.judged += [drilled(one, NOT_TRIED, NOT_IN_SAMPLE) for one in ordered[count:]]
        return ordered[:count]

    def _left_out(self, source: Source) -> bool:
        reason = ""
        if source.vm.configuration.template:
            reason = "It is a template, which cannot be powered on."
        elif source.name.startswith(_AGENT):
            reason = "It is a VM of vSphere itself."
        if reason:
            self.judged.append(drilled(source, NOT_TRIED, reason))
        return bool(reason)

    def bootable(self, sources: Sequence[Source]) -> list[Source]:
        """Return the VMs whose files do not forbid a restore. A restore of the others fails, and so does the drill."""
        found = []
        for source in sources:
            forbidding = obstacles(source.vm, DRILL)
            if forbidding:
                self.judged.append(drilled(source, FAILED, " ".join(forbidding)))
            else:
                found.append(source)
        return found

    def plan(self, sources: Sequence[Source], problems: Sequence[str]) -> DrillPlan:
        restore: RestorePlan | None = None
        memory: int | None = None
        try:
            host = self._host() if sources else None
            if host is not None:
                memory = min(filter(None, (self.request.memory, host.memory_free)), default=None)
                restore = self._restore(self._fitting(sources, memory, host), host)
        except QuiesceError as error:
            self.refusals.append(str(error))
        return DrillPlan(
            self.request,
            restore,
            tuple(self.judged),
            memory,
            tuple(dict.fromkeys(self.refusals)),
            tuple(dict.fromkeys(problems)),
            restore.warnings if restore is not None else (),
        )

    def _host(self) -> Capacity:
        """Return the host of the drill. Raises InputError if no host can take it."""
        request, dataset = self.request, self.request.snapshot.dataset
        choice = HostChoice(self.session, request.host)
        places = find_places(self.session, self.engine.zfs, self.datasets, request.aliases)
        here = [place for name in sorted(places) if is_within(name, dataset) for place in places[name]]
        if not here and request.host:
            return choice.capacity(choice.one(), "3")
        place = first(here, dataset)
        network = "" if request.network == DISCONNECT else request.network
        return choice.roomiest(choice.hosts(place.datacenter), 1, place.version, network)

    def _fitting(self, sources: Sequence[Source], memory: int | None, host: Capacity) -> list[Source]:
        """Return the VMs that the memory is enough for."""
        found = []
        for source in sources:
            needed = source.vm.configuration.memory
            if memory is not None and needed > memory:
                why = f"It needs {needed} MB of memory, but the drill can use only {memory} MB on"
                self.judged.append(drilled(source, INCONCLUSIVE, f"{why} {printable(host.host.name, 80)}."))
            else:
                found.append(source)
        return found

    def _restore(self, sources: Sequence[Source], host: Capacity) -> RestorePlan | None:
        """Return the plan for the VMs. One that vSphere forbids to restore does not hinder the others."""
        plan = self._planned(sources, host) if sources else None
        if plan is not None and plan.refusals and len(sources) > 1:
            each = [(source, self._planned([source], host)) for source in sources]
            bad = [(source, one) for source, one in each if one.refusals]
            if len(bad) < len(sources):
                self.judged += [drilled(source, INCONCLUSIVE, " ".join(one.refusals)) for source, one in bad]
                plan = self._planned([source for source, one in each if not one.refusals], host)
        if plan is not None:
            self.refusals += plan.refusals
            self.refusals += self._shared_networks(plan)
        return plan

    def _planned(self, sources: Sequence[Source], host: Capacity) -> RestorePlan:
        request = self.request
        wanted = RestoreRequest(
            request.snapshot,
            tuple(source.name for source in sources),
            DRILL,
            host=host.host.name,
            network=request.network,
            power_on=True,
            server=request.server,
            clients=request.clients,
            aliases=request.aliases,
            boot_timeout=request.boot_timeout,
        )
        return plan_vms(self.session, self.engine.zfs, wanted, sources, self.datasets)

    def _shared_networks(self, plan: RestorePlan) -> list[str]:
        """Return why the port group is not isolated: an original VM uses it, so its addresses would be used twice."""
        return [
            f"The original of '{printable(vm.source.name, 80)}' uses the port group"
            f" '{printable(vm.network.name, 80)}'; name a port group that only drills use."
            for vm in plan.vms
            if vm.network is not None
            and {vm.network.key, vm.network.name} & {card.network for card in vm.source.vm.configuration.cards}
        ]
