# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lab keeps things: the cache of what was built, and the work files of this checkout."""

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
GUEST = "10.0.2.15"  # of the storage host, by which ESXi hosts mount from it; this machine knows it only as an alias
GUEST_FILES = Path(__file__).resolve().parent / "guest"


class LabError(Exception):
    """One sentence for the person at the keyboard: what is wrong and what to do next."""


def cache_root() -> Path:
    """The user's cache folder for everything that checkouts share."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = base / "quiesce-vmware-zfs"
    path.mkdir(parents=True, exist_ok=True)
    return path


def short_hash(*parts: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the parts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def default_lab_name() -> str:
    """A name that differs between two checkouts on the same machine."""
    return f"{re.sub(r'[^a-z0-9]+', '-', ROOT.name.lower()).strip('-') or 'lab'}-{short_hash(str(ROOT))[:6]}"


def check_lab_name(name: str) -> str:
    """Return the name if it can be a folder's and a process's name, else raise LabError."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name):
        raise LabError(
            f"{name!r} cannot be a lab's name; use 1 to 32 small letters, digits and dashes, and no dash at the start"
        )
    return name


def runtime_folder() -> Path:
    """A private folder with a short path: a Unix socket's name holds 107 bytes at most, a checkout's may not fit."""
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")
    if len(str(base)) > 40 or not os.access(base, os.W_OK):
        base = Path("/tmp")
    folder = base / f"quiesce-lab-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise LabError(f"{folder} is not a folder that only you can write to; remove it and try again")
    return folder
