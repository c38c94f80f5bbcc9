# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Create Markdown tables, and insert them into handwritten pages."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Mapping, Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table whose columns contain numbers, except for the first one."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def target_table(targets: dict[str, dict[str, Any]]) -> str:
    """Return the verdicts of targets: {name: {"value", "target", "met"}}."""
    words = {True: "yes", False: "**no**", None: "not run"}
    rows = [
        [name, "" if one["value"] is None else f"{one['value']:g}", one["target"], words[one["met"]]]
        for name, one in targets.items()
    ]
    return table(["figure", "measured", "target", "met"], rows)


def _between(text: str, marks: re.Match[str]) -> str:
    return f"{marks[1]}{text}\n{marks[2]}"


def fill(page: str, tables: Mapping[str, str]) -> str:
    """Return the page with each table between its two markers. Raise ValueError if a table has no markers."""
    for name, text in tables.items():
        place = re.compile(rf"(<!-- {name}: written by a script -->\n).*?(<!-- {name}: end -->)", re.DOTALL)
        page, places = place.subn(partial(_between, text), page)
        if places != 1:
            raise ValueError(f"the page has {places} places for the table {name}")
    return page
