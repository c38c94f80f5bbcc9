# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the form `key = "value"`: .vmx and .vmsd. A file is replaced as a whole."""

from __future__ import annotations

import os
import re
from pathlib import Path

_LINE = re.compile(r'^\s*([^#\s][^=]*?)\s*=\s*"(.*)"\s*$')
# ESXi writes characters that would end a value as a vertical bar and two hexadecimal digits.
_ESCAPED = re.compile(r'["|\x00-\x1f]')


def read(path: Path) -> dict[str, str]:
    """Return the settings of a file. Raises OSError."""
    return parse(path.read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, str]:
    found = map(_LINE.match, text.splitlines())
    return {line[1]: _plain(line[2]) for line in found if line}


def write(path: Path, settings: dict[str, str]) -> None:
    encoded = {".encoding": "UTF-8", **settings}
    replace(path, "".join(f'{key} = "{_ESCAPED.sub(_escape, value)}"\n' for key, value in encoded.items()))


def replace(path: Path, text: str) -> None:
    """Write a file so that a reader finds the old or the new content, also after a power cut."""
    fresh = path.with_name(path.name + "~")
    with open(fresh, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def _escape(found: re.Match[str]) -> str:
    return f"|{ord(found[0]):02X}"


def _plain(text: str) -> str:
    return re.sub(r"\|([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text)
