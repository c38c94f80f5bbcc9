# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build and install the collection as a user does, with the lowest supported ansible-core."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from .commands import output, run
from .places import LOGS, ROOT
from .python_environments import virtual_environment

LOG = LOGS / "installed.log"
LOWEST_CORE = "2.18"  # as in meta/runtime.yml


@dataclass(frozen=True)
class Installed:
    """A virtual environment and a collections folder that are independent of the checkout."""

    commands: Path
    collections: Path

    def environment(self) -> dict[str, str]:
        """Return environment variables without the paths of the caller."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
        return {**kept, "ANSIBLE_COLLECTIONS_PATH": str(self.collections)}

    def version(self) -> str:
        """Return a readable version string."""
        ask = "import ansible.release as release; print(release.__version__)"
        core = output([str(self.commands / "python"), "-I", "-c", ask]).strip()
        (manifest,) = self.collections.glob("ansible_collections/quiesce/vmware_zfs/MANIFEST.json")
        version = json.loads(manifest.read_text())["collection_info"]["version"]
        return f"ansible-core {core}, quiesce.vmware_zfs {version}"


def install(folder: Path) -> Installed:
    """Build the collection and install the tarball below `folder`."""
    place = virtual_environment("controller", ROOT / "requirements.txt", f"ansible-core=={LOWEST_CORE}.*")
    installed = Installed(place / "bin", folder / "collections")
    shutil.rmtree(folder, ignore_errors=True)
    galaxy = [str(installed.commands / "ansible-galaxy"), "collection"]
    run([*galaxy, "build", "--output-path", str(folder), str(ROOT)], LOG)
    (tarball,) = folder.glob("quiesce-vmware_zfs-*.tar.gz")
    nothing_else = {"ANSIBLE_COLLECTIONS_PATH": str(installed.collections), "PYTHONPATH": ""}
    run([*galaxy, "install", "--offline", str(tarball)], LOG, nothing_else)
    return installed
