# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel of the guest, its modules, and the initramfs that finds the disks."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path
from typing import Iterator, Sequence

from .archive import Archive, unpack
from .cache import product, product_path
from .commands import remove_tree
from .places import LOGS

LOG = LOGS / "kernel.log"
IMAGE = r"linux-image-[0-9]\S*cloud-amd64"
AT_START = ("virtio_pci", "virtio_blk", "virtio_net")
# `lab.probe` only tests whether the kernel boots: it prints a line on the console and powers off.
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
if /bin/busybox grep -q lab.probe /proc/cmdline; then
    echo the probed processor works >/dev/console
    /bin/busybox poweroff -f
fi
for module in /modules/*; do /bin/busybox insmod "$module"; done
until [ -b /dev/vda ]; do /bin/busybox usleep 20000; done
/bin/busybox mount -t ext4 -o noatime /dev/vda /root
/bin/busybox umount /proc
exec /bin/busybox switch_root /root /sbin/init
"""


def kernel_release(archive: Archive) -> str:
    """Return the release as shown by `uname -r` in the guest, e.g. `6.1.0-13-cloud-amd64`."""
    return archive.depends("linux-image-cloud-amd64", IMAGE)[len("linux-image-") :]


def _with_needs(modules: Path, name: str) -> Iterator[Path]:
    """Return the files of all required modules, then the file of the module."""
    file = next(iter(modules.rglob(f"{name}.ko")), None) or next(
        iter(modules.rglob(f"{name.replace('_', '-')}.ko")), None
    )
    if file is None:
        return  # built into this kernel
    needs = re.search(rb"\0depends=([^\0]*)\0", file.read_bytes())
    for need in needs[1].decode().split(",") if needs and needs[1] else []:
        yield from _with_needs(modules, need)
    yield file


def module_files(kernel: Path, names: Sequence[str]) -> list[Path]:
    """Return the files of the modules in the order in which they can be loaded, each after those that it requires."""
    modules = kernel / "modules"
    return list(dict.fromkeys(file for name in names for file in _with_needs(modules, name)))


def _entry(name: str, mode: int, content: bytes, number: int) -> bytes:
    """A member of a `newc` cpio archive (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst)."""
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)


def _initial_file_system(busybox: Path, modules: Path) -> bytes:
    members = [
        ("bin", 0o040755, b""),
        ("dev", 0o040755, b""),
        ("modules", 0o040755, b""),
        ("bin/busybox", 0o100755, busybox.read_bytes()),
        ("init", 0o100755, INIT.encode()),
    ]
    files = module_files(modules.parent, AT_START)
    members += [(f"modules/{order:02}-{file.name}", 0o100644, file.read_bytes()) for order, file in enumerate(files)]
    members.append(("TRAILER!!!", 0, b""))
    return b"".join(_entry(name, mode, content, number) for number, (name, mode, content) in enumerate(members, 1))


def kernel(archive: Archive) -> Path:
    """Return a folder with `vmlinuz`, `initrd` and `lib/modules/<release>`."""
    release = kernel_release(archive)
    packages = [f"linux-image-{release}", "busybox-static"]

    def build(folder: Path) -> None:
        unpacked = folder / "unpacked"
        unpack(archive.download(packages, LOG, alone=True), unpacked, LOG)
        shutil.move(str(unpacked / "boot" / f"vmlinuz-{release}"), folder / "vmlinuz")
        shutil.move(str(unpacked / "usr" / "lib" / "modules"), folder / "modules")
        initial = _initial_file_system(unpacked / "bin" / "busybox", folder / "modules")
        (folder / "initrd").write_bytes(gzip.compress(initial, compresslevel=1))
        remove_tree(unpacked)

    return product(product_path("kernel", INIT, *AT_START, *(archive.version(name) for name in packages)), build)
