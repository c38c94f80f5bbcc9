# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vmware_cred and vmware_cred_info through main(): what is stored, what is refused, and that no password comes out."""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    CertificateUntrusted,
    LoginRefused,
    QuiesceError,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning import preflight
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import (
    Credential,
    Credentials,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal_entries import Entry
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import RestoreRecord, Restores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import timers
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.text import printable
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import Endpoint
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_cred, vmware_cred_info, vmware_cred_key
from ansible_collections.quiesce.vmware_zfs.tests.unit.module_arguments import patch_module_args, show_tracebacks

# A zfs that knows two file systems and a volume.
ZFS = r"""#!/bin/sh
for last; do :; done
case "$last" in
    tank/vmware|tank/vms) printf '%s\tfilesystem\t/%s\tyes\n' "$last" "$last" ;;
    tank/volume) printf 'tank/volume\tvolume\t-\t-\n' ;;
    *) echo "cannot open '$last': dataset does not exist" >&2; exit 1 ;;
esac
"""

CANARY = "canary-4711"
NEW_CANARY = "canary-0815"
VCENTER: dict[str, Any] = {
    "hostname": "vcenter.example.com",
    "username": "administrator@vsphere.local",
    "filesystem": "tank/vmware",
}
CREATE = {**VCENTER, "password": CANARY}
REFUSED = LoginRefused("vcenter.example.com refused the login", "Check username and password")


class Host:
    """A storage host: a zfs, a place for the registry, a vCenter that notes who logs in and may refuse."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.paths = Paths(folder / "state", folder / "etc" / "secret.key")
        self.logins: list[tuple[Endpoint, str, str]] = []
        self.refusal: Exception | None = None
        self._capsys = capsys

    def connect(
        self, endpoint: Endpoint, username: str, password: Secret, timeouts: object
    ) -> AbstractContextManager[None]:
        self.logins.append((endpoint, username, password.reveal()))
        if self.refusal is not None:
            raise self.refusal
        return nullcontext()

    def run(self, module: Any, options: dict[str, Any]) -> dict[str, Any]:
        with patch_module_args(options), pytest.raises(SystemExit):
            module.main()
        text = self._capsys.readouterr().out
        assert CANARY not in text and NEW_CANARY not in text
        result: dict[str, Any] = json.loads(text)
        return result

    def cred(self, check: bool = False, **options: Any) -> dict[str, Any]:
        result = self.run(vmware_cred, {**options, "_ansible_check_mode": check, "_ansible_diff": True})
        assert not result.get("failed"), result["msg"]
        return result

    def refuses(self, **options: Any) -> str:
        """The sentence that the module fails with, in check mode and without; neither may change anything."""
        before = self.stored()
        sentences: list[str] = []
        for check in (True, False):
            result = self.run(vmware_cred, {**options, "_ansible_check_mode": check})
            assert result["failed"] and not result.get("exception")
            sentences.append(result["msg"])
        assert self.stored() == before
        assert sentences[0] == sentences[1]
        return sentences[0]

    def listed(self, **options: Any) -> list[int]:
        return [one["id"] for one in self.run(vmware_cred_info, options)["credentials"]]

    def stored(self) -> list[tuple[dict[str, Any], str]]:
        """What the registry holds, with the passwords."""
        with Credentials.open(self.paths, read_only=True) as credentials:
            return [(one.as_dict(), credentials.password(one).reveal()) for one in credentials.list_all()]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "zfs").write_text(ZFS)
    (tmp_path / "bin" / "zfs").chmod(0o755)
    host = Host(tmp_path, capsys)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("VMWARE_ZFS_STATE_DIR", str(host.paths.state_dir))
    monkeypatch.setenv("VMWARE_ZFS_KEY_FILE", str(host.paths.key_file))
    for name in ("VMWARE_HOST", "VMWARE_USER", "VMWARE_PASSWORD", "VMWARE_VALIDATE_CERTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(vmware_cred, "connect", host.connect)
    for needs_a_server_to_ask in ("require_privileges", "missing_datastores"):
        monkeypatch.setattr(preflight, needs_a_server_to_ask, lambda *arguments: [])
    return host


def test_check_mode_tries_the_login_and_leaves_no_file(host: Host) -> None:
    result = host.cred(check=True, **CREATE)
    assert result["changed"] and result["credential"]["id"] is None
    assert len(host.logins) == 1
    assert not host.paths.state_dir.exists() and not host.paths.key_file.parent.exists()


def test_create_and_again(host: Host) -> None:
    result = host.cred(**CREATE)
    assert result["changed"] and result["credential"]["id"] == 1
    assert host.logins == [(Endpoint("vcenter.example.com"), VCENTER["username"], CANARY)]
    assert result["diff"]["before"] == {} and result["diff"]["after"]["filesystem"] == "tank/vmware"
    assert [password for _settings, password in host.stored()] == [CANARY]
    for check in (True, False):
        again = host.cred(check, **CREATE)
        assert not again["changed"] and again["credential"] == result["credential"]
    assert len(host.logins) == 1, "what changes nothing needs no login"


def test_a_new_password_is_told_from_the_stored_one(host: Host) -> None:
    host.cred(**CREATE)
    assert host.cred(check=True, **{**CREATE, "password": NEW_CANARY})["changed"]
    assert host.stored()[0][1] == CANARY
    result = host.cred(**{**CREATE, "password": NEW_CANARY})
    assert result["changed"] and result["diff"]["before"] != result["diff"]["after"]
    assert host.stored()[0][1] == NEW_CANARY
    assert not host.cred(**{**CREATE, "password": NEW_CANARY})["changed"]
    assert not host.cred(**{**CREATE, "update_password": "on_create"})["changed"]
    assert host.stored()[0][1] == NEW_CANARY


OTHER_VALUES: dict[str, Any] = {"validate_certs": False, "datastores": ["ds1"], "thumbprint": "ab" * 32}


@pytest.mark.parametrize("option", [*OTHER_VALUES, "ca_path"])
def test_what_a_playbook_no_longer_names_takes_its_default(option: str, host: Host, tmp_path: Path) -> None:
    """All but the password: a certificate that nobody verifies must not stay so in silence."""
    (tmp_path / "authorities").mkdir()
    value = {**OTHER_VALUES, "ca_path": str(tmp_path / "authorities")}[option]
    default = host.cred(**CREATE)["credential"]
    named = host.cred(**CREATE, **{option: value})
    assert named["changed"] and named["credential"][option] != default[option]
    assert not host.cred(**CREATE, **{option: value})["changed"]

    predicted = host.cred(check=True, **VCENTER)
    assert predicted["changed"] and host.stored()[0][0] == named["credential"]
    back = host.cred(**VCENTER)
    assert back["changed"] and back["diff"] == predicted["diff"] and back["credential"]["id"] == default["id"]
    assert (back["diff"]["before"][option], back["diff"]["after"][option]) == (
        named["credential"][option],
        default[option],
    )
    assert {**back["credential"], "updated": ""} == {**default, "updated": ""}
    assert host.stored()[0][1] == CANARY and host.logins[-1] == (
        Endpoint(VCENTER["hostname"]),
        VCENTER["username"],
        CANARY,
    )
    assert not host.cred(**VCENTER)["changed"] and not host.cred(check=True, **CREATE)["changed"]


def test_seed_update_by_id_changes_the_password_alone(host: Host) -> None:
    host.cred(**CREATE, port=8443, validate_certs=False, datastores=["ds1"])
    before = host.stored()[0][0]
    result = host.cred(id=1, password=NEW_CANARY)
    assert result["changed"] and result["credential"] == {**before, "updated": result["credential"]["updated"]}
    assert host.stored()[0][1] == NEW_CANARY
    assert host.logins[-1] == (Endpoint("vcenter.example.com", 8443, False), VCENTER["username"], NEW_CANARY)


def test_rename_by_id_logs_in_with_the_stored_password(host: Host) -> None:
    host.cred(**CREATE)
    result = host.cred(id=1, hostname="VC2.example.com", filesystem="tank/vms")
    assert result["diff"]["before"]["hostname"] == "vcenter.example.com"
    assert result["diff"]["after"]["hostname"] == "vc2.example.com"
    assert host.logins[-1] == (Endpoint("vc2.example.com"), VCENTER["username"], CANARY)
    assert [(settings["id"], settings["hostname"], password) for settings, password in host.stored()] == [
        (1, "vc2.example.com", CANARY)
    ]
    assert not host.cred(id=1, hostname="vc2.example.com", filesystem="tank/vms")["changed"]


def test_a_volume_keeps_a_datastore(host: Host) -> None:
    """Without one the credential could never match, and is refused by id as well."""
    host.cred(**{**CREATE, "filesystem": "tank/volume"}, datastores=["ds1"])
    sentence = "'tank/volume' is a volume; set filesystem to the file system of the NFS datastore, or name the"
    assert host.refuses(id=1, datastores=[]).startswith(sentence)
    assert host.cred(id=1, datastores=["ds2"])["changed"] and not host.cred(id=1, datastores=["ds2"])["changed"]
    assert host.cred(id=1, datastores=[], filesystem="tank/vms")["changed"]
    assert host.refuses(id=1, filesystem="tank/volume").startswith(sentence)


def test_the_port_is_part_of_the_server(host: Host) -> None:
    host.cred(**CREATE)
    assert host.cred(**CREATE, port=8443)["credential"]["id"] == 2
    assert not host.cred(**CREATE, port=443)["changed"]


def test_an_esxi_host_is_stored_alike(host: Host) -> None:
    options = {**CREATE, "hostname": "esxi01.example.com", "username": "root", "filesystem": "tank/vms"}
    assert host.cred(**options, thumbprint="ab" * 32)["changed"]
    assert not host.cred(**options, thumbprint=":".join(["AB"] * 32))["changed"]
    assert host.cred(id=1, thumbprint="")["credential"]["thumbprint"] is None


@pytest.mark.parametrize("how", [{"id": 1}, VCENTER])
def test_remove_and_again(host: Host, how: dict[str, Any]) -> None:
    host.cred(**CREATE)
    logins = len(host.logins)
    result = host.cred(check=True, state="absent", **how)
    assert result["changed"] and result["diff"]["after"] == {} and len(host.stored()) == 1
    result = host.cred(state="absent", **how)
    assert result["changed"] and result["credential"]["id"] == 1 and host.stored() == []
    again = host.cred(state="absent", **how)
    assert not again["changed"] and again["credential"] is None
    assert len(host.logins) == logins


def test_removing_from_nothing_creates_nothing(host: Host) -> None:
    assert not host.cred(state="absent", id=1)["changed"]
    assert not host.paths.state_dir.exists()


@pytest.mark.parametrize("refusal", [REFUSED, CertificateUntrusted("The certificate of x could not be verified")])
def test_nothing_is_stored_when_the_login_fails(host: Host, refusal: QuiesceError) -> None:
    host.refusal = refusal
    assert host.refuses(**CREATE) == str(refusal)
    assert len(host.logins) == 2
    host.refusal = None
    host.cred(**CREATE)
    host.refusal = refusal
    assert host.refuses(id=1, password=NEW_CANARY) == str(refusal)
    assert host.refuses(id=1, datastores=["ds1"]) == str(refusal)


def test_verify_login_false_mends_while_the_server_is_down(host: Host) -> None:
    host.refusal = REFUSED
    assert host.cred(**CREATE, verify_login=False)["changed"]
    assert host.cred(id=1, hostname="vc2.example.com", verify_login=False)["changed"]
    assert host.logins == []
    assert host.stored()[0][1] == CANARY


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({**CREATE, "filesystem": "tank/none"}, "The dataset 'tank/none' does not exist"),
        ({**CREATE, "filesystem": "-rf"}, "is not a valid dataset name"),
        ({**CREATE, "filesystem": "tank/volume"}, "'tank/volume' is a volume; set filesystem to the file system"),
        ({**CREATE, "hostname": "https://vcenter"}, "is not a host name"),
        ({**CREATE, "hostname": "10.0.0.300"}, "is not a host name or IP address"),
        ({**CREATE, "hostname": "192.168.1"}, "is not a host name or IP address"),
        ({**CREATE, "hostname": "a" * 64 + ".lab"}, "is not a host name or IP address"),
        ({**CREATE, "hostname": "a." * 127 + "lab"}, "is not a host name or IP address"),
        ({**CREATE, "hostname": "0.0.0.0"}, "is not a host name or IP address"),
        ({**CREATE, "hostname": "ff02::1"}, "is not a host name or IP address"),
        ({**CREATE, "port": 0}, "The port 0 is invalid"),
        ({**CREATE, "username": "  "}, "The username is empty"),
        ({**CREATE, "password": CANARY + "\n"}, "The password contains a line break"),
        ({**CREATE, "password": "\x00" + CANARY}, "The password contains a line break or another control character"),
        ({**CREATE, "datastores": ["ds1", ""]}, "datastores has an empty entry"),
        ({**CREATE, "ca_path": "ca.pem"}, "is not an absolute path"),
        (
            {**CREATE, "ca_path": "/no/such.pem", "verify_login": False},
            "does not contain usable certificate authorities",
        ),
        ({**CREATE, "thumbprint": "AB"}, "is not a SHA-256 thumbprint"),
        ({**CREATE, "connect_timeout": 0}, "connect_timeout is 0; set it to more than zero seconds"),
        (VCENTER, "A new credential needs a password"),
        (
            {"password": CANARY, "filesystem": "tank/vmware"},
            "cannot be identified without hostname and username; set id, or",
        ),
        ({"state": "absent", "hostname": "a"}, "cannot be identified without username and filesystem"),
        ({"id": 7, "password": CANARY}, "There is no credential with the id 7; list them with vmware_cred_info"),
    ],
)
def test_bad_input_gets_a_sentence(host: Host, options: dict[str, Any], sentence: str) -> None:
    said = host.refuses(**options)
    assert sentence in said and "\n" not in said
    assert host.logins == []


def test_authorities_that_the_units_would_not_see_are_refused(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have a /tmp of their own: what works for the module would fail every night."""
    hidden, units = tmp_path / "authorities", tmp_path / "units"
    for folder in (hidden, units):
        folder.mkdir()
    monkeypatch.setattr(preflight, "_HIDDEN", (str(tmp_path),))
    monkeypatch.setattr(timers.Timers.__init__, "__defaults__", (units, "systemctl"))
    (tmp_path.parent / f"{tmp_path.name}-link").symlink_to(hidden)
    assert host.cred(**CREATE, ca_path=str(hidden))["changed"], "nothing runs in a unit there"
    (units / timers.SERVICE).touch()
    for path in (str(hidden), str(tmp_path.parent / f"{tmp_path.name}-link")):
        said = host.refuses(**{**CREATE, "filesystem": "tank/vms"}, ca_path=path)
        assert f"ca_path '{printable(path, 80)}' is in {tmp_path}" in said
        assert "move the certificates to another directory" in said
    assert host.cred(**{**CREATE, "filesystem": "tank/vms"}, ca_path=str(hidden), thumbprint="ab" * 32)["changed"]


def test_a_rename_onto_another_credential_is_refused(host: Host) -> None:
    host.cred(**CREATE)
    host.cred(**{**CREATE, "filesystem": "tank/vms"})
    assert "The credential 1 already exists for" in host.refuses(id=2, filesystem="tank/vmware")


def test_giving_the_password_again_mends_a_lost_key(host: Host) -> None:
    host.cred(**CREATE)
    host.paths.key_file.unlink()
    assert "key file" in host.run(vmware_cred, {"id": 1, "hostname": "vc2.example.com"})["msg"]
    assert host.cred(**CREATE)["changed"]
    assert host.stored()[0][1] == CANARY
    assert not host.cred(**CREATE)["changed"]


def test_the_key_is_replaced_and_check_mode_only_says_so(host: Host) -> None:
    assert not host.run(vmware_cred_key, {})["changed"] and not host.paths.key_file.exists()
    host.cred(**CREATE)
    before = host.paths.key_file.read_text()
    predicted = host.run(vmware_cred_key, {"_ansible_check_mode": True})
    assert host.paths.key_file.read_text() == before
    done = host.run(vmware_cred_key, {"_ansible_diff": True})
    old, secret = before.split()
    assert done["changed"] and done["encrypted_anew"] == [1] and done["removed_keys"] == [old] and done["new_key"]
    assert all(predicted[name] == done[name] for name in ("changed", "new_key", "encrypted_anew", "removed_keys"))
    assert old not in host.paths.key_file.read_text() and host.stored()[0][1] == CANARY
    for value in (secret, host.paths.key_file.read_text().split()[1]):
        assert value not in json.dumps([predicted, done]), "a key is shown"
    assert not host.run(vmware_cred_key, {"max_age": 30})["changed"]
    assert "max_age is -1; set max_age to a number of days" in host.run(vmware_cred_key, {"max_age": -1})["msg"]
    host.paths.key_file.write_text("damaged")
    assert "is damaged; restore the key file" in host.run(vmware_cred_key, {})["msg"]


def test_the_environment_names_the_server(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMWARE_HOST", "vcenter.example.com")
    monkeypatch.setenv("VMWARE_USER", "root")
    monkeypatch.setenv("VMWARE_PASSWORD", CANARY)
    monkeypatch.setenv("VMWARE_VALIDATE_CERTS", "no")
    created = host.cred(filesystem="tank/vmware")["credential"]
    assert host.logins == [(Endpoint("vcenter.example.com", validate_certs=False), "root", CANARY)]
    assert not host.cred(filesystem="tank/vmware")["changed"]
    assert host.cred(filesystem="tank/vmware", username="other", validate_certs=True)["credential"]["id"] == 2
    monkeypatch.setenv("VMWARE_HOST", "another.example.com")
    monkeypatch.setenv("VMWARE_PASSWORD", NEW_CANARY)
    assert host.cred(id=1, datastores=["ds1"])["credential"]["hostname"] == created["hostname"]
    assert host.stored()[0][1] == CANARY, "the environment changed a credential that was addressed by its id"


def test_info_lists_and_filters(host: Host) -> None:
    assert host.listed() == []
    assert not host.paths.state_dir.exists()
    host.cred(**CREATE)
    host.cred(**{**CREATE, "filesystem": "tank/vms"})
    host.cred(**{**CREATE, "hostname": "esxi01"})
    assert host.listed() == [1, 2, 3]
    assert host.listed(id=2) == [2]
    assert host.listed(id=7) == []
    assert host.listed(hostname="VCENTER.example.com.") == [1, 2]
    assert host.listed(filesystem="tank/vmware") == [1, 3]
    assert host.listed(filesystem="tank/vmware", hostname="esxi01") == [3]
    one = host.run(vmware_cred_info, {"id": 1})["credentials"][0]
    assert set(one) == {
        *("id", "hostname", "port", "username", "filesystem", "purpose", "datastores"),
        *("validate_certs", "ca_path", "thumbprint", "created", "updated"),
    }


def test_an_unexpected_error_shows_no_password(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    show_tracebacks(monkeypatch)
    host.cred(**CREATE)
    host.refusal = ValueError(f"sent {CANARY} to the server")
    result = host.run(vmware_cred, {"id": 1, "hostname": "vc2.example.com", "_ansible_verbosity": 3})
    assert result["failed"] and "ValueError" in result["msg"] and "please report it" in result["msg"]
    assert "in connect" in result["exception"] and "sent ********" in result["exception"]


def test_the_last_credential_of_a_server_stays_while_a_vmware_snapshot_may_be_left_there(host: Host) -> None:
    first = host.cred(**CREATE)["credential"]["id"]
    with Database.open(host.paths) as database:
        journal = Journal(database)
        journal.open_run("r1", "", "tank", ["tank@a"])
        (entry,) = journal.intend([Entry("r1", VCENTER["hostname"], 443, "vm-1", "uuid", "web", "vmware-zfs r1")])
        assert host.refuses(id=first, state="absent") == (
            "1 VMware snapshot may still exist on vcenter.example.com, for example 'vmware-zfs r1' of the VM 'web', "
            "and this is the last credential that can remove them; run 'vmware-zfs recover' until 'vmware-zfs status' "
            "shows none, or set force."
        )
        assert host.cred(check=True, id=first, state="absent", force=True)["changed"]
        second = host.cred(**{**CREATE, "filesystem": "tank/vms"})["credential"]["id"]
        for also in ({"id": second}, {**VCENTER, "hostname": "VCENTER.example.com", "filesystem": "tank/vms"}):
            assert "the last credential" in host.refuses(id=first, state="absent", also_removed=[also]), (
                "both are to go"
            )
        for also in ({"id": 99}, {"id": first}, {**VCENTER, "filesystem": "tank/none"}):
            assert host.cred(check=True, id=first, state="absent", also_removed=[also])["changed"]
        assert host.cred(id=first, state="absent")["changed"], "the other one can remove it"
        assert "the last credential" in host.refuses(id=second, state="absent")
        journal.gone({entry: ""})
    assert host.cred(id=second, state="absent")["changed"]


def test_an_account_is_stored_once_for_each_purpose(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(preflight, "require_privileges", lambda session, wanted, zfs: asked.append(wanted.purpose))
    assert host.cred(**CREATE)["credential"]["purpose"] == "snapshot"
    restore = {**CREATE, "purpose": "restore", "password": NEW_CANARY}
    assert host.cred(**restore)["changed"] and not host.cred(**restore)["changed"]
    assert not host.cred(**CREATE)["changed"] and not host.cred(**CREATE, purpose="snapshot")["changed"]
    assert [(one["purpose"], password) for one, password in host.stored()] == [
        ("snapshot", CANARY), ("restore", NEW_CANARY),
    ]  # fmt: skip
    assert asked == ["snapshot"], "an account for restores needs other privileges than a run"
    assert len(host.logins) == 2, "its login is tested all the same"
    assert (host.listed(purpose="restore"), host.listed(purpose="snapshot")) == ([2], [1])
    assert not host.cred(id=2, port=443)["changed"], "with an ID, the purpose stays"
    assert "already exists" in host.refuses(id=2, purpose="snapshot")
    assert "value of purpose must be one of" in host.refuses(**CREATE, purpose="backup")
    assert host.cred(**VCENTER, state="absent")["credential"]["id"] == 1
    assert host.listed() == [2]


def test_a_credential_for_restores_removes_no_vmware_snapshot_of_a_run(host: Host) -> None:
    first = host.cred(**CREATE)["credential"]["id"]
    other = host.cred(**CREATE, purpose="restore")["credential"]["id"]
    with Database.open(host.paths) as database:
        journal, restores = Journal(database), Restores(database)
        journal.open_run("r1", "", "tank", ["tank@a"])
        journal.intend([Entry("r1", VCENTER["hostname"], 443, "vm-1", "uuid", "web", "vmware-zfs r1")])
        assert "1 VMware snapshot may still exist" in host.refuses(id=first, state="absent")
        assert host.cred(check=True, id=other, state="absent")["changed"]
        restores.open(RestoreRecord("r2", "tank@a", "folder", "mail", "new", VCENTER["hostname"], 443, "root"))
        assert host.refuses(id=other, state="absent") == (
            "1 restore on vcenter.example.com did not finish, for example that of the VM 'mail' (r2), and this is the"
            " last credential for restores that can undo it; run 'vmware-zfs recover' until 'vmware-zfs restores' shows"
            " none that is running, or set force."
        )
        restores.keep_result("r2", {})
        restores.set_state("r2", "done")
    assert host.cred(id=other, state="absent")["changed"]


def test_a_diff_shows_settings_and_no_password() -> None:
    fresh = Credential("vcenter.example.com", "administrator@vsphere.local", "tank/vmware")
    stored = replace(fresh, id=1, created="then", updated="then")
    before, after = vmware_cred.changed_settings(None, fresh, new_password=True)
    assert before == {}
    assert after["hostname"] == fresh.hostname and after["password"] == "a new password"
    before, after = vmware_cred.changed_settings(stored, replace(stored, updated="now"))
    assert before == after
    before, after = vmware_cred.changed_settings(stored, stored, new_password=True)
    assert before != after
    before, after = vmware_cred.changed_settings(stored, None)
    assert before["hostname"] == fresh.hostname and after == {}
    assert vmware_cred.changed_settings(None, None) == ({}, {})
