# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The looks before and after the ZFS snapshot: the power state, the VMware snapshot and every disk prove each level."""

from __future__ import annotations

from dataclasses import replace
from typing import AbstractSet, Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.matching.match import Match
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.locations import locations_of_disk
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.plan import (
    NOTHING,
    QUIESCE,
    SNAPSHOT,
    Member,
    PlacedDisk,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.server_logins import ServerLogin
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.levels import (
    APPLICATION,
    CRASH,
    FILESYSTEM,
    STILL,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots import look as looking
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.look import Finding, Look
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.quiesce import Hold
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credential
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import Datastore
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_snapshots import VmSnapshot, VmState
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vms import Disk

NAME = "vmware-zfs run"
DATASETS = frozenset({"tank/a", "tank/b"})
OURS = VmSnapshot("snapshot-1", NAME, "", True, "")
VSS = "<providerId>vss_manifests.zip"

BASE, PARENT, DELTA = ("ds-a", "web/web.vmdk"), ("ds-a", "web/web-1.vmdk"), ("ds-a", "web/web-2.vmdk")
ON_B, ON_SAN = ("ds-b", "web/web-2.vmdk"), ("ds-san", "web/web-2.vmdk")
SECOND = ("ds-san", "web/data.vmdk")
Chain = tuple[tuple[str, str], ...]
Chains = dict[int, Chain]


def login() -> ServerLogin:
    """Datastores on tank/a and tank/b, one on a dataset that is not in the run, and one on a SAN."""
    session: Any = type("Session", (), {"server_id": "1234", "endpoint": "vc"})()
    matches = {}
    for moid, name, dataset in (
        ("ds-a", "a", "tank/a"),
        ("ds-b", "b", "tank/b"),
        ("ds-c", "c", "tank/c"),
        ("ds-san", "san", ""),
    ):
        datastore = Datastore(moid, name, "DC0", "NFS", ("nas",), f"/{name}", True, "vc")
        matches[moid] = Match(datastore, "", "root", "", (("", dataset),) if dataset else ())
    return ServerLogin(session, [Credential("vc", "root", "tank", id=1)], matches=matches)


LOGIN = login()


def disks(chains: Chains) -> tuple[Disk, ...]:
    return tuple(Disk(f"Hard disk {key}", files, False, key) for key, files in chains.items())


def member(level: str = FILESYSTEM, chains: Chains | None = None, **changes: Any) -> Member:
    """A VM with these disks at the time of the plan."""
    placed = tuple(
        PlacedDisk(disk, "", tuple(sorted(locations_of_disk(disk, LOGIN.matches) & {"tank/a", "tank/b", "tank/c"})))
        for disk in disks(chains or {1: (BASE,)})
    )
    values: dict[str, Any] = {
        "server": "vc", "server_id": "1234", "credential": 1, "moid": "vm-1", "name": "web", "instance_uuid": "5029-1",
        "vmx_path": "[a] web/web.vmx", "host_moid": "host-1", "guest": "linux",
        "power": "poweredOff" if level == STILL else "poweredOn", "action": NOTHING if level == STILL else QUIESCE,
        "level": level, "datasets": ("tank/a",), "disks": placed,
    }  # fmt: skip
    return Member(**{**values, **changes})


def hold(level: str = FILESYSTEM, chains: Chains | None = None, **changes: Any) -> Hold:
    still = level == STILL
    values = {"snapshot_moid": "" if still else "snapshot-1", "quiesced": not still, "level": level}
    return Hold(member(level, chains), **{**values, **changes})


def state(level: str = FILESYSTEM, chains: Chains | None = None, **changes: Any) -> VmState:
    """The same VM at the time of a look: with the run's VMware snapshot, unless its level is still."""
    still = level == STILL
    values: dict[str, Any] = {
        "power": "poweredOff" if still else "poweredOn", "consolidation_needed": False,
        "snapshots": () if still else (OURS,), "vmx_path": "[a] web/web.vmx",
        "disks": disks(chains or {1: (BASE,) if still else (DELTA, BASE)}),
    }  # fmt: skip
    return VmState(**{**values, **changes})


class There:
    """The VMs on the datastores, and the looks at them."""

    def __init__(self) -> None:
        self.vms: dict[str, VmState] = {}

    def first(self, *holds: Hold, members: tuple[Member, ...] = ()) -> Look:
        known = members or tuple(one.member for one in holds)
        return looking.first_look(looking.Sight(LOGIN, dict(self.vms), DATASETS, holds, known, NAME))

    def second(self, first: Look, *holds: Hold, members: tuple[Member, ...] = ()) -> Look:
        known = members or tuple(one.member for one in holds)
        return looking.second_look(looking.Sight(LOGIN, dict(self.vms), DATASETS, holds, known, NAME), first)


@pytest.fixture
def there() -> There:
    return There()


def assert_crash(finding: Finding, reason: str, hindrance: str = "vm") -> None:
    assert finding.level == CRASH and finding.hindrance == hindrance and reason in finding.reason, finding


# ---- The VM and its VMware snapshot


@pytest.mark.parametrize("level", [STILL, FILESYSTEM])
def test_what_stays_as_it_was_keeps_its_level_in_both_looks(there: There, level: str) -> None:
    there.vms["vm-1"] = state(level)
    one = hold(level, reason="why no better")
    first = there.first(one)
    assert first.findings == {"vm-1": Finding(level, "why no better")} and first.problems == []
    assert there.second(first, one).findings == {"vm-1": Finding(level, "why no better")}


def test_a_look_changes_no_hold(there: There) -> None:
    """A look that ends too late must not change the result."""
    there.vms["vm-1"] = state()
    one = hold()
    first = there.first(one)
    there.vms.clear()
    before = replace(one)
    there.first(one)
    there.second(first, one)
    assert one == before


@pytest.mark.parametrize("level", [STILL, FILESYSTEM])
def test_a_vm_whose_files_left_is_crash(there: There, level: str) -> None:
    there.vms["vm-1"] = state(level)
    one = hold(level)
    first = there.first(one)
    there.vms.clear()
    assert_crash(there.first(one).findings["vm-1"], "it was removed or left the datastores")
    assert_crash(there.second(first, one).findings["vm-1"], "it was removed or left the datastores")


@pytest.mark.parametrize(
    ("level", "changes", "reason"),
    [
        (STILL, {"power": "poweredOn"}, "it was powered on during the run"),
        (STILL, {"seen": False}, "its host is no longer connected"),
        (STILL, {"disks": None}, "its disks cannot be read"),
        (FILESYSTEM, {"seen": False}, "its host is no longer connected"),
        (FILESYSTEM, {"disks": None}, "its disks cannot be read"),
        (FILESYSTEM, {"snapshots": ()}, "VMware snapshot"),
        (FILESYSTEM, {"snapshots": (replace(OURS, moid="snapshot-2"),)}, "VMware snapshot"),
        (FILESYSTEM, {"snapshots": (replace(OURS, name="another"),)}, "VMware snapshot"),
    ],
)
def test_what_is_not_proven_is_crash_in_either_look(
    there: There, level: str, changes: dict[str, Any], reason: str
) -> None:
    there.vms["vm-1"] = state(level)
    one = hold(level)
    first = there.first(one)
    there.vms["vm-1"] = state(level, **changes)
    assert_crash(there.first(one).findings["vm-1"], reason)
    assert_crash(there.second(first, one).findings["vm-1"], reason)


def test_a_snapshot_that_vsphere_did_not_quiesce_is_crash(there: There) -> None:
    there.vms["vm-1"] = state(snapshots=(replace(OURS, quiesced=False),))
    assert_crash(there.first(hold()).findings["vm-1"], "without quiescing the guest", "quiesce")


@pytest.mark.parametrize(
    ("guest", "level", "manifest", "reached"),
    [
        ("windows server", APPLICATION, VSS, APPLICATION),
        ("windows server", APPLICATION, "", FILESYSTEM),
        ("windows", FILESYSTEM, VSS, FILESYSTEM),
        ("linux", FILESYSTEM, VSS, FILESYSTEM),
        ("other", CRASH, VSS, CRASH),
    ],
)
def test_a_level_is_what_the_tree_shows_and_no_better_than_the_plan(
    there: There, guest: str, level: str, manifest: str, reached: str
) -> None:
    there.vms["vm-1"] = state(snapshots=(replace(OURS, manifest=manifest),))
    one = hold(level)
    one.member = replace(one.member, guest=guest)
    finding = there.first(one).findings["vm-1"]
    assert finding.level == reached and finding.hindrance == ""
    assert ("no VSS manifest" in finding.reason) == (reached == FILESYSTEM and level == APPLICATION)


def test_what_failed_before_keeps_its_reason(there: There) -> None:
    there.vms["vm-1"] = state()
    failed = hold(CRASH, snapshot_moid="", quiesced=False, reason="it failed", hindrance="vm")
    assert there.first(failed).findings["vm-1"] == Finding(CRASH, "it failed", "vm")
    unquiesced = hold(CRASH, quiesced=False, reason="quiescing failed", hindrance="quiesce")
    unquiesced.member = replace(unquiesced.member, action=SNAPSHOT)
    assert there.first(unquiesced).findings["vm-1"] == Finding(CRASH, "quiescing failed", "quiesce")


def test_the_second_look_raises_nothing(there: There) -> None:
    """The second look skips a VM with the level crash: its reason stays."""
    there.vms["vm-1"] = state()
    one = hold(CRASH, reason="it failed", hindrance="vm")
    assert there.second(Look(), one).findings == {}


# ---- Disks, since the plan


@pytest.mark.parametrize(
    ("planned", "now"),
    [
        ({1: (BASE,)}, {1: (DELTA, BASE)}),
        ({1: (BASE,)}, {1: (ON_B, BASE)}),
        ({1: (BASE,)}, {1: (ON_SAN, BASE)}),  # workingDir
        ({1: (PARENT, BASE)}, {1: (ON_SAN, PARENT, BASE)}),
        (
            {1: (BASE,)},
            {1: (DELTA, PARENT, BASE)},
        ),  # another snapshot was created before the run's, with its files on the datasets
        ({1: (BASE,)}, {1: (BASE,)}),  # an independent disk gets no delta
        ({1: (BASE,), 2: (SECOND,)}, {2: (ON_SAN, SECOND), 1: (DELTA, BASE)}),
        ({1: (BASE,), 2: (SECOND,)}, {1: (DELTA, BASE), 2: (ON_SAN, ("ds-san", "web/foreign.vmdk"), SECOND)}),
        ({1: (BASE,)}, {1: (DELTA, BASE), 2: (SECOND,)}),  # a disk is added outside the datasets
        ({1: (BASE,)}, {1: (DELTA, BASE), 2: (("ds-c", "web/data.vmdk"),)}),
    ],
)
def test_our_own_delta_and_what_lies_elsewhere_do_not_count(there: There, planned: Chains, now: Chains) -> None:
    there.vms["vm-1"] = state(chains=now)
    one = hold(chains=planned)
    first = there.first(one)
    assert first.findings["vm-1"] == Finding(FILESYSTEM)
    assert there.second(first, one).findings["vm-1"] == Finding(FILESYSTEM)


@pytest.mark.parametrize(
    ("planned", "now", "reason"),
    [
        ({1: (BASE,)}, {1: (DELTA, ("ds-san", "web/web.vmdk"))}, "its Hard disk 1 was moved"),
        ({1: (BASE,)}, {1: (("ds-b", "web/web.vmdk"),)}, "its Hard disk 1 was moved"),
        ({1: (BASE,)}, {1: (DELTA, ("ds-a", "other/web.vmdk"))}, "its Hard disk 1 was moved"),
        ({1: (PARENT, BASE)}, {1: (DELTA, BASE)}, "its Hard disk 1 was moved"),  # a parent was consolidated
        ({1: (PARENT, BASE)}, {1: (DELTA, PARENT)}, "its Hard disk 1 was moved"),
        ({1: (BASE,), 2: (SECOND,)}, {1: (DELTA, BASE), 2: (("ds-b", "web/data.vmdk"),)}, "its Hard disk 2 was moved"),
        ({1: (BASE,)}, {1: (DELTA, ON_SAN, BASE)}, "its Hard disk 1 got a delta file outside"),
        ({1: (BASE,)}, {1: (ON_SAN, ("ds-c", "web/x.vmdk"), BASE)}, "its Hard disk 1 got a delta file outside"),
        ({1: (BASE,)}, {1: (DELTA, ("", "web/x.vmdk"), BASE)}, "its Hard disk 1 got a delta file outside"),
        ({1: (BASE,), 2: (SECOND,)}, {1: (DELTA, BASE)}, "its Hard disk 2 was removed"),
        (
            {1: (BASE,)},
            {2: (DELTA, BASE)},
            "its Hard disk 1 was removed",
        ),  # the device key identifies a disk, not the file
        ({1: (BASE,)}, {}, "its Hard disk 1 was removed"),
        ({1: (BASE,)}, {1: (DELTA, BASE), 2: (("ds-b", "web/new.vmdk"),)}, "its Hard disk 2 was added"),
        ({1: (BASE,)}, {1: (DELTA, BASE), 2: (ON_SAN, ("ds-b", "x.vmdk"))}, "its Hard disk 2 was added"),
    ],
)
def test_a_disk_that_is_not_where_the_plan_saw_it_is_crash(
    there: There, planned: Chains, now: Chains, reason: str
) -> None:
    there.vms["vm-1"] = replace(state(), disks=disks(now))
    assert_crash(there.first(hold(chains=planned)).findings["vm-1"], reason)


@pytest.mark.parametrize("now", [{1: (DELTA, BASE), 2: (BASE,)}, {1: (("ds-b", "web/web.vmdk"),)}, {}])
def test_a_vm_that_is_off_is_looked_at_as_well(there: There, now: Chains) -> None:
    there.vms["vm-1"] = replace(state(STILL), disks=disks(now))
    assert there.first(hold(STILL)).findings["vm-1"].level == CRASH


def test_a_vmx_file_that_was_moved_is_crash(there: There) -> None:
    there.vms["vm-1"] = state()
    one = hold()
    first = there.first(one)
    there.vms["vm-1"] = state(vmx_path="[san] web/web.vmx")
    assert_crash(there.first(one).findings["vm-1"], "its .vmx file was moved")
    assert_crash(there.second(first, one).findings["vm-1"], "its .vmx file was moved")


# ---- Disks, between the looks


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({1: (DELTA, BASE)}, {1: (DELTA, BASE)}),
        ({1: (DELTA, BASE)}, {1: (ON_SAN, DELTA, BASE)}),  # another snapshot on top of the run's
        ({1: (DELTA, BASE)}, {1: (("ds-b", "x.vmdk"), ON_SAN, DELTA, BASE)}),
        ({1: (ON_SAN, BASE), 2: (SECOND,)}, {2: (SECOND,), 1: (ON_SAN, BASE)}),
        ({1: (DELTA, BASE)}, {1: (DELTA, BASE), 2: (SECOND,)}),
    ],
)
def test_what_is_put_on_top_of_a_chain_does_not_count(there: There, before: Chains, after: Chains) -> None:
    planned = {key: files[-1:] for key, files in before.items()}
    there.vms["vm-1"] = state(chains=before)
    one = hold(chains=planned)
    first = there.first(one)
    there.vms["vm-1"] = state(chains=after)
    assert there.second(first, one).findings["vm-1"] == Finding(FILESYSTEM)


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ({1: (BASE,)}, "was moved"),  # the run's delta file is gone
        ({1: (ON_SAN, BASE)}, "was moved"),
        ({1: (DELTA, ("ds-san", "web/web.vmdk"))}, "was moved"),
        ({1: (DELTA, PARENT, BASE)}, "was moved"),
        ({1: (BASE, DELTA)}, "was moved"),
        ({1: ()}, "was moved"),
        ({}, "one of its disks was removed"),
        ({2: (DELTA, BASE)}, "one of its disks was removed"),
        ({1: (DELTA, BASE), 2: (("ds-b", "web/new.vmdk"),)}, "its Hard disk 2 was added"),
    ],
)
def test_a_chain_that_does_not_end_as_the_first_looks_is_crash(there: There, after: Chains, reason: str) -> None:
    there.vms["vm-1"] = state()
    one = hold()
    first = there.first(one)
    there.vms["vm-1"] = replace(state(), disks=disks(after))
    assert_crash(there.second(first, one).findings["vm-1"], reason)


