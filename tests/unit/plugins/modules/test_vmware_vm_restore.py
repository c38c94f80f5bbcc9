# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of restores through main(): what they ask the engine for, and what they document and return."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils import _restores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import RestoreFailed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import account as accounts
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import ending, request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.account import Account
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.clone_datastores import CloneDatastore
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.ensure import Ensured
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.plan import Helper, RestorePlan
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.result import (
    RestoreResult,
    VmRestored,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import (
    RESTORE,
    Credential,
    Credentials,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import (
    CLONE,
    DISK,
    ENDED,
    FOLDER,
    MOUNT,
    RestoreRecord,
    Restores,
)
from ansible_collections.quiesce.vmware_zfs.plugins.modules import (
    vmware_restore_info,
    vmware_snapshot_datastore,
    vmware_vm_restore,
)
from ansible_collections.quiesce.vmware_zfs.tests.unit.module_arguments import patch_module_args

SNAPSHOT = "tank/vmware@auto-2026-01-31_02-00"
BASE: dict[str, Any] = {"snapshot": SNAPSHOT, "vms": ["mail"]}
LOGIN = {"hostname": "vcenter.lab", "username": "restorer", "password": "secret-4711"}
RESTORED = VmRestored("mail", "mail-restored-2026-01-31", restored=True, warnings=["The MAC address is the same."])


class Nothing:
    """A session that is not used."""

    def __enter__(self) -> Nothing:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class Host:
    """A storage host with a real state database. Logins, restores and ends are recorded instead of carried out."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.paths, self._capsys = Paths(folder / "state", folder / "key", folder / "locks"), capsys
        self.accounts: list[Any] = []
        self.asked: list[tuple[request.RestoreRequest, bool]] = []
        self.ended: list[str] = []
        self.failure: RestoreFailed | None = None
        self.answer = Ensured(RestoreResult("r1", SNAPSHOT, FOLDER, [RESTORED]), True)
        self.stays = ""
        with Database.open(self.paths):
            pass

    def run(self, module: Any, **options: Any) -> dict[str, Any]:
        given = {"_ansible_diff": True, "_ansible_check_mode": options.pop("check", False), **options}
        with patch_module_args(given), pytest.raises(SystemExit):
            module.main()
        said = self._capsys.readouterr().out
        assert "secret-4711" not in said
        result: dict[str, Any] = json.loads(said)
        assert not result.get("exception"), result
        return result

    def restore(self, **options: Any) -> dict[str, Any]:
        return self.run(vmware_vm_restore, **{**BASE, **LOGIN, **options})

    def journal(self, restore: str, way: str = CLONE, state: str = "", host: str = "") -> None:
        with Database.open(self.paths) as database:
            restores = Restores(database)
            restores.open(RestoreRecord(restore, SNAPSHOT, way, "mail", "mail-restored", "vcenter.lab", 443, "u"))
            restores.done(restores.intend(restore, "mount", {"host": host}))
            restores.keep_result(restore, RestoreResult(restore, SNAPSHOT, way).as_dict())
            restores.set_state(restore, "done")
            if state:
                restores.set_state(restore, state)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    host = Host(tmp_path, capsys)

    def open_session(_engine: Any, account: Account) -> Any:
        host.accounts.append(account)
        return Nothing()

    def ensure(_engine: Any, _session: Any, wanted: request.RestoreRequest, check: bool) -> Ensured:
        host.asked.append((wanted, check))
        if host.failure is not None:
            raise host.failure
        return host.answer

    def end(_engine: Any, restore: RestoreRecord, session: Callable[[], Any]) -> str:
        session()
        host.ended.append(restore.id)
        return host.stays

    for name in ("VMWARE_HOST", "VMWARE_USER", "VMWARE_PASSWORD", "VMWARE_VALIDATE_CERTS"):
        monkeypatch.delenv(name, raising=False)
    for name, path in (("STATE_DIR", "state"), ("KEY_FILE", "key"), ("LOCK_DIR", "locks")):
        monkeypatch.setenv(f"VMWARE_ZFS_{name}", str(tmp_path / path))
    for module in (_restores, accounts):
        monkeypatch.setattr(module, "open_session", open_session)
    monkeypatch.setattr(accounts, "session_to_undo", lambda engine, restore: host.accounts.append(restore.id))
    monkeypatch.setattr(_restores, "ensure", ensure)
    monkeypatch.setattr(ending, "end", end)
    return host


# ---- What is asked


def test_the_options_become_the_request(host: Host) -> None:
    host.restore(
        instant=True, host="esx1", network="isolated", power_on=True, server="nfs.lab", clients=["10.0.0.7"],
        aliases=["10.0.0.1"], boot_timeout=60, limit_per_vcenter=4, limit_per_host=2,
    )  # fmt: skip
    (wanted, check) = host.asked[0]
    assert not check and wanted == request.RestoreRequest(
        request.parse_snapshot(SNAPSHOT), ("mail",), CLONE, host="esx1", network="isolated", power_on=True,
        server="nfs.lab", clients=("10.0.0.7",), aliases=("10.0.0.1",), boot_timeout=60.0,
        limits=type(wanted.limits)(4, 2),
    )  # fmt: skip


def test_the_defaults_are_those_of_the_request(host: Host) -> None:
    host.restore()
    assert host.asked == [(request.RestoreRequest(request.parse_snapshot(SNAPSHOT), ("mail",)), False)]


@pytest.mark.parametrize(
    ("options", "way"),
    [
        ({}, FOLDER),
        ({"instant": True}, CLONE),
        ({"disk": 1, "attach_to": "helper"}, DISK),
        ({"disk": 1, "attach_to": "helper", "instant": True}, DISK),
    ],
)
def test_the_way_follows_from_the_options(host: Host, options: dict[str, Any], way: str) -> None:
    host.restore(**options)
    assert host.asked[0][0].way == way


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"snapshot": "tank/vmware"}, "'tank/vmware' is not the name of a ZFS snapshot; give it as dataset@name"),
        ({"vms": []}, "No VM was named"),
        ({"vms": ["a", "a"]}, "A VM was named twice"),
        ({"vms": ["a", "b"], "name": "c"}, "A name was given for several VMs"),
        ({"force": True}, "force has no effect without replace"),
        ({"disk": 0, "attach_to": "helper"}, "The number of the disk is missing"),
        ({"disk": 0}, "The number of the disk is missing"),
        ({"disk": 1}, "No VM was named that gets the disk"),
        ({"disk": 1, "attach_to": "helper", "replace": True}, "A disk cannot replace a VM"),
        ({"disk": 1, "attach_to": "helper", "name": "x"}, "A disk gets no name"),
        ({"boot_timeout": -1}, "boot_timeout"),
        ({"limit_per_host": 0}, "limit_per_vcenter or limit_per_host is below 1"),
        ({"snapshot": None, "vms": None, "state": "absent"}, "state is absent but all of the following are missing"),
    ],
    ids=str,
)
@pytest.mark.parametrize("check", [False, True])
def test_bad_input_is_refused_before_anything_else(
    host: Host, options: dict[str, Any], sentence: str, check: bool
) -> None:
    result = host.restore(check=check, **options)
    assert result["failed"] and sentence in result["msg"] and host.accounts == [] and host.asked == []


# ---- The account


def test_the_account_of_the_options_is_used(host: Host) -> None:
    host.restore(port=8443, thumbprint="ab", validate_certs=False)
    (account,) = host.accounts
    assert (account.endpoint.hostname, account.endpoint.port, account.username) == ("vcenter.lab", 8443, "restorer")
    assert account.endpoint.thumbprint == "ab" and account.password.reveal() == "secret-4711"


def store(host: Host, hostname: str, purpose: str = RESTORE) -> None:
    with Credentials.open(host.paths) as credentials:
        credentials.insert(Credential(hostname, "stored", "tank", purpose=purpose), Secret("secret-4711"))


@pytest.mark.parametrize("given", [{}, {"hostname": "VCENTER.lab."}])
def test_without_a_username_the_stored_account_for_restores_is_used(host: Host, given: dict[str, Any]) -> None:
    store(host, "vcenter.lab")
    assert host.run(vmware_vm_restore, **BASE, **given)["changed"]
    assert [(one.endpoint.hostname, one.username) for one in host.accounts] == [("vcenter.lab", "stored")]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "No account with the purpose 'restore' is stored for tank/vmware; give a server"),
        ({"hostname": "other.lab"}, "No account with the purpose 'restore' is stored for tank/vmware on other.lab"),
        ({"username": "u", "hostname": "h"}, "A username was given, but no password; set password"),
        ({"username": "u", "password": "p4711"}, "A username was given, but no hostname; set hostname"),
        ({"password": "p4711"}, "A password was given, but no username; set username"),
    ],
    ids=str,
)
def test_an_account_that_is_not_there_is_named(host: Host, options: dict[str, Any], sentence: str) -> None:
    store(host, "vcenter.lab", "snapshot")  # which restores never use
    result = host.run(vmware_vm_restore, **BASE, **options)
    assert result["failed"] and sentence in result["msg"] and host.accounts == []


def test_of_several_stored_servers_one_must_be_named(host: Host) -> None:
    for name in ("vc1.lab", "vc2.lab"):
        store(host, name)
    assert "stored on vc1.lab, stored on vc2.lab; name the server" in host.run(vmware_vm_restore, **BASE)["msg"]
    assert host.run(vmware_vm_restore, **BASE, hostname="vc2.lab")["changed"]


# ---- What is returned


def test_a_restore_is_a_change_and_its_warnings_are_those_of_ansible(host: Host) -> None:
    result = host.restore()
    assert result["changed"] and result["restore_id"] == "r1" and result["vms"][0]["restored"]
    assert result["diff"] == {"before": {"restored": []}, "after": {"restored": ["mail-restored-2026-01-31"]}}
    assert "'mail-restored-2026-01-31': The MAC address is the same." in said_by(result)


def said_by(result: dict[str, Any]) -> str:
    """Return the warnings as text. Some versions of ansible-core return them as objects."""
    return json.dumps(result.get("warnings", []))


def test_a_vm_that_exists_is_no_change(host: Host) -> None:
    host.answer.changed, host.answer.existing, host.answer.kept = False, ["r1"], ["mail-restored-2026-01-31"]
    result = host.restore()
    assert not result["changed"] and result["existing_restores"] == ["r1"]
    assert result["diff"]["before"] == result["diff"]["after"]


def test_check_mode_warns_about_what_forbids_the_restore_and_does_not_fail(host: Host) -> None:
    plan = RestoreResult("", SNAPSHOT, FOLDER, [VmRestored("mail", "mail-restored")], warnings=["It is suspended."])
    host.answer = Ensured(plan, False, steps=["copy mail"], refusals=["No ESXi host can take the VM."])
    result = host.restore(check=True)
    assert not result.get("failed") and not result["changed"] and host.asked[0][1]
    assert result["refusals"] == ["No ESXi host can take the VM."] and result["steps"] == ["copy mail"]
    assert "Outside check mode, this fails: No ESXi host can take the VM." in said_by(result)
    assert "It is suspended." in said_by(result) and result["diff"]["after"] == {"restored": []}


def test_a_failure_returns_what_was_done(host: Host) -> None:
    vms = [RESTORED, VmRestored("web", "web-restored", error="No space.")]
    details = RestoreResult("r1", SNAPSHOT, FOLDER, vms, warnings=["A warning."]).as_dict()
    host.failure = RestoreFailed("1 VM of 2 failed", "Try again", **details)
    result = host.restore()
    assert result["failed"] and result["msg"] == "1 VM of 2 failed; try again." and result["changed"]
    assert [vm["restored"] for vm in result["vms"]] == [True, False] and "A warning." in said_by(result)
    assert result["summary"] == [
        "'mail' is restored as 'mail-restored-2026-01-31' (level , off)",
        "'web' was not restored: No space.",
    ]


def test_a_refusal_changed_nothing(host: Host) -> None:
    plan = RestorePlan(request.RestoreRequest(request.parse_snapshot(SNAPSHOT), ("mail",)), refusals=("No.",))
    host.failure = RestoreFailed("Nothing was restored: No", "Nothing was changed", **plan.as_dict())
    result = host.restore()
    assert result["failed"] and not result["changed"] and result["refusals"] == ["No."] and result["summary"] == []


# ---- The end


def test_a_restore_is_ended_once(host: Host) -> None:
    host.journal("r1")
    assert host.restore(state="absent", restore_id="r1", check=True)["changed"] and host.ended == []
    result = host.restore(state="absent", restore_id="r1")
    assert result["changed"] and host.ended == ["r1"]
    assert result["diff"] == {"before": {"restores": ["r1"]}, "after": {"restores": []}}
    assert [one.username for one in host.accounts] == ["restorer"]


@pytest.mark.parametrize("known", [True, False])
def test_a_restore_that_ended_is_no_change(host: Host, known: bool) -> None:
    if known:
        host.journal("r1", state=ENDED)
    result = host.restore(state="absent", restore_id="r1")
    assert not result["changed"] and not result.get("failed") and host.ended == []


def test_a_copied_vm_stays_and_that_is_said(host: Host) -> None:
    host.journal("r1", FOLDER)
    host.stays = ending.STAYS
    assert "The restored VM stays" in said_by(host.run(vmware_vm_restore, state="absent", restore_id="r1"))
    assert host.accounts == ["r1"], "without options, the account of the restore is used"


def test_a_snapshot_is_mounted_and_unmounted(host: Host) -> None:
    datastores = [{"moid": "datastore-1", "name": "restore-r1", "dataset": "tank/vmware", "clone": "c"}]
    host.answer = Ensured(RestoreResult("r1", SNAPSHOT, MOUNT, datastores=datastores), True)
    result = host.run(vmware_snapshot_datastore, **LOGIN, snapshot=SNAPSHOT, host="esx1")
    assert result["changed"] and result["datastores"] == datastores
    assert result["diff"] == {"before": {"restored": []}, "after": {"restored": [SNAPSHOT]}}
    assert host.asked[0][0] == request.RestoreRequest(request.parse_snapshot(SNAPSHOT), way=MOUNT, host="esx1")

    for number, name in enumerate(("esx1", "esx2"), 1):
        host.journal(f"r{number}", MOUNT, host=name)
    host.journal("r3", CLONE, host="esx1")
    absent = {**LOGIN, "snapshot": SNAPSHOT, "state": "absent"}
    assert not host.run(vmware_snapshot_datastore, **{**absent, "host": "esx3"})["changed"] and host.ended == []
    assert host.run(vmware_snapshot_datastore, **{**absent, "host": "ESX1"})["changed"] and host.ended == ["r1"]
    host.ended.clear()
    assert host.run(vmware_snapshot_datastore, **absent)["changed"] and host.ended == ["r2", "r1"]


def test_a_mount_needs_a_host(host: Host) -> None:
    result = host.run(vmware_snapshot_datastore, **LOGIN, snapshot=SNAPSHOT)
    assert "state is present but all of the following are missing: host" in result["msg"]


def test_restores_are_listed_and_selected(host: Host) -> None:
    for number in (1, 2):
        host.journal(f"r{number}")
    host.journal("r3", state=ENDED)
    assert [one["restore_id"] for one in host.run(vmware_restore_info)["restores"]] == ["r2", "r1"]
    assert [one["restore_id"] for one in host.run(vmware_restore_info, restore_id="r1")["restores"]] == ["r1"]
    assert host.run(vmware_restore_info, snapshot="tank/vmware@other")["restores"] == []
    (one,) = host.run(vmware_restore_info, restore_id="r1")["restores"]
    documented = yaml.safe_load(vmware_restore_info.RETURN)["restores"]["contains"]
    assert one.keys() == documented.keys()


# ---- Documentation

TYPES = {
    "str": "str", "bool": "bool", "float": "float", "int": "int", "list[str]": "list", "dict[str, Any]": "dict",
    "list[VmRestored]": "list", "list[dict[str, Any]]": "list",
}  # fmt: skip
DOCUMENTED = yaml.safe_load(vmware_vm_restore.RETURN)
OF_DATASTORES = yaml.safe_load(vmware_snapshot_datastore.RETURN)


def documentation_of(of: type[Any]) -> dict[str, str]:
    """The fields of a dataclass, with the types that RETURN must document."""
    return {each.name: TYPES[str(each.type).removesuffix(" | None")] for each in fields(of)}


def types_in(returned: dict[str, Any]) -> dict[str, str]:
    return {name: value["type"] for name, value in returned.items()}


def test_return_documents_every_field_of_a_restored_vm() -> None:
    assert types_in(DOCUMENTED["vms"]["contains"]) == documentation_of(VmRestored)
    nulls = [name for name, value in VmRestored("a", "b").__dict__.items() if value is None]
    described = {name: "".join(DOCUMENTED["vms"]["contains"][name]["description"]) for name in nulls}
    assert nulls and all("V(null)" in text for text in described.values())


def test_return_documents_every_field_of_a_restore() -> None:
    made = {"steps": "list", "refusals": "list", "existing_restores": "list", "summary": "list"}
    documented = {**documentation_of(RestoreResult), **made, "left": "list"}  # a failure has `left`
    del documented["warnings"]  # the modules return these as warnings of Ansible
    assert types_in(DOCUMENTED) == documented
    for name in ("vms", "attached", "way"):  # the mount of a snapshot has none
        del documented[name]
    assert types_in(OF_DATASTORES) == documented
    whole = Ensured(RestoreResult("r1", SNAPSHOT, FOLDER), True).as_dict()
    assert whole.keys() - {"warnings"} == DOCUMENTED.keys() - {"left"}
    wanted = request.RestoreRequest(request.parse_snapshot(SNAPSHOT), ("mail",))
    assert RestorePlan(wanted).as_dict().keys() == whole.keys() - {"existing_restores", "summary"}


def test_return_documents_datastores_and_disks() -> None:
    assert types_in(DOCUMENTED["datastores"]["contains"]) == documentation_of(CloneDatastore)
    assert DOCUMENTED["datastores"] == {**OF_DATASTORES["datastores"], **{
        key: DOCUMENTED["datastores"][key] for key in ("description", "returned")
    }}  # fmt: skip
    wanted = request.RestoreRequest(request.parse_snapshot(SNAPSHOT), ("mail",), DISK, disk=1, attach_to="h")
    attached = RestorePlan(wanted, helper=Helper("vm-1", "h", "", "host-1"), disk="mail/mail.vmdk").expected().attached
    assert attached is not None and attached.keys() == DOCUMENTED["attached"]["contains"].keys()
