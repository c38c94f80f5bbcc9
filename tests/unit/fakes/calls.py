# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that a fake vSphere server answers: those that the engine makes, each by its name on the wire."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections import Counter
from typing import Any, Callable, Mapping

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import sdk
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.https import Response

from . import faces
from .collector import DENIED, Collector, Filter, contents, pages_of
from .inventory import Inventory
from .rest import RestApi, odd_response
from .rules import Rule, RuleBook, make_fault
from .tasks import Tasks

_WITHOUT_SESSION = ("RetrieveServiceContent", "Login")


class Calls:
    """A server as far as its clients see it. `stub` is what a client calls through: it has a `sessionId`, and a time
    `limit` in seconds. `calls` counts them by method.
    """

    user = "administrator@vsphere.local"
    password = "lab-Password-1"
    locale = "de"  # of those who ask for none

    def __init__(self, config: Mapping[str, Any], task_seconds: float) -> None:
        self.inventory = Inventory(config)
        self.calls: Counter[str] = Counter()
        self.locales: list[str | None] = []  # asked for by those who logged in
        self._rules = RuleBook()
        self.rest = RestApi(self.inventory, self._rules, self.user, self.password)
        self.api_type = "VirtualCenter"
        self.api_version = "7.0.3.0"
        self.api_versions = ["7.0.3.0", "6.7", "6.5"]  # that it offers
        self._tasks = Tasks(self.inventory, self._rules, task_seconds)
        self._id = str(uuid.uuid4())
        self._denied: list[tuple[str, bool]] = []  # names of what may not be read; whether a call is refused as a whole
        self._sessions: dict[str, dict[str, Any]] = {}  # key -> what lives in it: collectors, views, pages

    def https(self, limit: float, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Response:
        """Answer a request that is not a SOAP call."""
        if path != "/sdk/vimServiceVersions.xml":
            return self.rest.request(limit, method, path, headers, body)
        self.calls["VersionFile"] += 1
        rule = self._rules.take("VersionFile", "", of_call=True)
        odd = None if rule is None else odd_response(rule, limit, self._rules.cleared.wait)
        versions = "".join(f"<version>{version}</version>" for version in self.api_versions)
        file = f'<namespaces version="1.0"><namespace><name>urn:vim25</name>{versions}</namespace></namespaces>'
        return odd or Response(200, file.encode())

    def call(self, stub: Any, reference: Any, method: str, given: dict[str, Any]) -> Any:
        """Answer a call, unless a rule has it otherwise."""
        with self.inventory.lock:
            self.calls[method] += 1
            name = self._name_of(reference)
        rule = self._rules.take(method, name, of_call=True)
        cleared = self._rules.cleared
        if rule is None:
            return self._carry_out(stub, reference, method, given)
        if rule.effect == "call_late":
            return self._late(rule, cleared, stub, lambda: self._carry_out(stub, reference, method, given))
        if rule.seconds is not None:
            time.sleep(min(rule.seconds, stub.limit))
            if rule.seconds >= stub.limit:
                raise TimeoutError("timed out")
        if rule.effect == "call_fault":
            raise rule.make_fault()
        if rule.effect == "black_hole" and not cleared.wait(stub.limit):
            raise TimeoutError("timed out")
        if rule.effect in ("drop_before", "black_hole"):
            raise ConnectionResetError("Remote end closed connection without response")
        answer = self._carry_out(stub, reference, method, given)
        if rule.effect == "drop_after":
            raise ConnectionResetError("Remote end closed connection without response")
        return answer

    def _late(self, rule: Rule, cleared: threading.Event, stub: Any, work: Callable[[], Any]) -> Any:
        """The call is carried out after a while, whether or not the client waits for that."""
        answers: list[Any] = []
        done = threading.Event()

        def carry_out() -> None:
            cleared.wait(rule.seconds)
            try:
                answers.append(work())
            except sdk.vmodl.MethodFault as fault:
                answers.append(fault)
            done.set()

        threading.Thread(target=carry_out, daemon=True).start()
        if not done.wait(stub.limit):
            raise TimeoutError("timed out")
        if isinstance(answers[0], sdk.vmodl.MethodFault):
            raise answers[0]
        return answers[0]

    def _carry_out(self, stub: Any, reference: Any, method: str, given: dict[str, Any]) -> Any:
        with self.inventory.lock:
            if stub.sessionId not in self._sessions and method not in _WITHOUT_SESSION:
                raise make_fault("NotAuthenticated", object=reference, privilegeId="System.View")
            return getattr(self, f"_{method}")(stub, reference, given)

    def _name_of(self, reference: Any) -> str:
        """The name of the VM that a call is about, which rules match."""
        moid = str(reference._moId)
        if moid in self.inventory.machines:
            return self.inventory.machines[moid].config.name
        found = self.inventory.snapshot(moid)
        return found[0].config.name if found else moid

    def _face(self, stub: Any) -> Callable[[Any], "dict[str, Any] | None"]:
        """How one session sees the properties of objects."""
        kept = self._sessions[stub.sessionId]

        def face(reference: Any) -> dict[str, Any] | None:
            moid = reference._moId
            if isinstance(reference, sdk.vim.Task) and moid in self._tasks.known:
                return self._tasks.known[moid].face()
            if isinstance(reference, sdk.vim.view.ContainerView) and moid in kept:
                return {"view": [one for kind in kept[moid] for one in faces.all_of(self.inventory, kind)]}
            found = faces.face(self.inventory, type(reference), moid)
            if found is None:
                return None
            for pattern, whole in self._denied:
                if re.fullmatch(pattern, found.get("name", moid)):
                    found = {**found, DENIED: whole}
            return found

        return face

    # ---- The methods that the engine calls, each by its name

    def _RetrieveServiceContent(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        vim = sdk.vim
        about = vim.AboutInfo(
            apiType=self.api_type, apiVersion=self.api_version, version="7.0.3", instanceUuid=self._id
        )
        return vim.ServiceInstanceContent(
            about=about,
            rootFolder=vim.Folder("group-d1", stub),
            propertyCollector=sdk.vmodl.query.PropertyCollector("propertyCollector", stub),
            viewManager=vim.view.ViewManager("ViewManager", stub),
            sessionManager=vim.SessionManager("SessionManager", stub),
            searchIndex=vim.SearchIndex("SearchIndex", stub),
            customFieldsManager=(
                vim.CustomFieldsManager("CustomFieldsManager", stub) if self.api_type == "VirtualCenter" else None
            ),
        )

    def _Login(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        if (given["userName"], given["password"]) != (self.user, self.password):
            raise make_fault("InvalidLogin")
        self.locales.append(given["locale"])
        key = str(uuid.uuid4())
        self._sessions[key] = {"propertyCollector": Collector()}
        stub.SetSessionId(key)
        return sdk.vim.UserSession(key=key, userName=self.user, locale=given["locale"] or self.locale)

    def _Logout(self, stub: Any, reference: Any, given: dict[str, Any]) -> None:
        self._sessions.pop(stub.sessionId, None)

    def _CreateContainerView(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        moid = f"session-view-{uuid.uuid4()}"
        self._sessions[stub.sessionId][moid] = list(given["type"])
        return sdk.vim.view.ContainerView(moid, stub)

    def _RetrievePropertiesEx(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        face = self._face(stub)
        found = [one for spec in given["specSet"] for one in contents(spec, face)]
        return self._page(stub, pages_of(found, given["options"].maxObjects))

    def _ContinueRetrievePropertiesEx(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        kept = self._sessions[stub.sessionId]
        if given["token"] not in kept:
            raise make_fault("InvalidArgument", invalidProperty="token")
        return self._page(stub, kept.pop(given["token"]))

    def _page(self, stub: Any, pages: list[list[Any]]) -> Any:
        if not pages:
            return None
        token = str(uuid.uuid4()) if len(pages) > 1 else None
        if token is not None:
            self._sessions[stub.sessionId][token] = pages[1:]
        return sdk.vmodl.query.PropertyCollector.RetrieveResult(objects=pages[0], token=token)

    def _CreatePropertyCollector(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        moid = f"session-collector-{uuid.uuid4()}"
        self._sessions[stub.sessionId][moid] = Collector()
        return sdk.vmodl.query.PropertyCollector(moid, stub)

    def _DestroyPropertyCollector(self, stub: Any, reference: Any, given: dict[str, Any]) -> None:
        self._own(stub, reference)
        del self._sessions[stub.sessionId][reference._moId]

    def _CreateFilter(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        made = sdk.vmodl.query.PropertyCollector.Filter(f"session-filter-{uuid.uuid4()}", stub)
        list(contents(given["spec"], self._face(stub)))  # an impossible path is refused now
        self._own(stub, reference).filters.append((made, Filter(given["spec"])))
        return made

    def _DestroyPropertyFilter(self, stub: Any, reference: Any, given: dict[str, Any]) -> None:
        for one in self._sessions[stub.sessionId].values():
            if isinstance(one, Collector):
                one.filters = [(made, kept) for made, kept in one.filters if made != reference]

    def _WaitForUpdatesEx(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        key = stub.sessionId
        seconds = given["options"].maxWaitSeconds if given["options"] else None
        late = seconds is None or seconds >= stub.limit
        answer = self._own(stub, reference).wait(
            given["version"] or "",
            stub.limit if late else seconds,
            self.inventory.changed,
            lambda: key not in self._sessions,
            self._face(stub),
        )
        if answer is None and late:
            raise TimeoutError("timed out")
        return answer

    def _own(self, stub: Any, reference: Any) -> Any:
        """An object of the session. Raises ManagedObjectNotFound where it has gone with another one."""
        kept = self._sessions[stub.sessionId]
        if reference._moId not in kept:
            raise make_fault("ManagedObjectNotFound", obj=reference)
        return kept[reference._moId]

    def _CreateSnapshotEx_Task(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        machine = self._machine(reference)
        quiesce = given["quiesceSpec"] is not None
        return self._tasks.create_snapshot(machine, given["name"], given["description"], quiesce)

    def _RemoveSnapshot_Task(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        found = self.inventory.snapshot(reference._moId)
        if found is None:
            raise make_fault("ManagedObjectNotFound", obj=reference)
        return self._tasks.remove_snapshot(found[0], reference._moId)

    def _ConsolidateVMDisks_Task(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        return self._tasks.consolidate(self._machine(reference))

    def _machine(self, reference: Any) -> Any:
        machine = self.inventory.machines.get(reference._moId)
        if machine is None:
            raise make_fault("ManagedObjectNotFound", obj=reference)
        return machine

    def _FindAllByUuid(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        assert given["vmSearch"] and given["instanceUuid"], "the fake knows VMs by instance UUID only"
        machines = self.inventory.machines.values()
        return [sdk.vim.VirtualMachine(one.moid) for one in machines if one.instance_uuid == given["uuid"]]
