# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the arguments that playbooks and roles pass to the modules, and the validation before the first call."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.privileges import WAYS, of_ways

from .stand_in import StandIn
from .tools import ROOT

FRESH = {"vmware_runtime": {"changed": True, "missing": ["pyVmomi>=8.0.3", "cryptography>=3.4"]}}
THERE: dict[str, Any] = {"vmware_runtime": {"missing": []}}
NEW = {"vmware_cred": {"changed": True}}
SERVER = {"hostname": "vc.lab", "username": "u", "filesystem": "tank/a"}
SITE: dict[str, Any] = {
    "credentials_credentials": [{**SERVER, "password": "secret"}],
    "nfs_datastore_datastores": [{**SERVER, "name": "a", "servers": ["nfs"], "path": "/tank/a"}],
    "snapshot_task_tasks": [{"dataset": "tank/a"}],
}
ALL = ["vmware_runtime", "vmware_cred", "vmware_nfs_datastore", "vmware_snapshot_task"]


@pytest.fixture
def stand_in(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


# ---- site.yml


@pytest.mark.parametrize(
    ("options", "answers", "left_out", "reason"),
    [
        ("--check", FRESH, ["credentials", "datastores"], "libraries yet (pyVmomi>=8.0.3, cryptography>=3.4)."),
        ("--check", {**THERE, **NEW}, ["datastores"], "they may need a credential that is not stored"),
        ("--check", THERE, [], ""),
        ("--diff", {**FRESH, **NEW}, [], ""),  # a real run has no predictions
    ],
)
def test_check_mode_leaves_out_what_rests_on_a_prediction_says_so_and_goes_on(
    stand_in: StandIn, options: str, answers: dict[str, Any], left_out: list[str], reason: str
) -> None:
    said = stand_in.play("site", options, answers=answers, **SITE)
    modules = {"credentials": "vmware_cred", "datastores": "vmware_nfs_datastore"}
    assert stand_in.called == [name for name in ALL if name not in {modules[each] for each in left_out}]
    assert {check for _name, check, _options in stand_in.calls} == {options == "--check"}
    assert re.findall(r"The (\w+) were not checked: ", said) == left_out and reason in said


# ---- Purge and remove.yml

EVERYTHING: dict[str, Any] = {
    f"{role}_purge": True for role in ("nfs_share", "credentials", "nfs_datastore", "snapshot_task")
}
OLD = {
    **THERE,
    "vmware_nfs_share_info": {"shares": [{"path": "/tank/old"}]},
    "vmware_cred_info": {"credentials": [{"id": 7, **SERVER, "port": 443, "filesystem": "tank/old"}]},
    "vmware_snapshot_task_info": {"tasks": [{"id": 3, "dataset": "tank/old"}]},
    "vmware_vm_policies_info": {"dataset_policies": [{"dataset": "tank/old"}]},
    "vmware_cred": {"credential": {"id": 1}},
    "vmware_snapshot_task": {"task": {"id": 1}},
}
IN_USE = {"vmware_nfs_share": {"failed": True, "msg": "The datastore 'old' carries 1 registered VM.", "vms": []}}
SHARED: dict[str, Any] = {"nfs_share_shares": [{"path": "/tank/a", "networks": ["10.0.0.0/8"]}]}


def changes(stand_in: StandIn) -> list[tuple[str, str]]:
    """Return the calls that may change something, with the requested state."""
    return [
        (name, options.get("state", ""))
        for name, check, options in stand_in.calls
        if not check and not name.endswith("_info") and name != "vmware_runtime"
    ]


def test_site_with_empty_lists_refuses_before_anything_is_removed(stand_in: StandIn) -> None:
    said = stand_in.play("site", answers=OLD, fails=True, **EVERYTHING)
    assert "or the playbook quiesce.vmware_zfs.remove" in said and changes(stand_in) == []


def test_a_share_that_may_not_go_keeps_everything_as_it_is(stand_in: StandIn) -> None:
    said = stand_in.play("site", answers={**OLD, **IN_USE}, fails=True, **{**SITE, **EVERYTHING})
    assert "carries 1 registered VM" in said and changes(stand_in) == [] and "vmware_runtime" not in stand_in.called


LOCKED_OUT = {"vmware_nfs_share": {"failed": True, "msg": "vc.lab refused the login.", "login_refused": True}}
GOING = {"nfs_share_shares": [{"path": f"/tank/{name}", "networks": ["10.0.0.0/8"], "enabled": False} for name in "ab"]}


@pytest.mark.parametrize(
    ("options", "given", "asked"),
    [
        ("--diff", True, [True, False, False]),  # a real run: the second call uses the new password
        ("--check", True, [True, True, True]),
        ("--diff", False, [True]),
    ],
)
def test_the_check_of_the_shares_passes_over_a_password_that_is_replaced(
    stand_in: StandIn, options: str, given: bool, asked: list[bool]
) -> None:
    """And it does not send the rejected password a second time."""
    lists: dict[str, Any] = {**GOING, "credentials_credentials": [{**SERVER, "password": "new"} if given else SERVER]}
    said = stand_in.play("site", options, answers={**THERE, **LOCKED_OUT}, fails=options != "--check", **lists)
    assert [check for name, check, _options in stand_in.calls if name == "vmware_nfs_share"] == asked
    assert "refused the login" in said or options == "--check"
    order = list(
        dict.fromkeys(name for name, check, _options in stand_in.calls if not check and name != "vmware_runtime")
    )
    assert order == (["vmware_cred", "vmware_nfs_share"] if False in asked else [])


def test_a_datastore_that_may_not_go_keeps_everything_as_it_is(stand_in: StandIn) -> None:
    datastores = [{**SERVER, "name": "a", "state": "absent"}]
    answers = {**THERE, "vmware_nfs_datastore": {**IN_USE["vmware_nfs_share"]}}
    stand_in.play("site", answers=answers, fails=True, **{**SITE, "nfs_datastore_datastores": datastores})
    assert changes(stand_in) == []


def test_what_is_no_longer_wanted_goes_last_and_in_the_reverse_order(stand_in: StandIn) -> None:
    stand_in.play("site", answers=OLD, **{**SITE, **SHARED, **EVERYTHING})
    assert changes(stand_in) == [
        *((name, "") for name in ("vmware_cred", "vmware_nfs_share", "vmware_nfs_datastore", "vmware_snapshot_task")),
        ("vmware_snapshot_task", "absent"),
        ("vmware_vm_policies", "absent"),
        ("vmware_nfs_datastore", "purged"),
        ("vmware_cred", "absent"),
        ("vmware_nfs_share", "absent"),
    ]


def test_remove_checks_everything_and_then_removes_it_in_the_reverse_order(stand_in: StandIn) -> None:
    gone = {**OLD, "vmware_nfs_share": {"diff": {"before": "x", "after": ""}}}
    stand_in.play("remove", answers=gone, **SITE, **SHARED)
    wanted = ["vmware_snapshot_task", "vmware_nfs_datastore", "vmware_cred", "vmware_nfs_share"]
    assert changes(stand_in) == [(name, "absent") for name in wanted]
    assert {options["state"] for _name, _check, options in stand_in.calls} == {"absent"}
    assert {name for name, check, _options in stand_in.calls[:5] if check} == set(wanted)


BOTH = [{"hostname": "vc.lab", "username": "u", "filesystem": f"tank/{name}"} for name in ("a", "b")]


def test_credentials_that_go_together_are_checked_together(stand_in: StandIn) -> None:
    """Each of two credentials of one server could remove the remaining snapshots, but not after both are removed."""
    stand_in.play("remove", answers=OLD, credentials_credentials=[{**one, "password": "secret"} for one in BOTH])
    assert [options["also_removed"] for _name, _check, options in stand_in.calls] == [BOTH] * 4

    stored = [{"id": number, "port": 443, **one} for number, one in enumerate([*BOTH, SERVER | {"username": "v"}], 1)]
    kept = [{"hostname": "VC.lab.", "username": "v", "filesystem": "tank/a"}]
    answers = {"vmware_cred_info": {"credentials": stored}, "vmware_cred": {"credential": {"id": 3}}}
    stand_in.play("credentials", answers=answers, credentials_credentials=kept, credentials_purge=True)
    going = [(check, options) for _name, check, options in stand_in.calls if options.get("state") == "absent"]
    assert [(check, options["id"]) for check, options in going] == [(True, 1), (True, 2), (False, 1), (False, 2)]
    assert all([one["id"] for one in options["also_removed"]] == [1, 2] for _check, options in going)


def test_remove_changes_nothing_when_one_thing_may_not_go(stand_in: StandIn) -> None:
    assert "carries 1 registered VM" in stand_in.play("remove", answers={**OLD, **IN_USE}, fails=True, **SITE, **SHARED)
    assert changes(stand_in) == []


def test_remove_does_not_need_a_login_that_is_not_stored_any_more(stand_in: StandIn) -> None:
    """For example, after an interruption. An entry with a password needs no stored credential."""
    answers = {**OLD, "vmware_cred": {"credential": None}, "vmware_nfs_share": {"diff": {"before": "x", "after": ""}}}
    own = {**SERVER, "name": "own", "password": "secret"}
    lists = {**SITE, "nfs_datastore_datastores": [*SITE["nfs_datastore_datastores"], own], **SHARED}
    said = stand_in.play("remove", answers=answers, **lists)
    assert "The datastore 'a' is skipped, because its credential is no longer stored; if the datastore is" in said
    assert "The datastore 'own' is skipped" not in said
    looked_at = [options["name"] for name, _check, options in stand_in.calls if name == "vmware_nfs_datastore"]
    assert looked_at == ["own", "own"] and changes(stand_in)[-1] == ("vmware_nfs_share", "absent")


def test_remove_looks_at_every_datastore_whose_login_is_stored(stand_in: StandIn) -> None:
    """Even if the listed credentials differ because a name is misspelled."""
    answers = {**OLD, "vmware_nfs_share": {"diff": {"before": "", "after": ""}}}
    misspelled = [{**SERVER, "hostname": "vv.lab"}]
    said = stand_in.play("remove", answers=answers, **{**SITE, "credentials_credentials": misspelled}, **SHARED)
    assert "is skipped" not in said and stand_in.called.count("vmware_nfs_datastore") == 2
    asked = [options for _name, check, options in stand_in.calls if options.get("force") and check]
    assert asked == [{**SERVER, "state": "absent", "force": True}]


def test_remove_of_nothing_in_particular_is_refused(stand_in: StandIn) -> None:
    assert "There is nothing to remove; set snapshot_task_tasks" in stand_in.play("remove", fails=True)


# ---- Required variables of the playbooks


@pytest.mark.parametrize(
    ("playbook", "variables", "sentence"),
    [
        ("snapshot_now", {}, "snapshot_dataset is not set; set it to a dataset as shown by 'zfs list'."),
        ("snapshot_now", {"snapshot_dataset": ""}, "snapshot_dataset is not set; set it to a dataset"),
        ("restore_vm", {}, "restore_snapshot or restore_vms is not set; set them to a ZFS snapshot and its VMs"),
        ("restore_vm", {"restore_snapshot": "a@1", "restore_vms": ""}, "restore_snapshot or restore_vms is not set"),
        ("mount_snapshot", {"mount_snapshot": "a@1"}, "mount_snapshot or mount_host is not set; set them to a ZFS"),
        ("restore_drill", {}, "drill_task or drill_snapshot is not set; set drill_task to the ID of a snapshot task"),
        ("restore_drill", {"drill_task": ""}, "drill_task or drill_snapshot is not set"),
        ("require_consistency", {}, "run this job after snapshot_now"),
        ("require_consistency", {"vmware_zfs_consistency": "crash"}, "run this job after snapshot_now"),
    ],
)
def test_a_playbook_says_what_it_needs(
    stand_in: StandIn, playbook: str, variables: dict[str, Any], sentence: str
) -> None:
    said = stand_in.play(playbook, fails=True, **variables)
    assert sentence in said and "undefined" not in said
    assert stand_in.calls == []


def test_the_vsphere_role_can_be_one_for_restores(stand_in: StandIn) -> None:
    stand_in.play("vsphere_role", vsphere_role_principal="u@lab", vsphere_role_restore=["folder", "power_on"])
    assert stand_in.calls == [("vmware_vsphere_role", False, {"principal": "u@lab", "restore": ["folder", "power_on"]})]


def test_the_page_names_the_privileges_for_restores() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    section = page.partition("### An account for restores")[2].partition("\n###")[0]
    named = set(re.findall(r"`((?:VirtualMachine|Resource|Network|Host)\.[\w.]+)`", section))
    assert named == set(of_ways(WAYS)) and all(f"\n| `{way}` |" in section for way in WAYS)


def test_the_vsphere_role_can_be_had_without_what_is_below(stand_in: StandIn) -> None:
    stand_in.play("vsphere_role", vsphere_role_principal="u@lab", vsphere_role_propagate=False)
    assert stand_in.calls == [("vmware_vsphere_role", False, {"principal": "u@lab", "propagate": False})]


# ---- Restores

RESTORED: dict[str, Any] = {
    "changed": True, "restore_id": "r1", "existing_restores": [], "datastores": [{"name": "restore-r1"}],
    "vms": [{"name": "mail", "restored_name": "mail-restored", "restored": True}],
    "summary": ["'mail' is restored as 'mail-restored'", "a name with a\x1b[31m colour"],
}  # fmt: skip
NOT_GIVEN = {"state": "present", "instant": False, "replace": False, "force": False, "power_on": False}
WHICH: dict[str, Any] = {"restore_snapshot": "tank/a@1", "restore_vms": "mail, web server"}


def test_a_restore_has_the_answers_of_a_survey(stand_in: StandIn) -> None:
    survey: dict[str, Any] = {
        "restore_instant": "true", "restore_replace": "false", "restore_force": "", "restore_power_on": "true",
        "restore_network": "", "restore_name": "", "restore_host": "esx1", "restore_attach_to": "", "restore_end": "",
    }  # fmt: skip
    said = stand_in.play("restore_vm", answers={"vmware_vm_restore": RESTORED}, **WHICH, **survey)
    ((_name, _check, options),) = stand_in.calls
    assert options == {
        **NOT_GIVEN, "snapshot": "tank/a@1", "vms": ["mail", "web server"], "instant": True, "power_on": True,
        "host": "esx1", "clients": [], "aliases": [],
    }  # fmt: skip
    assert "'mail' is restored as 'mail-restored'" in said and "a name with a?[31m colour" in said
    assert "To end this restore, set restore_end=r1" in said


def test_a_restore_passes_every_option(stand_in: StandIn) -> None:
    names = (
        "hostname", "port", "username", "password", "validate_certs", "ca_path", "thumbprint", "host", "name", "disk",
        "attach_to", "network", "boot_timeout", "server",
    )  # fmt: skip
    given = {name: f"given {name}" for name in names}
    lists = {"clients": ["10.0.0.7"], "aliases": ["10.0.0.1"], "vms": ["a, b"]}
    variables: dict[str, Any] = {f"restore_{name}": value for name, value in {**given, **lists}.items()}
    stand_in.play("restore_vm", restore_snapshot="tank/a@1", **variables)
    ((_name, _check, options),) = stand_in.calls
    assert options == {**NOT_GIVEN, "snapshot": "tank/a@1", **given, **lists}


def test_a_drill_passes_every_option(stand_in: StandIn) -> None:
    names = (
        "hostname", "port", "username", "password", "validate_certs", "ca_path", "thumbprint", "task", "snapshot",
        "sample", "host", "network", "at_a_time", "memory", "boot_timeout", "command", "command_timeout", "server",
    )  # fmt: skip
    given = {name: f"given {name}" for name in names}
    lists = {"clients": ["10.0.0.7"], "aliases": ["10.0.0.1"], "vms": ["a, b"]}
    variables: dict[str, Any] = {f"drill_{name}": value for name, value in {**given, **lists}.items()}
    answer = {
        "changed": True, "verdict": "failed", "msg": "1 VM of tank/a@1 failed the drill", "summary": ["'db': failed"],
        "vms": [{"name": "mail", "verdict": "verified"}, {"name": "db", "verdict": "failed"}],
    }  # fmt: skip
    said = stand_in.play("restore_drill", fails=True, answers={"vmware_restore_drill": answer}, **variables)
    ((_name, _check, options),) = stand_in.calls
    assert options == {**given, **lists} and "'db': failed" in said and "1 VM of tank/a@1 failed the drill" in said


def test_a_drill_has_the_answers_of_a_survey(stand_in: StandIn) -> None:
    survey: dict[str, Any] = {
        "drill_task": "1",
        "drill_snapshot": "",
        "drill_vms": "mail, web server",
        "drill_sample": "",
    }
    stand_in.play("restore_drill", **survey, drill_host="", drill_network="", drill_at_a_time=2)
    ((_name, _check, options),) = stand_in.calls
    assert options == {"task": "1", "vms": ["mail", "web server"], "at_a_time": 2, "clients": [], "aliases": []}


def test_the_account_of_a_restore_can_come_from_the_environment_of_the_controller(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As AWX sets it. Its own credential type switches verification off, which is not passed on."""
    login = {"hostname": "vc.lab", "username": "u", "password": "secret"}
    for name, value in (("HOST", "vc.lab"), ("USER", "u"), ("PASSWORD", "secret"), ("VALIDATE_CERTS", "False")):
        monkeypatch.setenv(f"VMWARE_{name}", value)
    for playbook, variables in (
        ("restore_vm", WHICH),
        ("mount_snapshot", {"mount_snapshot": "a@1", "mount_host": "e"}),
    ):
        said = stand_in.play(playbook, **variables)
        ((_name, _check, options),) = stand_in.calls
        assert {name: options.get(name) for name in login} == login and "validate_certs" not in options
        assert "secret" not in said


def test_check_mode_of_a_restore_shows_the_plan(stand_in: StandIn) -> None:
    plan = {**RESTORED, "datastores": [], "restore_id": "", "summary": ["would copy mail", "not possible: No room."]}
    said = stand_in.play("restore_vm", "--check", answers={"vmware_vm_restore": plan}, **WHICH)
    assert "would copy mail" in said and "not possible: No room." in said and stand_in.calls[0][1]
    assert "To end this restore" not in said


@pytest.mark.parametrize("playbook", ["restore_vm", "mount_snapshot"])
def test_a_restore_that_failed_shows_what_was_done_and_fails(stand_in: StandIn, playbook: str) -> None:
    module = {"restore_vm": "vmware_vm_restore", "mount_snapshot": "vmware_snapshot_datastore"}[playbook]
    failure = {"failed": True, "msg": "1 VM of 2 failed.", "summary": ["'web' was not restored"]}
    variables = {**WHICH, "mount_snapshot": "a@1", "mount_host": "esx1"}
    said = stand_in.play(playbook, answers={module: failure}, fails=True, **variables)
    assert said.index("'web' was not restored") < said.index("1 VM of 2 failed.") < said.rindex("1 VM of 2 failed.")


@pytest.mark.parametrize(
    ("changed", "options", "sentence"),
    [
        (True, "--diff", "The restore r1 was ended"),
        (False, "--check", "The restore r1 had ended before"),
    ],
)
def test_a_restore_is_ended_by_its_id(stand_in: StandIn, changed: bool, options: str, sentence: str) -> None:
    said = stand_in.play("restore_vm", options, answers={"vmware_vm_restore": {"changed": changed}}, restore_end="r1")
    ((_name, _check, given),) = stand_in.calls
    assert sentence in said and given == {
        **NOT_GIVEN,
        "state": "absent",
        "restore_id": "r1",
        "clients": [],
        "aliases": [],
    }


def test_a_snapshot_is_mounted_and_unmounted(stand_in: StandIn) -> None:
    mounted = {**RESTORED, "vms": [], "summary": ["the datastore restore-r1 is a clone of tank/a"]}
    given: dict[str, Any] = {
        "mount_snapshot": "tank/a@1",
        "mount_host": "esx1",
        "mount_server": "nfs",
        "mount_state": "present",
    }
    said = stand_in.play("mount_snapshot", answers={"vmware_snapshot_datastore": mounted}, **given)
    assert "the datastore restore-r1 is a clone of tank/a" in said
    wanted = {"state": "present", "snapshot": "tank/a@1", "host": "esx1", "server": "nfs", "clients": [], "aliases": []}
    assert stand_in.calls == [("vmware_snapshot_datastore", False, wanted)]

    gone: dict[str, Any] = {"mount_snapshot": "tank/a@1", "mount_host": "", "mount_state": "absent"}
    for changed, sentence in ((True, "tank/a@1 was unmounted"), (False, "tank/a@1 was not mounted")):
        answers = {"vmware_snapshot_datastore": {"changed": changed}}
        assert sentence in stand_in.play("mount_snapshot", answers=answers, **gone)
        assert "host" not in stand_in.calls[0][2] and stand_in.calls[0][2]["state"] == "absent"


# ---- Roles


@pytest.mark.parametrize(
    ("default", "own"), [({"cluster": "all"}, {"hosts": ["esx1"]}), ({"hosts": ["esx1"]}, {"cluster": "all"})]
)
def test_the_scope_of_a_datastore_takes_the_place_of_the_defaults(
    stand_in: StandIn, default: dict[str, Any], own: dict[str, Any]
) -> None:
    entry = {"servers": ["nfs"], "path": "/tank/a"}
    stand_in.play(
        "nfs_datastore",
        nfs_datastore_defaults={**SERVER, **default, "datacenter": "DC0"},
        nfs_datastore_datastores=[{**entry, "name": "a"}, {**entry, "name": "b", **own}, {**entry, "name": "c"}],
        nfs_datastore_purge=True,
    )
    scopes = [
        {name: value for name, value in options.items() if name in ("name", "state", "cluster", "hosts", "datacenter")}
        for _name, _check, options in stand_in.calls
    ]
    assert scopes == [
        {"name": "a", **default, "datacenter": "DC0"},
        {"name": "b", **own, "datacenter": "DC0"},
        {"name": "c", **default, "datacenter": "DC0"},
        {"state": "purged", **default, "datacenter": "DC0"},
        {"state": "purged", **own, "datacenter": "DC0"},
    ]
    assert all(options["hostname"] == "vc.lab" for _name, _check, options in stand_in.calls)


@pytest.mark.parametrize(
    ("default", "own"),
    [({}, {"cluster": "all", "hosts": ["esx1"]}), ({"cluster": "all", "hosts": ["esx1"]}, {})],
)
def test_two_scopes_in_one_place_are_refused(stand_in: StandIn, default: dict[str, Any], own: dict[str, Any]) -> None:
    entry = {"name": "a", "servers": ["nfs"], "path": "/tank/a", **own}
    said = stand_in.play(
        "nfs_datastore", fails=True, nfs_datastore_defaults={**SERVER, **default}, nfs_datastore_datastores=[entry]
    )
    assert "has both cluster and hosts; set only one of them" in said and stand_in.calls == []


def test_a_delay_that_systemd_would_not_understand_is_refused(stand_in: StandIn) -> None:
    said = stand_in.play("runtime", fails=True, runtime_recover_randomized_delay="2 minuets")
    assert "runtime_recover_randomized_delay is '2 minuets'; set it to a systemd time span, such as 2min" in said
    assert stand_in.calls == []


@pytest.mark.parametrize(
    ("span", "understood"),
    [
        ("2min", True), ("1h 30min", True), ("1h30min", True), ("0", True), ("90", True), ("1.5 hours", True),
        ("2 M", True), ("500ms", True), ("1 30", True),
        ("", False), ("soon", False), ("2 minuets", False), ("-1", False), ("min", False), ("1..5h", False),
        ("2min\nExecStart=/bin/false", False), ("1" * 40 + "x", False),
    ],
)  # fmt: skip
def test_a_time_span_is_what_systemd_takes_for_one(span: str, understood: bool) -> None:
    (task, *_unused) = yaml.safe_load((ROOT / "roles" / "runtime" / "tasks" / "preflight.yml").read_text())
    assert bool(re.match(task["vars"]["runtime_time_span"], span)) is understood
