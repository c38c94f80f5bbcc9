# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compile the OpenZFS kernel modules for the kernel of the guest in a separate folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Callable

from .archive import Archive, unpack
from .cache import product, product_path
from .commands import as_root, remove_tree, run
from .kernel import kernel_release
from .places import LOGS

LOG = LOGS / "zfs-module.log"
TOOLS = (
    "gcc",
    "make",
    "libc6-dev",
    "mawk",
    "sed",
    "grep",
    "coreutils",
    "findutils",
    "diffutils",
    "bash",
    "dash",
    "tar",
    "file",
)
# The first setup waits for the compiler, and emulation hides the speed of the result. So use no debug information and
# little optimization (-O3 of zstd alone takes an eighth of the time). KCFLAGS also applies to the tests of configure.
FLAGS = "-g0 -O1"
CONFIGURE = """set -eu
ln -sf mawk /usr/bin/awk
cd /usr/src/zfs-[0-9]*
export KCFLAGS="$2"
headers=/usr/src/linux-headers-$1
./configure --disable-dependency-tracking --with-config=kernel \
--with-linux="${headers%-cloud-amd64}-common" --with-linux-obj="$headers"
"""
COMPILE = """set -eu
cd /usr/src/zfs-[0-9]*
export KCFLAGS="$1"
find module -name '*Kbuild*' -o -name 'Makefile*' | xargs sed -i 's/-O3/-O1/g'
make -j"$(nproc)"
strip --strip-debug module/*.ko module/*/*.ko 2>/dev/null || true
find module -name '*.ko' -exec cp {} /built/ ';'
"""
# The mounts are in a namespace that ends with the command, so that nothing remains mounted.
ENTER = 'cd "$1"; mount --rbind /dev dev; mount -t proc proc proc; shift; exec chroot . "$@"'


def _in_folder(folder: Path, script: str, *arguments: str) -> None:
    run(
        as_root(
            [
                "unshare",
                "--mount",
                "sh",
                "-euc",
                ENTER,
                "enter",
                str(folder),
                "/bin/bash",
                "-c",
                script,
                "build",
                *arguments,
            ]
        ),
        LOG,
        env={"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C"},
    )


def zfs_module(archive: Archive, say: Callable[[str], None]) -> Path:
    """Return a folder with the modules (`zfs.ko`, `spl.ko`, and more if OpenZFS is older than 2.2)."""
    release = kernel_release(archive)
    tools = [*TOOLS, f"linux-headers-{release}"]

    def build(folder: Path) -> None:
        say("fetching compiler, kernel headers and source")
        root = folder / "root"
        unpack([*archive.download(tools, LOG), *archive.download(["zfs-dkms"], LOG, alone=True)], root, LOG)
        for name in ("dev", "proc", "tmp", "built"):
            (root / name).mkdir(exist_ok=True)
        os.chmod(root / "tmp", 0o1777)
        say("asking the kernel's headers what they offer")
        _in_folder(root, CONFIGURE, release, FLAGS)
        say("compiling")
        _in_folder(root, COMPILE, FLAGS)
        for module in (root / "built").iterdir():
            shutil.copyfile(module, folder / module.name)
        remove_tree(root)

    return product(
        product_path("zfs-module", CONFIGURE, COMPILE, FLAGS, archive.version("zfs-dkms"), *archive.resolve(tools)),
        build,
    )
