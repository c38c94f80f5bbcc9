# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which calls and tasks of a fake server go wrong, and how: the rules of the lab's simulator, by the same names
(tests/lab/vcenter/README.md). The first rule that matches and is not used up is the one.
"""

from __future__ import annotations

import re
import threading
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import sdk

OF_TASKS = frozenset(
    {"task_slow", "task_fault", "task_hang", "task_vanish", "half_snapshot", "needs_consolidation"}
)  # fmt: skip
OF_CALLS = frozenset(
    {
        "call_delay", "call_late", "call_fault", "drop_before", "drop_after", "black_hole",
        "http_status", "malformed",
    }
)  # fmt: skip
_SAID = {
    "ManagedObjectNotFound": "The object has already been deleted or has not been completely created",
    "NotAuthenticated": "The session is not authenticated.",
    "InvalidLogin": "Cannot complete login due to an incorrect user name or password.",
    "TaskInProgress": "Another task is already in progress.",
    "TooManySnapshotLevels": "Snapshot hierarchy is too deep.",
    "NotSupported": "The operation is not supported on the object.",
    "ApplicationQuiesceFault": "An error occurred while quiescing the virtual machine.",
}


@dataclass
class Rule:
    """`method` and `vm` are anchored regular expressions; `skip` lets so many matches through, `count` limits the hits
    (0: no limit). `http_status` and `malformed` are for calls of the REST API. `seconds` is how long the task takes or
    the call waits. `fields` are those of the fault, by their names in Go:
    {"Task": {"Type": "Task", "Value": "task-0"}, "FaultMessage": [{"Key": "msg.snapshot.quiesce.vmerr"}]}.
    """

    id: int
    effect: str
    method: str = ""
    vm: str = ""
    fault: str = ""
    message: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    carried_out: bool = True
    status: int = 0
    skip: int = 0
    count: int = 0
    hits: int = 0
    passed: int = 0

    def matches(self, method: str, name: str) -> bool:
        return all(
            not pattern or re.fullmatch(pattern, text, re.DOTALL)
            for pattern, text in ((self.method, method), (self.vm, name))
        )

    def make_fault(self) -> Any:
        return make_fault(
            self.fault, self.message, **{name[0].lower() + name[1:]: _plain(one) for name, one in self.fields.items()}
        )


class RuleBook:
    """The rules of one server. Safe for use by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._last = 0
        self._cleared = threading.Event()

    def add(self, **what: Any) -> int:
        with self._lock:
            self._last += 1
            rule = Rule(self._last, **what)
            if rule.effect not in OF_TASKS | OF_CALLS:
                raise ValueError(f"unknown effect {rule.effect}")
            if rule.fault:
                rule.make_fault()  # raises for one that vSphere does not have
            self._rules.append(rule)
            return rule.id

    def clear(self, rule_id: int = 0) -> None:
        """Remove one rule, or all: calls that wait in a black hole or are late go on then."""
        with self._lock:
            self._rules = [rule for rule in self._rules if rule_id and rule.id != rule_id]
            if not rule_id:
                self._cleared.set()
                self._cleared = threading.Event()

    @property
    def cleared(self) -> threading.Event:
        """Is set when all rules are cleared next."""
        with self._lock:
            return self._cleared

    def as_dicts(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def take(self, method: str, name: str, of_call: bool) -> Rule | None:
        """The rule for a call, or for the task that it starts; counts the hit."""
        effects = OF_CALLS if of_call else OF_TASKS
        with self._lock:
            for rule in self._rules:
                if rule.effect not in effects or (rule.count and rule.hits >= rule.count):
                    continue
                if not rule.matches(method, name):
                    continue
                if rule.passed < rule.skip:
                    rule.passed += 1
                    continue
                rule.hits += 1
                return rule
        return None


def _plain(value: Any) -> Any:
    """A reference, or messages, where the value is such."""
    if isinstance(value, list):
        return [sdk.vmodl.LocalizableMessage(key=one["Key"], message=one.get("Message")) for one in value]
    return getattr(sdk.vim, value["Type"])(value["Value"]) if isinstance(value, dict) else value


def make_fault(kind: str, message: str = "", **details: Any) -> Any:
    """A vSphere fault by its type's name. Raises AttributeError for one that vSphere does not have."""
    spaces = (sdk.vim.fault, sdk.vmodl.fault, sdk.vmodl.query)
    found = next((getattr(space, kind) for space in spaces if hasattr(space, kind)), None)
    if found is None:
        raise AttributeError(f"vSphere has no fault {kind}")
    fault = found(**details)
    fault.msg = message or _SAID.get(kind, f"A {kind} fault occurred.")
    return fault