# ---- Where the files of a VM are now


@pytest.mark.parametrize(
    ("changes", "datasets"),
    [
        ({}, {"tank/a"}),
        ({"chains": {1: (DELTA, BASE), 2: (("ds-b", "web/new.vmdk"),)}}, {"tank/a", "tank/b"}),
        ({"chains": {1: (("ds-b", "web/web-1.vmdk"), ("ds-b", "web/web.vmdk"))}}, {"tank/a", "tank/b"}),  # its .vmx
        ({"chains": {1: (ON_SAN,), 2: (("ds-c", "x.vmdk"),)}, "vmx_path": "[b] web/web.vmx"}, {"tank/b"}),
        ({"chains": {1: (ON_SAN,)}, "vmx_path": "[san] web/web.vmx"}, set()),
        ({"disks": None}, {"tank/a", "tank/b"}),  # it may be on any dataset
    ],
)
@pytest.mark.parametrize("level", [CRASH, FILESYSTEM])
def test_each_look_says_which_datasets_hold_files_of_the_vm(
    there: There, changes: dict[str, Any], datasets: set[str], level: str
) -> None:
    """The records of these datasets must list the VM, even if the plan did not find it there."""
    there.vms["vm-1"] = state()
    one = hold(level, snapshot_moid="snapshot-1")
    first = there.first(one)
    assert first.datasets == {"vm-1": {"tank/a"}}
    there.vms["vm-1"] = state(**changes)
    assert there.first(one).datasets == there.second(first, one).datasets == {"vm-1": datasets}


