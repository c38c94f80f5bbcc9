# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs are read once and after that only their changes; the result is always the server's current state."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    ConnectionFailed,
    PermissionDenied,
    SessionLost,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import Endpoint, Session
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_watch import VmWatch
from pyVmomi import vim, vmodl

QUERY = vmodl.query.PropertyCollector
POWER, DEVICES, TREE = "runtime.powerState", "config.hardware.device", "snapshot.rootSnapshotList"


def disk(key: int, file: str) -> Any:
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
        fileName=file, diskMode="persistent", datastore=vim.Datastore("datastore-1", None)
    )
    return vim.vm.device.VirtualDisk(key=key, backing=backing)


def array(kind: Any, *values: Any) -> Any:
    """A list of a pyVmomi type. The stubs of pyVmomi do not have these lists."""
    return kind.Array(values)


def changed(vm: str, kind: str = "modify", *, unread: tuple[str, ...] = (), **values: Any) -> Any:
    """An update for a VM: `values` by path, with __ for each dot. None means that the property is unset now."""
    device = vim.vm.device.VirtualDevice
    paths = {
        path.replace("__", "."): array(device, *value) if isinstance(value, list) else value
        for path, value in values.items()
    }
    fault = vmodl.LocalizedMethodFault(fault=vmodl.fault.SystemError(reason="busy"))
    return QUERY.ObjectUpdate(
        obj=vim.VirtualMachine(vm, None),
        kind=kind,
        changeSet=[
            QUERY.Change(name=path, op="remove" if value is None else "assign", val=value)
            for path, value in paths.items()
        ],
        missingSet=[QUERY.MissingProperty(path=path, fault=fault) for path in unread],
    )


class Server(Session):
    """A session that answers each wait with the next of `updates`: a list of changes, None for nothing, or an error.

    `agents` are VMs of vSphere's own, `asked` those that were looked at for that.
    """

    def __init__(self, *updates: Any) -> None:
        self.endpoint, self.username = Endpoint("vcenter.lab"), "root"
        self.logins = 1
        self.content: Any = vim.ServiceInstanceContent(propertyCollector=QUERY("collector", None))
        self.updates = list(updates)
        self.filters, self.versions = 0, list[str]()
        self.agents: set[str] = set()
        self.asked: list[list[str]] = []

    def managed_object(self, kind: Any, moid: str) -> Any:
        return kind(moid, None)

    def call(self, purpose: str, function: Any, *arguments: Any, repeatable: bool = True, **options: Any) -> Any:
        if "specSet" in options:
            return self.read(options["specSet"][0])
        assert not repeatable, "an answer that is lost has been taken into account by the server"
        if "spec" in options:
            self.filters += 1
            return QUERY.Filter(f"filter-{self.filters}", None)
        self.versions.append(options["version"])
        assert options["options"].maxWaitSeconds == 0
        update = self.updates.pop(0)
        if isinstance(update, Exception):
            raise update
        if update is None:
            return None
        more = bool(update) and update[-1] == "more"
        mine = QUERY.FilterUpdate(filter=QUERY.Filter(f"filter-{self.filters}", None))
        mine.objectSet = [one for one in update if one != "more"]
        others = QUERY.FilterUpdate(filter=QUERY.Filter("filter-of-tasks", None))
        others.objectSet = [changed("vm-99", "enter", runtime__powerState="poweredOn")]
        return QUERY.UpdateSet(version=str(len(self.versions)), filterSet=[others, mine], truncated=more)

    def read(self, spec: Any) -> Any:
        """Return whether VMs are vSphere's own."""
        assert spec.propSet[0].pathSet == ["config.extraConfig"]
        self.asked.append([item.obj._moId for item in spec.objectSet])
        key = {True: "HDCS.agent", False: "guestinfo.HDCS.agent"}
        found = [
            QUERY.ObjectContent(
                obj=item.obj,
                propSet=[
                    vmodl.DynamicProperty(
                        name="config.extraConfig",
                        val=array(
                            vim.option.OptionValue,
                            vim.option.OptionValue(key=key[item.obj._moId in self.agents], value="x"),
                        ),
                    )
                ],
            )
            for item in spec.objectSet
        ]
        return QUERY.RetrieveResult(objects=found)


def watch(server: Server) -> VmWatch:
    return VmWatch(server, ["datastore-1"])


ENTERED = changed(
    "vm-1",
    "enter",
    runtime__powerState="poweredOn",
    config__hardware__device=[disk(2000, "[ds] web/web.vmdk")],
    config__files__vmPathName="[ds] web/web.vmx",
)


