# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The syntax of exports(5): the entries in a text, and the effect of their options."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Iterable, Iterator

from ..paths import unescaped

NOBODY = "65534"
_CONTINUED = re.compile(r"\\\n")
_TOKEN = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_CLIENT = re.compile(r"([^(]*)(?:\(([^)]*)\)?)?")
_PLAIN = re.compile(r"[A-Za-z0-9/._:@%+=,~-]")


@dataclass(frozen=True)
class Entry:
    """A path that is exported to one client, with the location of the entry."""

    path: str
    client: str  # as written in the file; "*" (everyone) if there is none
    options: tuple[str, ...]
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.path} {self.client}({','.join(self.options)})"

    @property
    def place(self) -> str:
        return f"{self.file} line {self.line}"


@dataclass(frozen=True)
class Effect:
    """The effect of options for a client. Two entries for the same path and client must have the same effect.

    `access` has one tuple for each security flavor: (flavor, "ro" or "rw", squashing with the IDs it maps to).
    """

    access: frozenset[tuple[str, str, str]]
    sync: bool
    secure: bool
    crossmnt: bool
    fsid: str


def parse(text: str, file: str) -> list[Entry]:
    """Return the entries of an exports file, or of the table of active exports (/var/lib/nfs/etab)."""
    entries = []
    for number, line in _logical_lines(text):
        path, *clients = _tokens(line) or [""]
        if not path.startswith("/"):
            continue
        defaults: tuple[str, ...] = ()
        found = []
        for client in clients:
            if client.startswith("-"):
                defaults = _split(client[1:])
                continue
            name, options = _CLIENT.match(client).groups()  # type: ignore[union-attr]  # it matches anything
            found.append(Entry(path, name or "*", (*defaults, *_split(options or "")), file, number))
        entries += found or [Entry(path, "*", defaults, file, number)]
    return entries


def effect(options: Iterable[str]) -> Effect:
    """Return the effect of options, with the defaults of exports(5).

    Options after sec= apply to its flavors, and to flavors that a later sec= adds.
    """
    common: dict[str, Any] = {
        "access": "ro", "root": True, "all": False, "uid": NOBODY, "gid": NOBODY,
        "sync": True, "secure": True, "crossmnt": False, "fsid": "",
    }  # fmt: skip
    flavours: dict[str, dict[str, Any]] = {}
    current: list[dict[str, Any]] = []
    for option in options:
        name, _equals, value = option.partition("=")
        if name == "sec":
            current = [flavours.setdefault(flavour, dict(common)) for flavour in value.split(":")]
        elif name in _VALUES:
            common[_VALUES[name]] = "0" if value == "root" else value
        elif option in _MEANINGS:
            key, meaning = _MEANINGS[option]
            for settings in (common, *current):
                settings[key] = meaning
    ids = f"{common['uid']}:{common['gid']}"
    access = {(flavour, one["access"], _squash(one, ids)) for flavour, one in (flavours or {"sys": common}).items()}
    return Effect(frozenset(access), common["sync"], common["secure"], common["crossmnt"], common["fsid"])


def escaped(path: str) -> str:
    """Escape a path for an exports file. paths.unescaped reverses this."""
    return "".join(
        character if _PLAIN.match(character) else "".join(f"\\{byte:03o}" for byte in os.fsencode(character))
        for character in path
    )


_VALUES = {"anonuid": "uid", "anongid": "gid", "fsid": "fsid"}
_MEANINGS: dict[str, tuple[str, Any]] = {
    "ro": ("access", "ro"), "rw": ("access", "rw"),
    "root_squash": ("root", True), "no_root_squash": ("root", False),
    "all_squash": ("all", True), "no_all_squash": ("all", False),
    "sync": ("sync", True), "async": ("sync", False),
    "secure": ("secure", True), "insecure": ("secure", False),
    "crossmnt": ("crossmnt", True), "nocrossmnt": ("crossmnt", False),
}  # fmt: skip


def _squash(settings: dict[str, Any], ids: str) -> str:
    if settings["all"]:
        return f"all to {ids}"
    return f"root to {ids}" if settings["root"] else "none"


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the logical lines with the number of their first line. A backslash at the end of a line continues it."""
    number = 1
    for line in _CONTINUED.sub("\0", text).split("\n"):
        yield number, line.replace("\0", " ")
        number += 1 + line.count("\0")


def _tokens(line: str) -> list[str]:
    """Return the words of a line up to a comment, without quotes and escapes."""
    words = []
    for match in _TOKEN.finditer(line):
        if match.group().startswith("#"):
            break
        words.append(unescaped(match.group().replace('"', "")))
    return words


def _split(options: str) -> tuple[str, ...]:
    return tuple(option for option in options.split(",") if option)
