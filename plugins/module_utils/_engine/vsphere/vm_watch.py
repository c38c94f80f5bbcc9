# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the VMs on datastores once in full and after that only their changes.

VMs are on hold during this read, and reading the devices takes as long as all other properties together. Therefore one
filter of the session's property collector remembers what was read, and the server returns only the differences. With a
wait of 0 seconds the server responds at once (API PropertyCollector.WaitForUpdatesEx).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Mapping, Sequence

from ..errors import PermissionDenied, SessionLost, VSphereError
from . import faults, inventory, sdk
from .session import MISREAD, Session
from .vm_snapshots import VmState, state_of
from .vms import PATHS, Vm, agents, in_order, vm_of

_MOST_ANSWERS = inventory.MOST // inventory.PAGE  # maximum number of pages in one update
_PURPOSE = "read the VMs of the datastores"


class VmWatch:
    """All VMs with a file on the datastores (managed object IDs), except vSphere's own VMs (vCLS). Not thread-safe.

    VMs that the account may not read are included, with unread properties. `more` are paths of properties besides
    those of a Vm.
    """

    def __init__(self, session: Session, datastores: Sequence[str], more: Sequence[str] = ()) -> None:
        self._session, self._datastores, self._paths = session, datastores, (*PATHS, *more)
        self._filter: Any = None
        self._logins = 0  # session.logins when the filter was created; the filter is lost with its session
        self._version = ""
        self._properties: dict[str, inventory.Properties] = {}
        self._states: dict[str, VmState] = {}  # cached until a VM's properties change
        self._agents: dict[str, bool] = {}  # checked VMs -> whether the VM is vSphere's own
        self._refused = False  # the server refuses the call for all VMs because of one

    def vms(self) -> list[Vm]:
        """Return the current VMs with all properties that a plan needs. Raises VSphereError."""
        self._update()
        with self._understanding():
            found = [vm_of(moid, properties) for moid, properties in self._properties.items()]
        return in_order(vm for vm in found if not self._agents.get(vm.moid))

    def properties(self) -> Mapping[str, inventory.Properties]:
        """Return the properties that were read last, by managed object ID."""
        return self._properties

    def states(self) -> dict[str, VmState]:
        """Return the current state of the VMs by managed object ID. Raises VSphereError."""
        self._update()
        for moid, properties in self._properties.items():
            if moid not in self._states:
                self._states[moid] = state_of(properties)
        return {moid: state for moid, state in self._states.items() if not self._agents.get(moid)}

    def _update(self) -> None:
        """Read the changes. Raises VSphereError."""
        if not self._datastores:
            return
        if self._refused or not self._read_changes():
            self._refused = True
            self._read_apart()
        self._find_agents()

    def _read_changes(self) -> bool:
        """Read the changes. Returns False if the server refuses the call for all VMs because of one."""
        try:
            try:
                self._read()
            except PermissionDenied:
                raise
            except VSphereError:
                self._filter = None  # the session ended: read everything again
                self._read()
        except PermissionDenied:
            return False
        return True

    def _read_apart(self) -> None:
        """Read everything without the filter, and separate the VMs that the account may not read."""
        sources = inventory.objects_of(self._session, sdk.vim.Datastore, self._datastores)
        kind = sdk.vim.VirtualMachine
        self._states = {}
        self._properties = inventory.read_referenced(
            self._session, sources, "vm", kind, self._paths, _PURPOSE, patient=True
        )

    def _find_agents(self) -> None:
        """Check whether new VMs are vSphere's own. VMs whose state is not known are checked again next time.

        Windows VMs are never vSphere's own, and checking VMs that the account may not read would only take time.
        """
        with self._understanding():
            new = [vm_of(moid, found) for moid, found in self._properties.items() if moid not in self._agents]
        own = agents(self._session, [vm.moid for vm in new if not vm.lacking and not vm.guest.startswith("windows")])
        self._agents.update({vm.moid: vm.moid in own for vm in new if vm.known or vm.moid in own})

    @contextmanager
    def _understanding(self) -> Iterator[None]:
        """Raise ConnectionFailed for exceptions that an invalid vSphere response causes."""
        try:
            yield
        except MISREAD as error:
            raise self._session.no_answer(_PURPOSE, error) from None

    def _read(self) -> None:
        with self._understanding():
            if self._filter is None or self._logins != self._session.logins:
                self._begin()
            collector = self._session.content.propertyCollector
            options = sdk.vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=0, maxObjectUpdates=inventory.PAGE)
            more, answers = True, 0
            while more:
                answers += 1
                if answers > _MOST_ANSWERS:
                    raise ValueError("the updates never end")
                update = self._session.call(
                    _PURPOSE, collector.WaitForUpdatesEx, version=self._version, options=options, repeatable=False
                )
                more = update is not None and bool(update.truncated)
                if update is not None:
                    self._version = update.version
                    for changed in update.filterSet or ():
                        self._take(changed)
        if self._logins != self._session.logins:
            raise SessionLost(
                f"{self._session.endpoint} ended the session during the request to {_PURPOSE}", "Try again"
            )

    def _begin(self) -> None:
        self._properties, self._states, self._version = {}, {}, ""
        self._logins = self._session.logins
        sources = inventory.objects_of(self._session, sdk.vim.Datastore, self._datastores)
        objects = inventory.referenced(sources, "vm")
        self._filter = self._session.call(
            _PURPOSE,
            self._session.content.propertyCollector.CreateFilter,
            spec=inventory.filter_spec(objects, sdk.vim.VirtualMachine, self._paths),
            partialUpdates=False,
            repeatable=False,
        )

    def _take(self, changed: Any) -> None:
        """Apply an update: VMs that were added, changed or removed."""
        if changed.filter._moId != self._filter._moId:
            return
        for missing in changed.missingSet or ():  # a datastore that cannot be read; its VMs would be overlooked
            fault = faults.bare(missing.fault)
            if faults.kind_of(fault) not in faults.GONE_FAULTS:
                raise faults.translate(fault, str(self._session.endpoint), _PURPOSE, self._session.username)
        for vm in changed.objectSet or ():
            moid = vm.obj._moId
            self._states.pop(moid, None)
            if vm.kind == "leave":
                self._properties.pop(moid, None)
                continue
            known = self._properties.setdefault(moid, {})
            read = {one.name for one in vm.changeSet or ()}
            unread = {**known.pop(inventory.UNREAD, {}), **inventory.unread_of(vm)}
            for path in unread:
                known.pop(path, None)  # the old value of a property that is no longer readable may be outdated
            for one in vm.changeSet or ():
                known.pop(one.name, None)
                if one.op in ("assign", "add") and one.val is not None:
                    known[one.name] = inventory.bounded(one.val)
            unread = {path: lacking for path, lacking in unread.items() if path not in read}
            if unread:
                known[inventory.UNREAD] = unread
