# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of runs, plans and existing ZFS snapshots, and what the modules document."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import yaml
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import SnapshotExists
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.plan import Member, Plan
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.problem import Problem
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Policy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import Record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots import result
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.quiesce import Hold
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.run_result import (
    RunResult,
    VmResult,
    WaveResult,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.run_snapshots import RunSnapshots
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_coordinated_snapshot
from ansible_collections.quiesce.vmware_zfs.tests import records_v1
from ansible_collections.quiesce.vmware_zfs.tests.unit.zfs_pool import OLD, Pool

NAME = "tank/a@one"
MEMBER = Member(
    server="vc.lab", server_id="1234", credential=1, moid="vm-1", name="web", instance_uuid="5029-1",
    vmx_path="[a] web/web.vmx", host_moid="host-1", guest="linux", power="poweredOn",
    action="quiesce", level="filesystem", datasets=("tank/a",), spans=("tank/b",),
)  # fmt: skip
HOLD = replace(Hold.planned(MEMBER), snapshot_moid="snapshot-7", level="filesystem", started=1.0, released=3.5)
ANYTHING = Policy()
DOCUMENTED = yaml.safe_load(vmware_coordinated_snapshot.RETURN)


@pytest.fixture
def existing() -> dict[str, Any]:
    """The result for an existing ZFS snapshot whose record lists one VM."""
    found = of_existing(pool({NAME: sealed(vms=[result.manifest_entry(HOLD)])}))
    assert found is not None
    return found


def sealed(run: str = "r1", **changes: Any) -> dict[str, str]:
    """The properties of a finished record."""
    one = Record(run, "h", **{"consistency": "filesystem", "complete": True, **changes})
    return {**one.first(), **dict(one.seal())}


def pool(snapshots: dict[str, dict[str, str]]) -> Pool:
    made = Pool()
    for name, properties in snapshots.items():
        made.add(name, properties)
    return made


def of_existing(zfs: Pool, policy: Policy = ANYTHING, names: tuple[str, ...] = ()) -> dict[str, Any] | None:
    found = result.of_existing(zfs, names or tuple(zfs.snapshots), policy)
    return None if found is None else found.as_dict()


def of_run(plan: Plan, holds: list[Hold], problems: list[Problem], of: RunSnapshots, left: list[str]) -> dict[str, Any]:
    return result.of_run(plan, holds, problems, of, left).as_dict()


def test_the_vms_of_a_snapshot_that_was_there_already_have_what_those_of_a_run_have(existing: dict[str, Any]) -> None:
    plan = Plan("tank/a", (NAME,), (MEMBER,), (), ())
    run_snapshots = RunSnapshots(Record("r1", "h"), (NAME,), seen=True)
    (held,) = of_run(plan, [HOLD], [], run_snapshots, [])["vms"]
    (vm,) = existing["vms"]
    assert vm == {**held, "power": None, "action": None, "hold_seconds": None}
    assert held["hold_seconds"] == 2.5 and held["vmware_snapshot_moid"] == "snapshot-7"
    assert held["spans"] == ["tank/b"]


# ---- A result states what is on disk


def test_a_result_says_what_the_records_say() -> None:
    plan = Plan("tank/a", (NAME,), (MEMBER,), (), ())
    record = Record("r1", "h", consistency="filesystem", complete=True)
    run_snapshots = RunSnapshots(record, (NAME,), seen=True, records={NAME: record}, notes=["a note"])
    problems = [Problem("a problem"), Problem("a problem", frozenset({"tank/a"}))]
    done = of_run(plan, [HOLD], problems, run_snapshots, ["left"])
    assert (done["created"], done["consistency"], done["complete"]) == (True, "filesystem", True)
    assert done["problems"] == ["a problem", "a note"] and done["left"] == ["left"]
    assert done["vms"][0]["level"] == "filesystem" and done["hold_window_seconds"] == 2.5


def test_a_vm_whose_record_could_not_be_written_is_crash() -> None:
    plan = Plan("tank/a", (NAME, "tank/b@one"), (MEMBER,), (), ())
    other = Hold.planned(replace(MEMBER, moid="vm-2", datasets=("tank/b",), level="still"))
    hidden = Hold.planned(replace(MEMBER, moid="vm-3", datasets=(), level="still"))
    failed = Hold.planned(replace(MEMBER, moid="vm-4", level="crash", reason="it failed"))
    run_snapshots = RunSnapshots(
        Record("r1", "h"), plan.snapshots, seen=True, unsealed={NAME: "zfs refuses (error 28)"}
    )
    done = of_run(plan, [HOLD, other, hidden, failed], [], run_snapshots, [])
    assert [(vm["level"], vm["reason"]) for vm in done["vms"]] == [
        ("crash", "the record of tank/a@one could not be written"),
        ("still", ""),
        ("crash", "the record of tank/a@one could not be written"),
        ("crash", "it failed"),
    ]
    assert done["consistency"] == "crash" and not done["complete"]


def test_what_was_not_seen_has_no_consistency() -> None:
    plan = Plan("tank/a", (NAME,), (MEMBER,), (), ())
    done = of_run(plan, [HOLD], [], RunSnapshots(Record("r1", "h"), (NAME,)), [])
    assert (done["created"], done["consistency"], done["complete"]) == (False, None, False)


# ---- A ZFS snapshot that already exists

OTHER = "tank/b@one"
QUIESCE_FAILS, VM_FAILS = Policy(on_quiesce_failure="fail"), Policy(on_vm_failure="fail")
BOTH_FAIL = Policy(on_quiesce_failure="fail", on_vm_failure="fail")


def vm(level: str, hindrance: str = "", moid: str = "vm-1") -> dict[str, Any]:
    member = replace(MEMBER, moid=moid, excluded=not hindrance and level == "crash")
    return result.manifest_entry(Hold(member, level=level, hindrance=hindrance, reason="because" if hindrance else ""))


def test_nothing_is_there_yet() -> None:
    assert of_existing(Pool(), names=(NAME, OTHER)) is None


def test_what_is_there_in_part_is_another_snapshot() -> None:
    with pytest.raises(SnapshotExists, match="tank/a@one already exists, but is missing on 1 of 2 datasets"):
        of_existing(pool({NAME: sealed()}), names=(NAME, OTHER))


@pytest.mark.parametrize("properties", [{}, {"quiesce.vmware_zfs:consistency": "still"}])
def test_what_carries_no_record_is_another_snapshot(properties: dict[str, str]) -> None:
    with pytest.raises(SnapshotExists, match="tank/b@one already exists and has no consistency record"):
        of_existing(pool({NAME: sealed(), OTHER: properties}))


RECORDS: dict[str, dict[str, str]] = {
    "finished": sealed(vms=[vm("filesystem")]),
    "excluded": sealed(consistency="crash", vms=[vm("crash")]),
    "not quiesced": sealed(consistency="crash", complete=False, vms=[vm("crash", "quiesce")]),
    "not snapshotted": sealed(consistency="crash", complete=False, vms=[vm("crash", "vm")]),
    "problem": sealed(consistency="crash", complete=False, problems=["because"]),
    "unsealed": Record("r1", "h").first(),
    "plain": Record("r1", "h").first(plain=True),
    "damaged": {**sealed(), "quiesce.vmware_zfs:host": "x"},
    "1.0.0, complete": records_v1.properties("r1", vms=[vm("filesystem")]),
    "1.0.0, not complete": records_v1.properties("r1", consistency="crash", complete=False, vms=[vm("crash")]),
    "1.0.0, too late": records_v1.properties("r1", held_until=OLD - 1),
}


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        (ANYTHING, set(RECORDS)),
        (QUIESCE_FAILS, {"finished", "excluded", "not snapshotted", "problem", "1.0.0, complete"}),
        (VM_FAILS, {"finished", "excluded", "not quiesced", "1.0.0, complete"}),
        (BOTH_FAIL, {"finished", "excluded", "1.0.0, complete"}),
    ],
)
def test_the_policy_is_applied_to_what_is_recorded(policy: Policy, allowed: set[str]) -> None:
    """The records of all datasets are read, including the last one."""

    def is_allowed(properties: dict[str, str]) -> bool:
        try:
            found = of_existing(pool({NAME: sealed(), OTHER: properties}), policy)
        except SnapshotExists as error:
            assert str(error).startswith(
                "The ZFS snapshot tank/b@one already exists, and the policy does not allow its record (crash)"
            )
            return False
        assert found is not None and found["created"] is False
        return True

    assert {name for name, properties in RECORDS.items() if is_allowed(properties)} == allowed


