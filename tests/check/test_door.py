# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine reaches the storage host through door/host.py only, so that a second transport needs one more door.

Only the coordinator's own things may be reached in another way. The tables list them.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

import pytest

from .tools import ROOT

PLUGINS = ROOT / "plugins"
ENGINE = PLUGINS / "module_utils" / "_engine"

# Folders that work on the coordinator alone, and why.
COORDINATOR = {
    "door": "the door itself",
    "state": "database, key file, locks and identity of the coordinator",
    "runtime": "the coordinator's Python and its copy of the engine",
    "cli": "the terminal",
}
# Other files, what they reach, and why.
EXCEPTIONS = {
    "module_utils/_engine/planning/preflight.py": ({"os.path.realpath"}, "the coordinator reads the CA file"),
    "module_utils/_engine/vsphere/tls.py": ({"os.path.isdir"}, "the coordinator reads the CA file"),
    "module_utils/_engine/tasks/timers.py": (
        {"durable", "pathlib.Path", "process", "subprocess"},
        "the coordinator has the timers",
    ),
    "modules/vmware_runtime.py": ({"os.umask", "pathlib.Path"}, "the module installs the coordinator's runtime"),
}

MODULES = {"fcntl", "glob", "grp", "io", "mmap", "pwd", "shutil", "socket", "subprocess", "tempfile"}
OUR_MODULES = {"durable", "process"}  # run programs and write files of the coordinator
PURE_PATHS = {"PurePath", "PurePosixPath"}
PURE_OS = {"fsdecode", "fsencode", "getpid", "linesep", "path", "pathsep", "sep"}
PURE_OS_PATH = {"basename", "commonpath", "dirname", "isabs", "join", "normpath", "relpath", "split", "splitext"}


def reached(source: str) -> set[str]:
    """What the source of a file uses of the machine that it runs on."""
    return {found for node in ast.walk(ast.parse(source)) for found in _reached_by(node)}


def _reached_by(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            # Another name for os or posixpath would hide its uses.
            if (
                alias.name in MODULES | {"pathlib"}
                or alias.name.startswith("os.")
                or (alias.name in ("os", "posixpath") and alias.asname)
            ):
                yield alias.name
    elif isinstance(node, ast.ImportFrom):
        package, names = node.module or "", [alias.name for alias in node.names]
        if node.level or package.startswith("ansible_collections."):
            yield from OUR_MODULES & {package.rpartition(".")[2], *names}
        elif package in MODULES:
            yield package
        else:
            for name in names:
                yield from _impure(package, name)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("open", "__import__"):
        yield node.func.id
    elif isinstance(node, ast.Attribute):
        yield from _impure(ast.unparse(node.value), node.attr)


def _impure(package: str, name: str) -> Iterator[str]:
    pure = {"os": PURE_OS, "os.path": PURE_OS_PATH, "posixpath": PURE_OS_PATH, "pathlib": PURE_PATHS}
    if package in pure and name not in pure[package]:
        yield f"{package}.{name}"


def is_coordinators(path: Path) -> bool:
    """Whether all of a file is about the coordinator: its folder is, or it is one of the tools on the lowest floor."""
    return path.parent == ENGINE or path.parent.name in COORDINATOR


FILES = [
    path for path in sorted((*ENGINE.rglob("*.py"), *(PLUGINS / "modules").glob("*.py"))) if not is_coordinators(path)
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PLUGINS)))
def test_a_file_reaches_the_storage_host_through_the_door_only(path: Path) -> None:
    allowed, _why = EXCEPTIONS.get(str(path.relative_to(PLUGINS)), (set(), ""))
    assert reached(path.read_text()) == allowed


def test_the_tables_name_what_exists() -> None:
    assert all((ENGINE / folder).is_dir() for folder in COORDINATOR)
    assert EXCEPTIONS.keys() <= {str(path.relative_to(PLUGINS)) for path in FILES}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import subprocess", {"subprocess"}),
        ("def late() -> None:\n    from subprocess import run", {"subprocess"}),
        ("import socket\nsocket.gethostname()", {"socket"}),
        ("import pwd, grp", {"pwd", "grp"}),
        ("import shutil\nimport tempfile\nimport glob\nimport fcntl", {"shutil", "tempfile", "glob", "fcntl"}),
        ("open('/proc/self/mountinfo')", {"open"}),
        ("__import__('subprocess')", {"__import__"}),
        ("from pathlib import Path, PurePath", {"pathlib.Path"}),
        ("import pathlib\npathlib.Path('/')", {"pathlib", "pathlib.Path"}),
        ("import os\nos.listdir('/')\nos.environ", {"os.listdir", "os.environ"}),
        ("import os\nlook = os.path.realpath", {"os.path.realpath"}),
        ("from os import stat, fsencode", {"os.stat"}),
        ("from os.path import exists, join", {"os.path.exists"}),
        ("import posixpath\nposixpath.islink('/')", {"posixpath.islink"}),
        ("import os as system", {"os"}),
        ("import os.path as paths", {"os.path"}),
        ("from ..process import run", {"process"}),
        ("from ... import durable", {"durable"}),
        ("from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.process import run", {"process"}),
    ],
)
def test_every_way_past_the_door_is_noticed(source: str, found: set[str]) -> None:
    assert reached(source) == found


def test_texts_and_the_door_itself_are_no_way_past_it() -> None:
    pure = "import os, posixpath\nos.fsencode(posixpath.join('/', os.path.dirname(os.sep)))\nhost.open('x')"
    assert reached(pure + "\nfrom pathlib import PurePath\nfrom ..door.local import LocalHost") == set()
