# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set up each restore: the files of VMs in a ZFS snapshot on real ZFS, and a vCenter. Then run a system on it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.identity import NAME_PREFIX, description
from pyVmomi import vim

from tests.lab import vm_files
from tests.lab.places import GUEST
from tests.lab.push import push
from tests.lab.simulator import SHARED_WAIT, Simulator, requests
from tests.lab.storage_host import StorageHost
from tests.lab.vsphere import Client, done, session

from ..figures import Figures
from ..stage import HOSTS, start
from .cases import ENGINE, RestoreCase

RUN = "20260131T020000-1f2e3d4c"
OURS = NAME_PREFIX + RUN
DATASTORE, SNAPSHOT = "vmware", "auto-2026-01-31_02-00"
DISK_MB = 4
TASK_SECONDS = 0.2


def run_once(case: RestoreCase, system: str, host: StorageHost) -> Figures:
    """Set up the case and run the system once. Raise RuntimeError if not all VMs were restored and powered on."""
    with _stage(case, host) as (vcenter, job):
        before = {vm["moid"] for vm in vcenter.machines()}
        vcenter.clear_trace()
        command = "benchmarks.restores.engine" if system == ENGINE else "benchmarks.restores.playbook"
        cost = start([command], {**job, "begun": time.monotonic()}, host)
        asked = requests(vcenter.trace(), SHARED_WAIT)
        restored = [vm for vm in vcenter.machines() if vm["moid"] not in before]
        if [(vm["power"], vm["snapshots"]) for vm in restored] != [("on", [])] * case.vms:
            raise RuntimeError(f"{system} did not restore and power on {case.vms} VMs: {restored}")
    return {**cost, "vcenter_requests": asked, "cpu_ms_per_restore": 1000 * cost["cpu_seconds"] / case.vms}


@contextmanager
def _stage(case: RestoreCase, host: StorageHost) -> Iterator[tuple[Simulator, dict[str, Any]]]:
    dataset = f"tank/bench-{os.getpid()}"
    names = [f"vm-{number:04}" for number in range(1, case.vms + 1)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        host.ssh(["zfs", "create", dataset])
        stack.callback(host.ssh, ["sh", "-c", _CLEAN_UP, "clean", dataset])
        _write_files(host, folder, dataset, names)
        vcenter = stack.enter_context(_vcenter(dataset, names, folder / "vcenter"))
        host.ssh(["zfs", "snapshot", f"{dataset}@{SNAPSHOT}"])
        state = {
            "VMWARE_ZFS_STATE_DIR": str(folder / "state"),
            "VMWARE_ZFS_KEY_FILE": str(folder / "secret.key"),
            "VMWARE_ZFS_LOCK_DIR": str(folder / "run"),
        }
        yield vcenter, _job(case, vcenter, dataset, names, host) | {"environment": state}


# A clone must be destroyed before the ZFS snapshot. This host belongs to the benchmark, so all restores are its own.
_CLEAN_UP = """
for name in $(zfs list -H -o name | grep -F /vmware-zfs-restores/ | sort -r); do zfs destroy "$name"; done
zfs destroy tank/vmware-zfs-restores 2>/dev/null
rm -f /etc/exports.d/*vmware-zfs-restores*; exportfs -ra
zfs destroy -r "$1"
"""


def _write_files(host: StorageHost, folder: Path, dataset: str, names: Sequence[str]) -> None:
    """Write the files of the VMs, with disks whose blocks differ."""
    files: dict[str, Path | bytes] = {}
    for name in names:
        vm_files.write(folder / name, name, RUN, f"{dataset}@{SNAPSHOT}")
        files.update({f"/{dataset}/{name}/{file.name}": file for file in (folder / name).iterdir()})
    push(host, files)
    fill = f'for name; do head -c {DISK_MB}M /dev/urandom >"$name-flat.vmdk"; : >"$name-000001-delta.vmdk"; done'
    host.ssh(["sh", "-ec", fill, "fill", *(f"/{dataset}/{name}/{name}" for name in names)], timeout=600)


def _vcenter(dataset: str, names: Sequence[str], folder: Path) -> Simulator:
    """Start a vCenter in which the copies of the VMs have the VMware snapshot of the run."""
    vms = [{"name": name, "cards": [{"network": "VM Network"}]} for name in names]
    datastores = [{"name": DATASTORE, "server": GUEST, "path": f"/{dataset}", "vms": vms}]
    vcenter = Simulator.start(
        {"cluster_hosts": HOSTS - 1, "datastores": datastores},
        directory=folder,
        create_seconds=TASK_SECONDS,
        remove_seconds=TASK_SECONDS,
    )
    with session(vcenter) as client:
        _copy_with_snapshot(vcenter, client, f"{dataset}@{SNAPSHOT}", names)
    return vcenter


def _copy_with_snapshot(vcenter: Simulator, client: Client, zfs_snapshot: str, names: Sequence[str]) -> None:
    machines = client.all(vim.VirtualMachine)
    text = description(vm_files.HOST, RUN, zfs_snapshot)
    for task in [machines[name].CreateSnapshot_Task(OURS, text, False, True) for name in names]:
        done(task)
    for name in names:
        vcenter.copy(name, rf"\[.*\] .*/{name}\.vmx")
    for task in [machines[name].RemoveAllSnapshots_Task() for name in names]:
        done(task)


def _job(
    case: RestoreCase, vcenter: Simulator, dataset: str, names: Sequence[str], host: StorageHost
) -> dict[str, Any]:
    return {
        "vcenter": {
            "hostname": vcenter.host,
            "port": vcenter.port,
            "username": vcenter.user,
            "password": vcenter.password,
            "ca_path": str(vcenter.ca_path),
        },
        "storage_host": host.name,
        "datastore": DATASTORE,
        "esxi_host": vcenter.hosts()[0]["name"],
        "snapshot": f"{dataset}@{SNAPSHOT}",
        "vmware_snapshot": OURS,
        "way": case.way,
        "vms": list(names),
    }
