# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the tools that a reviewer runs. They must not report any findings."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from ..lab.cache import product_path
from .ansible_test import CORES, DEVELOPMENT, NoPython
from .pythons import real_path
from .tools import ROOT, run

EXECUTION_ENVIRONMENT = ROOT / "extensions" / "ee" / "execution-environment.yml"
SESSIONS = ("yamllint", "antsibull-nox-config", "docs-check", "license-check", "extra-checks", "build-import-check")


@pytest.mark.parametrize("series", CORES)
def test_ansible_test_sanity(series: str) -> None:
    # pylint takes three quarters of the time, and its findings hardly depend on the ansible-core series.
    ansible_test(series, "sanity", *(() if series in (DEVELOPMENT, "newest") else ("--skip-test", "pylint")))


# The development series already runs with pytest.
@pytest.mark.parametrize("series", [name for name, core in CORES.items() if core.units and name != DEVELOPMENT])
def test_ansible_test_units(series: str) -> None:
    ansible_test(series, "units")


def ansible_test(series: str, command: str, *options: str) -> None:
    try:
        CORES[series].python()
    except NoPython as error:
        pytest.skip(str(error))
    run("python", "-m", "tests.check.ansible_test", "--core", series, command, *options)


@pytest.mark.parametrize("session", SESSIONS)
def test_antsibull_nox(session: str) -> None:
    environments = product_path("nox", real_path(sys.executable))
    said = run("nox", "--reuse-venv=yes", f"--envdir={environments}", "--sessions", session).stdout
    assert f"Session {session} was successful" in said, said
    # Galaxy accepts a collection with importer warnings, but they prevent certification.
    if session == "build-import-check":
        assert "Importer processing completed successfully" in said
        assert re.findall(r"^\s*(?:WARNING|ERROR): (?!Location ).*", said, re.MULTILINE) == []


def test_mypy() -> None:
    run("mypy")


def test_ruff() -> None:
    run("ruff", "check", ".")
    run("ruff", "format", "--check", ".")


def test_yamllint() -> None:
    run("yamllint", "--strict", ".")


def test_ansible_lint() -> None:
    run("ansible-lint", "--offline", "--profile", "production", "--strict")


def test_changelog() -> None:
    run("antsibull-changelog", "lint")


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
