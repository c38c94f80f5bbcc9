# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the judge says of records that nobody wrote: it is to see every way in which one can say too much."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import zlib
from collections.abc import Collection
from typing import Any

import pytest

from . import judge
from .judge import PREFIX, Taken
from .truth import Place, Span, Truth

MAIN, NESTED = "tank/lab", "tank/lab/nested"
TOGETHER = frozenset((MAIN, NESTED))
Asked = dict[str, str]
RUNNING = ("web", "db", "ledger")
TAKEN = Taken(10.0, 10.5, TOGETHER)


def place(vm: str, home: str, begin: float = 0.0, end: float = 0.0, **disks: str) -> Place:
    """`disks`: _2000="tank/lab" and so on; one beside the home if there are none."""
    return Place(begin, end, vm, home, {int(key[1:]): value for key, value in disks.items()} or {2000: home})


def held(snapshot: str, vm: str, made: float = 5.0, gone: float = 20.0) -> list[dict[str, Any]]:
    """The trace of a VM's hold."""
    task = {"kind": "task", "snapshot": snapshot, "vm_name": vm, "fault": ""}
    return [
        {**task, "method": "CreateSnapshotEx_Task", "event": "finished", "time": made, "quiesced": True},
        {**task, "method": "RemoveSnapshot_Task", "event": "started", "time": gone},
    ]


def truth(*places: Place, gone: float = 20.0, running: Collection[str] = RUNNING, asked: Asked | None = None) -> Truth:
    """web and db on MAIN, db with a second disk elsewhere, ledger on NESTED; each is held until `gone`."""
    trace = [entry for vm in ("web", "db", "ledger") for entry in held(f"snap-{vm}", vm, gone=gone)]
    home = [place("web", MAIN), place("db", MAIN, _2000=MAIN, _2001=""), place("ledger", NESTED)]
    return Truth(trace, set(running), [], {"db"}, [*home, *places], asked or {})


def entry(vm: str, level: str, disks: dict[int, list[str]] | None = None) -> dict[str, Any]:
    listed = {"web": {2000: [MAIN]}, "db": {2000: [MAIN], 2001: []}, "ledger": {2000: [NESTED]}}.get(vm, {})
    return {
        "name": vm,
        "level": level,
        "vmware_snapshot_moid": f"snap-{vm}",
        "disks": [{"key": key, "datasets": datasets} for key, datasets in (disks or listed).items()],
    }


BARE = {"run": "r1", "host": "h1", "consistency": "crash", "complete": "no", "createtxg": "7", "creation": "10"}


def parts(manifest: dict[str, Any], size: int) -> dict[str, str]:
    text = base64.b64encode(zlib.compress(json.dumps(manifest).encode())).decode()
    return {f"manifest.{n}": text[n * size : n * size + size] for n in range(-(-len(text) // size))}


def sealed(*vms: dict[str, Any], size: int = 8191, **values: str) -> dict[str, str]:
    """A record with its seal, as the specification of version 2 says."""
    record = {**BARE, "run_consistency": "filesystem", "run_complete": "yes", "complete": "yes"}
    record |= {"consistency": "filesystem", **values}
    manifest = parts({"version": 2, "vmware_snapshot": "s", "problems": [], "vms": list(vms)}, size)
    digest = hashlib.sha256("".join(manifest.values()).encode()).hexdigest()
    signed = {key: record.get(key, "") for key in judge._SIGNED} | {"manifest": f"{len(manifest)}:{digest}"}
    text = json.dumps(signed, separators=(",", ":"), sort_keys=True)
    seal = f"2:{len(manifest)}:{digest}:{hashlib.sha256(text.encode()).hexdigest()}"
    return {**record, **manifest, "sealed": seal}


GOOD = (entry("web", "filesystem"), entry("db", "application"))


def said(values: dict[str, str], real: Truth | None = None, taken: Taken | None = TAKEN, of: str = MAIN) -> str:
    return "\n".join(judge.too_good(f"{of}@a", values, taken, real or truth()))


# ---- One record


def test_a_sealed_record_that_is_true_is_in_order() -> None:
    assert said(sealed(*GOOD)) == ""
    assert said(sealed(entry("ledger", "filesystem")), of=NESTED) == ""
    assert said(sealed(*GOOD, task="nightly", size=50)) == ""
    assert judge.is_sealed(sealed(*GOOD, size=50))


def test_an_unsealed_record_is_crash() -> None:
    assert said(BARE) == said(BARE, taken=None) == ""
    for better in ({"consistency": "filesystem"}, {"complete": "yes"}):
        assert "nothing of a seal is there" in said({**BARE, **better})
    assert not judge.is_sealed(BARE)


def test_what_is_no_record_says_nothing() -> None:
    assert said({"createtxg": "7", "creation": "10"}) == ""
    assert said({**BARE, "mode": "plain"}) == ""
    assert "without VMware" in said({**sealed(*GOOD), "mode": "plain"})


def test_complete_is_judged_by_what_the_policies_ask_and_not_by_the_record() -> None:
    crash = sealed({**entry("web", "crash"), "accept": "crash"}, entry("db", "application"), consistency="crash")
    crash["run_consistency"] = "crash"
    assert "is said to be complete" in said(crash), "no policy accepts it"
    accepted = sealed(*(entry(vm, "crash") for vm in ("web", "db")), consistency="crash", run_consistency="crash")
    assert said(accepted, truth(asked={"web": "crash", "db": "crash", "ledger": "crash"})) == ""
    assert "is said to be complete" in said(sealed(*GOOD), truth(asked={"web": "application"})), (
        "web is only at filesystem"
    )
    assert "is said to be complete" in said(sealed(*GOOD), truth(asked={"*": "application"}))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"manifest.1": ""}, "parts"),
        ({"manifest.99": "x"}, "parts"),
        ({"manifest.0": "x" * 50}, "another manifest"),
        ({"consistency": "application"}, "other short properties"),
        ({"run": "r2"}, "other short properties"),
        ({"task": "nightly"}, "other short properties"),
        ({"sealed": "3:1:a:b"}, "`sealed` is"),
        ({"sealed": "2:1"}, "`sealed` is"),
    ],
)
def test_a_seal_that_does_not_match_the_rest_is_a_violation(change: dict[str, str], problem: str) -> None:
    values = {**sealed(*GOOD, size=50), **change}
    values = {key: value for key, value in values.items() if value}
    assert "the seal does not match" in said(values) and problem in said(values)
    assert not judge.is_sealed(values)


