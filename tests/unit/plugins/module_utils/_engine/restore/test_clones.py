# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clones are mounted in each other as their datasets are. tests/system/test_restore_storage.py creates real ones."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    DatasetNotFound,
    SnapshotExists,
    ZfsError,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import clones as restore_clones
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import undo_storage
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.clones import Export, plan_clones
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import clones
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.clones import Clone
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import Dataset

BASE, FOLDER = "/tank/vmware-zfs-restores/r1", "tank/vmware-zfs-restores/r1"
ROW = "".join(
    f"{key}\t{value}\t{source}\n"
    for key, value, source in (
        ("guid", "7", "-"),
        ("origin", "tank/a@s", "-"),
        ("quiesce.vmware_zfs:restore", "r1", "local"),
        ("mountpoint", f"{BASE}/0", "local"),
        ("mounted", "yes", "-"),
    )
)
CLONE = Clone(f"{FOLDER}/0", "tank/a@s", f"{BASE}/0", "r1")


class Answers(Zfs):
    """A zfs that answers from a list: a text or an error for each command; afterwards with nothing."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.answers, self.asked = list(answers), [""]

    def run(self, *arguments: str, timeout: float = 0.0, hurry: Any = None, script: str = "") -> str:
        self.asked.append(" ".join(arguments))
        if not self.answers:
            return ""
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)


def mounted(name: str, path: str | None = "") -> Dataset:
    return Dataset(name, "filesystem", f"/{name}" if path == "" else path, path is not None)


def plan(snapshots: list[str], *datasets: Dataset) -> dict[str, tuple[str, str, str]]:
    """For each dataset, where its clone is mounted, the dataset of its datastore, and the folder in it."""
    found = plan_clones(Answers(), "r1", snapshots, datasets)
    assert [one.clone.dataset for one in found] == [f"{FOLDER}/{number}" for number in range(len(found))]
    assert all(one.clone.restore == "r1" for one in found)
    return {one.dataset: (one.clone.mountpoint, one.inside, one.folder) for one in found}


def test_nested_datasets_are_at_the_same_place_in_the_clone() -> None:
    found = plan(
        ["tank/a/b/c@s", "tank/a@s", "tank/a/b@s", "tank/other@s"],
        mounted("tank/a"), mounted("tank/a/b"), mounted("tank/a/b/c"), mounted("tank/other"),
    )  # fmt: skip
    assert found == {
        "tank/a": (f"{BASE}/0", "", ""),
        "tank/other": (f"{BASE}/1", "", ""),
        "tank/a/b": (f"{BASE}/0/b", "tank/a", "b"),
        "tank/a/b/c": (f"{BASE}/0/b/c", "tank/a", "b/c"),
    }


def test_what_counts_is_where_a_dataset_is_mounted() -> None:
    found = plan(
        ["tank/a@s", "tank/a/b@s", "tank/z@s"],
        mounted("tank/a", "/srv/vms"), mounted("tank/a/b", "/srv/else"), mounted("tank/z", "/srv/vms/deep/z"),
    )  # fmt: skip
    assert found["tank/a"] == (f"{BASE}/0", "", "")
    assert found["tank/a/b"] == (f"{BASE}/1", "", "")
    assert found["tank/z"] == (f"{BASE}/0/deep/z", "tank/a", "deep/z")


def test_a_dataset_between_them_that_has_no_file_of_the_vm_is_not_needed() -> None:
    found = plan(["tank/a@s", "tank/a/b/c@s"], mounted("tank/a"), mounted("tank/a/b"), mounted("tank/a/b/c"))
    assert found["tank/a/b/c"] == (f"{BASE}/0/b/c", "tank/a", "b/c")


def test_on_a_replica_that_is_not_mounted_the_names_say_it() -> None:
    found = plan(["tank/a/b@s", "tank/a@s"], mounted("tank/a", None), mounted("tank/a/b", None))
    assert found["tank/a/b"][1:] == ("tank/a", "b")


def test_a_dataset_that_vanished_is_created_again() -> None:
    """Another restore has removed the empty dataset of the pool between two commands of this one."""
    gone = DatasetNotFound("parent does not exist")
    zfs = Answers("", "", gone, "", "", "", ROW)
    assert clones.create(zfs, CLONE).guid == "7"
    assert [words.split()[0] for words in zfs.asked[1:]] == ["create", "create", "clone"] * 2 + ["get"]
    with pytest.raises(DatasetNotFound):
        clones.create(Answers(*["", "", gone] * 3), CLONE)


def test_an_existing_dataset_is_used_only_if_it_is_ours() -> None:
    taken = SnapshotExists("dataset already exists")
    with pytest.raises(ZfsError, match="this collection did not create it; rename it with 'zfs rename'"):
        clones.create(Answers(taken, "yes\tinherited from tank\n"), CLONE)


def test_a_clone_that_is_not_mounted_is_an_error() -> None:
    with pytest.raises(ZfsError, match=r"The clone tank/.*/r1/0 was not mounted at /tank/.*/r1/0"):
        clones.create(Answers("", "", "", DatasetNotFound("gone")), CLONE)


def test_the_altroot_of_the_pool_is_in_paths_and_not_in_the_property(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_clones, "altroot", lambda zfs, pool: "/mnt")
    (found,) = plan_clones(Answers(), "r1", ["tank/a@s"], [mounted("tank/a", "/mnt/tank/a")])
    assert found.clone.mountpoint == f"/mnt{BASE}/0"
    zfs = Answers("", "", "", ROW.replace(f"{BASE}/0", f"/mnt{BASE}/0"))
    assert clones.create(zfs, found.clone).mountpoint == f"/mnt{BASE}/0"
    assert f"-o mountpoint={BASE}/0 " in zfs.asked[3] and f"-o mountpoint=/{FOLDER.rpartition('/')[0]} " in zfs.asked[1]
    with pytest.raises(ZfsError, match="was not mounted at /mnt/tank"):
        clones.create(Answers("", "", "", ROW), found.clone)


def test_nothing_outside_of_the_datasets_of_restores_is_destroyed() -> None:
    """Even if the journal is wrong and the dataset has the property."""
    zfs = Answers(ROW)
    wrong = Clone("tank/vmware", "tank/a@s", "/tank/vmware", "r1")
    assert "belongs to someone else" in clones.destroy(zfs, wrong, "7")
    assert not any(words.startswith("destroy") for words in zfs.asked)


@pytest.mark.parametrize("guid", ["", "7"])
def test_a_clone_in_use_is_waited_for(monkeypatch: pytest.MonkeyPatch, guid: str) -> None:
    monkeypatch.setattr(clones, "_PAUSE", 0.0)
    busy = ZfsError("cannot unmount '/m': pool or dataset is busy")
    zfs = Answers(ROW, busy, busy)
    assert clones.destroy(zfs, CLONE, guid) == ""
    assert [words for words in zfs.asked if words.startswith("destroy")] == [f"destroy {CLONE.dataset}"] * 3
    monkeypatch.setattr(clones, "_PATIENCE", -1.0)
    assert "still exists: cannot unmount '/m': pool or dataset is busy" in clones.destroy(
        Answers(ROW, busy), CLONE, guid
    )


def test_a_failure_is_a_reason_and_the_step_stays() -> None:
    dead = ZfsError("'zfs release' failed: pool I/O is currently suspended", "Fix the cause")
    said = undo_storage.undo(Answers(dead, "tank/a@s\ttag\tnow\n"), "hold", {"snapshot": "tank/a@s", "tag": "tag"})
    assert said == "'zfs release' failed: pool I/O is currently suspended; fix the cause"
    assert undo_storage.undo(Answers(dead, ""), "hold", {"snapshot": "tank/a@s", "tag": "tag"}) == ""
    assert "suspended" in undo_storage.undo(Answers(dead), "clone", CLONE.as_dict())
    with pytest.raises(KeyError):
        undo_storage.undo(Answers(), "registration", {})
    assert set(undo_storage.KINDS) == set(undo_storage._UNDO)


def test_the_data_of_the_steps_is_all_that_undo_needs() -> None:
    export = Export("/tank/x", ("10.0.0.1", "10.0.0.2"), nested=True)
    assert Export.of(export.as_dict()) == export and Clone.of({**CLONE.as_dict(), "guid": "7"}) == CLONE
