# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The consistency record: a sealed record can be read again, and one that does not match its seal is crash."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import string
import zlib
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import DatasetNotFound
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.observe import lifetimes
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.levels import LEVELS
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.manifest import PREFIX
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import Record
from ansible_collections.quiesce.vmware_zfs.tests import records_v1
from ansible_collections.quiesce.vmware_zfs.tests.unit.zfs_pool import Pool
from hypothesis import given
from hypothesis import strategies as st

NAME = "tank/vmware@one"
SEALED, HELD_UNTIL, MANIFEST = PREFIX + "sealed", PREFIX + "held_until", PREFIX + "manifest."
VMS = [{"name": "web", "level": "filesystem", "reason": ""}, {"name": "db", "level": "application", "reason": ""}]
# Names that do not compress: 2,000 of them take several properties.
LONG = [
    {"name": base64.b64encode(zlib.compress(str(number**9).encode())).decode(), "level": "still"}
    for number in range(2000)
]
SHORT = ("complete", "consistency", "host", "run", "run_complete", "run_consistency", "task")


def made(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "run": "20260131T020000-1f2e3d4c", "host": "0123456789ab", "task": "0123", "consistency": "filesystem",
        "complete": True, "run_consistency": "filesystem", "run_complete": True, "vmware_snapshot": "vmware-zfs 1",
        "vms": VMS, "sealed": True,
    }  # fmt: skip
    return Record(**{**values, **changes})


def written(one: Record) -> dict[str, str]:
    """Return all properties of the snapshot after it is sealed."""
    return {**one.first(), **dict(one.seal())}


def read(properties: dict[str, str], source: str = "local") -> Record:
    pool = Pool()
    pool.add(NAME, properties, source)
    return record.read(pool, [NAME])[NAME]


def complete(properties: dict[str, str], source: str = "local") -> bool:
    """Return whether retention treats the snapshot as complete."""
    pool = Pool()
    pool.add(NAME, properties, source)
    return record.is_complete(lifetimes.facts(pool, ["tank/vmware"])[NAME])


def assert_crash(properties: dict[str, str], problem: str) -> None:
    found = read(properties)
    assert (found.consistency, found.complete, found.sealed) == ("crash", False, False)
    assert (found.run_consistency, found.run_complete) == ("crash", False)
    assert found.vms == [] and found.vmware_snapshot == ""
    assert len(found.problems) == 1 and problem in found.problems[0], found.problems


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sealed_by_hand(values: dict[str, str], parts: list[str]) -> dict[str, str]:
    """Return the properties of a record with a matching seal, computed as documented."""
    whole = "".join(parts)
    said = {name: values.get(name, "") for name in SHORT}
    said["manifest"] = f"{len(parts)}:{digest(whole)}"
    short = digest(json.dumps(said, separators=(",", ":"), sort_keys=True, ensure_ascii=True))
    return {
        **{PREFIX + name: value for name, value in values.items()},
        **{f"{MANIFEST}{number}": part for number, part in enumerate(parts)},
        SEALED: f"2:{len(parts)}:{digest(whole)}:{short}",
    }


# ---- What is written


def test_the_snapshot_command_claims_nothing() -> None:
    values = {"run": made().run, "host": "0123456789ab", "consistency": "crash", "complete": "no"}
    expected = {PREFIX + name: value for name, value in values.items()}
    assert made(task="").first() == expected
    assert made().first() == {**expected, PREFIX + "task": "0123"}
    assert made(task="").first(plain=True) == {**expected, PREFIX + "mode": "plain"}


def test_a_seal_is_set_in_this_order() -> None:
    names = [key.removeprefix(PREFIX) for key, _value in made(vms=LONG).seal()]
    count = len(names) - 5
    assert count > 2
    assert names == [
        *(f"manifest.{number}" for number in range(count)),
        "run_consistency", "run_complete", "consistency", "complete", "sealed",
    ]  # fmt: skip


@pytest.mark.parametrize("changes", [{}, {"task": ""}, {"vms": LONG}, {"complete": False, "run_consistency": "crash"}])
def test_a_seal_is_what_the_documentation_describes(changes: dict[str, Any]) -> None:
    one = made(**changes)
    properties = written(one)
    values = {name: properties[PREFIX + name] for name in SHORT if PREFIX + name in properties}
    assert ("task" in values) == bool(one.task)
    parts = [value for key, value in one.seal() if key.startswith(MANIFEST)]
    assert sealed_by_hand(values, parts) == properties
    manifest = json.loads(zlib.decompress(base64.b64decode("".join(parts))))
    assert manifest == {"version": 2, "vmware_snapshot": "vmware-zfs 1", "vms": one.vms, "problems": []}


