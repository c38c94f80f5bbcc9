# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore does on the storage host, and how it is undone, with real ZFS, block cloning, exports and a client."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError, ZfsError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.server import NfsServer
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import folder_copy, undo_storage
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.clones import (
    Export,
    PlannedClone,
    export_clone,
    plan_clones,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.folder_copy import Place
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import (
    FOLDER,
    RestoreRecord,
    Restores,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import clones, holds
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.clones import Clone
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import list_datasets

from tests.lab.guest_door import GuestDoor

POOL = "tank"
MARK = f"{os.getpid():08x}"  # in the IDs of the restores of this session
DATA = 8 * 1024 * 1024
_numbers = count(1)

# A VM with a sparse disk, and what its host leaves beside it. A nested dataset has a disk of its own.
FILL = f"""
cd "$1" && mkdir mail && cd mail
head -c {DATA} /dev/urandom >mail-flat.vmdk
truncate -s 64M mail-sparse.vmdk && head -c 131072 /dev/urandom | dd of=mail-sparse.vmdk bs=128k seek=400 conv=notrunc
echo vmx >mail.vmx && touch .lck-1 mail.vswp && chown 1234:5678 mail.vmx && chmod 640 mail.vmx
mkdir "$1/nested/data" && echo nested >"$1/nested/data/disk.vmdk"
zfs snapshot "$2@point" "$2/nested@point"
echo living >"$1/mail/mail.vmx"
zpool sync tank
"""


class Storage:
    """The engine's view of the guest, with the dataset of a VM and a snapshot of it."""

    def __init__(self, door: GuestDoor, dataset: str) -> None:
        self.door, self.dataset, self.root = door, dataset, f"/{dataset}"
        self.zfs = Zfs(host=door)
        self.server = NfsServer(zfs=self.zfs)
        self.snapshots = [f"{dataset}@point", f"{dataset}/nested@point"]

    def shell(self, script: str, *words: str) -> str:
        ended = self.door.run(["sh", "-ec", script, "sh", *words], 120.0)
        assert not ended.status, ended
        return ended.output

    def state(self) -> str:
        """All that a restore of this session can leave. Other sessions use the same pool at the same time."""
        script = """
            zfs list -H -o name,origin,mounted,userrefs -t filesystem,snapshot -r "$1"
            zfs list -H -o name -r tank/vmware-zfs-restores 2>/dev/null | grep -e "$2" || true
            find /tank/vmware-zfs-restores -maxdepth 1 2>/dev/null | grep -e "$2" || true
            find "$1/" -xdev -printf "%p %s\\n" | sort
            grep -h -e "$1" -e "$2" /proc/self/mounts /var/lib/nfs/etab | grep -v @ | sort
            ls /etc/exports.d 2>/dev/null | grep -e "$2" || true
        """
        return self.shell(script.replace('find "$1/"', 'find "/$1/"'), self.dataset, MARK)


@pytest.fixture(name="storage", scope="module")
def storage_(door: GuestDoor, tree: str) -> Iterator[Storage]:
    storage = Storage(door, f"{tree}/restores")
    storage.shell('zfs create "$1" && zfs create "$1/nested"', storage.dataset)
    storage.shell(FILL, storage.root, storage.dataset)
    storage.shell('ls "$1/.zfs/snapshot/point"', storage.root)
    yield storage


def new_id() -> str:
    return f"20261120T020000-{MARK}-{next(_numbers)}"


def place(storage: Storage, restore: str) -> Place:
    return Place.beside(storage.root, f"mail-restored-{restore}", restore)


def planned(storage: Storage, restore: str) -> list[PlannedClone]:
    return plan_clones(storage.zfs, restore, storage.snapshots, list_datasets(storage.zfs, POOL))


def test_a_quota_counts_although_blocks_are_shared(storage: Storage) -> None:
    storage.shell('zfs set refquota=$(($(zfs get -Hp -o value referenced "$1") + 1000000)) "$1"', storage.dataset)
    try:
        with pytest.raises(InputError, match=rf"the quota of {storage.dataset} leaves"):
            folder_copy.plan_copy(storage.zfs, storage.root, storage.snapshots[0], "mail")
    finally:
        storage.shell('zfs set refquota=none "$1"', storage.dataset)


def test_a_folder_comes_back_with_shared_blocks_and_the_pool_proves_it(storage: Storage) -> None:
    before = storage.state()
    plan = folder_copy.plan_copy(storage.zfs, storage.root, storage.snapshots[0], "mail")
    assert plan.shares and plan.left_out == (".lck-1", "mail.vswp")
    places = [place(storage, new_id()) for _unused in range(2)]
    for where in places:  # the second copy shares blocks that are shared already
        done = folder_copy.copy_folder(storage.zfs, plan, where)
        assert done.shared and done.files == 3 and done.bytes > 2**26
        storage.shell('cd "$1" && for file in mail-flat.vmdk mail-sparse.vmdk mail.vmx; do cmp $file "$2/$file"; done',
                      where.path, plan.source)  # fmt: skip
        facts = storage.shell('stat -c "%u %g %a %Y" "$1/mail.vmx" "$2/mail.vmx"', where.path, plan.source).split("\n")
        assert facts[0] == facts[1] and facts[0].startswith("1234 5678 640")
        assert int(storage.shell('du -k "$1/mail-sparse.vmdk" | cut -f1', where.path)) < 1024
    assert storage.shell('cat "$1/mail/mail.vmx"', storage.root) == "living\n"
    for where in places:
        assert undo_storage.undo(storage.zfs, "folder", where.as_dict()) == ""
    assert storage.state() == before


def test_without_block_cloning_it_is_a_plain_copy_and_is_not_called_shared(storage: Storage) -> None:
    """As on OpenZFS 2.2, where it is off by default."""
    switch = "/sys/module/zfs/parameters/zfs_bclone_enabled"
    storage.shell(f"echo 0 >{switch}")
    try:
        plan = folder_copy.plan_copy(storage.zfs, storage.root, storage.snapshots[0], "mail")
        where = place(storage, new_id())
        done = folder_copy.copy_folder(storage.zfs, plan, where)
    finally:
        storage.shell(f"echo 1 >{switch}")
    assert not plan.shares and not done.shared
    storage.shell('cmp "$1/mail-flat.vmdk" "$2/mail-flat.vmdk"', where.path, plan.source)
    assert folder_copy.remove_copy(storage.door, where) == ""


def test_nested_datasets_are_nested_in_the_clone_and_a_client_sees_them(storage: Storage) -> None:
    before, restore = storage.state(), new_id()
    outer, inner = planned(storage, restore)
    assert (outer.folder, inner.inside, inner.folder) == ("", storage.dataset, "nested")
    for one in (outer, inner):
        found = clones.create(storage.zfs, one.clone)
        assert (found.mountpoint, found.restore) == (one.clone.mountpoint, restore)
    path = outer.clone.mountpoint
    export = Export(path, ("127.0.0.1",), nested=True)
    export_clone(storage.server, export)
    export_clone(storage.server, export)
    seen = storage.shell(
        'mkdir -p /run/seen && mount -t nfs -o vers=3,nolock,retry=0 "127.0.0.1:$1" /run/seen'
        " && cat /run/seen/mail/mail.vmx /run/seen/nested/data/disk.vmdk; echo x >/run/seen/nested/data/written;"
        " umount -l /run/seen/nested 2>/dev/null; umount /run/seen",
        path,
    )
    assert seen == "vmx\nnested\n"
    assert storage.shell('cat "$1/nested/data/written"', path) == "x\n"
    assert storage.shell("zfs get -H -o value canmount,sharenfs,com.sun:auto-snapshot " + outer.clone.dataset) == (
        "on\noff\nfalse\n"
    )
    assert storage.shell('zfs get -H -o value clones "$1"', storage.snapshots[0]) == f"{outer.clone.dataset}\n"
    steps = [("export", export.as_dict()), ("clone", inner.clone.as_dict()), ("clone", outer.clone.as_dict())]
    for kind, data in (*steps, *steps):
        assert undo_storage.undo(storage.zfs, kind, data, storage.server) == ""
    assert storage.state() == before


Action = Callable[[], dict[str, Any]]


def steps_of(storage: Storage, restore: str) -> list[tuple[str, dict[str, Any], Action]]:
    """The steps of a restore on the storage host: kind, data, and what carries it out and returns what it learnt."""
    first, second = planned(storage, restore)
    where, tag = place(storage, restore), f"vmware-zfs-restore-{restore}"
    plan = folder_copy.plan_copy(storage.zfs, storage.root, storage.snapshots[0], "mail")
    export = Export(first.clone.mountpoint, ("127.0.0.1",), nested=True)

    def hold() -> dict[str, Any]:
        holds.hold(storage.zfs, storage.snapshots[:1], tag)
        holds.hold(storage.zfs, storage.snapshots[:1], tag)
        return {}

    def copy() -> dict[str, Any]:
        return {"bytes": folder_copy.copy_folder(storage.zfs, plan, where).bytes}

    def clone(which: Clone) -> Action:
        return lambda: {"guid": clones.create(storage.zfs, which).guid}

    def share() -> dict[str, Any]:
        export_clone(storage.server, export)
        return {}

    return [
        ("hold", {"snapshot": storage.snapshots[0], "tag": tag}, hold),
        ("folder", where.as_dict(), copy),
        ("clone", first.clone.as_dict(), clone(first.clone)),
        ("clone", second.clone.as_dict(), clone(second.clone)),
        ("export", export.as_dict(), share),
    ]


@pytest.mark.parametrize("last", range(5))
def test_a_restore_that_was_killed_at_any_step_is_undone(storage: Storage, tmp_path: Path, last: int) -> None:
    """The journal does not say that the last step was carried out, and knows one more that was not."""
    before, restore = storage.state(), new_id()
    paths = Paths(tmp_path / "state", tmp_path / "key", tmp_path / "locks")
    with Database.open(paths) as database:
        journal = Restores(database)
        journal.open(RestoreRecord(restore, storage.snapshots[0], FOLDER, "mail", "mail-2", "vc", 443, "me"))
        for number, (kind, data, carry_out) in enumerate(steps_of(storage, restore)[: last + 2]):
            step = journal.intend(restore, kind, data)
            if number < last:
                journal.done(step, **carry_out())
            elif number == last:
                carry_out()
    assert storage.state() != before
    with Database.open(paths) as database:
        steps = Restores(database).steps(restore)
    for _again in range(2 if last == 4 else 1):
        for one in reversed(steps):
            assert undo_storage.undo(storage.zfs, one.kind, one.data, storage.server) == ""
    assert storage.state() == before


def test_only_our_own_clones_are_destroyed(storage: Storage) -> None:
    """Neither a clone that someone uses for more, nor another dataset of this name, nor one of another restore."""
    restore = new_id()
    clone = planned(storage, restore)[0].clone
    created = clones.create(storage.zfs, clone)
    storage.shell('zfs snapshot "$1@mine"', clone.dataset)
    assert "it has snapshots or child datasets that this restore did not create" in clones.destroy(storage.zfs, clone)
    storage.shell('zfs destroy "$1@mine"; zfs set quiesce.vmware_zfs:restore=other "$1"', clone.dataset)
    assert "so it belongs to someone else" in clones.destroy(storage.zfs, clone, created.guid)
    storage.shell('zfs set quiesce.vmware_zfs:restore="$2" "$1"', clone.dataset, restore)
    assert "another dataset has its name now" in clones.destroy(storage.zfs, clone, "1")
    storage.shell('zfs promote "$1"', clone.dataset)
    assert "it was promoted" in clones.destroy(storage.zfs, clone, created.guid)
    storage.shell('zfs promote "$1"', storage.dataset)
    storage.shell("zfs set quiesce.vmware_zfs:restore='a\nguid\t1\t-' \"$1\"", clone.dataset)
    assert "contains line breaks" in clones.destroy(storage.zfs, clone, created.guid)
    storage.shell('zfs set quiesce.vmware_zfs:restore="$2" "$1"', clone.dataset, restore)
    assert clones.destroy(storage.zfs, clone, created.guid) == ""
    assert clones.look(storage.zfs, clones.folder_of(POOL, restore)) is None


def test_what_cannot_be_cloned_is_refused_before_anything_changes(storage: Storage, tree: str) -> None:
    volume, locked = f"{tree}/lun", f"{tree}/locked"
    storage.shell('zfs create -s -V 1M "$1" && zfs snapshot "$1@s"', volume)
    storage.shell(
        "head -c 32 /dev/urandom >/run/restore-key; "
        'zfs create -o encryption=on -o keyformat=raw -o keylocation=file:///run/restore-key "$1"; zfs snapshot "$1@s"',
        locked,
    )
    before = storage.state()

    def plan(*snapshots: str) -> list[PlannedClone]:
        return plan_clones(storage.zfs, "id", snapshots, list_datasets(storage.zfs, POOL))

    with pytest.raises(InputError, match="is a volume, and the clone of a volume is not an NFS datastore"):
        plan(f"{volume}@s")
    with pytest.raises(InputError, match=r"does not exist.*choose another snapshot"):
        plan(storage.snapshots[0], f"{storage.dataset}@none")
    with pytest.raises(InputError, match="on different pools"):
        plan(storage.snapshots[0], "dozer/vmware@point")
    restore = new_id()
    (encrypted,) = plan_clones(storage.zfs, restore, [f"{locked}@s"], list_datasets(storage.zfs, POOL))
    assert clones.create(storage.zfs, encrypted.clone).mounted, "with its key loaded, it is a clone like any other"
    assert clones.destroy(storage.zfs, encrypted.clone) == ""
    storage.shell('zfs unmount "$1" && zfs unload-key "$1"', locked)
    with pytest.raises(InputError, match=f"The encryption key of {locked} is not loaded.*run 'zfs load-key {locked}'"):
        plan(f"{locked}@s")
    storage.shell('zfs destroy -r "$1"; zfs destroy -r "$2"', volume, locked)
    assert storage.state() == before


@pytest.fixture(name="pool")
def pool_(storage: Storage) -> Iterator[str]:
    """Another pool, mounted below a folder, as TrueNAS mounts all pools below /mnt."""
    pool = f"pool-{MARK}"
    storage.shell(
        'truncate -s 80M "/var/tmp/$1" && zpool create -R /mnt/alt "$1" "/var/tmp/$1"'
        ' && zfs create "$1/vms" && mkdir "/mnt/alt/$1/vms/mail" && zfs snapshot "$1/vms@s"',
        pool,
    )
    yield pool
    storage.shell('zpool destroy "$1"; rm "/var/tmp/$1"', pool)


def test_a_pool_with_an_altroot_has_its_clones_below_it_and_a_foreign_dataset_is_not_used(
    storage: Storage, pool: str
) -> None:
    datasets, root = list_datasets(storage.zfs, pool), f"/mnt/alt/{pool}"
    (one,) = plan_clones(storage.zfs, "r1", [f"{pool}/vms@s"], datasets)
    assert clones.create(storage.zfs, one.clone).mountpoint == f"{root}/vmware-zfs-restores/r1/0"
    assert storage.door.list_folder(one.clone.mountpoint) == ["mail"]
    assert clones.destroy(storage.zfs, one.clone) == "" and storage.door.list_folder(root) == ["vms"]
    assert [found.name for found in datasets] == storage.shell('zfs list -H -o name -r "$1"', pool).splitlines()
    foreign = f"{pool}/vmware-zfs-restores"
    storage.shell('zfs create "$1"', foreign)
    with pytest.raises(ZfsError, match=f"The dataset {foreign} exists, and this collection did not create it"):
        clones.create(storage.zfs, one.clone)
    assert clones.destroy(storage.zfs, one.clone) == ""
    assert storage.shell('zfs list -H -o name "$1"', foreign) == f"{foreign}\n"


def test_holds_are_listed_for_many_snapshots_at_once(storage: Storage) -> None:
    names = [f"{storage.dataset}@many{number}" for number in range(6)]
    storage.shell('for one; do zfs snapshot "$one"; done', *names)
    for tag, held in (("one", names[3:5]), ("two", names[4:6])):
        holds.hold(storage.zfs, held, tag)
    started = storage.zfs.processes
    found = {name[-1]: sorted(tags) for name, tags in holds.holds(storage.zfs, names).items()}
    assert found == {"3": ["one"], "4": ["one", "two"], "5": ["two"]} and storage.zfs.processes == started + 1
    assert holds.holds(storage.zfs, [names[3], f"{storage.dataset}@gone"]) == {names[3]: ("one",)}
    for name, tag in ((names[3], "one"), (names[4], "one"), (names[4], "two"), (names[5], "two"), (names[5], "two")):
        holds.release(storage.zfs, name, tag)
    storage.shell('zfs destroy "$1@many0%many5"', storage.dataset)
    holds.release(storage.zfs, names[0], "one")
    with pytest.raises(ZfsError):
        holds.hold(storage.zfs, [names[0]], "one")