def test_a_seal_that_was_written_first_is_a_violation() -> None:
    whole = sealed(*GOOD, size=50)
    first = {**BARE, "sealed": whole["sealed"]}
    assert "the seal does not match" in said(first)
    # Parts that were written first are nothing bad, as far as they have come.
    keys = [key for key in whole if key.startswith("manifest.")]
    for count in range(len(keys)):
        assert said({**BARE, **{key: whole[key] for key in keys[:count]}}) == ""
    assert said({key: value for key, value in whole.items() if key != "sealed"}) == ""


def test_a_part_is_no_longer_than_a_property() -> None:
    noise = [{**entry("web", "filesystem"), "noise": random.Random(1).randbytes(9000).hex()}]
    assert said(sealed(*noise, entry("db", "application"))) == ""
    assert "is longer than 8191" in said(sealed(*noise, entry("db", "application"), size=8192))


# ---- The truth of each dataset


def test_a_vm_that_was_not_held_lowers_its_own_dataset_and_the_whole_run() -> None:
    real = truth()
    real.trace = [one for one in real.trace if one["vm_name"] != "ledger"]
    found = said(sealed(*GOOD), real)
    assert found == f"the run of {MAIN}@a is said to be filesystem, but {_levels(real)}\n" + (
        f"the run of {MAIN}@a is said to be complete, but {_levels(real)}"
    )
    assert said(sealed(*GOOD, run_consistency="crash", run_complete="no"), real) == ""
    of_nested = said(sealed(entry("ledger", "filesystem")), real, of=NESTED)
    assert "ledger is said to be filesystem" in of_nested and f"{NESTED}@a is said to be complete" in of_nested


def _levels(real: Truth) -> list[tuple[str, str]]:
    return sorted((vm, real.best_level(vm, TAKEN.span)) for vm in ("web", "db", "ledger"))


def test_a_removal_that_began_before_the_snapshot_was_there_is_crash() -> None:
    assert "the removal of snap-web began" in said(sealed(*GOOD), truth(gone=10.4))
    assert said(sealed(*GOOD), truth(gone=10.6)) == ""


def test_a_vm_that_is_there_and_not_listed_counts_as_crash() -> None:
    assert f"{MAIN}@a is said to be filesystem" in said(sealed(entry("web", "filesystem")))
    assert said(sealed(entry("web", "filesystem")), truth(running=("web", "ledger"))) == ""  # it is off


def test_a_record_is_no_better_than_what_it_lists() -> None:
    assert "is said to be filesystem" in said(sealed(*GOOD, entry("other", "crash")))
    assert "other is said to be still" in said(sealed(*GOOD, entry("other", "still")))


