# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The REST API of a fake vCenter: sessions, categories, tags and where they are attached, in both forms of the API.

Its calls have the names that the lab's simulator has for them (tests/lab/vcenter/README.md), and the same rules.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from typing import Any, Callable, Mapping

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.https import Response

from .inventory import Inventory
from .rules import Rule, RuleBook

_OLD, _NEW = "/rest/com/vmware/cis", "/api"
_TAGGING = (f"{_OLD}/tagging/", f"{_NEW}/cis/tagging/")


class RestApi:
    """`calls` lists the names of all calls in order. `forms` are the forms that the server has: "rest", "api"."""

    def __init__(self, inventory: Inventory, rules: RuleBook, user: str, password: str) -> None:
        self.calls: list[str] = []
        self.forms = {"rest", "api"}
        self.sessions: set[str] = set()
        self.hidden: set[str] = set()  # names of VMs whose tags the account may not read
        self._inventory, self._rules = inventory, rules
        self._account = base64.b64encode(f"{user}:{password}".encode()).decode()

    def request(self, limit: float, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        """Answer a request, unless a rule has it otherwise. `limit` is the client's time limit in seconds."""
        form = "api" if path.startswith(f"{_NEW}/") else "rest"
        if form not in self.forms:
            return Response(404, b"<html>Not Found</html>")
        name, item = _call_of(method, path)
        self.calls.append(name)
        rule = self._rules.take(name, "", of_call=True)
        if rule is not None:
            odd = odd_response(rule, limit, self._rules.cleared.wait)
            if odd is not None:
                return odd
        status, result = self._answer(name, item, headers, json.loads(body) if body else {})
        if status == 200 and form == "rest":
            result = {"value": result}
        return Response(status, json.dumps(result).encode())

    def _answer(self, name: str, item: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> tuple[int, Any]:
        if name == "Rest.Login":
            if headers.get("Authorization") != f"Basic {self._account}":
                return 401, {}
            self.sessions.add(key := str(uuid.uuid4()))
            return 200, key
        if headers.get("vmware-api-session-id") not in self.sessions:
            return 401, {}
        if name == "Rest.Logout":
            self.sessions.discard(headers["vmware-api-session-id"])
            return 200, {}
        return self._tagging(name, item, body)

    def _tagging(self, name: str, item: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        machines = self._inventory.machines
        known = {
            _id("Tag", category, tag): (category, tag)
            for machine in machines.values()
            for category, tags in machine.config.tags.items()
            for tag in tags
        }
        categories = {_id("Category", category): category for category, _tag in known.values()}
        if name == "Rest.ListCategories":
            return 200, list(categories)
        if name == "Rest.GetCategory" and item in categories:
            return 200, {"id": item, "name": categories[item]}
        if name == "Rest.ListTagsForCategory":
            wanted = categories.get(item or body["category_id"])
            return 200, [key for key, (category, _tag) in known.items() if category == wanted]
        if name == "Rest.GetTag" and item in known:
            category, tag = known[item]
            return 200, {"id": item, "name": tag, "category_id": _id("Category", category)}
        if name == "Rest.ListAttachedTagsOnObjects":
            return self._attached([one["id"] for one in body["object_ids"]])
        return 404, {}

    def _attached(self, moids: list[str]) -> tuple[int, Any]:
        machines = [self._inventory.machines.get(moid) for moid in moids]
        if any(machine is None or machine.config.name in self.hidden for machine in machines):
            return 403, {}
        return 200, [
            {
                "object_id": {"type": "VirtualMachine", "id": machine.moid},
                "tag_ids": [
                    _id("Tag", category, tag) for category, tags in machine.config.tags.items() for tag in tags
                ],
            }
            for machine in machines
            if machine is not None and machine.config.tags
        ]


Serve = Callable[[float, str, str, Mapping[str, str], "bytes | None"], Response]


class FakeHttps:
    """What a session's https() returns: no TLS, no wire. `find` finds the server that answers."""

    def __init__(self, find: Callable[[], Serve], limit: float) -> None:
        self._find, self._limit = find, limit

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        return self._find()(self._limit, method, path, headers, body)

    def close(self) -> None:
        pass


def _id(kind: str, *names: str) -> str:
    return f"urn:vmomi:InventoryService{kind}:{uuid.uuid5(uuid.NAMESPACE_DNS, repr(names))}:GLOBAL"


def _call_of(method: str, path: str) -> tuple[str, str]:
    """The name of a call, and the ID in its address."""
    path, _unused, query = path.partition("?")
    if path in (f"{_OLD}/session", f"{_NEW}/session"):
        return {"POST": "Rest.Login", "DELETE": "Rest.Logout"}[method], ""
    rest = next(path[len(prefix) :] for prefix in _TAGGING if path.startswith(prefix))
    kind, _unused, item = rest.partition("/")
    item = item.removeprefix("id:").replace("%3A", ":")
    action = re.sub("^~?action=", "", query)
    names = {
        ("category", "", False): "Rest.ListCategories",
        ("category", "", True): "Rest.GetCategory",
        ("tag", "", True): "Rest.GetTag",
        ("tag", "list-tags-for-category", bool(item)): "Rest.ListTagsForCategory",
        ("tag-association", "list-attached-tags-on-objects", False): "Rest.ListAttachedTagsOnObjects",
    }
    return names[kind, action, bool(item)], item


def odd_response(rule: Rule, limit: float, wait: Callable[[float], bool]) -> Response | None:
    """What a rule makes of a response. None if it only delays a call or is for SOAP."""
    if rule.effect == "black_hole":
        wait(limit)
        raise TimeoutError("timed out")
    if rule.effect in ("drop_before", "drop_after"):
        raise ConnectionResetError("Remote end closed connection without response")
    if rule.effect == "http_status":
        return Response(rule.status, rule.message.encode())
    if rule.effect == "malformed":
        return Response(200, rule.message.encode())
    return None
