# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the minimum privileges: the role, a run with it, and the messages about missing privileges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab.places import GUEST
from tests.lab.simulator import Simulator
from tests.lab.storage_host import StorageHost

from .conftest import StartVcenter
from .scene import Scene, calls, levels, nfs, run_module

ACCOUNT = "snapshots@vsphere.local"
CREATE, REMOVE = "VirtualMachine.State.CreateSnapshot", "VirtualMachine.State.RemoveSnapshot"


@pytest.fixture
def server(tree: str, start_vcenter: StartVcenter) -> Simulator:
    """A vCenter with three VMs on the dataset of the session, and an account without privileges."""
    server = start_vcenter(nfs("vmware", tree, {"name": "web"}, {"name": "db"}, {"name": "app"}))
    server.add_user(ACCOUNT)
    return server


def login(server: Simulator, **more: Any) -> dict[str, Any]:
    return {
        "hostname": server.host, "port": server.port, "username": server.user, "password": server.password,
        "ca_path": str(server.ca_path), **more,
    }  # fmt: skip


def role(server: Simulator, check: bool = False, **options: Any) -> dict[str, Any]:
    result = run_module("vmware_vsphere_role", login(server, **options), check=check, diff=True)
    assert not result.get("failed"), result["msg"]
    return result


def store(server: Simulator, tree: str, **more: Any) -> dict[str, Any]:
    """Store the credential with its datastore, because it is mounted with a foreign address."""
    named = login(server, username=ACCOUNT, filesystem=tree, datastores=["vmware"], **more)
    return run_module("vmware_cred", named)


def play(folder: Path, server: Simulator, *options: str) -> str:
    """Return the output of the playbook with the variables of AWX's credential type."""
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "--inventory=localhost,", "--connection=local", *options,
            f"--extra-vars={json.dumps({'vsphere_port': server.port, 'vsphere_role_principal': ACCOUNT})}",
            f"--extra-vars={json.dumps({'vsphere_ca_path': str(server.ca_path)})}",
            "quiesce.vmware_zfs.vsphere_role",
        ],
        cwd=folder,
        env={
            **os.environ, "ANSIBLE_PYTHON_INTERPRETER": sys.executable, "ANSIBLE_NOCOLOR": "true",
            "VMWARE_HOST": server.host, "VMWARE_USER": server.user, "VMWARE_PASSWORD": server.password,
        },
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and server.password not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout


def test_the_playbooks_role_is_enough_for_a_run_and_for_nothing_else(
    scene: Scene, server: Simulator, tree: str, tmp_path: Path
) -> None:
    assert "changed=1" in play(tmp_path, server, "--check", "--diff")
    assert "changed=1" in play(tmp_path, server) and "changed=0" in play(tmp_path, server)
    stored = store(server, tree)
    assert stored.get("changed"), stored
    taken = scene.take()
    assert levels(taken) == {"web": "filesystem", "db": "filesystem", "app": "filesystem"}
    asked = [entry for entry in server.trace() if entry["kind"] == "call"]
    users = {entry["user"] for entry in asked if entry["method"].startswith(("CreateSnapshot", "RemoveSnapshot"))}
    assert users == {ACCOUNT}
    scene.assert_released(server)
    mount = login(server, username=ACCOUNT, name="more", servers=[GUEST], path=f"/{tree}/nested", hosts=["DC0_H0"])
    said = run_module("vmware_nfs_datastore", mount)
    assert said["failed"] and "lacks the privilege Host.Config.Storage" in json.dumps(said), said
    said = run_module("vmware_vsphere_role", login(server, username=ACCOUNT, name="another"))
    assert "lacks the privilege Authorization.ModifyRoles" in said["msg"]


def test_the_role_is_what_it_is_to_be(server: Simulator) -> None:
    predicted = role(server, check=True, principal=ACCOUNT)
    assert predicted["changed"] and not [name for name in calls(server) if name.startswith(("Add", "Set", "Update"))]
    made = role(server, principal=ACCOUNT)
    assert made["diff"] == predicted["diff"] and made["role"] == predicted["role"]
    assert made["diff"]["before"] == {"privileges": None, "permission": None}
    assert made["role"]["permission"] == {"role": "vmware-zfs", "propagate": True}
    for same in ({"principal": ACCOUNT}, {"principal": "VSPHERE.LOCAL\\Snapshots"}, {}):
        assert not role(server, False, **same)["changed"]

    # A privilege is added and removed. Another object is another permission.
    more = role(server, privileges=[CREATE, REMOVE, "Host.Config.Storage"], principal=ACCOUNT)
    assert more["changed"] and "Host.Config.Storage" in more["role"]["privileges"]
    assert "Host.Config.Storage" not in role(server, principal=ACCOUNT)["role"]["privileges"]
    assert role(server, principal=ACCOUNT, path="/DC0", propagate=False)["changed"]
    assert role(server, principal=ACCOUNT, path="DC0")["diff"]["before"]["permission"]["propagate"] is False

    # Other accounts keep the role.
    said = run_module("vmware_vsphere_role", login(server, state="absent", principal=ACCOUNT))["msg"]
    assert "is assigned to 'VSPHERE.LOCAL\\snapshots'; remove these permissions first" in said
    assert run_module("vmware_vsphere_role", login(server, state="absent"))["msg"].count("and 1 more time") == 1
    role(server, principal=ACCOUNT, path="DC0", name="another")
    gone = role(server, state="absent", principal=ACCOUNT)
    assert gone["changed"] and gone["role"] == {"name": "vmware-zfs", "privileges": None, "permission": None}
    assert not role(server, state="absent", principal=ACCOUNT)["changed"]
    assert calls(server)["RemoveEntityPermission"] == calls(server)["RemoveAuthorizationRole"] == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"privileges": ["VirtualMachine.State.Create"]}, "has no privilege 'VirtualMachine.State.Create'; use the"),
        ({"name": "ReadOnly"}, "The role 'ReadOnly' is a system role"),
        ({"principal": ACCOUNT, "path": "DC0/none"}, "has no object at 'DC0/none'"),
        ({"password": "canary-4711"}, "refused the login"),
        ({"password": None}, "password is not set"),
    ],
)
def test_what_cannot_be_is_one_sentence(server: Simulator, options: dict[str, Any], sentence: str) -> None:
    for check in (True, False):
        result = run_module("vmware_vsphere_role", login(server, **options), check=check)
        assert result["failed"] and sentence in result["msg"] and "\n" not in result["msg"], result
        assert "canary-4711" not in json.dumps(result)
    assert not [name for name in calls(server) if name.startswith(("Add", "Set", "Update"))]


