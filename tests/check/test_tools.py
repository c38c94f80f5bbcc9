# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each tool that a reviewer runs finds nothing to say."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from .ansible_test import CORES, DEVELOPMENT, NoPython
from .tools import BUILD, copy_tree, files, run


@pytest.mark.parametrize("series", CORES)
def test_ansible_test_sanity(series: str) -> None:
    ansible_test(series, "sanity")


@pytest.mark.parametrize("series", [series for series in CORES if series != DEVELOPMENT])  # that one is pytest's own
def test_ansible_test_units(series: str) -> None:
    ansible_test(series, "units")


def ansible_test(series: str, command: str) -> None:
    try:
        CORES[series].python()
    except NoPython as error:
        pytest.skip(str(error))
    run("python", "-m", "tests.check.ansible_test", "--core", series, command)


def test_galaxy_builds_what_belongs_to_the_collection(tmp_path: Path) -> None:
    copy = copy_tree(BUILD / "galaxy")
    run("ansible-galaxy", "collection", "build", "--output-path", str(tmp_path), cwd=copy)
    (tarball,) = tmp_path.glob("quiesce-vmware_zfs-*.tar.gz")
    with tarfile.open(tarball) as archive:
        names = set(archive.getnames())
    assert {name for name in files("plugins", "meta/runtime.yml") if not name.endswith(".pyc")} <= names
    assert not [name for name in names if name.startswith((".", "benchmarks", "build"))]


def test_mypy() -> None:
    run("mypy", "plugins/module_utils")


def test_ruff() -> None:
    run("ruff", "check", ".")


def test_yamllint() -> None:
    run("yamllint", "--strict", ".")


def test_ansible_lint() -> None:
    run("ansible-lint", "--offline", "--profile", "production", "--strict")


def test_antsibull_docs() -> None:
    run("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", ".")


def test_changelog() -> None:
    run("antsibull-changelog", "lint")


def test_a_tool_that_complains_fails_its_test(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import os\n")
    with pytest.raises(AssertionError, match="F401"):
        run("ruff", "check", "--isolated", str(broken))
