# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make restore` counts. tests/check/test_readme.py runs it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from . import restore_census
from .demo_stage import Stage
from .restore_census import KINDS, Census, Living
from .restore_demo import Outcome, Restored, count_requests
from .simulator import WAITS

NOTHING: dict[str, list[str]] = {kind: [] for kind in KINDS}
GOOD = Outcome("tank/vmware@a", [Restored("mail", "folder", "application", 9.04, 12, True)], [], NOTHING)


def test_a_good_outcome() -> None:
    assert GOOD.is_good()
    assert GOOD.as_dict() == {
        "vms": [
            {"name": "mail", "way": "folder", "level": "application", "seconds": 9.04, "requests": 12,
             "disk_intact": True}
        ],
        "living_touched": 0,
        "left_behind": {"folders": 0, "clones": 0, "exports": 0, "datastores": 0, "vms": 0, "holds": 0},
    }  # fmt: skip
    assert "Left behind: nothing." in [*GOOD.report()]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (replace(GOOD, vms=[replace(GOOD.vms[0], disk_intact=False)]), "NOT as in the ZFS snapshot"),
        (replace(GOOD, touched=["web"]), "Original VMs that were touched: web."),
        (replace(GOOD, left={**NOTHING, "clones": ["tank/x"], "holds": ["a"]}), "behind: clones: tank/x; holds: a."),
    ],
)
def test_a_bad_outcome_says_what_is_wrong(bad: Outcome, said: str) -> None:
    assert not bad.is_good() and said in "\n".join(bad.report())


def test_what_is_left_is_what_was_not_there_before() -> None:
    nothing: dict[str, frozenset[str]] = dict.fromkeys(KINDS, frozenset())
    before = Census({**nothing, "vms": frozenset({"mail (vm-1)"})})
    after = Census({**nothing, "vms": frozenset({"mail (vm-1)", "copy (vm-2)"}), "holds": frozenset({"b", "a"})})
    assert before.more_than(before) == NOTHING
    assert after.more_than(before) == {**NOTHING, "vms": ["copy (vm-2)"], "holds": ["a", "b"]}


class Lab:
    """A vCenter and a hypervisor with a VM `mail` that has a disk, and a VM `app`."""

    def __init__(self) -> None:
        self.vms = {
            name: {"name": name, "moid": f"vm-{name}", "vmx": f"[vmware] {name}", "power": "on"}
            for name in ("mail", "app")
        }
        self.settings, self.returned, self.writes = {"uuid.bios": "1"}, 0, restore_census.WRITES
        self.stage = cast(Stage, SimpleNamespace(vcenter=self, hypervisor=self))

    def machines(self) -> list[dict[str, Any]]:
        return [dict(vm) for vm in self.vms.values()]

    def call(self, action: str, vmx: str) -> dict[str, Any]:
        assert (action, vmx) == ("show", "[vmware] mail")
        self.returned += self.writes
        return {"settings": dict(self.settings), "returned": self.returned}


def test_a_vm_is_touched_if_it_changes_or_if_its_guest_does_not_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_census, "WRITE_SECONDS", 0.0)
    lab = Lab()
    before = Living.look(lab.stage)
    assert before.touched(lab.stage) == []
    lab.settings["uuid.bios"] = "2"
    assert before.touched(lab.stage) == ["mail"]
    lab.settings["uuid.bios"] = "1"
    lab.vms["app"]["power"] = "off"
    assert before.touched(lab.stage) == ["app"]
    del lab.vms["app"]
    assert before.touched(lab.stage) == ["app"]
    lab = Lab()
    before = Living.look(lab.stage)
    lab.writes = 0
    assert before.touched(lab.stage) == ["mail"]


def test_the_requests_of_a_restore_are_those_from_the_first_change_on() -> None:
    plan, restore = ["Login", "RetrievePropertiesEx"], ["RegisterVM_Task", "RetrievePropertiesEx", "Rename_Task"]
    methods = [*plan, *restore, WAITS[0], "Logout"]
    trace = [{"kind": "call", "method": method} for method in methods]
    assert count_requests([*trace, {"kind": "task", "method": "RegisterVM_Task"}]) == 3
    assert count_requests(trace[:2]) == 0
