# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second run of a playbook restores only what no earlier restore brought back, or what no longer exists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator, Sequence

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError, RestoreFailed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import earlier, ensure
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.plan import Helper, RestorePlan
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.request import (
    RestoreRequest,
    parse_snapshot,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.result import (
    RestoreResult,
    VmRestored,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.steps import VmSteps
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.summary import summary
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import (
    CLONE,
    DISK,
    DONE,
    ENDED,
    FOLDER,
    MOUNT,
    RestoreRecord,
    Restores,
)

SNAPSHOT = "tank/vmware@auto-2026-01-31_02-00"
NAME = "mail-restored-2026-01-31"
REQUEST = RestoreRequest(parse_snapshot(SNAPSHOT), ("mail",))
VM = VmRestored("mail", NAME, moid="vm-9", restored=True)
# By the name in the request: the name and the path of the configuration in the ZFS snapshot.
SOURCES = {
    "mail": ("mail", "mail/mail.vmx"),
    "web": ("web", "web/web.vmx"),
    "old/mail.vmx": ("mail", "old/mail.vmx"),
}


class World:
    """The journal of restores is real. The VMs on the server and the restores that are carried out are recorded."""

    def __init__(self, restores: Restores) -> None:
        self.engine: Any = SimpleNamespace(restores=restores, zfs=None)
        self.restores = restores
        self.there = {"vm-9"}  # the VMs that exist
        self.disks: dict[str, list[str]] = {}
        self.datastores = {"datastore-1"}
        self.asked: list[RestoreRequest] = []
        self.failure: RestoreFailed | None = None
        self.refusals: tuple[str, ...] = ()
        self.plan: Callable[[RestoreRequest], RestorePlan] = lambda request: RestorePlan(
            request, refusals=self.refusals, warnings=("A warning.",)
        )

    def finished(self, *vms: VmRestored, number: int = 1, result: bool = True, **changes: Any) -> RestoreRecord:
        """Write a finished restore to the journal. `path` is that of the first VM in the ZFS snapshot."""
        path, way = changes.pop("path", "mail/mail.vmx"), changes.pop("way", FOLDER)
        record = RestoreRecord(f"r{number}", SNAPSHOT, way, "mail", NAME, "vcenter", 443, "restorer")
        self.restores.open(record)
        for vm in vms:
            steps = VmSteps(self.restores, record.id, path if vm.name == "mail" else SOURCES[vm.name][1])
            steps.done(steps.intend("registration", {}), vm_moid=vm.moid)
            steps.done(steps.intend("rename", {"vm_moid": vm.moid, "after": vm.restored_name}))
            if vm.restored:
                steps.done(steps.intend("handover", {}))
        done = RestoreResult(record.id, SNAPSHOT, way, list(vms), **changes)
        self.restores.keep_result(record.id, done.as_dict() if result else {})
        self.restores.set_state(record.id, "done")
        return record

    def ensure(self, request: RestoreRequest = REQUEST, check: bool = False) -> ensure.Ensured:
        self.asked.clear()
        return ensure.ensure(self.engine, "session", request, check)  # type: ignore[arg-type]

    def execute(self, _engine: Any, _session: Any, request: RestoreRequest) -> RestoreResult:
        self.asked.append(request)
        if self.failure is not None:
            raise self.failure
        vms = [VmRestored(vm, f"{vm} is new", restored=True) for vm in request.vms]
        return RestoreResult("new", SNAPSHOT, request.way, vms)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with Database.open(Paths(tmp_path / "state", tmp_path / "key", tmp_path / "locks")) as database:
        made = World(Restores(database))

        def sources(_engine: Any, request: RestoreRequest) -> list[Any]:
            found = [SOURCES[vm] for vm in request.vms]
            return [SimpleNamespace(name=name, vm=SimpleNamespace(path=path)) for name, path in found]

        def now(_session: Any, vms: Sequence[str]) -> dict[str, Any]:
            return {moid: None for moid in vms if moid in made.there}

        def disks(_session: Any, moid: str) -> Any:
            files = made.disks.get(moid, [])
            return SimpleNamespace(key_of=lambda file: 2000 if file in files else None)

        def plan(_session: Any, _zfs: Any, request: RestoreRequest) -> RestorePlan:
            made.asked.append(request)
            return made.plan(request)

        monkeypatch.setattr(earlier, "_sources", sources)
        monkeypatch.setattr(earlier, "snapshot_date", lambda zfs, snapshot: "2026-01-31")
        monkeypatch.setattr(earlier, "read_now", now)
        monkeypatch.setattr(earlier, "read_disks", disks)
        monkeypatch.setattr(earlier, "disk_of", lambda source, number: f"mail/mail_{number}.vmdk")

        def stores(_session: Any) -> list[Any]:
            return [SimpleNamespace(moid=one) for one in made.datastores]

        monkeypatch.setattr(earlier, "list_datastores", stores)
        monkeypatch.setattr(ensure, "execute", made.execute)
        monkeypatch.setattr(ensure, "make_plan", plan)
        yield made


@pytest.mark.parametrize("check", [False, True])
def test_a_vm_that_was_restored_before_is_not_restored_again(world: World, check: bool) -> None:
    world.finished(VM, seconds=4.0)
    done = world.ensure(check=check)
    assert not done.changed and world.asked == []
    assert done.as_dict() == {
        **RestoreResult("r1", SNAPSHOT, FOLDER, [VM], seconds=4.0).as_dict(),
        "steps": [],
        "refusals": [],
        "existing_restores": ["r1"],
        "summary": [f"'{NAME}' exists from an earlier restore and was not changed"],
    }
    assert done.kept == [NAME]


def test_without_an_earlier_restore_everything_is_restored(world: World) -> None:
    done = world.ensure()
    assert done.changed and world.asked == [REQUEST] and done.existing == [] and done.kept == []
    assert done.result.names() == ["mail is new"]


@pytest.mark.parametrize(
    "changes",
    [{"name": "other"}, {"replace": True}, {"way": CLONE}, {"snapshot": parse_snapshot("tank/vmware@later")}],
    ids=str,
)
def test_another_request_is_another_restore(world: World, changes: dict[str, Any]) -> None:
    world.finished(VM)
    wanted = replace(REQUEST, **changes)
    assert world.ensure(wanted).changed and world.asked == [wanted]


def test_a_vm_with_a_name_of_its_own_is_found_by_it(world: World) -> None:
    world.finished(replace(VM, restored_name="other"))
    assert not world.ensure(replace(REQUEST, name="other")).changed
    assert world.ensure().changed


def test_a_vm_that_was_deleted_is_restored_again(world: World) -> None:
    world.finished(VM)
    world.there.clear()
    assert world.ensure().changed


def test_an_ended_restore_does_not_count(world: World) -> None:
    world.restores.set_state(world.finished(VM).id, ENDED)
    assert world.ensure().changed


def test_a_vm_that_failed_in_an_earlier_restore_is_restored(world: World) -> None:
    world.there.add("vm-10")
    world.finished(VM, VmRestored("web", "web-restored-2026-01-31", moid="vm-10", error="No space."))
    done = world.ensure(replace(REQUEST, vms=("mail", "web")))
    assert [one.vms for one in world.asked] == [("web",)]
    assert done.changed and done.result.restore_id == "new" and done.existing == ["r1"]
    assert done.result.names() == [NAME, "web is new"] and done.kept == [NAME]


def test_two_vms_of_one_name_are_told_apart_by_their_files(world: World) -> None:
    """The names of their copies differ, because the first one has the default name."""
    world.finished(VM)
    other = replace(REQUEST, vms=("old/mail.vmx",))
    assert world.ensure(other).changed and world.asked == [other]


def test_the_newest_of_several_restores_is_returned(world: World) -> None:
    world.there.add("vm-10")
    world.finished(VM)
    world.finished(replace(VM, moid="vm-10"), number=2)
    done = world.ensure()
    assert [vm.moid for vm in done.result.vms] == ["vm-10"] and done.existing == ["r2"]


def test_a_vm_in_place_of_another_one_is_found(world: World) -> None:
    wanted = replace(REQUEST, replace=True)
    world.finished(replace(VM, restored_name="mail today", replaced="mail-replaced-2026-02-01"))
    assert not world.ensure(wanted).changed
    assert world.ensure().changed


def test_a_restore_that_was_killed_after_the_handover_has_no_result_and_still_counts(world: World) -> None:
    world.finished(VM, result=False)
    done = world.ensure()
    assert not done.changed and done.result.restore_id == "r1"
    assert [(vm.restored_name, vm.moid) for vm in done.result.vms] == [(NAME, "vm-9")]


def test_check_mode_returns_the_plan_and_what_forbids_it(world: World) -> None:
    done = world.ensure(check=True)
    assert done.changed and done.result.restore_id == "" and done.result.warnings == ["A warning."]
    world.refusals = ("No host can take the VM.",)
    done = world.ensure(check=True)
    assert not done.changed and done.refusals == ["No host can take the VM."]
    assert done.summary() == ["not possible: No host can take the VM."]


def test_check_mode_shows_what_exists_and_what_would_be_done(world: World) -> None:
    world.finished(VM)
    helper = Helper("vm-3", "helper", "", "host-1")
    world.plan = lambda request: RestorePlan(replace(request, way=DISK), helper=helper, disk="web/web.vmdk")
    done = world.ensure(replace(REQUEST, vms=("mail", "web")), check=True)
    assert done.summary() == [
        f"'{NAME}' exists from an earlier restore and was not changed",
        "would attach web/web.vmdk to 'helper'",
    ]


def test_the_summary_of_a_restore_names_what_a_person_looks_for() -> None:
    vms = [
        VmRestored("mail", "mail", level="filesystem", host="esx1", restored=True, replaced="mail-replaced"),
        VmRestored("web", "web-new", level="still", restored=True, powered_on=True, heartbeat="green", error="Slow."),
        VmRestored("db", "db-new", level="crash", error="No space."),
    ]
    datastores = [{"name": "restore-r1", "dataset": "tank/vmware"}]
    attached = {"vm": "helper\n", "moid": "vm-3", "file": "[restore-r1] a.vmdk"}
    assert summary(RestoreResult("r1", SNAPSHOT, FOLDER, vms, datastores, attached)) == [
        "'mail' is restored as 'mail' on esx1 (level filesystem, off)",
        "'web' is restored as 'web-new' (level still, on, heartbeat green): Slow.",
        "'db' was not restored: No space.",
        "the original of 'mail' is now named 'mail-replaced'",
        "the datastore restore-r1 is a clone of tank/vmware",
        "[restore-r1] a.vmdk is attached to 'helper\\n'",
    ]


def test_a_failure_names_the_earlier_restores(world: World) -> None:
    world.finished(VM)
    world.failure = RestoreFailed("web failed", "Try again", vms=[])
    with pytest.raises(RestoreFailed) as raised:
        world.ensure(replace(REQUEST, vms=("mail", "web")))
    assert raised.value.details == {"vms": [], "existing_restores": ["r1"]}


def test_an_attached_disk_is_not_attached_twice(world: World) -> None:
    wanted = RestoreRequest(parse_snapshot(SNAPSHOT), ("mail",), DISK, disk=1, attach_to="helper")
    attached = {"vm": "helper", "moid": "vm-3", "file": "[restore-r1] mail/mail_1.vmdk"}
    world.disks["vm-3"] = [attached["file"]]
    world.finished(way=DISK, attached=attached)
    done = world.ensure(wanted)
    assert not done.changed and done.result.attached == attached and done.existing == ["r1"]
    assert world.ensure(replace(wanted, disk=2)).changed
    assert world.ensure(replace(wanted, attach_to="vm-4")).changed
    assert not world.ensure(replace(wanted, attach_to="vm-3")).changed
    world.disks.clear()
    assert world.ensure(wanted).changed, "someone removed it"


MOUNTED = RestoreRequest(parse_snapshot(SNAPSHOT), way=MOUNT, host="esx1")


def a_mount(world: World, host: str = "esx1", number: int = 1) -> str:
    datastores = [{"moid": "datastore-1", "name": f"restore-r{number}", "dataset": "tank/vmware", "clone": "c"}]
    record = world.finished(way=MOUNT, datastores=datastores, number=number)
    world.restores.done(world.restores.intend(record.id, "mount", {"host": host}))
    return record.id


def test_a_mounted_snapshot_is_not_mounted_twice_on_one_host(world: World) -> None:
    a_mount(world)
    done = world.ensure(MOUNTED)
    assert not done.changed and done.existing == ["r1"] and done.kept == [SNAPSHOT]
    assert not world.ensure(replace(MOUNTED, host="ESX1.")).changed
    assert world.ensure(replace(MOUNTED, host="esx2")).changed


def test_a_datastore_that_someone_unmounted_is_named(world: World) -> None:
    a_mount(world)
    world.datastores.clear()
    with pytest.raises(InputError, match=r"'restore-r1' of the restore r1 was unmounted .* restores --end r1'"):
        world.ensure(MOUNTED)


def test_the_mounts_of_a_snapshot_are_found_by_host(world: World) -> None:
    a_mount(world)
    a_mount(world, "esx2", number=2)
    assert [one.id for one in earlier.mounted(world.engine, SNAPSHOT)] == ["r2", "r1"]
    assert [one.id for one in earlier.mounted(world.engine, SNAPSHOT, "esx1")] == ["r1"]
    assert earlier.mounted(world.engine, "tank/vmware@other") == []
    assert {one.state for one in world.restores.list()} == {DONE}
