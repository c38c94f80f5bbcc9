# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the first VMware snapshot to the sealed record: hold the VMs, take the ZFS snapshot, release the VMs, raise its
record.

Whatever happens in between, the removals are carried out; what cannot be removed stays in the journal for recovery. No
record claims anything before it is proven, and nothing about a record keeps a VM on hold.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Sequence

from ..errors import DatasetNotFound, PolicyRefused, QuiesceError, RunFailed, ZfsTimeout
from ..planning.plan import NOTHING, Plan
from ..planning.problem import Problem, texts
from ..planning.request import Request
from ..planning.server_logins import ServerLogin
from ..records.levels import CRASH
from ..records.record import Record
from ..state import identity
from ..state.engine import Engine
from ..state.journal import ignore_registry_errors
from ..state.journal_entries import ENDED, RELEASING, Entry
from ..text import counted, printable, vm_on
from ..zfs import snapshots
from . import result
from .gone_datasets import without_gone
from .look import Look
from .looks import Looks
from .quiesce import Hold, Quiesce, holds_of
from .release import Release, Removal
from .run_snapshots import RunSnapshots
from .seal import records, seal
from .side_by_side import Pending, SideBySide
from .stop import Stop

_READ_AHEAD = 100  # VMs of a server that are read while others are being held
_LEAST_ZFS_TIME = 2.0  # seconds that have to be left for the ZFS snapshot; with less the run gives up before it
_LOOK_TIME = 10.0  # seconds that a server has, once the ZFS snapshot was seen, to show what became of the VMs ...
_LEAST_LOOK_TIME = 2.0  # ... and that it has when all the time of the hold is used up


