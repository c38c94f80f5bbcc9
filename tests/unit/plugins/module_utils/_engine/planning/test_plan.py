# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on each VM and on the whole run, as pure functions of the state of the VMs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import ConnectionFailed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.matching.match import Match
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning import plan as planning
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.plan import Plan, make_plan
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.problem import Problem
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.server_logins import ServerLogin
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Policy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.quiesce import Hold
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credential
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import Datastore
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vms import Disk, Vm

WEB = Vm(
    moid="vm-1", name="web", instance_uuid="5029-1", vmx_path="[ds] web/web.vmx", host_moid="host-1", power="poweredOn",
    template=False, connected=True, readable=True, guest="linux", tools="running",
    disks=(Disk("Hard disk 1", (("ds-1", "web/web.vmdk"),), False),), consolidation_needed=False, obstacles=(),
)  # fmt: skip


AWAY = Problem("b.lab cannot be reached.")
OFF = (("ds-1", "off/off.vmdk"),)


class Session:
    endpoint = "vcenter.lab"

    def __init__(self, server_id: str = "1234") -> None:
        self.server_id = server_id


class Watch:
    """Replaces the watch on the datastores."""

    def __init__(self, *vms: Vm) -> None:
        self._vms = vms

    def vms(self) -> list[Vm]:
        return list(self._vms)


def login(*matched: tuple[str, tuple[tuple[str, str], ...]], server_id: str = "1234") -> ServerLogin:
    """A login. For each datastore (ID): its (folder, dataset) pairs."""
    session: Any = Session(server_id)
    matches = {
        moid: Match(
            Datastore(moid, moid, "DC0", "NFS", ("10.0.2.15",), f"/{moid}", True, "vcenter.lab"),
            "",
            "root",
            "",
            folders,
        )
        for moid, folders in matched
    }
    return ServerLogin(session, [Credential("vcenter.lab", "root", "tank/a", id=7)], matches=matches)


ONE = (("ds-1", (("", "tank/a"), ("deep", "tank/a/deep"))), ("ds-2", (("", "tank/b"),)), ("ds-3", ()))


def plan(
    monkeypatch: pytest.MonkeyPatch,
    *vms: Vm,
    logins: tuple[ServerLogin, ...] = (),
    problems: tuple[Problem, ...] = (),
    **policy: Any,
) -> Plan:
    monkeypatch.setattr(planning, "VmWatch", lambda session, datastores, more: Watch(*vms))
    request = Request("tank/a", "one", policy=Policy(**policy))
    return make_plan(request, ["tank/a"], logins or (login(*ONE),), problems)


def test_a_vm_that_is_off_is_not_still_while_a_running_one_has_its_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    off = replace(WEB, moid="vm-2", name="off", power="poweredOff", disks=(Disk("Hard disk 1", OFF, False),))
    rescue = replace(WEB, disks=(*WEB.disks, Disk("Hard disk 2", OFF, False, 2001)))
    found = {one.name: one for one in plan(monkeypatch, off, rescue).members}
    assert found["off"].reason == "its Hard disk 1 is attached to the running VM 'web'"
    assert (found["off"].level, found["off"].action, found["web"].level) == ("crash", "nothing", "filesystem")
    for other in (
        replace(rescue, power="poweredOff"),
        # A linked clone and a VM with a snapshot write to a separate file.
        replace(WEB, disks=(*WEB.disks, Disk("Hard disk 2", (("ds-1", "web/delta.vmdk"), *OFF), False, 2001))),
    ):
        assert {one.name: one.level for one in plan(monkeypatch, off, other).members}["off"] == "still"


