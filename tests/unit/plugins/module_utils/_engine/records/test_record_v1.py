# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of release 1.0.0 stay readable by its rules: a snapshot that was taken after its hold is crash."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.observe import lifetimes
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import record, record_v1
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.levels import LEVELS
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import Record
from ansible_collections.quiesce.vmware_zfs.tests.records_v1 import PREFIX, properties
from ansible_collections.quiesce.vmware_zfs.tests.unit.zfs_pool import OLD, Pool
from hypothesis import given
from hypothesis import strategies as st

NAME = "tank/vmware@one"
MANIFEST = PREFIX + "manifest."
VMS = [{"name": "web", "level": "filesystem", "reason": ""}, {"name": "db", "level": "application", "reason": ""}]
LONG = [
    {"name": base64.b64encode(zlib.compress(str(number**9).encode())).decode(), "level": "filesystem", "reason": ""}
    for number in range(2000)
]


def made(**changes: Any) -> dict[str, str]:
    values: dict[str, Any] = {
        "run": "20260131T020000-1f2e3d4c", "host": "0123456789ab", "held_until": OLD + 60,
        "vmware_snapshot": "vmware-zfs 1", "vms": VMS,
    }  # fmt: skip
    return properties(**{**values, **changes})


def read(values: dict[str, str], source: str = "local", creation: int = OLD) -> Record:
    pool = Pool()
    pool.add(NAME, values, source, creation)
    return record.read(pool, [NAME])[NAME]


def complete(values: dict[str, str], creation: int = OLD) -> bool:
    pool = Pool()
    pool.add(NAME, values, creation=creation)
    return record.is_complete(lifetimes.facts(pool, ["tank/vmware"])[NAME])


def assert_crash(found: Record, problem: str) -> None:
    assert (found.consistency, found.complete) == ("crash", False)
    assert any(problem in said for said in found.problems), found.problems
    assert all(vm["level"] == "crash" for vm in found.vms)


@pytest.mark.parametrize("vms", [VMS, LONG, []])
@pytest.mark.parametrize("source", ["local", "received"])
def test_a_record_is_read_as_it_was_written(vms: list[dict[str, Any]], source: str) -> None:
    found = read(made(vms=vms, task="0123", problems=["a"]), source)
    assert found == Record(
        run="20260131T020000-1f2e3d4c", host="0123456789ab", task="0123", consistency="filesystem", complete=True,
        run_consistency="filesystem", run_complete=True, vmware_snapshot="vmware-zfs 1", vms=vms, problems=["a"],
        sealed=True, version=1,
    )  # fmt: skip
    assert complete(made(vms=vms))


def test_what_is_inherited_is_no_record() -> None:
    pool = Pool()
    pool.add(NAME, made(), "inherited from tank")
    assert record.read(pool, [NAME]) == {}


def test_a_part_that_is_missing_damages_it() -> None:
    values = made(vms=LONG)
    count = sum(key.startswith(MANIFEST) for key in values)
    assert count > 2
    for number in range(count):
        lacking = {key: value for key, value in values.items() if key != f"{MANIFEST}{number}"}
        assert_crash(read(lacking), "the manifest of the snapshot is damaged")


def pack(manifest: Any) -> str:
    return base64.b64encode(zlib.compress(json.dumps(manifest).encode())).decode()


@pytest.mark.parametrize(
    "manifest",
    [
        [], "text", None, 7, {},
        {"version": 2, "vmware_snapshot": "", "vms": [], "problems": []},
        {"version": 1, "vmware_snapshot": "", "vms": {}, "problems": []},
        {"version": 1, "vmware_snapshot": 5, "vms": [], "problems": []},
        {"version": 1, "vmware_snapshot": "", "vms": ["web"], "problems": []},
        {"version": 1, "vmware_snapshot": "", "vms": [{"name": "web"}], "problems": []},
        {"version": 1, "vmware_snapshot": "", "vms": [{"name": "web", "level": "perfect"}], "problems": []},
        {"version": 1, "vmware_snapshot": "", "vms": []},
    ],
)  # fmt: skip
def test_a_manifest_of_another_shape_reads_as_crash(manifest: Any) -> None:
    assert_crash(read({**made(), MANIFEST + "0": pack(manifest)}), "manifest of the snapshot is damaged")