def test_a_level_that_nobody_knows() -> None:
    assert "is said to be 'perfect'" in said(sealed(*GOOD, consistency="perfect"))
    assert "cannot be read" in said(sealed({"level": "crash"}))
    assert "no name or no level" in said(sealed({**entry("web", "perfect")}))


# ---- Disks that move


def test_where_files_lie_goes_by_time() -> None:
    real = truth(place("web", "", begin=9.0, end=9.5), place("web", NESTED, begin=10.2, end=10.3))
    assert [one.home for one in real.places_of("web", Span(1.0, 2.0))] == [MAIN]
    assert [one.home for one in real.places_of("web", Span(9.6, 10.0))] == [""]
    assert [one.home for one in real.places_of("web", TAKEN.span)] == ["", NESTED]
    assert [one.home for one in real.places_of("web", Span(9.2, 9.4))] == [MAIN, ""]
    assert real.on({MAIN}, Span(9.6, 10.0)) == {"db"}
    assert real.on({NESTED}, TAKEN.span) == {"ledger", "web"}


def test_a_disk_that_moved_while_the_snapshot_was_taken_is_crash() -> None:
    moved = truth(place("db", MAIN, begin=10.1, end=10.2, _2000="", _2001=""))
    assert "db is said to be application, but its files moved meanwhile" in said(sealed(*GOOD), moved)


def test_a_disk_that_had_gone_before_is_not_said_to_be_there() -> None:
    gone = truth(place("db", MAIN, begin=6.0, end=7.0, _2000="", _2001=""))
    assert "the disks of db are said to be on" in said(sealed(*GOOD), gone)
    as_it_is = (entry("web", "filesystem"), entry("db", "application", {2000: [], 2001: []}))
    assert said(sealed(*as_it_is), gone) == ""


def test_a_disk_may_be_listed_by_its_places() -> None:
    db = entry("db", "application")
    db["disks"] = [{"key": 2000, "places": [MAIN]}, {"key": 2001, "places": ["the datastore local"]}]
    assert said(sealed(entry("web", "filesystem"), db)) == ""


def test_a_vm_whose_disk_came_is_part_of_it() -> None:
    visitor = [place("visitor", ""), place("visitor", "", begin=8.0, end=8.5, _2000=MAIN)]
    came = truth(*visitor, running=("web", "db", "ledger", "visitor"))
    assert f"{MAIN}@a is said to be filesystem" in said(sealed(*GOOD), came)
    assert f"the run of {NESTED}@a is said" in said(sealed(entry("ledger", "filesystem")), came, of=NESTED)
    low = sealed(entry("ledger", "filesystem"), run_consistency="crash", run_complete="no")
    assert said(low, came, of=NESTED) == ""


# ---- Version 1


def version_1(held_until: int, *vms: dict[str, Any], **values: str) -> dict[str, str]:
    manifest = {"version": 1, "vmware_snapshot": "s", "problems": [], "vms": list(vms)}
    record = {**BARE, "consistency": "filesystem", "complete": "yes", "held_until": str(held_until), **values}
    return {**record, **parts(manifest, 8191)}


def old(vm: str, level: str) -> dict[str, Any]:
    return {"name": vm, "level": level, "vmware_snapshot_moid": f"snap-{vm}"}


def test_version_1_is_about_the_whole_run_while_it_was_held() -> None:
    everybody = (old("web", "filesystem"), old("db", "application"), old("ledger", "filesystem"))
    assert said(version_1(10, *everybody)) == ""
    assert said(version_1(9, *everybody), taken=None) == ""  # it came too late, and counts as crash
    assert "snap-web was not made" in said(version_1(10, *everybody), taken=None)
    assert f"{MAIN}@a is said to be filesystem" in said(version_1(10, *everybody[:2]))
    assert "cannot be read" in said({**version_1(10, *everybody), "manifest.0": "!"})


# ---- Dumps


def rows(name: str, values: dict[str, str]) -> str:
    plain = ("createtxg", "creation")
    return "".join(
        f"{name}\t{key if key in plain else PREFIX + key}\t{value}\t{'-' if key in plain else 'local'}\n"
        for key, value in values.items()
    )


TAKE = [
    ("begin", 10.0, f"{MAIN}@a {NESTED}@a"),
    ("end", 10.4, f"0 {MAIN}@a {NESTED}@a"),
    ("dump", 10.6, "00001 snapshot"),
]


