# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/reference/command-line.md names every command, option and exit status of `vmware-zfs`, and nothing else."""

from __future__ import annotations

import argparse
import re

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import main as cli
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import turn_report

from .tools import ROOT

PAGE = (ROOT / "docs" / "reference" / "command-line.md").read_text()
(_COMMANDS,) = [action for action in cli._parser()._actions if isinstance(action, argparse._SubParsersAction)]
COMMANDS: dict[str, argparse.ArgumentParser] = _COMMANDS.choices
COMMON = {"--json", "-h", "--help"}


def section(heading: str) -> str:
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"the page has no section '{heading}'"
    return found[1]


def first_cells(text: str) -> list[str]:
    """The text in backticks of the first column of the tables."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row)]


def test_the_page_names_every_command() -> None:
    summary = PAGE[: PAGE.index("\n## ")]
    assert set(first_cells(summary)) == {*COMMANDS, *COMMON}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_names_every_option_of_a_command(command: str) -> None:
    expected: set[str] = set()
    for action in COMMANDS[command]._actions:
        metavar = f" {action.metavar}" if action.option_strings and action.metavar else ""
        expected |= {f"{option}{metavar}" for option in action.option_strings or [str(action.metavar)]}
    assert set(first_cells(section(command))) == expected - COMMON


def test_the_page_names_every_default() -> None:
    for command, parser in COMMANDS.items():
        for action in parser._actions:
            if isinstance(action.default, int) and not isinstance(action.default, bool):
                assert f"| {action.default} |" in section(command)


def test_the_page_names_every_exit_status() -> None:
    statuses = re.findall(r"^\| (\d+) \|", section("Exit statuses"), re.MULTILINE)
    known = {turn_report.DONE, turn_report.FAILED, turn_report.INCOMPLETE, turn_report.AGAIN}
    assert set(map(int, statuses)) == {*known, 2}  # argparse's own


def test_the_page_names_every_environment_variable() -> None:
    assert set(first_cells(section("Environment variables"))) == set(re.findall(r"VMWARE_ZFS_\w+", cli.EPILOG))
