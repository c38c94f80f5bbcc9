# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root file system of the storage host: Debian packages, kernel, OpenZFS, and the content of `guest/`."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Callable

from .archive import Archive
from .cache import product, product_path
from .commands import as_root, remove_tree, run
from .kernel import kernel_release
from .places import GUEST_FILES, LOGS
from .sources import machine_release, reaching_options

LOG = LOGS / "root-file-system.log"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "procps",
    "iproute2",
    "netbase",
    "openssh-server",
    "openssh-sftp-server",
    "python3",
    "python3-venv",
    "nfs-kernel-server",
    "zfsutils-linux",
    "acl",
    "sudo",
    "less",
)
ESSENTIAL = (
    "apt",
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "dpkg",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "init-system-helpers",
    "libc-bin",
    "login",
    "mawk",
    "mount",
    "ncurses-base",
    "ncurses-bin",
    "passwd",
    "perl-base",
    "sed",
    "sysvinit-utils",
    "tar",
    "util-linux",
)
LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*")
CONFIGURE = 'cd "$1"; mount --rbind /dev dev; mount -t proc proc proc; shift; exec chroot . "$@"'
IMAGE_SIZE = "3G"


def _guest_files() -> str:
    """Return a hash of the content of `guest/`."""
    digest = hashlib.sha256()
    for path in sorted(path for path in GUEST_FILES.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(GUEST_FILES)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _debootstrap(archive: Archive, folder: Path) -> None:
    options = [option.split(" ", 1) for option in reaching_options()]
    run(
        as_root(
            [
                "eatmydata",
                "mmdebstrap",
                "--mode=root",
                "--variant=custom",
                "--format=directory",
                '--aptopt=APT::Install-Recommends "false"',
                '--aptopt=Acquire::Languages "none"',
                '--aptopt=DPkg::Options { "--force-unsafe-io"; }',
                *(f"--aptopt={name} {value}" for name, value in options),
                *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
                f'--setup-hook=install -D -m 0644 {archive.preferences} "$1/etc/apt/preferences.d/lab"',
                f"--include={','.join((*ESSENTIAL, *PACKAGES))}",
                machine_release(),
                str(folder),
                str(archive.sources_list),
            ]
        ),
        LOG,
        env={"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
    )


def base_system(archive: Archive) -> Path:
    """Return a folder `root` with only the Debian packages, which change less often than the other content."""

    def build(folder: Path) -> None:
        _debootstrap(archive, folder / "root")

    return product(product_path("base-system", *LEFT_OUT, *archive.resolve([*ESSENTIAL, *PACKAGES])), build)


def disk_image(
    archive: Archive, base: Path, kernel: Path, module: Path, wheels: Path, key: Path, say: Callable[[str], None]
) -> Path:
    """Return a folder with `root.img` (an ext4 file system without a partition table)."""
    release = kernel_release(archive)

    def build(folder: Path) -> None:
        root = folder / "root"
        say("configuring")
        _as_root("cp", "-a", "--reflink=auto", str(base / "root"), str(root))
        _as_root("mkdir", "-p", f"{root}/var/lib/lab", f"{root}/root/.ssh", f"{root}/lib/modules/{release}/extra")
        _as_root("cp", "-r", f"{GUEST_FILES}/files/.", str(root))
        _as_root("cp", "-r", str(wheels), f"{root}/var/lib/lab/wheels")
        _as_root("cp", "-r", f"{kernel}/modules/.", f"{root}/lib/modules")
        _as_root("cp", "-r", f"{module}/.", f"{root}/lib/modules/{release}/extra")
        _as_root("cp", str(key / "key.pub"), f"{root}/root/.ssh/authorized_keys")
        _as_root("cp", str(GUEST_FILES / "configure.sh"), f"{root}/configure.sh")
        _as_root(
            "unshare", "--mount", "sh", "-euc", CONFIGURE, "configure", str(root), "/bin/sh", "/configure.sh", release
        )
        say("writing the disk image")
        image = folder / "root.img"
        _as_root(
            "mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0,nodiscard", "-d", str(root), str(image), IMAGE_SIZE
        )
        shutil.copyfile(root / "etc" / "ssh" / "ssh_host_ed25519_key.pub", folder / "host_key.pub")
        _as_root("chmod", "0444", str(image))
        remove_tree(root)

    return product(
        product_path(
            "disk-image", str(base), str(kernel), str(module), str(wheels), str(key), IMAGE_SIZE, _guest_files()
        ),
        build,
    )


def _as_root(*argv: str) -> None:
    run(as_root(argv), LOG, env={"PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"})


def login_key() -> Path:
    """Return a folder with the SSH key of the storage host, `key` (0600) and `key.pub`. One key per cache."""

    def build(folder: Path) -> None:
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(folder / "key")], LOG)

    return product(product_path("login-key"), build)
