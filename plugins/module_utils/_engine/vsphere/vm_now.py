# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what VMs are and do at this moment: identity, power, a question that waits, and the state of the guest."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Iterable

from . import inventory, sdk
from .session import Session, understands
from .vms import tools_of

PATHS = (
    "name",
    "config.template",
    "config.instanceUuid",
    "config.files.vmPathName",
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.question",
    "guest.toolsRunningStatus",
    "guest.toolsVersionStatus2",
    "guest.ipAddress",
    "guestHeartbeatStatus",
)
_ABOUT_IDENTITY = "msg.uuid.altered"


@dataclass(frozen=True)
class Question:
    """A question that a VM waits for (API VirtualMachineQuestionInfo). `choices` maps labels to keys.

    The keys are numbers that differ between releases. The labels do not: button.uuid.movedTheVM.
    """

    id: str
    text: str
    messages: tuple[str, ...]
    choices: dict[str, str]

    @property
    def about_identity(self) -> bool:
        """Whether the server asks if the VM was moved or copied."""
        return _ABOUT_IDENTITY in self.messages or self.text.startswith(_ABOUT_IDENTITY)


@dataclass(frozen=True)
class VmNow:
    """A VM. `tools`: running, not running, not installed. `heartbeat`: green, yellow, red, or gray if unknown."""

    name: str
    instance_uuid: str
    vmx_path: str
    template: bool
    power: str
    connection: str
    question: Question | None
    tools: str
    heartbeat: str
    address: str

    @property
    def on(self) -> bool:
        return self.power == "poweredOn"


@understands
def read_now(session: Session, vms: Iterable[str]) -> dict[str, VmNow]:
    """Return VMs by managed object ID, in one call. VMs that do not exist are absent."""
    machines = inventory.objects_of(session, sdk.vim.VirtualMachine, vms)
    found = inventory.read(session, machines, PATHS, "read the state of VMs")
    return {moid: now_of(properties) for moid, properties in found.items()}


def read_one(session: Session, vm_moid: str) -> VmNow | None:
    """Return one VM, or None if it does not exist."""
    return read_now(session, [vm_moid]).get(vm_moid)


class Watch:
    """Reads many VMs at once for those who wait for one of them: one call serves all for `fresh` seconds."""

    def __init__(self, session: Session, fresh: float = 1.0) -> None:
        self._session, self._fresh = session, fresh
        self._vms: dict[str, VmNow | None] = {}
        self._until = 0.0

    def state(self, vm_moid: str) -> VmNow | None:
        """Return the state of a VM, which is watched from now on. None: there is no such VM. Raises VSphereError."""
        if vm_moid not in self._vms or time.monotonic() >= self._until:
            found = read_now(self._session, [*self._vms.keys() | {vm_moid}])
            self._vms = {moid: found.get(moid) for moid in [*self._vms, vm_moid]}
            self._until = time.monotonic() + self._fresh
        return self._vms[vm_moid]

    def forget(self, vm_moid: str) -> None:
        """Watch a VM no longer."""
        self._vms.pop(vm_moid, None)


def now_of(properties: inventory.Properties) -> VmNow:
    """Return the VM with these properties (PATHS)."""
    return VmNow(
        name=inventory.unescape(properties.get("name", "")),
        instance_uuid=str(properties.get("config.instanceUuid") or ""),
        vmx_path=str(properties.get("config.files.vmPathName") or ""),
        template=bool(properties.get("config.template", False)),
        power=str(properties.get("runtime.powerState", "poweredOn")),  # assume the worse case if not readable
        connection=str(properties.get("runtime.connectionState", "connected")),
        question=_question(properties.get("runtime.question")),
        tools=tools_of(properties),
        heartbeat=str(properties.get("guestHeartbeatStatus", "gray")),
        address=str(properties.get("guest.ipAddress") or ""),
    )


def _question(asked: Any) -> Question | None:
    if asked is None:
        return None
    return Question(
        id=str(asked.id),
        text=str(asked.text or ""),
        messages=tuple(str(message.id) for message in asked.message or ()),
        choices={str(choice.label): str(choice.key) for choice in asked.choice.choiceInfo or ()},
    )
