# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run all job templates of playbooks/awx.yml as AWX does, on the lab's storage host, from installation to a failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.lab.simulator import Simulator
from tests.lab.storage_host import StorageHost
from tests.system.scene import ended

from .api import Awx
from .job import Done, launch

DATASET = {"snapshot_dataset": "tank/vmware"}


@pytest.fixture
def host() -> Iterator[StorageHost]:
    host = StorageHost("awx")
    host.reset()
    yield host
    host.down()


@pytest.fixture
def vcenter(tmp_path: Path) -> Iterator[Simulator]:
    config = {"datacenters": ["DC0"], "datastores": [{"name": "local", "type": "local"}]}
    simulator = Simulator.start(config, directory=tmp_path / "vcenter", create_seconds=0.1, remove_seconds=0.1)
    yield simulator
    simulator.stop()


def test_every_job_template(awx: Awx, host: StorageHost, vcenter: Simulator, tmp_path: Path) -> None:
    credential = awx.named("credentials", "VMware ZFS vCenter")
    inputs = {
        "host": "10.0.2.2", "port": str(vcenter.port), "username": vcenter.user, "password": vcenter.password,
        "authorities": vcenter.ca_path.read_text(),
    }  # fmt: skip
    awx.update("credentials", credential, {"inputs": inputs})
    python = {"ansible_python_interpreter": "/opt/vmware-zfs/venv/bin/python"}  # avoids a second Python per task
    hosts = {"storage01": {**host.inventory(), **python}}

    def job(template: str, answers: dict[str, Any] | None = None, **more: Any) -> Done:
        done = launch(awx, tmp_path, f"VMware ZFS - {template}", hosts, answers, **more)
        assert vcenter.password not in done.stdout + json.dumps(done.events)
        return done

    site = job("site", {
        "site_dataset": "tank/vmware", "site_path": "/tank/vmware", "site_networks": "10.0.2.0/24 10.0.3.0/24",
        "site_servers": "10.0.2.15", "site_datastore": "vmware", "site_datacenter": "DC0",
        "site_hour": "0", "site_minute": "0",
    })  # fmt: skip
    assert site.status == "successful", site.stdout
    vcenter.deploy("vmware", {"name": "web"}, {"name": "db", "tools": "not_running"})

    taken = job("snapshot now", {**DATASET, "snapshot_name": "by-job"})
    assert taken.status == "successful", taken.stdout
    assert "tank/vmware@by-job is crash, not complete; VMware snapshots left: 0" in taken.lines
    assert "web: filesystem" in taken.lines and "db: crash (" in taken.lines
    assert taken.artifacts == {
        "vmware_zfs_snapshot": "tank/vmware@by-job", "vmware_zfs_consistency": "crash", "vmware_zfs_complete": False,
    }  # fmt: skip
    assert len(ended(vcenter, "RemoveSnapshot")) == 2

    # The branch of the workflow: the result depends on the level that the survey requires.
    passed = {"required_consistency": "crash", "required_complete": "false"}
    assert job("require consistency", passed, artifacts=taken.artifacts).status == "successful"
    judged = job("require consistency", artifacts=taken.artifacts)
    assert judged.status == "failed"
    assert "tank/vmware@by-job is crash, not complete; required: filesystem, complete." in judged.lines

    refused = job("snapshot now", {**DATASET, "snapshot_name": "never", "snapshot_on_quiesce_failure": "fail"})
    assert refused.status == "failed" and refused.artifacts["vmware_zfs_consistency"] == "none"
    assert "No ZFS snapshot was taken" in refused.lines and "db: crash (" in refused.lines
    (fatal,) = [line for line in refused.lines.splitlines() if "fatal: " in line]
    assert "'db'" in fatal and len(fatal) < 600, fatal  # one sentence instead of a page of data

    status = job("status")
    assert status.status == "successful" and status.artifacts == {"vmware_zfs_may_be_left": 0}
    assert "10.0.2.2 for tank/vmware" in status.lines and "T00:00" in status.lines
    recovered = job("recover")
    assert recovered.status == "successful" and recovered.artifacts == {"vmware_zfs_removed": 0, "vmware_zfs_left": 0}
