# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test that the peers in the benchmarks do the complete work and leave nothing."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.collection_path import ROOT
from tests.lab.simulator import Simulator

from .scene import Scene, ended


def test_the_sequential_coordinator(vcenter: Simulator, scene: Scene) -> None:
    vcenter.deploy("vmware", {"name": "still", "power": "off"}, {"name": "gpu", "pci_passthrough": True})
    job = {
        "vcenters": [
            {
                "hostname": vcenter.host,
                "port": vcenter.port,
                "username": vcenter.user,
                "password": vcenter.password,
                "ca_path": str(vcenter.ca_path),
            }
        ],
        "dataset": scene.tree,
        "snapshot": "sequential",
        "datastore": "vmware",
        "vms": ["web", "db", "app"],
        "limits": {"per_vcenter": 32, "per_host": 1000},
    }
    command = [sys.executable, "-m", "benchmarks.peers.sequential"]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() == {"seconds", "cpu_seconds", "peak_mb"}

    created, removed = ended(vcenter, "CreateSnapshot"), ended(vcenter, "RemoveSnapshot")
    assert [(entry["vm_name"], entry["quiesced"]) for entry in created] == [("web", True), ("db", True), ("app", True)]
    assert [entry["vm_name"] for entry in removed] == ["web", "db", "app"]
    assert created[-1]["seq"] < removed[0]["seq"]
    assert vcenter.stats()["most"]["all"] == 1
    assert scene.exists(f"{scene.tree}@sequential")
    assert not any(vcenter.snapshots().values())
