# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which folder of the engine may import which. docs/contributing/architecture.md shows the same table as a picture."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .tools import ROOT

ENGINE = ROOT / "plugins" / "module_utils" / "_engine"

# From the lowest floor to the highest. A folder imports itself and lower floors, never a folder on its own floor.
FLOORS = (
    {"base"},  # the files directly in _engine/
    {"door"},  # to the storage host
    {"storage_host", "vsphere", "zfs"},
    {"exports", "matching", "records", "schedule"},
    {"state"},
    {"planning", "nfs_datastore", "observe"},
    {"snapshots"},
    {"restore"},
    {"drills"},
    {"recovery"},
    {"runs"},
    {"tasks"},
    {"cli"},
    {"runtime"},
)
STRANGERS = ({"vsphere", "door"},)  # on different floors, and still without knowledge of each other


def floor(folder: str) -> int:
    return next(number for number, folders in enumerate(FLOORS) if folder in folders)


def folder_of(path: Path) -> str:
    parts = path.relative_to(ENGINE).parts
    return parts[0] if (ENGINE / parts[0]).is_dir() else "base"


def imported_folders(source: str, path: Path) -> set[str]:
    """The folders of the engine that the `source` of a file at `path` imports from; the engine imports relatively."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            package = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            found |= {folder_of(package / alias.name) for alias in node.names}
    return found


def is_allowed(importer: str, imported: str) -> bool:
    if {importer, imported} in STRANGERS:
        return False
    return importer == imported or floor(imported) < floor(importer)


FILES = sorted(ENGINE.rglob("*.py"))


def test_every_folder_has_a_floor() -> None:
    assert {folder_of(path) for path in FILES} == set().union(*FLOORS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ENGINE)))
def test_a_file_imports_its_own_folder_and_lower_floors_only(path: Path) -> None:
    imported = imported_folders(path.read_text(), path)
    assert [folder for folder in sorted(imported) if not is_allowed(folder_of(path), folder)] == []


@pytest.mark.parametrize(
    ("source", "imported"),
    [
        ("from ..snapshots.seal import seal", "snapshots"),
        ("from ..snapshots import seal", "snapshots"),
        ("from ..vsphere import sdk", "vsphere"),
        ("def late() -> None:\n    from ..cli.main import main", "cli"),
    ],
)
def test_an_import_from_a_higher_floor_is_noticed(source: str, imported: str) -> None:
    assert imported_folders(source, ENGINE / "zfs" / "command.py") == {imported}
    assert not is_allowed("zfs", imported)
