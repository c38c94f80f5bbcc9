# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies for single VMs as plain data: what is valid, and what becomes of a stored one that cannot be read."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Policy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import SnapshotTask
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vm_policies import (
    VmMatch,
    parse,
    parse_stored,
    plain,
)

FIREWALL = {"match": {"name": "fw*"}, "accept": "crash"}
WHOLE = {
    "match": {
        "name": "db*",
        "instance_uuid": "5029-1",
        "moid": "vm-1",
        "folder": "/DC0/vm/prod",
        "resource_pool": "gold",
        "attribute": {"name": "Owner", "value": "storage"},
        "tag": {"category": "backup", "name": "daily"},
    },
    "quiesce": "required",
    "on_failure": "fail",
    "accept": "application",
    "vm_timeout": 600.0,
    "on_span": "include",
}


def test_plain_data_comes_back_as_it_went_in() -> None:
    (policy,) = parse([WHOLE])
    assert policy.match == VmMatch(
        "db*", "5029-1", "vm-1", "/DC0/vm/prod", "gold", ("Owner", "storage"), ("backup", "daily")
    )
    assert plain([policy]) == [WHOLE] and parse(plain([policy])) == (policy,) and parse_stored([WHOLE]) == (policy,)


def test_what_ansible_leaves_unset_does_not_count() -> None:
    """Ansible passes suboptions that are not set as None."""
    unset = {**dict.fromkeys(("quiesce", "on_failure", "exclude", "vm_timeout", "on_span")), "accept": "crash"}
    unset["match"] = {**dict.fromkeys(("instance_uuid", "moid", "tag", "attribute")), "name": "fw*"}
    assert parse([unset]) == parse([FIREWALL])
    assert plain(parse([{"match": {"name": "a"}, "exclude": False}])) == [{"match": {"name": "a"}}]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"accept": "crash"}, "match has no condition"),
        ({"match": {}}, "match has no condition"),
        ({"match": {"name": " "}}, "name is empty"),
        ({"match": {"name": 5}}, "name is empty or not a text"),
        ({"match": {"tag": {"category": "backup"}}}, "name of tag is empty"),
        ({"match": {"tag": "backup"}}, "tag is not a dictionary"),
        ({"match": {"nmae": "web"}}, "match has the unknown key 'nmae'"),
        ({**FIREWALL, "acept": "crash"}, "the policy has the unknown key 'acept'"),
        ({**FIREWALL, "accept": "still"}, "accept is 'still'"),
        ({**FIREWALL, "quiesce": "always"}, "quiesce is 'always'"),
        ({**FIREWALL, "on_failure": "skip"}, "on_failure is 'skip'"),
        ({**FIREWALL, "on_span": "follow"}, "on_span is 'follow'"),
        ({**FIREWALL, "exclude": True}, "exclude is combined with accept"),
        ({**FIREWALL, "exclude": "yes"}, "exclude is neither true nor false"),
        ({**FIREWALL, "quiesce": "required"}, "quiesce is required, but accept is crash"),
        ({**FIREWALL, "quiesce": "never", "accept": "filesystem"}, "without quiescing a VM is always crash"),
        ({**FIREWALL, "vm_timeout": 0}, "vm_timeout is 0"),
        ({**FIREWALL, "vm_timeout": float("nan")}, "vm_timeout is nan"),
        ({**FIREWALL, "vm_timeout": "long"}, "vm_timeout is not a number"),
        ("fw*", "the policy is not a dictionary"),
        (None, "the policy is not a dictionary"),
    ],
)
def test_an_invalid_policy_is_named_by_its_number(entry: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse([FIREWALL, entry])
    assert str(caught.value).startswith("The entry 2 of policies is invalid: ") and said in str(caught.value)
    stored = parse_stored([FIREWALL, entry])
    assert stored[0] == parse([FIREWALL])[0] and said in stored[1].unusable
    assert stored[1].accept in (None, "filesystem") and plain(stored) == [FIREWALL, entry]


def test_an_unusable_policy_asks_for_no_less_than_it_did() -> None:
    (stored,) = parse_stored([{"match": {"name": "db"}, "accept": "application", "new_option": 1}])
    assert stored.accept == "application" and stored.match == VmMatch("db")
    for left_alone in ({"exclude": True}, {"quiesce": "never"}):
        (stored,) = parse_stored([{"match": {"name": "db"}, **left_alone, "new_option": 1}])
        assert stored.accept == "filesystem" and (stored.exclude or stored.quiesce == "never")
    (other,) = parse_stored("garbage")
    assert other.unusable and other.match is None and plain([other]) == ["garbage"]
    assert parse_stored(None) == ()


def test_a_time_limit_must_fit_into_max_hold() -> None:
    with pytest.raises(InputError, match="vm_timeout of the entry 1 of policies"):
        Policy(policies=parse([{**FIREWALL, "vm_timeout": 901}])).check()


def test_a_task_keeps_an_unusable_policy_that_it_is_not_given_anew() -> None:
    """Other options of the task can still be changed."""
    stored = parse_stored([FIREWALL, {"match": {"name": "db"}, "future": 1}])
    task = SnapshotTask("tank/vmware", policy=Policy(policies=stored))
    changed = task.merged({"enabled": False})
    changed.policy.check()
    assert changed.policy.policies == stored and changed.settings()["policies"][1] == {
        "match": {"name": "db"},
        "future": 1,
    }
    assert changed.merged({"policies": []}).policy.policies == ()
    assert task.declared({"dataset": "tank/vmware"}).policy.policies == ()
