# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fake vSphere server has: datastores, VMs and their snapshot trees. It is configured as the lab's simulator is
(tests/lab/vcenter/README.md), and behaves as that does.
"""

from __future__ import annotations

import itertools
import threading
import uuid
from dataclasses import dataclass, field, replace
from typing import Any, Iterator, Mapping

LONGEST_CHAIN = 32


@dataclass
class Snapshot:
    """One node of a VM's snapshot tree; `id` numbers them within the VM."""

    moid: str
    name: str
    description: str
    id: int
    quiesced: bool = False
    manifest: str = ""
    children: list["Snapshot"] = field(default_factory=list)
    config: "Config | None" = None  # the settings of the VM then, which a revert brings back

    def as_dict(self) -> dict[str, Any]:
        return {
            "moid": self.moid,
            "name": self.name,
            "description": self.description,
            "quiesced": self.quiesced,
            "children": [child.as_dict() for child in self.children],
        }


@dataclass
class Datastore:
    """A datastore: `nfs` with a server and a path, or `local`."""

    moid: str
    name: str
    type: str = "nfs"
    server: str = ""
    path: str = ""


@dataclass
class Config:
    """What can be said of a VM, by the names that the simulator has for it.

    A disk is {"datastore", "kind", "folder", "file"}; its device key goes with its place in the list. With "folder" its
    files are not in the VM's folder but there, and "file" is the path of an attached disk. A card is {"network",
    "connected", "static"}. `question` is asked at power-on: {"id", "text", "choices": {key: label}, "avoidable"}; an
    avoidable one is not asked if uuid.action is set. `stubborn`: the guest does not shut down. `properties` lie over
    what is computed, by their dotted path.
    """

    name: str
    guest: str = "linux"
    tools: str = "running"
    power: str = "on"
    template: bool = False
    disks: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    vmx: str = ""
    iso: str = ""
    vss: bool = True
    snapshots: int = 0
    pci_passthrough: bool = False
    vgpu: bool = False
    extra_config: dict[str, str] = field(default_factory=dict)
    folder: str = ""  # path below the datacenter's folder of VMs
    resource_pool: str = ""  # path below the cluster's pool
    vapp: str = ""  # the VM is in a vApp of this name, which is in its folder and its pool
    attributes: dict[str, str] = field(default_factory=dict)
    tags: dict[str, list[str]] = field(default_factory=dict)  # category -> names
    properties: dict[str, Any] = field(default_factory=dict)
    cards: list[dict[str, Any]] = field(default_factory=list)
    change_tracking: bool = False
    question: dict[str, Any] | None = None
    stubborn: bool = False


@dataclass(frozen=True)
class Place:
    """A folder, a resource pool or something above them. `kind` is its type."""

    kind: str
    name: str
    parent: str = ""
    folder: str = ""  # of a vApp, beside its pool


DATACENTER, VM_FOLDER, POOL = "datacenter-2", "group-v3", "resgroup-6"

_ABOVE = {
    "group-d1": Place("Folder", "Datacenters"),
    "datacenter-2": Place("Datacenter", "DC0", "group-d1"),
    "group-v3": Place("Folder", "vm", "datacenter-2"),
    "group-h4": Place("Folder", "host", "datacenter-2"),
    "domain-c5": Place("ClusterComputeResource", "DC0_C0", "group-h4"),
    "resgroup-6": Place("ResourcePool", "Resources", "domain-c5"),
}


@dataclass(eq=False)
class Machine:
    """A VM. `home` is the datastore that it is registered on, `busy` the task that works on it, `recent` its tasks."""

    moid: str
    config: Config
    home: Datastore
    instance_uuid: str
    snapshots: list[Snapshot] = field(default_factory=list)
    current: str = ""
    count: int = 0  # of the snapshots that it ever had
    consolidation_needed: bool = False
    busy: Any = None
    recent: list[Any] = field(default_factory=list)
    folder: str = ""  # managed object IDs
    pool: str = ""
    vapp: str = ""
    directory: str = ""  # of its files; "" for one of its name
    base: str = ""  # the beginning of the names of its files; "" for its name
    question: dict[str, Any] | None = None  # that is open now
    answered: threading.Event = field(default_factory=threading.Event)
    answer: str = ""  # the label of the chosen answer

    def nodes(self) -> Iterator[Snapshot]:
        return _nodes(self.snapshots)

    def chain(self) -> list[Snapshot]:
        """The snapshots from the root to the current one."""
        return chain_to(self.snapshots, self.current)

    @property
    def tools_running(self) -> bool:
        return self.config.power == "on" and not self.config.template and self.config.tools == "running"

    def path(self, file: str) -> str:
        """A file of its home directory, where its .vmx is."""
        return f"[{self.config.vmx or self.home.name}] {self.directory or self.config.name}/{file}"

    @property
    def stem(self) -> str:
        return self.base or self.config.name

    @property
    def vmx_path(self) -> str:
        return self.path(f"{self.stem}.vmx")


