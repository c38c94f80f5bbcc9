# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run from the first VMware snapshot to the sealed record: hold the VMs, take the ZFS snapshot, release the VMs, and
raise the record of the ZFS snapshot.

The VMware snapshots are removed whatever happens in between. Those that cannot be removed stay in the journal for
recovery. A record never claims a level before that level is proven, and no work on records delays the release of a VM.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Sequence

from ..errors import DatasetNotFound, PolicyRefused, QuiesceError, RunFailed, ZfsTimeout
from ..planning.plan import NOTHING, Plan
from ..planning.problem import Problem
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
from .run_result import RunResult
from .run_snapshots import RunSnapshots
from .seal import records, seal
from .side_by_side import Pending, SideBySide
from .stop import Stop

_READ_AHEAD = 100  # VMs of a server that are read in one call while the run still waits for others
_LEAST_ZFS_TIME = 2.0  # seconds that must be left for the ZFS snapshot; with less time the run gives up
_LOOK_TIME = 10.0  # seconds for a server to show its VMs once the ZFS snapshot exists ...
_LEAST_LOOK_TIME = 2.0  # ... and the minimum if max_hold is used up


class HoldRun:
    """Carries out a plan that the policy allows. The journal must contain the run."""

    def __init__(
        self, engine: Engine, request: Request, run: str, plan: Plan, logins: Sequence[ServerLogin], stop: Stop
    ) -> None:
        self._engine, self._request, self._id, self._plan = engine, request, run, plan
        self._stop, self._policy = stop, request.policy
        self._deadline = time.monotonic() + self._policy.max_hold
        self._name = identity.snapshot_name(run)
        self._holds = [Hold.planned(member) for member in plan.members]
        self._looks = Looks(plan, self._holds, self._name)
        self._refused = ""  # why the policy ends the run
        record = Record(run, engine.host.id, request.task, vmware_snapshot=self._name)
        self._snapshots = RunSnapshots(record, plan.snapshots)
        self._logins = {credential.id: login for login in logins for credential in login.credentials}
        self._unread: dict[int, int] = {}  # by login: VMs with a new VMware snapshot that were not read yet
        self._work = SideBySide(logins)

    def execute(self) -> tuple[RunResult, RunFailed | None]:
        """Returns the result, and the failure with the same result in its `details`."""
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

    # ---- Hold the VMs

    def _quiesce(self) -> None:
        """Hold the VMs of the plan. The journal has an entry for each before the first VMware snapshot is requested."""
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
                on_created=partial(self._read_ahead, login),
            ).run()

        # A server that does not answer must not keep the VMs of other servers on hold.
        self._work.work(quiesce).wait(until=lambda: self._stop.asked() or time.monotonic() >= self._deadline)
        self._check_stop()

    def _read_ahead(self, login: ServerLogin, count: int) -> None:
        """Read many new states while the run waits for other VMs, so that the first look has less to read."""
        self._unread[id(login)] = self._unread.get(id(login), 0) + count
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
        """Find the level that each VM has reached. Raises RunFailed if the policy forbids it."""
        looks = self._work.look(self._looks.first)
        for login, look in looks.wait(until=lambda: time.monotonic() >= self._deadline - _LEAST_ZFS_TIME):
            self._looks.take_first(login, look)
        self._check_stop()
        self._looks.require_allowed(self._policy)

    # ---- Take the ZFS snapshot

    def _take(self) -> None:
        """Take one atomic ZFS snapshot with a record that claims nothing.

        It counts only if it is seen while the VMs are still held.
        """
        self._engine.report(f"Taking {counted(len(self._plan.snapshots), 'ZFS snapshot')}")
        try:
            self._create()
        except DatasetNotFound as error:
            seconds = max(0.0, self._deadline - time.monotonic())
            self._plan = without_gone(self._engine.zfs, self._plan, self._holds, error, seconds)
            self._looks.datasets, self._snapshots.names = frozenset(self._plan.datasets), self._plan.snapshots
            self._create()
        self._snapshots.seen = True

    def _create(self) -> None:
        zfs, names, limit = self._engine.zfs, self._plan.snapshots, self._deadline - time.monotonic()
        try:
            snapshots.create(zfs, names, self._snapshots.record.first(), timeout=limit, hurry=self._stop.asked)
        except ZfsTimeout:
            # It may exist nevertheless. If it is found only after the VMs are released, it stays crash.
            if not self._snapshots.find(zfs, _LEAST_LOOK_TIME):
                raise

    # ---- Release the VMs of each server after the second look at it

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
        """Remove every VMware snapshot of the login that exists or may exist. Returns the removals by hold."""
        if self._second is not None:
            self._second.wait_at(login, until=self._look_is_over)
        # The login's own thread decides what to remove: this thread has finished all creations.
        holds = holds_of(login, self._holds)
        removals = {id(hold): self._removal(hold) for hold in holds if hold.started is not None}
        if removals:
            Release(login.session, self._engine.journal, self._policy.limits, deadline).run(list(removals.values()))
        unrequested = [hold.entry for hold in holds if hold.entry and hold.started is None]
        ignore_registry_errors(partial(self._engine.journal.gone, dict.fromkeys(unrequested, "it was never requested")))
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
        """Wait for the removals. Returns a text for each VMware snapshot that still exists."""
        removals: dict[int, Removal] = {}
        for _unused, removals_of_login in releases.wait():
            removals.update(removals_of_login or {})
        left = []
        for hold in self._holds:
            removal = removals.get(id(hold))
            if removal is None:
                continue
            hold.released = removal.released
            vm, reason = vm_on(hold.member.name, hold.member.server), removal.reason
            if not removal.gone:
                left.append(f"'{self._name}' of the {vm}: {reason}")
                reason = reason and f"its VMware snapshot could not be removed: {reason}"
            hold.reason = "; ".join(filter(None, (hold.reason, reason)))
            if removal.unconsolidated:
                self._snapshots.notes.append(f"The {vm}: {removal.reason}.")
        released = sum(removal.gone and removal.existed for removal in removals.values())
        failed = f", and could not release {counted(len(left), 'VM')}" if left else ""
        self._engine.report(f"Released {counted(released, 'VM')}{failed}")
        return left

    # ---- Raise the record while the VMs are released

    def _conclude(self) -> QuiesceError | None:
        """Raise the record to the level that both looks prove, or destroy the ZFS snapshot if the policy forbids it.

        Returns the failure.
        """
        if not self._snapshots.createtxgs:
            self._snapshots.find(self._engine.zfs, _LOOK_TIME)
        before = [hold for hold in self._holds if hold.level != CRASH]
        for login, look in self._second.wait(until=self._look_is_over) if self._second is not None else ():
            self._looks.take_second(login, look)
        lowered = [hold for hold in before if hold.level == CRASH and not hold.satisfied]
        ignore_registry_errors(partial(self._engine.journal.set_state, self._id, RELEASING))
        try:
            self._looks.require_allowed(self._policy)
        except PolicyRefused as error:
            self._snapshots.destroy(self._engine.zfs, _LOOK_TIME)
            return error
        problems = self._looks.problems
        # A VM that failed the second look must be among the problems of the result too.
        problems += [
            Problem(f"The VM '{printable(hold.member.name, 80)}': {hold.reason}", hold.datasets) for hold in lowered
        ]
        self._snapshots.records = records(self._snapshots.record, self._plan.snapshots, self._holds, problems)
        self._snapshots.unsealed, unwritten = seal(
            self._engine, self._id, self._snapshots.records, self._snapshots.createtxgs
        )
        if unwritten:
            self._snapshots.notes.append(f"The records were set, but could not be written to the journal: {unwritten}.")
        return self._snapshots.failure()

    # ---- Report

    def _finish(self, failure: QuiesceError | None, left: list[str]) -> tuple[RunResult, RunFailed | None]:
        done = result.of_run(self._plan, self._holds, self._looks.problems, self._snapshots, left)
        unreleased = f"{counted(len(left), 'VMware snapshot')} could not be removed: {'; '.join(left)}" if left else ""
        if unreleased:
            done.problems.append(unreleased)
        details = done.as_dict()
        ignore_registry_errors(partial(self._engine.journal.end_run, self._id, details, ENDED))
        if failure is not None:
            kind = PolicyRefused if isinstance(failure, PolicyRefused) else RunFailed
            problem = f"{self._snapshots.what_happened(failure.problem)}; {unreleased or 'the VMs have been released'}"
            failed = kind(problem, failure.remedy, **details)
            failed.__cause__ = failure
            return done, failed
        if unreleased:
            remedy = "Fix the cause and run 'vmware-zfs recover'; recovery also retries every hour"
            return done, RunFailed(unreleased, remedy, **details)
        return done, None

    def _check_stop(self) -> None:
        """Raise RunFailed if the run was asked to stop or its time is up."""
        if self._stop.asked():
            kind = PolicyRefused if self._stop.reason == self._refused else RunFailed
            raise kind(self._stop.reason, "Fix the cause and take the snapshot again")
        if time.monotonic() >= self._deadline - _LEAST_ZFS_TIME:
            raise RunFailed(
                f"the VMs were not ready within max_hold ({self._policy.max_hold:g} seconds)",
                "Raise max_hold or the limits, or lower vm_timeout so that the run does not wait for slow VMs",
            )
