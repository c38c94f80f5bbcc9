# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this checkout is to be found as quiesce.vmware_zfs, for Python and for Ansible."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def collections_path() -> Path:
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
