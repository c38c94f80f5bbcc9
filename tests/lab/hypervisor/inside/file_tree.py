# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Move a VM to another folder, usually in another datastore, also while its guest runs; list and delete files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Iterator

from . import changes, descriptors, identity, volumes
from .errors import Refused
from .snapshot_tree import SnapshotTree
from .vm import VM

_BLOCK = 1 << 20
_LEFT_BEHIND = (".vswp", "~")


def relocate(vm: VM, folder: Path) -> None:
    """Move the folder of a VM. Disks elsewhere stay there. The guest cannot write meanwhile.

    Raises Refused if the new folder exists.
    """
    old = vm.folder
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise Refused("FileAlreadyExists", f"the folder {folder} exists already") from None
    try:
        with vm.held():
            _copy_files(old, folder)
            _follow(vm, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(old)


def _copy_files(old: Path, new: Path) -> None:
    for path in sorted(old.iterdir()):
        if not path.name.startswith(".lck-") and not path.name.endswith(_LEFT_BEHIND) and path.is_file():
            _copy(path, new / path.name)


def _copy(source: Path, target: Path) -> None:
    """Copy a file without the blocks that have only zeros."""
    with open(source, "rb") as file, open(target, "xb") as copy:
        copy.truncate(source.stat().st_size)
        while block := file.read(_BLOCK):
            if block.count(0) != len(block):
                copy.seek(file.tell() - len(block))
                copy.write(block)


def _follow(vm: VM, folder: Path) -> None:
    """Use the files in the new folder from now on."""
    old, is_copy = vm.folder, identity.is_copy(vm.settings, vm.path)
    for path in folder.glob("*.vmdk"):
        _correct_parent(path, old, folder)
    for node, stack in vm.stacks.items():
        files = [_moved(one.path, old, folder) for one in stack.files()]
        vm.reopen(node, [descriptors.read(path) for path in files])
    vm.path = folder / vm.path.name
    vm.tree = SnapshotTree.read(vm.path.with_suffix(".vmsd"))
    if not is_copy:
        changes.identify(vm, "moved")


def _correct_parent(path: Path, old: Path, folder: Path) -> None:
    """A delta in the folder can name its parent with the whole path of the old folder."""
    if not descriptors.is_descriptor(path):
        return
    found = descriptors.read(path)
    if found.parent and found.parent.parent == old:
        descriptors.Descriptor(path, found.sectors, found.data, folder / found.parent.name).write()


def _moved(path: Path, old: Path, folder: Path) -> Path:
    return folder / path.name if path.parent == old else path


def listing(folder: Path) -> list[dict[str, Any]]:
    """Return the files and folders below a folder. Raises Refused if it is missing."""
    if not folder.is_dir():
        raise Refused("FileNotFound", f"the folder {folder} does not exist")
    return list(_below(folder, folder))


def _below(folder: Path, top: Path) -> Iterator[dict[str, Any]]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        stat, is_folder = entry.stat(follow_symlinks=False), entry.is_dir(follow_symlinks=False)
        path = Path(entry.path)
        size = 0 if is_folder else stat.st_size
        yield {"path": str(path.relative_to(top)), "folder": is_folder, "size": size, "modified": stat.st_mtime}
        if is_folder:
            yield from _below(path, top)


def delete(path: Path) -> None:
    """Delete a file or a folder with all that is in it. Raises Refused if it is missing or a whole datastore."""
    if path.parent == volumes.VOLUMES:
        raise Refused("InvalidDatastorePath", f"{path} is a datastore")
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
    else:
        raise Refused("FileNotFound", f"{path} does not exist")
