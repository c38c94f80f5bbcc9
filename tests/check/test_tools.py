# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the tools of a reviewer: with the oldest and the newest ansible-core; `make check` runs them with every one."""

from __future__ import annotations

from pathlib import Path

import nox
import pytest

import noxfile

from ..lab.installed import LOWEST_CORE
from .ansible_test import CORES, NoPython
from .tools import ROOT, files, run

EXECUTION_ENVIRONMENT = ROOT / "extensions" / "ee" / "execution-environment.yml"
OLDEST_AND_NEWEST = (LOWEST_CORE, "newest")


@pytest.mark.parametrize("series", OLDEST_AND_NEWEST)
def test_ansible_test_sanity(series: str) -> None:
    # pylint takes three quarters of the time, and its findings hardly depend on the series.
    ansible_test(series, "sanity", *(() if series == "newest" else ("--skip-test", "pylint")))


# With the newest Ansible and the newest Python here, those of the modules, which use both. The oldest ones forbid more.
@pytest.mark.parametrize(("series", "tests"), [(LOWEST_CORE, []), ("newest", ["tests/unit/plugins/modules/"])])
def test_ansible_test_units(series: str, tests: list[str]) -> None:
    ansible_test(series, "units", *tests)


def ansible_test(series: str, command: str, *options: str) -> None:
    try:
        CORES[series].python()
    except NoPython as error:
        pytest.skip(str(error))
    run("python", "-m", "tests.check.ansible_test", "--core", series, command, *options)


def test_mypy() -> None:
    run("mypy")


def test_ruff() -> None:
    run("ruff", "check", ".")
    run("ruff", "format", "--check", ".")


def test_yamllint() -> None:
    run("yamllint", "--strict", ".")


def test_ansible_lint() -> None:
    run("ansible-lint", "--offline", "--profile", "production", "--strict")


def test_antsibull_docs() -> None:
    run("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self", ".")


def test_changelog() -> None:
    run("antsibull-changelog", "lint")


def test_no_line_ends_with_a_space() -> None:
    texts = {name: (ROOT / name).read_text() for name in files("*.md", "*.rst", "*.j2", "*.sh", "*.go", "Makefile")}
    assert [name for name, text in texts.items() if any(line != line.rstrip() for line in text.split("\n"))] == []


def test_nox_has_a_session_for_every_ansible_core() -> None:
    assert tuple(CORES) == noxfile.CORES
    assert nox.options.envdir == "build/nox"  # which no linter reads and `make clean` removes


def test_execution_environment(tmp_path: Path) -> None:
    run("ansible-builder", "create", "--file", str(EXECUTION_ENVIRONMENT), "--context", str(tmp_path))
    assert "quiesce.vmware_zfs" in (tmp_path / "_build" / "requirements.yml").read_text()
    told = run("ansible-builder", "introspect", str(ROOT / "build" / "collections")).stdout
    assert "openssh-clients" in told and "quiesce.vmware_zfs" in told
    assert "pyVmomi" in told  # required on the controller by the playbook vsphere_role


def test_a_tool_that_complains_fails_its_test(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import os\n")
    with pytest.raises(AssertionError, match="F401"):
        run("ruff", "check", "--isolated", str(broken))
