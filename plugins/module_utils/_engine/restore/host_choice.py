# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the ESXi host of a restore: the requested one, that of the living VM, or another one that can take it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterable, Sequence

from ..errors import InputError
from ..text import printable
from ..vsphere.host_capacity import Capacity, read_capacity
from ..vsphere.hosts import Host, Scope, comparable, hosts_in_scope
from ..vsphere.networks import find_network
from ..vsphere.session import Session

_SHOWN = 10  # hosts in a message


@dataclass
class HostChoice:
    """The hosts of a server, read as far as they are needed. `requested` is a name, or "" for any.

    `slots`: it counts how many more NFS datastores a host can mount.
    """

    session: Session
    requested: str = ""
    slots: bool = True
    _hosts: dict[str, list[Host]] = field(default_factory=dict)
    _capacities: dict[str, Capacity] = field(default_factory=dict)

    def hosts(self, datacenter: str) -> list[Host]:
        """Return the hosts of a datacenter. Raises InputError if it has none."""
        if datacenter not in self._hosts:
            self._hosts[datacenter] = hosts_in_scope(self.session, Scope(datacenter=datacenter))
        return self._hosts[datacenter]

    def one(self) -> Host:
        """Return the requested host, whatever its datacenter is. Raises InputError."""
        return hosts_in_scope(self.session, Scope(hosts=(self.requested,)))[0]

    def choose(
        self, hosts: Sequence[Host], preferred: str, memory: int, mounts: int, version: str, on: str
    ) -> Capacity:
        """Return a host that can take a VM.

        `preferred` is tried first (managed object ID). `memory` is in MB. `mounts` is the number of NFS datastores that
        the host must mount in addition. Without such a mount, it must mount the datastore `on`. Raises InputError if no
        host can take the VM.
        """
        obstacles = []
        for host in self._in_order(hosts, preferred):
            capacity = self.capacity(host, version)
            obstacle = capacity.obstacle(memory, mounts)
            if not obstacle and not mounts and on not in capacity.datastores:
                obstacle = "does not mount the datastore"
            if not obstacle:
                return capacity
            obstacles.append(f"{printable(host.name, 80)} {obstacle}")
        raise InputError(
            f"No ESXi host can take the VM: {'; '.join(obstacles[:_SHOWN])}", "Fix the cause, or name another host"
        )

    def roomiest(self, hosts: Sequence[Host], mounts: int, version: str, network: str = "") -> Capacity:
        """Return the host with the most free memory that can mount so many more NFS datastores and has the port group
        `network`, if that is not "". Raises InputError if there is none."""
        obstacles = []
        candidates = list(self._in_order(hosts, ""))
        self.read_ahead(candidates, version)
        capacities = [self.capacity(host, version) for host in candidates]
        for capacity in sorted(capacities, key=lambda one: -(one.memory_free or 0)):
            obstacle = capacity.obstacle(mounts=mounts)
            try:
                if not obstacle and network:
                    find_network(self.session, capacity.host.moid, network)
            except InputError as error:
                obstacle = f"cannot be used: {error.problem}"
            if not obstacle:
                return capacity
            obstacles.append(f"{printable(capacity.host.name, 80)} {obstacle}")
        raise InputError(
            f"No ESXi host can take the VMs: {'; '.join(obstacles[:_SHOWN])}", "Fix the cause, or name another host"
        )

    def capacity(self, host: Host, version: str) -> Capacity:
        self.read_ahead([host], version)
        return self._capacities[host.moid]

    def read_ahead(self, hosts: Sequence[Host], version: str) -> None:
        """Read what these hosts can take, all at once. A read for each of them would take as many requests."""
        unknown = [host for host in hosts if host.moid not in self._capacities]
        for one in read_capacity(self.session, unknown, version, self.slots) if unknown else ():
            self._capacities[one.host.moid] = one

    def _in_order(self, hosts: Sequence[Host], preferred: str) -> Iterable[Host]:
        if not self.requested:
            return sorted(hosts, key=lambda one: (one.moid != preferred, one.name))
        named = [one for one in hosts if comparable(one.name) == comparable(self.requested)]
        if named:
            return named
        known = ", ".join(printable(one.name, 80) for one in hosts[:_SHOWN])
        raise InputError(f"The datacenter has no ESXi host '{printable(self.requested, 80)}'", f"It has {known}")