def test_a_refusal_says_why() -> None:
    for name in ("not quiesced", "problem"):
        with pytest.raises(
            SnapshotExists, match=r"the policy does not allow its record \(crash\): because; choose another name"
        ):
            of_existing(pool({NAME: RECORDS[name]}), BOTH_FAIL)


def test_what_is_recorded_is_that_of_all_datasets() -> None:
    shared = vm("application", moid="vm-2")
    first = sealed(vms=[vm("filesystem"), shared], problems=["a"])
    second = sealed(consistency="crash", complete=False, vms=[shared], problems=["a", "b"])
    done = of_existing(pool({NAME: first, OTHER: second}))
    assert done is not None
    assert (done["run_id"], done["consistency"], done["complete"]) == ("r1", "crash", False)
    assert done["zfs_snapshots"] == [NAME, OTHER] and done["problems"] == ["a", "b"]
    assert [one["moid"] for one in done["vms"]] == ["vm-1", "vm-2"], "each VM once"
    assert "waves" not in done


def test_those_of_several_waves_are_shown_as_a_run_with_waves() -> None:
    snapshots = {NAME: sealed("r1"), OTHER: sealed("r1-2", consistency="still", complete=False)}
    done = of_existing(pool(snapshots))
    assert done is not None
    assert (done["run_id"], done["consistency"], done["complete"]) == ("r1", "filesystem", False)
    assert [(wave["run_id"], wave["zfs_snapshots"], wave["complete"]) for wave in done["waves"]] == [
        ("r1", [NAME], True),
        ("r1-2", [OTHER], False),
    ]


