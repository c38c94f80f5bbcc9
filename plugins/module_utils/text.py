# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text from outside, made fit to print: vSphere names, fault messages and command output are hostile input."""

from __future__ import annotations

from typing import Sequence


def printable(value: object, limit: int = 400) -> str:
    """`value` as one line of at most `limit` characters, with control characters (newlines, escapes, bidi marks)
    escaped.
    """
    text = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in str(value)
    )
    return text if len(text) <= limit else text[: limit - 1] + "…"


def vm_on(name: str, server: str) -> str:
    """A VM as every message names it, whatever it is called: `VM 'web' on vcenter.example.com`."""
    return f"VM '{printable(name, 80)}' on {server}"


def counted(number: int, noun: str) -> str:
    """`1 VM`, `3 VMs`: a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as what is in them, two spaces apart."""
    lines = [list(head), *([printable(cell, 120) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)
