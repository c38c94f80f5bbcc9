# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Normalize paths. Nothing here uses a file system."""

from __future__ import annotations

import os
import posixpath
import re
from typing import Iterator

_OCTAL_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")


def clean_path(path: str) -> str:
    """Normalize an absolute path: no repeated or trailing slashes, no dots. A missing first slash is added (NFS)."""
    return posixpath.normpath("/" + path.lstrip("/"))


def ancestors(path: str) -> Iterator[str]:
    """Yield the path, then each parent directory, up to "/"."""
    while path != "/":
        yield path
        path = posixpath.dirname(path)
    yield path


def unescaped(text: str) -> str:
    r"""Decode octal escapes such as \040. The kernel and exportfs write some bytes this way."""
    raw = _OCTAL_ESCAPE.sub(lambda match: bytes([int(match.group(1), 8)]), os.fsencode(text))
    return os.fsdecode(raw)
