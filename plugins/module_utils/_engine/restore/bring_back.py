# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings VMs back whose files are in place: registers, proves, reverts, isolates, renames and powers them on.

One flow per VM. Everything is done under a temporary name first, so the living VM is not touched before the copy is
ready. What would have to be undone is in the journal. Nothing is undone here: the caller does that.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Callable, Sequence

from ..errors import QuiesceError, RestoreFailed
from ..policy import Limits
from ..snapshots.scheduler import Flow, Job, TaskScheduler
from ..text import printable
from ..vsphere import registration, vm_settings, vm_snapshots
from ..vsphere.networks import Network
from ..vsphere.registration import Home
from ..vsphere.session import Session
from ..vsphere.vm_devices import VmDevices, read_devices
from ..vsphere.vm_now import VmNow, Watch
from ..vsphere.vm_power import start_power_off
from .flow import Part, Patience, Requests, Steps, is_kind, stopped
from .power_on import power_on, wait_for_guest
from .proof import CopyPlace, objections
from .rename import rename
from .replace import LivingVm, move_aside
from .steps import HANDOVER, REGISTRATION


@dataclass(frozen=True)
class VmToBring:
    """A VM whose files are in place.

    `vmx_path` is "[datastore] folder/vm.vmx", in one of `places`, which hold all files of the copy. `snapshot` is the
    exact name of the VMware snapshot of the run, "" if there is none. `network` is the port group for all network
    cards; None disconnects them, unless `keep_cards` is true. `identity` is CREATE or KEEP (vm_settings). `living` is
    the VM that this one replaces. `mark` is the ID of the drill that the VM belongs to, or "".
    """

    name: str
    temporary_name: str
    vmx_path: str
    places: tuple[CopyPlace, ...]
    home: Home
    template: bool = False
    snapshot: str = ""
    network: Network | None = None
    keep_cards: bool = False
    identity: str = vm_settings.CREATE
    power_on: bool = False
    living: LivingVm | None = None
    mark: str = ""


@dataclass(frozen=True)
class VmBrought:
    """The result. `error` says why the VM is not complete; then the journal says what must be undone.

    `handed_over`: the VM is complete and belongs to the user, even if it could not be powered on. Nothing is undone.

    `reverted`: it was reverted to the VMware snapshot of the run. `static_cards` are the labels of the cards whose MAC
    addresses the copy shares with the original. `memory_discarded`: it was suspended, and was powered off. `guest` is
    what was seen last of a VM that was powered on, and `missing` names what did not come in time. `requests` counts
    those to vSphere, without waits that all VMs share.
    """

    vm: VmToBring
    moid: str = ""
    instance_uuid: str = ""
    reverted: bool = False
    static_cards: tuple[str, ...] = ()
    consolidation_needed: bool = False
    memory_discarded: bool = False
    handed_over: bool = False
    powered_on: bool = False
    guest: VmNow | None = None
    missing: tuple[str, ...] = ()
    requests: int = 0
    error: QuiesceError | None = None


@dataclass
class BringBack:
    """Brings VMs of one server back, many at once within `limits`. `stopped` returns whether to stop."""

    session: Session
    limits: Limits = field(default_factory=Limits)
    patience: Patience = field(default_factory=Patience)
    stopped: Callable[[], bool] = lambda: False

    def run(self, vms: Sequence[tuple[VmToBring, Steps]]) -> list[VmBrought]:
        """Bring the VMs back, and return their results in the same order. Raises nothing that concerns one VM."""
        watch = Watch(self.session)
        bringing = [Bringing(vm, steps, Requests(self.session, self.patience), watch) for vm, steps in vms]
        jobs = [Job(one.vm.home.host_moid, partial(_flow, one)) for one in bringing]
        TaskScheduler(self.session, self.limits, self.stopped).run(jobs)
        return [replace(one.result, requests=one.requests.count) for one in bringing]


def _flow(one: Bringing) -> Flow:
    one.result = replace(one.result, error=None)
    try:
        yield from one.bring()
    except QuiesceError as error:
        one.result = replace(one.result, error=error)


