# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read folders, resource pools, custom attributes and tags from the lab's vCenter, over its wire.

tests/unit/plugins/module_utils/_engine/vsphere/test_vm_labels.py tests more cases with a fake server.
"""

from __future__ import annotations

import json
import resource
from collections import Counter
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import TagsUnreadable
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import session as sessions
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import tls
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import list_datastores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import (
    Endpoint,
    Session,
    Timeouts,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_labels import (
    KINDS,
    VmLabels,
    paths_of,
    read_labels,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_watch import VmWatch

from tests.lab.simulator import Simulator

from .conftest import StartVcenter
from .scene import nfs

CALLS = (
    "Rest.Login", "Rest.ListCategories", "Rest.GetCategory", "Rest.ListTagsForCategory",
    "Rest.ListAttachedTagsOnObjects", "Rest.GetTag",
)  # fmt: skip
TIER = {"Tier"}


def connect(vcenter: Simulator, call_timeout: float = 30.0, **trust: Any) -> Session:
    trust = trust or {"ca_path": str(vcenter.ca_path)}
    endpoint = Endpoint(vcenter.host, vcenter.port, **trust)
    return sessions.connect(endpoint, vcenter.user, Secret(vcenter.password), Timeouts(call=call_timeout))


def read(vcenter: Simulator, session: Session, *kinds: str, categories: set[str] | None = None) -> dict[str, VmLabels]:
    """Return the labels of all VMs, by name."""
    names = {machine["moid"]: machine["name"] for machine in vcenter.machines()}
    watch = VmWatch(session, [one.moid for one in list_datastores(session)], paths_of(set(kinds)))
    watch.vms()
    found = watch.properties()
    return {names[moid]: labels for moid, labels in read_labels(session, found, set(kinds), categories).items()}


def rest_calls(vcenter: Simulator) -> Counter[str]:
    return Counter(one["method"] for one in vcenter.trace() if one["method"].startswith("Rest."))


@pytest.mark.parametrize("version", ["6.5", "7.0.3.0", "9.0.0.0"])
def test_all_labels(start_vcenter: StartVcenter, version: str) -> None:
    vcenter = start_vcenter(
        nfs(
            "vmware", "tank/vmware",
            {"name": "fw01", "folder": "prod/a%2fb", "resource_pool": "gold/1", "host": "DC0_C0_H0",
             "attributes": {"Owner": "storage \u4e2d", "Empty": ""}, "tags": {"Backup": ["crash"], "Tier": ["1"]}},
            {"name": "erp", "folder": "prod", "vapp": "SAP", "resource_pool": "gold", "host": "DC0_C0_H0"},
            {"name": "alone", "host": "DC0_H0"},
            {"name": "image", "template": True},
        ),
        api_version=version,
    )  # fmt: skip
    with connect(vcenter) as session:
        labels = read(vcenter, session, *KINDS)
    pools = "/DC0/host/DC0_C0/Resources"
    assert labels == {
        "fw01": VmLabels(
            "/DC0/vm/prod/a%2fb", f"{pools}/gold/1", {"Owner": "storage \u4e2d", "Empty": ""},
            frozenset({("Backup", "crash"), ("Tier", "1")}),
        ),
        "erp": VmLabels("/DC0/vm/prod/SAP", f"{pools}/gold/SAP", {}, frozenset()),
        "alone": VmLabels("/DC0/vm", "/DC0/host/DC0_H0/Resources", {}, frozenset()),
        "image": VmLabels("/DC0/vm", "", {}, frozenset()),
    }  # fmt: skip
    forms = {one["object"] for one in vcenter.trace() if one["method"].startswith("Rest.")}
    assert forms == ({"rest"} if version == "6.5" else {"api"})
    assert vcenter.rest_sessions() == 0


def test_what_changes_is_read_again(start_vcenter: StartVcenter) -> None:
    vcenter = start_vcenter(nfs("vmware", "tank/vmware", {"name": "web", "host": "DC0_C0_H0", "tags": {"Tier": ["1"]}}))
    with connect(vcenter) as session:
        read(vcenter, session, *KINDS)
        vcenter.vm(
            "web", folder="new", resource_pool="gold", attributes={"a": "b"}, tags={"Tier": ["2"]}, host="DC0_H0"
        )
        assert read(vcenter, session, *KINDS)["web"] == VmLabels(
            "/DC0/vm/new", "/DC0/host/DC0_H0/Resources/gold", {"a": "b"}, frozenset({("Tier", "2")})
        )


def test_requests_for_a_thousand_vms(start_vcenter: StartVcenter) -> None:
    """Tags need at most one request for a hundred VMs, and everything else a few."""
    group = {"name": "web", "count": 500, "attributes": {"Owner": "storage"}}
    vcenter = start_vcenter(
        nfs(
            "vmware", "tank/vmware",
            {**group, "folder": "prod/web", "tags": {"Tier": ["1"], "Site": ["A", "B"]}},
            {**group, "name": "db", "folder": "prod/db", "resource_pool": "gold", "tags": {"Tier": ["2"]}},
        )
    )  # fmt: skip
    with connect(vcenter) as session:
        vcenter.clear_stats()
        read(vcenter, session)
        without = sum(vcenter.stats()["calls"].values())
        vcenter.clear_stats()
        labels = read(vcenter, session, *KINDS, categories=TIER)
        calls = vcenter.stats()["calls"]
    assert len(labels) == 1000 and labels["db-0007"].tags == frozenset({("Tier", "2")}) and labels["web-0007"].folder
    of_tags = {name: number for name, number in calls.items() if name.startswith("Rest.")}
    assert of_tags == {
        "Rest.Login": 1, "Rest.ListCategories": 1, "Rest.GetCategory": 2, "Rest.ListTagsForCategory": 1,
        "Rest.ListAttachedTagsOnObjects": 2, "Rest.GetTag": 2, "Rest.Logout": 1,
    }  # fmt: skip
    assert sum(calls.values()) - sum(of_tags.values()) - without <= 12


def test_no_rest_call_unless_tags_are_asked_for(start_vcenter: StartVcenter) -> None:
    vcenter = start_vcenter(nfs("vmware", "tank/vmware", {"name": "web", "tags": {"Tier": ["1"]}}))
    with connect(vcenter) as session:
        read(vcenter, session, *(KINDS - {"tags"}))
    assert not rest_calls(vcenter)


def test_the_older_form_serves_where_the_newer_one_is_missing(start_vcenter: StartVcenter) -> None:
    vcenter = start_vcenter(nfs("vmware", "tank/vmware", {"name": "web", "tags": {"Tier": ["1"]}}))
    vcenter.rule(method="Rest.Login", vm="api", effect="http_status", status=404)
    with connect(vcenter) as session:
        assert read(vcenter, session, "tags")["web"].tags == frozenset({("Tier", "1")})


def test_an_esxi_host_has_no_tags(start_vcenter: StartVcenter) -> None:
    vcenter = start_vcenter(nfs("vmware", "tank/vmware", {"name": "web", "folder": "prod"}), esxi=True)
    with connect(vcenter) as session:
        with pytest.raises(TagsUnreadable, match="is an ESXi host, and only a vCenter has tags"):
            read(vcenter, session, *KINDS)
        labels = read(vcenter, session, "folder", "resource_pool", "attributes")["web"]
    assert labels.folder == "/ha-datacenter/vm/prod" and labels.attributes == {}
    assert labels.resource_pool == "/ha-datacenter/host/localhost.localdomain/Resources"


@pytest.mark.parametrize("whole", [False, True])
def test_what_may_not_be_read_is_unknown_alone(start_vcenter: StartVcenter, whole: bool) -> None:
    vcenter = start_vcenter(
        nfs(
            "vmware", "tank/vmware",
            {"name": "web", "folder": "open", "attributes": {"a": "b"}, "tags": {"Tier": ["1"], "Secret": ["x"]}},
            {"name": "secret", "folder": "open", "tags": {"Tier": ["1"]}},
            {"name": "in", "folder": "closed/web"},
        )
    )  # fmt: skip
    for name in ("secret", "closed", "tag Secret/x", "CustomFieldsManager"):
        vcenter.deny("System.Read", name, whole=whole)
    with connect(vcenter) as session:
        labels = read(vcenter, session, *KINDS)
    assert labels["secret"] == VmLabels()
    assert labels["web"].folder == "/DC0/vm/open" and labels["web"].tags == frozenset({("Tier", "1")})
    assert labels["web"].attributes == {"a": "b"}
    assert labels["in"].folder is None and labels["in"].tags == frozenset()


# ---- A REST API that goes wrong


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"effect": "http_status", "status": 401}, "refused the login|ended the session"),
        ({"effect": "http_status", "status": 403}, "refused the login|lacks a privilege"),
        ({"effect": "http_status", "status": 503}, "HTTP status 503"),
        ({"effect": "malformed", "message": "<html>502</html>"}, "did not return a valid vSphere response"),
        ({"effect": "truncated"}, "did not return a valid vSphere response"),
        ({"effect": "endless"}, "the response is too large"),
        ({"effect": "endless", "message": "[["}, "the response is too large"),
        ({"effect": "drop_before"}, "could not be reached"),
        ({"effect": "black_hole"}, "no response within the time limit"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_tags_that_cannot_be_read_are_one_sentence(
    start_vcenter: StartVcenter, rule: dict[str, Any], told: str
) -> None:
    vcenter = start_vcenter(nfs("vmware", "tank/vmware", {"name": "web", "tags": {"Tier": ["1"]}}))
    with connect(vcenter, call_timeout=0.5 if rule["effect"] == "black_hole" else 30.0) as session:
        for call in CALLS:
            vcenter.rule(method=call, **rule)
            with pytest.raises(TagsUnreadable, match=told) as caught:
                read(vcenter, session, "tags", categories=TIER)
            vcenter.clear_rules()
            assert str(caught.value).isprintable() and vcenter.password not in str(caught.value)
        # The client cannot end a session whose ID it did not receive.
        assert vcenter.rest_sessions() == (rule["effect"] == "truncated")
        assert read(vcenter, session, "tags")["web"].tags == frozenset({("Tier", "1")})
    assert vcenter.password not in json.dumps(vcenter.trace())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2_000_000  # KiB


def test_dropped_connections_and_an_ended_session(start_vcenter: StartVcenter) -> None:
    vcenter = start_vcenter(nfs("vmware", "tank/vmware", {"name": "web", "tags": {"Tier": ["1"]}}))
    with connect(vcenter) as session:
        for call in CALLS:
            vcenter.rule(method=call, effect="drop_after", count=1)
        assert read(vcenter, session, "tags", categories=TIER)["web"].tags == frozenset({("Tier", "1")})


@pytest.mark.parametrize(
    ("trust", "refused"),
    [({}, False), ({"validate_certs": False}, False), ({"thumbprint": "..."}, False), ({"thumbprint": "0" * 64}, True)],
)
def test_the_rest_api_is_verified_as_the_session_is(
    start_vcenter: StartVcenter, monkeypatch: pytest.MonkeyPatch, trust: dict[str, Any], refused: bool
) -> None:
    """A server whose certificate changed after the login does not get the password."""
    vcenter = start_vcenter(nfs("vmware", "tank/vmware", {"name": "web", "tags": {"Tier": ["1"]}}))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    trust = {**trust, "thumbprint": vcenter.thumbprint} if trust.get("thumbprint") == "..." else trust
    with connect(vcenter) as session:
        other = Endpoint(vcenter.host, vcenter.port, **(trust or {"ca_path": str(vcenter.ca_path)}))
        session._context = tls.make_context(str(other), other.validate_certs, other.ca_path, other.thumbprint, 30.0)
        if refused:
            with pytest.raises(TagsUnreadable, match=r"has the thumbprint .*, but 00:00.* is pinned"):
                read(vcenter, session, "tags")
            assert not rest_calls(vcenter)
        else:
            assert read(vcenter, session, "tags")["web"].tags == frozenset({("Tier", "1")})
