# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vmware_datastore_match through main(): which login it uses, what it returns, what bad input gets."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import (
    Credential,
    Credentials,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import Datastore
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import Endpoint
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_datastore_match
from ansible_collections.quiesce.vmware_zfs.tests.unit.module_arguments import patch_module_args

NFS = Datastore("datastore-1", "ds1", "DC0", "NFS", ("203.0.113.5",), "/tank/vmware/", True, "vcenter.lab")
TWIN = replace(NFS, moid="datastore-2", datacenter="DC1", remote_path="/tank/other/win")
FOREIGN = replace(NFS, moid="datastore-3", name="ds3", remote_hosts=("203.0.113.6",))
LOCAL = Datastore("datastore-4", "ds4", "DC0", "VMFS", (), "", False, "vcenter.lab")

# A zfs that knows the lab's pool and answers `zfs list ... [-r <dataset>]` as the real one does.
ZFS = r"""#!/bin/sh
for last; do :; done
rows() { printf '%s\tfilesystem\t/%s\tyes\n' tank tank tank/vmware tank/vmware tank/vmware/nested tank/vmware/nested \
    tank/other tank/other; }
case "$last" in
    filesystem,volume | tank) rows ;;
    tank/vmware) rows | grep '^tank/vmware' ;;
    *) echo "cannot open '$last': dataset does not exist" >&2; exit 1 ;;
esac
"""


