# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing VMware snapshots until they are seen to be gone: the second half of a run, and all of a recovery."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Sequence

from ..errors import ConnectionFailed, PermissionDenied, VSphereError, VSphereFault
from ..policy import Limits
from ..state.creation import Creation
from ..state.journal import Journal, ignore_registry_errors
from ..vsphere import faults, vm_snapshots
from ..vsphere.session import Session
from ..vsphere.vm_snapshots import VmState
from ..vsphere.whereabouts import RESTORED, locate
from .scheduler import Flow, Job, Sleep, StartTask, TaskScheduler

_RETRY = 1.0  # seconds before something that failed is tried again
UNSEEN = "its host is not connected to vCenter, or its snapshots cannot be read, so it may be there"
_ATTEMPTS = 5  # refusals to remove one VMware snapshot, before it is left to the next recovery
UNMERGED = "its VMware snapshot was removed, but its disks need consolidation"


@dataclass
class Removal:
    """One VMware snapshot that has to go, known by its VM and its unique name.

    `snapshot_moid` is its managed object ID where that is known already, `creation` what is known of its creation, and
    `needed_consolidation` whether the VM's disks did before; None: the first look at the VM has to tell.
    What became of it: `existed` (it was seen), `gone`, `watched` (gone, but its entry stays open because it may come to
    be, or its VM come back), `unconsolidated` (gone, but its removal left delta files), `released` (monotonic time),
    `reason` (why not).
    """

    entry: int
    vm_moid: str
    name: str
    instance_uuid: str = ""
    host_moid: str = ""
    snapshot_moid: str = ""
    creation: Creation = Creation.ASKED
    needed_consolidation: bool | None = None
    existed: bool = False
    gone: bool = False
    watched: bool = False
    released: float | None = None
    reason: str = ""
    attempts: int = 0
    unconsolidated: bool = False


