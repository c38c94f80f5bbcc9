# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a snapshot that was there already, beside that of a run, and what the modules document of both."""

from __future__ import annotations

from dataclasses import replace
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
    """The result of a snapshot whose record tells of one VM."""
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
    return result.of_existing(zfs, names or tuple(zfs.snapshots), policy)


def test_the_vms_of_a_snapshot_that_was_there_already_have_what_those_of_a_run_have(existing: dict[str, Any]) -> None:
    plan = Plan("tank/a", (NAME,), (MEMBER,), (), ())
    run_snapshots = RunSnapshots(Record("r1", "h"), (NAME,), seen=True)
    (of_run,) = result.of_run("r1", plan, [HOLD], [], run_snapshots, [])["vms"]
    (vm,) = existing["vms"]
    assert vm.keys() == of_run.keys() == DOCUMENTED["vms"]["contains"].keys()
    assert vm == {**of_run, "power": None, "action": None, "hold_seconds": None}
    assert of_run["hold_seconds"] == 2.5 and of_run["vmware_snapshot_moid"] == "snapshot-7"
    assert of_run["spans"] == ["tank/b"]


# ---- A run says what is on disk


def test_a_result_says_what_the_records_say() -> None:
    plan = Plan("tank/a", (NAME,), (MEMBER,), (), ())
    record = Record("r1", "h", consistency="filesystem", complete=True)
    run_snapshots = RunSnapshots(record, (NAME,), seen=True, records={NAME: record}, notes=["a note"])
    problems = [Problem("a problem"), Problem("a problem", frozenset({"tank/a"}))]
    done = result.of_run("r1", plan, [HOLD], problems, run_snapshots, ["left"])
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
    done = result.of_run("r1", plan, [HOLD, other, hidden, failed], [], run_snapshots, [])
    assert [(vm["level"], vm["reason"]) for vm in done["vms"]] == [
        ("crash", "the record of tank/a@one could not be written"),
        ("still", ""),
        ("crash", "the record of tank/a@one could not be written"),
        ("crash", "it failed"),
    ]
    assert done["consistency"] == "crash" and not done["complete"]


def test_what_was_not_seen_has_no_consistency() -> None:
    plan = Plan("tank/a", (NAME,), (MEMBER,), (), ())
    done = result.of_run("r1", plan, [HOLD], [], RunSnapshots(Record("r1", "h"), (NAME,)), [])
    assert (done["created"], done["consistency"], done["complete"]) == (False, None, False)


# ---- A snapshot that was there already, by the policy

OTHER = "tank/b@one"
QUIESCE_FAILS, VM_FAILS = Policy(on_quiesce_failure="fail"), Policy(on_vm_failure="fail")
BOTH_FAIL = Policy(on_quiesce_failure="fail", on_vm_failure="fail")


def vm(level: str, hindrance: str = "", moid: str = "vm-1") -> dict[str, Any]:
    member = replace(MEMBER, moid=moid, wanted=bool(hindrance) or level != "crash")
    return result.manifest_entry(Hold(member, level=level, hindrance=hindrance, reason="because" if hindrance else ""))


def test_nothing_is_there_yet() -> None:
    assert of_existing(Pool(), names=(NAME, OTHER)) is None


def test_what_is_there_in_part_is_another_snapshot() -> None:
    with pytest.raises(SnapshotExists, match="tank/a@one exists already and 1 of the others do not"):
        of_existing(pool({NAME: sealed()}), names=(NAME, OTHER))


@pytest.mark.parametrize("properties", [{}, {"quiesce.vmware_zfs:consistency": "still"}])
def test_what_carries_no_record_is_another_snapshot(properties: dict[str, str]) -> None:
    with pytest.raises(SnapshotExists, match="tank/b@one exists already and carries no consistency record"):
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
    """Also to that of the last dataset: those of all are read."""

    def is_allowed(properties: dict[str, str]) -> bool:
        try:
            found = of_existing(pool({NAME: sealed(), OTHER: properties}), policy)
        except SnapshotExists as error:
            assert str(error).startswith("The ZFS snapshot tank/b@one exists already and its record says crash, which")
            return False
        assert found is not None and found["created"] is False
        return True

    assert {name for name, properties in RECORDS.items() if is_allowed(properties)} == allowed


def test_a_refusal_says_why() -> None:
    for name in ("not quiesced", "problem"):
        with pytest.raises(SnapshotExists, match="which the policy does not allow: because; choose another name"):
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


# ---- What is documented


def test_everything_in_a_result_is_documented(existing: dict[str, Any]) -> None:
    plan = result.of_plan(Plan("tank/a", (NAME,), (MEMBER,), (), ()))
    waves = result.together([plan], [NAME])
    assert {*existing, *plan, *waves} - DOCUMENTED.keys() == {"warnings"}, "warnings become Ansible's own"
    assert waves["waves"][0].keys() == DOCUMENTED["waves"]["contains"].keys()


def test_what_may_be_null_is_said_to_be(existing: dict[str, Any]) -> None:
    def said(returned: dict[str, Any], name: str) -> str:
        return "".join(returned[name]["description"])

    nulls = [name for name, value in existing.items() if value is None]
    assert nulls == ["hold_window_seconds"] and "V(null)" in said(DOCUMENTED, nulls[0])
    of_vm = [name for name, value in existing["vms"][0].items() if value is None]
    assert of_vm and [name for name in of_vm if "V(null)" not in said(DOCUMENTED["vms"]["contains"], name)] == []
