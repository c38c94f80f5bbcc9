# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk of the hypervisor guest: Python and mke2fs from Debian packages, and the kernel modules for NFS and disks.

The packages are only unpacked. No script of theirs runs and systemd is missing, so that the guest boots in seconds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..archive import Archive, unpack
from ..cache import product, product_path
from ..commands import remove_tree, run
from ..kernel import module_files
from ..places import LOGS

LOG = LOGS / "hypervisor-image.log"
HERE = Path(__file__).resolve().parent
GUEST = HERE / "guest"
PACKAGES = ("python3", "e2fsprogs", "busybox-static")
MODULES = ("loop", "dm_mod", "dm_snapshot", "nfsv3")
EMPTY = ("dev", "proc", "sys", "run", "tmp", "vmfs", "modules")
LEFT_OUT = ("usr/share", "usr/lib/python3/dist-packages", "var", "etc", "usr/lib/x86_64-linux-gnu/gconv")
SIZE = "160M"


def hypervisor_image(archive: Archive, kernel: Path) -> Path:
    """Return a folder with `root.img`, an ext4 file system."""

    def build(folder: Path) -> None:
        root = folder / "root"
        unpack(archive.download(PACKAGES, LOG), root, LOG)
        _reduce(root)
        for order, file in enumerate(module_files(kernel, MODULES)):
            shutil.copyfile(file, root / "modules" / f"{order:02}-{file.name}")
        shutil.copyfile(GUEST / "bootstrap.py", root / "bootstrap.py")
        _keep_bytecode(root)
        shutil.copyfile(GUEST / "init.sh", root / "usr" / "sbin" / "init")
        os.chmod(root / "usr" / "sbin" / "init", 0o755)
        image = folder / "root.img"
        run(
            ["mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0,nodiscard", "-d", str(root), str(image), SIZE], LOG
        )
        os.chmod(image, 0o444)
        remove_tree(root)

    guest = [path.read_text() for path in sorted(GUEST.iterdir()) if path.is_file()]
    return product(
        product_path("hypervisor-image", str(kernel), SIZE, *MODULES, *LEFT_OUT, *archive.resolve(PACKAGES), *guest),
        build,
    )


def _keep_bytecode(root: Path) -> None:
    """Let Python compile what the guest imports. Emulated, that takes some seconds at each start."""
    home = {"PYTHONHOME": str(root / "usr"), "PYTHONPYCACHEPREFIX": "", "PYTHONDONTWRITEBYTECODE": ""}
    run([str(root / "usr" / "bin" / "python3"), "-S", str(root / "bootstrap.py"), "imports"], LOG, home)


def _reduce(root: Path) -> None:
    """Delete what the guest never reads, add a shell, and create the folders to mount on."""
    for name in LEFT_OUT:
        remove_tree(root / name)
    (root / "usr" / "bin" / "sh").symlink_to("busybox")
    for name in EMPTY:
        (root / name).mkdir(exist_ok=True)