def test_what_has_not_changed_is_as_it_was() -> None:
    server = Server([ENTERED], None, [])
    one = watch(server)
    first = one.states()
    assert list(first) == ["vm-1"] and first["vm-1"].vmx_path == "[ds] web/web.vmx"
    assert first["vm-1"].disks is not None and first["vm-1"].disks[0].files == (("datastore-1", "web/web.vmdk"),)
    assert one.states() == one.states() == first
    assert server.versions == ["", "1", "1"] and server.filters == 1


def test_what_changed_is_as_it_is_now() -> None:
    moved = [disk(2000, "[ds] web/web-1.vmdk"), disk(2001, "[ds] web/new.vmdk")]
    server = Server(
        [ENTERED, changed("vm-2", "enter", runtime__powerState="poweredOff")],
        [changed("vm-1", config__hardware__device=moved, runtime__powerState="poweredOff"), changed("vm-2", "leave")],
        [changed("vm-1", config__hardware__device=None), changed("vm-3", "enter", runtime__powerState="poweredOn")],
    )
    one = watch(server)
    assert set(one.states()) == {"vm-1", "vm-2"}
    left = one.states()
    assert set(left) == {"vm-1"}
    only = left["vm-1"]
    assert only.power == "poweredOff" and only.disks is not None and [each.key for each in only.disks] == [2000, 2001]
    assert only.vmx_path == "[ds] web/web.vmx", "the rest stays"
    last = one.states()
    assert last["vm-1"].disks is None and last["vm-3"].power == "poweredOn"


def test_an_answer_in_several_parts_is_read_to_its_end() -> None:
    server = Server([ENTERED, "more"], [changed("vm-2", "enter", runtime__powerState="poweredOn")])
    assert set(watch(server).states()) == {"vm-1", "vm-2"} and server.versions == ["", "1"]


def test_a_plan_and_the_looks_read_the_same_vms() -> None:
    """The devices are read once, for the plan. Unchanged properties are not read again."""
    second = changed("vm-0", "enter", name="web", runtime__powerState="poweredOff")
    server = Server([ENTERED, second], [changed("vm-1", name="zeta")], [])
    one = watch(server)
    assert [(vm.moid, vm.name, vm.power) for vm in one.vms()] == [
        ("vm-1", "", "poweredOn"),
        ("vm-0", "web", "poweredOff"),
    ]
    assert [vm.moid for vm in one.vms()] == ["vm-0", "vm-1"], "by name"
    assert set(one.states()) == {"vm-0", "vm-1"} and server.filters == 1


def test_a_tree_that_cannot_be_read_is_not_taken_for_an_empty_one() -> None:
    server = Server([ENTERED], [changed("vm-1", unread=(TREE,))])
    one = watch(server)
    assert one.states()["vm-1"].seen and not one.states()["vm-1"].seen


def test_what_could_not_be_read_stays_so_until_it_is_read() -> None:
    tree = array(vim.vm.SnapshotTree)
    later = changed("vm-1")
    later.changeSet = [QUERY.Change(name=TREE, op="assign", val=tree)]
    server = Server([ENTERED], [changed("vm-1", unread=(TREE,))], [changed("vm-1", name="web")], [later])
    one = watch(server)
    assert [one.states()["vm-1"].seen for _unused in range(4)] == [True, False, False, True]


def test_a_look_changes_nothing_of_an_earlier_one() -> None:
    server = Server([ENTERED], [changed("vm-1", "leave")])
    one = watch(server)
    first = one.states()
    assert one.states() == {} and set(first) == {"vm-1"}


def test_after_an_error_all_of_it_is_read_again() -> None:
    """The filter is lost with its session."""
    gone = changed("vm-1", "leave")
    server = Server([ENTERED], SessionLost("it ended", "Try again"), [ENTERED], [gone])
    one = watch(server)
    first = one.states()
    assert one.states() == first and server.filters == 2 and server.versions == ["", "1", ""]
    assert one.states() == {}


def test_a_second_error_is_reported() -> None:
    server = Server(ConnectionFailed("away", ""), ConnectionFailed("away again", ""))
    with pytest.raises(ConnectionFailed, match="away again"):
        watch(server).states()


def test_a_login_in_between_is_no_answer() -> None:
    """Changes during the time without a filter are not known."""
    server = Server([ENTERED], [], [ENTERED])
    one = watch(server)
    one.states()
    server.logins += 1
    one.states()
    assert server.filters == 2 and server.versions == ["", ""]


def denied(vm: str, *paths: str) -> Any:
    update = changed(vm)
    fault = vim.fault.NoPermission(privilegeId="System.Read", object=vim.VirtualMachine(vm, None))
    update.missingSet = [QUERY.MissingProperty(path=path, fault=fault) for path in paths]
    return update


