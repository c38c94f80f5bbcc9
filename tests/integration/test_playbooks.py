# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks that serve as AWX job templates, by ansible-playbook over ssh; `make demo` shows site.yml."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.collection_path import collections_path
from tests.lab.simulator import PASSWORD
from tests.lab.storage_host import StorageHost

from .conftest import StartVcenter
from .engine_there import bring, enrol, have
from .scene import ended, nfs


@pytest.fixture
def host() -> Iterator[StorageHost]:
    host = StorageHost("playbooks")
    host.reset()
    yield host
    host.down()


def play(folder: Path, host: StorageHost, name: str, **variables: Any) -> str:
    """What a playbook of the collection says, which has to succeed."""
    inventory = folder / "inventory.json"
    python = {"ansible_python_interpreter": "/opt/vmware-zfs/venv/bin/python"}  # saves a second Python for each task
    inventory.write_text(json.dumps({"all": {"hosts": {"storage": {**host.inventory(), **python}}}}))
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            f"--inventory={inventory}",
            f"--extra-vars={json.dumps(variables)}",
            f"quiesce.vmware_zfs.{name}",
        ],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(collections_path()),
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_SHOW_CUSTOM_STATS": "true",
        },
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert PASSWORD not in done.stdout
    return done.stdout


def test_the_job_templates(host: StorageHost, start_vcenter: StartVcenter, tmp_path: Path) -> None:
    vcenter = start_vcenter(nfs("vmware", "tank/vmware", {"name": "web"}, {"name": "db", "tools": "not_running"}))
    bring(host)
    have(host, {"minute": "0", "hour": "0", "dom": "29", "month": "2"}, enrol(vcenter, host))

    said = play(tmp_path, host, "snapshot_now", snapshot_dataset="tank/vmware", snapshot_name="by-job")
    assert "tank/vmware@by-job is crash, not complete; VMware snapshots left: 0" in said
    assert '"web: filesystem"' in said and '"db: crash"' in said
    assert '"vmware_zfs_consistency": "crash"' in said and '"vmware_zfs_complete": false' in said
    assert len(ended(vcenter, "RemoveSnapshot")) == 2

    said = play(tmp_path, host, "status")
    assert "10.0.2.2 for tank/vmware" in said and "-02-29T00:00" in said and '"may_be_left": []' in said
    assert '"removed": []' in play(tmp_path, host, "recover")
