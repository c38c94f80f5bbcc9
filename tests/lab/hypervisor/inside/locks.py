# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks of NFS 3 datastores: a file `.lck-<file ID>` for each open file, with the name of its host."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import Refused


def lock(file: Path, owner: str) -> None:
    """Raises Refused if another host has locked the file. A lock of the same host is left from a crash."""
    holder = _path(file)
    try:
        descriptor = os.open(holder, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        found = holder.read_text(encoding="utf-8").strip()
        if found != owner:
            raise Refused("FileLocked", f"{file} is locked by {found or 'an unknown host'}") from None
        return
    with os.fdopen(descriptor, "w", encoding="utf-8") as lock_file:
        lock_file.write(f"{owner}\n")


def unlock(file: Path) -> None:
    _path(file).unlink(missing_ok=True)


def _path(file: Path) -> Path:
    return file.with_name(f".lck-{file.stat().st_ino:016x}")
