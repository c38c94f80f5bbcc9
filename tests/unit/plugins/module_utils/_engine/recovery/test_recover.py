# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recovery removes, leaves and watches. Status, which contacts no server, shows the same."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import main as cli
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import PermissionDenied, RunFailed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery import orphans, recover
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery.leftovers import Leftover
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery.result import Recovery
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import identity
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal_entries import Entry
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import vm_snapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_snapshots import Search
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.model import TREE, Expected, Scenario, nfs, vm
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.play import Stage
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.vsphere import Vcenter, connect

RUN, NAME = "20260131T020000-1f2e3d4c", "vmware-zfs 20260131T020000-1f2e3d4c"
SERVERS = ((nfs(vm("web"), vm("db"), vm("app")),),)
A_CLONE = "0c0c0c0c0c0c"


class World(Stage):
    """An engine on a machine that has been up for a long time, and one server."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            Scenario("recovery", SERVERS, Expected({})), lambda number, config: Vcenter(config), connect, folder
        )
        (self.server,) = self.servers
        assert isinstance(self.server, Vcenter)
        self.vcenter: Vcenter = self.server
        long_ago = datetime.now(timezone.utc) - timedelta(days=30)
        self.engine.host = replace(self.engine.host, made=long_ago)
        self.there: dict[str, Any] = {one.config.name: one for one in self.vcenter.inventory.machines.values()}

    def snapshot(self, name: str, run: str = RUN, host: str = "", machine: str = "") -> None:
        """Give the VM a VMware snapshot of this host, or of a host with another identity."""
        maker = replace(self.engine.host, id=host or self.engine.host.id, machine=machine)
        text = identity.description(maker, run, f"{TREE}@one")
        self.vcenter.inventory.add_snapshot(self.there[name], identity.snapshot_name(run), text, False)

    def die(self, *names: str, run: str = RUN, snapshot: bool = True, host: str = "") -> None:
        """Add a run that died while it held these VMs."""
        journal = Journal(self.engine.journal._database, host or self.engine.host.id)
        journal.open_run(run, "", TREE, [f"{TREE}@one"])
        entries = [
            Entry(
                run, self.vcenter.host, self.vcenter.port, self.there[name].moid, self.there[name].instance_uuid, name,
                identity.snapshot_name(run), username=self.vcenter.user,
            )
            for name in names
        ]  # fmt: skip
        ids = journal.intend(entries)
        journal.created(dict.fromkeys(ids, ""))
        for name in names if snapshot else ():
            self.snapshot(name, run)

    def register_again(self, name: str, power: str = "off") -> None:
        """Unregister the VM and register it again with another managed object ID, as after a restore."""
        self.vcenter.unregister(name)
        self.vcenter.register_again(name)
        self.vcenter.vm(name, power=power)

    def copy(self, name: str, power: str = "off") -> None:
        """Register the VM a second time, from a clone of the ZFS snapshot, with its instance UUID."""
        moid = self.vcenter.register("vmware", name=f"{name}-restored", power=power)
        copied = self.vcenter.inventory.machines[moid]
        copied.instance_uuid = self.there[name].instance_uuid
        self.there[copied.config.name] = copied
        self.snapshot(copied.config.name)

    def recover(self, **options: Any) -> Recovery:
        return recover.recover(self.engine, **options)

    def ours(self) -> list[str]:
        return sorted(name for name, trees in self.vcenter.snapshots().items() if trees)

    def said(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
        """Return the exit status and the output of the command for the same state."""
        code = cli.main(arguments)
        told = capsys.readouterr()
        return code, [
            line for line in (told.out + told.err).splitlines() if NAME in line or "no interrupted run" in line
        ]


def names(items: list[Leftover]) -> list[str]:
    return sorted(item.vm for item in items)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(identity, "time", SimpleNamespace(monotonic=lambda: 1e6))
    monkeypatch.setattr(cli, "open_engine", partial(open_engine, connect=connect))
    monkeypatch.setattr(recover, "_BACKOFF", (0.0,))
    monkeypatch.setattr(recover, "_LIMIT", 5.0)
    opened = World(tmp_path)
    with opened:
        monkeypatch.setenv("VMWARE_ZFS_STATE_DIR", str(tmp_path / "state"))
        monkeypatch.setenv("VMWARE_ZFS_KEY_FILE", str(tmp_path / "etc" / "secret.key"))
        monkeypatch.setenv("VMWARE_ZFS_LOCK_DIR", str(tmp_path / "run"))
        yield opened


# ---- Clones of the storage host


@pytest.mark.parametrize("maker", ["former", "1.0.0", "lost"])
def test_a_scan_leaves_what_a_clone_of_this_host_may_need(world: World, maker: str) -> None:
    """This host does not know the run, which may be alive on the other host."""
    host = world.engine.host
    world.engine.host = replace(host, former=host.former | {A_CLONE}, machine="0a0a0a0a0a0a")
    ids = {"former": A_CLONE, "1.0.0": next(iter(host.former)), "lost": "0b0b0b0b0b0b"}
    world.snapshot("web", host=ids[maker], machine="0a0a0a0a0a0a" if maker == "lost" else "")
    for dry in (True, False):
        done = world.recover(scan=True, dry=dry)
        assert done.removed == [] and names(done.left) == ["web"] and world.ours() == ["web"]
        assert "an active run on a clone of this host" in done.left[0].reason
    with pytest.raises(RunFailed, match="1 VMware snapshot may still exist"):
        done.require_clean()


def test_a_scan_ignores_what_another_host_made(world: World) -> None:
    text = f"[vmware-zfs host=0d0d0d0d0d0d run={RUN} machine=0e0e0e0e0e0e snapshot=tank/a@b]"
    world.vcenter.inventory.add_snapshot(world.there["web"], NAME, text, False)
    done = world.recover(scan=True)
    assert done == Recovery() and world.ours() == ["web"]


def test_a_scan_removes_what_this_host_made_also_without_a_database(world: World) -> None:
    world.snapshot("web")
    assert names(world.recover(scan=True).removed) == ["web"] and world.ours() == []


def test_what_the_journal_knows_is_ours_under_a_former_identity_too(world: World) -> None:
    """The disk was restored elsewhere, or this is the first run since release 1.0.0."""
    world.die("web", "db", host=A_CLONE)
    world.engine.host = replace(world.engine.host, former=frozenset([A_CLONE]))
    assert names(world.recover().removed) == ["db", "web"] and world.ours() == []
    world.snapshot("app", host=A_CLONE)  # an older database, which has the run but not this VM
    assert names(world.recover(scan=True).removed) == ["app"] and world.ours() == []


def test_a_run_that_may_live_on_the_machine_this_one_was_copied_from_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its journal was copied during a run."""
    world.die("web", "db", host=A_CLONE)
    long_ago = world.engine.host
    world.engine.host = replace(long_ago, former=frozenset([A_CLONE]), made=datetime.now(timezone.utc))
    world.snapshot("app", host=A_CLONE)  # taken by the run after the copy was made
    for options in ({}, {"dry": True}, {"scan": True}):
        done = world.recover(**options)
        assert done.removed == [] and {"db", "web"} <= set(names(done.left)) and world.ours() == ["app", "db", "web"]
        assert "the run may still be alive there" in done.left[0].reason
    assert recover.before_run(world.engine, "tank").removed == [] and world.ours() == ["app", "db", "web"]
    code, said = world.said(capsys, "status")
    assert code == 1 and len(said) == 2 and all("the run may still be alive there" in line for line in said)
    world.engine.host = replace(long_ago, former=frozenset([A_CLONE]))  # an hour later
    assert names(world.recover(scan=True).removed) == ["app", "db", "web"] and world.ours() == []


