# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control the vCenter of the lab from Python: build it, start it, inject faults, and read the trace.

    with Simulator.start(directory=tmp_path) as vcenter:
        vcenter.rule(method="CreateSnapshot_Task", vm="db", effect="task_fault", fault="ApplicationQuiesceFault")
        ...
        assert vcenter.snapshots()["db"] == []

vcenter/README.md describes the simulator and its rules. This module uses only the standard library.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import selectors
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from .cache import product, product_path
from .link import HYPERVISOR
from .places import LabError

SOURCES = Path(__file__).parent / "vcenter"
PACKAGES = ("golang-go", "golang-github-vmware-govmomi-dev")
GOPATH = "/usr/share/gocode"  # the Go libraries of the distribution
USER = "administrator@vsphere.local"
PASSWORD = "lab-Password-1"
WAITS = ("WaitForUpdatesEx", "WaitForUpdates")  # calls that end when something changes, at most once a second
# What a client calls for a wait that all its tasks share.
SHARED_WAIT = (*WAITS, "CreatePropertyCollector", "CreateFilter", "DestroyPropertyCollector")
RECORD = "vcenter.json"  # in the directory of a simulator: describes the running process


class SimulatorError(LabError):
    """The simulator could not be built, started or controlled."""


# ---- Building


def fingerprint() -> str:
    """Return a hash of the sources of the program and of the versions of the packages that it is built with."""
    digest = hashlib.sha256()
    query = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *PACKAGES], capture_output=True, text=True, check=False
    )
    if query.returncode != 0 or shutil.which("go") is None:
        install = f"apt-get install {' '.join(PACKAGES)}"
        raise SimulatorError(f"the simulator cannot be built without Go; install it: {install}")
    digest.update(query.stdout.encode())
    for source in sorted(SOURCES.glob("*.go")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


def build() -> Path:
    """Build the program unless it is in the cache. Return its path. The first build takes about a minute (2 cores)."""

    def compile_into(folder: Path) -> None:
        result = subprocess.run(
            ["go", "build", "-o", str(folder / "vcenter"), "."],
            cwd=SOURCES,
            env={**os.environ, "GO111MODULE": "off", "GOPATH": GOPATH, "GOFLAGS": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise SimulatorError(f"go build failed:\n{result.stdout}{result.stderr}")

    return product(product_path("vcenter", fingerprint()), compile_into) / "vcenter"


def requests(trace: Sequence[dict[str, Any]], without: Sequence[str] = WAITS) -> int:
    """Return the number of calls in a trace, without waits, or without some other methods."""
    return sum(entry["kind"] == "call" and entry["method"] not in without for entry in trace)


# ---- Processes, identified by PID and start time so that no other process is ever killed


def start_time(pid: int) -> int | None:
    """Return the start time of a process in clock ticks since boot, or None if it does not exist."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def end_stray(directory: Path) -> bool:
    """Stop a simulator that an earlier process left running in a directory. Return whether there was one."""
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    ended = False
    try:
        process = os.pidfd_open(record["pid"])
    except ProcessLookupError:
        process = -1
    if process >= 0:
        with open(process, "rb", buffering=0):  # from here on, the PID cannot be reused
            if start_time(record["pid"]) == record["start_time"]:
                signal.pidfd_send_signal(process, signal.SIGKILL)
                select.select([process], [], [], 30)
                ended = True
    (directory / RECORD).unlink(missing_ok=True)
    return ended


class Simulator:
    """A running simulator. `start` starts one, `attach` finds the detached one of a directory."""

    host = "127.0.0.2"  # pyVmomi skips verification on 127.0.0.1
    user = USER
    password = PASSWORD

    def __init__(self, directory: Path, flags: list[str], *, detached: bool) -> None:
        self.directory = directory
        self.ca_path = directory / "certificates" / "ca.pem"
        self.trace_path = directory / "trace.jsonl"
        self.port = 0
        self.control_port = 0
        self.thumbprint = ""  # the SHA-256 thumbprint of the certificate, in upper-case hex with colons
        self.pid = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._flags = flags
        self._detached = detached

    @classmethod
    def start(
        cls,
        config: dict[str, Any] | None = None,
        *,
        directory: Path,
        api_version: str = "7.0.3.0",
        oldest_api_version: str = "6.0",
        esxi: bool = False,
        create_seconds: float = 0.2,
        remove_seconds: float = 0.2,
        port: int = 0,
        state: bool = False,
        tasks: int = 0,
        tasks_per_host: int = 0,
        retention_seconds: float = 600,
        detached: bool = False,
        hypervisor: int = 0,
    ) -> Simulator:
        """Start a vCenter (or an ESXi host) with its files in `directory`, and wait until it responds.

        It offers the API versions from `oldest_api_version` to `api_version`. `tasks` and `tasks_per_host` limit the
        concurrent tasks (0: no limit). With `state`, datastores, VMs and snapshots survive a restart. The simulator
        ends with this process unless `detached` is set. `hypervisor` is the port of the hypervisor for real VMs.
        """
        directory.mkdir(parents=True, exist_ok=True)
        end_stray(directory)
        flags = [
            f"-api-version={api_version}",
            f"-oldest-api-version={oldest_api_version}",
            f"-certificates={directory / 'certificates'}",
            f"-trace={directory / 'trace.jsonl'}",
            f"-create={create_seconds}s",
            f"-remove={remove_seconds}s",
            f"-tasks={tasks}",
            f"-tasks-per-host={tasks_per_host}",
            f"-retention={retention_seconds}s",
            f"-user={USER}",
        ]
        if esxi:
            flags.append("-esxi")
        if hypervisor:
            flags += [f"-hypervisor=127.0.0.1:{hypervisor}", f"-host-address={HYPERVISOR}"]
        if state:
            flags.append(f"-state={directory / 'state.jsonl'}")
        if config is not None:
            (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
            flags.append(f"-config={directory / 'config.json'}")
        simulator = cls(directory, flags, detached=detached)
        simulator._launch(port)
        return simulator

    @classmethod
    def attach(cls, directory: Path) -> Simulator:
        """Return the detached simulator that runs in a directory."""
        try:
            record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise SimulatorError(f"no simulator was started in {directory}; start one") from None
        if start_time(record["pid"]) != record["start_time"]:
            raise SimulatorError(f"the simulator of {directory} is not running any more; start it again")
        simulator = cls(directory, record["flags"], detached=True)
        simulator._adopt(record)
        return simulator

    def _adopt(self, ready: dict[str, Any]) -> None:
        self.pid, self.port, self.control_port = ready["pid"], ready["port"], ready["control"]
        self.thumbprint = ready["thumbprint"]

    def _launch(self, port: int) -> None:
        log = self.directory / "vcenter.log"
        lifeline = [] if self._detached else ["-lifeline"]
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                [str(build()), *self._flags, *lifeline, f"-port={port}"],
                env={**os.environ, "VCENTER_PASSWORD": PASSWORD},
                stdin=subprocess.DEVNULL if self._detached else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            line = self.process.stdout.readline() if selector.select(timeout=120) else b""
        self.process.stdout.close()
        if not line:
            self.kill()
            raise SimulatorError(f"the simulator did not start: {log.read_text(encoding='utf-8')[-2000:].strip()}")
        ready = json.loads(line)
        self._adopt(ready)
        record = {**ready, "start_time": start_time(self.pid), "flags": self._flags}
        (self.directory / RECORD).write_text(json.dumps(record), encoding="utf-8")

    @property
    def hypervisor_port(self) -> int:
        """The port at which the simulator expects the hypervisor, or 0."""
        given = [flag.rpartition(":")[2] for flag in self._flags if flag.startswith("-hypervisor=")]
        return int(given[0]) if given else 0

    # ---- Lifecycle

    def __enter__(self) -> Simulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        if self.process is not None:
            return self.process.poll() is None
        return (self.directory / RECORD).exists() and start_time(self.pid) is not None

    def kill(self) -> None:
        """Kill the vCenter immediately with SIGKILL."""
        if self.process is None:
            end_stray(self.directory)
            return
        self.process.kill()
        self._reap()

    def stop(self) -> None:
        """Stop it gracefully. Has no effect if it has already ended."""
        if self.process is None:
            end_stray(self.directory)
            return
        self.process.terminate()
        self._reap()

    def _reap(self) -> None:
        assert self.process is not None
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        (self.directory / RECORD).unlink(missing_ok=True)

    def restart(self, *, new_certificate: bool = False) -> None:
        """Start again on the same port: after `kill` this simulates a crash, otherwise a reboot. Sessions and tasks are
        lost. Snapshots are kept with state=True. The new certificate is signed by the same CA."""
        if self.running:
            self.stop()
        if new_certificate:
            (self.directory / "certificates" / "server.pem").unlink()
        self._launch(self.port)

    # ---- Fault injection

    def rule(self, **what: Any) -> int:
        """Add a rule (fields: vcenter/README.md). Return its ID."""
        return int(self._control("POST", "rules", what)["id"])

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules with their number of hits."""
        rules: list[dict[str, Any]] = self._control("GET", "rules")
        return rules

    def clear_rules(self, rule_id: int = 0) -> None:
        """Remove one rule or all rules."""
        self._control("DELETE", f"rules?id={rule_id}")

    def release(self, vm: str = "") -> int:
        """Continue the hanging tasks of the VMs whose names match. Return their number."""
        return int(self._control("POST", "release", {"vm": vm})["released"])

    def network(self, mode: str) -> None:
        """Set the network to `up`, `reset` (open and new connections are closed) or `black_hole` (no response)."""
        self._control("POST", "network", {"mode": mode})

    def expire_sessions(self) -> None:
        """End all sessions, including those with waiting calls, and those of the REST API."""
        self._control("POST", "expire")

    def deny(self, privilege: str, entity: str = "", whole: bool = False) -> None:
        """Deny a privilege, everywhere or on objects whose name matches. `whole`: without System.Read on an object, any
        call that reads it fails, even if it reads other objects too.
        """
        self._control("POST", "deny", {"privilege": privilege, "object": entity, "whole": whole})

    def grant_all(self) -> None:
        """Remove all denials."""
        self._control("DELETE", "deny")

    def add_user(self, name: str) -> None:
        """Add a user with the same password and with the privileges that SetEntityPermissions assigns."""
        self._control("POST", "user", {"name": name})

    # ---- Changing the inventory

    def vm(self, pattern: str, /, **changes: Any) -> int:
        """Change the VMs whose names match (a regular expression): any field of a VM's configuration, such as
        power="off", host="DC0_H0" (a vMotion), name="new", tools="not_running", properties={...}, disks=[{"key": 2001}]
        (the others are removed). Return the number of changed VMs."""
        return int(self._control("POST", "vm", {"vm": pattern, "change": changes})["changed"])

    def move(self, pattern: str, /, *, datastore: str = "", disks: str | dict[int, str] = "follow") -> int:
        """Storage vMotion of the VMs whose names match: move the home (.vmx and folder) to `datastore`, if given. Disks
        in the home folder "follow" it or "stay". With {device key: datastore}, only these disks move. Return the
        number of moved VMs."""
        what = {"vm": pattern, "datastore": datastore, "disks": disks}
        return int(self._control("POST", "move", what)["moved"])

    def deploy(self, datastore: str, /, *vms: dict[str, Any], datacenter: str = "") -> list[str]:
        """Register more VMs on a datastore, in the format of the configuration. Return their managed object IDs."""
        what = {"datastore": datastore, "datacenter": datacenter, "vms": list(vms)}
        moids: list[str] = self._control("POST", "deploy", what)["moids"]
        return moids

    def change_host(self, pattern: str, /, **changes: Any) -> int:
        """Change the hosts whose names match: connection="disconnected" (or "notResponding", "connected"),
        maintenance=True, memory_mb=4096, used_mb=1024, nfs_max_volumes=8, addresses=["198.18.0.9"]. Return their
        number. The change does not survive a restart."""
        return int(self._control("POST", "host", {"host": pattern, **changes})["changed"])

    def register(self, datastore: str, /, *, datacenter: str = "", **config: Any) -> str:
        """Register a new VM. Return its managed object ID."""
        what = {"datastore": datastore, "datacenter": datacenter, "config": config}
        return str(self._control("POST", "register", what)["moid"])

    def register_again(self, name: str) -> str:
        """Register an unregistered VM again, with the same snapshots and new managed object IDs. Return its ID."""
        return str(self._control("POST", "register", {"name": name})["moid"])

    def copy(self, vm: str, path: str, **changes: Any) -> None:
        """Let RegisterVM_Task find a copy of the present state of a simulated VM, at datastore paths that
        match (a regular expression). `changes` are fields of its configuration."""
        self._control("POST", "copy", {"vm": vm, "path": path, "change": changes})

    def behave(self, **behavior: Any) -> None:
        """Change what vSphere's documentation leaves open (README.md, `behavior`)."""
        self._control("POST", "behavior", behavior)

    def unregister(self, name: str) -> int:
        """Unregister the VMs whose names match. Return their number."""
        return int(self._control("DELETE", "vm", {"vm": name})["unregistered"])

    # ---- Inspection

    def trace(self, since: int = 0) -> list[dict[str, Any]]:
        """Return all API calls and task events after a sequence number, in order."""
        entries: list[dict[str, Any]] = self._control("GET", f"trace?since={since}")
        return entries

    def wait_for(
        self, wanted: Callable[[dict[str, Any]], bool], *, seconds: float = 30, since: int = 0
    ) -> dict[str, Any]:
        """Wait for the first matching trace entry and return it."""
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            for entry in self._control("GET", f"trace?since={since}&wait={max(1, int(left))}"):
                since = entry["seq"]
                if wanted(entry):
                    found: dict[str, Any] = entry
                    return found
            if left <= 0:
                raise SimulatorError(f"nothing of the kind happened within {seconds} s")

    def clear_trace(self) -> None:
        self._control("DELETE", "trace")

    def rest_sessions(self) -> int:
        """Return the number of open sessions of the REST API."""
        return int(self._control("GET", "rest"))

    def machines(self) -> list[dict[str, Any]]:
        """Return all VMs from the inventory: {"name", "moid", "host", "datastore", "snapshots", "current" (a moid),
        "consolidation_needed", "busy" (the active task, if any)}."""
        machines: list[dict[str, Any]] = self._control("GET", "snapshots")
        return machines

    def hosts(self) -> list[dict[str, Any]]:
        """Return all hosts from the inventory: {"name", "moid", "datacenter", "mounts"}, each mount {"datastore",
        "moid", "type", "servers", "path", "access"}."""
        hosts: list[dict[str, Any]] = self._control("GET", "hosts")
        return hosts

    def snapshots(self) -> dict[str, list[dict[str, Any]]]:
        """Return the snapshot trees of all VMs without using the API: a list of roots, each {"moid", "name",
        "description", "id", "created", "quiesced", "memory", "manifest", "children"}. If two VMs have the same name,
        the moid is appended: "web (vm-12)"."""
        machines = self.machines()
        count = Counter(m["name"] for m in machines)
        return {m["name"] if count[m["name"]] == 1 else f"{m['name']} ({m['moid']})": m["snapshots"] for m in machines}

    def stats(self) -> dict[str, Any]:
        """{"calls": {method: n}, "running": {method: n}, "most": {method: n at once}, "per_host": {host: {method: n at
        once}}}; the keys other than "calls" contain task methods and "all"."""
        stats: dict[str, Any] = self._control("GET", "stats")
        return stats

    def clear_stats(self) -> None:
        self._control("DELETE", "stats")

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.control_port}/_ctl/{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=90) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise SimulatorError(f"{method} {path}: {error.read().decode(errors='replace').strip()}") from None
        except OSError as error:
            raise SimulatorError(f"the simulator does not answer ({error}); is it running?") from error
