# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A zfs that keeps its datasets and snapshots in memory. It understands the commands that the engine uses, in their
forms, and fails as zfs does: with the engine's own errors.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Sequence

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    DatasetNotFound,
    SnapshotExists,
    ZfsError,
    ZfsTimeout,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import is_within

ROOT = "tank/vmware"
KEY = "0123456789abcdef"  # of a snapshot task
OLD = 1_700_000_000  # seconds since 1970

Rows = list  # of rows, each a list of fields
Watch = Callable[[str, str], None]


@dataclass
class Fault:
    """What goes wrong with a command (`snapshot`, `program` ...): it is ended by a time limit, or else refused.

    `carried_out`: it did its work all the same. `skip` lets so many through first, `count` limits the hits.
    """

    command: str
    timeout: bool = False
    carried_out: bool = False
    said: str = "pool I/O is currently suspended"
    skip: int = 0
    count: int = 1
    hits: int = 0

    def error(self) -> ZfsError:
        if self.timeout:
            return ZfsTimeout(f"'zfs {self.command}' did not end within 1 seconds", "Check with 'zpool status'")
        return ZfsError(f"'zfs {self.command}' failed: {self.said}", "Fix the cause and try again")


class Storage(Zfs):
    """`snapshots` has the properties of each snapshot; `commands` counts what was asked for.

    `watch` is called with ("before" or "after", the command) around each command that does its work; `taken` has the
    properties that each snapshot was taken with, whatever became of them later. `volumes` and `receiving` are those of
    the datasets that are no file system, and those that are only partly received.
    """

    def __init__(self, datasets: Sequence[str]) -> None:
        super().__init__()
        self.datasets = list(datasets)
        self.volumes: set[str] = set()
        self.receiving: set[str] = set()
        self.snapshots: dict[str, dict[str, str]] = {}
        self.taken: dict[str, dict[str, str]] = {}
        self.received: set[str] = set()  # snapshots that came by zfs receive, with their properties
        self.commands: Counter[str] = Counter()
        self.faults: list[Fault] = []
        self.watch: Watch = lambda when, command: None
        self._born = 0  # transaction group of the newest snapshot

    def take(self, names: Sequence[str], properties: dict[str, str], creation: int) -> None:
        """Take snapshots in one transaction group; `creation` is in seconds since 1970."""
        self._born += 1
        for name in names:
            self.snapshots[name] = {"creation": str(creation), "createtxg": str(self._born), **properties}
            self.taken[name] = dict(properties)

    def replace(self, name: str, by: str = "") -> None:
        """Somebody renames a snapshot, or destroys it; one without properties may take its name."""
        values = self.snapshots.pop(name)
        if by == name:
            self.take([name], {}, int(time.time()))
        elif by:
            self.snapshots[by] = values

    def run(
        self, *arguments: str, timeout: float = 0.0, hurry: Any = None, script: str = ""
    ) -> str:  # as Zfs.run has it
        command = arguments[0]
        self.processes += 1
        self.commands[command] += 1
        self.watch("before", command)
        fault = self._fault(command)
        if fault is not None and not fault.carried_out:
            raise fault.error()
        rows: Rows[list[str]] = getattr(self, f"_{command}")(list(arguments[1:]), script)
        self.watch("after", command)
        if fault is not None:
            raise fault.error()
        return "".join("\t".join(row) + "\n" for row in rows)

    def _fault(self, command: str) -> Fault | None:
        for fault in self.faults:
            if fault.command != command or fault.hits >= fault.count:
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.hits += 1
            return fault
        return None

    # ---- Commands, each with its words and its standard input

    def _list(self, words: list[str], script: str) -> Rows[list[str]]:
        columns = _option(words, "-o").split(",")
        if _option(words, "-t") != "snapshot":
            root = next(iter(_names(words)), None)
            if root is None:
                raise ZfsTimeout("'zfs list' did not end within 60 seconds: another pool is suspended")
            if root not in self.datasets and not any(is_within(name, root) for name in self.datasets):
                raise _no_such_dataset("list", root)
            return [
                [self._of_dataset(name, column) for column in columns]
                for name in self.datasets
                if is_within(name, root)
            ]
        asked = _names(words)
        found = [name for name in asked if name in self.snapshots] if "-r" not in words else list(self._below(asked))
        rows = [[self._value(name, column) for column in columns] for name in found]
        if "-r" not in words and len(found) < len(asked):
            error = _no_such_dataset("list", next(name for name in asked if name not in self.snapshots))
            error.output = "".join("\t".join(row) + "\n" for row in rows)
            raise error
        return rows

    def _get(self, words: list[str], script: str) -> Rows[list[str]]:
        keys, *asked = _names(words)
        if keys.startswith("written@"):
            return [["0"]] * len(asked)
        if "-r" in words:
            names = list(self._below(asked))
        else:
            names = asked
            for name in asked:
                if name not in self.snapshots:
                    raise _no_such_dataset("get", name)
        fields = _option(words, "-o").split(",")
        return [
            [{"name": name, "property": key, "value": self._value(name, key), "source": self._source(name, key)}[field]
             for field in fields]
            for name in names
            for key in (self.snapshots[name] if keys == "all" else keys.split(","))
        ]  # fmt: skip

    def _snapshot(self, words: list[str], script: str) -> Rows[list[str]]:
        options = [after for before, after in zip(words, words[1:]) if before == "-o"]
        names = _names(words)
        for name in names:
            if name.split("@")[0] not in self.datasets:
                raise _no_such_dataset("snapshot", name.split("@")[0])
            if name.split("@")[0] in self.receiving:
                said = f"cannot create snapshot '{name}': dataset is busy"
                raise ZfsError(f"'zfs snapshot' failed: {said}", "Fix the cause and try again")
            if name in self.snapshots:
                raise SnapshotExists(
                    f"'zfs snapshot' failed: cannot create snapshot '{name}': dataset already exists",
                    "Fix the cause and try again",
                )
        self.take(names, dict(option.split("=", 1) for option in options), int(time.time()))
        return []

    def _destroy(self, words: list[str], script: str) -> Rows[list[str]]:
        for word in _names(words):
            dataset, _unused, shorts = word.partition("@")
            for short in shorts.split(","):
                if self.snapshots.pop(f"{dataset}@{short}", None) is None:
                    raise _no_such_dataset("destroy", f"{dataset}@{short}")
        return []

    def _program(self, words: list[str], script: str) -> Rows[list[str]]:
        """Carry out a channel program, known by words in its text, with the arguments that follow the dash."""
        given = words[words.index("-") + 1 :]
        for text, work in (("zfs.sync.destroy", self._destroy_each), ("zfs.sync.set_prop", self._set_on_each)):
            if text in script:
                return [[json.dumps({"return": work(given)})]]
        raise ZfsError("'zfs program' failed: the fake does not know this program")

    # ---- Channel programs: what each says of every snapshot that it was given

    def _destroy_each(self, given: Sequence[str]) -> dict[str, str]:
        """zfs/destroy.py: "<createtxg> <name>" of each."""
        said = {}
        for born, name in (word.split(" ", 1) for word in given):
            if name not in self.snapshots:
                said[name] = "gone"
            elif self.snapshots[name]["createtxg"] != born:
                said[name] = "another"
            else:
                del self.snapshots[name]
                said[name] = "destroyed"
        return said

    def _set_on_each(self, given: Sequence[str]) -> dict[str, str]:
        """zfs/properties.py: the owner property and its value, then for each snapshot its name, its createtxg or "",
        the number of properties, and these with their values.
        """
        key, owner, *words = given
        said = {}
        while words:
            name, born, count, *words = words
            pairs, words = words[: 2 * int(count)], words[2 * int(count) :]
            own = self.snapshots.get(name, {})
            if own.get(key) != owner or self._source(name, key) != "local" or born not in ("", own["createtxg"]):
                said[name] = "gone"
            else:
                own.update(zip(pairs[::2], pairs[1::2]))
                said[name] = "set"
        return said

    # ---- Values

    def _below(self, datasets: Sequence[str]) -> Iterable[str]:
        """The snapshots of `datasets` and of what lies below them, in the order in which zfs lists them."""
        roots = set(datasets)
        return [name for name in self.snapshots if any(is_within(name.split("@")[0], root) for root in roots)]

    def _of_dataset(self, name: str, column: str) -> str:
        mounted = name not in self.volumes | self.receiving
        values = {
            "name": name,
            "type": "volume" if name in self.volumes else "filesystem",
            "mountpoint": "-" if name in self.volumes else f"/{name}",
            "mounted": "yes" if mounted else "-" if name in self.volumes else "no",
            "inconsistent": str(int(name in self.receiving)),
        }
        return values.get(column, "-")

    def _value(self, name: str, key: str) -> str:
        return name if key == "name" else self.snapshots[name].get(key, "-")

    def _source(self, name: str, key: str) -> str:
        if ":" not in key or key not in self.snapshots[name]:
            return "-"
        return "received" if name in self.received else "local"


def many(datasets: int, snapshots: int = 0) -> Storage:
    """ROOT with datasets below it, `datasets` in all, each with so many old snapshots of the task KEY."""
    zfs = Storage([ROOT, *(f"{ROOT}/vm{number:05}" for number in range(1, datasets))])
    for number in range(snapshots):
        zfs.take([f"{name}@old{number}" for name in zfs.datasets], {"quiesce.vmware_zfs:task": KEY}, OLD + number)
    return zfs


def _no_such_dataset(command: str, name: str) -> DatasetNotFound:
    return DatasetNotFound(f"'zfs {command}' failed: cannot open '{name}': dataset does not exist")


_WITH_VALUE = ("-o", "-t", "-s", "-d")


def _option(words: Sequence[str], name: str) -> str:
    """The value of an option, "" where it is not given."""
    return next((after for before, after in zip(words, words[1:]) if before == name), "")


def _names(words: Sequence[str]) -> list[str]:
    """What is neither an option nor the value of one."""
    return [word for before, word in zip(("", *words), words) if not word.startswith("-") and before not in _WITH_VALUE]
