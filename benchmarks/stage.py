# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set up each case: simulated vCenters and datasets on real ZFS. Then run a system on it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.collection_path import collections_path
from tests.lab.places import GUEST, ROOT
from tests.lab.simulator import Simulator
from tests.lab.storage_host import StorageHost

from . import figures
from .cases import ENGINE, POLICIES, SEQUENTIAL, Case
from .interpreter import storage_host_python

_LABELS = {"folder": "Linux", "attributes": {"Owner": "operations"}, "tags": {"backup": ["daily"]}}
HOSTS = 16  # ESXi hosts of each vCenter


def plan_once(case: Case, host: StorageHost) -> figures.Figures:
    """Set up the case and only plan it. Returns the cost."""
    with _stage(case, host) as (_simulators, job):
        return start(["benchmarks.engine", "--plan"], job, host)


def run_once(case: Case, system: str, host: StorageHost) -> figures.Figures:
    """Set up the case and run the system once. Raise RuntimeError if it fails."""
    with _stage(case, host) as (simulators, job):
        plan = start(["benchmarks.engine", "--plan"], job, host) if system == ENGINE else {}
        for simulator in simulators:
            simulator.clear_trace()
        own = start(_command(system), job, host)
        found = figures.of_traces([simulator.trace() for simulator in simulators], case.vms)
        left = sum(bool(machine["snapshots"]) for simulator in simulators for machine in simulator.machines())
        if left:
            raise RuntimeError(f"{system} did not remove the VMware snapshots of {left} VMs")
    return {
        **found,
        **own,
        **{f"plan_{name}": plan[name] for name in ("seconds", "cpu_seconds") if name in plan},
        "cpu_ms_per_vm": 1000 * own["cpu_seconds"] / case.vms,
        **_ratios(case, found["hold_window_seconds"], own.get("zfs_snapshot_seconds", 0.0)),
    }


def _ratios(case: Case, window: float, zfs: float) -> figures.Figures:
    """The hold window divided by its minimum, with and without the time of the ZFS snapshot."""
    if not case.limit:  # waves
        return {"of_limit": 0.0, "of_limit_without_zfs": 0.0}
    return {"of_limit": window / case.limit, "of_limit_without_zfs": (window - zfs) / case.limit}


def _command(system: str) -> list[str]:
    module, _unused, mode = system.partition(", ")
    return {
        ENGINE: ["benchmarks.engine"],
        SEQUENTIAL: ["benchmarks.peers.sequential"],
    }.get(system, ["benchmarks.peers.modules", "--system", module.rpartition(".")[0], "--mode", mode])


def start(command: list[str], job: dict[str, Any], host: StorageHost) -> figures.Figures:
    """Run the system. Returns the cost that it prints."""
    paths = [str(collections_path()), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PATH": f"{host.path_dir}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "",  # as on a storage host
    }
    done = subprocess.run(
        [str(storage_host_python()), "-m", *command],
        input=json.dumps(job), capture_output=True, text=True, env=environment, cwd=ROOT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    said: figures.Figures = json.loads(done.stdout.splitlines()[-1])
    return said


@contextmanager
def _stage(case: Case, host: StorageHost) -> Iterator[tuple[list[Simulator], dict[str, Any]]]:
    root = f"tank/bench-{os.getpid()}"
    children = [f"{root}/d{number}" for number in range(case.datasets)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        host.ssh(["sh", "-ec", "for name; do zfs create $name; done", "create", root, *children])
        stack.callback(host.ssh, ["zfs", "destroy", "-r", root])
        simulators = [
            stack.enter_context(_vcenter(case, children, folder / f"vcenter-{number}"))
            for number in range(case.vcenters)
        ]
        yield simulators, _job(case, root, children, simulators)


def _vcenter(case: Case, children: Sequence[str], folder: Path) -> Simulator:
    each = case.vms // case.vcenters // len(children)
    datastores: list[dict[str, Any]] = [
        {
            "name": f"ds{number}",
            "server": GUEST,
            "path": f"/{child}",
            "vms": [{"name": f"vm{number}", "count": each, **(_LABELS if case.policies else {})}],
        }
        for number, child in enumerate(children)
    ]
    if case.others:
        vms = [{"name": "other", "count": case.others}]
        datastores.append({"name": "others", "server": "10.9.9.9", "path": "/srv/others", "vms": vms})
    simulator = Simulator.start(
        {"cluster_hosts": HOSTS - 1, "datastores": datastores},
        directory=folder,
        create_seconds=case.seconds,
        remove_seconds=case.seconds,
    )
    if case.straggler:
        simulator.rule(method="CreateSnapshot.*", vm="vm0-0001", effect="task_slow", seconds=case.straggler)
    if case.latency:
        simulator.rule(method=".*Snapshot.*_Task", effect="call_delay", seconds=case.latency)
    return simulator


def _job(case: Case, root: str, children: Sequence[str], simulators: Sequence[Simulator]) -> dict[str, Any]:
    each = case.vms // case.vcenters // len(children)
    several = case.credentials > case.vcenters
    return {
        "vcenters": [
            {
                "hostname": simulator.host,
                "port": simulator.port,
                "username": simulator.user,
                "password": simulator.password,
                "ca_path": str(simulator.ca_path),
            }
            for simulator in simulators
        ],
        "dataset": root,
        "snapshot": "bench",
        "datastore": "ds",
        "filesystems": list(children) if several else [root],
        "aliases": [GUEST],
        "vms": [f"vm{number}-{vm:04}" for number in range(len(children)) for vm in range(1, each + 1)],
        "limits": {"per_vcenter": case.in_flight},
        "policy": {
            **({"wave_size": case.wave_size} if case.wave_size else {}),
            **({"vm_timeout": case.vm_timeout} if case.vm_timeout else {}),
            "policies": POLICIES[: case.policies],
        },
    }
