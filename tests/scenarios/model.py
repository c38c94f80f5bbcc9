# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scenario is made of: servers and VMs, what happens when, what is asked for, and what has to come of it.

Faults are those of the lab's simulator (tests/lab/vcenter/README.md), which the fake has by the same names. What others
do meanwhile happens at moments that both servers know: before a call of the engine, and around `zfs` commands.
"""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Protocol, Sequence

NAME_PREFIX = "vmware-zfs "  # of our VMware snapshots
TREE = "tank/vmware"
NFS_SERVER = "10.0.2.15"  # the storage host, as ESXi hosts mount from it

CREATE = "CreateSnapshotEx_Task"
REMOVE = "RemoveSnapshot_Task"
CONSOLIDATE = "ConsolidateVMDisks_Task"
READ = "RetrievePropertiesEx"
WAIT = "WaitForUpdatesEx"
READ_TASKS = "a VM's recent tasks"  # a READ that asks for them

Config = Mapping[str, Any]  # of a VM, a datastore or a server, as the simulator has it


class Server(Protocol):
    """What the fake and the simulator have in common."""

    @property
    def host(self) -> str:
        """Its name or address."""

    @property
    def port(self) -> int:
        """Where it listens."""

    @property
    def user(self) -> str:
        """The account of the engine."""

    @property
    def password(self) -> str:
        """Its password."""

    @property
    def ca_path(self) -> Any:
        """The authority of its certificate."""

    def rule(self, **what: Any) -> int:
        """Add a fault."""

    def rules(self) -> list[dict[str, Any]]:
        """The faults, with how often each was met."""

    def clear_rules(self) -> None:
        """End all faults."""

    def release(self, vm: str = "") -> int:
        """Let hanging tasks go on."""

    def expire_sessions(self) -> None:
        """End all sessions."""

    def deny(self, privilege: str, entity: str = "", whole: bool = False) -> None:
        """Take a privilege away on objects whose name matches."""

    def grant_all(self) -> None:
        """Take all denials back."""

    def vm(self, pattern: str, /, **changes: Any) -> int:
        """Change fields of VMs."""

    def register(self, datastore: str, /, **config: Any) -> str:
        """Register a VM."""

    def unregister(self, name: str) -> int:
        """Unregister a VM."""

    def snapshots(self) -> dict[str, list[dict[str, Any]]]:
        """The snapshot trees, by VM."""

    def stop(self) -> None:
        """End it."""


class World(Protocol):
    """Where a scenario happens."""

    zfs: Any  # Storage

    @property
    def servers(self) -> Sequence[Server]:
        """In their order."""

    def await_ours(self, vm: str, server: int) -> None:
        """Wait until the VM has a VMware snapshot of ours."""

    def remove_snapshots(self, vm: str, server: int, prefix: str) -> None:
        """Somebody removes VMware snapshots of the VM."""

    def take_snapshot(self, vm: str, server: int, name: str) -> None:
        """Somebody takes a VMware snapshot of the VM."""


Action = Callable[[World], Any]


@dataclass(frozen=True)
class Moment:
    """Before the `number`-th call of a method on a server, counted from the login; or before or after the command
    `zfs <method>`.
    """

    method: str
    number: int = 1
    server: int = 0
    zfs: str = ""  # "before" or "after"


# The order of a run: what is planned is held, then the first look, the ZFS snapshot, the second look, the release.
PLANNED = Moment(CREATE)
HELD = Moment("snapshot", zfs="before")  # after the first look
TAKEN = Moment("snapshot", zfs="after")  # before the second look
RELEASING = Moment(REMOVE)


@dataclass(frozen=True)
class Event:
    """At this moment somebody does something. The engine waits for it."""

    moment: Moment
    action: Action


@dataclass(frozen=True)
class Rule:
    """A fault of a server, by the simulator's fields."""

    effect: str
    method: str
    vm: str = ""
    server: int = 0
    more: Mapping[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        return {"effect": self.effect, "method": self.method, "vm": self.vm, **self.more}


@dataclass(frozen=True)
class ZfsFault:
    """A `zfs` command that is refused, or ended by its time limit; see fakes/zfs.py."""

    command: str
    timeout: bool = False
    carried_out: bool = False
    skip: int = 0
    count: int = 1


@dataclass(frozen=True)
class Expected:
    """What has to come of a run.

    `levels` are those of the VMs in the result (None: not looked at), `reasons` and `problems` parts of what is said of
    VMs and of the whole. Consistency and completeness follow from these where they are not given.

    `failed` is a part of the error that ends the run, `taken` says whether its ZFS snapshots are there at the end.
    `left` VMware snapshots are, and `watched` are the VMs whose journal entries are open after the run. `held` gives
    the most seconds that a VM may be held.
    `records` are those on each dataset, where they differ: its consistency, and whether it is complete; `recovered` is
    what the record of the first one says once the faults are over and recovery was there. Not `recorded`: what is there
    carries no record. `hits` is how often the faults of a method were met. `text` is the consistency for people, and
    `warnings` are parts of the warnings.
    """

    levels: Mapping[str, str] | None = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    consistency: str = ""
    complete: bool | None = None
    failed: str = ""
    taken: bool = True
    left: int = 0
    watched: tuple[str, ...] = ()
    held: Mapping[str, float] = field(default_factory=dict)
    records: Mapping[str, tuple[str, bool]] = field(default_factory=dict)
    recovered: tuple[str, bool] | None = None
    recorded: bool = True
    hits: Mapping[str, int] = field(default_factory=dict)
    text: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """One row of the table. `servers` are the datastores of each; `request` are options of Request and Policy."""

    name: str
    servers: tuple[tuple[Config, ...], ...]
    expected: Expected
    rules: tuple[Rule, ...] = ()
    events: tuple[Event, ...] = ()
    zfs: tuple[ZfsFault, ...] = ()
    request: Mapping[str, Any] = field(default_factory=dict)
    datasets: tuple[str, ...] = (TREE,)
    volumes: tuple[str, ...] = ()  # those of the datasets that are no file systems
    receiving: tuple[str, ...] = ()  # those that are half received
    datastores: tuple[str, ...] = ()  # that the credentials name
    call_seconds: float = 10.0  # time limit of a call
    look_seconds: float = 10.0  # the most that the second look may take
    refused: tuple[int, ...] = ()  # servers that refuse the login
    unreadable: tuple[str, ...] = ()  # objects of the first server that the account may not read
    whole: bool = False  # a call that reads one of them among others is refused


# ---- Words for rows


def vm(name: str, **config: Any) -> Config:
    return {"name": name, **config}


def nfs(*vms: Config, name: str = "vmware", dataset: str = TREE) -> Config:
    """A datastore on a dataset of the storage host."""
    return {"name": name, "server": NFS_SERVER, "path": f"/{dataset}", "vms": list(vms)}


def san(*vms: Config) -> Config:
    """A datastore that lies elsewhere."""
    return {"name": "san", "type": "local", "vms": list(vms)}


def rule(effect: str, method: str, vm: str = "", server: int = 0, **more: Any) -> Rule:
    return Rule(effect, method, vm, server, more)


def busy(method: str, vm: str, count: int) -> Rule:
    """The VM is busy with another task."""
    fields = {"Task": {"Type": "Task", "Value": "task-0"}}
    return rule("task_fault", method, vm, fault="TaskInProgress", fields=fields, count=count)


def power(vm: str, state: str, server: int = 0) -> Action:
    return lambda world: world.servers[server].vm(vm, power=state)


def disks(vm: str, *datastores: str, server: int = 0) -> Action:
    """The VM has these disks from now on, each on its datastore; device keys go by their order."""
    return lambda world: world.servers[server].vm(vm, disks=[{"datastore": name} for name in datastores])


def change(vm: str, server: int = 0, **config: Any) -> Action:
    """Fields of the VM's configuration are others from now on; `vmx` moves its .vmx to a datastore, and no disk."""
    return lambda world: world.servers[server].vm(vm, **config)


def deny(name: str, whole: bool = False, server: int = 0) -> Action:
    """The account may not read an object any more. `whole`: a call that reads it among others is refused."""
    return lambda world: world.servers[server].deny("System.Read", name, whole)


def unregister(vm: str, server: int = 0) -> Action:
    return lambda world: world.servers[server].unregister(vm)


def register(datastore: str, server: int = 0, **config: Any) -> Action:
    return lambda world: world.servers[server].register(datastore, **config)


def remove_ours(vm: str, server: int = 0) -> Action:
    """Somebody removes our VMware snapshot of a VM."""
    return remove_snapshots(vm, NAME_PREFIX, server)


def remove_snapshots(vm: str, prefix: str, server: int = 0) -> Action:
    return lambda world: world.remove_snapshots(vm, server, prefix)


def take_snapshot(vm: str, server: int = 0) -> Action:
    """An administrator takes a VMware snapshot."""
    return lambda world: world.take_snapshot(vm, server, "by hand")


def replace_snapshot(by: str = "") -> Action:
    """Somebody destroys our ZFS snapshot, renames it, or takes another one of its name."""
    return lambda world: world.zfs.replace(f"{TREE}@one", f"{TREE}@{by}" if by else "")


def never() -> Action:
    """It must not come to this."""

    def fail(world: World) -> None:
        raise AssertionError("it must not come to this")

    return fail


def expire(server: int = 0) -> Action:
    return lambda world: world.servers[server].expire_sessions()


def wake(server: int = 0) -> Action:
    """The tasks that hang go on."""
    return lambda world: world.servers[server].release()


def appear(vm: str, server: int = 0) -> Action:
    """The creation of our VMware snapshot of a VM, which hangs, goes on to its end."""

    def go_on(world: World) -> None:
        world.servers[server].release(vm)
        world.await_ours(vm, server)

    return go_on


def begin(rule: Rule) -> Action:
    """From now on a rule is in force."""
    return lambda world: world.servers[rule.server].rule(**rule.fields())


def end_faults(server: int = 0, after: float = 0.0) -> Action:
    """The server is well again so many seconds later; nobody waits for that."""

    def start(world: World) -> None:
        timer = threading.Timer(after, world.servers[server].clear_rules)
        timer.daemon = True
        timer.start()

    return start


def pause(seconds: float) -> Action:
    """Something takes its time, and the engine waits for it."""
    return lambda world: time.sleep(seconds)


def stop() -> Action:
    """systemd ends the run."""

    def ask(world: World) -> None:
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL, "nobody listens: it would end the tests"
        asked = threading.main_thread()
        signal.pthread_kill(asked.ident or 0, signal.SIGTERM)
        if threading.current_thread() is not asked:
            time.sleep(0.2)  # until it has looked

    return ask