class Bringing:
    """One VM on its way. `result` is complete as far as the flow got. `registration` is the ID of that step, or 0."""

    def __init__(self, vm: VmToBring, steps: Steps, requests: Requests, watch: Watch) -> None:
        self.vm, self.steps, self.requests, self.watch = vm, steps, requests, watch
        self.result = VmBrought(vm, error=stopped())  # until the flow begins
        self.registration = 0

    def prepare(self) -> Part[VmDevices]:
        """Register the VM under its temporary name, prove its files, revert and isolate it."""
        yield from self._register()
        devices = yield from self._prove()
        if not self.vm.template:
            devices = yield from self._revert(devices)
            devices = yield from self._discard_memory(devices)
            devices = yield from self._isolate(devices)
            self.result = replace(self.result, static_cards=tuple(one.label for one in devices.cards if one.static))
        return devices

    def bring(self) -> Part[None]:
        devices = yield from self.prepare()
        if self.vm.living is not None:
            yield from move_aside(self.requests, self.vm.living, self.steps, self.watch)
        yield from self._rename(devices)
        self.steps.done(self.steps.intend(HANDOVER, {}))  # before the power-on: from then on, a person may use it
        self.result = replace(self.result, handed_over=True)
        if self.vm.power_on and not self.vm.template:
            yield from self._power_on()

    def _register(self) -> Part[None]:
        vm, home = self.vm, self.vm.home
        data = {
            "temporary_name": vm.temporary_name,
            "vmx_path": vm.vmx_path,
            "datacenter_moid": home.datacenter_moid,
            "datastore_moid": vm.places[0].datastore_moid,
            "folder_moid": home.folder_moid,
            **({"mark": vm.mark} if vm.mark else {}),
        }
        step = self.registration = self.steps.intend(REGISTRATION, data)
        look = partial(registration.find_by_path, datacenter_moid=home.datacenter_moid, vmx_path=vm.vmx_path)
        moid = yield from self.requests.carry_out(
            "The registration of the copy",
            registration.start_register,
            vm.vmx_path,
            vm.temporary_name,
            home,
            vm.template,
            look=look,
        )
        if not moid:  # the task succeeded, and the server did not say what it made
            moid = yield from self.requests.ask(look)
        if not moid:
            raise RestoreFailed("The copy was registered, but the server does not show it", "Check the account's role")
        self.steps.done(step, vm_moid=moid)
        self.result = replace(self.result, moid=moid)

    def _read(self) -> Part[VmDevices]:
        devices = yield from self.requests.ask(read_devices, self.result.moid)
        if devices is None:
            raise RestoreFailed("The copy was registered, and then removed by someone else", "Start the restore again")
        self.requests.count += bool(devices.snapshots)  # the files of its VMware snapshots are a second request
        if devices.connection != "connected":
            raise RestoreFailed(
                f"The copy cannot be used: vSphere shows it as {printable(devices.connection, 40)}",
                "Check that its ESXi host is connected and can access the datastore",
            )
        return devices

    def _prove(self) -> Part[VmDevices]:
        """Read the copy, and raise RestoreFailed unless all its files are in the copy."""
        devices = yield from self._read()
        found = objections(devices.configurations, self.vm.places)
        if found:
            more = f", and {len(found) - 1} more" if len(found) > 1 else ""
            raise RestoreFailed(
                f"The copy was not used, because it could change files outside of it: {found[0]}{more}",
                "Nothing outside of the copy was changed; restore the disks of this VM one by one",
                objections=[str(one) for one in found],
            )
        self.result = replace(
            self.result, instance_uuid=devices.instance_uuid, consolidation_needed=devices.consolidation_needed
        )
        return devices

    def _revert(self, devices: VmDevices) -> Part[VmDevices]:
        """Revert to the VMware snapshot of the run, remove it, and prove again. Without it, there is no revert."""
        if not self.vm.snapshot:
            return devices
        ours = devices.named(self.vm.snapshot)
        if len(ours) != 1:
            raise RestoreFailed(
                f"The copy has {len(ours) or 'no'} VMware snapshot{'s' if ours else ''}"
                f" '{printable(self.vm.snapshot, 80)}', although its files list one",
                "Restore its disks one by one",
            )
        yield from self.requests.carry_out("The revert of the copy", vm_snapshots.start_revert, ours[0].moid)
        try:
            yield from self.requests.carry_out(
                "The removal of the VMware snapshot", vm_snapshots.start_remove, ours[0].moid
            )
        except RestoreFailed as error:
            if not is_kind(error, "ManagedObjectNotFound"):  # the answer to an earlier request was lost
                raise
        devices = yield from self._prove()
        if devices.named(self.vm.snapshot):
            raise RestoreFailed("The VMware snapshot of the run was not removed from the copy", "Try again")
        self.result = replace(self.result, reverted=True)
        return devices

    def _discard_memory(self, devices: VmDevices) -> Part[VmDevices]:
        """Power off a copy that is suspended: its network cards cannot be disconnected before, and would be connected
        at once if someone resumed it."""
        if devices.power == "suspended":
            yield from self.requests.carry_out("The power-off of the copy", start_power_off, devices.moid)
            devices = yield from self._prove()
            self.result = replace(self.result, memory_discarded=True)
        if devices.power != "poweredOff":
            raise RestoreFailed(
                f"The copy is not off: vSphere shows it as {printable(devices.power, 40)}", "Check who powered it on"
            )
        return devices

    def _isolate(self, devices: VmDevices) -> Part[VmDevices]:
        """Disconnect the network cards, set the identity and switch change tracking off. Then check it, and prove the
        files once more, because this is what runs."""
        vm = self.vm
        yield from self.requests.carry_out(
            "The isolation of the copy", vm_settings.start_isolate, devices, vm.network, vm.identity, vm.keep_cards,
            vm.mark,
        )  # fmt: skip
        devices = yield from self._prove()
        if not vm.keep_cards and not vm_settings.is_isolated(devices, vm.network):
            raise RestoreFailed("The network cards of the copy are still connected", "Check the settings of the VM")
        return devices

    def _rename(self, devices: VmDevices) -> Part[None]:
        if self.vm.name != devices.name:
            yield from rename(
                self.requests, self.steps, devices.moid, devices.name, self.vm.name,
                instance_uuid=devices.instance_uuid, vmx_path=devices.vmx_path,
            )  # fmt: skip

    def _power_on(self) -> Part[None]:
        keep = self.vm.identity == vm_settings.KEEP
        yield from power_on(self.requests, self.watch, self.result.moid, keep)
        self.result = replace(self.result, powered_on=True)
        guest, missing = yield from wait_for_guest(
            self.requests, self.watch, self.result.moid, networked=self.vm.keep_cards or self.vm.network is not None
        )
        self.result = replace(self.result, guest=guest, missing=missing)
