# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many datasets on real ZFS need no more processes than one. A unit test with the same name uses a thousand."""

from __future__ import annotations

import time
from typing import Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import SnapshotTask
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import turn as turns

from tests.lab.places import GUEST
from tests.lab.storage_host import StorageHost

from .conftest import StartVcenter
from .scene import Scene, nfs

CHILDREN = 12
SNAPSHOTS = 2
MAKE = """
zfs create "$1"
seq "$2" | xargs -P 8 -I% zfs create -u "$1/vm%"
for number in $(seq "$3"); do zfs snapshot -r -o "quiesce.vmware_zfs:task=$4" "$1@old$number"; done
"""


@pytest.fixture
def task(scene: Scene, storage_host: StorageHost) -> Iterator[SnapshotTask]:
    """A snapshot task on a dataset with many children and existing snapshots."""
    root = f"{scene.tree}/many"
    settings = {
        "dataset": root, "recursive": True, "aliases": [GUEST], "lifetime_value": 1, "lifetime_unit": "HOUR",
        "naming_schema": f"t{time.monotonic_ns()}-%s",
    }  # fmt: skip
    stored = scene.engine.tasks.insert(SnapshotTask("").merged(settings))
    storage_host.ssh(["sh", "-ec", MAKE, "make", root, str(CHILDREN), str(SNAPSHOTS), stored.key])
    yield stored
    storage_host.ssh(["zfs", "destroy", "-r", root])


def test_many_datasets_take_as_many_processes_as_one(
    scene: Scene, task: SnapshotTask, start_vcenter: StartVcenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    vcenter = start_vcenter(nfs("many", task.dataset, {"name": "web"}))
    scene.enrol(vcenter, task.dataset)
    later = time.time() + 2 * 3600
    monkeypatch.setattr(time, "time", lambda: later)
    zfs = scene.engine.zfs

    done = turns.take_turn(scene.engine, task).require_success().as_dict()
    taken, retired = done["snapshot"]["zfs_snapshots"], done["retired"]
    assert len(taken) == 1 + CHILDREN and done["snapshot"]["complete"]
    assert len(retired["destroyed"]) == (1 + CHILDREN) * SNAPSHOTS
    assert sorted(kept["name"] for kept in retired["kept"]) == sorted(taken)
    # datasets of the pool, facts; snapshot, their createtxg, seal; facts, destroy
    assert zfs.processes == 7
    scene.assert_released(vcenter)

    before = zfs.processes
    records = record.read(zfs, taken)
    assert zfs.processes - before == 2 and all(one.sealed for one in records.values())
    assert [one.consistency for one in records.values()] == ["filesystem", *["still"] * CHILDREN]
