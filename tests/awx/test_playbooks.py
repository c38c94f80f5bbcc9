# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the playbooks without a storage host: how they use the variables of a job, and which results they report."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from .api import Awx
from .define import PROJECT, ROOT, SECRET
from .job import Done, launch

LOCAL = {"ansible_connection": "local"}
ANSWERS = {
    "site_dataset": "tank/vmware", "site_path": "/tank/vmware", "site_networks": "10.0.0.0/24", "site_servers": "nfs",
    "site_datastore": "vmware", "site_cluster": "production",
}  # fmt: skip
CRASH = {
    "zfs_snapshot": "a@1", "consistency": "crash", "complete": False, "created": True, "run_id": "1",
    "vmware_snapshots_left": 0, "vms": [{"name": "db", "level": "crash", "reason": "no Tools"}], "problems": [],
}  # fmt: skip
GOOD = {
    **CRASH,
    "consistency": "filesystem",
    "complete": True,
    "vms": [{"name": "web", "level": "filesystem", "reason": ""}],
}
REFUSED = {**CRASH, "created": False, "msg": "The policy does not allow this run."}
NOTHING = "No ZFS snapshot was taken: out of space; the VMs have been released."
LEFT = {**GOOD, "msg": "1 VMware snapshot may still be there.", "vmware_snapshots_left": 1}


def with_fake(tmp_path: Path, playbook: str, replaced: str, task: dict[str, Any]) -> Path:
    """Return a project whose playbook has another task instead of the module of the collection."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT, folder, dirs_exist_ok=True)
    plays = yaml.safe_load((ROOT / "playbooks" / playbook).read_text())
    (at,) = [number for number, each in enumerate(plays[0]["tasks"]) if replaced in each]
    plays[0]["tasks"][at] = {"name": "Pretend", **task}
    (folder / playbook).write_text(yaml.safe_dump(plays))
    return folder


@pytest.mark.parametrize(
    ("taken", "status", "consistency", "complete", "said"),
    [
        ([GOOD, CRASH], "successful", "crash", False, "a@1 is filesystem; VMware snapshots left: 0"),
        ([GOOD, GOOD], "successful", "filesystem", True, "web: filesystem"),
        ([GOOD, REFUSED], "failed", "none", False, "No ZFS snapshot was taken: The policy does not allow this run."),
        ([LEFT], "failed", "filesystem", True, "a@1 is filesystem; VMware snapshots left: 1"),
        ([{"msg": NOTHING}], "failed", "none", False, NOTHING),
        ([{"msg": "There is no dataset a."}], "failed", "none", False, f"{NOTHING[:27]}There is no dataset a."),
    ],
)
def test_of_several_storage_hosts_the_worst_is_handed_on(
    awx: Awx, tmp_path: Path, taken: list[Any], status: str, consistency: str, complete: bool, said: str
) -> None:
    name = "quiesce.vmware_zfs.vmware_coordinated_snapshot"
    fake = {"ansible.builtin.set_fact": {"taken": "{{ pretended }}"}}
    project = with_fake(tmp_path, "snapshot_now.yml", name, fake)
    hosts = {f"storage{number}": {**LOCAL, "pretended": each} for number, each in enumerate(taken)}
    template, answers = "VMware ZFS - snapshot now", {"snapshot_dataset": "a"}
    done = launch(awx, tmp_path, template, hosts, answers, project=project)
    assert (done.status, done.artifacts["vmware_zfs_consistency"]) == (status, consistency), done.stdout
    assert done.artifacts["vmware_zfs_complete"] is complete and said in done.lines
    assert "taken: No ZFS snapshot was taken" not in done.lines, "the reason says it already"
    assert all(each["msg"] in done.lines for each in taken if "msg" in each)


def lists(done: Done) -> dict[str, Any]:
    """Return the variables that the playbook passes to the roles."""
    (found,) = [
        event["event_data"]["res"]["ansible_facts"]["given"]
        for event in done.events
        if event["event"] == "runner_on_ok" and "given" in event["event_data"]["res"].get("ansible_facts", {})
    ]
    return dict(found)


def test_the_site_job_takes_its_credential_from_either_type_and_never_turns_verification_off(
    awx: Awx, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project)
    wanted = ("credentials_credentials", "nfs_datastore_datastores", "snapshot_task_tasks")
    given = {name: f"{{{{ {name} }}}}" for name in wanted}
    play = {"hosts": "storage", "gather_facts": False, "tasks": [{"ansible.builtin.set_fact": {"given": given}}]}
    (project / "probe.yml").write_text(yaml.safe_dump([play]))
    site = (project / "site.yml").read_text()
    (project / "site.yml").write_text(re.sub(r"import_playbook: \S+", "import_playbook: probe.yml", site))
    template = awx.named("job_templates", "VMware ZFS - site")
    linked = awx.linked[f"{template['url']}credentials/"]
    own = awx.named("credentials", "VMware ZFS vCenter")
    login = {"host": "vc.example.com", "username": "u", "password": SECRET}
    builtin = awx.create(
        "credentials",
        {
            "name": "AWX's own",
            "credential_type": awx.named("credential_types", "VMware vCenter")["id"],
            "inputs": login,
        },
    )
    awx.update("credentials", own, {"inputs": {**login, "port": "8443", "thumbprint": "AB:CD"}})

    server = {"hostname": "vc.example.com", "username": "u", "filesystem": "tank/vmware"}
    for credential, more, trust in (
        (own, {"port": 8443}, {"thumbprint": "AB:CD"}),
        (builtin, {"port": 443}, {}),
    ):
        linked[:] = [number for number in linked if number not in (own["id"], builtin["id"])] + [credential["id"]]
        done = launch(awx, tmp_path, "VMware ZFS - site", {"storage01": LOCAL}, ANSWERS, project=project)
        assert done.status == "successful", done.stdout
        found = lists(done)
        assert found["credentials_credentials"] == [{**server, **more, **trust, "password": SECRET}]
        (datastore,) = found["nfs_datastore_datastores"]
        assert datastore == {
            **server,
            **more,
            "name": "vmware",
            "servers": ["nfs"],
            "path": "/tank/vmware",
            "cluster": "production",
        }
        assert found["snapshot_task_tasks"][0]["schedule"] == {"minute": "0", "hour": "0"}
