# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person must know before restoring a VM, from its files in a ZFS snapshot."""

from __future__ import annotations

from typing import Iterator

from ..text import printable
from .contents import FoundVm, VmDisk
from .disk_files import PHYSICAL


def remarks(vm: FoundVm) -> list[str]:
    """Return sentences about parts of the VM that are not in this folder, or that need something else."""
    return [*vm.problems, *_of_vm(vm), *(remark for disk in vm.disks for remark in _of_disk(disk))]


def _of_vm(vm: FoundVm) -> Iterator[str]:
    configuration = vm.configuration
    if configuration.encrypted or configuration.vtpm:
        what = "is encrypted" if configuration.encrypted else "has a vTPM"
        yield f"The VM {what}, so vCenter needs the same key provider."
    if configuration.suspended:
        yield "The VM was suspended. A restore discards its memory, so the guest starts as after a power failure."
    if configuration.working_dir:
        folder = printable(configuration.working_dir, 200)
        yield f"Its working directory is {folder}, so the files of its VMware snapshots are there."


def _of_disk(disk: VmDisk) -> Iterator[str]:
    node = disk.use.node
    if disk.use.independent:
        yield f"VMware snapshots do not include its independent disk {node}, so that disk has the level crash."
    if disk.chain.rdm:
        kind = "physical" if disk.chain.rdm == PHYSICAL else "virtual"
        yield f"The disk {node} is a raw device mapping ({kind}), so its data is not in the ZFS snapshot."
    for file in disk.chain.foreign:
        what = f"The disk {node}" if file == disk.use.file else f"A file of the disk {node}"
        yield f"{what} is in another folder: {printable(file, 200)}."