class HoldRun:
    """The steps that change something of a run that the journal knows, for a plan that no policy forbids."""

    def __init__(
        self, engine: Engine, request: Request, run: str, plan: Plan, logins: Sequence[ServerLogin], stop: Stop
    ) -> None:
        self._engine, self._request, self._id, self._plan = engine, request, run, plan
        self._stop, self._policy = stop, request.policy
        self._deadline = time.monotonic() + self._policy.max_hold
        self._name = identity.snapshot_name(run)
        self._holds = [Hold.planned(member) for member in plan.members]
        self._looks = Looks(plan, self._holds, self._name)
        self._refused = ""  # why the policy does not let the run go on
        self._snapshots = RunSnapshots(
            Record(run, engine.host.id, request.task, vmware_snapshot=self._name), plan.snapshots
        )
        self._logins = {credential.id: login for login in logins for credential in login.credentials}
        self._unread: dict[int, int] = {}  # VMs of each site whose new state was not read yet
        self._work = SideBySide(logins)

    def execute(self) -> dict[str, Any]:
        failure: QuiesceError | None = None
        try:
            try:
                self._quiesce()
                self._look_first()
                self._take()
            except QuiesceError as error:
                failure = error
            finally:
                releases = self._begin_release()
            try:
                if self._snapshots.seen:
                    failure = self._conclude()
            finally:
                left = self._end_release(releases)
        finally:
            self._work.close()
        return self._finish(failure, left)

    # ---- Holding the VMs

    def _quiesce(self) -> None:
        """Hold every VM that the plan holds. All intents are on disk before the first VMware snapshot is asked for."""
        to_hold = [hold for hold in self._holds if hold.member.action != NOTHING]
        for hold, entry in zip(to_hold, self._engine.journal.intend([self._entry(hold) for hold in to_hold])):
            hold.entry = entry
        self._engine.report(f"Quiescing {counted(len(to_hold), 'VM')}")
        description = identity.description(self._engine.host, self._id, self._plan.snapshots[0])

        def quiesce(login: ServerLogin) -> None:
            holds = [hold for hold in holds_of(login, self._holds) if hold.entry]
            login.session.open_connections(min(len(holds), self._policy.limits.per_vcenter))
            Quiesce(
                session=login.session,
                journal=self._engine.journal,
                policy=self._policy,
                name=self._name,
                description=description,
                deadline=self._deadline - _LEAST_ZFS_TIME,
                give_up=self._give_up,
                stopped=self._stop.asked,
                holds=holds,
                made=partial(self._read_ahead, login),
            ).run()

        # A server that does not answer must not keep the VMs of the others on hold.
        self._work.work(quiesce).wait(until=lambda: self._stop.asked() or time.monotonic() >= self._deadline)
        self._go_on()

    def _read_ahead(self, login: ServerLogin, made: int) -> None:
        """Read what many VMs have become while others are still waited for: the first look has less to read then."""
        self._unread[id(login)] = self._unread.get(id(login), 0) + made
        if self._unread[id(login)] >= _READ_AHEAD and login.watch is not None:
            self._unread[id(login)] = 0
            self._work.look_at(login, login.watch.states)

    def _give_up(self, reason: str) -> None:
        self._refused = self._refused or reason
        self._stop.ask(reason)

    def _entry(self, hold: Hold) -> Entry:
        session = self._logins[hold.member.credential].session
        return Entry(
            run=self._id,
            hostname=session.endpoint.hostname,
            port=session.endpoint.port,
            vm_moid=hold.member.moid,
            instance_uuid=hold.member.instance_uuid,
            vm_name=hold.member.name,
            name=self._name,
            username=session.username,
            needed_consolidation=hold.member.needed_consolidation,
        )

    def _look_first(self) -> None:
        """Find out what each VM has reached, and raise RunFailed when the policy forbids that."""
        looks = self._work.look(self._looks.first)
        for login, look in looks.wait(until=lambda: time.monotonic() >= self._deadline - _LEAST_ZFS_TIME):
            self._looks.take_first(login, look)
        self._go_on()
        self._refuse()

    # ---- The ZFS snapshot

    def _take(self) -> None:
        """One atomic ZFS snapshot that claims nothing. It counts once it was seen, and only while the VMs are held."""
        self._engine.report(f"Taking {counted(len(self._plan.snapshots), 'ZFS snapshot')}")
        try:
            self._create()
        except DatasetNotFound as error:
            self._plan = without_gone(
                self._engine.zfs, self._plan, self._holds, error, max(0.0, self._deadline - time.monotonic())
            )
            self._looks.datasets, self._snapshots.names = frozenset(self._plan.datasets), self._plan.snapshots
            self._create()
        self._snapshots.seen = True

    def _create(self) -> None:
        zfs, names, limit = self._engine.zfs, self._plan.snapshots, self._deadline - time.monotonic()
        try:
            snapshots.create(zfs, names, self._snapshots.record.first(), timeout=limit, hurry=self._stop.asked)
        except ZfsTimeout:
            # It may have been taken all the same. One that is first seen after the VMs are released stays crash.
            if not self._snapshots.find(zfs, _LEAST_LOOK_TIME):
                raise

    # ---- Releasing the VMs, each server's as soon as it was looked at again

    def _begin_release(self) -> Pending[dict[int, Removal]]:
        now = time.monotonic()
        self._look_until = now + min(_LOOK_TIME, max(_LEAST_LOOK_TIME, self._deadline - now))
        self._second: Pending[Look] | None = None
        if self._snapshots.seen:
            self._second = self._work.look(self._looks.second)
        return self._work.work(partial(self._release, deadline=now + self._policy.max_hold))

    def _look_is_over(self) -> bool:
        return time.monotonic() >= self._look_until

    def _release(self, login: ServerLogin, deadline: float) -> dict[int, Removal]:
        """Remove every VMware snapshot of the site that exists or may exist; by hold, what became of each."""
        if self._second is not None:
            self._second.wait_at(login, until=self._look_is_over)
        # What to remove is decided here, in the site's own thread: by now nothing is created there any more.
        removals = {id(hold): self._removal(hold) for hold in holds_of(login, self._holds) if hold.started is not None}
        if removals:
            Release(login.session, self._engine.journal, self._policy.limits, deadline).run(list(removals.values()))
        unasked = [hold.entry for hold in holds_of(login, self._holds) if hold.entry and hold.started is None]
        ignore_registry_errors(lambda: self._engine.journal.gone(dict.fromkeys(unasked, "it was never asked for")))
        return removals

    def _removal(self, hold: Hold) -> Removal:
        return Removal(
            entry=hold.entry,
            vm_moid=hold.member.moid,
            name=self._name,
            instance_uuid=hold.member.instance_uuid,
            host_moid=hold.member.host_moid,
            snapshot_moid=hold.snapshot_moid,
            creation=hold.creation,
            needed_consolidation=hold.member.needed_consolidation,
        )

    def _end_release(self, releases: Pending[dict[int, Removal]]) -> list[str]:
        """Wait until all is removed that can be; return in words what is still there."""
        removals: dict[int, Removal] = {}
        for _unused, found in releases.wait():
            removals.update(found or {})
        left = []
        for hold in self._holds:
            removal = removals.get(id(hold))
            if removal is None:
                continue
            hold.released = removal.released
            if not removal.gone:
                vm = vm_on(hold.member.name, hold.member.server)
                left.append(f"'{self._name}' of the {vm}: {removal.reason}")
            told = removal.reason if removal.gone else f"its VMware snapshot is left: {removal.reason}"
            hold.reason = "; ".join(filter(None, (hold.reason, removal.reason and told)))
            if removal.unconsolidated:
                self._snapshots.notes.append(f"The {vm_on(hold.member.name, hold.member.server)}: {removal.reason}.")
        released = sum(removal.gone and removal.existed for removal in removals.values())
        failed = f", and could not release {counted(len(left), 'VM')}" if left else ""
        self._engine.report(f"Released {counted(released, 'VM')}{failed}")
        return left

    # ---- The record, beside the release

    def _conclude(self) -> QuiesceError | None:
        """Raise the record to what both looks have shown, or destroy what the policy forbids; return what failed."""
        if not self._snapshots.createtxgs:
            self._snapshots.find(self._engine.zfs, _LOOK_TIME)
        better = [hold for hold in self._holds if hold.level != CRASH]
        for login, look in self._second.wait(until=self._look_is_over) if self._second is not None else ():
            self._looks.take_second(login, look)
        lost = [hold for hold in better if hold.level == CRASH]
        ignore_registry_errors(lambda: self._engine.journal.set_state(self._id, RELEASING))
        try:
            self._refuse()
        except PolicyRefused as error:
            self._snapshots.destroy(self._engine.zfs, _LOOK_TIME)
            return error
        problems = self._looks.problems
        problems += [self._problem_of(hold) for hold in lost]
        self._snapshots.records = records(self._snapshots.record, self._plan.snapshots, self._holds, problems)
        self._snapshots.unsealed, unwritten = seal(
            self._engine, self._id, self._snapshots.records, self._snapshots.createtxgs
        )
        if unwritten:
            self._snapshots.notes.append(f"The records were set, but could not be written to the journal: {unwritten}.")
        return self._snapshots.failure()

    def _problem_of(self, hold: Hold) -> Problem:
        """A VM that did not last until the second look, named where people look first."""
        text = f"The VM '{printable(hold.member.name, 80)}': {hold.reason}"
        return Problem(text, hold.datasets)

    # ---- The end

    def _finish(self, failure: QuiesceError | None, left: list[str]) -> dict[str, Any]:
        done = result.of_run(self._id, self._plan, self._holds, self._looks.problems, self._snapshots, left)
        if left:
            done["problems"].append(f"{counted(len(left), 'VMware snapshot')} could not be removed: {'; '.join(left)}")
        ignore_registry_errors(lambda: self._engine.journal.end_run(self._id, done, ENDED))
        if failure is not None:
            released = "; the VMs have been released" if not left else f"; {done['problems'][-1]}"
            kind = PolicyRefused if isinstance(failure, PolicyRefused) else RunFailed
            raise kind(self._snapshots.what_happened(failure.problem) + released, failure.remedy, **done) from failure
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
            kind = PolicyRefused if self._stop.reason == self._refused else RunFailed
            raise kind(self._stop.reason, "Mend its cause and run it again")
        if time.monotonic() >= self._deadline - _LEAST_ZFS_TIME:
            raise RunFailed(
                f"the VMs were not ready within max_hold ({self._policy.max_hold:g} seconds)",
                "Raise max_hold, lower vm_timeout so that slow VMs are left behind, or raise the limits",
            )

    def _refuse(self) -> None:
        """Raise PolicyRefused when the policy forbids what the looks have shown."""
        forbidden = self._policy.forbidden()
        new = self._looks.problems[len(self._plan.problems) :]
        refusals = texts(new) if "vm" in forbidden else []
        refusals += [
            f"the {vm_on(hold.member.name, hold.member.server)}: {hold.reason}"
            for hold in self._holds
            if hold.hindrance in forbidden
        ]
        if refusals:
            raise PolicyRefused(
                "; ".join(refusals).rstrip("."), "Mend it, or relax on_vm_failure or on_quiesce_failure"
            )