# ---- Documentation


# The type in RETURN for each annotation. A test below checks None.
TYPES = {"str": "str", "bool": "bool", "float": "float", "int": "int", "list[str]": "list", "dict[str, Any]": "dict"}
NESTED = {"list[VmResult]": VmResult, "list[WaveResult]": WaveResult}


def documentation_of(of: type[Any]) -> dict[str, str]:
    """The fields of a dataclass, with the types that RETURN must document."""
    plain = {each.name: str(each.type).removesuffix(" | None") for each in fields(of)}
    return {name: "list" if annotation in NESTED else TYPES[annotation] for name, annotation in plain.items()}


def types_in(returned: dict[str, Any]) -> dict[str, str]:
    return {name: value["type"] for name, value in returned.items()}


@pytest.mark.parametrize(("of", "key"), [(VmResult, "vms"), (WaveResult, "waves")])
def test_return_documents_every_field_of_a_vm_and_of_a_wave(of: type[Any], key: str) -> None:
    assert types_in(DOCUMENTED[key]["contains"]) == documentation_of(of)


def test_return_documents_every_field_of_a_run() -> None:
    whole = RunResult("r1", [NAME], True, None, True, [], [VmResult()], refusals=[], waves=[], recovery={})
    made = {"zfs_snapshot": "str", "vmware_snapshots_left": "int", "consistency_text": "str"}  # as_dict adds these
    made.update(vms_excluded="int", vms_accepted="int")
    assert whole.as_dict().keys() == documentation_of(RunResult).keys() | made.keys()
    documented = {**documentation_of(RunResult), **made}
    del documented["warnings"]  # the module returns these as warnings of Ansible
    assert types_in(DOCUMENTED) == documented


def test_what_does_not_apply_is_left_out() -> None:
    assert not {"refusals", "waves", "recovery"} & RunResult("r1", [NAME], True, None, True, [], []).as_dict().keys()


def test_what_may_be_null_is_said_to_be(existing: dict[str, Any]) -> None:
    def said(returned: dict[str, Any], name: str) -> str:
        return "".join(returned[name]["description"])

    nulls = [name for name, value in existing.items() if value is None]
    assert nulls == ["hold_window_seconds"] and "V(null)" in said(DOCUMENTED, nulls[0])
    of_vm = [name for name, value in existing["vms"][0].items() if value is None]
    assert of_vm and [name for name in of_vm if "V(null)" not in said(DOCUMENTED["vms"]["contains"], name)] == []
