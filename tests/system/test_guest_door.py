# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door into the storage host of the lab does there what LocalHost does here, with the same errors."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.host import ProgramTimeout
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.server import NfsServer
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import list_datasets

from tests.lab.guest_door import GuestDoor, GuestGone
from tests.lab.storage_host import StorageHost

ODD = "/run/guest door/a\udcff'\n\"b"


def test_programs_and_files_are_those_of_the_guest(door: GuestDoor, storage_host: StorageHost) -> None:
    assert door.run(["hostname"], 10.0).output == storage_host.ssh(["hostname"]).stdout
    assert door.name() == storage_host.ssh(["hostname"]).stdout.strip()
    ended = door.run(["sh", "-c", "cat; printf '\\377' >&2; exit 3"], 10.0, stdin="a\udcfe\r\n")
    assert (ended.status, ended.output, ended.complaint) == (3, "a\udcfe\r\n", "\udcff")
    door.replace_file(ODD, "x\udcfd", 0o640)
    assert (door.read(ODD), door.exists(ODD), door.is_folder(ODD)) == ("x\udcfd", True, False)
    assert door.list_folder("/run/guest door") == [ODD.rpartition("/")[2]]
    door.remove_file(ODD)
    assert door.list_folder("/run/guest door") == [] == door.list_folder("/run/none")
    assert door.real_path("/proc/self/../..") == "/" and door.user("root") == (0, 0) and door.group("root") == 0
    assert door.argument_limit() > 1_000_000 and door.look_up("127.0.0.1") == [("127.0.0.1", "127.0.0.1")]


def test_errors_come_through_as_they_are(door: GuestDoor) -> None:
    with pytest.raises(FileNotFoundError, match="/run/none"):
        door.read("/run/none")
    with pytest.raises(FileNotFoundError):
        door.run(["no-such-program"], 5.0)
    with pytest.raises(PermissionError):
        door.run(["/etc/passwd"], 5.0)
    with pytest.raises(IsADirectoryError):
        door.read("/run")
    with pytest.raises(KeyError):
        door.user("nobody-of-this-name")
    with pytest.raises(ValueError):
        door.real_path("/a\0b")
    with pytest.raises(ProgramTimeout) as caught:
        door.run(["sleep", "60"], 0.3)
    assert caught.value.seconds == 0.3


def test_calls_are_carried_out_side_by_side_and_can_be_hurried(door: GuestDoor) -> None:
    hurry = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(door.run, ["sleep", "60"], 60.0, "", hurry.is_set)
        assert door.run(["echo", "meanwhile"], 10.0).output == "meanwhile\n" and not slow.done()
        begun = time.monotonic()
        hurry.set()
        assert isinstance(slow.exception(), ProgramTimeout) and time.monotonic() - begun < 20.0


def test_zfs_and_exports_are_those_of_the_guest(door: GuestDoor) -> None:
    zfs = Zfs(host=door)
    assert "tank/vmware" in [dataset.name for dataset in list_datasets(zfs, "tank")]
    assert NfsServer(zfs=zfs).dataset_of("/tank/vmware") == "tank/vmware"


def test_a_process_that_ended_is_an_error_and_the_next_call_starts_another(storage_host: StorageHost) -> None:
    door = GuestDoor(storage_host)
    with pytest.raises(GuestGone):
        door.run(["sh", "-c", "kill -9 $PPID"], 10.0)
    assert door.run(["echo", "again"], 10.0).output == "again\n"
    door.close()
