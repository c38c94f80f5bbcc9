# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an ext4 file system on a disk image says. Nothing is mounted, so no root rights are required."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Sequence

_SUPERBLOCK, _MAGIC_OFFSET, _INCOMPATIBLE_OFFSET = 1024, 0x38, 0x60
_MAGIC, _NEEDS_RECOVERY = 0xEF53, 0x4
SECONDS = 120.0


def needs_recovery(image: Path) -> bool:
    """Return whether the journal has changes that are not on the disk yet. Raises ValueError without an ext4."""
    with open(image, "rb") as file:
        file.seek(_SUPERBLOCK)
        superblock = file.read(1024)
    if struct.unpack_from("<H", superblock, _MAGIC_OFFSET)[0] != _MAGIC:
        raise ValueError(f"{image} has no ext4 file system")
    features: int = struct.unpack_from("<I", superblock, _INCOMPATIBLE_OFFSET)[0]
    return bool(features & _NEEDS_RECOVERY)


def is_clean(image: Path) -> bool:
    """Return whether e2fsck finds nothing to repair. The journal is not recovered for this."""
    return _run(["e2fsck", "-f", "-n", str(image)]).returncode == 0


def recover(image: Path) -> None:
    """Recover the journal as a mount does. Raises RuntimeError if the file system is damaged beyond that."""
    done = _run(["e2fsck", "-f", "-y", str(image)])
    if done.returncode > 1:
        raise RuntimeError(f"e2fsck could not recover {image}: {done.stdout.strip()}")


def copy_out(image: Path, names: Sequence[str], folder: Path) -> None:
    """Copy files and folders of the top folder to a folder. What does not exist is left out."""
    for name in names:
        _run(["debugfs", "-R", f'rdump "/{name}" "{folder}"', str(image)])


def _run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)
