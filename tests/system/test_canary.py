# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plant passwords on a storage host and search for them everywhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

from tests.collection_path import collections_path
from tests.lab.commands import ask
from tests.lab.simulator import PASSWORD
from tests.lab.storage_host import StorageHost

from .canary import Canary
from .conftest import StartVcenter
from .engine_there import bring, enrol, have
from .scene import ended, nfs

CANARY, PLANTED = "canary-4711-Wrong", "canary-4711-Planted"


@pytest.fixture
def host() -> Iterator[StorageHost]:
    host = StorageHost("canary")
    host.reset()
    yield host
    host.down()


def play(book: Path, host: StorageHost, **variables: Any) -> str:
    """Run a playbook that must fail, with -vvv. Return its output, which must not contain a password."""
    folder = book.parent
    inventory = folder / "inventory.json"
    python = {"ansible_python_interpreter": "/opt/vmware-zfs/venv/bin/python"}  # avoids a second Python per task
    inventory.write_text(json.dumps({"all": {"hosts": {"storage": {**host.inventory(), **python}}}}))
    done = ask(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            f"--inventory={inventory}",
            f"--extra-vars={json.dumps(variables)}",
            "-vvv",
            "--diff",
            str(book),
        ],
        seconds=600,
        ANSIBLE_COLLECTIONS_PATH=str(collections_path()),
        ANSIBLE_PIPELINING="false",  # so that Ansible writes modules and arguments to files
        ANSIBLE_NOCOLOR="true",
        ANSIBLE_SHOW_CUSTOM_STATS="true",
        cwd=folder,
    )
    assert done.returncode != 0, done.stdout
    assert PASSWORD not in done.stdout and CANARY not in done.stdout
    return done.stdout


def test_no_password_is_left_anywhere(host: StorageHost, start_vcenter: StartVcenter, tmp_path: Path) -> None:
    """Not by a rejected credential, not by a stored credential, and not by a failing run, all with -vvv."""
    vcenter = start_vcenter(nfs("vmware", "tank/vmware", {"name": "web"}))
    bring(host)
    have(host, {"minute": "0", "hour": "0", "dom": "29", "month": "2"}, enrol(vcenter, host))
    login = {**enrol(vcenter, host), "filesystem": "tank/other"}
    snapshot = {"dataset": "tank/vmware", "name": "fails", "on_vm_failure": "fail"}
    tasks = [
        {"name": "A wrong password", "quiesce.vmware_zfs.vmware_cred": {**login, "password": CANARY},
         "ignore_errors": True},
        {"name": "The right one", "quiesce.vmware_zfs.vmware_cred": {**login, "password": "{{ password }}"}},
        {"name": "A run that fails", "quiesce.vmware_zfs.vmware_coordinated_snapshot": snapshot},
    ]  # fmt: skip
    book = tmp_path / "play.json"
    book.write_text(json.dumps([{"name": "Fail", "hosts": "storage", "gather_facts": False, "tasks": tasks}]))
    vcenter.rule(method="CreateSnapshot.*", effect="task_fault", fault="GenericVmConfigFault")
    with Canary(host, [PASSWORD, CANARY, PLANTED]) as canary:
        said = play(book, host, password=PASSWORD)
        assert "refused the login" in said and "could not be snapshotted" in said and "changed=1" in said, said
        host.ssh(["systemd-run", "--wait", "vmware-zfs", "run", "1"], check=False)  # its output is in the journal
        host.ssh(["sh", "-c", f"echo {PLANTED} | tee /tmp/planted | systemd-cat; sleep 5"])
        found = canary.found()
    planted = {(PLANTED, place) for place in ("the cmdline of a process", "the journal", "/tmp/planted")}
    assert found == planted, "and that one is found shows that the others would be"
    assert len(ended(vcenter, "CreateSnapshot")) > 1