def test_a_missing_privilege_is_named_with_its_vm(scene: Scene, server: Simulator, tree: str) -> None:
    role(server, principal=ACCOUNT, privileges=[CREATE])
    said = store(server, tree)["msg"]
    assert f"The account '{ACCOUNT}' on {server.host}:{server.port} lacks the privilege {REMOVE}" in said
    assert "on the VMs 'app', 'db', 'web'; grant a role" in said
    role(server, principal=ACCOUNT)
    server.deny(CREATE, "db")
    refused = store(server, tree)
    assert f"lacks the privilege {CREATE} on the VM 'db'; grant a role" in refused["msg"]
    assert refused["lacking"] == [{"privilege": CREATE, "vm": "db"}]
    server.deny("System.Read", "app")
    (app,) = (machine["moid"] for machine in server.machines() if machine["name"] == "app")  # its name is not readable
    assert (
        f"'{ACCOUNT}' on {server.host}:{server.port} lacks the privilege System.Read on the VM '{app}'"
        in (store(server, tree)["msg"])
    )
    assert scene.engine.credentials.list_all() == []
    server.clear_trace()
    stored = store(server, tree, verify_privileges=False)
    assert stored.get("changed"), stored
    assert "HasPrivilegeOnEntities" not in calls(server)
    server.grant_all()
    server.register("vmware", name="own", extra_config={"HDCS.agent": "true"})  # a vCLS VM, which runs ignore
    server.deny(CREATE, "own")
    changed = store(server, tree, ca_path="", thumbprint=server.thumbprint)
    assert changed.get("changed"), changed
    server.deny(CREATE, "db")
    assert levels(scene.take()) == {"web": "filesystem", "db": "crash", "app": "filesystem"}


def test_the_question_costs_a_handful_of_calls_however_many_vms(
    scene: Scene, tree: str, start_vcenter: StartVcenter
) -> None:
    server = start_vcenter(nfs("vmware", tree, {"name": "web", "count": 1200}))
    server.add_user(ACCOUNT)
    role(server, principal=ACCOUNT)
    server.clear_trace()
    stored = store(server, tree)
    assert stored.get("changed"), stored
    assert calls(server)["HasPrivilegeOnEntities"] == 3 and sum(calls(server).values()) <= 20, calls(server)
    server.deny(REMOVE)
    said = store(server, tree, ca_path="", thumbprint=server.thumbprint)["msg"]
    assert "on the VMs 'web-0001', 'web-0002', 'web-0003' and 1197 more VMs;" in said


def test_where_nobody_can_be_asked_the_credential_is_stored(
    scene: Scene, tree: str, start_vcenter: StartVcenter
) -> None:
    esxi = start_vcenter(nfs("vmware", tree, {"name": "web"}), esxi=True)
    stored = run_module("vmware_cred", login(esxi, filesystem=tree, datastores=["vmware"]))
    assert stored.get("changed"), stored
    assert "HasPrivilegeOnEntities" not in calls(esxi)
    vcenter = start_vcenter(nfs("vmware", tree, {"name": "web"}))
    vcenter.rule(method="HasPrivilegeOnEntities", effect="call_fault", fault="NoPermission")
    stored = run_module("vmware_cred", login(vcenter, filesystem=tree, datastores=["vmware"]))
    assert stored.get("changed"), stored
    assert calls(vcenter)["HasPrivilegeOnEntities"] == 1


# docs/security.md about a user other than root: the commands of the engine, with and without delegation.
DELEGATED = """
try() { echo "$1 $(runuser -u nobody -- sh -c "$2" >/dev/null 2>&1 && echo yes || echo no)"; }
for turn in before after; do
    try snapshot "zfs snapshot -o lab:a=b $1@$turn"
    zfs snapshot $1@other-$turn
    try read "zfs get -H -p -o property,value all $1@other-$turn"
    try program "echo 'zfs.sync.destroy(\\"$1@other-$turn\\")' | zfs program ${1%%/*} -"
    zfs allow -u nobody snapshot,mount,userprop $1
done
zfs unallow -u nobody $1
"""


def test_what_could_be_delegated_by_zfs(storage_host: StorageHost, tree: str) -> None:
    said = storage_host.ssh(["sh", "-c", DELEGATED, "delegated", f"{tree}/ds1"]).stdout.splitlines()
    before, after = (dict(line.split() for line in said[at : at + 3]) for at in (0, 3))
    assert before == {"snapshot": "no", "read": "yes", "program": "no"}
    assert after == {"snapshot": "yes", "read": "yes", "program": "no"}
