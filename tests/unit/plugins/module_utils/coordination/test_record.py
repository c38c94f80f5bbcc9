# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The consistency record: what is written is read again, and what is damaged reads as crash."""

from __future__ import annotations

import base64
import json
import string
import zlib
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination import record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.consistency import LEVELS
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.record import PREFIX, Record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.zfs.command import Zfs
from hypothesis import given, settings
from hypothesis import strategies as st

CREATED = 1_700_000_000


class Store(Zfs):
    """A zfs that knows one snapshot with these properties, as `zfs get` shows them."""

    def __init__(self, properties: dict[str, str], source: str = "local", created: int = CREATED) -> None:
        super().__init__()
        self._rows = [["creation", str(created), "-"], *([key, value, source] for key, value in properties.items())]

    def rows(self, *arguments: str, timeout: float = 0.0) -> list[list[str]]:
        return self._rows


def made(**changes: Any) -> Record:
    vms = [{"name": "web", "level": "filesystem", "reason": ""}, {"name": "db", "level": "application", "reason": ""}]
    values: dict[str, Any] = {
        "run": "20260131T020000-1f2e3d4c", "host": "0123456789ab", "consistency": "filesystem", "complete": True,
        "held_until": CREATED + 60, "vmware_snapshot": "vmware-zfs 1", "vms": vms,
    }  # fmt: skip
    return Record(**{**values, **changes})


def read(properties: dict[str, str], **more: Any) -> Record:
    found = record.read(Store(properties, **more), "tank/vmware@one")
    assert found is not None
    return found


def assert_crash(found: Record, problem: str) -> None:
    assert (found.consistency, found.complete) == ("crash", False)
    assert any(problem in said for said in found.problems), found.problems
    assert all(vm["level"] == "crash" for vm in found.vms)


texts = st.text(max_size=80)
vms = st.fixed_dictionaries(
    {"name": texts, "vmx_path": texts, "moid": texts, "level": st.sampled_from(LEVELS), "reason": texts}
)


@settings(deadline=None)
@given(
    vms=st.lists(vms, max_size=20),
    problems=st.lists(texts, max_size=3),
    consistency=st.sampled_from(LEVELS),
    complete=st.booleans(),
    task=st.text(string.ascii_letters, max_size=8),
)
def test_any_record_is_read_as_it_was_written(vms: list[dict[str, Any]], problems: list[str], **rest: Any) -> None:
    written = made(vms=vms, problems=problems, **rest)
    properties = written.properties()
    for key, value in properties.items():
        assert key.startswith(PREFIX) and key.isascii() and key.islower() and len(key) < 256
        assert value.isascii() and value.isprintable() and 0 < len(value) <= 8191
    assert read(properties).as_dict() == written.as_dict()


def test_a_long_manifest_is_spread_over_properties() -> None:
    # Names that do not compress: 2,000 VMs take several properties, each as long as ZFS takes them.
    names = [base64.b64encode(zlib.compress(str(number**9).encode())).decode() for number in range(2000)]
    written = made(vms=[{"name": name, "level": "filesystem", "reason": ""} for name in names])
    properties = written.properties()
    chunks = [value for key, value in properties.items() if key.startswith(PREFIX + "manifest.")]
    assert len(chunks) > 2 and {len(chunk) for chunk in chunks[:-1]} == {8191} and len(chunks[-1]) <= 8191
    assert read(properties).as_dict() == written.as_dict()
    for number in range(len(chunks)):
        lacking = {key: value for key, value in properties.items() if key != f"{PREFIX}manifest.{number}"}
        assert_crash(read(lacking), "the manifest of the snapshot is damaged")


def test_a_shorter_manifest_takes_the_place_of_a_longer_one() -> None:
    names = [base64.b64encode(zlib.compress(str(number**9).encode())).decode() for number in range(500)]
    longer = made(vms=[{"name": name, "level": "filesystem", "reason": ""} for name in names])
    shorter = made()
    assert len(longer.properties()) > len(shorter.properties())
    assert read({**longer.properties(), **shorter.replacement()}).as_dict() == shorter.as_dict()
    assert read({**shorter.properties(), **longer.replacement()}).as_dict() == longer.as_dict()


@settings(deadline=None)
@given(st.data())
def test_a_damaged_manifest_never_looks_better_than_none(data: st.DataObject) -> None:
    properties = made().properties()
    text = properties[PREFIX + "manifest.0"]
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.sampled_from(["", "!", "A", "=", text[at:][::-1]])) + text[at + 1 :]
    found = read({**properties, PREFIX + "manifest.0": damaged})
    assert damaged == text or found.consistency == "crash" or found.vms == made().vms


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
    assert_crash(
        read({**made().properties(), PREFIX + "manifest.0": pack(manifest)}), "manifest of the snapshot is damaged"
    )


@pytest.mark.parametrize("value", ["", "best", "Filesystem"])
def test_an_unknown_level_reads_as_crash(value: str) -> None:
    assert_crash(read({**made().properties(), PREFIX + "consistency": value}), "the record of the snapshot is damaged")


@pytest.mark.parametrize("held_until", [str(CREATED - 1), "", "soon", "-5", "²"])
def test_a_snapshot_that_came_after_the_hold_is_crash(held_until: str) -> None:
    found = read({**made().properties(), PREFIX + "held_until": held_until})
    assert_crash(found, "taken after its VMs had been released")


def test_the_very_end_of_the_hold_still_counts() -> None:
    assert read(made(held_until=CREATED).properties()).consistency == "filesystem"


@settings(deadline=None)
@given(
    end=st.floats(CREATED - 5, CREATED + 5), taken=st.floats(CREATED - 5, CREATED + 5), level=st.sampled_from(LEVELS)
)
def test_no_instant_after_the_hold_passes_for_one_within_it(end: float, taken: float, level: str) -> None:
    written = made(consistency=level, held_until=record.last_second_before(end))
    found = read(written.properties(), created=int(taken))  # ZFS knows whole seconds only
    values = {"creation": str(int(taken)), **written.properties()}
    if taken > end:
        assert_crash(found, "taken after its VMs had been released")
        assert record.says_too_much(values) and not record.is_complete(values)
    elif taken < end - 2:
        assert found.consistency == level and not record.says_too_much(values)


def test_what_counts_as_crash_and_says_so_does_not_say_too_much() -> None:
    values = {"creation": str(CREATED), **made(consistency="crash", complete=False, held_until=0).properties()}
    assert not record.says_too_much(values)
    assert record.says_too_much({**values, PREFIX + "complete": "yes"})
    assert record.says_too_much({**values, PREFIX + "consistency": "best"})
    assert not record.says_too_much({"creation": str(CREATED)})  # somebody else's


def test_only_what_is_the_snapshots_own_counts() -> None:
    properties = made().properties()
    assert record.read(Store(properties, source="inherited from tank"), "tank/vmware@one") is None
    assert read(properties, source="received").consistency == "filesystem"
    assert record.read(Store({}), "tank/vmware@one") is None


def test_lowering_names_the_problem_and_the_vms_that_are_meant() -> None:
    lowered = made()
    record.lower(lowered, "it moved", lowered.vms[:1])
    assert (lowered.consistency, lowered.complete, lowered.problems) == ("crash", False, ["it moved"])
    assert [(vm["level"], vm["reason"]) for vm in lowered.vms] == [("crash", "it moved"), ("application", "")]