class Lab:
    """The module's surroundings: a zfs, a registry, a vCenter that takes any login and notes it."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.logins: list[tuple[Endpoint, str, str]] = []
        self._capsys = capsys

    def connect(
        self, endpoint: Endpoint, username: str, password: Secret, timeouts: object
    ) -> AbstractContextManager[None]:
        self.logins.append((endpoint, username, password.reveal()))
        return nullcontext()

    def run(self, **options: Any) -> dict[str, Any]:
        with patch_module_args(options), pytest.raises(SystemExit):
            vmware_datastore_match.main()
        result: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return result


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lab:
    (tmp_path / "zfs").write_text(ZFS)
    (tmp_path / "zfs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("VMWARE_ZFS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("VMWARE_ZFS_KEY_FILE", str(tmp_path / "secret" / "key"))
    for name in ("VMWARE_HOST", "VMWARE_USER", "VMWARE_PASSWORD", "VMWARE_VALIDATE_CERTS"):
        monkeypatch.delenv(name, raising=False)
    lab = Lab(capsys)
    monkeypatch.setattr(vmware_datastore_match, "connect", lab.connect)
    monkeypatch.setattr(vmware_datastore_match, "list_datastores", lambda session: [NFS, TWIN, FOREIGN, LOCAL])
    return lab


INLINE = {"hostname": "vcenter.lab", "username": "admin", "password": "canary-4711", "aliases": ["203.0.113.5"]}


@pytest.fixture
def stored(lab: Lab) -> Credential:
    with Credentials.open(Paths.from_environment()) as credentials:
        wanted = Credential("vcenter.lab", "backup", "tank/vmware", port=8443, validate_certs=False)
        return credentials.insert(wanted, Secret("canary-0815"))


def test_every_datastore_comes_back_with_its_verdict(lab: Lab) -> None:
    result = lab.run(**INLINE)
    assert result["changed"] is False
    assert [(one["moid"], one["datasets"], one["relation"], one["path"]) for one in result["datastores"]] == [
        ("datastore-1", ["tank/vmware", "tank/vmware/nested"], "root", ""),
        ("datastore-2", ["tank/other"], "subdirectory", "win"),
        ("datastore-3", [], None, ""),
        ("datastore-4", [], None, ""),
    ]
    assert result["datastores"][0] == {
        "moid": "datastore-1",
        "name": "ds1",
        "datacenter": "DC0",
        "type": "NFS",
        "accessible": True,
        "remote_hosts": ["203.0.113.5"],
        "remote_path": "/tank/vmware/",
        "datasets": ["tank/vmware", "tank/vmware/nested"],
        "relation": "root",
        "path": "",
        "reason": "/tank/vmware is the mountpoint of tank/vmware",
        "warnings": [],
    }
    assert result["datastores"][2]["reason"] == (
        "the server 203.0.113.6 is not an address of this storage host: "
        "add it to aliases if it is one (NAT, virtual address)"
    )
    assert result["datastores"][3]["reason"] == "it is not an NFS datastore; its type is VMFS"
    assert result["datasets"] == {
        "tank/other": [{"moid": "datastore-2", "name": "ds1", "datacenter": "DC1", "relation": "subdirectory"}],
        "tank/vmware": [{"moid": "datastore-1", "name": "ds1", "datacenter": "DC0", "relation": "root"}],
        "tank/vmware/nested": [{"moid": "datastore-1", "name": "ds1", "datacenter": "DC0", "relation": "root"}],
    }


def test_without_the_alias_nothing_matches(lab: Lab) -> None:
    result = lab.run(**{**INLINE, "aliases": []})
    assert [one["datasets"] for one in result["datastores"]] == [[], [], [], []]
    assert result["datasets"] == {}


def test_check_mode_is_the_same(lab: Lab) -> None:
    assert lab.run(**INLINE, _ansible_check_mode=True)["datasets"] == lab.run(**INLINE)["datasets"] != {}


def test_a_dataset_selects_the_datastores_on_it_and_below(lab: Lab) -> None:
    assert [one["moid"] for one in lab.run(**INLINE, dataset="tank/vmware")["datastores"]] == ["datastore-1"]


def test_an_inline_login_uses_the_options(lab: Lab) -> None:
    lab.run(**INLINE, port=8989, validate_certs=False)
    assert lab.logins == [(Endpoint("vcenter.lab", 8989, False), "admin", "canary-4711")]


def test_a_login_can_come_from_the_environment(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMWARE_HOST", "vcenter.env")
    monkeypatch.setenv("VMWARE_USER", "operator")
    monkeypatch.setenv("VMWARE_PASSWORD", "canary-1234")
    assert "failed" not in lab.run()
    assert lab.logins == [(Endpoint("vcenter.env"), "operator", "canary-1234")]


def test_an_id_uses_what_is_stored_whatever_the_environment_says(
    lab: Lab, stored: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMWARE_HOST", "vcenter.env")
    monkeypatch.setenv("VMWARE_PASSWORD", "canary-1234")
    assert "failed" not in lab.run(id=stored.id)
    assert lab.logins == [(Endpoint("vcenter.lab", 8443, False), "backup", "canary-0815")]


def test_the_filesystem_finds_what_is_stored(lab: Lab, stored: Credential) -> None:
    assert "failed" not in lab.run(hostname="VCENTER.lab", port=8443, username="backup", filesystem="tank/vmware")
    assert lab.logins == [(Endpoint("vcenter.lab", 8443, False), "backup", "canary-0815")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "No server was given; set id, or set hostname and username together with password or filesystem."),
        (
            {"hostname": "vcenter.lab", "username": "admin"},
            "No password was given; set password, or set filesystem to use a stored credential.",
        ),
        ({"id": 7}, "There is no credential with the id 7; list them with vmware_cred_info."),
        (
            {"hostname": "vcenter.lab", "username": "admin", "filesystem": "tank/vmware"},
            "No stored credential matches admin on vcenter.lab for tank/vmware; "
            "list the credentials with vmware_cred_info, or set password.",
        ),
        (
            {**INLINE, "dataset": "tank/none"},
            "The dataset 'tank/none' does not exist on this storage host; check the name with 'zfs list'.",
        ),
        (
            {**INLINE, "aliases": ["10.0.2.0/24"]},
            "The alias '10.0.2.0/24' is neither a host name nor an IP address; "
            "set each alias to one host name or one IP address.",
        ),
        ({**INLINE, "call_timeout": 0}, "call_timeout is 0; set it to more than zero seconds."),
    ],
)
def test_bad_input_gets_one_sentence(lab: Lab, options: dict[str, Any], message: str) -> None:
    result = lab.run(**options)
    assert result["failed"] is True
    assert result["msg"] == message
    assert "exception" not in result


def test_an_unknown_dataset_is_noticed_before_the_login(lab: Lab) -> None:
    lab.run(**INLINE, dataset="tank/none")
    assert lab.logins == []


def test_a_server_that_reflects_the_password_does_not_reveal_it(
    lab: Lab, stored: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = replace(FOREIGN, name="canary-0815", remote_hosts=("canary-0815",))
    monkeypatch.setattr(vmware_datastore_match, "list_datastores", lambda session: [hostile])
    assert "canary" not in json.dumps(lab.run(id=stored.id))