class Inventory:
    """All objects of a server by managed object ID. `lock` guards them; `changed` is notified when a task ends."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.datastores: dict[str, Datastore] = {}
        self.machines: dict[str, Machine] = {}
        self.parked: dict[str, Machine] = {}  # unregistered, by name
        self.files: dict[str, Machine] = {}  # VMs of which there are only files, by the path of their .vmx file
        self.recent: dict[str, list[Any]] = {}  # tasks of folders
        self.places = dict(_ABOVE)
        self.attributes: dict[str, int] = {}  # custom attributes: name -> key
        self.ids = itertools.count(1001)
        for one in config["datastores"]:
            moid = f"datastore-{next(self.ids)}"
            self.datastores[moid] = Datastore(moid, **{key: value for key, value in one.items() if key != "vms"})
        for one in config["datastores"]:
            for vm in one.get("vms", ()):
                self.register(one["name"], **vm)

    def datastores_of(self, machine: Machine) -> list[Datastore]:
        """Where the VM has anything: its home, its disks, or an ISO image in its drive."""
        config, home = machine.config, machine.home.name
        disks = [disk.get("datastore", home) for disk in config.disks if "file" not in disk]
        names = [config.vmx or home, *disks, config.iso]
        return [self.datastore(name) for name in dict.fromkeys(names) if name]

    def datastore(self, name: str) -> Datastore:
        return next(one for one in self.datastores.values() if one.name == name)

    def register(self, datastore: str, **config: Any) -> str:
        """Register a new VM; returns its managed object ID."""
        with self.lock:
            moid = f"vm-{next(self.ids)}"
            machine = Machine(moid, Config(**config), self.datastore(datastore), str(uuid.uuid4()))
            for number in range(machine.config.snapshots):
                self.add_snapshot(machine, f"before-upgrade-{number + 1}", "taken by an administrator", False)
            self._place(machine)
            self.machines[moid] = machine
            return moid

    def _place(self, machine: Machine) -> None:
        """Put a VM into its folder, pool and vApp, which are made where they are missing, as custom attributes are."""
        config = machine.config
        for name in config.attributes:
            self.attributes.setdefault(name, 101 + len(self.attributes))
        machine.folder, machine.pool, machine.vapp = "group-v3", "resgroup-6", ""
        for name in filter(None, config.folder.split("/")):
            machine.folder = self._within(Place("Folder", name, machine.folder))
        for name in filter(None, config.resource_pool.split("/")):
            machine.pool = self._within(Place("ResourcePool", name, machine.pool))
        if config.vapp:
            machine.vapp = self._within(Place("VirtualApp", config.vapp, machine.pool, machine.folder))
            machine.folder, machine.pool = "", machine.vapp

    def _within(self, place: Place) -> str:
        found = next((moid for moid, known in self.places.items() if known == place), None)
        if found is None:
            found = f"{place.kind.lower()}-{next(self.ids)}"
            self.places[found] = place
        return found

    def register_again(self, name: str) -> str:
        """Register an unregistered VM: the same files and snapshots, with new managed object IDs."""
        with self.lock:
            machine = self.parked.pop(name)
            machine.moid = f"vm-{next(self.ids)}"
            self.renumber(machine)
            self.machines[machine.moid] = machine
            return machine.moid

    def renumber(self, machine: Machine) -> None:
        """Give the snapshots of a VM new managed object IDs."""
        for node in machine.nodes():
            was, node.moid = node.moid, f"snapshot-{next(self.ids)}"
            machine.current = node.moid if machine.current == was else machine.current

    def unregister(self, machine: Machine) -> None:
        del self.machines[machine.moid]
        self.parked[machine.config.name] = machine

    def change(self, machine: Machine, changes: Mapping[str, Any]) -> None:
        """Change fields of a VM's configuration."""
        machine.config = replace(machine.config, **changes)
        self._place(machine)

    # ---- Snapshots

    def snapshot(self, moid: str) -> tuple[Machine, Snapshot] | None:
        return next(
            ((machine, node) for machine in self.machines.values() for node in machine.nodes() if node.moid == moid),
            None,
        )

    def add_snapshot(self, machine: Machine, name: str, description: str, quiesce: bool) -> Snapshot:
        """Quiescing that cannot be done is left out without a word, as vSphere does."""
        machine.count += 1
        node = Snapshot(f"snapshot-{next(self.ids)}", name, description, machine.count, config=machine.config)
        node.quiesced = quiesce and machine.tools_running
        if node.quiesced and machine.config.guest == "linux":
            node.manifest = machine.path(f"{machine.config.name}-quiesce_manifest{node.id}.xml")
        elif node.quiesced and machine.config.vss:
            node.manifest = machine.path(f"{machine.config.name}-vss_manifests{node.id}.zip")
        chain = machine.chain()
        (chain[-1].children if chain else machine.snapshots).append(node)
        machine.current = node.moid
        return node

    def remove_snapshot(self, machine: Machine, moid: str) -> bool:
        """Take one snapshot out of the tree; its children hang under its parent then. False if it is not there."""
        parent, siblings = next(
            (
                (above.moid, above.children)
                for above in machine.nodes()
                if any(node.moid == moid for node in above.children)
            ),
            ("", machine.snapshots),
        )
        node = next((node for node in siblings if node.moid == moid), None)
        if node is None:
            return False
        at = siblings.index(node)
        siblings[at : at + 1] = node.children
        if machine.current == moid:
            machine.current = parent
        return True


def _nodes(trees: list[Snapshot]) -> Iterator[Snapshot]:
    for node in trees:
        yield node
        yield from _nodes(node.children)


def chain_to(trees: list[Snapshot], wanted: str) -> list[Snapshot]:
    for node in trees:
        if node.moid == wanted:
            return [node]
        below = chain_to(node.children, wanted)
        if below:
            return [node, *below]
    return []
