# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cost of many datasets and ZFS snapshots, for the engine and for the zfs commands alone, on the lab's real ZFS.

    python -m benchmarks.zfs_scale [--datasets 1000] [--snapshots 10]

If the storage host of the lab is emulated, every command is slow. Therefore, the number of processes and the ratio of
the engine's time to that of zfs count.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterator
from unittest.mock import patch

from tests.collection_path import collections_path

sys.path.insert(0, str(collections_path()))

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.matching.match import match_on
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.observe import lifetimes
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import RUN, Record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runs import run
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credential
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import Engine, open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import SnapshotTask
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import retire
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import turn as turns
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.text import table
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import Datastore
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import snapshots as zfs_snapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import list_datasets
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.properties import Assignment, assign

from tests.lab.places import GUEST
from tests.lab.simulator import Simulator
from tests.lab.storage_host import StorageHost

from .timed_zfs import TimedZfs

VMS = 10
POOL = "scale"  # a separate pool can be destroyed quickly, with everything in it
ROOT = f"{POOL}/vmware"
_PATIENCE = 3600.0  # seconds; the limits of the engine are too short for an emulated machine
_SAMPLE = 10  # datasets that are read one by one, to extrapolate to all of them

# One process with 32 creations at a time: one process per creation takes three times as long.
_MAKE = """
set -e
truncate -s 4G /var/tmp/scale.img
zpool create -o cachefile=none scale /var/tmp/scale.img
zfs create scale/vmware
python3 - "$1" <<'END'
import ctypes, sys
from concurrent.futures import ThreadPoolExecutor
zfs = ctypes.CDLL("libzfs_core.so.3")
assert zfs.libzfs_core_init() == 0
names = [f"scale/vmware/vm{number:05}".encode() for number in range(1, int(sys.argv[1]))]
with ThreadPoolExecutor(32) as pool:
    assert not any(pool.map(lambda name: zfs.lzc_create(name, 2, None, None, 0), names))
END
for number in $(seq 0 "$(($2 - 1))"); do
    key=another; [ "$number" -gt 0 ] || key=$3
    zfs snapshot -r -o "quiesce.vmware_zfs:task=$key" "scale/vmware@old$number"
done
"""
_REMOVE = "zpool destroy -f scale 2>/dev/null || true; rm -f /var/tmp/scale.img"


def measure(host: StorageHost, datasets: int = 1000, snapshots: int = 10) -> dict[str, Any]:
    """Create `datasets` datasets with `snapshots` ZFS snapshots each, measure, and remove them.

    Returns plain data: `datasets`, `snapshots` (in total) and `figures`, with times in seconds. `..._of_zfs` is the
    engine's time divided by that of its zfs processes. `snapshot_of_bare` is the time of the ZFS snapshot with its
    record divided by the time without. `..._one_by_one_seconds` is the time with one process per dataset, extrapolated
    from a few datasets.
    """
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ):
        os.environ["PATH"] = f"{host.path_dir}:{os.environ['PATH']}"
        with ExitStack() as stack:
            engine, zfs = stack.enter_context(_engine(Path(folder)))
            task = stack.enter_context(_built(host, engine, datasets, snapshots))
            with Simulator.start(_inventory(), directory=Path(folder, "vcenter")) as vcenter:
                credential = Credential(vcenter.host, vcenter.user, ROOT, vcenter.port, ca_path=str(vcenter.ca_path))
                engine.credentials.insert(credential, Secret(vcenter.password))
                figures = {**_matching(zfs), **_planning(engine, zfs)}
            figures.update({**_snapshot(zfs), **_turn(engine, zfs, task, datasets)})
    return {"datasets": datasets, "snapshots": datasets * snapshots, "figures": figures}


def _inventory() -> dict[str, Any]:
    vms = [{"name": f"vm{number}"} for number in range(VMS)]
    return {"datacenters": ["DC0"], "datastores": [{"name": "scale", "server": GUEST, "path": f"/{ROOT}", "vms": vms}]}


@contextmanager
def _engine(folder: Path) -> Iterator[tuple[Engine, TimedZfs]]:
    with open_engine(Paths(folder / "state", folder / "key", folder / "run")) as engine:
        zfs = TimedZfs(_PATIENCE)
        yield replace(engine, zfs=zfs), zfs


@contextmanager
def _built(host: StorageHost, engine: Engine, datasets: int, snapshots: int) -> Iterator[SnapshotTask]:
    """The datasets, and a task that took the oldest ZFS snapshot of each; the others belong to another task."""
    settings = {"dataset": ROOT, "recursive": True, "vmware_sync": False, "lifetime_value": 1, "lifetime_unit": "HOUR"}
    task = engine.tasks.insert(SnapshotTask("").merged(settings))
    host.ssh(["sh", "-c", _REMOVE])
    try:
        host.ssh(["bash", "-c", _MAKE, "make", str(datasets), str(snapshots), task.key], timeout=_PATIENCE)
        yield task
    finally:
        host.ssh(["sh", "-c", _REMOVE], timeout=_PATIENCE)


