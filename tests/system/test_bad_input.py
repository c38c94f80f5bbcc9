# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input causes a one-sentence error with the problem and the next step, no traceback, and no changes."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import rotation

from tests.lab.places import GUEST
from tests.lab.simulator import Simulator

from .conftest import StartVcenter
from .scene import Scene, answer, ended, foreign, nfs, run_module, start_module

MODULES = ("vmware_coordinated_snapshot", "vmware_dataset_vms_info")
CANARY = "canary-4711"


def state(scene: Scene) -> dict[str, Any]:
    """Return the state that a module could change: ZFS, the registry, the journal."""
    listing = scene.engine.zfs.run("list", "-H", "-p", "-o", "name,creation", "-t", "all", "-r", scene.tree)
    credentials = [credential.as_dict() for credential in scene.engine.credentials.list_all()]
    return {"zfs": listing, "credentials": credentials, "runs": scene.engine.journal.runs()}


@pytest.fixture
def unchanged(scene: Scene, vcenter: Simulator) -> Iterator[None]:
    """Assert that the test does not change ZFS, the registry, the journal, or the snapshots of VMs."""
    before, others = state(scene), foreign(vcenter)
    yield
    assert state(scene) == before
    if vcenter.running:
        assert foreign(vcenter) == others and not ended(vcenter, "CreateSnapshot")
        scene.assert_released(vcenter)


def refused(module: str, arguments: dict[str, Any], check: bool = False) -> str:
    """Run a module that must fail. Return its one-sentence error."""
    return sentence(run_module(module, arguments, check=check))


