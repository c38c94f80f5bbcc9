# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zfs without a pool: snapshots and their properties in memory, shown as the real command shows them."""

from __future__ import annotations

import json
from typing import Any, Callable, Mapping

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import DatasetNotFound, ZfsError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import destroy as destroying
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import properties as setting
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs

OLD = 1_700_000_000
PREFIX = "quiesce.vmware_zfs:"


class Pool(Zfs):
    """Answers `get` and `list`, raw, a row for each property, and carries out the engine's channel programs.

    `refuses` are error codes of zfs.sync.set_prop, by (snapshot, property). `dies` has the number of a program (from 0
    on) and how many properties it sets before it ends with an error; what it has set stays. `before` is called with the
    number of each program before it begins.
    """

    def __init__(self) -> None:
        super().__init__()
        self.snapshots: dict[str, dict[str, tuple[str, str]]] = {}  # name -> property -> value, source
        self.asked: list[tuple[str, ...]] = []
        self.timeouts: list[float] = []
        self.programs: list[list[str]] = []  # the arguments of each
        self.set_order: list[tuple[str, str]] = []  # every property that a program has set: snapshot, property
        self.refuses: dict[tuple[str, str], int] = {}
        self.dies: dict[int, int] = {}
        self.before: Callable[[int], None] = lambda number: None
        self._born = 0

    def take(self, name: str, source: str = "local", **properties: str) -> None:
        """Add a snapshot, with these of our properties."""
        self.add(name, {PREFIX + key: value for key, value in properties.items()}, source)

    def add(self, name: str, properties: Mapping[str, str], source: str = "local", creation: int = OLD) -> None:
        """Add a snapshot, or replace the one of this name by a new one."""
        native = {"creation": str(creation), "createtxg": str(self._born), "userrefs": "0", "clones": ""}
        self._born += 1
        own = {key: (value, source) for key, value in properties.items()}
        self.snapshots[name] = {**{key: (value, "-") for key, value in native.items()}, **own}

    def change(self, name: str, values: Mapping[str, str], source: str = "local") -> None:
        """Set properties on a snapshot, as somebody else may."""
        self.snapshots[name].update({key: (value, source) for key, value in values.items()})

    def born(self, name: str) -> str:
        return self.snapshots[name]["createtxg"][0]

    def own(self, name: str) -> dict[str, str]:
        """Our properties of a snapshot."""
        return {key: value for key, (value, _source) in self.snapshots[name].items() if key.startswith(PREFIX)}

    def run(self, *arguments: str, timeout: float = 0.0, hurry: Any = None, script: str = "") -> str:
        self.processes += 1
        self.asked.append(arguments)
        self.timeouts.append(timeout)
        if arguments[0] == "list":
            return self._list(arguments)
        if arguments[0] == "program":
            return self._program(list(arguments[4:]), script)
        assert arguments[:3] == ("get", "-H", "-p"), arguments
        return self._get(arguments)

    def _list(self, arguments: tuple[str, ...]) -> str:
        names = arguments[arguments.index("snapshot") + 1 :]
        output = "".join(f"{name}\n" for name in names if name in self.snapshots)
        if not set(names) <= set(self.snapshots):
            error = DatasetNotFound("'zfs list' failed: dataset does not exist")
            error.output = output
            raise error
        return output

    def _get(self, arguments: tuple[str, ...]) -> str:
        columns = arguments[arguments.index("-o") + 1].split(",")
        keys, *names = arguments[arguments.index("-o") + 2 :]
        sources = arguments[arguments.index("-s") + 1].split(",") if "-s" in arguments else None
        if "-r" in arguments:
            names = [name for name in self.snapshots if any(name.split("@")[0].startswith(root) for root in names)]
        if not set(names) <= set(self.snapshots):
            raise DatasetNotFound("'zfs get' failed: dataset does not exist")
        output = ""
        for name in names:
            has = self.snapshots[name]
            for key in has if keys == "all" else keys.split(","):
                value, source = has.get(key, ("-", "-"))
                if sources is None or source.split(" ")[0].replace("-", "none") in sources:
                    row = {"name": name, "property": key, "value": value, "source": source}
                    output += "\t".join(row[column] for column in columns) + "\n"
        return output

    def _program(self, words: list[str], script: str) -> str:
        number = len(self.programs)
        self.programs.append(words)
        self.before(number)
        if script == destroying._PROGRAM:
            return json.dumps({"return": {word.partition(" ")[2]: self._destroy(word) for word in words}})
        assert script == setting._PROGRAM
        return json.dumps({"return": self._set(words, self.dies.get(number))})

    def _destroy(self, word: str) -> str:
        born, _space, name = word.partition(" ")
        if name not in self.snapshots:
            return "gone"
        if self.born(name) != born:
            return "another"
        del self.snapshots[name]
        return "destroyed"

    def _set(self, words: list[str], lives: int | None) -> dict[str, str]:
        """What zfs/properties.py's program does, statement by statement."""
        key, owner, *rest = words
        result: dict[str, str] = {}
        while rest:
            name, born, count = rest[0], rest[1], int(rest[2])
            pairs, rest = rest[3 : 3 + 2 * count], rest[3 + 2 * count :]
            if result.get(name, "set") != "set":
                continue  # a part of it failed before
            result[name] = "gone"
            if name not in self.snapshots or born not in ("", self.born(name)):
                continue
            if self.snapshots[name].get(key) == (owner, "local"):
                result[name] = "set"
                for property_, value in zip(pairs[::2], pairs[1::2]):
                    if lives is not None and not lives:
                        raise ZfsError("'zfs program' failed: Memory limit exhausted")
                    lives = None if lives is None else lives - 1
                    if error := self.refuses.get((name, property_), 0):
                        result[name] = str(error)
                        break
                    self.snapshots[name][property_] = (value, "local")
                    self.set_order.append((name, property_))
        return result
