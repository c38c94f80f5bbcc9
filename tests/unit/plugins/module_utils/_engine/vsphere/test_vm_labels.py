# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read folders, resource pools, custom attributes and tags from a fake server. tests/system/test_vm_labels.py reads
them from the lab's vCenter.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import TagsUnreadable
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import rest, tags, vm_labels
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import list_datastores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.inventory_paths import canonical
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import Session, Timeouts
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_labels import (
    KINDS,
    VmLabels,
    paths_of,
    read_labels,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_watch import VmWatch
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.vsphere import Vcenter, connect

from ..test_hostile_names import NASTY

Start = Callable[..., tuple[Vcenter, Session]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a fake server with these VMs."""
    servers = []

    def begin(*vms: dict[str, Any], timeouts: Timeouts | None = None, **changes: Any) -> tuple[Vcenter, Session]:
        datastore = {"name": "vmware", "server": "10.0.2.15", "path": "/tank/vmware", "vms": list(vms)}
        server = Vcenter({"datastores": [datastore]})
        for name, value in changes.items():
            setattr(server, name, value)
        servers.append(server)
        return server, connect(server.endpoint, server.user, Secret(server.password), timeouts)

    yield begin
    for server in servers:
        server.stop()


def read(server: Vcenter, session: Session, *kinds: str, categories: set[str] | None = None) -> dict[str, VmLabels]:
    """Return the labels of all VMs, by name."""
    names = {moid: machine.config.name for moid, machine in server.inventory.machines.items()}
    watch = VmWatch(session, [one.moid for one in list_datastores(session)], paths_of(set(kinds)))
    watch.vms()
    found = watch.properties()
    return {names[moid]: labels for moid, labels in read_labels(session, found, set(kinds), categories).items()}


def test_all_labels(start: Start) -> None:
    server, session = start(
        {
            "name": "fw01", "folder": "prod/web", "resource_pool": "gold", "attributes": {"Owner": "storage"},
            "tags": {"Backup": ["crash", "daily"], "Tier": ["1"]},
        },
        {"name": "plain"},
        {"name": "image", "template": True, "folder": "prod"},
    )  # fmt: skip
    labels = read(server, session, *KINDS)
    pools = "/DC0/host/DC0_C0/Resources"
    assert labels == {
        "fw01": VmLabels(
            "/DC0/vm/prod/web", f"{pools}/gold", {"Owner": "storage"},
            frozenset({("Backup", "crash"), ("Backup", "daily"), ("Tier", "1")}),
        ),
        "plain": VmLabels("/DC0/vm", pools, {}, frozenset()),
        "image": VmLabels("/DC0/vm/prod", "", {}, frozenset()),
    }  # fmt: skip


def test_a_vapp_is_a_folder_and_a_pool(start: Start) -> None:
    server, session = start({"name": "erp", "folder": "prod", "resource_pool": "gold", "vapp": "SAP"})
    (labels,) = read(server, session, "folder", "resource_pool").values()
    assert (labels.folder, labels.resource_pool) == ("/DC0/vm/prod/SAP", "/DC0/host/DC0_C0/Resources/gold/SAP")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_only_what_was_asked_for_is_read(start: Start, kind: str) -> None:
    server, session = start({"name": "web", "folder": "prod", "attributes": {"a": "b"}, "tags": {"Tier": ["1"]}})
    (labels,) = read(server, session, kind).values()
    assert [name for name in KINDS if getattr(labels, name) is not None] == [kind]
    assert bool(server.rest.calls) is (kind == "tags")


def test_nothing_is_asked_for(start: Start) -> None:
    server, session = start({"name": "web"})
    assert read(server, session) == {"web": VmLabels()}
    assert read_labels(session, {}, KINDS) == {}
    assert server.rest.calls == []


def test_any_names(start: Start) -> None:
    names = [name for name in NASTY if name]
    raw = [name.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c") for name in names]
    server, session = start(
        *(
            {"name": str(n), "folder": raw[n], "attributes": {name: name}, "tags": {name: [name]}}
            for n, name in enumerate(names)
        )
    )
    labels = read(server, session, *KINDS)
    for n, name in enumerate(names):
        found = labels[str(n)]
        shown = name[:1024]
        assert found.attributes == {shown: shown} and found.tags == frozenset({(shown, shown)})
        if len(raw[n]) <= 1024:
            assert found.folder == canonical(f"DC0/vm/{raw[n]}") and found.folder.count("/") == 3


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("/DC0/vm/prod", "/DC0/vm/prod"),
        ("DC0/vm/prod/", "/DC0/vm/prod"),
        ("//DC0/vm//prod", "/DC0/vm/prod"),
        ("/DC0/vm/a%2Fb", "/DC0/vm/a%2fb"),
        ("/DC0/vm/50%", "/DC0/vm/50%25"),
        ("/DC0/vm/50%25", "/DC0/vm/50%25"),
        ("/DC0/vm/a\\b", "/DC0/vm/a%5cb"),
        ("/DC0/vm/prod*", "/DC0/vm/prod*"),
        ("", "/"),
    ],
)
def test_the_one_form_of_a_path(written: str, meant: str) -> None:
    assert canonical(written) == meant
    assert canonical(meant) == meant


# ---- What the account may not read


@pytest.mark.parametrize("whole", [False, True])
def test_a_vm_that_cannot_be_read_is_unknown_alone(start: Start, whole: bool) -> None:
    server, session = start({"name": "web", "attributes": {"a": "b"}, "tags": {"Tier": ["1"]}}, {"name": "secret"})
    server.deny("System.Read", "secret", whole=whole)
    server.rest.hidden.add("secret")
    labels = read(server, session, *KINDS)
    assert labels["secret"] == VmLabels()
    assert labels["web"].folder == "/DC0/vm" and labels["web"].attributes == {"a": "b"}
    assert labels["web"].tags == frozenset({("Tier", "1")})


@pytest.mark.parametrize("whole", [False, True])
def test_a_folder_that_cannot_be_read_hides_paths_through_it(start: Start, whole: bool) -> None:
    server, session = start({"name": "in", "folder": "hidden/web"}, {"name": "out", "folder": "open"})
    server.deny("System.Read", "hidden", whole=whole)
    labels = read(server, session, "folder", "resource_pool")
    assert labels["in"].folder is None and labels["out"].folder == "/DC0/vm/open"
    assert labels["in"].resource_pool == "/DC0/host/DC0_C0/Resources"


def test_names_of_attributes_without_the_right_to_read_their_manager(start: Start) -> None:
    server, session = start({"name": "plain"}, {"name": "web", "attributes": {"a": "b", "c": ""}})
    server.deny("System.Read", "CustomFieldsManager")
    labels = read(server, session, "attributes")
    assert labels["web"].attributes == {"a": "b", "c": ""} and labels["plain"].attributes == {}


def test_names_of_attributes_that_cannot_be_read(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server, session = start({"name": "plain"}, {"name": "web", "attributes": {"a": "b"}})
    monkeypatch.setattr(vm_labels, "_names_in", lambda *arguments: {})
    labels = read(server, session, "attributes")
    assert labels["web"].attributes is None and labels["plain"].attributes == {}


def test_a_vm_that_is_gone_is_unknown(start: Start) -> None:
    server, session = start({"name": "web", "tags": {"Tier": ["1"]}})
    labels = read_labels(session, {moid: {} for moid in (*server.inventory.machines, "vm-0")}, {"tags"})
    assert labels["vm-0"] == VmLabels()
    assert [one.tags for one in labels.values()] == [frozenset({("Tier", "1")}), None]


# ---- Tags


@pytest.mark.parametrize(
    ("version", "forms", "logins"),
    [
        ("6.5", {"rest"}, 1),
        ("7.0.1.0", {"rest"}, 1),
        ("7.0.2.0", {"rest", "api"}, 1),
        ("9.0.0.0", {"api"}, 1),
        ("odd", {"api"}, 1),
        ("8.0.3.0", {"rest"}, 1),
    ],
)
def test_both_forms_of_the_api(start: Start, version: str, forms: set[str], logins: int) -> None:
    server, session = start({"name": "web", "tags": {"Tier": ["1"]}}, api_version=version)
    server.rest.forms = forms
    assert read(server, session, "tags", categories={"Tier"})["web"].tags == frozenset({("Tier", "1")})
    assert server.rest.calls.count("Rest.Login") == logins and server.rest.calls[-1] == "Rest.Logout"
    assert server.rest.sessions == set()


def test_only_tags_of_the_categories_are_read(start: Start) -> None:
    vms = [{"name": f"vm{n}", "tags": {"Owner": [f"owner{n}"], "Tier": [str(n % 2)]}} for n in range(40)]
    server, session = start(*vms)
    labels = read(server, session, "tags", categories={"Tier", "absent"})
    assert labels["vm7"].tags == frozenset({("Tier", "1")}) and labels["vm8"].tags == frozenset({("Tier", "0")})
    assert server.rest.calls.count("Rest.GetTag") == 2
    server.rest.calls.clear()
    assert read(server, session, "tags", categories={"absent"})["vm7"].tags == frozenset()
    assert "Rest.ListAttachedTagsOnObjects" not in server.rest.calls


def test_one_request_for_many_vms(start: Start) -> None:
    vms = [{"name": f"vm{n}", "tags": {"Tier": [str(n % 3)]}} for n in range(1000)]
    server, session = start(*vms)
    before = server.calls["RetrievePropertiesEx"] + server.calls["ContinueRetrievePropertiesEx"]
    labels = read(server, session, *KINDS, categories={"Tier"})
    assert labels["vm500"].tags == frozenset({("Tier", "2")})
    assert server.rest.calls.count("Rest.ListAttachedTagsOnObjects") == 2
    assert len(server.rest.calls) == 2 + 8  # login, categories, one category, its tags, 3 tags, logout
    after = server.calls["RetrievePropertiesEx"] + server.calls["ContinueRetrievePropertiesEx"]
    assert after - before <= 12


def test_an_esxi_host_has_no_tags(start: Start) -> None:
    server, session = start({"name": "web"}, api_type="HostAgent")
    with pytest.raises(TagsUnreadable, match=r"is an ESXi host, and only a vCenter has tags; remove the tags"):
        read(server, session, "tags")
    assert server.rest.calls == []
    assert read(server, session, "attributes")["web"].attributes == {}


CALLS = (
    "Rest.Login", "Rest.ListCategories", "Rest.GetCategory", "Rest.ListTagsForCategory",
    "Rest.ListAttachedTagsOnObjects", "Rest.GetTag",
)  # fmt: skip
DEEP = "[" * 100_000


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("effect", "options", "told"),
    [
        ("http_status", {"status": 401}, "refused the login|ended the session"),
        ("http_status", {"status": 403}, "refused the login|lacks a privilege to read the tags of VMs"),
        ("http_status", {"status": 500}, "HTTP status 500"),
        ("http_status", {"status": 302}, "HTTP status 302"),
        ("drop_before", {}, "could not be reached to read the tags of VMs"),
        ("black_hole", {}, "no response within the time limit"),
        *(("malformed", {"message": text}, "did not return a valid vSphere response")
          for text in ("", "<html>", "null", "7", "{}", '{"value": 7}', '{"value": {"name": 7}}', '{"value": [7]}',
                       '{"value": [{}]}', '{"value": [""]}', '{"value": "a\\r\\nb: c"}', DEEP, "\ufffd\x00")),
    ],
)  # fmt: skip
def test_tags_that_cannot_be_read_are_one_error(
    start: Start, call: str, effect: str, options: dict[str, Any], told: str
) -> None:
    server, session = start({"name": "web", "tags": {"Tier": ["1"]}}, timeouts=Timeouts(call=0.05), api_version="6.7.1")
    server.rule(method=call, effect=effect, **options)
    with pytest.raises(TagsUnreadable, match=told) as caught:
        read(server, session, "tags", categories={"Tier"})
    said = str(caught.value)
    assert said.startswith("The tags of VMs cannot be read: ") and said.isprintable()
    assert server.password not in said and len(said) < 500
    assert server.rest.calls[-1] == "Rest.Logout" or call == "Rest.Login"


def test_a_dropped_connection_is_tried_again(start: Start) -> None:
    server, session = start({"name": "web", "tags": {"Tier": ["1"]}})
    for call in CALLS:
        server.rule(method=call, effect="drop_before", count=1)
    assert read(server, session, "tags", categories={"Tier"})["web"].tags == frozenset({("Tier", "1")})


@pytest.mark.parametrize("call", ["Rest.GetCategory", "Rest.GetTag"])
def test_what_was_deleted_meanwhile_is_left_out(start: Start, call: str) -> None:
    server, session = start({"name": "web", "tags": {"Tier": ["1"]}})
    server.rule(method=call, effect="http_status", status=404)
    assert read(server, session, "tags")["web"].tags == frozenset()


def test_refused_vms_are_found_by_halving(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server, session = start(*({"name": f"vm{n}", "tags": {"Tier": ["1"]}} for n in range(500)))
    server.rest.hidden |= {"vm3", "vm333"}
    labels = read(server, session, "tags")
    assert {name for name, one in labels.items() if one.tags is None} == {"vm3", "vm333"}
    assert server.rest.calls.count("Rest.ListAttachedTagsOnObjects") < 40
    monkeypatch.setattr(tags, "_MOST_REFUSED", 5)
    with pytest.raises(TagsUnreadable, match="lacks a privilege"):
        read(server, session, "tags")


def test_a_server_with_ever_more_tags_is_no_server(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server, session = start(*({"name": f"vm{n}", "tags": {"Tier": [str(n)]}} for n in range(20)))
    monkeypatch.setattr(tags, "_MOST", 10)
    for categories in (None, {"Tier"}):
        with pytest.raises(TagsUnreadable, match="did not return a valid vSphere response"):
            read(server, session, "tags", categories=categories)


def test_all_calls_together_have_a_time_limit(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server, session = start({"name": "web", "tags": {"Tier": ["1"]}})
    monkeypatch.setattr(rest, "_CALLS", -1)
    with pytest.raises(TagsUnreadable, match="no response within the time limit"):
        read(server, session, "tags")
    assert server.rest.calls == []


def test_a_server_that_repeats_the_password_does_not_reveal_it(start: Start) -> None:
    server, session = start({"name": "web", "tags": {"Tier": ["1"]}})
    for call in CALLS:
        server.clear_rules()
        server.rule(method=call, effect="http_status", status=400, message=json.dumps(server.password))
        with pytest.raises(TagsUnreadable) as caught:
            read(server, session, "tags", categories={"Tier"})
        assert server.password not in str(caught.value)
