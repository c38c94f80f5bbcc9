# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removes VMware snapshots and checks that they are gone: the second half of a run, and all of a recovery."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
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

_RETRY = 1.0  # seconds before a failed request is repeated
UNSEEN = "its host is not connected to vCenter, or its snapshots cannot be read, so it may still exist"
_ATTEMPTS = 5  # failed removals of one VMware snapshot before it is left to the next recovery
UNMERGED = "its VMware snapshot was removed, but its disks need consolidation"


@dataclass
class Removal:
    """One VMware snapshot to remove, identified by its VM and its unique name.

    `entry` is its id in the journal. `snapshot_moid` is "" until it is known. `needed_consolidation` is whether the
    disks of the VM needed consolidation before; None until the first look at the VM.

    The result: `existed` (it was seen), `gone`, `watched` (gone, but its entry stays open because the snapshot may
    still appear, or its VM may come back), `unconsolidated` (gone, but its removal left delta files), `released`
    (monotonic time), `reason` (why it is not gone or not consolidated).
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
    """Removes VMware snapshots on one server until all are gone or `deadline` (monotonic) is over. Raises nothing."""

    def __init__(self, session: Session, journal: Journal, limits: Limits, deadline: float) -> None:
        self._session, self._journal, self._limits, self._deadline = session, journal, limits, deadline

    def run(self, removals: Sequence[Removal]) -> None:
        known = [removal for removal in removals if removal.snapshot_moid]
        self._remove(known)
        remaining = self._verify(removals)
        while time.monotonic() < self._deadline and any(removal.attempts < _ATTEMPTS for removal in remaining):
            existing = [removal for removal in remaining if removal.snapshot_moid and removal.attempts < _ATTEMPTS]
            if not existing:
                time.sleep(_RETRY)  # a creation is still running, or the server does not answer
            self._remove(existing)
            remaining = self._verify(remaining)
        ignore_registry_errors(partial(self._journal.note, {removal.entry: removal.reason for removal in remaining}))
        self._consolidate([removal for removal in removals if removal.unconsolidated])

    def _remove(self, removals: Sequence[Removal]) -> None:
        requested = {one.entry: (one.snapshot_moid, bool(one.needed_consolidation)) for one in removals}
        ignore_registry_errors(partial(self._journal.removing, requested))
        jobs = [Job(removal.host_moid, partial(self._flow, removal)) for removal in removals]
        TaskScheduler(self._session, self._limits, lambda: time.monotonic() >= self._deadline).run(jobs)

    def _flow(self, removal: Removal) -> Flow:
        while True:
            outcome = yield StartTask(
                lambda: vm_snapshots.start_remove(self._session, removal.snapshot_moid), self._deadline
            )
            error = outcome.error
            if outcome.unfinished:
                removal.reason = "its removal was still running at the end of the time limit"
                return
            if error is None and not outcome.vanished:
                removal.existed, removal.released, removal.reason = True, time.monotonic(), ""
                return
            if isinstance(error, VSphereFault) and error.kind in faults.GONE_FAULTS:
                removal.reason = ""
                return
            removal.reason = error.problem if error else "the server lost the removal task"
            # Wait for an unreachable or busy server until the time limit. Only real failures count as attempts.
            busy = isinstance(error, VSphereFault) and error.kind in faults.BUSY_FAULTS
            removal.attempts += not busy and not isinstance(error, ConnectionFailed)
            if removal.attempts >= _ATTEMPTS:
                return
            yield Sleep(_RETRY)
            if time.monotonic() >= self._deadline:
                return

    def _verify(self, removals: Sequence[Removal]) -> list[Removal]:
        """Read the snapshot trees of the VMs. Returns the removals that are not known to be gone."""
        remaining: list[Removal] = []
        try:
            states = vm_snapshots.states(self._session, list(dict.fromkeys(removal.vm_moid for removal in removals)))
            for removal in removals:
                if self._is_left_or_unknown(removal, states.get(removal.vm_moid)):
                    remaining.append(removal)
        except VSphereError as error:
            remaining = [removal for removal in removals if not removal.gone]
            for removal in remaining:
                removal.reason = removal.reason or error.problem
            time.sleep(_RETRY)
        self._note([removal for removal in removals if removal.gone])
        return remaining

    def _note(self, gone: Sequence[Removal]) -> None:
        """Note in the journal what is gone. An entry is closed unless more must be done or watched."""
        unconsolidated = {one.entry: one.reason for one in gone if one.unconsolidated}
        watched = [one.entry for one in gone if one.watched and not one.unconsolidated]
        finished = {one.entry: one.reason for one in gone if not one.watched and not one.unconsolidated}
        ignore_registry_errors(partial(self._journal.unconsolidated, unconsolidated))
        ignore_registry_errors(partial(self._journal.absent, watched))
        ignore_registry_errors(partial(self._journal.gone, finished))

    def _is_left_or_unknown(self, removal: Removal, state: VmState | None) -> bool:
        """Call `_is_left`, and handle its errors: an error about one VM must not stop the work on the others."""
        try:
            return self._is_left(removal, state)
        except (PermissionDenied, VSphereFault) as error:
            temporary = isinstance(error, VSphereFault) and error.kind in faults.BUSY_FAULTS | faults.UNSEEN_FAULTS
            removal.reason = removal.reason or error.problem
            removal.attempts += not temporary
            return True

    def _is_left(self, removal: Removal, state: VmState | None, ended: bool = False) -> bool:
        """Update the removal from the `state` of its VM. Returns whether more must be done.

        `ended`: its creation is known to have ended before `state` was read.
        """
        where = locate(self._session, removal.vm_moid, removal.instance_uuid, removal.name, state)
        if where is not None and where.restored:
            removal.snapshot_moid, removal.reason, removal.attempts = "", RESTORED, _ATTEMPTS
            return True
        state = where.state if where is not None else None
        removal.vm_moid = where.vm_moid if where is not None else removal.vm_moid
        if state is not None and removal.needed_consolidation is None:
            removal.needed_consolidation = state.consolidation_needed
        snapshots = state.named(removal.name) if state else []
        removal.snapshot_moid = snapshots[0].moid if snapshots else ""
        if snapshots:
            removal.existed = True
            return True
        if state is not None and not state.seen:  # its tree is outdated or empty
            removal.reason = UNSEEN
            # A short outage ends before the last attempt. A long one is left to the next recovery.
            removal.attempts += 1
            return True
        if state is not None and removal.creation.may_run() and not ended:
            if vm_snapshots.creations(self._session, removal.vm_moid).running:
                removal.reason = "its creation is still running"
                return True
            # It may have ended after the tree was read and before the tasks were read: read the tree again.
            state = vm_snapshots.states(self._session, [removal.vm_moid]).get(removal.vm_moid)
            return self._is_left(removal, state, ended=True)
        if state is not None and state.consolidation_needed and not removal.needed_consolidation:
            removal.unconsolidated, removal.reason = True, UNMERGED
        removal.gone = True
        removal.released = removal.released or time.monotonic()
        may_appear = state is None or removal.creation.may_come(seen=removal.existed)
        removal.watched = may_appear and removal.creation is not Creation.OVERDUE
        return False

    def _consolidate(self, removals: Sequence[Removal]) -> None:
        """Merge the delta files that the removals left. Tries once, then reads from vSphere whether it succeeded.

        Delta files from other products are not merged: that may take hours.
        """
        if not removals:
            return
        jobs = [Job(removal.host_moid, partial(self._merge, removal)) for removal in removals]
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
            removal.reason = f"{UNMERGED}, which did not finish in time"
