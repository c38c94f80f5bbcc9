# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`ansible-test integration` runs the targets of tests/integration on this machine, with the lab's `zfs`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.check.tools import ROOT, run
from tests.lab.places import GUEST

from .conftest import StartVcenter
from .scene import nfs

IN_EVERY_TEST = ("vmware_coordinated_snapshot", "vmware_cred")
TARGETS = sorted(path.name for path in (ROOT / "tests" / "integration" / "targets").iterdir())
OTHERS = [pytest.param(name, marks=pytest.mark.check) for name in TARGETS if name not in IN_EVERY_TEST]


@pytest.mark.parametrize("target", [*IN_EVERY_TEST, *OTHERS])
def test_target(target: str, tree: str, start_vcenter: StartVcenter, tmp_path: Path) -> None:
    vcenter = start_vcenter(nfs("vmware", tree, {"name": "web"}))
    settings = {
        "vmware_zfs_dataset": tree,
        "vmware_zfs_aliases": [GUEST],
        "vmware_zfs_environment": {
            "VMWARE_ZFS_STATE_DIR": str(tmp_path / "state"),
            "VMWARE_ZFS_KEY_FILE": str(tmp_path / "etc" / "secret.key"),
            "VMWARE_ZFS_LOCK_DIR": str(tmp_path / "run"),
        },
        "vmware_zfs_login": {
            "hostname": vcenter.host, "port": vcenter.port, "username": vcenter.user, "password": vcenter.password,
            "ca_path": str(vcenter.ca_path),
        },
        "vmware_zfs_cluster": "DC0_C0",
    }  # fmt: skip
    config = tmp_path / "integration_config.yml"
    config.write_text(json.dumps(settings))
    run(
        "python", "-m", "tests.check.ansible_test", "integration", target,
        VMWARE_ZFS_INTEGRATION_CONFIG=str(config),
    )  # fmt: skip