texts = st.text(max_size=80)
vms = st.fixed_dictionaries(
    {"name": texts, "vmx_path": texts, "moid": texts, "level": st.sampled_from(LEVELS), "reason": texts}
)


@given(
    vms=st.lists(vms, max_size=20),
    problems=st.lists(texts, max_size=3),
    consistency=st.sampled_from(LEVELS),
    complete=st.booleans(),
    run_consistency=st.sampled_from(LEVELS),
    run_complete=st.booleans(),
    task=st.text(string.ascii_letters, max_size=8),
)
def test_any_record_is_read_as_it_was_written(vms: list[dict[str, Any]], problems: list[str], **rest: Any) -> None:
    one = made(vms=vms, problems=problems, **rest)
    properties = written(one)
    for key, value in properties.items():
        assert key.startswith(PREFIX) and key.isascii() and key.islower() and len(key) < 256
        assert value.isascii() and value.isprintable() and 0 < len(value) <= 8191
    assert read(properties) == one
    assert globals()["complete"](properties) == one.complete


def test_a_long_manifest_is_spread_over_properties() -> None:
    properties = written(made(vms=LONG))
    parts = [value for key, value in properties.items() if key.startswith(MANIFEST)]
    assert len(parts) > 2 and {len(part) for part in parts[:-1]} == {8191} and len(parts[-1]) <= 8191
    assert read(properties) == made(vms=LONG)
    for number in range(len(parts)):
        assert_crash({**properties, f"{MANIFEST}{number}": ""}, "is damaged")
        assert_crash({key: value for key, value in properties.items() if key != f"{MANIFEST}{number}"}, "is damaged")
    assert_crash({**properties, f"{MANIFEST}0": parts[1], f"{MANIFEST}1": parts[0]}, "is damaged")


def test_what_stands_behind_the_last_part_is_not_read() -> None:
    """A part of an earlier, longer manifest remains. It is read because another record has more parts."""
    properties = written(made())
    assert f"{MANIFEST}1" not in properties
    pool = Pool()
    pool.add(NAME, {**properties, f"{MANIFEST}1": "AAAA"})
    pool.add("tank/long@one", written(made(vms=LONG)))
    assert record.read(pool, list(pool.snapshots)) == {NAME: made(), "tank/long@one": made(vms=LONG)}


# ---- What is not sealed


def test_what_is_not_sealed_is_crash() -> None:
    assert_crash(made().first(), "its record is not complete")
    assert_crash(made().first(plain=True), "taken without VMware (vmware_sync is false)")
    assert not complete(made().first())


@pytest.mark.parametrize("vms", [VMS, LONG])
def test_a_record_of_which_only_a_part_is_written_is_crash(vms: list[dict[str, Any]]) -> None:
    """The process is killed at any point of the seal."""
    seal = made(vms=vms).seal()
    for count in range(len(seal)):
        properties = {**made().first(), **dict(seal[:count])}
        assert_crash(properties, "its record is not complete")
        assert not complete(properties)
    assert complete({**made().first(), **dict(seal)})


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("value", ["", "application", "yes", "another", "Yes", "é"])
def test_a_short_property_that_was_changed_is_crash(name: str, value: str) -> None:
    one = made(complete=False, run_complete=False)
    assert_crash({**written(one), PREFIX + name: value}, "is damaged")
    assert not complete({**written(one), PREFIX + name: value})


def test_a_short_property_that_was_taken_away_or_added_is_crash() -> None:
    for name in SHORT:
        properties = written(made())
        del properties[PREFIX + name]
        if name == "run":  # nothing shows its owner
            pool = Pool()
            pool.add(NAME, properties)
            assert record.read(pool, [NAME]) == {}
        else:
            assert_crash(properties, "is damaged")
        assert not complete(properties)
    assert_crash({**written(made(task="")), PREFIX + "task": "0123"}, "is damaged")