# ---- VMs that were restored


@pytest.mark.parametrize("power", ["off", "suspended"])
def test_a_restored_vm_is_left_with_what_it_has_to_be_reverted_to(
    world: World, power: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.die("web", "db")
    world.register_again("web", power)
    for dry in (True, False):
        done = world.recover(dry=dry)
        assert names(done.left) == ["web"] and "revert it to" in done.left[0].reason, done
        assert names(done.removed) == ["db"]
    assert world.ours() == ["web"] and names(recover.before_run(world.engine, "tank").left) == ["web"]
    code, (said,) = world.said(capsys, "status")
    assert code == 1 and said.startswith("left: ") and "revert it to" in said
    world.there["web"].snapshots.clear()  # reverted and removed manually
    assert world.recover() == Recovery() and world.engine.journal.open_entries() == []


def test_a_vm_that_was_registered_anew_and_runs_is_released(world: World) -> None:
    """It was restored and powered on without a revert, or its host was added to vCenter again, so it grows."""
    world.die("web")
    world.register_again("web", "off")
    assert names(world.recover().left) == ["web"]
    world.vcenter.vm("web", power="on")
    assert names(world.recover().removed) == ["web"] and world.ours() == []


def test_a_vm_that_is_merely_off_is_released(world: World) -> None:
    world.die("web")
    world.vcenter.vm("web", power="off")
    assert names(world.recover().removed) == ["web"] and world.ours() == []


@pytest.mark.parametrize("scan", [False, True])
def test_beside_the_original_the_restored_one_is_left_alone(world: World, scan: bool) -> None:
    world.die("web")
    world.copy("web")
    done = world.recover(scan=scan)
    assert names(done.removed) == ["web"] and world.ours() == ["web-restored"]
    assert names(done.left) == (["web-restored"] if scan else [])
    assert names(world.recover(scan=True).left) == ["web-restored"] and world.ours() == ["web-restored"]


@pytest.mark.parametrize("first", ["original", "restored"])
def test_of_two_with_one_instance_uuid_the_running_one_is_released(world: World, first: str) -> None:
    """This does not depend on the order in which the server lists them."""
    world.die("web")
    if first == "restored":
        world.copy("web")
    world.register_again("web", "on")
    if first == "original":
        world.copy("web")
    assert names(world.recover().removed) == ["web"] and world.ours() == ["web-restored"]


@pytest.mark.parametrize("beside", [False, True])
def test_a_vm_whose_instance_uuid_changed_is_known_by_its_vmware_snapshot(world: World, beside: bool) -> None:
    """The VMware snapshot's name is unique. The VM has a new UUID to distinguish it from a copy, which may exist."""
    world.die("web")
    if beside:
        world.copy("web", "on")
        world.there["web-restored"].snapshots.clear()
    world.there["web"].instance_uuid = "0f0f0f0f-0000-4000-8000-0f0f0f0f0f0f"
    world.vcenter.vm("web", power="off")
    for dry in (True, False):
        done = world.recover(dry=dry)
        assert names(done.left) == ["web"] and "revert it to" in done.left[0].reason
        assert done.removed == done.watched == [] and world.ours() == ["web"]
    world.vcenter.vm("web", power="on")
    assert names(world.recover().removed) == ["web"] and world.ours() == []


def test_beside_the_running_vm_one_with_another_instance_uuid_is_left_alone(world: World) -> None:
    """vCenter was reinstalled, and a restored VM has the managed object ID now."""
    world.die("web")
    restored, original = world.there["web"], world.there["app"]
    original.instance_uuid, restored.instance_uuid = restored.instance_uuid, original.instance_uuid
    world.snapshot("app")
    world.vcenter.vm("web", power="off")
    assert len(world.recover().removed) == 1 and world.ours() == ["web"]


def test_a_restored_one_on_another_vcenter_is_left_alone(world: World) -> None:
    """The credential of the run's server was removed, and a scan finds the VM on another server."""
    world.die("web")
    with world.engine.journal._database.transaction() as connection:
        connection.execute("UPDATE vm_snapshot SET hostname = 'old.invalid'")
    world.register_again("web", "off")
    for dry in (True, False):
        done = world.recover(scan=True, dry=dry)
        assert done.removed == [] and names(done.left) == ["web"] and world.ours() == ["web"]
        assert "revert it to" in done.left[0].reason


# ---- Recovery and status agree


def test_what_is_watched_is_neither_left_nor_over(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.die("web", snapshot=False)
    world.vcenter.unregister("web")
    told = [world.said(capsys, "status")]
    assert told[0][0] == 1 and "no recovery has checked for it yet" in told[0][1][0]
    done = world.recover()
    assert names(done.watched) == ["web"] and done.left == done.removed == []
    again = world.recover(dry=True)
    assert again.watched == done.watched and again.left == again.removed == []
    told = [world.said(capsys, *command) for command in (("status",), ("recover", "--dry-run"))]
    sentence = (
        f"watched: VMware snapshot '{NAME}' of the VM 'web' on {world.vcenter.host}:{world.vcenter.port} (run {RUN}): "
    )
    assert told[0] == told[1] and told[0][0] == 0
    assert told[0][1] == [sentence + done.watched[0].reason]


def test_what_is_watched_is_left_while_nobody_can_look(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Status, which contacts no server, shows it as well."""
    world.die("web", snapshot=False)
    world.vcenter.unregister("web")
    assert names(world.recover().watched) == ["web"]
    (credential,) = world.engine.credentials.list_all()
    password = world.engine.credentials.password(credential)
    world.engine.credentials.delete(credential.id)
    done = world.recover()
    assert names(done.left) == ["web"] and done.watched == []
    told = [world.said(capsys, *command) for command in (("status",), ("recover", "--dry-run"))]
    assert [code for code, _unused in told] == [1, 1]
    assert told[0][1][0] == told[1][1][0] and told[0][1][0].startswith("left: ") and "No credential" in told[0][1][0]
    world.engine.credentials.insert(replace(credential, id=0), password)
    assert names(world.recover().watched) == ["web"] and world.said(capsys, "status")[0] == 0


def test_nothing_is_said_of_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.said(capsys, "recover") == (0, ["nothing to recover: no interrupted run left anything"])
    assert world.said(capsys, "status") == (0, [])
    assert cli.main(["status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["left"] == told["watched"] == []


def test_what_a_dry_recovery_cannot_see_is_left(world: World) -> None:
    world.die("web", snapshot=False)
    world.vcenter.vm("web", properties={"runtime.connectionState": "disconnected"})
    done = world.recover(dry=True)
    assert names(done.left) == ["web"] and "not connected to vCenter" in done.left[0].reason


# ---- One object that fails


def test_a_scan_goes_on_beside_a_vm_that_may_not_be_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.snapshot("web")

    def blind(session: Any, prefix: str) -> Search:
        done = vm_snapshots.search(session, prefix)
        sick = world.there["app"].moid
        return replace(done, read=done.read - {sick}, unread={sick: "app"})

    monkeypatch.setattr(orphans, "search", blind)
    done = world.recover(scan=True)
    assert names(done.removed) == ["web"] and world.ours() == []
    (problem,) = done.problems
    assert problem.startswith(f"No stored account can read the snapshots of 1 VM on {world.vcenter.host}")
    assert "('app')" in problem


def test_what_the_server_refuses_of_one_vm_keeps_no_other_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account cannot read the tasks of the first VM."""
    world.die("app", snapshot=False)
    world.die("db", "web", run=RUN + "-2")
    with world.engine.journal._database.transaction() as connection:
        connection.execute("UPDATE vm_snapshot SET creation = 'asked', state = 'intended'")
    sick = world.there["app"]
    creations = vm_snapshots.creations

    def refuse(session: Any, moid: str) -> Any:
        if moid == sick.moid:
            raise PermissionDenied("The account lacks the privilege System.View on it to look for a task")
        return creations(session, moid)

    monkeypatch.setattr(vm_snapshots, "creations", refuse)
    done = world.recover()
    assert names(done.removed) == ["db", "web"] and names(done.left) == ["app"] and world.ours() == []
