# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test which parts of a record `zfs send` transfers, as described in docs/howto/replication.md."""

from __future__ import annotations

from typing import Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery import dead_runs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots import seal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.run_snapshots import RunSnapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.properties import Assignment

from tests.lab.storage_host import StorageHost

from .conftest import StartVcenter
from .scene import Scene, levels, nfs

# Both arguments are datasets: the source with the snapshots `early` and `later`, and the parent of the copies.
_FIRST = """
zfs send -p $0@early | zfs receive -u $1/p
zfs send -R $0@early | zfs receive -u $1/R
"""
_SECOND = """
zfs send $0@later | zfs receive -u $1/plain
zfs send -p -I @early $0@later | zfs receive -u $1/p
zfs send -R -I @early $0@later | zfs receive -u $1/R
if zfs send -p $0@later | head -c 500000 | zfs receive -s -u $1/resumed; then exit 3; fi
token=$(zfs get -H -o value receive_resume_token $1/resumed)
if zfs send -p -t $token > /dev/null; then exit 4; fi
zfs send -t $token | zfs receive -s -u $1/resumed
"""


@pytest.fixture
def sent(tree: str, storage_host: StorageHost) -> Iterator[str]:
    """A dataset with a megabyte of data, and a dataset `copies` for its copies."""
    parent = f"{tree}/replication"
    make = "zfs create -p $0/sent; zfs create $0/copies; head -c 1000000 /dev/urandom > /$0/sent/file"
    storage_host.ssh(["sh", "-ec", make, parent])
    yield f"{parent}/sent"
    storage_host.ssh(["zfs", "destroy", "-r", parent])


def test_a_record_travels_with_the_properties_of_its_snapshot(
    scene: Scene, start_vcenter: StartVcenter, sent: str, storage_host: StorageHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.enrol(start_vcenter(nfs("vmware", sent, {"name": "web"}, {"name": "db", "guest": "windows"})), sent)
    copies, zfs = sent.replace("/sent", "/copies"), scene.engine.zfs

    def copy(script: str) -> None:
        storage_host.ssh(["sh", "-ec", script, sent, copies])

    # A snapshot that is sent before a recovery writes its seal.
    with monkeypatch.context() as without:
        without.setattr(seal, "assign", lambda zfs, key, owner, what, timeout: {one.snapshot: "off" for one in what})
        scene.fail(sent, snapshot="early")
    copy(_FIRST)
    early = [f"{copies}/p@early", f"{copies}/R@early"]
    for one in record.read(zfs, early).values():
        assert (one.consistency, one.complete, one.sealed, one.vms) == ("crash", False, False, [])
    run = record.read(zfs, early)[early[0]].run

    # The copies have the run of their source. They do not belong to this host, even if no createtxg is known.
    claim = record.Record(run, scene.engine.host.id, consistency="application", complete=True)
    scene.engine.journal.keep_seals(run, [Assignment(name, "", claim.seal()) for name in early])
    assert dead_runs.end(scene.engine).sealed == [f"{sent}@early"]
    assert scene.engine.journal.seals(run) == []
    run_snapshots = RunSnapshots(record.Record(run, scene.engine.host.id), early, seen=True)
    run_snapshots.destroy(zfs, timeout=10.0)
    assert set(run_snapshots.undestroyed or ()) == set(early)
    assert not any(one.sealed for one in record.read(zfs, early).values())

    result = scene.take(sent, snapshot="later")
    copy(_SECOND)
    names = [f"{dataset}@{name}" for dataset in (sent, f"{copies}/p", f"{copies}/R") for name in ("early", "later")]
    records = record.read(zfs, [*names, f"{copies}/plain@later", f"{copies}/resumed@later"])

    later = records[f"{sent}@later"]
    assert later.sealed and {vm["name"]: vm["level"] for vm in later.vms} == levels(result) != {}
    assert later == records[f"{copies}/p@later"] == records[f"{copies}/R@later"]
    assert f"{copies}/plain@later" not in records and f"{copies}/resumed@later" not in records
    assert records[f"{sent}@early"].complete and not records[f"{copies}/p@early"].sealed
    assert records[f"{copies}/R@early"] == records[f"{sent}@early"]  # -R sends all properties again
