# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the collection importable under its full name, here and in what the tests start, from any checkout."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _collections_path() -> Path:
    """The folder that holds ansible_collections/quiesce/vmware_zfs, which is this checkout, if by a link in build/."""
    if ROOT.parts[-3:] == ("ansible_collections", "quiesce", "vmware_zfs"):
        return ROOT.parents[2]
    collections = ROOT / "build" / "collections"
    link = collections / "ansible_collections" / "quiesce" / "vmware_zfs"
    link.parent.mkdir(parents=True, exist_ok=True)
    # Regular packages: an `ansible_collections` package that another distribution installed must not win.
    for folder in (link.parent, link.parent.parent):
        (folder / "__init__.py").touch()
    try:
        link.symlink_to(os.path.relpath(ROOT, link.parent), target_is_directory=True)
    except FileExistsError:
        pass
    return collections


def _prepend(variable: str, path: str) -> None:
    paths = os.environ.get(variable, "").split(os.pathsep)
    os.environ[variable] = os.pathsep.join([path, *(other for other in paths if other and other != path)])


_COLLECTIONS = str(_collections_path())
sys.path.insert(0, _COLLECTIONS)
_prepend("PYTHONPATH", _COLLECTIONS)
_prepend("ANSIBLE_COLLECTIONS_PATH", _COLLECTIONS)
