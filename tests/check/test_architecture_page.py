# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/contributing/architecture.md shows the engine as it is: its floors, and files that exist."""

from __future__ import annotations

import re

from .test_layers import FLOORS
from .tools import ROOT, files

PAGE = (ROOT / "docs" / "contributing" / "architecture.md").read_text()


def test_the_picture_shows_the_floors_that_the_tests_enforce() -> None:
    assert "(../images/floors.svg)" in PAGE
    picture = (ROOT / "docs" / "images" / "floors.svg").read_text()
    shown = {
        int(number): set(re.findall(r'folder"[^>]*>(\w+)<', group))
        for number, group in re.findall(r'<g data-floor="(\d+)">(.*?)</g>', picture, re.DOTALL)
    }
    assert shown == dict(enumerate(FLOORS))


def test_the_page_names_files_that_exist() -> None:
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)`", PAGE))
    existing = [f"/{name}" for name in files("plugins/module_utils/*.py", "tests/check/*.py")]
    assert len(named) > 20
    assert [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in existing)] == []


def test_the_page_names_every_folder() -> None:
    folders = set().union(*FLOORS) - {"base"}
    assert [folder for folder in sorted(folders) if f"| `{folder}/` |" not in PAGE] == []
