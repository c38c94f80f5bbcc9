# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the first VMware snapshot to the last removal: hold the VMs, take the ZFS snapshot, release the VMs.

Whatever happens in between, the removals are carried out; what cannot be removed stays in the journal for recovery.
"""

from __future__ import annotations

import time
from typing import Any, Sequence

from ..errors import QuiesceError, RunFailed, VSphereError, ZfsTimeout
from ..text import counted, printable, vm_on
from ..zfs import snapshots
from . import identity, record, result
from .confirm import confirm, not_held
from .consistency import CRASH, lowest
from .engine import Engine
from .journal import ENDED, LOST, RELEASING, SNAPSHOTTING, Entry, best_effort
from .plan import NOTHING, Plan
from .quiesce import Hold, Quiesce
from .release import Release, Removal
from .request import Request
from .side_by_side import SideBySide
from .sites import Site
from .stop import Stop

_LEAST_ZFS_TIME = 2.0  # seconds that have to be left for the ZFS snapshot; with less the run gives up before it
_LEAST_LOOK_TIME = 2.0  # seconds that servers have to show what became of the VMs, also when all the time is used up


class HoldRun:
    """The steps that change something of a run that the journal knows, for a plan that no policy forbids."""

    def __init__(
        self, engine: Engine, request: Request, run: str, plan: Plan, sites: Sequence[Site], stop: Stop
    ) -> None:
        self._engine, self._request, self._id, self._plan = engine, request, run, plan
        self._sites, self._stop = sites, stop
        self._policy = request.policy
        self._deadline = time.monotonic() + self._policy.max_hold
        self._name = identity.snapshot_name(run)
        self._holds = [Hold(member, level=member.level, reason=member.reason) for member in plan.members]
        self._taken: record.Record | None = None
        self._state = ENDED
        self._work = SideBySide(sites)

    def execute(self) -> dict[str, Any]:
        failure: QuiesceError | None = None
        try:
            self._quiesce()
            self._take()
        except QuiesceError as error:
            failure = error
        finally:
            left = self._release()
        self._work.close()
        return self._finish(failure, left)

    def _quiesce(self) -> None:
        """Hold every VM that the plan holds. All intents are on disk before the first VMware snapshot is asked for."""
        to_hold = [hold for hold in self._holds if hold.member.action != NOTHING]
        sessions = {credential.id: site.session for site in self._sites for credential in site.credentials}
        entries = [
            Entry(
                run=self._id,
                hostname=sessions[hold.member.credential].endpoint.hostname,
                port=sessions[hold.member.credential].endpoint.port,
                vm=hold.member.moid,
                instance_uuid=hold.member.instance_uuid,
                vm_name=hold.member.name,
                name=self._name,
                username=sessions[hold.member.credential].username,
            )
            for hold in to_hold
        ]
        for hold, entry in zip(to_hold, self._engine.journal.intend(entries)):
            hold.entry = entry
        self._engine.report(f"Quiescing {counted(len(to_hold), 'VM')}")
        description = identity.description(self._engine.host, self._id, self._plan.snapshots[0])

        def quiesce(site: Site) -> None:
            Quiesce(
                session=site.session,
                journal=self._engine.journal,
                policy=self._policy,
                name=self._name,
                description=description,
                deadline=self._deadline - _LEAST_ZFS_TIME,
                give_up=self._stop.ask,
                stopped=self._stop.asked,
                holds=[hold for hold in self._holds_of(site) if hold.entry],
            ).run()

        # A server that does not answer must not keep the VMs of the others on hold.
        self._work.run(quiesce, until=lambda: self._stop.asked() or time.monotonic() >= self._deadline)
        self._go_on()

    def _take(self) -> None:
        """One atomic ZFS snapshot, which carries what the last look at the VMs has shown."""
        problems = list(self._plan.problems)

        def look(site: Site) -> None:
            known = {moid for server, moid in self._plan.bystanders if server == site.session.server_id}
            known.update(hold.member.moid for hold in self._holds if hold.member.server_id == site.session.server_id)
            try:
                problems.extend(confirm(site, self._plan.datasets, self._holds_of(site), known, self._name))
            except VSphereError as error:
                problems.append(str(error))
                for hold in self._holds_of(site):
                    hold.level, hold.reason = CRASH, error.problem

        for site in self._work.run(look, until=lambda: time.monotonic() >= self._deadline - _LEAST_ZFS_TIME):
            reason = f"{site.server} did not answer when the VMs were looked at last"
            problems.append(reason)
            for hold in self._holds_of(site):
                hold.level, hold.reason = CRASH, reason
        self._go_on()
        self._refuse(problems[len(self._plan.problems) :])
        taken = record.Record(
            run=self._id,
            host=self._engine.host.id,
            consistency=lowest([CRASH] * bool(problems) + [hold.level for hold in self._holds]),
            complete=not problems and all(hold.level != CRASH for hold in self._holds if hold.member.wanted),
            held_until=record.last_second_before(time.time() + self._deadline - time.monotonic()),
            task=self._request.task,
            vmware_snapshot=self._name,
            vms=[result.vm_facts(hold) for hold in self._holds],
            problems=list(problems),  # a site that answers too late must not write to it
        )
        self._engine.report(f"Taking {counted(len(self._plan.snapshots), 'ZFS snapshot')}")
        self._engine.journal.set_state(self._id, SNAPSHOTTING)
        self._go_on()  # unless the journal was slow
        try:
            zfs, limit = self._engine.zfs, taken.held_until + 1 - time.time()
            snapshots.create(zfs, self._plan.snapshots, taken.properties(), timeout=limit, hurry=self._stop.asked)
        except ZfsTimeout:
            # It may still be taken, after the VMs are released: recovery lowers its record when it appears.
            self._state = LOST
            best_effort(lambda: self._engine.journal.set_state(self._id, LOST))
            raise
        self._taken = taken
        self._see_through(taken)
        best_effort(lambda: self._engine.journal.set_state(self._id, RELEASING))

    def _see_through(self, taken: record.Record) -> None:
        """Lower the record by what a look after the ZFS snapshot shows. Raises RunFailed when it cannot be lowered.

        The VMs are still held: once this is done the record is final, whatever becomes of the run.
        """
        worse: dict[tuple[str, str], str] = {}

        def look(site: Site) -> None:
            try:
                found = not_held(site, self._plan.datasets, self._holds_of(site), self._name)
                worse.update({(site.server, moid): reason for moid, reason in found.items()})
            except VSphereError as error:
                unknown(site, error.problem)

        def unknown(site: Site, problem: str) -> None:
            reason = f"whether it was held until the ZFS snapshot was taken is not known: {problem}"
            worse.update({(site.server, hold.member.moid): reason for hold in self._holds_of(site)})

        limit = max(self._deadline, time.monotonic() + _LEAST_LOOK_TIME)
        for site in self._work.run(look, until=lambda: time.monotonic() >= limit):
            unknown(site, f"{site.server} did not answer")
        new = [vm for vm in taken.vms if vm["level"] != CRASH and (vm["server"], vm["moid"]) in worse]
        for vm in new:
            record.lower(taken, f"The VM '{printable(vm['name'], 80)}': {worse[vm['server'], vm['moid']]}", [vm])
        for hold in self._holds:
            reason = worse.get((hold.member.server, hold.member.moid))
            if reason is not None and hold.level != CRASH:
                hold.level, hold.reason = CRASH, reason
        if not new:
            return
        try:
            left = max(_LEAST_ZFS_TIME, limit - time.monotonic())
            record.rewrite(self._engine.zfs, self._plan.snapshots, taken, timeout=left)
        except QuiesceError as error:
            self._state = LOST  # recovery lowers the record
            raise RunFailed(
                f"The record of {self._plan.snapshots[0]} says more than is true and could not be lowered: "
                f"{error.problem}",
                "Take it for crash-consistent; the next run or 'vmware-zfs recover' lowers its record",
            ) from error

    def _release(self) -> list[str]:
        """Remove every VMware snapshot that exists or may exist; return in words those that are still there."""
        removals: dict[int, Removal] = {}
        deadline = time.monotonic() + self._policy.max_hold

        def release(site: Site) -> None:
            # What to remove is looked at here, in the site's own thread: by now nothing is created there any more.
            mine = {id(hold): self._removal(hold) for hold in self._holds_of(site) if hold.started is not None}
            removals.update(mine)
            if mine:
                Release(site.session, self._engine.journal, self._policy.limits, deadline).run(list(mine.values()))
            unasked = [hold.entry for hold in self._holds_of(site) if hold.entry and hold.started is None]
            best_effort(lambda: self._engine.journal.gone(dict.fromkeys(unasked, "it was never asked for")))

        self._work.run(release)
        self._engine.report(f"Released {counted(len(removals), 'VM')}")
        left = []
        for hold in self._holds:
            removal = removals.get(id(hold))
            if removal is None:
                continue
            hold.released = removal.released
            if not removal.gone:
                vm = vm_on(hold.member.name, hold.member.server)
                left.append(f"'{self._name}' of the {vm}: {removal.reason}")
            elif removal.reason:
                hold.reason = "; ".join(filter(None, (hold.reason, removal.reason)))
        return left

    def _removal(self, hold: Hold) -> Removal:
        return Removal(
            entry=hold.entry,
            vm=hold.member.moid,
            name=self._name,
            instance_uuid=hold.member.instance_uuid,
            host=hold.member.host,
            snapshot=hold.snapshot,
            uncertain=hold.uncertain or not hold.snapshot,
            unanswered=hold.unanswered,
            twice=hold.twice,
        )

    def _finish(self, failure: QuiesceError | None, left: list[str]) -> dict[str, Any]:
        done = result.of_run(self._id, self._plan, self._holds, self._taken, left)
        best_effort(lambda: self._engine.journal.end_run(self._id, done, self._state))
        if left:
            done["problems"].append(f"{counted(len(left), 'VMware snapshot')} could not be removed: {'; '.join(left)}")
        if failure is not None:
            what = f"No ZFS snapshot was taken: {failure.problem}" if self._taken is None else failure.problem
            released = "; the VMs have been released" if not left else f"; {done['problems'][-1]}"
            raise RunFailed(what + released, failure.remedy, **done) from failure
        if left:
            raise RunFailed(
                done["problems"][-1],
                "Run 'vmware-zfs recover' when its cause is mended; it is tried every hour as well",
                **done,
            )
        return done

    def _go_on(self) -> None:
        """Raise RunFailed when the run was asked to stop, or when its time is up."""
        if self._stop.asked():
            raise RunFailed(self._stop.reason, "Mend its cause and run it again")
        if time.monotonic() >= self._deadline - _LEAST_ZFS_TIME:
            raise RunFailed(
                f"the VMs were not ready within max_hold ({self._policy.max_hold:g} seconds)",
                "Raise max_hold, lower vm_timeout so that slow VMs are left behind, or raise the limits",
            )

    def _refuse(self, problems: Sequence[str]) -> None:
        """Raise RunFailed when the policy forbids what the last look has shown."""
        forbidden = self._policy.forbidden()
        refusals = list(problems) if "vm" in forbidden else []
        refusals += [
            f"the {vm_on(hold.member.name, hold.member.server)}: {hold.reason}"
            for hold in self._holds
            if hold.hindrance in forbidden
        ]
        if refusals:
            raise RunFailed("; ".join(refusals).rstrip("."), "Mend it, or relax on_vm_failure or on_quiesce_failure")

    def _holds_of(self, site: Site) -> list[Hold]:
        mine = {credential.id for credential in site.credentials}
        return [hold for hold in self._holds if hold.member.credential in mine]
