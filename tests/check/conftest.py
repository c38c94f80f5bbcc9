# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the result and duration of each check at the end of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Row:
    """A check: a test, or all tests of a function that is parametrized with files."""

    results: list[str] = field(default_factory=list)
    seconds: float = 0.0
    reason: str = ""

    def result(self) -> str:
        for result in ("failed", "skipped"):
            if result in self.results:
                return f"{result}: {self.reason}" if self.reason else result
        return "passed" if len(self.results) == 1 else f"passed, {len(self.results)} times"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rows: dict[str, Row] = {}
    for result in ("passed", "failed", "skipped", "error"):
        for report in terminalreporter.stats.get(result, ()):
            where, _line, test = report.location
            if not where.startswith("tests/check/"):
                continue
            function, _bracket, parameter = test.removesuffix("]").partition("[")
            name = function.removeprefix("test_").replace("_", " ")
            if where.endswith("/test_tools.py") and parameter:  # one tool with different settings
                name = f"{name}, {parameter}"
            row = rows.setdefault(name, Row())
            row.results.append("failed" if result == "error" else result)
            row.seconds += report.duration
            if result == "skipped":
                row.reason = report.longrepr[2].removeprefix("Skipped: ")
    if rows:
        terminalreporter.section("checks")
        width = max(map(len, rows))
        for name, row in rows.items():
            terminalreporter.write_line(f"{name:{width}}  {row.seconds:6.1f} s  {row.result()}")
