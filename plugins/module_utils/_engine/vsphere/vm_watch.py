# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VMs on datastores, read in full once and from then on only as far as they have changed.

The devices of a hundred VMs take as long to read as all else that is known of them, and VMs are on hold meanwhile. So
one filter of the session's property collector remembers what was read; asked again, the server answers what differs.
With a wait of 0 seconds it looks once and answers at once (API PropertyCollector.WaitForUpdatesEx).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Sequence

from ..errors import PermissionDenied, SessionLost, VSphereError
from . import faults, inventory, sdk
from .session import MISREAD, Session
from .vm_snapshots import VmState, state_of
from .vms import PATHS, Vm, agents, in_order, vm_of

_MOST_ANSWERS = inventory.MOST // inventory.PAGE  # with all that changed, in pages
_PURPOSE = "read the VMs of the datastores"


class VmWatch:
    """Every VM with a file on the datastores (managed object IDs), but for vSphere's own (vCLS). Not thread-safe.

    One that may not be read is among them, with its properties unread.
    """

    def __init__(self, session: Session, datastores: Sequence[str]) -> None:
        self._session, self._datastores = session, datastores
        self._filter: Any = None
        self._logins = 0  # of the session when the filter was made: it goes with its session
        self._version = ""
        self._properties: dict[str, inventory.Properties] = {}
        self._states: dict[str, VmState] = {}  # of those whose properties have not changed since
        self._agents: dict[str, bool] = {}  # whether a VM that was looked at is vSphere's own
        self._refused = False  # the server refuses to tell of all VMs because of one

    def vms(self) -> list[Vm]:
        """The VMs as they are now, with all that a plan has to know. Raises VSphereError."""
        self._update()
        with self._understanding():
            found = [vm_of(moid, properties) for moid, properties in self._properties.items()]
        return in_order(vm for vm in found if not self._agents.get(vm.moid))

    def states(self) -> dict[str, VmState]:
        """What may have changed of the VMs, as they are now, by managed object ID. Raises VSphereError."""
        self._update()
        for moid, properties in self._properties.items():
            if moid not in self._states:
                self._states[moid] = state_of(properties)
        return {moid: state for moid, state in self._states.items() if not self._agents.get(moid)}

    def _update(self) -> None:
        """Read what has changed; raises VSphereError."""
        if not self._datastores:
            return
        if self._refused or not self._read_changes():
            self._refused = True
            self._read_apart()
        self._tell_agents()

    def _read_changes(self) -> bool:
        """Read what has changed; False where the server refuses to tell of all VMs because of one."""
        try:
            try:
                self._read()
            except PermissionDenied:
                raise
            except VSphereError:
                self._filter = None  # its session ended: read all of it again
                self._read()
        except PermissionDenied:
            return False
        return True

    def _read_apart(self) -> None:
        """Read all of it without the filter, and the VMs apart that may not be read."""
        sources = inventory.objects_of(self._session, sdk.vim.Datastore, self._datastores)
        kind = sdk.vim.VirtualMachine
        self._states = {}
        self._properties = inventory.read_referenced(self._session, sources, "vm", kind, PATHS, _PURPOSE, patient=True)

    def _tell_agents(self) -> None:
        """Look once at each VM that came, and again at one of which vCenter did not know all. One with Windows is none
        of vSphere's own; to ask for one that may not be read would only take time.
        """
        with self._understanding():
            came = [vm_of(moid, said) for moid, said in self._properties.items() if moid not in self._agents]
        own = agents(self._session, [vm.moid for vm in came if not vm.lacking and not vm.guest.startswith("windows")])
        self._agents.update({vm.moid: vm.moid in own for vm in came if vm.known or vm.moid in own})

    @contextmanager
    def _understanding(self) -> Iterator[None]:
        """What is met here because an answer is none of vSphere's becomes ConnectionFailed."""
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
                    raise ValueError("its answers have no end")
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
                f"{self._session.endpoint} ended the session while it was asked to {_PURPOSE}", "Try again"
            )

    def _begin(self) -> None:
        self._properties, self._states, self._version = {}, {}, ""
        self._logins = self._session.logins
        sources = inventory.objects_of(self._session, sdk.vim.Datastore, self._datastores)
        objects = inventory.referenced(sources, "vm")
        self._filter = self._session.call(
            _PURPOSE,
            self._session.content.propertyCollector.CreateFilter,
            spec=inventory.filter_spec(objects, sdk.vim.VirtualMachine, PATHS),
            partialUpdates=False,
            repeatable=False,
        )

    def _take(self, changed: Any) -> None:
        """Take over what the server says of VMs that came, changed or went."""
        if changed.filter._moId != self._filter._moId:
            return
        for missing in changed.missingSet or ():  # a datastore: what is on it would be overlooked
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
                known.pop(path, None)  # what cannot be read any more is not what it was
            for one in vm.changeSet or ():
                known.pop(one.name, None)
                if one.op in ("assign", "add") and one.val is not None:
                    known[one.name] = inventory.bounded(one.val)
            unread = {path: lacking for path, lacking in unread.items() if path not in read}
            if unread:
                known[inventory.UNREAD] = unread
