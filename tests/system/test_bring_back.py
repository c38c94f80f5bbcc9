# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a VM back on the lab's vCenter: over SOAP, with an account that has only the privileges for it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import privileges, undo_vsphere
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.bring_back import (
    BringBack,
    VmBrought,
    VmToBring,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.flow import Patience
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.proof import CopyPlace
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.replace import LivingVm, name_aside
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import (
    inventory,
    nas_mounts,
    sdk,
    vm_snapshots,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import list_datastores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.host_capacity import (
    mounting,
    read_capacity,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.hosts import Scope, hosts_in_scope
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.networks import find_network
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.registration import Home
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import (
    Endpoint,
    Session,
    connect,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.tasks import TaskWaiter
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_now import read_now
from ansible_collections.quiesce.vmware_zfs.tests.unit.restore_scene import Journal

from tests.lab.simulator import Simulator, requests

from .scene import run_module

OURS = "vmware-zfs 20261128T020000Z-1a2b3c4d"
ACCOUNT = "restore@vsphere.local"
SHARED = {"CreatePropertyCollector", "CreateFilter", "WaitForUpdatesEx", "DestroyPropertyCollector"}
CONFIG: dict[str, Any] = {
    "cluster_hosts": 1,
    "networks": [{"name": "switched", "distributed": True}],
    "datastores": [
        {
            "name": "vmware", "type": "nfs", "server": "10.0.2.15", "path": "/tank/vmware",
            "vms": [{"name": "mail", "host": "DC0_H0", "cards": [{}, {}], "disks": [{}, {}]}],
        },
        {"name": "san", "type": "nfs", "server": "10.0.2.99", "path": "/san"},
    ],
}  # fmt: skip


class Lab:
    """A vCenter with the living VM `mail`, and copies of it that have still the VMware snapshot of the run."""

    def __init__(self, server: Simulator) -> None:
        self.server = server
        self.session = self.log_in(server.user)
        (datacenter,) = {host.datacenter_moid for host in hosts_in_scope(self.session, Scope(datacenter="DC0"))}
        self.datacenter = datacenter
        (self.living,) = (one["moid"] for one in server.machines() if one["name"] == "mail")
        self.datastores = {one.name: one.moid for one in list_datastores(self.session)}
        self.journal = Journal()
        machine = self.session.managed_object(sdk.vim.VirtualMachine, self.living)
        found = inventory.read(self.session, [machine], ["parent", "resourcePool", "runtime.host"], "read")
        folder, pool, host = (found[self.living][path]._moId for path in ("parent", "resourcePool", "runtime.host"))
        self.home = Home(datacenter_moid=datacenter, folder_moid=folder, host_moid=host, pool_moid=pool)

    def log_in(self, user: str) -> Session:
        endpoint = Endpoint(self.server.host, self.server.port, ca_path=str(self.server.ca_path))
        return connect(endpoint, user, Secret(self.server.password))

    def finish(self, task: str) -> None:
        """Wait for a task, which succeeds."""
        waiter = TaskWaiter(self.session)
        waiter.watch(task)
        while not (ends := waiter.wait(1)):
            pass
        waiter.close()
        assert ends[0].error is None

    def copy(self, directory: str = "mail-restored", **changes: Any) -> None:
        """Put a copy in place, as it is in a ZFS snapshot of the run, and release the living VM."""
        self.finish(vm_snapshots.start_create(self.session, self.living, OURS, "", False, 300))
        self.server.copy("mail", rf"\[vmware\] {directory}/mail\.vmx", **changes)
        (ours,) = vm_snapshots.states(self.session, [self.living])[self.living].named(OURS)
        self.finish(vm_snapshots.start_remove(self.session, ours.moid))

    def vm(self, directory: str = "mail-restored", **changes: Any) -> VmToBring:
        given: dict[str, Any] = {
            "name": directory, "temporary_name": f"{directory} (restore 1a2b3c4d)",
            "vmx_path": f"[vmware] {directory}/mail.vmx",
            "places": (CopyPlace(self.datastores["vmware"], "vmware", directory),),
            "home": self.home, "snapshot": OURS,
        }  # fmt: skip
        return VmToBring(**{**given, **changes})

    def bring(self, vm: VmToBring, session: Session | None = None) -> VmBrought:
        self.journal = Journal()
        self.server.clear_trace()
        patience = Patience(task=20, server=5, power_on=20, guest=5, shutdown=5)
        return BringBack(session or self.session, patience=patience).run([(vm, self.journal)])[0]

    def undo(self, session: Session | None = None) -> list[str]:
        """Undo all steps, the last one first. Returns what could not be undone."""
        steps = [step for step in reversed(self.journal.steps) if step["kind"] in undo_vsphere.KINDS]
        done = [undo_vsphere.undo(session or self.session, step["kind"], step["data"]) for step in steps]
        return [text for text in done if text]

    def calls(self) -> Counter[str]:
        return Counter(entry["method"] for entry in self.server.trace() if entry["kind"] == "call")

    def names(self) -> list[str]:
        return sorted(one["name"] for one in self.server.machines())


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Simulator.start(CONFIG, directory=tmp_path, create_seconds=0.02, remove_seconds=0.02) as server:
        yield Lab(server)


def test_a_vm_comes_back_and_starts_within_twelve_requests(lab: Lab) -> None:
    lab.copy()
    brought = lab.bring(lab.vm(power_on=True))
    assert brought.error is None and brought.reverted and brought.powered_on and brought.missing == ()
    calls = lab.calls()
    asked = sum(count for method, count in calls.items() if method not in SHARED)
    looks = asked - brought.requests  # at the guest, which all VMs share
    assert brought.requests <= 12 and 1 <= looks <= 4, calls
    now = read_now(lab.session, [brought.moid, lab.living])
    assert now[brought.moid].name == "mail-restored" and now[lab.living].on
    assert lab.server.snapshots()["mail-restored"] == []
    for call in ("RevertToSnapshot_Task", "RemoveSnapshot_Task", "ReconfigVM_Task", "PowerOnVM_Task"):
        assert {entry["vm"] for entry in lab.server.trace() if entry.get("method") == call} == {brought.moid}


@pytest.mark.parametrize("choices", [["cancel", "movedTheVM", "copiedTheVM"], ["copiedTheVM", "cancel", "movedTheVM"]])
@pytest.mark.parametrize("messages", [True, False])
def test_a_server_that_asks_anyway_is_answered_by_label(lab: Lab, choices: list[str], messages: bool) -> None:
    labels = [{"label": f"button.uuid.{one}"} for one in choices]
    lab.server.behave(uuid_action=False, uuid_choices=labels, question_messages=messages)
    lab.copy()
    brought = lab.bring(lab.vm(power_on=True))
    assert brought.error is None and brought.powered_on
    (answer,) = (entry for entry in lab.server.trace() if entry.get("method") == "AnswerVM")
    assert answer["args"]["answerChoice"] == str(choices.index("copiedTheVM"))


@pytest.mark.parametrize("way", ["a disk", "the working directory"])
def test_a_file_of_the_living_vm_is_refused_before_the_revert(lab: Lab, way: str) -> None:
    lab.copy(**({"disks": [{}, {"datastore": "san"}]} if way == "a disk" else {"working_dir": "san"}))
    before = lab.names()
    brought = lab.bring(lab.vm())
    assert "is not in the copy" in str(brought.error), brought.error
    assert not {"RevertToSnapshot_Task", "RemoveSnapshot_Task", "ReconfigVM_Task"} & set(lab.calls())
    assert lab.undo() == [] and lab.names() == before


def test_a_copy_replaces_the_living_vm(lab: Lab) -> None:
    lab.copy()
    (now,) = read_now(lab.session, [lab.living]).values()
    aside = name_aside("mail", "2026-11-28")
    living = LivingVm(lab.living, "mail", now.instance_uuid, now.vmx_path, lab.home.folder_moid, aside)
    brought = lab.bring(lab.vm(name="mail", identity="keep", living=living, power_on=True))
    assert brought.error is None and lab.names() == ["mail", aside]
    state = read_now(lab.session, [lab.living, brought.moid])
    assert (state[lab.living].name, state[lab.living].power) == (aside, "poweredOff")
    assert (state[brought.moid].name, state[brought.moid].power) == ("mail", "poweredOn")


@pytest.mark.parametrize("effect", ["drop_after", "drop_before", "truncated"])
def test_no_lost_answer_leaves_anything_undone(lab: Lab, effect: str) -> None:
    lab.copy()
    for method in ("RegisterVM_Task", "RevertToSnapshot_Task", "RemoveSnapshot_Task", "ReconfigVM_Task", "Rename_Task"):
        lab.server.rule(method=method, effect=effect, count=1)
    brought = lab.bring(lab.vm())
    assert brought.error is None and lab.names() == ["mail", "mail-restored"]
    assert lab.undo() == [] and lab.names() == ["mail"]


# ---- Privileges


def restore_role(lab: Lab, *ways: str, without: str = "") -> Session:
    """Log in with an account that has the role for these ways to restore."""
    lab.server.add_user(ACCOUNT)
    wanted = [one for one in privileges.of_ways(ways) if one != without]
    options = {"restore": list(ways)} if not without else {"privileges": wanted}
    server = lab.server
    login = {
        "hostname": server.host, "port": server.port, "username": server.user, "password": server.password,
        "ca_path": str(server.ca_path),
    }  # fmt: skip
    made = run_module("vmware_vsphere_role", {**login, "name": "restore", "principal": ACCOUNT, **options})
    assert not made.get("failed"), made
    return lab.log_in(ACCOUNT)


def test_the_role_is_enough_for_the_restore_and_for_its_undo(lab: Lab) -> None:
    lab.copy()
    session = restore_role(lab, "folder", "power_on")
    brought = lab.bring(lab.vm(power_on=True), session)
    assert brought.error is None and brought.powered_on
    lab.server.vm("mail-restored", power="off")
    assert lab.undo(session) == [] and lab.names() == ["mail"]


@pytest.mark.parametrize(
    "privilege",
    ["VirtualMachine.Inventory.Register", "VirtualMachine.State.RevertToSnapshot", "Resource.AssignVMToPool"],
)
def test_a_missing_privilege_is_found_before_and_named_when_it_is_used(lab: Lab, privilege: str) -> None:
    lab.copy()
    session = restore_role(lab, "folder", without=privilege)
    targets = [
        privileges.Target(privileges.FOLDER, lab.home.folder_moid, "vm"),
        privileges.Target(privileges.POOL, lab.home.pool_moid, "Resources"),
    ]
    found = privileges.missing(session, ["register", "revert", "disconnect", "change_tracking"], targets)
    where = "Resources" if privilege.startswith("Resource.") else "vm"
    assert [str(one) for one in found] == [f"{privilege} on '{where}'"]
    brought = lab.bring(lab.vm(), session)
    assert f"lacks the privilege {privilege}" in str(brought.error)
    assert lab.undo() == [] and lab.names() == ["mail"]


def test_a_restore_uses_each_privilege_of_its_role(lab: Lab) -> None:
    """AnswerQuestion and PowerOff are for a copy that does not start, Unregister is for the undo."""
    lab.server.vm("mail", change_tracking=True)
    lab.copy(directory="copy-[0-9]+")
    spare = {
        "VirtualMachine.Interact.AnswerQuestion",
        "VirtualMachine.Interact.PowerOff",
        "VirtualMachine.Inventory.Unregister",
    }
    for number, privilege in enumerate(sorted({*privileges.of_ways(["folder", "power_on"])} - spare)):
        lab.server.deny(privilege)
        brought = lab.bring(lab.vm(f"copy-{number}", power_on=True))
        assert f"lacks the privilege {privilege}" in str(brought.error), privilege
        lab.server.grant_all()
        assert lab.undo() == [] and lab.names() == ["mail"]
    assert lab.bring(lab.vm("copy-99", power_on=True)).error is None


def test_a_question_that_cannot_be_answered_is_left_to_a_person(lab: Lab) -> None:
    lab.server.behave(uuid_action=False)
    lab.copy()
    lab.server.deny("VirtualMachine.Interact.AnswerQuestion")
    brought = lab.bring(lab.vm(power_on=True))
    assert "lacks the privilege VirtualMachine.Interact.AnswerQuestion" in str(brought.error)
    name, registration = lab.undo()
    assert name == "The VM 'mail-restored' keeps its name, because it waits for the answer to a question"
    assert "it waits for the answer to a question; answer it in the vSphere client" in registration


# ---- Hosts, networks and mounts


def test_hosts_say_what_they_can_take(lab: Lab) -> None:
    lab.server.behave(nfs_max_volumes=3)
    lab.server.change_host("DC0_C0_H0", maintenance=True)
    hosts = hosts_in_scope(lab.session, Scope(datacenter="DC0"))
    capacities = {one.host.name: one for one in read_capacity(lab.session, hosts)}
    lab.server.clear_trace()
    without_slots = read_capacity(lab.session, hosts, slots=False)
    assert requests(lab.server.trace()) == 3 and {one.slots for one in without_slots} == {None}
    assert [one.pool_moid for one in without_slots] == [one.pool_moid for one in capacities.values()]
    single, member = capacities["DC0_H0"], capacities["DC0_C0_H0"]
    assert single.slots == 1 and single.pool_moid == lab.home.pool_moid
    assert single.obstacle(memory=1, mounts=1) == "" and "only 1 more NFS datastores" in single.obstacle(mounts=2)
    assert single.memory_free is not None and "MB of free memory" in single.obstacle(memory=single.memory_free + 1)
    assert member.obstacle() == "is in maintenance mode"
    assert [one.host.name for one in mounting([single, member], lab.datastores["vmware"])] == ["DC0_H0", "DC0_C0_H0"]
    lab.server.change_host("DC0_H0", connection="notResponding")
    (away,) = read_capacity(lab.session, hosts_in_scope(lab.session, Scope(datacenter="DC0", hosts=("DC0_H0",))))
    assert away.obstacle() == "does not respond to vCenter" and away.slots is None


def test_port_groups_are_found_by_name(lab: Lab) -> None:
    standard = find_network(lab.session, lab.home.host_moid, "VM Network")
    assert standard.key == "VM Network" and standard.switch_uuid == ""
    distributed = find_network(lab.session, lab.home.host_moid, "switched")
    assert distributed.switch_uuid and distributed.key not in ("", "switched")
    with pytest.raises(InputError, match="has no port group 'Nowhere'"):
        find_network(lab.session, lab.home.host_moid, "Nowhere")
    for directory, network in (("standard", standard), ("distributed", distributed)):
        lab.copy(directory)
        assert lab.bring(lab.vm(directory, network=network)).error is None
        assert lab.undo() == []


def mount(lab: Lab) -> dict[str, Any]:
    (host,) = hosts_in_scope(lab.session, Scope(datacenter="DC0", hosts=("DC0_H0",)))
    export = nas_mounts.Export(("10.0.2.15",), "/tank/vmware-zfs-restores/1a2b", "3")
    nas_mounts.mount(lab.session, host, "restore-1a2b-1", export, "readWrite")
    return {
        "host_moid": host.moid, "host": host.name, "name": "restore-1a2b-1", "server": "10.0.2.15",
        "path": "/tank/vmware-zfs-restores/1a2b",
    }  # fmt: skip


def mounted(lab: Lab) -> list[str]:
    return sorted(one.name for one in list_datastores(lab.session))


def test_a_mount_is_undone_once(lab: Lab) -> None:
    data = mount(lab)
    assert "restore-1a2b-1" in mounted(lab)
    assert undo_vsphere.undo(lab.session, "mount", {**data, "path": "/tank/other"}) == ""
    assert undo_vsphere.undo(lab.session, "mount", {**data, "server": "10.0.2.16"}) == ""
    assert "restore-1a2b-1" in mounted(lab), "another export"
    assert undo_vsphere.undo(lab.session, "mount", data) == "" and mounted(lab) == ["san", "vmware"]
    assert undo_vsphere.undo(lab.session, "mount", data) == ""


def test_a_mount_with_vms_of_others_stays(lab: Lab) -> None:
    data = mount(lab)
    lab.server.deploy("restore-1a2b-1", {"name": "someone's"})
    assert undo_vsphere.undo(lab.session, "mount", data) == (
        "The datastore 'restore-1a2b-1' on DC0_H0 is still mounted, because VMs are registered on it ('someone's'); "
        "move or unregister them first"
    )
    lab.server.unregister("someone's")
    lab.server.change_host("DC0_H0", connection="disconnected")
    assert "because the host is disconnected from vCenter" in undo_vsphere.undo(lab.session, "mount", data)
    lab.server.change_host("DC0_H0", connection="connected")
    lab.server.rule(method="RemoveDatastore", effect="drop_after", count=1)
    assert undo_vsphere.undo(lab.session, "mount", data) == "" and mounted(lab) == ["san", "vmware"]