def sentence(result: dict[str, Any]) -> str:
    """Return the one-sentence error of a failed module."""
    assert result.get("failed") is True and not result.get("changed"), result
    said: str = result["msg"]
    assert said.endswith(".") and "\n" not in said and "Traceback" not in json.dumps(result), result
    assert CANARY not in json.dumps(result)
    return said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataset": "tank/none"}, "The dataset 'tank/none' does not exist on this storage host; check the name with"),
        ({"dataset": "-r"}, "'-r' is not a valid dataset name"),
        ({"dataset": "tank/-x"}, "a component begins with a dash"),
        ({"dataset": "tank@one"}, "'tank@one' is not a valid dataset name"),
        ({"dataset": ""}, "'' is not a valid dataset name"),
        ({"name": "-r"}, "'-r' is not a valid snapshot name: it begins with a dash; choose another name."),
        ({"name": "a@b"}, "'a@b' is not a valid snapshot name"),
        ({"name": ""}, "is not a valid snapshot name: it is empty"),
        ({"name": "a" * 250}, "characters; the maximum is 255"),
        ({"naming_schema": "auto-%Y-%m-%d"}, "lacks %H %M, so two snapshots could get the same name; add them"),
        ({"naming_schema": "nightly"}, "lacks %Y %m %d %H %M"),
        ({"naming_schema": "-%Y-%m-%d_%H-%M"}, "it begins with a dash"),
        ({"naming_schema": "%Y-%m-%d_%H-%M-%Q"}, "contains %Q"),
        ({"exclude": ["tank/other"], "recursive": True}, "exclude names 'tank/other', which is not below"),
        ({"exclude": ["{tree}/nested"]}, "(recursive is false)"),
        ({"vm_timeout": 20, "max_hold": 10}, "vm_timeout (20 s) is longer than max_hold (10 s)"),
        ({"vm_timeout": "nan"}, "vm_timeout is nan; set it to more than zero seconds"),
        ({"limit_per_host": 0}, "limit_per_vcenter or limit_per_host is below 1"),
        ({"wave_size": -1}, "wave_size is -1"),
        ({"call_timeout": 0}, "call_timeout is 0"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_what_is_asked_for_makes_no_sense(
    scene: Scene, vcenter: Simulator, unchanged: None, tree: str, options: dict[str, Any], said: str
) -> None:
    named = {
        key: [item.format(tree=tree) for item in value] if isinstance(value, list) else value
        for key, value in options.items()
    }
    arguments = {"dataset": tree, "aliases": [GUEST], **named}
    assert said in refused("vmware_coordinated_snapshot", arguments)
    assert vcenter.trace() == []  # detected without any call


def test_an_unknown_dataset_is_refused_by_the_survey_and_in_check_mode_too(
    scene: Scene, vcenter: Simulator, unchanged: None
) -> None:
    for module in MODULES:
        assert "does not exist on this storage host" in refused(module, {"dataset": "tank/none"}, check=True)


def test_no_credential_for_the_dataset(scene: Scene, vcenter: Simulator, unchanged: None) -> None:
    for module in MODULES:
        said = refused(module, {"dataset": "tank/other", "aliases": [GUEST]})
        assert "No credential is stored for" in said and "store one with vmware_cred" in said


@pytest.mark.parametrize("trouble", ["password", "host", "port", "certificate", "thumbprint", "ca_path"])
def test_a_server_that_cannot_be_logged_in_to(
    scene: Scene, start_vcenter: StartVcenter, tree: str, trouble: str
) -> None:
    vcenter = start_vcenter(nfs("vmware", tree, {"name": "web"}))
    with socket.create_server(("127.0.0.2", 0)) as free:
        closed = free.getsockname()[1]
    wrong = {
        "password": {"password": CANARY},
        "host": {"hostname": "no-such-host.invalid"},
        "port": {"port": closed},
        "certificate": {"ca_path": None},
        "thumbprint": {"ca_path": None, "thumbprint": "AB:" * 31 + "AB"},
        "ca_path": {"ca_path": "/no/such/file.pem"},
    }[trouble]
    expected = {
        "password": [f"refused the login of '{vcenter.user}'", "check the username and password"],
        "host": ["no-such-host.invalid", "could not be reached", "check the name"],
        "port": [f"127.0.0.2:{closed} could not be reached", "refused"],
        "certificate": ["could not be verified", "set ca_path or thumbprint"],
        "thumbprint": ["AB:" * 31 + "AB", vcenter.thumbprint, "if the certificate was replaced on purpose"],
        "ca_path": ["'/no/such/file.pem' does not contain usable certificate authorities"],
    }[trouble]
    inline = {
        "dataset": tree, "aliases": [GUEST], "hostname": vcenter.host, "port": vcenter.port, "username": vcenter.user,
        "password": vcenter.password, "ca_path": str(vcenter.ca_path), "connect_timeout": 10, **wrong,
    }  # fmt: skip
    said = refused("vmware_dataset_vms_info", {key: value for key, value in inline.items() if value is not None})
    assert all(part in said for part in expected), said

    # The run continues without this server and records the problem, or the policy rejects it. It is never hidden.
    scene.enrol(vcenter, **wrong)
    before = state(scene)
    policy = {"dataset": tree, "aliases": [GUEST], "name": f"trouble-{trouble}", "on_vm_failure": "fail"}
    said = refused("vmware_coordinated_snapshot", policy)
    assert all(part in said for part in expected) and "The policy does not allow this run" in said, said
    assert state(scene) == before
    logins = [entry.get("fault", "") for entry in vcenter.trace() if entry.get("method") == "Login"]
    assert logins == (["InvalidLogin", "InvalidLogin"] if trouble == "password" else [])
    scene.assert_released(vcenter)


def test_a_changed_certificate_is_refused_with_both_thumbprints(
    scene: Scene, start_vcenter: StartVcenter, tree: str
) -> None:
    """Only if the old certificate is pinned. A CA that signed both certificates remains trusted."""
    vcenter = start_vcenter(nfs("vmware", tree, {"name": "web"}))
    pinned = scene.enrol(vcenter, thumbprint=vcenter.thumbprint)
    assert scene.take()["consistency"] == "filesystem"
    old = vcenter.thumbprint
    vcenter.restart(new_certificate=True)
    assert vcenter.thumbprint != old
    vcenter.clear_trace()
    said = refused("vmware_cred", {"id": pinned.id, "datastores": ["vmware"]})
    assert old in said and vcenter.thumbprint in said and "find out which server answers" in said
    result = scene.take()
    assert result["consistency"] == "crash" and result["vms"] == []
    assert old in result["problems"][0] and vcenter.thumbprint in result["problems"][0]
    assert [entry for entry in vcenter.trace() if entry.get("method") == "Login"] == []
    login = {"hostname": vcenter.host, "port": vcenter.port, "username": vcenter.user, "password": vcenter.password}
    for trust in ({"thumbprint": vcenter.thumbprint}, {"ca_path": str(vcenter.ca_path)}):
        assert run_module("vmware_datastore_match", {**login, **trust})["datastores"]


def test_a_datastore_that_no_dataset_carries(scene: Scene, start_vcenter: StartVcenter, tree: str) -> None:
    vcenter = start_vcenter(
        {"name": "elsewhere", "server": "192.0.2.9", "path": f"/{tree}", "vms": [{"name": "web"}]},
        {"name": "local", "type": "local"},
    )
    scene.enrol(vcenter)
    before = state(scene)
    said = refused(
        "vmware_coordinated_snapshot", {"dataset": tree, "aliases": [GUEST], "name": "none", "on_vm_failure": "fail"}
    )
    assert (
        f"No datastore of 127.0.0.2:{vcenter.port} is on {tree}" in said and "vmware_datastore_match shows why" in said
    )
    assert state(scene) == before
    result = run_module("vmware_dataset_vms_info", {"dataset": tree, "aliases": [GUEST]})
    assert result["has_vms"] is False and "vmware_datastore_match shows why" in json.dumps(result["warnings"])
    # Without the policy, the record has a problem, because the VMs of the server may still exist.
    taken = run_module("vmware_coordinated_snapshot", {"dataset": tree, "aliases": [GUEST], "name": "uncarried"})
    assert taken["consistency"] == "crash" and not taken["complete"]
    assert scene.record(f"{tree}@uncarried").problems == taken["problems"] != []


def test_a_datastore_that_the_credential_names_and_the_server_lacks(
    scene: Scene, start_vcenter: StartVcenter, tree: str
) -> None:
    vcenter = start_vcenter(nfs("vmware", tree, {"name": "web"}))
    scene.enrol(vcenter, datastores=["vmware", "gone"])
    result = scene.take()
    assert result["consistency"] == "crash" and "names the datastore 'gone'" in result["problems"][0]
    assert [vm["level"] for vm in result["vms"]] == ["filesystem"]
    scene.assert_released(vcenter)


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with Ansible but without pyVmomi and cryptography."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    import ansible

    place = next(folder.glob("lib/python*/site-packages"))
    (place / "ansible").symlink_to(Path(ansible.__file__).parent)
    return folder / "bin" / "python"


def test_a_missing_pyvmomi(
    scene: Scene, vcenter: Simulator, unchanged: None, tree: str, bare_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(bare_python))
    monkeypatch.setenv("VMWARE_ZFS_PYTHON", "/no/such/python")
    probe = subprocess.run([bare_python, "-c", "import pyVmomi"], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError" in probe.stderr
    for module in MODULES:
        said = sentence(answer(start_module(module, {"dataset": tree})))
        assert f"{bare_python} on this host lacks the Python library pyvmomi and cryptography" in said
        assert "apply the role quiesce.vmware_zfs.runtime" in said


def test_a_missing_zfs(
    scene: Scene, vcenter: Simulator, unchanged: None, tree: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as environment:
        environment.setenv("PATH", "/no/such/folder")
        said = refused("vmware_coordinated_snapshot", {"dataset": tree})
    assert "The command 'zfs' cannot be run" in said and "install OpenZFS 2.1 or later" in said


def test_a_password_is_in_no_argument_no_environment_and_no_core_dump(
    scene: Scene, start_vcenter: StartVcenter, tree: str
) -> None:
    """Inspected while a run holds a VM. Replacing the key in the meantime does not affect the run."""
    vcenter = start_vcenter(nfs("vmware", tree, {"name": "web"}))
    scene.enrol(vcenter)
    vcenter.rule(method="CreateSnapshot.*", effect="task_hang")
    process = start_module("vmware_coordinated_snapshot", {"dataset": tree, "aliases": [GUEST], "name": "no-leak"})
    vcenter.wait_for(lambda entry: entry.get("event") == "started")
    family = [
        process.pid,
        *(int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()),
    ]
    for pid in family:
        for what in ("cmdline", "environ"):
            assert vcenter.password.encode() not in Path(f"/proc/{pid}/{what}").read_bytes()
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    assert re.search(r"^Max core file size +0 ", limits, re.MULTILINE), limits
    assert rotation.rotate(scene.paths, 0).new_key
    vcenter.release()
    output, complaint = process.communicate(timeout=60)
    assert json.loads(output)["changed"] and vcenter.password not in output + complaint
    for path in [*scene.paths.state_dir.rglob("*"), *scene.paths.lock_dir.rglob("*")]:
        assert path.is_dir() or vcenter.password.encode() not in path.read_bytes(), path
    for entry in vcenter.trace():
        assert vcenter.password not in json.dumps(entry)