def of_dumps(diary: list[tuple[str, float, str]], dumps: dict[str, str], real: Truth | None = None) -> str:
    """What is said of dumps that are called d1, d2 and so on."""
    numbered = {key.removeprefix("d").zfill(5): text for key, text in dumps.items()}
    return "\n".join(judge.judge_dumps(judge.observe(diary, numbered), real or truth()))


def test_a_sound_run_as_each_command_left_it() -> None:
    diary = [*TAKE, ("dump", 12.0, "00002 program 0"), ("seen", 99.0, f"{MAIN}@a"), ("dump", 99.0, "00003 the end")]
    seal = sealed(*GOOD)
    dumps = {"d1": rows(f"{MAIN}@a", BARE), "d2": rows(f"{MAIN}@a", seal), "d3": rows(f"{MAIN}@a", seal)}
    assert of_dumps(diary, dumps) == ""
    seen = judge.observe(diary, {"00001": dumps["d1"]})
    assert [(one.name, one.taken) for one in seen] == [(f"{MAIN}@a", Taken(10.0, 10.4, TOGETHER))]


def test_what_was_wrong_in_between_is_told_once() -> None:
    diary = [*TAKE, ("dump", 11.0, "00002 program 0"), ("dump", 12.0, "00003 the end")]
    dumps = {"d1": rows(f"{MAIN}@a", sealed(*GOOD)), "d2": rows(f"{MAIN}@a", BARE)}
    found = of_dumps(diary, dumps, truth(gone=10.1)).splitlines()
    assert any("was changed after it had been sealed" in text for text in found)
    assert all(text.endswith(("first in dump 00001 (snapshot)", "first in dump 00002 (program 0)")) for text in found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("change", [{"consistency": "application"}, {"run": "r2"}, {"sealed": ""}])
def test_a_sealed_record_does_not_change(change: dict[str, str]) -> None:
    later = {key: value for key, value in {**sealed(*GOOD), **change}.items() if value}
    diary = [*TAKE, ("dump", 12.0, "00002 program 0")]
    found = of_dumps(diary, {"d1": rows(f"{MAIN}@a", sealed(*GOOD)), "d2": rows(f"{MAIN}@a", later)})
    assert f"{MAIN}@a was changed after it had been sealed: {next(iter(change))}" in found


def test_a_name_that_somebody_recreated_is_another_snapshot() -> None:
    again = {**BARE, "createtxg": "9"}
    diary = [
        *TAKE,
        ("recreated", 21.0, f"{MAIN}@a"),
        ("dump", 22.0, "00002 somebody"),
        ("dump", 23.0, "00003 program 0"),
    ]
    dumps = {"d1": rows(f"{MAIN}@a", sealed(*GOOD)), "d2": rows(f"{MAIN}@a", again)}
    assert of_dumps(diary, {**dumps, "d3": rows(f"{MAIN}@a", again)}) == ""
    found = of_dumps(diary, {**dumps, "d3": rows(f"{MAIN}@a", {**sealed(*GOOD), "createtxg": "9"})})
    assert "the removal of snap-web began at 20.000, before 22.000" in found
    assert "was changed" not in found


def test_a_snapshot_that_was_renamed_is_still_the_same() -> None:
    diary = [*TAKE, ("renamed", 11.0, f"{MAIN}@a {MAIN}@b"), ("dump", 99.0, "00002 the end")]
    for first in (rows(f"{MAIN}@a", BARE), ""):  # also when no dump had seen it before
        assert of_dumps(diary, {"d1": first, "d2": rows(f"{MAIN}@b", sealed(*GOOD))}) == ""
        assert judge.observe(diary, {"00002": rows(f"{MAIN}@b", BARE)})[0].taken == Taken(10.0, 10.4, TOGETHER)


def test_a_snapshot_that_nobody_saw_in_time_has_no_level() -> None:
    diary = [TAKE[0], ("dump", 30.0, "00001 the end")]
    assert "before 30.000" in of_dumps(diary, {"d1": rows(f"{MAIN}@a", sealed(*GOOD))})
    assert of_dumps(diary, {"d1": rows(f"{MAIN}@a", BARE)}) == ""
    unknown = of_dumps([("dump", 30.0, "00001 the end")], {"d1": rows(f"{MAIN}@a", sealed(*GOOD))})
    assert "was not made and quiesced before 0.000" in unknown


def test_a_dump_that_is_not_there_shows_nothing() -> None:
    assert judge.observe(TAKE, {}) == []
    assert judge.parse_dump("a line\nx@y\tquiesce.vmware_zfs:run\n") == {}