@pytest.mark.parametrize(
    "change",
    [
        lambda seal: "",
        lambda seal: seal[:-1],
        lambda seal: seal + "0",
        lambda seal: seal.upper(),
        lambda seal: "1" + seal[1:],
        lambda seal: "3" + seal[1:],
        lambda seal: seal.replace("2:1:", "2:0:"),
        lambda seal: seal.replace("2:1:", "2:01:"),
        lambda seal: seal.replace("2:1:", "2:-1:"),
        lambda seal: seal.replace("2:1:", "2:2:"),
        lambda seal: seal.replace("2:1:", "2:²:"),
        lambda seal: ":".join([*seal.split(":")[:2], *reversed(seal.split(":")[2:])]),
        lambda seal: "yes",
    ],
)
def test_a_seal_of_another_form_is_crash(change: Any) -> None:
    properties = written(made())
    assert_crash({**properties, SEALED: change(properties[SEALED])}, "is damaged")
    assert not complete({**properties, SEALED: change(properties[SEALED])})


def test_the_seal_of_another_snapshot_does_not_match() -> None:
    """A record was copied manually from a dataset of the same run with a higher level."""
    better, worse = written(made()), written(made(consistency="crash", complete=False))
    assert_crash({**worse, SEALED: better[SEALED]}, "is damaged")
    assert_crash({**worse, **{f"{MANIFEST}0": written(made(vms=[]))[f"{MANIFEST}0"]}}, "is damaged")


@given(st.data())
def test_a_damaged_manifest_never_looks_better_than_none(data: st.DataObject) -> None:
    properties = written(made())
    text = properties[f"{MANIFEST}0"]
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.sampled_from(["", "!", "A", "=", "\udcff", text[at:][::-1]])) + text[at + 1 :]
    if damaged != text:
        assert_crash({**properties, f"{MANIFEST}0": damaged}, "is damaged")


def pack(manifest: Any) -> str:
    return base64.b64encode(zlib.compress(json.dumps(manifest).encode())).decode()


GOOD = {"run": "one", "host": "h", "consistency": "filesystem", "complete": "yes"}
EMPTY = {"version": 2, "vmware_snapshot": "", "vms": [], "problems": []}


def test_a_seal_by_hand_that_is_right_is_believed() -> None:
    """Otherwise the next tests could not fail."""
    found = read(sealed_by_hand(GOOD, [pack(EMPTY)]))
    assert (found.consistency, found.complete, found.sealed, found.problems) == ("filesystem", True, True, [])


@pytest.mark.parametrize(
    "manifest",
    [
        [], "text", None, 7, {}, {**EMPTY, "version": 1}, {**EMPTY, "version": 3}, {**EMPTY, "version": "2"},
        {**EMPTY, "vms": {}}, {**EMPTY, "vmware_snapshot": 5}, {**EMPTY, "vms": ["web"]},
        {**EMPTY, "vms": [{"name": "web"}]}, {**EMPTY, "vms": [{"name": "web", "level": "perfect"}]},
        {**EMPTY, "problems": None},
    ],
)  # fmt: skip
def test_a_manifest_of_another_shape_is_crash_whatever_its_seal(manifest: Any) -> None:
    assert_crash(sealed_by_hand(GOOD, [pack(manifest)]), "is damaged")


@pytest.mark.parametrize("level", ["", "best", "Filesystem"])
def test_an_unknown_level_is_crash_whatever_its_seal(level: str) -> None:
    assert_crash(sealed_by_hand({**GOOD, "consistency": level}, [pack(EMPTY)]), "is damaged")


# ---- Properties that others may have set


def test_only_what_is_the_snapshots_own_counts() -> None:
    """A record that was received with the snapshot counts; one inherited from the dataset does not."""
    properties = written(made())
    assert read(properties, "received") == made() and complete(properties, "received")
    pool = Pool()
    pool.add(NAME, properties, "inherited from tank")
    assert record.read(pool, [NAME]) == {} and not complete(properties, "inherited from tank")
    pool.add(NAME, {})
    assert record.read(pool, [NAME]) == {}
    pool.add(NAME, {key: value for key, value in properties.items() if key != SEALED})
    pool.change(NAME, {SEALED: properties[SEALED]}, "inherited from tank")
    assert not record.read(pool, [NAME])[NAME].sealed


BREAKS = ("x\ny", "x\ty", "\n", "filesystem\tlocal\n" + NAME + f"\t{SEALED}\tforged")


@pytest.mark.parametrize("value", BREAKS)
@pytest.mark.parametrize("key", sorted({*record.KEYS, record.MODE}))
def test_a_value_with_line_breaks_takes_only_its_own_record_away(key: str, value: str) -> None:
    names = [f"tank/{letter}@one" for letter in "abcd"]
    pool = Pool()
    for name in names:
        pool.add(name, written(made(vms=[], vmware_snapshot=name)))
    pool.change(names[2], {key: value})
    found = record.read(pool, names)
    assert list(found) == [name for name in names if name != names[2]]
    assert all(one.sealed and one.vmware_snapshot == name for name, one in found.items())


