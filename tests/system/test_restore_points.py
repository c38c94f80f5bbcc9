# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore points of real ZFS snapshots: of a run, plain ones, held, cloned, received, and of unmounted datasets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.points import find_points
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.identity import NAME_PREFIX
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs

from tests.lab import vm_files
from tests.lab.guest_door import GuestDoor
from tests.lab.simulator import Simulator
from tests.lab.storage_host import StorageHost as LabHost

from .scene import Scene, run_module

Find = Callable[..., dict[str, dict[str, Any]]]
RUN = "20260131T020000-1f2e3d4c"


@pytest.fixture
def find(scene: Scene, door: GuestDoor) -> Find:
    """Returns the restore points of a dataset or snapshot, by the name of the ZFS snapshot."""

    def find(target: str, vm: str = "") -> dict[str, dict[str, Any]]:
        zfs = Zfs(host=door)
        found = find_points(replace(scene.engine, zfs=zfs), target, vm).as_dict()
        assert zfs.processes <= 5 and found["not_read"] == []
        return {
            point["snapshot"].rpartition("@")[2]: {**point, "unreadable": found["problems"]}
            for point in found["points"]
        }

    return find


@pytest.fixture
def files(door: GuestDoor, tmp_path: Path) -> Callable[[str, str, str], None]:
    """Writes the files of a VM to a dataset, with a VMware snapshot that was made for a ZFS snapshot."""

    def write(folder: str, name: str, snapshot: str) -> None:
        here = tmp_path / name
        vm_files.write(here, name, RUN, snapshot)
        for file in here.iterdir():
            door.replace_file(f"{folder}/{name}/{file.name}", file.read_text(), 0o644)

    return write


def test_the_restore_points_of_a_dataset(
    scene: Scene,
    vcenter: Simulator,
    storage_host: LabHost,
    find: Find,
    files: Callable[[str, str, str], None],
    tree: str,
) -> None:
    short = "restore-points"
    copy, replica, closed = f"{tree}/copy", f"{tree}/replica", f"{tree}/closed"
    files(f"/{tree}", "mail", f"{tree}@{short}-plain")
    taken = scene.take(snapshot=f"{short}-run")
    prepare = """
        tree=$1 short=$2
        zfs snapshot $tree@$short-plain
        zfs hold "keep it" $tree@$short-run
        zfs hold vmware-zfs-restore-$3 $tree@$short-plain
        zfs clone $tree@$short-run $tree/copy
        zfs send $tree@$short-plain | zfs receive $tree/replica
        zfs create -o canmount=noauto $tree/closed
        zfs snapshot $tree/closed@$short-closed
    """
    storage_host.ssh(["sh", "-ec", prepare, "points", tree, short, RUN])
    try:
        found = find(tree)
        run, plain = found[f"{short}-run"], found[f"{short}-plain"]
        assert (run["level"], run["complete"], run["recorded"]) == ("filesystem", True, True)
        assert (
            run["holds"] == ["keep it"]
            and run["clones"] == [copy]
            and run["pinned_by"] == ["hold keep it", f"clone {copy}"]
        )
        assert {vm["name"]: vm["revert_to"] for vm in run["vms"]} == dict.fromkeys(
            ("app", "db", "web"), f"{NAME_PREFIX}{taken['run_id']}"
        )
        assert (plain["level"], plain["complete"], plain["restores"]) == ("unknown", None, [RUN])
        (mail,) = plain["vms"]
        assert (mail["name"], mail["vmx_path"], mail["revert_to"]) == ("mail", "mail/mail.vmx", NAME_PREFIX + RUN)
        assert mail["remarks"] == [] and plain["expiry"] == "never: no task"
        assert not found[f"{short}-closed"]["vms_known"]
        assert any(f"{closed} is not mounted" in problem for problem in run["unreadable"])

        received = find(replica, "mail")[f"{short}-plain"]
        assert received["level"] == "unknown" and received["vms"][0]["revert_to"] == NAME_PREFIX + RUN
        one = find(f"{tree}@{short}-run", "db")
        assert list(one) == [f"{short}-run"] and one[f"{short}-run"]["level"] == "application"

        told = run_module("vmware_restore_point_info", {"dataset": tree, "vm": "web"})
        assert [point["snapshot"] for point in told["points"]] == [f"{tree}@{short}-run"] and not told["changed"]
        said = run_module("vmware_restore_point_info", {"dataset": tree, "vm": "wbe"})["msg"]
        assert "a similar name is 'web'" in said
    finally:
        undo = """
            tree=$1 short=$2
            zfs destroy $tree/copy
            zfs destroy -r $tree/replica
            zfs destroy -r $tree/closed
            zfs release "keep it" $tree@$short-run
            zfs release vmware-zfs-restore-$3 $tree@$short-plain
        """
        storage_host.ssh(["sh", "-c", undo, "points", tree, short, RUN])
