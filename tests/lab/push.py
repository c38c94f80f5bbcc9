# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy files to a storage host in one archive, in particular the engine to its installation path."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from typing import Mapping

from .places import ROOT
from .storage_host import StorageHost

ENGINE = ROOT / "plugins" / "module_utils" / "_engine"


def engine_files(folder: str) -> dict[str, Path]:
    """Return the engine as the package `folder` on the storage host, for `push`."""
    return {f"{folder}/{source.relative_to(ENGINE)}": source for source in sorted(ENGINE.rglob("*.py"))}


def push(host: StorageHost, files: Mapping[str, Path | bytes]) -> None:
    """Write files to absolute paths on the storage host and flush them to disk. Create missing folders."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for path, content in files.items():
            if isinstance(content, Path):
                tar.add(content, path.lstrip("/"))
            else:
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    unpack = "tar --warning=no-timestamp -xzf - -C / && sync"
    subprocess.run(["ssh", "-F", str(host.ssh_config), "storage", unpack], input=archive.getvalue(), check=True)