@pytest.mark.parametrize("value", BREAKS)
def test_a_part_with_line_breaks_damages_only_its_own_record(value: str) -> None:
    names = [f"tank/{letter}@one" for letter in "abcd"]
    pool = Pool()
    for name in names:
        pool.add(name, written(made()))
    pool.change(names[2], {f"{MANIFEST}0": value})
    found = record.read(pool, names)
    assert [name for name in names if found[name].sealed] == [name for name in names if name != names[2]]
    assert "is damaged" in found[names[2]].problems[0] and found[names[2]].consistency == "crash"


def test_a_value_cannot_forge_the_row_of_another_property() -> None:
    """The value of `host` ends its row and begins the rows of a complete record."""
    forged = sealed_by_hand({**GOOD, "host": "h"}, [pack(EMPTY)])
    rows = "".join(f"\tlocal\n{NAME}\t{key}\t{value}" for key, value in forged.items() if key != PREFIX + "host")
    pool = Pool()
    pool.add(NAME, {**made().first(), PREFIX + "host": "h" + rows})
    assert record.read(pool, [NAME]) == {}


@pytest.mark.parametrize("source", ["local", "received"])
def test_held_until_makes_no_finished_record_of_an_unfinished_one(source: str) -> None:
    """It turns a record into one of version 1, which has another manifest."""
    properties = {**written(made()), HELD_UNTIL: str(2**40)}
    del properties[SEALED]
    found = read(properties, source)
    assert (found.consistency, found.complete) == ("crash", False) and "is damaged" in found.problems[0]
    assert read({**written(made()), HELD_UNTIL: str(2**40)}).consistency == "crash"


# ---- Several datasets


def test_the_records_of_many_datasets_take_two_processes() -> None:
    pool = Pool()
    names = [f"tank/{number:03}@one" for number in range(50)]
    ones = {
        name: made(vms=LONG if name == names[7] else VMS, consistency=LEVELS[n % 4]) for n, name in enumerate(names)
    }
    for name, one in ones.items():
        pool.add(name, written(one))
    assert record.read(pool, names) == ones
    assert pool.processes == 2


def test_where_nothing_is_sealed_one_process_is_enough() -> None:
    pool = Pool()
    for name in ("tank/a@one", "tank/b@one"):
        pool.add(name, made().first())
    assert [one.sealed for one in record.read(pool, ["tank/a@one", "tank/b@one"]).values()] == [False, False]
    assert pool.processes == 1


def test_each_record_is_its_own() -> None:
    """Sealed, incomplete, damaged and foreign records, and one of release 1.0.0, together."""
    pool = Pool()
    pool.add("tank/a@one", written(made()))
    pool.add("tank/b@one", made().first())
    pool.add("tank/c@one", {**written(made()), f"{MANIFEST}0": "AAAA"})
    pool.add("tank/d@one", {})
    pool.add("tank/e@one", records_v1.properties("old", vms=VMS))
    names = list(pool.snapshots)
    found = record.read(pool, names)
    assert list(found) == ["tank/a@one", "tank/b@one", "tank/c@one", "tank/e@one"]
    assert [one.sealed for one in found.values()] == [True, False, False, True]
    assert [one.consistency for one in found.values()] == ["filesystem", "crash", "crash", "filesystem"]
    assert [one.version for one in found.values()] == [2, 2, 2, 1]


def test_a_snapshot_that_is_gone_is_reported() -> None:
    pool = Pool()
    pool.add(NAME, written(made()))
    with pytest.raises(DatasetNotFound):
        record.read(pool, [NAME, "tank/gone@one"])


# ---- Completeness for retention


def test_complete_is_what_a_seal_says_of_the_dataset() -> None:
    assert complete(written(made()))
    assert not complete(written(made(complete=False)))
    assert complete(written(made(run_complete=False, run_consistency="crash")))
    assert complete(written(made(consistency="crash")))  # the VM was excluded, so no higher level was required
    assert not complete({})
    assert not complete({PREFIX + "complete": "yes"})
    assert not complete({**made().first(), PREFIX + "complete": "yes", PREFIX + "consistency": "filesystem"})


def test_every_property_is_documented() -> None:
    text = record.__doc__ or ""
    for key in {**made().first(plain=True), **dict(made().seal())}:
        name = key.removeprefix(PREFIX)
        assert re.search(rf"quiesce\.vmware_zfs:{re.escape(name)}\b", text), name
