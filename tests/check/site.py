# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the documentation site in build/docs/html (`make docs`). Warnings are errors."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ..collection_path import collections_path
from .tools import BUILD, ROOT, files, run

SITE = BUILD / "docs"


def build(folder: Path = SITE) -> Path:
    """Build the pages of docs/ and the reference of modules and roles. Return the first page.

    Raises AssertionError with the output of a tool if the tool fails.
    """
    sources, html = folder / "sources", folder / "html"
    shutil.rmtree(folder, ignore_errors=True)
    for name in files("docs"):
        target = sources / Path(name).relative_to("docs")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    reference = sources / "reference"
    reference.mkdir(exist_ok=True)
    run(
        "antsibull-docs", "collection", "--use-current", "--squash-hierarchy", "--fail-on-error",
        "--dest-dir", str(reference), "quiesce.vmware_zfs",
        ANSIBLE_COLLECTIONS_PATH=str(collections_path()),
    )  # fmt: skip
    run("sphinx-build", "-q", "-W", "--keep-going", "-j", "auto", "-b", "html", str(sources), str(html))
    return html / "index.html"


if __name__ == "__main__":
    try:
        print(f"The site's first page is {build()}.")
    except AssertionError as complaint:
        sys.exit(str(complaint))
