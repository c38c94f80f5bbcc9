# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A partial AWX API on loopback, sufficient for the modules of awx.awx that create objects.

Objects are stored as sent after rules.py has validated them. Secrets are returned as `$encrypted$`, as in AWX.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Iterator
from urllib.parse import parse_qsl, urlsplit

from . import rules
from .rules import Object, Refused

ENCRYPTED = "$encrypted$"
TOKEN = "token-of-the-stand-in"
PLURALS = {"inventories": "inventory"}
UNIFIED = ("job_templates", "workflow_job_templates", "projects")
DEFAULTS: dict[str, Object] = {
    "inventories": {"kind": "", "host_filter": None},
    "hosts": {"enabled": True},
    "projects": {"scm_revision": "", "summary_fields": {}},
    "schedules": {"extra_data": {}, "enabled": True},
}


class Awx:
    """The objects by kind and ID, and their associations: `linked[url of the list]` contains IDs."""

    def __init__(self, playbooks: list[str]) -> None:
        self.playbooks = playbooks  # the playbooks of every project
        self.objects: dict[str, dict[int, Object]] = defaultdict(dict)
        self.linked: dict[str, list[int]] = defaultdict(list)
        self.url = ""
        self._last = 0

    def create(self, kind: str, given: Object) -> Object:
        self._last += 1
        item = {
            "description": "", **DEFAULTS.get(kind, {}), **given,
            "id": self._last, "type": PLURALS.get(kind, kind[:-1]),
        }  # fmt: skip
        if kind == "projects":
            item["playbooks"] = self.playbooks
        item["url"] = f"/api/v2/{kind}/{item['id']}/"
        item["related"] = {name: f"{item['url']}{name}/" for name in ("survey_spec", "hosts", "children")}
        item.setdefault("survey_spec", {})
        self._judge(kind, item)
        self.objects[kind][item["id"]] = item
        return item

    def update(self, kind: str, item: Object, given: Object) -> Object:
        if "inputs" in given and kind == "credentials":
            kept = item["inputs"]
            given["inputs"] = {
                name: kept[name] if value == ENCRYPTED else value for name, value in given["inputs"].items()
            }
        self._judge(kind, {**item, **given})
        item.update(given)
        return item

    def find(self, kind: str, number: int) -> Object:
        kinds = UNIFIED if kind == "unified_job_templates" else (kind,)
        for each in kinds:
            if int(number) in self.objects[each]:
                return self.objects[each][int(number)]
        raise Refused(f"there is no {number} among {kind}")

    def named(self, kind: str, name: str, field: str = "name") -> Object:
        """Return the only object of this kind and name."""
        (found,) = [item for item in self.objects[kind].values() if item[field] == name]
        return found

    def search(self, kind: str, wanted: dict[str, str]) -> list[Object]:
        kinds = UNIFIED if kind == "unified_job_templates" else (kind,)
        items = [item for each in kinds for item in self.objects[each].values()]
        return [item for item in items if all(str(item.get(name)) == value for name, value in wanted.items())]

    def survey(self, owner: Object, spec: Object) -> None:
        rules.survey(spec)
        owner["survey_spec"] = spec

    def shown(self, item: Object) -> Object:
        """Return an object as shown by the API: without secrets, and with its survey at a separate URL."""
        seen = {name: value for name, value in item.items() if name != "survey_spec"}
        if item["type"] == "credential":
            fields = self.find("credential_types", item["credential_type"])["inputs"]["fields"]
            secret = {field["id"] for field in fields if field.get("secret")}
            inputs = item["inputs"].items()
            seen["inputs"] = {name: ENCRYPTED if name in secret else value for name, value in inputs}
        return seen

    def _judge(self, kind: str, item: Object) -> None:
        if kind in rules.RULES:
            rules.RULES[kind](item, self.find)


@contextmanager
def serve(playbooks: list[str]) -> Iterator[Awx]:
    """Serve the API at `url` until the block ends. It contains the organization Default and AWX's types."""
    awx = Awx(playbooks)
    awx.create("organizations", {"name": "Default"})
    machine = awx.create(
        "credential_types",
        {
            "name": "Machine",
            "inputs": {
                "fields": [
                    {"id": "username", "label": "Username"},
                    {"id": "ssh_key_data", "label": "SSH Private Key", "secret": True},
                ]
            },
            "injectors": {},
        },
    )
    vmware = {"name": "VMware vCenter", "inputs": {"fields": [
        {"id": "host", "label": "VCenter Host"}, {"id": "username", "label": "Username"},
        {"id": "password", "label": "Password", "secret": True},
    ], "required": ["host", "username", "password"]}, "injectors": {"env": {
        "VMWARE_HOST": "{{ host }}", "VMWARE_USER": "{{ username }}", "VMWARE_PASSWORD": "{{ password }}",
        "VMWARE_VALIDATE_CERTS": "False",  # the default of AWX
    }}}  # fmt: skip
    restores = {"host": "vcenter.example.com", "username": "restore@vsphere.local", "password": "canary-4712"}
    kind = awx.create("credential_types", vmware)["id"]
    awx.create("credentials", {"name": "restores", "credential_type": kind, "inputs": restores})
    awx.create(
        "credentials", {"name": "storage hosts", "credential_type": machine["id"], "inputs": {"username": "root"}}
    )

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: Any) -> None:
            pass

        def _answer(self) -> None:
            answer: Any
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    status, answer = 401, {"detail": "Authentication credentials were not provided."}
                else:
                    status, answer = respond(awx, self.command, self.path, json.loads(body or b"{}"))
            except Refused as refused:
                status, answer = 400, {"__all__": [str(refused)]}
            data = b"" if status == 204 else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("X-API-Product-Name", "AWX")
            self.send_header("X-API-Product-Version", "24.6.1")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = _answer

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        awx.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield awx
        finally:
            server.shutdown()
            thread.join()


def respond(awx: Awx, method: str, path: str, given: Object) -> tuple[int, Any]:
    """Handle one API call. Return status and response."""
    url = urlsplit(path)
    kind, *rest = url.path.removeprefix("/api/v2/").strip("/").split("/")
    if not rest:
        if method == "POST":
            return 201, awx.shown(awx.create(kind, given))
        return 200, page([awx.shown(item) for item in awx.search(kind, dict(parse_qsl(url.query)))])
    item = awx.find(kind, int(rest[0]))
    if len(rest) == 1:
        return 200, awx.shown(awx.update(kind, item, given) if method == "PATCH" else item)
    if rest[1] == "survey_spec":
        if method == "POST":
            awx.survey(item, given)
        return 200, item["survey_spec"] if method == "GET" else {}
    linked = awx.linked[url.path]
    if method == "GET":
        return 200, page([{"id": number} for number in linked])
    if given.get("disassociate"):
        linked.remove(given["id"])
    else:
        linked.append(given["id"])
    return 204, {}


def page(items: list[Object]) -> Object:
    return {"count": len(items), "next": None, "previous": None, "results": items}
