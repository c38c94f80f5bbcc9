# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of a folder out of a ZFS snapshot: with shared blocks, as a restore does it, and with `cp`."""

from __future__ import annotations

import os
import time
from contextlib import closing

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import folder_copy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs

from tests.lab.guest_door import GuestDoor
from tests.lab.storage_host import StorageHost

from ..figures import Figures

PART_MB = 64  # of random data, which is repeated
SECONDS = 1800.0
_FILL = """
zfs create "$1"
mkdir "/$1/vm"
head -c "$2"M /dev/urandom >"/$1/part"
for number in $(seq "$3"); do cat "/$1/part"; done >"/$1/vm/disk"
rm "/$1/part"
zfs snapshot "$1@taken"
"""


def measure(host: StorageHost, megabytes: int) -> Figures:
    """Return the seconds for a file of this size. Raise RuntimeError if its blocks were not shared."""
    dataset = f"tank/bench-cloning-{os.getpid()}"
    try:
        part = min(PART_MB, megabytes)
        host.ssh(["sh", "-ec", _FILL, "fill", dataset, str(part), str(megabytes // part)], timeout=SECONDS)
        cloned = _clone(host, dataset)
        begun = time.monotonic()
        copy = f"cp -a --reflink=never /{dataset}/.zfs/snapshot/taken/vm /{dataset}/copied && sync"
        host.ssh(["sh", "-ec", copy], timeout=SECONDS)
        copied = time.monotonic() - begun
    finally:
        host.ssh(["zfs", "destroy", "-r", dataset], check=False, timeout=SECONDS)
    return {"megabytes": megabytes, "clone_seconds": cloned, "cp_seconds": copied}


def _clone(host: StorageHost, dataset: str) -> float:
    with closing(GuestDoor(host)) as door:
        zfs = Zfs(host=door)
        plan = folder_copy.plan_copy(zfs, f"/{dataset}", f"{dataset}@taken", "vm")
        begun = time.monotonic()
        done = folder_copy.copy_folder(zfs, plan, folder_copy.Place.beside(f"/{dataset}", "cloned", "bench"))
        seconds = time.monotonic() - begun
    if not done.shared:
        raise RuntimeError("the pool of the lab did not share the blocks of the copy")
    return seconds
