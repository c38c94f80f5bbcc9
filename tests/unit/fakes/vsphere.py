# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake vSphere server, at the place of pyVmomi's stub: all of the engine's own code runs, and only the wire is left
out.

    vcenter = Vcenter({"datastores": [{"name": "vmware", "server": "10.0.2.15", "path": "/tank/vmware", "vms": [...]}]})
    session = connect(vcenter.endpoint, vcenter.user, Secret(vcenter.password))

It is configured, goes wrong and is changed as the lab's simulator is (tests/lab/simulator.py), by methods of the same
names.
"""

from __future__ import annotations

import itertools
import re
import threading
from typing import Any, Callable, Mapping

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import api_version, sdk
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import (
    Endpoint,
    Session,
    Timeouts,
)
from pyVmomi import VmomiSupport
from pyVmomi.SoapAdapter import StubAdapterBase

from .rest import FakeHttps
from .restores import RestoreCalls

_knows: Callable[[str, str], bool] = VmomiSupport.IsChildVersion  # whether one API version includes another
_servers: dict[tuple[str, int], "Vcenter"] = {}  # by host name and port: the network
_ports = itertools.count(10443)


class Vcenter(RestoreCalls):
    """One server, at an address of its own."""

    host = "fake.invalid"
    ca_path = None

    def __init__(self, config: Mapping[str, Any], task_seconds: float = 0.01) -> None:
        super().__init__(config, task_seconds)
        self.port = next(_ports)
        _servers[self.host, self.port] = self

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.host, self.port)

    def stop(self) -> None:
        """Nobody can connect any more."""
        self.clear_rules()
        self.release()
        _servers.pop((self.host, self.port), None)

    # ---- What tests do to it: the methods of the simulator

    def rule(self, **what: Any) -> int:
        """Add a fault (fields: rules.py); returns its id."""
        return self._rules.add(**what)

    def rules(self) -> list[dict[str, Any]]:
        """The rules with the number of their hits."""
        return self._rules.as_dicts()

    def clear_rules(self, rule_id: int = 0) -> None:
        self._rules.clear(rule_id)

    def release(self, vm: str = "") -> int:
        """Let the hanging tasks of the VMs whose names match go on to their end."""
        return self._tasks.release(lambda name: not vm or bool(re.fullmatch(vm, name)))

    def expire_sessions(self) -> None:
        """End all sessions, also for those who are just waiting in one."""
        with self.inventory.lock:
            self._sessions.clear()
            self.inventory.changed.notify_all()

    def deny(self, privilege: str, entity: str = "", whole: bool = False) -> None:
        """Take System.Read away on objects whose name matches."""
        assert privilege == "System.Read", "the fake knows no other"
        with self.inventory.lock:
            self._denied.append((entity or ".*", whole))
            self.inventory.changed.notify_all()

    def grant_all(self) -> None:
        """Take all denials back."""
        with self.inventory.lock:
            self._denied.clear()
            self.inventory.changed.notify_all()

    def vm(self, pattern: str, /, **changes: Any) -> int:
        """Change the VMs whose names match; returns how many."""
        with self.inventory.lock:
            found = [one for one in self.inventory.machines.values() if re.fullmatch(pattern, one.config.name)]
            for machine in found:
                self.inventory.change(machine, changes)
            return len(found)

    def register(self, datastore: str, /, **config: Any) -> str:
        return self.inventory.register(datastore, **config)

    def register_again(self, name: str) -> str:
        return self.inventory.register_again(name)

    def unregister(self, name: str) -> int:
        """Unregister the VMs whose names match; a task that hangs on one fails."""
        with self.inventory.lock:
            found = [one for one in self.inventory.machines.values() if re.fullmatch(name, one.config.name)]
            for machine in found:
                self.inventory.unregister(machine)
        self.release(name)
        return len(found)

    def snapshots(self) -> dict[str, list[dict[str, Any]]]:
        """The snapshot tree of every VM, without going through the API."""
        with self.inventory.lock:
            return {
                one.config.name: [node.as_dict() for node in one.snapshots] for one in self.inventory.machines.values()
            }


def server_at(endpoint: Endpoint) -> Vcenter:
    server = _servers.get((endpoint.hostname, endpoint.port))
    if server is None:
        raise ConnectionRefusedError(111, "Connection refused")
    return server


class Stub(StubAdapterBase):
    """What a session calls through, in place of pyVmomi's stub for SOAP. `limit` is that of one call, in seconds."""

    def __init__(self, endpoint: Endpoint, version: str, limit: float) -> None:
        super().__init__(version)  # type: ignore[no-untyped-call]
        self._endpoint = endpoint
        self.limit = limit

    def InvokeMethod(self, reference: Any, info: Any, arguments: Any) -> Any:
        server = server_at(self._endpoint)
        if not _knows(self.version, info.version):
            raise sdk.vmodl.fault.MethodNotFound(receiver=reference, method=info.name)
        names = (parameter.name for parameter in info.params)
        return server.call(self, reference, info.wsdlName, dict(zip(names, arguments)))

    def DropConnections(self) -> None:
        pass


class FakeSession(Session):
    """A session whose stub is the fake's; the constructor does what that of Session does, but for TLS."""

    def __init__(self, endpoint: Endpoint, username: str, password: Secret, timeouts: Timeouts) -> None:
        self.endpoint = endpoint
        self.username, self.password, self.timeouts = username, password, timeouts
        self._lock = threading.Lock()
        version = self.call_once("log in", api_version.choose, self.https(), str(endpoint))
        self.stub = Stub(endpoint, version, timeouts.call)
        self.logins = 0
        self._log_in(seen=0)

    def https(self) -> Any:
        return FakeHttps(lambda: server_at(self.endpoint).https, self.timeouts.call)

    def open_connections(self, calls: int) -> None:
        """The fake's calls need none."""


def connect(endpoint: Endpoint, username: str, password: Secret, timeouts: Timeouts | None = None) -> Session:
    """What the session's own `connect` does, with a fake server."""
    return FakeSession(endpoint, username, password, timeouts or Timeouts())
