# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays a scenario: a real engine, a zfs in memory, and whatever servers the driver starts."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence
from unittest import mock

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import RunFailed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.matching import match as matching
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Policy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery import recover
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runs import run
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots import (
    hold_run,
    quiesce,
    release,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots import (
    scheduler as drive,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credential
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import Engine, open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal_entries import ABSENT
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.view import StorageHostView
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import vm_snapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import list_datastores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import (
    Endpoint,
    Session,
    Timeouts,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vms import list_vms
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.zfs import Fault, Storage

from .checks import Outcome, check
from .model import NAME_PREFIX, NFS_SERVER, READ, READ_TASKS, TREE, Event, Moment, Scenario, Server

Start = Callable[[int, Mapping[str, Any]], Server]  # number, configuration
Connect = Callable[[Endpoint, str, Secret, Timeouts], Session]

_POLICY = set(Policy.__dataclass_fields__)
_LIMITS = {"vm_timeout": 10.0, "max_hold": 20.0}  # a scenario that goes wrong ends soon
_VIEW = StorageHostView(frozenset([ip_address(NFS_SERVER)]), frozenset())
# Times of the engine that are shorter here: before another try, and what has to be left for the ZFS snapshot.
_SECONDS = (
    (quiesce, "_RETRY", 0.05),
    (release, "_RETRY", 0.05),
    (drive, "_RECONNECT_PAUSE", 0.05),
    (hold_run, "_LEAST_ZFS_TIME", 0.5),
)
_PATIENCE = 10.0  # seconds for what is certain to come


class Stage:
    """The world of one scenario, and the engine in it. Closing it ends the servers."""

    def __init__(self, scenario: Scenario, start: Start, connect: Connect, folder: Path) -> None:
        self._scenario, self._connect = scenario, connect
        self._lock = threading.Lock()
        self._seen: Counter[Moment] = Counter()
        self.failed: Exception | None = None  # why somebody could not do what he was to do
        self.order: list[Moment] = []  # what the engine did, first things first
        self._stack = ExitStack()
        self.zfs = Storage(scenario.datasets)
        self.zfs.volumes, self.zfs.receiving = set(scenario.volumes), set(scenario.receiving)
        self.zfs.faults = [
            Fault(fault.command, fault.timeout, fault.carried_out, skip=fault.skip, count=fault.count)
            for fault in scenario.zfs
        ]
        self.zfs.watch = lambda when, command: self._reach(Moment(command, zfs=when))
        self.servers: list[Server] = []
        for number, datastores in enumerate(scenario.servers):
            self.servers.append(start(number, {"datastores": [dict(one) for one in datastores]}))
            self._stack.callback(self.servers[-1].stop)
        self._stack.enter_context(mock.patch.object(matching, "observe", lambda *arguments: _VIEW))
        for room, name, value in (*_SECONDS, (hold_run, "_LOOK_TIME", scenario.look_seconds)):
            self._stack.enter_context(mock.patch.object(room, name, value))
        paths = Paths(folder / "state", folder / "etc" / "secret.key", folder / "run")
        opened = self._stack.enter_context(open_engine(paths))
        self.engine: Engine = replace(opened, zfs=self.zfs, connect=self._log_in)
        for number, server in enumerate(self.servers):
            credential = Credential("", "", "").merged(
                {
                    "hostname": server.host,
                    "port": server.port,
                    "username": server.user,
                    "filesystem": TREE,
                    "datastores": scenario.datastores,
                    "ca_path": str(server.ca_path) if server.ca_path else None,
                }
            )
            password = "wrong" if number in scenario.refused else server.password
            self.engine.credentials.insert(credential, Secret(password))

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *unused: Any) -> None:
        self._stack.close()

    # ---- What happens meanwhile

    def _log_in(self, endpoint: Endpoint, username: str, password: Secret) -> Session:
        """A session of the engine, whose calls are counted."""
        session = self._connect(endpoint, username, password, Timeouts(5.0, self._scenario.call_seconds))
        number = next(at for at, server in enumerate(self.servers) if server.port == endpoint.port)
        invoke = session.stub.InvokeMethod

        def overheard(reference: Any, info: Any, *arguments: Any) -> Any:
            self._reach(Moment(info.wsdlName, server=number))
            if info.wsdlName == READ and _is_about_tasks(arguments[0][0]):
                self._reach(Moment(READ_TASKS, server=number))
            return invoke(reference, info, *arguments)

        session.stub.InvokeMethod = overheard
        return session

    def _reach(self, moment: Moment) -> None:
        """Something is about to happen once more."""
        with self._lock:
            self._seen[moment] += 1
            now = replace(moment, number=self._seen[moment])
            self.order.append(now)
        for event in self._scenario.events:
            if event.moment == now:
                self._act(event)

    def _act(self, event: Event) -> None:
        try:
            event.action(self)
        except Exception as error:  # the engine would take it for a fault of its own
            self.failed = error
            raise

    def await_ours(self, vm: str, server: int) -> None:
        """Our VMware snapshot of a VM has come to be."""
        _until(lambda: bool(list(_named(self.servers[server].snapshots()[vm], NAME_PREFIX))))

    def remove_snapshots(self, vm: str, server: int, prefix: str) -> None:
        """Somebody else removes the VMware snapshots of a VM whose names begin so."""
        chosen = self.servers[server]
        with self._administrator(chosen) as session:
            for moid in _named(chosen.snapshots()[vm], prefix):
                vm_snapshots.start_remove(session, moid)
            _until(lambda: not list(_named(chosen.snapshots()[vm], prefix)))

    def take_snapshot(self, vm: str, server: int, name: str) -> None:
        """Somebody else takes a VMware snapshot of a VM."""
        chosen = self.servers[server]
        with self._administrator(chosen) as session:
            vms = list_vms(session, [datastore.moid for datastore in list_datastores(session)])
            moid = next(found.moid for found in vms if found.name == vm)
            vm_snapshots.start_create(session, moid, name, "taken by an administrator", False, 60.0)
            _until(lambda: bool(list(_named(chosen.snapshots()[vm], name))))

    def _administrator(self, server: Server) -> Session:
        """A session of somebody else."""
        endpoint = Endpoint(server.host, server.port, ca_path=str(server.ca_path) if server.ca_path else None)
        return self._connect(endpoint, server.user, Secret(server.password), Timeouts())

    # ---- The run, and what is left of it

    def run(self, snapshot: str = "one") -> Outcome:
        """The coordinated run of the scenario, or with another `snapshot` a further one."""
        for name in self._scenario.unreadable if snapshot == "one" else ():
            self.servers[0].deny("System.Read", name, self._scenario.whole)
        for rule in self._scenario.rules if snapshot == "one" else ():
            self.servers[rule.server].rule(**rule.fields())
        options = {**_LIMITS, **self._scenario.request}
        policy = Policy(**{name: options.pop(name) for name in _POLICY & options.keys()})
        options.setdefault("recursive", len(self._scenario.datasets) > 1)
        error = None
        try:
            result = run.execute(self.engine, Request(TREE, snapshot, policy=policy, **options)).as_dict()
        except RunFailed as failure:
            error, result = failure, failure.details
        if self.failed is not None:
            raise self.failed
        rules = [rule for server in self.servers for rule in server.rules()]
        names = [entry.vm_name for entry in self.engine.journal.open_entries()]
        return Outcome(result, error, sorted(names), list(self._ours()), self.zfs, rules)

    def _ours(self) -> Iterator[str]:
        """Our VMware snapshots that are there, each with its VM."""
        for server in self.servers:
            for vm, trees in server.snapshots().items():
                yield from (f"{moid} of {vm}" for moid in _named(trees, NAME_PREFIX))

    def clean_up(self) -> None:
        """Faults end, what hangs or is late goes on, and recovery has to leave nothing of ours."""
        for server in self.servers:
            server.grant_all()
            server.clear_rules()
            server.release()
        if any(rule.effect in ("task_hang", "call_late") for rule in self._scenario.rules):
            time.sleep(0.5)
        self.zfs.faults.clear()
        expected = self._scenario.expected
        if self.engine.journal.open_entries() or expected.recovered is not None:
            recover.recover(self.engine)
        if expected.recovered is not None:
            (found,) = record.read(self.zfs, [f"{self._scenario.datasets[0]}@one"]).values()
            assert (found.consistency, found.complete) == expected.recovered, found
        assert not list(self._ours()), list(self._ours())
        assert all(entry.state == ABSENT for entry in self.engine.journal.open_entries())


def _is_about_tasks(specs: Sequence[Any]) -> bool:
    """Whether a read asks for a VM's recent tasks."""
    return any(step.path == "recentTask" for spec in specs for item in spec.objectSet for step in item.selectSet or ())


def play(scenario: Scenario, start: Start, connect: Connect, folder: Path) -> None:
    """Play a scenario and check what came of it."""
    with Stage(scenario, start, connect, folder) as stage:
        outcome = stage.run()
        check(scenario, outcome)
        stage.clean_up()


def _named(trees: Sequence[Mapping[str, Any]], prefix: str) -> Iterator[str]:
    """The managed object IDs of the VMware snapshots whose names begin so."""
    for tree in trees:
        if tree["name"].startswith(prefix):
            yield tree["moid"]
        yield from _named(tree.get("children") or (), prefix)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)
