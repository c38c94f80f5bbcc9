# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the login of vmware_cred with a server and real datasets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_cred, vmware_cred_info

from tests.lab.simulator import Simulator

from .conftest import StartVcenter

Run = Callable[..., dict[str, Any]]


@pytest.fixture(params=["vCenter", "ESXi"])
def server(request: pytest.FixtureRequest, start_vcenter: StartVcenter) -> Simulator:
    return start_vcenter(esxi=request.param == "ESXi")


@pytest.fixture
def run(
    server: Simulator, tree: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run vmware_cred for the server and the dataset of the session. Return its result."""
    monkeypatch.setenv("VMWARE_ZFS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("VMWARE_ZFS_KEY_FILE", str(tmp_path / "secret" / "key"))
    usual = {
        "hostname": server.host,
        "port": server.port,
        "username": server.user,
        "password": server.password,
        "ca_path": str(server.ca_path),
        "filesystem": tree,
        "connect_timeout": 5,
    }

    def run(module: Any = vmware_cred, **options: Any) -> dict[str, Any]:
        options = {**usual, **options} if module is vmware_cred else options
        with patch_module_args(options), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return run


def logins(server: Simulator) -> list[str]:
    return [call["method"] for call in server.trace() if call.get("method") in ("Login", "Logout")]


def test_what_can_log_in_is_stored(run: Run, server: Simulator) -> None:
    result = run()
    assert result["changed"], result.get("msg")
    assert logins(server) == ["Login", "Logout"], "the session must not stay open"
    again = run()
    assert not again["changed"] and again["credential"] == result["credential"]
    assert run(module=vmware_cred_info)["credentials"] == [result["credential"]]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"password": "canary-4711"}, "refused"),
        ({"ca_path": ""}, "certificate"),
        ({"ca_path": "", "thumbprint": "AB" * 32}, "AB:AB:AB"),
        ({"hostname": "no-such-host.invalid"}, "could not be reached"),
        ({"port": 1}, "could not be reached"),
        ({"filesystem": "tank/none"}, "The dataset 'tank/none' does not exist"),
    ],
)
def test_what_cannot_is_not(run: Run, server: Simulator, wrong: dict[str, Any], sentence: str) -> None:
    for check in (True, False):
        result = run(**wrong, _ansible_check_mode=check)
        assert result["failed"] and sentence in result["msg"], result
        assert "\n" not in result["msg"] and "canary-4711" not in json.dumps(result)
    assert run(module=vmware_cred_info)["credentials"] == []
    reached = [call for call in server.trace() if call.get("method") == "Login"]
    assert len(reached) == (2 if "password" in wrong else 0)


def test_a_pin_or_no_verification_does_without_the_authority(run: Run, server: Simulator, tree: str) -> None:
    assert run(ca_path="", thumbprint=server.thumbprint)["changed"]
    assert run(ca_path="", filesystem=f"{tree}/nested", validate_certs=False)["changed"]


def test_a_datastore_that_the_server_does_not_have_is_warned_of(run: Run, server: Simulator) -> None:
    """It may be mounted later, so the credential is stored. Until then, each run reports a problem."""
    warned = run(datastores=["nowhere"])
    assert warned["changed"] and "datastores has 'nowhere', which" in json.dumps(warned["warnings"])


def test_a_credential_is_mended_while_its_server_is_down(run: Run, server: Simulator) -> None:
    assert run()["changed"]
    server.kill()
    assert "could not be reached" in run(password="canary-4711")["msg"]
    assert run(password="canary-4711", verify_login=False)["changed"]
