# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which policy a VM gets, and what the run does with it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.vm_matching import Rule, VmFacts
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.vm_treatments import (
    Treatment,
    choose,
    of_recorded,
    rules_of,
    warnings_of,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Policy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.dataset_policies import DatasetPolicies
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vm_policies import parse, parse_stored
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_labels import VmLabels

ON = frozenset(["tank/vmware/prod"])


def vm(name: str | None = "web", **labels: Any) -> VmFacts:
    return VmFacts("vm-1", name, "5029-A", ON, VmLabels(**labels))


def policy(match: dict[str, Any], **said: Any) -> dict[str, Any]:
    return {"match": match, **said}


def chosen(facts: VmFacts, *policies: dict[str, Any], stored: Any = (), **options: Any) -> Treatment:
    run = Policy(policies=parse(policies), **options)
    return choose(rules_of(run, stored), facts, run)


def is_excluded(facts: VmFacts, match: dict[str, Any]) -> bool | None:
    """Whether a match is certain; None if it is not known."""
    treatment = chosen(facts, policy(match, exclude=True))
    return None if treatment.doubt else treatment.exclude


@pytest.mark.parametrize(
    ("labels", "match", "matches"),
    [
        ({}, {"name": "web"}, True),
        ({}, {"name": "w?b"}, True),
        ({}, {"name": "WEB"}, False),
        ({}, {"instance_uuid": "5029-a"}, True),
        ({}, {"instance_uuid": "5029"}, False),
        ({}, {"moid": "vm-1"}, True),
        ({}, {"moid": "vm-*"}, False),
        ({"folder": "/DC0/vm/prod/web"}, {"folder": "/DC0/vm/prod"}, True),
        ({"folder": "/DC0/vm/prod/web"}, {"folder": "DC0/vm/prod/"}, True),
        ({"folder": "/DC0/vm/production"}, {"folder": "/DC0/vm/prod"}, False),
        ({"folder": "/DC0/vm/prod/web"}, {"folder": "prod"}, True),
        ({"folder": "/DC0/vm/prod/web"}, {"folder": "pro"}, False),
        ({"folder": "/DC0/vm/a%2fb"}, {"folder": "/DC0/vm/a%2fb"}, True),
        ({"folder": None}, {"folder": "prod"}, None),
        ({"resource_pool": "/DC0/host/C/Resources/slow"}, {"resource_pool": "slow"}, True),
        ({"resource_pool": ""}, {"resource_pool": "slow"}, False),
        ({"attributes": {"Owner": "storage"}}, {"attribute": {"name": "Owner", "value": "sto*"}}, True),
        ({"attributes": {"Owner": "[a]"}}, {"attribute": {"name": "Owner", "value": "[a]"}}, True),
        ({"attributes": {}}, {"attribute": {"name": "Owner", "value": "*"}}, False),
        ({"attributes": None}, {"attribute": {"name": "Owner", "value": "*"}}, None),
        ({"tags": frozenset([("a", "b")])}, {"tag": {"category": "a", "name": "b"}}, True),
        ({"tags": frozenset([("a", "b")])}, {"tag": {"category": "a", "name": "*"}}, False),
        ({"tags": None}, {"tag": {"category": "a", "name": "b"}}, None),
        ({"tags": None}, {"tag": {"category": "a", "name": "b"}, "name": "db"}, False),
        ({"tags": None}, {"tag": {"category": "a", "name": "b"}, "name": "web"}, None),
    ],
)
def test_what_a_condition_matches(labels: dict[str, Any], match: dict[str, Any], matches: bool | None) -> None:
    assert is_excluded(vm(**labels), match) is matches


def test_a_name_that_cannot_be_read_is_neither_a_match_nor_a_mismatch() -> None:
    assert is_excluded(vm(None), {"name": "*"}) is None and is_excluded(vm(None), {"moid": "vm-1"}) is True


DEFAULT = {"quiesce": "preferred", "forbidden": frozenset(), "accept": "filesystem"}
BOTH = frozenset(["quiesce", "vm"])


@pytest.mark.parametrize(
    ("run", "said", "expected"),
    [
        ({}, {}, {}),
        ({}, {"quiesce": "required"}, {"quiesce": "required"}),
        ({}, {"quiesce": "required", "on_failure": "fail"}, {"quiesce": "required", "forbidden": BOTH}),
        ({}, {"on_failure": "fail"}, {"forbidden": frozenset(["vm"])}),
        ({}, {"quiesce": "never"}, {"quiesce": "never", "accept": "crash"}),
        ({}, {"accept": "application"}, {"accept": "application"}),
        ({"on_quiesce_failure": "skip"}, {}, {"quiesce": "required"}),
        ({"on_quiesce_failure": "skip"}, {"accept": "crash"}, {"quiesce": "required", "accept": "crash"}),
        ({"on_quiesce_failure": "fail"}, {}, {"quiesce": "required", "forbidden": frozenset(["quiesce"])}),
        ({"on_quiesce_failure": "fail"}, {"quiesce": "preferred"}, {}),
        ({"on_quiesce_failure": "fail"}, {"accept": "crash"}, {"accept": "crash"}),
        ({"on_quiesce_failure": "fail"}, {"on_failure": "continue"}, {"quiesce": "required"}),
        ({"on_vm_failure": "fail"}, {}, {"forbidden": frozenset(["vm"])}),
        ({"on_vm_failure": "fail"}, {"quiesce": "required"}, {"quiesce": "required", "forbidden": BOTH}),
        ({"on_vm_failure": "fail"}, {"accept": "crash"}, {"accept": "crash"}),
        ({}, {"accept": "crash", "on_failure": "fail"}, {"accept": "crash", "forbidden": frozenset(["vm"])}),
        ({"on_vm_failure": "fail"}, {"on_failure": "continue"}, {}),
    ],
)  # fmt: skip
def test_what_a_policy_leaves_open_is_as_in_the_run(
    run: dict[str, Any], said: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = chosen(vm(), policy({"name": "web"}, **said), **run)
    assert {name: getattr(found, name) for name in DEFAULT} == {**DEFAULT, **expected}


def test_the_options_of_the_run_are_those_of_a_vm_without_a_policy() -> None:
    options: dict[str, Any] = {"on_quiesce_failure": "fail", "on_vm_failure": "fail", "vm_timeout": 7.0}
    assert chosen(vm(), policy({"name": "db"}), **options) == Treatment("required", BOTH, vm_timeout=7.0)


def test_the_order_of_all_policies() -> None:
    """exclude_vms, those of the run, those of the nearest dataset, those of its parents."""
    stored = [
        DatasetPolicies("tank", parse([policy({"name": "*"}, vm_timeout=1)])),
        DatasetPolicies("tank/vmware/prod", parse([policy({"name": "a*"}, vm_timeout=3)])),
        DatasetPolicies("tank/vmware", parse([policy({"name": "[ab]*"}, vm_timeout=2)])),
        DatasetPolicies("tank/other", parse([policy({"name": "*"}, vm_timeout=9)])),
    ]
    found = {
        name: chosen(vm(name), policy({"name": "run"}, vm_timeout=4), stored=stored, exclude_vms=("x",))
        for name in ("x", "run", "a1", "b1", "c1")
    }
    assert found.pop("x").exclude
    assert {name: one.vm_timeout for name, one in found.items()} == {"run": 4, "a1": 3, "b1": 2, "c1": 1}
    assert found["b1"].policy == "policy 1 of tank/vmware (name '[ab]*')"


TAGGED = {"tag": {"category": "a", "name": "b"}}


def test_in_doubt_the_strictest_policy_counts() -> None:
    rest = policy({"name": "*"}, accept="crash", vm_timeout=100, on_span="fail")
    found = chosen(vm(), policy(TAGGED, accept="application", on_failure="fail", vm_timeout=400), rest)
    assert (found.accept, found.forbidden, found.vm_timeout, found.on_span) == (
        "application", frozenset(["vm"]), 100, "fail",
    )  # fmt: skip
    assert found.doubt == "its tags cannot be read for policy 1"
    assert chosen(vm(), policy(TAGGED, quiesce="never"), policy({"name": "*"})).quiesce == "never"
    assert chosen(vm(), policy(TAGGED, quiesce="never"), policy({"name": "*"})).accept == "filesystem"


def test_there_is_no_doubt_if_the_outcome_is_the_same() -> None:
    found = chosen(vm(), policy(TAGGED, exclude=True), policy({"name": "*"}, exclude=True))
    assert found.exclude and not found.doubt
    assert not chosen(vm(), policy({"name": "web"}, accept="crash"), policy(TAGGED, exclude=True)).doubt


def test_a_policy_that_cannot_be_used_lets_no_later_one_claim_more() -> None:
    run = Policy(policies=parse_stored([{"match": {"names": "*"}}, policy({"name": "web"}, accept="crash")]))
    found = choose(rules_of(run), vm(), run)
    assert found.accept == "filesystem" and "policy 1 cannot be used" in found.doubt
    rules = rules_of(run)
    (warning,) = warnings_of(rules, [vm()], "tank", [])
    assert warning.startswith("The policy 1 cannot be used: match has the unknown key 'names'.")
    known = Policy(policies=parse_stored([{"match": {"name": "web"}, "x": 1}, policy({"name": "*"}, exclude=True)]))
    treated = choose(rules_of(known), vm(), known)
    assert (treated.exclude, treated.accept, treated.doubt) == (False, "filesystem", "")


def test_a_stored_policy_without_effect_is_named_only_where_all_its_vms_are_known() -> None:
    stored = [DatasetPolicies(name, parse([policy({"name": "no"})])) for name in ("tank", "tank/vmware/prod")]
    said = warnings_of(rules_of(Policy(), stored), [vm()], "here", ["tank/vmware/prod"])
    assert said == [
        "The policy 1 of tank/vmware/prod (name 'no') matches no VM on tank/vmware/prod; correct or remove the policy."
    ]
    tagged = rules_of(Policy(policies=parse([policy(TAGGED, exclude=True)])))
    assert warnings_of(tagged, [vm()], "here", []) == []  # it may match: the tags could not be read


def test_the_policy_of_a_recorded_vm_is_known_by_its_record() -> None:
    run = Policy(policies=parse([policy(TAGGED, accept="crash")]), on_vm_failure="fail")
    rules: list[Rule] = rules_of(run)
    recorded = {"name": "web", "moid": "vm-1", "instance_uuid": "5029-A"}
    assert of_recorded(rules, recorded, "tank/vmware", run).forbidden == {"vm"}
    assert of_recorded(rules, {**recorded, "policy": str(rules[0])}, "tank/vmware", run).forbidden == frozenset()


@pytest.mark.parametrize("left_alone", [{"exclude": True}, {"quiesce": "never"}])
def test_a_stored_policy_that_cannot_be_used_still_leaves_its_vm_alone(left_alone: dict[str, Any]) -> None:
    """But it does not make the snapshot complete."""
    entry = {"match": {"name": "web"}, **left_alone, "new_option": 1}
    treatment = chosen(vm(), stored=[DatasetPolicies("tank/vmware", parse_stored([entry]))])
    assert (treatment.exclude, treatment.quiesce == "never") == ("exclude" in left_alone, "quiesce" in left_alone)
    assert not treatment.allows("crash") and bool(treatment.doubt) == treatment.exclude
