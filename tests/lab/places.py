# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths of the lab: the build cache and the work files of this checkout."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
LABS = BUILD / "lab"
LOGS = BUILD / "logs"
GUEST = "10.0.2.15"  # the address that ESXi hosts use for the storage host; on this machine it is only an alias
GUEST_FILES = Path(__file__).resolve().parent / "guest"


class LabError(Exception):
    """An error message of one sentence with the problem and the next step."""


def cache_root() -> Path:
    """Return the user's cache folder, which all checkouts share."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = base / "quiesce-vmware-zfs"
    path.mkdir(parents=True, exist_ok=True)
    return path


def short_hash(*parts: str) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 hash of the parts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def default_lab_name() -> str:
    """Return a name that is unique for each checkout on this machine."""
    return f"{re.sub(r'[^a-z0-9]+', '-', ROOT.name.lower()).strip('-') or 'lab'}-{short_hash(str(ROOT))[:6]}"


def check_lab_name(name: str) -> str:
    """Return the name if it is a valid folder and process name. Otherwise, raise LabError."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name):
        raise LabError(
            f"{name!r} cannot be a lab's name; use 1 to 32 small letters, digits and dashes, and no dash at the start"
        )
    return name


def runtime_folder() -> Path:
    """Return a private folder with a short path, because the path of a Unix socket is limited to 107 bytes."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")
    if len(str(base)) > 40 or not os.access(base, os.W_OK):
        base = Path("/tmp")
    folder = base / f"quiesce-lab-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise LabError(f"{folder} is not a folder that only you can write to; remove it and try again")
    return folder
