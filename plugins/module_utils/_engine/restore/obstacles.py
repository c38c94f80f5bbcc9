# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What in the files of a VM forbids to restore it. A restore only uses files that are in the copy."""

from __future__ import annotations

from typing import Iterator

from ..state.restores import FOLDER
from ..text import printable
from .contents import FoundVm, VmDisk


def obstacles(vm: FoundVm, way: str) -> list[str]:
    """Return sentences about what forbids the restore. Nothing is registered then."""
    found = list(vm.problems)
    found += [
        f"Its setting {key} is {printable(path, 200)}, so the restored VM would write there, outside of its copy;"
        " restore its disks one by one."
        for key, path in vm.configuration.elsewhere
    ]
    for disk in vm.disks:
        found += _of_disk(disk, way)
    for snapshot in vm.snapshots.all:
        found += [
            f"Its VMware snapshot '{printable(snapshot.name, 80)}' keeps the disk {use.node} outside of the folder of"
            f" the VM: {printable(use.file, 200)}; restore its disks one by one."
            for use in snapshot.disks
            if use.absolute or (way == FOLDER and use.file and not use.in_folder)
        ]
    return list(dict.fromkeys(found))


def _of_disk(disk: VmDisk, way: str) -> Iterator[str]:
    node = disk.use.node
    if disk.chain.rdm:
        yield f"The disk {node} is a raw device mapping, and its LUN is not in the snapshot; restore the other disks."
    for file in dict.fromkeys((*([] if disk.use.in_folder else [disk.use.file]), *disk.chain.foreign)):
        if file.startswith("/"):
            yield (
                f"The disk {node} uses {printable(file, 200)}, which is a file of the original VM and not of the copy;"
                " restore the other disks one by one."
            )
        elif way == FOLDER:
            yield (
                f"The disk {node} uses {printable(file, 200)}, which is not in the folder of the VM; restore the VM"
                " from a clone instead."
            )