def test_a_suspended_vm_whose_memory_is_elsewhere_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be resumed from the ZFS snapshot. Its disks alone are as after a power cut."""
    asleep = replace(WEB, power="suspended", snapshot_directory="[ds-2] memory/")
    found = plan(monkeypatch, asleep)
    assert found.members[0].reason == "it is suspended, and its memory is on tank/b, which is not in the ZFS snapshot"
    assert (found.best_level(), found.can_be_complete()) == ("crash", False)


@pytest.mark.parametrize(
    ("changes", "action", "level", "hindrance"),
    [
        ({}, "quiesce", "filesystem", ""),
        ({"guest": "windows server"}, "quiesce", "application", ""),
        ({"guest": "windows"}, "quiesce", "filesystem", ""),
        ({"guest": "other"}, "quiesce", "crash", ""),
        ({"tools": "not running"}, "snapshot", "crash", "quiesce"),
        ({"tools": "not installed"}, "snapshot", "crash", "quiesce"),
        ({"obstacles": ("it has a PCI passthrough device",)}, "nothing", "crash", "vm"),
        ({"connected": False}, "nothing", "crash", "vm"),
        ({"connected": False, "power": "poweredOff"}, "nothing", "crash", "vm"),
        ({"readable": False, "disks": ()}, "nothing", "crash", "vm"),
        ({"power": "poweredOff"}, "nothing", "still", ""),
        ({"power": "poweredOff", "obstacles": ("fault tolerance is on",)}, "nothing", "still", ""),
        ({"power": "suspended"}, "nothing", "still", ""),
        ({"power": "suspended", "snapshot_directory": "[ds-1] memory/"}, "nothing", "still", ""),
        ({"power": "suspended", "snapshot_directory": "[ds-2] memory/"}, "nothing", "crash", ""),
        ({"power": "suspended", "snapshot_directory": "[ds-3] memory/"}, "nothing", "crash", ""),
        ({"power": "poweredOff", "snapshot_directory": "[ds-2] memory/"}, "nothing", "still", ""),
        ({"template": True}, "nothing", "still", ""),
        ({"disks": (replace(WEB.disks[0], independent=True),)}, "quiesce", "crash", ""),
        ({"power": "poweredOff", "disks": (replace(WEB.disks[0], independent=True),)}, "nothing", "still", ""),
    ],
)  # fmt: skip
def test_the_verdict_on_a_vm(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], action: str, level: str, hindrance: str
) -> None:
    (member,) = plan(monkeypatch, replace(WEB, **changes)).members
    assert (member.action, member.level, member.hindrance) == (action, level, hindrance)
    assert (member.reason != "") == (level in ("crash", "still")), member.reason
    fail: Any = "fail"
    refused = {
        hindrance: bool(plan(monkeypatch, replace(WEB, **changes), **{option: fail}).refusals)
        for hindrance, option in (("quiesce", "on_quiesce_failure"), ("vm", "on_vm_failure"))
    }
    assert refused == {name: name == hindrance for name in ("quiesce", "vm")}


@pytest.mark.parametrize("choice", ["skip", "fail"])
def test_a_vm_without_tools_is_left_alone_unless_crash_consistency_will_do(
    monkeypatch: pytest.MonkeyPatch, choice: str
) -> None:
    (member,) = plan(monkeypatch, replace(WEB, tools="not running"), on_quiesce_failure=choice).members
    assert member.action == "nothing"


@pytest.mark.parametrize("entry", ["web", "w*", "[vw]eb", "vm-1", "5029-1"])
def test_an_excluded_vm_lowers_the_whole_but_nobody_asked_for_more(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    planned = plan(monkeypatch, WEB, exclude_vms=("other", entry))
    (member,) = planned.members
    assert (member.action, member.level, member.excluded) == ("nothing", "crash", True) and entry in member.reason
    assert planned.best_level() == "crash" and planned.can_be_complete()


@pytest.mark.parametrize(
    ("name", "entry"),
    [("web [old]", "web [old]"), ("web [old]", "web [[]old]"), ("WEB*", "WEB*"), ("web", "5029-ABCD"), ("web", "*")],
)
def test_an_entry_names_a_vm_as_it_is_written_too(monkeypatch: pytest.MonkeyPatch, name: str, entry: str) -> None:
    """Names in vSphere may contain brackets, and UUIDs may be in upper or lower case."""
    named = replace(WEB, name=name, instance_uuid="5029-abcd")
    assert plan(monkeypatch, named, exclude_vms=(entry,)).members[0].action == "nothing"


@pytest.mark.parametrize("change", [{}, {"power": "poweredOff"}, {"template": True}, {"readable": False, "disks": ()}])
def test_an_entry_of_exclude_vms_that_matches_nothing_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    """An entry with a typing error does not exclude its VM. Entries for VMs that are off or elsewhere are correct."""
    other = replace(WEB, moid="vm-2", name="other", disks=(replace(WEB.disks[0], files=(("ds-2", "b/b.vmdk"),)),))
    entries = ("scartch-*", "web", "w*", "vm-1", "5029-1", "other", "vm-3")
    planned = plan(monkeypatch, replace(WEB, **change), other, exclude_vms=entries)
    assert planned.warnings == (
        "exclude_vms has 'scartch-*', which matches no VM on tank/a; correct or remove the entry.",
        "exclude_vms has 'vm-3', which matches no VM on tank/a; correct or remove the entry.",
    )
    assert not planned.problems and not planned.refusals


def test_where_a_server_is_away_the_warning_says_what_it_rests_on(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan(monkeypatch, WEB, problems=(AWAY,), exclude_vms=("elsewhere",))
    assert planned.warnings == (
        "exclude_vms has 'elsewhere', which matches no VM on tank/a (not all servers could be queried); "
        "correct or remove the entry.",
    )


@pytest.mark.parametrize("entry", ["WEB", "we", "eb", "vm-10", ""])
def test_what_names_another_vm_excludes_none(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    assert plan(monkeypatch, WEB, exclude_vms=(entry,)).members[0].action == "quiesce"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([[("ds-1", "web/web.vmdk")]], ()),
        ([[("ds-1", "web/web.vmdk")], [("ds-2", "web/web_1.vmdk")]], ("tank/b",)),
        ([[("ds-1", "web/web.vmdk")], [("ds-3", "web/web_1.vmdk")]], ("the datastore ds-3",)),
        ([[("ds-1", "web/web.vmdk")], [("ds-9", "web/web_1.vmdk")]], ("the datastore ds-9",)),
        ([[("ds-2", "web/web-000001.vmdk"), ("ds-1", "web/web.vmdk")]], ("tank/b",)),
        ([[("ds-2", "web/web.vmdk")]], None),
        ([[("ds-1", "deep/web.vmdk")]], ("tank/a/deep",)),  # the mount may not cross into it
        ([[("ds-1", "deeper/web.vmdk")]], ()),
        ([], None),
    ],
)
def test_membership_is_where_the_disks_lie(
    monkeypatch: pytest.MonkeyPatch, files: list[list[tuple[str, str]]], expected: tuple[str, ...] | None
) -> None:
    disks = tuple(Disk(f"Hard disk {number}", tuple(chain), False) for number, chain in enumerate(files, 1))
    planned = plan(monkeypatch, replace(WEB, disks=disks))
    assert [member.spans for member in planned.members] == ([] if expected is None else [expected])


def test_an_independent_disk_elsewhere_lowers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    disks = (WEB.disks[0], Disk("Hard disk 2", (("ds-2", "web/web_1.vmdk"),), True))
    assert plan(monkeypatch, replace(WEB, disks=disks)).members[0].level == "filesystem"


def test_a_server_under_two_names_counts_once_and_two_servers_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(plan(monkeypatch, WEB, logins=(login(*ONE), login(*ONE))).members) == 1
    assert len(plan(monkeypatch, WEB, logins=(login(*ONE), login(*ONE, server_id="5678"))).members) == 2


def test_a_sentence_of_two_problems_forbids_a_run_as_two(monkeypatch: pytest.MonkeyPatch) -> None:
    both = (AWAY, Problem("c.lab cannot be reached.", frozenset({"tank/a"})))
    assert plan(monkeypatch, problems=both, on_vm_failure="fail").refusals == tuple(one.text for one in both)


def test_problems_lower_the_whole_and_can_forbid_it(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan(monkeypatch, WEB, problems=(AWAY,))
    assert (planned.best_level(), planned.can_be_complete(), planned.refusals) == ("crash", False, ())
    refused = plan(monkeypatch, WEB, problems=(AWAY,), on_vm_failure="fail")
    assert refused.refusals == ("b.lab cannot be reached.",)


def test_a_server_that_cannot_list_its_vms_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(Watch):
        def vms(self) -> list[Vm]:
            raise ConnectionFailed("vcenter.lab cannot be reached", "Check the network")

    monkeypatch.setattr(planning, "VmWatch", lambda session, datastores, more: Away())
    planned = make_plan(Request("tank/a", "one"), ["tank/a"], [login(*ONE)], [])
    problem = Problem("vcenter.lab cannot be reached; check the network.", frozenset({"tank/a"}))
    assert planned.problems == (problem,), "it concerns those datasets of the run that its datastores are on"
    assert planned.best_level() == "crash" and not planned.can_be_complete()


def test_nothing_at_all_is_still(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan(monkeypatch)
    assert (planned.best_level(), planned.can_be_complete(), planned.snapshots) == ("still", True, ("tank/a@one",))


def test_the_looks_go_on_with_what_the_plan_has_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def begin(session: Any, datastores: list[str], more: list[str]) -> Watch:
        asked.append(datastores)
        return Watch(WEB)

    monkeypatch.setattr(planning, "VmWatch", begin)
    one = login(*ONE)
    make_plan(Request("tank/a", "one"), ["tank/a"], [one], [])
    assert isinstance(one.watch, Watch) and asked == [["ds-1"]], "only the datastores on the datasets are watched"


# ---- Where the files of a VM are

ISO = frozenset({"ds-1"})


@pytest.mark.parametrize(
    ("changes", "datasets", "spans"),
    [
        ({}, ("tank/a",), ()),
        # the .vmx is on the run's dataset, the disk on another
        ({"disks": (Disk("1", (("ds-2", "web.vmdk"),), False),)}, ("tank/a",), ("tank/b",)),
        ({"vmx_path": "[ds-2] web/web.vmx"}, ("tank/a",), ("tank/b",)),
        ({"vmx_path": "[ds-1] deep/web.vmx"}, ("tank/a",), ("tank/a/deep",)),
        ({"vmx_path": "[ds-9] web/web.vmx"}, ("tank/a",), ()),  # a datastore that this login does not see
        # delta and swap files are in workingDir
        ({"snapshot_directory": "[ds-2] web/"}, ("tank/a",), ("tank/b",)),
        ({"snapshot_directory": "[ds-3] web/"}, ("tank/a",), ("the datastore ds-3",)),
        # a parent of a linked clone
        ({"disks": (Disk("1", (("ds-1", "a"), ("ds-3", "b")), False),)}, ("tank/a",), ("the datastore ds-3",)),
        # another file, such as a swap file: it may be on any dataset of that datastore
        ({"datastores": frozenset({"ds-1", "ds-2"})}, ("tank/a",), ("tank/b",)),
        ({"datastores": frozenset({"ds-1", "ds-3"})}, ("tank/a",), ()),
        # an image in a virtual drive does not count as a file of the VM
        ({"datastores": frozenset({"ds-1", "ds-2"}), "images": frozenset({"ds-2"})}, ("tank/a",), ()),
    ],
)  # fmt: skip
def test_a_vm_is_where_its_files_are(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], datasets: tuple[str, ...], spans: tuple[str, ...]
) -> None:
    seen = replace(WEB, **{"vmx_path": "[ds-1] web/web.vmx", "datastores": frozenset({"ds-1"}), **changes})
    (member,) = plan(monkeypatch, seen).members
    assert (member.datasets, member.spans) == (datasets, spans)


def test_a_vm_with_nothing_but_an_image_there_is_no_member(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = (Disk("Hard disk 1", (("ds-3", "web/web.vmdk"),), False),)
    with_image = replace(WEB, vmx_path="[ds-3] web/web.vmx", disks=elsewhere, datastores=ISO | {"ds-3"}, images=ISO)
    assert plan(monkeypatch, with_image).members == ()
    assert len(plan(monkeypatch, replace(with_image, images=frozenset())).members) == 1, "a swap file, perhaps"


def test_a_vm_whose_disks_cannot_be_read_may_be_on_any_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    (member,) = plan(monkeypatch, replace(WEB, readable=False, disks=(), datastores=frozenset({"ds-1"}))).members
    assert member.datasets == () and Hold.planned(member).is_on("tank/other")
    (known,) = plan(monkeypatch, WEB).members
    assert Hold.planned(known).is_on("tank/a") and not Hold.planned(known).is_on("tank/a/deep")


def test_each_disk_is_kept_as_it_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The looks compare with it, and a restore needs it."""
    chain = (("ds-1", "web/web-1.vmdk"), ("ds-2", "web/web.vmdk"))
    seen = (Disk("Hard disk 1", chain, False, 2000), Disk("Hard disk 2", (("ds-3", "x.vmdk"),), True, 2001))
    (member,) = plan(monkeypatch, replace(WEB, disks=seen)).members
    assert tuple(placed.disk for placed in member.disks) == seen
    assert [(placed.datastore, placed.datasets) for placed in member.disks] == [
        ("ds-1", ("tank/a", "tank/b")),
        ("ds-3", ()),
    ]
    (bare,) = plan(monkeypatch, replace(WEB, disks=(*WEB.disks, Disk("Hard disk 3", (), False, 2002)))).members
    assert (bare.disks[1].datastore, bare.disks[1].datasets) == ("", ())


def test_every_vm_once_as_whoever_may_read_it_sees_it() -> None:
    """A copied vCenter uses the same managed object IDs for other VMs, which must be held too."""
    blind, sees, copied = login(*ONE), login(*ONE), login(*ONE)
    unread, other = replace(WEB, readable=False, name="", instance_uuid=""), replace(WEB, instance_uuid="5029-2")
    views = [(blind, unread), (sees, WEB), (blind, WEB), (copied, other), (sees, replace(unread, moid="vm-2"))]
    assert planning.unique_vms(views) == [(sees, WEB), (copied, other), (sees, replace(unread, moid="vm-2"))]
