# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network between a storage host and its hypervisor: one cable between two network cards, without root rights.

The storage host gets its card while it is running. So its saved state needs no card, and a lab without a hypervisor
has none. Each end sends Ethernet frames to the socket of the other end. Either end can stop alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .qmp import Monitor

MTU = 9000
STORAGE, HYPERVISOR = "10.0.3.15", "10.0.3.16"
CARDS = {STORAGE: "52:54:00:12:03:15", HYPERVISOR: "52:54:00:12:03:16"}
# The card needs a moment until the kernel has a name for it.
CONFIGURE = (
    "for _ in $(seq 200); do [ -e /sys/class/net/eth1 ] && break; sleep 0.05; done; "
    f"ip link set eth1 mtu {MTU} up && ip address replace {STORAGE}/24 dev eth1"
)


@dataclass(frozen=True)
class Link:
    """The sockets of both ends. The file `wanted` says that the storage host needs the card after each start."""

    storage: Path
    hypervisor: Path
    wanted: Path

    def options(self) -> list[str]:
        """Return QEMU's options for the end of the hypervisor."""
        ends = f"local.type=unix,local.path={self.hypervisor},remote.type=unix,remote.path={self.storage}"
        card = f"virtio-net-pci,netdev=net1,mac={CARDS[HYPERVISOR]},romfile="
        return ["-netdev", f"dgram,id=net1,{ends}", "-device", card]

    def plug(self, monitor: Monitor) -> None:
        """Add the card to a running storage host."""
        ends = {
            "local": {"type": "unix", "path": str(self.storage)},
            "remote": {"type": "unix", "path": str(self.hypervisor)},
        }
        monitor.execute("netdev_add", type="dgram", id="net1", **ends)
        card = {"driver": "virtio-net-pci", "netdev": "net1", "id": "card1", "romfile": ""}
        monitor.execute("device_add", mac=CARDS[STORAGE], **card)
