# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the judge says of pictures that nobody took: it is to see everything that a restore can leave or touch."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from .restore_judge import KINDS, Delivered, Machine, Picture, compare
from .restore_plan import KINDS as STEP_KINDS
from .restore_plan import OTHERS, WAYS, step_cases

ID = "20261128T170000-abcdef"
WEB = Machine("web", "5001", True, "[main] web/web.vmx", frozenset({"[main] web/web.vmdk"}), ("nightly",))
COPY = Machine(
    "web-restored", "5002", False, "[main] web-restored/web.vmx", frozenset({"[main] web-restored/web.vmdk"})
)
TOP = "tank/vmware-zfs-restores"
BEFORE = Picture(
    {"vm-1": WEB}, frozenset({"main on esxi01: /tank"}), {"tank": "1", "tank/other": "2"}, {"tank@a": "3"},
    frozenset({"tank@a keep"}), frozenset({"/tank rw"}), frozenset({"/tank/web"}), {"/tank/web/web.vmx": "d1"},
)  # fmt: skip


def after(**changes: Any) -> Picture:
    return replace(BEFORE, **changes)


def test_nothing_is_nothing() -> None:
    found = compare(BEFORE, BEFORE)
    assert not (found.words() or found.touched or found.missing)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("folders", {"folders": BEFORE.folders | {f"/tank/.vmware-zfs-{ID}"}}),
        ("clones", {"datasets": {**BEFORE.datasets, f"{TOP}/{ID}/0": "9"}}),
        ("clones", {"datasets": {**BEFORE.datasets, TOP: "9"}}),
        ("exports", {"exports": BEFORE.exports | {f"/{TOP}/{ID}/0 rw"}}),
        ("datastores", {"datastores": BEFORE.datastores | {f"restore-{ID} on esxi01: /{TOP}/{ID}/0"}}),
        ("vms", {"machines": {**BEFORE.machines, "vm-2": COPY}}),
        ("names", {"machines": {"vm-1": replace(WEB, name="web-replaced-2026-11-28")}}),
        ("holds", {"holds": BEFORE.holds | {f"tank@a vmware-zfs-restore-{ID}"}}),
    ],
)
def test_what_is_left_is_counted_by_its_kind(kind: str, changes: dict[str, Any]) -> None:
    found = compare(BEFORE, after(**changes))
    assert {one: len(texts) for one, texts in found.left.items()} == {**dict.fromkeys(KINDS, 0), kind: 1}
    assert not found.touched


def test_a_temporary_name_is_left_beside_its_vm() -> None:
    found = compare(BEFORE, after(machines={"vm-1": WEB, "vm-2": replace(COPY, name=f"web (restore {ID})")}))
    assert len(found.left["vms"]) == len(found.left["names"]) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"machines": {}},
        {"machines": {"vm-1": replace(WEB, on=False)}},
        {"machines": {"vm-1": replace(WEB, instance_uuid="5009")}},
        {"machines": {"vm-1": replace(WEB, vmx="[main] other/web.vmx")}},
        {"machines": {"vm-1": replace(WEB, snapshots=())}},
        {"machines": {"vm-1": replace(WEB, disks=WEB.disks | {"[other] x.vmdk"})}},
        {"machines": {"vm-1": replace(WEB, disks=frozenset())}},
        {"datastores": frozenset()},
        {"datasets": {"tank": "1"}},
        {"datasets": {"tank": "1", "tank/other": "8"}},
        {"snapshots": {}},
        {"snapshots": {"tank@a": "8"}},
        {"holds": frozenset()},
        {"exports": frozenset()},
        {"folders": frozenset()},
        {"gone": frozenset({"/tank/of-somebody"})},
        {"digests": {"/tank/web/web.vmx": "d2"}},
        {"digests": {}},
    ],
)
def test_whatever_happens_to_others_is_seen(changes: dict[str, Any]) -> None:
    found = compare(BEFORE, after(**changes))
    assert len(found.touched) == 1 and not found.words()


# ---- What was handed over


def test_a_copy_that_was_handed_over_belongs_to_the_person() -> None:
    now = after(machines={**BEFORE.machines, "vm-2": COPY}, folders=BEFORE.folders | {"/tank/web-restored"})
    given = Delivered(ID, {"web-restored": "/tank/web-restored"})
    found = compare(BEFORE, now, [given])
    assert not (found.words() or found.touched or found.missing)
    assert "no VM has this name" in compare(BEFORE, BEFORE, [given]).missing[0]
    kept = after(machines={**BEFORE.machines, "vm-2": replace(COPY, snapshots=("vmware-zfs x",))})
    assert "with VMware snapshots" in compare(BEFORE, kept, [given]).missing[0]


def test_a_hold_and_a_marker_are_left_also_if_the_rest_was_handed_over() -> None:
    marker, hold = "/tank/web-restored/.vmware-zfs-restore", f"tank@a vmware-zfs-restore-{ID}"
    now = after(folders=BEFORE.folders | {"/tank/web-restored", marker}, holds=BEFORE.holds | {hold})
    given = Delivered(ID, {"web": "/tank/web-restored"}, clone=True)
    assert compare(BEFORE, now, [given]).words() == [f"folders: {marker}", f"holds: {hold}"]


def test_the_clones_of_another_restore_are_left() -> None:
    there = {**BEFORE.datasets, TOP: "7", f"{TOP}/{ID}": "8", f"{TOP}/{ID}/0": "9"}
    given = [Delivered(ID, clone=True)]
    assert compare(BEFORE, after(datasets=there), given).words() == []
    other = {**there, f"{TOP}/another/0": "10"}
    assert compare(BEFORE, after(datasets=other), given).words() == [f"clones: {TOP}/another/0"]


def test_a_disk_that_was_handed_over_is_at_its_holder_only() -> None:
    now = after(machines={"vm-1": replace(WEB, disks=WEB.disks | {f"[restore-{ID}] web/web.vmdk"})})
    assert compare(BEFORE, now, [Delivered(ID, holder="web", clone=True)]).touched == []
    assert compare(BEFORE, now, [Delivered(ID, holder="db", clone=True)]).touched


def test_a_vm_that_was_replaced_is_off_and_aside() -> None:
    aside = replace(WEB, name="web-replaced-2026-11-28", on=False)
    copy = replace(COPY, name="web")
    now = after(machines={"vm-1": aside, "vm-2": copy}, folders=BEFORE.folders | {"/tank/web-2"})
    given = Delivered(ID, {"web": "/tank/web-2"}, frozenset({"web"}))
    found = compare(BEFORE, now, [given])
    assert not (found.words() or found.touched or found.missing)
    assert compare(BEFORE, replace(now, machines={"vm-1": aside, "vm-2": copy}), []).left["names"]


# ---- What is played


def test_every_kind_of_step_is_killed_before_and_after_each_write() -> None:
    names = [name for name, _maker in step_cases()]
    assert len(set(names)) == len(names)
    for kind in STEP_KINDS:
        for side in ("before", "after"):
            assert {f"restore intend:{kind}:{side}", f"restore done:{kind}:{side}"} <= set(names)


@pytest.mark.parametrize("seed", range(20))
def test_every_case_can_be_drawn(seed: int) -> None:
    rng = random.Random(seed)
    drawn = [maker(rng) for maker in (*(maker for _name, maker in step_cases()), *OTHERS)]
    assert {case.way for case in drawn} == {*WAYS, "drill"}
    assert all(case.faults or case.kill_end_at for case in drawn)