def test_of_a_vm_that_is_gone_no_look_knows_where_it_is(there: There) -> None:
    assert there.first(hold()).datasets == {}


# ---- VMs that are not in the plan


@pytest.mark.parametrize(
    ("changes", "datasets"),
    [
        ({"chains": {1: (("ds-b", "db/db.vmdk"),)}}, {"tank/b"}),
        ({"chains": {1: (ON_SAN, ("ds-b", "db/db.vmdk"))}}, {"tank/b"}),
        ({"chains": {1: (("ds-a", "db.vmdk"),), 2: (("ds-b", "db.vmdk"),)}}, {"tank/a", "tank/b"}),
        ({"chains": {1: (SECOND,)}, "vmx_path": "[b] db/db.vmx"}, {"tank/b"}),
        ({"disks": None}, {"tank/a", "tank/b"}),  # it may be on any dataset
        ({"disks": None, "seen": False}, {"tank/a", "tank/b"}),
    ],
)
def test_a_stranger_is_a_problem_of_the_datasets_with_its_files(
    there: There, changes: dict[str, Any], datasets: AbstractSet[str]
) -> None:
    """Also a VM that the plan skipped: it had only an ISO image there, and its disk was moved there later."""
    there.vms = {"vm-1": state(), "vm-9": state(**{"vmx_path": "[san] db/db.vmx", **changes})}
    one = hold()
    first = there.first(one)
    for look in (first, there.second(first, one)):
        (problem,) = look.problems
        assert problem.text == "1 running VM appeared on the datastores of vc during the run: vm-9"
        assert problem.datasets == datasets
        assert look.findings["vm-1"].level == FILESYSTEM


