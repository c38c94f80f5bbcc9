# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the role nfs_datastore with this machine as the storage host, because the role only connects to the vCenter.

Its molecule scenario tests it on a storage host over SSH.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.collection_path import collections_path
from tests.lab.commands import ask
from tests.lab.places import GUEST
from tests.lab.simulator import Simulator

from .conftest import StartVcenter

Play = Callable[..., "tuple[int, str]"]  # (number of changed tasks, output)


@pytest.fixture
def vcenter(start_vcenter: StartVcenter) -> Simulator:
    return start_vcenter({"name": "local", "type": "local"})


@pytest.fixture
def play(vcenter: Simulator, tmp_path: Path) -> Play:
    """Apply the role with these variables and maximum verbosity."""
    defaults = {
        "hostname": vcenter.host, "port": vcenter.port, "username": vcenter.user, "password": vcenter.password,
        "ca_path": str(vcenter.ca_path), "cluster": "DC0_C0", "servers": [GUEST],
    }  # fmt: skip
    playbook = tmp_path / "play.json"

    def play(*options: str, fails: bool = False, **variables: Any) -> tuple[int, str]:
        role = {"role": "quiesce.vmware_zfs.nfs_datastore", "nfs_datastore_defaults": defaults, **variables}
        playbook.write_text(
            json.dumps([{"name": "Mount", "hosts": "localhost", "gather_facts": False, "roles": [role]}])
        )
        done = ask(
            [str(Path(sys.executable).with_name("ansible-playbook")), "-vvv", *options, str(playbook)],
            ANSIBLE_COLLECTIONS_PATH=str(collections_path()),
            ANSIBLE_PYTHON_INTERPRETER=sys.executable,
            ANSIBLE_NOCOLOR="true",
        )
        assert (done.returncode != 0) is fails, done.stdout
        assert vcenter.password not in done.stdout, "the password was shown"
        recap = re.search(r"^localhost +: ok=\d+ +changed=(\d+)", done.stdout, re.MULTILINE)
        assert recap is not None, done.stdout
        return int(recap.group(1)), done.stdout

    return play


def mounted(vcenter: Simulator) -> dict[str, set[str]]:
    """Return the NFS datastores of each host that has any."""
    told = {
        host["name"]: {mount["datastore"] for mount in host["mounts"] if mount["type"].startswith("NFS")}
        for host in vcenter.hosts()
    }
    return {name: datastores for name, datastores in told.items() if datastores}


VMWARE = {"name": "vmware", "path": "/tank/vmware"}


def test_the_list_is_mounted_and_what_it_no_longer_holds_purged(play: Play, vcenter: Simulator) -> None:
    both = [VMWARE, {"name": "old", "path": "/tank/old"}]
    assert play("--check", nfs_datastore_datastores=both)[0] == 1 and mounted(vcenter) == {}
    assert play(nfs_datastore_datastores=both)[0] == 1
    everywhere = {f"DC0_C0_H{number}": {"vmware", "old"} for number in range(3)}
    assert mounted(vcenter) == everywhere
    assert play(nfs_datastore_datastores=both)[0] == 0
    assert play(nfs_datastore_datastores=[VMWARE])[0] == 0 and mounted(vcenter) == everywhere

    purge = {"nfs_datastore_datastores": [VMWARE], "nfs_datastore_purge": True, "nfs_datastore_aliases": [GUEST]}
    vcenter.deploy("old", {"name": "web"})
    changed, said = play(**purge)
    assert changed == 0 and mounted(vcenter) == everywhere
    assert "keeps the datastore 'old': it has 1 registered VM ('web'" in said.replace("\n", " ")
    vcenter.unregister("web")
    assert play("--check", **purge)[0] == 1 and mounted(vcenter) == everywhere
    assert play(**purge)[0] == 1
    assert mounted(vcenter) == {f"DC0_C0_H{number}": {"vmware"} for number in range(3)}
    assert play(**purge)[0] == 0
    assert play(nfs_datastore_datastores=[{**VMWARE, "state": "absent"}])[0] == 1 and mounted(vcenter) == {}


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"nfs_datastore_datastores": [VMWARE, {"name": "other"}]}, "lacks servers or path"),
        ({"nfs_datastore_datastores": [VMWARE, VMWARE]}, "two entries with the same name"),
        (
            {"nfs_datastore_datastores": [VMWARE, {**VMWARE, "cluster": "DC0_C0", "hosts": ["DC0_H0"]}]},
            "both cluster and hosts",
        ),
        ({"nfs_datastore_purge": True}, "state: absent"),
        ({"nfs_datastore_datastores": [{**VMWARE, "acces_mode": "readOnly"}]}, "acces_mode"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    play: Play, vcenter: Simulator, variables: dict[str, Any], sentence: str
) -> None:
    assert sentence in play(fails=True, **variables)[1]
    assert vcenter.trace() == []