@pytest.mark.parametrize("paths", [(POWER,), (TREE,), (POWER, DEVICES, TREE)])
def test_a_vm_that_may_not_be_read_spoils_no_other(paths: tuple[str, ...]) -> None:
    other = changed("vm-2", "enter", name="db", runtime__powerState="poweredOff")
    one = watch(Server([ENTERED, other], [denied("vm-1", *paths)], [denied("vm-1", *paths)]))
    assert [vm.known for vm in one.vms() if vm.moid == "vm-1"] == [True]
    (unread,) = [vm for vm in one.vms() if vm.moid == "vm-1"]
    assert not unread.known and "System.Read" in unread.why_unknown and "vm-1" in unread.why_unknown
    states = one.states()
    assert states["vm-2"].seen and states["vm-1"].power == "poweredOn" and states["vm-1"].seen == (TREE not in paths)


def test_one_that_may_not_be_read_is_not_asked_for_at_each_look() -> None:
    """For example vSphere's own VMs, which only administrators can read."""
    hidden = denied("vm-2", POWER, TREE, DEVICES)
    hidden.kind = "enter"
    server = Server([ENTERED, hidden], [])
    one = watch(server)
    assert set(one.states()) == set(one.states()) == {"vm-1", "vm-2"} and server.asked == [["vm-1"]]


def test_a_datastore_that_may_not_be_read_is_an_error() -> None:
    """Otherwise its VMs would be overlooked."""

    class Hidden(Server):
        def call(self, *arguments: Any, **options: Any) -> Any:
            found = super().call(*arguments, **options)
            if isinstance(found, QUERY.UpdateSet):
                datastore = vim.Datastore("datastore-1", None)
                fault = vim.fault.NoPermission(privilegeId="System.View", object=datastore)
                found.filterSet[1].missingSet = [QUERY.MissingObject(obj=datastore, fault=fault)]
            return found

        def read(self, spec: Any) -> Any:
            raise PermissionDenied("not this one", "")

    with pytest.raises(PermissionDenied):
        watch(Hidden([ENTERED])).states()


def test_vspheres_own_vms_are_left_out_by_what_vsphere_wrote_into_them() -> None:
    own = changed("vm-2", "enter", name="vCLS-1", runtime__powerState="poweredOn")
    own.changeSet.append(ENTERED.changeSet[1])
    same = changed("vm-3", "enter", name="vCLS-2", runtime__powerState="poweredOn")
    same.changeSet.append(ENTERED.changeSet[1])
    off = changed("vm-4", "enter", name="spare", runtime__powerState="poweredOff", config__guestId="otherLinuxGuest")
    off.changeSet.append(ENTERED.changeSet[1])
    windows = changed("vm-5", "enter", name="ad", config__guestId="windows2019srv_64Guest")
    away = changed("vm-6", "enter", name="vCLS-3", runtime__connectionState="disconnected")
    server = Server([ENTERED, own, same, off, windows, away], [changed("vm-2", name="web")])
    server.agents = {"vm-2", "vm-6"}
    one = watch(server)
    assert {vm.moid for vm in one.vms()} == set(one.states()) == {"vm-1", "vm-3", "vm-4", "vm-5"}
    assert server.asked == [["vm-1", "vm-2", "vm-3", "vm-4", "vm-6"]], "once, and none with Windows"


def test_one_of_them_that_is_first_seen_while_it_is_off_or_away_is_known_later() -> None:
    """vCenter may not know its configuration yet."""
    off = changed("vm-2", "enter", name="vCLS-1", runtime__powerState="poweredOff")
    away = changed("vm-3", "enter", name="vCLS-2", runtime__connectionState="disconnected")
    back = [
        changed(vm, runtime__powerState="poweredOn", runtime__connectionState="connected") for vm in ("vm-2", "vm-3")
    ]
    server = Server([ENTERED, off, away], back)
    one = watch(server)
    one.vms()
    server.agents = {"vm-2", "vm-3"}
    assert {vm.moid for vm in one.vms()} == {"vm-1"}


def test_what_is_no_answer_of_vsphere_is_reported_as_such() -> None:
    class Odd(Server):
        def call(self, *arguments: Any, **options: Any) -> Any:
            found = super().call(*arguments, **options)
            if isinstance(found, QUERY.UpdateSet):
                return type("Update", (), {"truncated": False, "version": "1", "filterSet": [7]})()
            return found

    with pytest.raises(ConnectionFailed, match="did not return a valid vSphere response"):
        watch(Odd([], [])).states()


def test_without_datastores_nothing_is_asked() -> None:
    server = Server()
    one = VmWatch(server, [])
    assert one.states() == {} and one.vms() == [] and server.filters == 0
