# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One VM of a drill: registered, proven, isolated, powered on, looked at, powered off and unregistered."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable

from ..door.host import StorageHost
from ..errors import (
    ConnectionFailed,
    LoginRefused,
    PermissionDenied,
    QuiesceError,
    RestoreUnfinished,
    SessionLost,
)
from ..records.verdicts import FAILED, INCONCLUSIVE, VERIFIED
from ..restore.bring_back import Bringing, VmToBring
from ..restore.flow import Part, Requests, Steps, is_kind, pause
from ..restore.power_on import power_off, power_on
from ..restore.sources import Source
from ..snapshots.scheduler import Flow
from ..vsphere import faults, registration
from ..vsphere.vm_now import Watch, read_one
from .command import environment, run_command
from .gate import Gate
from .guest import expects_tools, look_at
from .request import DrillRequest
from .result import VmDrilled

_ADDRESS_SECONDS = 30.0  # for an address after the heartbeat, if a command can use it
_NOT_THE_VM = faults.RESOURCE_FAULTS | faults.BUSY_FAULTS | faults.CUT_OFF_FAULTS
_STOPPED = "The drill was stopped before there was a verdict."


@dataclass(frozen=True)
class Round:
    """What the VMs of a drill share. `begun` is called with a VM before it is powered on, `stopped` returns whether to
    stop."""

    request: DrillRequest
    host: StorageHost
    gate: Gate
    watch: Watch
    stopped: Callable[[], bool]
    begun: Callable[[VmDrilled], None]


class Drilling:
    """One VM. `result` is complete as far as the flow got. What it cannot take away stays in the journal."""

    def __init__(
        self, vm: VmToBring, source: Source, steps: Steps, requests: Requests, shared: Round, result: VmDrilled
    ) -> None:
        self.source, self.shared, self.result = source, shared, result
        self.requests, self.steps = requests, steps
        self.bringing = Bringing(vm, steps, requests, shared.watch)
        self.host_moid = vm.home.host_moid

    def flow(self) -> Flow:
        begun = time.monotonic()
        try:
            yield from self.bringing.prepare()
            yield from self._in_gate()
        except QuiesceError as error:
            self._judge(error, INCONCLUSIVE if isinstance(error, RestoreUnfinished) else FAILED)
        yield from _attempt(self._unregister())
        self.result.seconds = round(time.monotonic() - begun, 3)

    @property
    def _moid(self) -> str:
        return self.bringing.result.moid

    def _in_gate(self) -> Part[None]:
        memory = self.source.vm.configuration.memory
        yield from self.shared.gate.enter(memory)
        begun = time.monotonic()
        try:
            self.shared.begun(self.result)
            yield from power_on(self.requests, self.shared.watch, self._moid, keep_identity=False)
            yield from self._look()
        except QuiesceError as error:
            self._judge(error, FAILED)
        self.result.boot_seconds = round(time.monotonic() - begun, 3)
        yield from _attempt(power_off(self.requests, self._moid))
        self.shared.gate.leave(memory)

    def _look(self) -> Part[None]:
        request, result = self.shared.request, self.result
        look = yield from look_at(self.shared.watch, self._moid, request.boot_timeout, expects_tools(self.source.level))
        result.verdict, result.reason = look.verdict, look.reason
        if look.now is not None:
            result.tools, result.heartbeat, result.address = look.now.tools, look.now.heartbeat, look.now.address
        if request.command and look.verdict not in (FAILED, INCONCLUSIVE):
            yield from self._run_command()

    def _run_command(self) -> Part[None]:
        request, result = self.shared.request, self.result
        if self.bringing.vm.network is not None and result.verdict == VERIFIED:
            yield from _attempt(self._wait_for_address())
        done = yield from run_command(
            self.shared.host,
            request.command,
            environment(self.source, result),
            request.command_timeout,
            self.shared.stopped,
            self.requests.session.password,
        )
        result.command_output = done.output
        if done.verdict:
            result.verdict, result.reason = done.verdict, done.reason

    def _wait_for_address(self) -> Part[None]:
        end = time.monotonic() + _ADDRESS_SECONDS
        while not self.result.address and time.monotonic() < end:
            yield from pause(1.0)
            now = yield from self.requests.ask(read_one, self._moid)
            self.result.address = now.address if now is not None else ""

    def _unregister(self) -> Part[None]:
        if self._moid:
            yield from self.requests.ask(registration.unregister, self._moid)
            self.steps.undone(self.bringing.registration)

    def _judge(self, error: QuiesceError, verdict: str) -> None:
        """Set the verdict for an error. Where it says nothing about the VM, that is inconclusive."""
        if self.result.verdict == FAILED:
            return
        if self.shared.stopped():
            self.result.verdict, self.result.reason = INCONCLUSIVE, _STOPPED
            return
        self.result.verdict = INCONCLUSIVE if _says_nothing(error) else verdict
        self.result.reason = str(error)


def _attempt(part: Part[None]) -> Part[None]:
    """Carry out what may fail: the drill undoes at its end what is left, and reports it."""
    try:
        yield from part
    except QuiesceError:
        return


def _says_nothing(error: QuiesceError) -> bool:
    """Return whether an error says nothing about the VM: no resources, a busy or unreachable host, a missing right."""
    kinds = (ConnectionFailed, LoginRefused, PermissionDenied, SessionLost)
    return is_kind(error, *_NOT_THE_VM) or any(isinstance(one, kinds) for one in (error, error.__cause__))