@pytest.mark.parametrize(
    "changes",
    [
        {"chains": {1: (SECOND,)}},  # only an ISO image on the datastores
        {"chains": {1: (("ds-c", "db/db.vmdk"),)}},  # a dataset that is not in the run
        {"chains": {1: (("ds-b", "db/db.vmdk"),)}, "power": "poweredOff"},
        {"chains": {1: (("ds-b", "db/db.vmdk"),)}, "power": "suspended"},
    ],
)
def test_who_has_no_file_there_or_does_not_run_is_no_stranger(there: There, changes: dict[str, Any]) -> None:
    there.vms["vm-9"] = state(**{"vmx_path": "[san] db/db.vmx", **changes})
    assert there.first().problems == [] == there.second(Look()).problems


def test_whom_the_plan_knows_on_this_server_is_no_stranger(there: There) -> None:
    there.vms["vm-1"] = state()
    assert there.first(members=(member(),)).problems == []
    (problem,) = there.first(members=(member(server_id="5678"),)).problems
    assert problem.datasets == frozenset({"tank/a"})


def test_a_vm_of_a_copied_vcenter_is_known_by_its_instance_uuid(there: There) -> None:
    """Its VMs have the same managed object IDs as the VMs of the plan."""
    known = replace(member(), instance_uuid="5029-1")
    for uuid, strangers in (("5029-1", 0), ("", 0), ("5029-2", 1)):
        there.vms["vm-1"] = replace(state(), instance_uuid=uuid)
        assert len(there.first(members=(known,)).problems) == strangers


def test_strangers_are_one_problem_in_one_line(there: There) -> None:
    there.vms = {"vm-8": state(), "vm-\n9": state(chains={1: (("ds-b", "x.vmdk"),)})}
    (problem,) = there.first().problems
    assert problem.datasets == DATASETS and problem.text.isprintable() and problem.text.startswith("2 running VMs ")
