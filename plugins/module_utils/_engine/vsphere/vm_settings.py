# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes the settings of a VM that is off: network cards, change tracking, the fate of its identity, and a mark."""

from __future__ import annotations

from typing import Any, Iterator

from . import inventory, sdk
from .networks import Network
from .session import Session, understands
from .vm_devices import Card, VmDevices

CREATE, KEEP = "create", "keep"  # values of uuid.action: new UUIDs and generated MAC addresses, or the same ones
_IDENTITY = "uuid.action"
MARK = "quiesce.vmware_zfs.drill"  # the key of a mark


@understands
def start_isolate(
    session: Session, vm: VmDevices, network: Network | None, identity: str, keep_cards: bool = False, mark: str = ""
) -> str:
    """Start to disconnect all network cards, or to move them to `network`, and to set what happens at power-on.

    `keep_cards`: do not change the network cards. `mark` is the ID of the drill that the VM belongs to, or "".

    `identity` is CREATE or KEEP; the server then does not ask whether the VM was moved or copied. Change tracking is
    switched off, because its data do not fit the disks after a revert. Returns the task's managed object ID.
    """
    options = {_IDENTITY: identity, **({MARK: mark} if mark else {})}
    spec = sdk.vim.vm.ConfigSpec(
        deviceChange=[] if keep_cards else list(_card_changes(vm.cards, network)),
        extraConfig=[sdk.vim.option.OptionValue(key=key, value=value) for key, value in options.items()],
    )
    if vm.change_tracking:
        spec.changeTrackingEnabled = False
    machine = session.managed_object(sdk.vim.VirtualMachine, vm.moid)
    return str(session.call("change the settings of a VM", machine.ReconfigVM_Task, spec=spec, repeatable=False)._moId)


@understands
def read_mark(session: Session, vm_moid: str) -> str:
    """Return the ID of the drill that a VM belongs to, or ""."""
    machine = session.managed_object(sdk.vim.VirtualMachine, vm_moid)
    found = inventory.read(session, [machine], ["config.extraConfig"], "read the mark of a VM").get(vm_moid, {})
    options = {str(option.key): str(option.value) for option in found.get("config.extraConfig") or ()}
    return options.get(MARK, "")


def is_isolated(vm: VmDevices, network: Network | None) -> bool:
    """Return whether all cards are as `start_isolate` leaves them."""
    if network is None:
        return not any(card.connected for card in vm.cards)
    return all(card.network == network.key for card in vm.cards)


def _card_changes(cards: tuple[Card, ...], network: Network | None) -> Iterator[Any]:
    device_spec = sdk.vim.vm.device.VirtualDeviceSpec
    for card in cards:
        device = card.device
        if network is None:
            device.connectable = _disconnected(device.connectable)
        else:
            device.backing = network.backing()
        yield device_spec(operation=device_spec.Operation.edit, device=device)


def _disconnected(before: Any) -> Any:
    return sdk.vim.vm.device.VirtualDevice.ConnectInfo(
        startConnected=False,
        connected=False,
        allowGuestControl=bool(before.allowGuestControl) if before is not None else True,
    )
