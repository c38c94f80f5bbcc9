# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment of a coordinated run: real ZFS on the lab host, a simulated vCenter, and an engine that uses both."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import QuiesceError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Policy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runs import run
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credential
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import Engine, open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.identity import NAME_PREFIX
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import Timeouts, connect

from tests.lab.places import GUEST
from tests.lab.simulator import Simulator

TIMEOUTS = Timeouts(connect=5.0, call=5.0)
_POLICY = set(Policy.__dataclass_fields__)
_names = count(1)

# Run a module as Ansible does: in a separate process, with arguments and result as JSON.
_MODULE = """
import importlib, json, sys
from ansible.module_utils.testing import patch_module_args
module = importlib.import_module("ansible_collections.quiesce.vmware_zfs.plugins.modules." + sys.argv[1])
with patch_module_args(json.load(sys.stdin)):
    module.main()
"""


def nfs(name: str, dataset: str, *vms: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the simulator configuration of a datastore on a dataset of the lab host."""
    return {"name": name, "server": GUEST, "path": f"/{dataset}", "vms": list(vms), **more}


def nodes(trees: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return all snapshots of a list of snapshot trees, parents first."""
    for tree in trees:
        yield tree
        yield from nodes(tree["children"] if tree.get("children") else [])


def start_module(
    name: str, arguments: dict[str, Any], check: bool = False, diff: bool = False
) -> "subprocess.Popen[str]":
    """Start a module with its arguments. It prints its result on standard output."""
    process = subprocess.Popen(
        [sys.executable, "-c", _MODULE, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps({**arguments, "_ansible_check_mode": check, "_ansible_diff": diff}))
    process.stdin.close()
    process.stdin = None
    return process


def answer(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return the result of a module. Its output must contain only JSON and no traceback."""
    output, complaint = process.communicate(timeout=120)
    assert complaint == "", complaint
    result: dict[str, Any] = json.loads(output)
    assert "exception" not in result and "Traceback" not in output, result
    return result


def run_module(name: str, arguments: dict[str, Any], check: bool = False, diff: bool = False) -> dict[str, Any]:
    """Run a module in this process to save time, and return its result."""
    module = importlib.import_module(f"ansible_collections.quiesce.vmware_zfs.plugins.modules.{name}")
    given = {**arguments, "_ansible_check_mode": check, "_ansible_diff": diff}
    output = io.StringIO()
    with patch_module_args(given), redirect_stdout(output), pytest.raises(SystemExit):
        module.main()
    result: dict[str, Any] = json.loads(output.getvalue())
    assert "exception" not in result and "Traceback" not in output.getvalue(), result
    return result


@dataclass
class Scene:
    """`tree` is the dataset for the snapshots of this test, with the children `nested`, `ds1` and `ds10`.

    The engine uses real time. `reports` contains the reported steps.
    """

    tree: str
    paths: Paths
    engine: Engine
    reports: list[str] = field(default_factory=list)

    def request(self, dataset: str = "", **options: Any) -> Request:
        """Return the Request of a run with options of Request and Policy and a unique name."""
        limits = {"vm_timeout": 30.0, "max_hold": 60.0}  # a failing test ends early
        policy = Policy(**{**limits, **{name: options.pop(name) for name in _POLICY & options.keys()}})
        options.setdefault("snapshot", f"s{next(_names)}")
        return Request(dataset or self.tree, aliases=(GUEST,), policy=policy, **options)

    def take(self, dataset: str = "", **options: Any) -> dict[str, Any]:
        """Run a coordinated snapshot that succeeds."""
        return run.execute(self.engine, self.request(dataset, **options)).as_dict()

    def plan(self, dataset: str = "", **options: Any) -> dict[str, Any]:
        """Return the result of check mode."""
        return run.preview(self.engine, self.request(dataset, **options)).as_dict()

    def fail(self, dataset: str = "", **options: Any) -> QuiesceError:
        """Run a coordinated snapshot that must fail. Return its error, which must be one sentence."""
        with pytest.raises(QuiesceError) as caught:
            self.take(dataset, **options)
        said = str(caught.value)
        assert said.endswith(".") and "\n" not in said and "Traceback" not in said, said
        return caught.value

    def enrol(self, vcenter: Simulator, filesystem: str = "", **more: Any) -> Credential:
        """Store a credential for a simulator."""
        options = {
            "hostname": vcenter.host, "port": vcenter.port, "username": vcenter.user,
            "filesystem": filesystem or self.tree, "ca_path": str(vcenter.ca_path), **more,
        }  # fmt: skip
        password = options.pop("password", vcenter.password)
        return self.engine.credentials.insert(Credential("", "", "").merged(options), Secret(password))

    def record(self, snapshot: str) -> record.Record:
        """Return the consistency record of a ZFS snapshot, which must exist."""
        found = record.read(self.engine.zfs, [snapshot])
        assert snapshot in found, f"{snapshot} carries no record"
        return found[snapshot]

    def exists(self, *snapshots: str) -> bool:
        """Return whether any of the ZFS snapshots exists."""
        listed = self.engine.zfs.run("list", "-H", "-o", "name", "-t", "snapshot", "-r", self.tree).splitlines()
        return any(snapshot in listed for snapshot in snapshots)

    def assert_released(self, *vcenters: Simulator) -> None:
        """Assert that no VMware snapshot of the engine is left in the inventories or in the journal.

        If the response to a creation was lost, later recoveries check for it again. Its entry is `absent`.
        """
        for vcenter in vcenters:
            left = {
                vm: [node["name"] for node in nodes(trees) if node["name"].startswith(NAME_PREFIX)]
                for vm, trees in vcenter.snapshots().items()
            }
            assert not any(left.values()), left
        assert [entry for entry in self.engine.journal.open_entries() if entry.state != "absent"] == []


def vm_of(result: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the entry of one VM in a result."""
    found: dict[str, Any] = next(vm for vm in result["vms"] if vm["name"] == name)
    return found


def levels(result: dict[str, Any]) -> dict[str, str]:
    """Return the levels of all VMs in a result."""
    return {vm["name"]: vm["level"] for vm in result["vms"]}


def foreign(vcenter: Simulator) -> dict[str, list[str]]:
    """Return the VMware snapshots of others by VM, parents first."""
    return {
        vm: [node["name"] for node in nodes(trees) if not node["name"].startswith(NAME_PREFIX)]
        for vm, trees in vcenter.snapshots().items()
    }


def struck(vcenter: Simulator, effect: str) -> int:
    """Return the number of calls with a fault in the trace of the simulator."""
    return sum(entry["kind"] == "call" and entry.get("effect") == effect for entry in vcenter.trace())


def calls(vcenter: Simulator) -> Counter[str]:
    """Return the number of calls per method."""
    return Counter(entry["method"] for entry in vcenter.trace() if entry["kind"] == "call")


def ended(vcenter: Simulator, method: str, event: str = "finished") -> list[dict[str, Any]]:
    """Return the end events of all tasks of one type."""
    return [entry for entry in vcenter.trace() if entry.get("event") == event and entry["method"].startswith(method)]


def meanwhile(*steps: Callable[[], Any]) -> threading.Thread:
    """Run the steps in a separate thread that ends with the session, even if the test fails earlier."""

    def work() -> None:
        for step in steps:
            step()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@contextmanager
def open_scene(tree: str, timeouts: Timeouts = TIMEOUTS) -> Iterator[Scene]:
    """Create an engine with an empty registry. Modules that are started in the meantime use the same registry."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as environment:
        paths = Paths(Path(folder, "state"), Path(folder, "etc", "secret.key"), Path(folder, "run"))
        environment.setenv("VMWARE_ZFS_STATE_DIR", str(paths.state_dir))
        environment.setenv("VMWARE_ZFS_KEY_FILE", str(paths.key_file))
        environment.setenv("VMWARE_ZFS_LOCK_DIR", str(paths.lock_dir))
        reports: list[str] = []
        with open_engine(paths, report=reports.append, connect=partial(connect, timeouts=timeouts)) as engine:
            yield Scene(tree, paths, engine, reports)
