# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the content of the tarball. The demo (test_readme.py) tests that it works without the checkout."""

from __future__ import annotations

import tarfile
from pathlib import Path

from .tools import BUILD, copy_tree, files, run

FOLDERS = ("LICENSES", "docs", "extensions", "meta", "playbooks", "plugins", "roles")
TOP = {
    ".ansible-lint",
    "CHANGELOG.md",
    "CHANGELOG.rst",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "REUSE.toml",
}


def test_the_tarball_holds_the_collection_and_nothing_else(tmp_path: Path) -> None:
    copy = copy_tree(BUILD / "galaxy")
    (copy / "build").mkdir()
    (copy / "build" / "password").write_text("canary-4711")
    run("ansible-galaxy", "collection", "build", "--output-path", str(tmp_path), cwd=copy)
    (tarball,) = tmp_path.glob("quiesce-vmware_zfs-*.tar.gz")
    with tarfile.open(tarball) as archive:
        names = {member.name for member in archive if member.isfile()}
    others = {"FILES.json", "MANIFEST.json", "bindep.txt", "changelogs/changelog.yaml", "changelogs/config.yaml"}
    shipped = set(files(*FOLDERS)) - set(files("extensions/molecule"))  # the scenarios require the lab
    assert names == {*shipped, *TOP, *others, "requirements.txt", "tests/config.yml"}