@given(st.data())
def test_a_damaged_manifest_never_looks_better_than_none(data: st.DataObject) -> None:
    text = made()[MANIFEST + "0"]
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.sampled_from(["", "!", "A", "=", text[at:][::-1]])) + text[at + 1 :]
    found = read({**made(), MANIFEST + "0": damaged})
    assert damaged == text or found.consistency == "crash" or found.vms == VMS


@pytest.mark.parametrize("value", ["", "best", "Filesystem"])
def test_an_unknown_level_reads_as_crash(value: str) -> None:
    assert_crash(read({**made(), PREFIX + "consistency": value}), "the record of the snapshot is damaged")


@pytest.mark.parametrize("held_until", [str(OLD - 1), "", "soon", "-5", "²"])
def test_a_snapshot_that_came_after_the_hold_is_crash(held_until: str) -> None:
    values = {**made(), PREFIX + "held_until": held_until}
    found = read(values)
    assert_crash(found, "taken after its VMs had been released")
    assert not found.sealed and not complete(values)


def test_without_held_until_it_is_not_of_release_1_0_0() -> None:
    values = made()
    del values[PREFIX + "held_until"]
    assert_crash(read(values), "its record is not complete")
    assert not complete(values)


def test_the_very_end_of_the_hold_still_counts() -> None:
    assert read(made(held_until=OLD)).consistency == "filesystem" and complete(made(held_until=OLD))


@given(held_until=st.integers(OLD - 5, OLD + 5), taken=st.integers(OLD - 5, OLD + 5), level=st.sampled_from(LEVELS))
def test_no_instant_after_the_hold_passes_for_one_within_it(held_until: int, taken: int, level: str) -> None:
    values = made(consistency=level, held_until=held_until)
    found = read(values, creation=taken)
    if taken > held_until:
        assert_crash(found, "taken after its VMs had been released")
        assert not complete(values, taken)
    else:
        assert found.consistency == level and found.complete and found.sealed


def test_the_record_as_it_was_written_can_be_had_as_well() -> None:
    """A run of 1.0.0 is completed according to its record as written, even if that level no longer counts."""
    values = {**made(held_until=OLD - 1), "creation": str(OLD)}
    said = record_v1.parse(values, as_written=True)
    assert (said.consistency, said.complete, said.held, said.problems) == ("filesystem", True, False, [])
    assert record_v1.parse(values).consistency == "crash"


def test_lowering_names_the_problem_and_the_vms_that_are_meant() -> None:
    lowered = record_v1.parse({**made(), "creation": str(OLD)})
    lowered.lower("it moved", lowered.vms[:1])
    assert (lowered.consistency, lowered.complete, lowered.problems) == ("crash", False, ["it moved"])
    assert [(vm["level"], vm["reason"]) for vm in lowered.vms] == [("crash", "it moved"), ("application", "")]
    found = read({**made(), **dict(lowered.properties())})
    assert (found.consistency, found.complete, found.problems) == ("crash", False, ["it moved"])
    assert found.vms == lowered.vms and found.vmware_snapshot == "vmware-zfs 1"


def test_a_shorter_manifest_takes_the_place_of_a_longer_one() -> None:
    lowered = record_v1.parse({**made(vms=VMS), "creation": str(OLD)})
    lowered.lower("it moved", ())
    values = {**made(vms=LONG), **dict(lowered.properties())}
    assert len(made(vms=LONG)) > len(made())
    assert read(values).vms == VMS


def test_the_whole_is_lowered_before_the_parts() -> None:
    """If the process is killed in between, the manifest does not change and the record is crash."""
    names = [key for key, _value in record_v1.RecordV1("crash", False, True).properties()]
    assert names[:2] == [PREFIX + "complete", PREFIX + "consistency"] and names[-1] == MANIFEST + "1"


def test_the_datasets_of_a_run_share_one_record() -> None:
    """The manifest, which may be long, is read only once for all of them."""
    pool = Pool()
    names = [f"tank/{number}@one" for number in range(20)]
    for name in names:
        pool.add(name, made(vms=LONG))
    pool.add("tank/other@one", made(run="another", consistency="still"))
    found = record.read(pool, [*names, "tank/other@one"])
    assert all(found[name] is found[names[0]] for name in names)
    assert found["tank/other@one"].consistency == "still"
    assert pool.processes == 3