def _timed(zfs: TimedZfs, name: str, work: Callable[[], Any]) -> dict[str, float]:
    before, begun = len(zfs.taken), time.monotonic()
    work()
    seconds, within = time.monotonic() - begun, zfs.taken[before:]
    return {
        f"{name}_seconds": seconds,
        f"{name}_processes": len(within),
        **({f"{name}_of_zfs": seconds / sum(each for _unused, each in within)} if within else {}),
    }


def _matching(zfs: TimedZfs) -> dict[str, float]:
    """Match a datastore on each dataset. Only the root dataset is mounted, to avoid a thousand mounts on the host."""
    found = _timed(zfs, "list", lambda: list_datasets(zfs))
    mounted = [replace(each, mountpoint=f"/{each.name}", mounted=True) for each in list_datasets(zfs, ROOT)]
    datastores = [
        Datastore(f"datastore-{number}", f"ds{number}", "DC0", "NFS", (GUEST,), f"/{each.name}", True, "vcenter.lab")
        for number, each in enumerate(mounted)
    ]
    return {**found, **_timed(zfs, "match", lambda: match_on(zfs.host, datastores, mounted, [GUEST]))}


def _planning(engine: Engine, zfs: TimedZfs) -> dict[str, float]:
    request = Request(ROOT, "planned", recursive=True, aliases=(GUEST,))

    def plan() -> None:
        planned = run.preview(engine, request)
        assert len(planned.vms) == VMS and not planned.problems, planned.problems

    return _timed(zfs, "plan", plan)


def _snapshot(zfs: TimedZfs) -> dict[str, float]:
    """The command during which all VMs are held, and the seal of all records, during which none is held."""
    names = [dataset.name for dataset in list_datasets(zfs, ROOT)]
    facts = {"server": "vcenter.lab", "vmx_path": "[scale] x/x.vmx", "level": "filesystem", "reason": ""}
    vms = [{**facts, "name": f"vm{number}", "instance_uuid": os.urandom(16).hex()} for number in range(VMS)]
    record = Record("20260101T000000-00000000", "0123456789ab", consistency="filesystem", complete=True, vms=vms)
    found: dict[str, float] = {}
    for name, properties in (("bare", {}), ("snapshot", record.first())):
        targets = [f"{each}@{name}" for each in names]
        found.update(_timed(zfs, name, partial(zfs_snapshots.create, zfs, targets, properties, _PATIENCE)))
    sealed = [Assignment(f"{each}@snapshot", "", record.seal()) for each in names]
    found.update(_timed(zfs, "seal", partial(assign, zfs, RUN, record.run, sealed, _PATIENCE)))
    return {**found, "snapshot_of_bare": found["snapshot_seconds"] / found["bare_seconds"]}


def _turn(engine: Engine, zfs: TimedZfs, task: SnapshotTask, datasets: int) -> dict[str, float]:
    """Run the task two hours later: it takes a ZFS snapshot of all datasets and destroys its old ones."""
    later = time.time() + 2 * 3600
    done: dict[str, Any] = {}
    before = len(zfs.taken)
    with patch.object(retire, "time") as clock:
        clock.time.return_value = later
        figures = _timed(zfs, "turn", lambda: done.update(turns.take_turn(engine, task).require_success().as_dict()))
    assert len(done["retired"]["destroyed"]) == datasets, len(done["retired"]["destroyed"])
    within = zfs.taken[before:]
    some = [f"{ROOT}/vm{number:05}" for number in range(1, min(_SAMPLE, datasets - 1) + 1)]
    begun = time.monotonic()
    for name in some:
        lifetimes.facts(zfs, [name])
    one_by_one = (time.monotonic() - begun) * datasets / len(some)
    facts = [seconds for verb, seconds in within if verb == "get"]
    return {
        **figures,
        "turn_retired": len(done["retired"]["destroyed"]),
        "turn_destroy_seconds": sum(seconds for verb, seconds in within if verb == "program"),
        "facts_seconds": sum(facts) / len(facts),
        "facts_one_by_one_seconds": one_by_one,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zfs_scale", description=__doc__)
    parser.add_argument("--datasets", type=int, default=1000)
    parser.add_argument("--snapshots", type=int, default=10, help="of each dataset, before the run")
    options = parser.parse_args()
    host = StorageHost("bench")
    host.up()
    found = measure(host, options.datasets, options.snapshots)
    print(table(["figure", ""], [[name, f"{figure:.3g}"] for name, figure in found["figures"].items()]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
