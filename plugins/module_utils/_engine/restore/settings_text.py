# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads texts of lines such as `key = "value"`, as ESXi writes them in .vmx, .vmtx and .vmsd files.

Anyone who may write to a datastore can write such a file. A text that ESXi could not read either is refused, because a
line that is skipped could name a disk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Mapping

from ..errors import VmFileDamaged
from ..text import printable

MOST_BYTES = 4 * 2**20  # of a file; a .vmx has about 5 KB, a .vmsd about 300 bytes for each VMware snapshot
_ESCAPES = re.compile(r"(?:\|[0-9A-Fa-f]{2})+")  # of characters that would end a value, as bytes of UTF-8
_ENCODING = re.compile(r'^[ \t]*\.encoding[ \t]*=[ \t]*"([A-Za-z0-9_-]{1,20})"', re.MULTILINE | re.IGNORECASE)
# Encodings other than UTF-8 that VMware's products write, by the name of the Python codec.
_CODECS = re.compile(r"cp\d{3,4}|iso-8859-\d{1,2}|shift_jis|gbk|gb18030|gb2312|big5|euc[-_](?:jp|kr)\Z")
_TRUE = frozenset(("true", "yes", "on", "1", "t", "y"))


@dataclass(frozen=True)
class Settings:
    """The settings of a file. Keys are compared without regard to case."""

    file: str
    values: Mapping[str, str]  # keys in lower case

    def get(self, key: str, default: str = "") -> str:
        return self.values.get(key.lower(), default)

    def is_true(self, key: str) -> bool:
        return self.get(key).strip().lower() in _TRUE

    def number(self, key: str, default: int = 0) -> int:
        """Return an integer, or `default` if the key is missing or empty. Raises VmFileDamaged."""
        text = self.get(key).strip()
        if not text:
            return default
        if not re.match(r"-?[0-9]{1,19}\Z", text):
            raise damaged(self.file, f"the value of {key} is '{printable(text, 40)}', which is not a number")
        return int(text)


def parse_settings(text: str, file: str) -> Settings:
    """Parse the text of `file` (its name, for messages). Raises VmFileDamaged."""
    check_size(text, file)
    values: dict[str, str] = {}
    for number, line in enumerate(_decoded(text).removeprefix("\ufeff").split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, value = pair_in(line)
        if value is None:
            raise damaged(file, f'line {number} is not of the form key = "value"')
        if values.setdefault(key.lower(), value) != value:
            raise damaged(file, f"line {number} sets {printable(key, 80)} again, to another value")
    return Settings(file, values)


def pair_in(line: str) -> tuple[str, str | None]:
    """Return the key and the value of a line. The value is None if the line is not of the form `key = "value"`.

    A comment may follow the value. Takes linear time, whatever the line contains.
    """
    key, equals, rest = line.partition("=")
    key, rest = key.strip(), rest.strip()
    if not equals or not key or '"' in key or "\0" in line:
        return key, None
    if not rest.startswith('"'):
        value = rest.partition("#")[0].strip()
        return key, None if '"' in value else _unescaped(value)
    value, quote, after = rest[1:].partition('"')
    is_whole = quote and (not after.strip() or after.lstrip().startswith("#"))
    return key, _unescaped(value) if is_whole else None


def check_size(text: str, file: str) -> None:
    """Raise VmFileDamaged for a text that is too long for such a file."""
    if len(text) > MOST_BYTES:
        raise damaged(file, f"it has more than {MOST_BYTES // 2**20} MiB")


def damaged(file: str, problem: str) -> VmFileDamaged:
    return VmFileDamaged(
        f"The file {printable(file, 200)} cannot be used: {problem}",
        "Choose another ZFS snapshot, or correct a copy of it",
    )


def _decoded(text: str) -> str:
    """Decode a text that was read as UTF-8, but names another encoding. Unknown encodings count as UTF-8."""
    named = _ENCODING.search(text[:4096])
    codec = re.sub(r"^(?:windows|ibm)-", "cp", named[1].lower()) if named else ""
    if not _CODECS.match(codec):
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode(codec, "replace")
    except LookupError:
        return text


def _unescaped(value: str) -> str:
    """Return a value with `|22` as a quotation mark, `|7C` as a vertical bar, and so on."""
    return _ESCAPES.sub(_character, value)


def _character(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("|", "")).decode("utf-8", "surrogateescape")
