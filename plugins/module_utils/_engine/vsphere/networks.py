# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the networks to which the cards of a VM can be connected: port groups of standard and distributed switches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..text import printable
from . import inventory, sdk
from .session import Session, understands


@dataclass(frozen=True)
class Network:
    """A port group. `key` is its name, or the key of a distributed port group, whose switch is `switch_uuid`."""

    moid: str
    name: str
    key: str
    switch_uuid: str = ""

    def backing(self) -> Any:
        """Return what connects a network card to this network."""
        kinds = sdk.vim.vm.device.VirtualEthernetCard
        if not self.switch_uuid:
            return kinds.NetworkBackingInfo(deviceName=self.name, network=sdk.vim.Network(self.moid))
        port = sdk.vim.dvs.PortConnection(switchUuid=self.switch_uuid, portgroupKey=self.key)
        return kinds.DistributedVirtualPortBackingInfo(port=port)


@understands
def find_network(session: Session, host_moid: str, name: str) -> Network:
    """Find the network with this name among those of an ESXi host (managed object ID).

    Raises InputError if the host has no such port group, or if several port groups have this name.
    """
    purpose = "find a port group"
    host = session.managed_object(sdk.vim.HostSystem, host_moid)
    found = inventory.read_referenced(session, [host], "network", sdk.vim.Network, ["name"], purpose)
    listed = inventory.read(session, [host], ["network"], purpose)[host_moid].get("network", ())
    named = [one for one in listed if inventory.unescape(found.get(one._moId, {}).get("name", "")) == name]
    networks = [network for network in (_network(session, one, name, purpose) for one in named) if network is not None]
    if len(networks) != 1:
        raise InputError(
            f"The ESXi host has {'several port groups' if networks else 'no port group'} '{printable(name, 80)}'",
            "Rename one of them" if networks else "Give the name of a port group of this host for VMs",
        )
    return networks[0]


def _network(session: Session, reference: Any, name: str, purpose: str) -> Network | None:
    """Return the port group, or None if VMs cannot use it (an uplink, or a network of another product)."""
    vim = sdk.vim
    if isinstance(reference, vim.OpaqueNetwork):
        return None
    if not isinstance(reference, vim.dvs.DistributedVirtualPortgroup):
        return Network(reference._moId, name, name)
    paths = ["key", "config.uplink", "config.distributedVirtualSwitch"]
    group = inventory.read(session, [reference], paths, purpose)[reference._moId]
    if group.get("config.uplink"):
        return None
    switch = group["config.distributedVirtualSwitch"]
    uuid = inventory.read(session, [switch], ["uuid"], purpose)[switch._moId]["uuid"]
    return Network(reference._moId, name, str(group["key"]), str(uuid))
