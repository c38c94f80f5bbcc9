# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes untrusted text safe to print. vSphere names, fault messages and command output are untrusted input."""

from __future__ import annotations

import re
import textwrap
from difflib import get_close_matches
from typing import Any, Iterable, Sequence

_KIND = re.compile(r" \(\w{1,60}\)\Z")  # the fault type, with which vsphere/faults.py ends its messages
_NEAR = 3  # similar names to show
_LEAST_WIDTH = 20  # minimum width of a wrapped column, even on a narrow terminal


def printable(value: object, limit: int | None = 400) -> str:
    """Return `value` as one line of at most `limit` characters (None: no limit).

    Control characters (newlines, escapes, bidi marks) are escaped.
    """
    text = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in str(value)
    )
    return text if limit is None or len(text) <= limit else text[: limit - 1] + "…"


def valid_unicode(value: Any) -> Any:
    """Return plain data in which each byte of a file that is not UTF-8 is a question mark.

    Python keeps such a byte as a lone surrogate, which JSON readers and terminals do not accept.
    """
    if isinstance(value, dict):
        return {valid_unicode(key): valid_unicode(one) for key, one in value.items()}
    if isinstance(value, list):
        return [valid_unicode(one) for one in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def shortened(text: str, limit: int) -> str:
    """Shorten `text` to `limit` characters, but keep the fault type in brackets at its end."""
    if len(text) <= limit:
        return text
    kind = _KIND.search(text)
    end = f" ...{kind[0]}" if kind else ""
    return text[: limit - len(end)] + end


def vm_on(name: str, server: str) -> str:
    """Name a VM in the form that all messages use: `VM 'web' on vcenter.example.com`."""
    return f"VM '{printable(name, 80)}' on {server}"


def reason_of(error: Exception) -> str:
    """Return the reason of an error of the operating system, without its number and file name."""
    return printable(getattr(error, "strerror", None) or error, 200)


def counted(number: int, noun: str) -> str:
    """Join a number and its noun: `1 VM`, `3 VMs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def similar(wanted: str, names: Iterable[str]) -> str:
    """Return a sentence with the names that are most similar to `wanted`, without a full stop, or ""."""
    by_case = {name.casefold(): name for name in names}
    near = [f"'{printable(by_case[name], 80)}'" for name in get_close_matches(wanted.casefold(), by_case, _NEAR)]
    return f"{'A similar name is' if len(near) == 1 else 'Similar names are'} {' and '.join(near)}" if near else ""


def size_text(count: int) -> str:
    """Return a number of bytes for people: `512 bytes`, `1.5 GiB`."""
    size, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Format a table. Each column is as wide as its longest cell; two spaces separate columns. Nothing is cut.

    If `width` (the terminal's width in characters) is given, the last column is wrapped to fit.
    """
    lines = [list(head), *([printable(cell, None) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    if width is not None:
        room = max(width - sum(widths[:-1]) - 2 * len(widths[:-1]), _LEAST_WIDTH)
        lines = [part for line in lines for part in _wrapped(line, room)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def _wrapped(line: Sequence[str], room: int) -> list[list[str]]:
    """Wrap the last cell of a row at `room` characters, over as many rows as needed. Longer words are not split."""
    parts = textwrap.wrap(line[-1], room, break_long_words=False, break_on_hyphens=False) or [""]
    return [[*line[:-1], parts[0]], *([""] * (len(line) - 1) + [part] for part in parts[1:])]