class Release:
    """Removes `removals` on one server until all are gone or `deadline` (monotonic) has come. Raises nothing."""

    def __init__(self, session: Session, journal: Journal, limits: Limits, deadline: float) -> None:
        self._session, self._journal, self._limits, self._deadline = session, journal, limits, deadline

    def run(self, removals: Sequence[Removal]) -> None:
        known = [removal for removal in removals if removal.snapshot_moid]
        self._remove(known)
        left = self._verify(removals)
        while left and time.monotonic() < self._deadline and any(removal.attempts < _ATTEMPTS for removal in left):
            found = [removal for removal in left if removal.snapshot_moid and removal.attempts < _ATTEMPTS]
            if not found:
                time.sleep(_RETRY)  # a creation is still under way, or the server does not answer
            self._remove(found)
            left = self._verify(left)
        ignore_registry_errors(lambda: self._journal.note({removal.entry: removal.reason for removal in left}))
        self._consolidate([removal for removal in removals if removal.unconsolidated])

    def _remove(self, removals: Sequence[Removal]) -> None:
        asked = {one.entry: (one.snapshot_moid, bool(one.needed_consolidation)) for one in removals}
        ignore_registry_errors(lambda: self._journal.removing(asked))
        jobs = [Job(removal.host_moid, lambda removal=removal: self._flow(removal)) for removal in removals]  # type: ignore[misc]
        TaskScheduler(self._session, self._limits, lambda: time.monotonic() >= self._deadline).run(jobs)

    def _flow(self, removal: Removal) -> Flow:
        while True:
            outcome = yield StartTask(
                lambda: vm_snapshots.start_remove(self._session, removal.snapshot_moid), self._deadline
            )
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
            yield Sleep(_RETRY)
            if time.monotonic() >= self._deadline:
                return

    def _verify(self, removals: Sequence[Removal]) -> list[Removal]:
        """Look at the VMs' snapshot trees; return the removals that are not seen to be gone."""
        left: list[Removal] = []
        try:
            states = vm_snapshots.states(self._session, list(dict.fromkeys(removal.vm_moid for removal in removals)))
            for removal in removals:
                if self._is_left_or_unknown(removal, states.get(removal.vm_moid)):
                    left.append(removal)
        except VSphereError as error:
            left = [removal for removal in removals if not removal.gone]
            for removal in left:
                removal.reason = removal.reason or error.problem
            time.sleep(_RETRY)
        self._note([removal for removal in removals if removal.gone])
        return left

    def _note(self, seen: Sequence[Removal]) -> None:
        """Write what was seen to be gone to the journal; its entry is closed unless there is more to do or to see."""
        rest = [removal for removal in seen if not removal.unconsolidated]
        ignore_registry_errors(
            lambda: self._journal.unconsolidated({one.entry: one.reason for one in seen if one.unconsolidated})
        )
        ignore_registry_errors(lambda: self._journal.absent(one.entry for one in rest if one.watched))
        ignore_registry_errors(lambda: self._journal.gone({one.entry: one.reason for one in rest if not one.watched}))

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
        where = locate(self._session, removal.vm_moid, removal.instance_uuid, removal.name, state)
        if where is not None and where.restored:
            removal.snapshot_moid, removal.reason, removal.attempts = "", RESTORED, _ATTEMPTS
            return True
        state = where.state if where is not None else None
        removal.vm_moid = where.vm_moid if where is not None else removal.vm_moid
        if state is not None and removal.needed_consolidation is None:
            removal.needed_consolidation = state.consolidation_needed
        found = state.named(removal.name) if state else []
        removal.snapshot_moid = found[0].moid if found else ""
        if found:
            removal.existed = True
            return True
        if state is not None and not state.seen:  # its tree is what the server remembers, or empty
            removal.reason = UNSEEN
            removal.attempts += 1  # for a moment, or for so long that it is left to the next recovery
            return True
        if state is not None and removal.creation.may_run() and not ended:
            if vm_snapshots.creations(self._session, removal.vm_moid).running:
                removal.reason = "its creation is still under way"
                return True
            # It may have ended between the look at the tree and that at the tasks, and be in the tree by now.
            state = vm_snapshots.states(self._session, [removal.vm_moid]).get(removal.vm_moid)
            return self._is_left(removal, state, ended=True)
        if state is not None and state.consolidation_needed and not removal.needed_consolidation:
            removal.unconsolidated, removal.reason = True, UNMERGED
        removal.gone = True
        removal.released = removal.released or time.monotonic()
        may_come = state is None or removal.creation.may_come(seen=removal.existed)
        removal.watched = may_come and removal.creation is not Creation.OVERDUE
        return False

    def _consolidate(self, removals: Sequence[Removal]) -> None:
        """Merge the delta files that removals left although the trees are clean; one try, then vSphere is asked whether
        it is done. What other products left is theirs: to merge it may take hours.
        """
        if not removals:
            return
        jobs = [Job(removal.host_moid, lambda removal=removal: self._merge(removal)) for removal in removals]  # type: ignore[misc]
        TaskScheduler(self._session, self._limits, lambda: time.monotonic() >= self._deadline).run(jobs)
        try:
            states = vm_snapshots.states(self._session, [removal.vm_moid for removal in removals])
        except VSphereError:
            states = {}
        for removal in removals:
            state = states.get(removal.vm_moid)
            if state is not None and state.seen and not state.consolidation_needed:
                removal.unconsolidated, removal.reason = False, ""
        self._note(removals)

    def _merge(self, removal: Removal) -> Flow:
        outcome = yield StartTask(
            lambda: vm_snapshots.start_consolidate(self._session, removal.vm_moid), self._deadline
        )
        if outcome.error is not None:
            removal.reason = f"{UNMERGED}, which failed: {outcome.error.problem}"
        elif outcome.unfinished or outcome.vanished:
            removal.reason = f"{UNMERGED}, which did not end in time"
