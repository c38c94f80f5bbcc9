# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text from outside, made fit to print: vSphere names, fault messages and command output are hostile input."""

from __future__ import annotations

import re
import textwrap
from typing import Sequence

_KIND = re.compile(r" \(\w{1,60}\)\Z")  # of a fault, as vsphere/faults.py ends its sentences with it
_LEAST_WIDTH = 20  # of a column that is wrapped, however narrow the terminal is


def printable(value: object, limit: int | None = 400) -> str:
    """`value` as one line of at most `limit` characters (None: of any length), with control characters (newlines,
    escapes, bidi marks) escaped.
    """
    text = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in str(value)
    )
    return text if limit is None or len(text) <= limit else text[: limit - 1] + "…"


def shortened(text: str, limit: int) -> str:
    """The first `limit` characters of `text`, the last of which are the kind of fault in brackets that it ends with."""
    if len(text) <= limit:
        return text
    kind = _KIND.search(text)
    end = f" ...{kind[0]}" if kind else ""
    return text[: limit - len(end)] + end


def vm_on(name: str, server: str) -> str:
    """A VM as every message names it, whatever it is called: `VM 'web' on vcenter.example.com`."""
    return f"VM '{printable(name, 80)}' on {server}"


def counted(number: int, noun: str) -> str:
    """`1 VM`, `3 VMs`: a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Columns as wide as what is in them, two spaces apart. Nothing is cut; with a `width` in characters, that of a
    terminal, the last column goes on in further lines below itself.
    """
    lines = [list(head), *([printable(cell, None) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    if width is not None:
        room = max(width - sum(widths[:-1]) - 2 * len(widths[:-1]), _LEAST_WIDTH)
        lines = [part for line in lines for part in _wrapped(line, room)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def _wrapped(line: Sequence[str], room: int) -> list[list[str]]:
    """A row of a table as rows whose last cells have at most `room` characters; a longer word stays in one piece."""
    parts = textwrap.wrap(line[-1], room, break_long_words=False, break_on_hyphens=False) or [""]
    return [[*line[:-1], parts[0]], *([""] * (len(line) - 1) + [part] for part in parts[1:])]
