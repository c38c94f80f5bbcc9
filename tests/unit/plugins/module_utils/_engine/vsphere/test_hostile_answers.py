# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Responses that are well-formed but make no sense. tests/system/test_hostile_server.py distorts real responses."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import ConnectionFailed, InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import (
    hosts,
    inventory,
    tasks,
    vm_snapshots,
    vms,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import (
    Endpoint,
    Session,
    understands,
)
from pyVmomi import vim, vmodl


class Odd(Session):
    """A session in which every call returns `answer`."""

    def __init__(self, answer: Any) -> None:
        self.endpoint = Endpoint("vcenter.lab")
        self._answer = answer
        self.logins = 1
        self.content: Any = vim.ServiceInstanceContent()

    def call(self, purpose: str, function: Any, *arguments: Any, repeatable: bool = True, **options: Any) -> Any:
        return self._answer

    def managed_object(self, kind: Any, moid: str) -> Any:
        return kind(moid, None)


def deep(levels: int) -> Any:
    tree = vim.vm.SnapshotTree(name="x", childSnapshotList=[])
    for _unused in range(levels):
        tree = vim.vm.SnapshotTree(name="x", childSnapshotList=[tree])
    return tree


@pytest.mark.parametrize(
    "answer", [None, 7, "text", [], [None], vim.ServiceInstanceContent(), vim.Task("task-1", None)]
)
def test_every_reader_says_so(answer: Any) -> None:
    session = Odd(answer)
    for read in (
        lambda: vms.list_vms(session, ["datastore-1"]),
        lambda: vm_snapshots.states(session, ["vm-1"]),
        lambda: vm_snapshots.start_create(session, "vm-1", "name", "text", True, 60.0),
        lambda: vm_snapshots.find_by_instance_uuid(session, "uuid"),
        lambda: tasks.TaskWaiter(session).wait(1),
    ):
        try:
            read()
        except ConnectionFailed as error:
            assert "did not return a valid vSphere response" in str(error) and str(error).isprintable()


def test_a_tree_without_end_is_no_answer() -> None:
    with pytest.raises(ConnectionFailed, match=r"vcenter\.lab did not return a valid vSphere response"):
        understands(lambda session: vms.chain_depth([deep(5000)]))(Odd(None))


class Pages(Odd):
    """A session in which every call returns the VMs with the next numbers, and a token if there are more."""

    def __init__(self, *pages: list[int]) -> None:
        super().__init__(None)
        self._pages = iter(pages)
        self._next = next(self._pages, None)
        self.content.propertyCollector = vmodl.query.PropertyCollector("collector", None)
        self.calls = 0

    def call(self, purpose: str, function: Any, *arguments: Any, repeatable: bool = True, **options: Any) -> Any:
        self.calls += 1
        numbers, self._next = self._next, next(self._pages, None)
        objects = [
            vmodl.query.PropertyCollector.ObjectContent(obj=vim.VirtualMachine(f"vm-{number}", None))
            for number in numbers or []
        ]
        token = "more" if self._next is not None else None
        return vmodl.query.PropertyCollector.RetrieveResult(objects=objects, token=token)


def listed(session: Session) -> list[str]:
    datastores = [vim.Datastore("datastore-1", None)]
    return list(inventory.read_referenced(session, datastores, "vm", vim.VirtualMachine, ["name"], "list the VMs"))


def test_pages_are_read_to_the_last() -> None:
    assert listed(Pages([1, 2], [2, 3], [4])) == ["vm-1", "vm-2", "vm-3", "vm-4"]


@pytest.mark.parametrize("pages", [([1, 2], [1, 2]), ([1], [1]), ([1, 2], [2], [3])])
def test_pages_that_bring_nothing_new_are_no_answer(pages: tuple[list[int], ...]) -> None:
    session = Pages(*pages, *([1] for _unused in range(1000)))
    with pytest.raises(
        ConnectionFailed,
        match="did not return a valid vSphere response to 'list the VMs': the pages of the result never end",
    ):
        listed(session)
    assert session.calls <= 2


def test_more_objects_than_any_server_has_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "MOST", 5)
    session = Pages(*([number] for number in range(1000)))
    with pytest.raises(ConnectionFailed, match="the pages of the result never end"):
        listed(session)
    assert session.calls == 6


@pytest.mark.parametrize("path", ["snapshot.rootSnapshotList", "config.instanceUuid"])
def test_a_tree_that_could_not_be_read_is_not_taken_for_one_without_snapshots(path: str) -> None:
    collector = vmodl.query.PropertyCollector
    trouble = vmodl.LocalizedMethodFault(fault=vmodl.fault.SystemError(reason="busy"))
    machine = collector.ObjectContent(
        obj=vim.VirtualMachine("vm-1", None),
        missingSet=[vmodl.query.PropertyCollector.MissingProperty(path=path, fault=trouble)],
    )
    session = Odd(collector.RetrieveResult(objects=[machine]))
    session.content.propertyCollector = vmodl.query.PropertyCollector("collector", None)
    assert vm_snapshots.states(session, ["vm-1"])["vm-1"].seen is (path != "snapshot.rootSnapshotList")


def test_what_the_engine_itself_refuses_goes_through() -> None:
    @understands
    def refuse(session: Session) -> None:
        raise InputError("No", "Give another")

    with pytest.raises(InputError):
        refuse(Odd(None))


def test_parents_that_go_round_in_circles_lead_nowhere() -> None:
    assert hosts._above("a", {"a": "b", "b": "a"}, {"c": 1}) == ""
    assert hosts._above("a", {"a": "b", "b": "c"}, {"c": 1}) == "c"
    assert hosts._above("", {}, {}) == ""
