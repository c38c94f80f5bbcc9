# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing VMware snapshots until they are seen to be gone: the second half of a run, and all of a recovery."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Sequence

from ..errors import ConnectionFailed, PermissionDenied, VSphereError, VSphereFault
from ..vsphere import faults, vm_snapshots
from ..vsphere.session import Session
from ..vsphere.vm_snapshots import VmState
from .creation import Creation
from .drive import Drive, Flow, Job, Pause, Task
from .journal import Journal, best_effort
from .request import Limits
from .whereabouts import RESTORED, locate

_RETRY = 1.0  # seconds before something that failed is tried again
UNSEEN = "its host is not connected to vCenter, or its snapshots cannot be read, so it may be there"
_ATTEMPTS = 5  # refusals to remove one VMware snapshot, before it is left to the next recovery


@dataclass
class Removal:
    """One VMware snapshot that has to go, known by its VM and its unique name.

    `snapshot` is its managed object ID where that is known already, `creation` what is known of its creation.
    What became of it: `existed` (it was seen), `gone`, `watched` (gone, but its entry stays open because it may come to
    be, or its VM come back), `released` (monotonic time), `reason` (why not).
    """

    entry: int
    vm: str
    name: str
    instance_uuid: str = ""
    host: str = ""
    snapshot: str = ""
    creation: Creation = Creation.ASKED
    existed: bool = False
    gone: bool = False
    watched: bool = False
    released: float | None = None
    reason: str = ""
    attempts: int = 0
    consolidated: bool = False


class Release:
    """Removes `removals` on one server until all are gone or `deadline` (monotonic) has come. Raises nothing."""

    def __init__(self, session: Session, journal: Journal, limits: Limits, deadline: float) -> None:
        self._session, self._journal, self._limits, self._deadline = session, journal, limits, deadline

    def run(self, removals: Sequence[Removal]) -> None:
        known = [removal for removal in removals if removal.snapshot]
        self._remove(known)
        left = self._verify(removals)
        while left and time.monotonic() < self._deadline and any(removal.attempts < _ATTEMPTS for removal in left):
            found = [removal for removal in left if removal.snapshot and removal.attempts < _ATTEMPTS]
            if not found:
                time.sleep(_RETRY)  # a creation is still under way, or the server does not answer
            self._remove(found)
            left = self._verify(left)
        best_effort(lambda: self._journal.note({removal.entry: removal.reason for removal in left}))

    def _remove(self, removals: Sequence[Removal]) -> None:
        best_effort(lambda: self._journal.removing({removal.entry: removal.snapshot for removal in removals}))
        jobs = [Job(removal.host, lambda removal=removal: self._flow(removal)) for removal in removals]  # type: ignore[misc]
        Drive(self._session, self._limits, lambda: time.monotonic() >= self._deadline).run(jobs)

    def _flow(self, removal: Removal) -> Flow:
        while True:
            outcome = yield Task(lambda: vm_snapshots.start_remove(self._session, removal.snapshot), self._deadline)
            error = outcome.error
            if outcome.unfinished:
                removal.reason = "its removal was still under way at the end of the time limit"
                return
            if error is None and not outcome.vanished:
                removal.existed, removal.released, removal.reason = True, time.monotonic(), ""
                return
            if isinstance(error, VSphereFault) and error.kind in faults.GONE_FAULTS:
                removal.reason = ""
                return
            removal.reason = error.problem if error else "the server lost the removal's task"
            # A server that is away or busy is waited for until the time limit; only its refusals count.
            busy = isinstance(error, VSphereFault) and error.kind in faults.BUSY_FAULTS
            removal.attempts += not busy and not isinstance(error, ConnectionFailed)
            if removal.attempts >= _ATTEMPTS:
                return
            yield Pause(_RETRY)
            if time.monotonic() >= self._deadline:
                return

    def _verify(self, removals: Sequence[Removal]) -> list[Removal]:
        """Look at the VMs' snapshot trees; return the removals that are not seen to be gone."""
        left: list[Removal] = []
        try:
            states = vm_snapshots.states(self._session, list(dict.fromkeys(removal.vm for removal in removals)))
            for removal in removals:
                if self._is_left_or_unknown(removal, states.get(removal.vm)):
                    left.append(removal)
        except VSphereError as error:
            left = [removal for removal in removals if not removal.gone]
            for removal in left:
                removal.reason = removal.reason or error.problem
            time.sleep(_RETRY)
        seen = [removal for removal in removals if removal.gone]
        best_effort(lambda: self._journal.absent(removal.entry for removal in seen if removal.watched))
        best_effort(lambda: self._journal.gone({one.entry: one.reason for one in seen if not one.watched}))
        return left

    def _is_left_or_unknown(self, removal: Removal, state: VmState | None) -> bool:
        """The same; what the server refuses to tell of one VM keeps no other from being seen to."""
        try:
            return self._is_left(removal, state)
        except (PermissionDenied, VSphereFault) as error:
            passing = isinstance(error, VSphereFault) and error.kind in faults.BUSY_FAULTS | faults.UNSEEN_FAULTS
            removal.reason = removal.reason or error.problem
            removal.attempts += not passing
            return True

    def _is_left(self, removal: Removal, state: VmState | None, ended: bool = False) -> bool:
        """Whether there is more to do about the removal, with what was found written to it. `ended`: its creation was
        seen not to be under way before the `state` was read.
        """
        where = locate(self._session, removal.vm, removal.instance_uuid, removal.name, state)
        if where is not None and where.restored:
            removal.snapshot, removal.reason, removal.attempts = "", RESTORED, _ATTEMPTS
            return True
        state = where.state if where is not None else None
        removal.vm = where.vm if where is not None else removal.vm
        found = state.named(removal.name) if state else []
        removal.snapshot = found[0].moid if found else ""
        if found:
            removal.existed = True
            return True
        if state is not None and not state.seen:  # its tree is what the server remembers, or empty
            removal.reason = UNSEEN
            removal.attempts += 1  # for a moment, or for so long that it is left to the next recovery
            return True
        if state is not None and removal.creation.may_run() and not ended:
            if vm_snapshots.creations(self._session, removal.vm).running:
                removal.reason = "its creation is still under way"
                return True
            # It may have ended between the look at the tree and that at the tasks, and be in the tree by now.
            state = vm_snapshots.states(self._session, [removal.vm]).get(removal.vm)
            return self._is_left(removal, state, ended=True)
        if state is not None and state.consolidation_needed and not removal.consolidated:
            self._consolidate(removal)
        removal.gone = True
        removal.released = removal.released or time.monotonic()
        may_come = state is None or removal.creation.may_come(seen=removal.existed)
        removal.watched = may_come and removal.creation is not Creation.OVERDUE
        return False

    def _consolidate(self, removal: Removal) -> None:
        """Merge delta files that the removal left although the tree is clean; one try, reported when it fails."""
        removal.consolidated = True
        ended: list[VSphereError | None] = []

        def flow() -> Flow:
            outcome = yield Task(lambda: vm_snapshots.start_consolidate(self._session, removal.vm), self._deadline)
            ended.append(outcome.error)
            if outcome.error is not None or outcome.unfinished or outcome.vanished:
                cause = outcome.error.problem if outcome.error else "it did not end in time"
                removal.reason = f"its disks need consolidation, which failed: {cause}"

        Drive(self._session, self._limits, lambda: False).run([Job(removal.host, flow)])
