# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of vCenter's REST API, in a separate session that ends with them."""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any
from urllib.parse import quote

from ..errors import ConnectionFailed, LoginRefused, PermissionDenied, SessionLost, VSphereError, VSphereFault
from ..text import printable
from .https import Response
from .session import Session

_CALLS = 10  # all calls of a session together may take as long as this number of calls
_NOT_FOUND = "HTTP 404"
_SESSION_ID = re.compile(r"[!-~]{1,4096}")


@dataclass(frozen=True)
class Form:
    """One of the two forms of the API: addresses, and whether results are wrapped in {"value": ...}."""

    session: str
    tagging: str
    item: str  # precedes the ID of an object in its address
    action: str  # the parameter that names an action
    wrapped: bool


SINCE_6_5 = Form("/rest/com/vmware/cis/session", "/rest/com/vmware/cis/tagging", "id:", "~action", True)
SINCE_7_0_2 = Form("/api/session", "/api/cis/tagging", "", "action", False)


class Rest:
    """A session with the REST API of the server of `session`, for the same account. It is a context manager."""

    def __init__(self, session: Session, purpose: str) -> None:
        self._session, self._purpose = session, purpose
        self._https = session.https()
        self._until = time.monotonic() + _CALLS * session.timeouts.call
        self._headers: dict[str, str] = {}
        try:
            self.form = self._log_in()
        except BaseException:
            self._https.close()
            raise

    def __enter__(self) -> Rest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Log out. Never raises, because a failed logout does not matter."""
        try:
            self._send("DELETE", self.form.session)
        except VSphereError:
            pass
        self._https.close()

    def get(self, path: str, item: str) -> Any:
        """Return one object of a collection, or None if it does not exist any more."""
        try:
            return self._call("GET", f"{self.form.tagging}/{path}/{self.form.item}{quote(item, safe=':')}")
        except VSphereFault as fault:
            if fault.kind != _NOT_FOUND:
                raise
        return None

    def collection(self, path: str) -> Any:
        """Return the IDs of all objects of a collection."""
        return self._call("GET", f"{self.form.tagging}/{path}")

    def act(self, path: str, action: str, body: dict[str, Any], item: str = "") -> Any:
        """Return the result of an action."""
        item = f"/{self.form.item}{quote(item, safe=':')}" if item else ""
        return self._call("POST", f"{self.form.tagging}/{path}{item}?{self.form.action}={action}", body)

    def _log_in(self) -> Form:
        """Log in. Return the form of the API that the server has."""
        newer = _release(self._session) >= (7, 0, 2)
        likely, other = (SINCE_7_0_2, SINCE_6_5) if newer else (SINCE_6_5, SINCE_7_0_2)
        try:
            return self._log_in_with(likely)
        except VSphereFault as fault:
            if fault.kind != _NOT_FOUND:
                raise
        return self._log_in_with(other)

    def _log_in_with(self, form: Form) -> Form:
        self.form = form
        account = f"{self._session.username}:{self._session.password.reveal()}".encode()
        self._headers = {"Authorization": f"Basic {base64.b64encode(account).decode('ascii')}"}
        try:
            found = self._call("POST", self.form.session)
        except (SessionLost, PermissionDenied):
            raise LoginRefused(
                f"{self._session.endpoint} refused the login of '{printable(self._session.username, 80)}' "
                "to its REST API, although it accepted this login to its SOAP API",
                "Check that the account can use vCenter's REST API",
            ) from None
        finally:
            self._headers = {}
        if not isinstance(found, str) or not _SESSION_ID.fullmatch(found):
            raise self._session.no_answer(self._purpose, ValueError("the response to the login is not a session ID"))
        self._headers = {"vmware-api-session-id": found}
        return form

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Make a call that only reads. After a broken connection, repeat it once."""
        try:
            response = self._send(method, path, body)
        except ConnectionFailed:
            response = self._send(method, path, body)
        if response.status not in (200, 201):
            raise self._refusal(response)
        return self._session.call_once(self._purpose, partial(self._result, response))

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Response:
        headers = {"Accept": "application/json", **self._headers}
        content = None
        if body is not None:
            headers["Content-Type"], content = "application/json", json.dumps(body).encode()
        return self._session.call_once(self._purpose, self._in_time, method, path, headers, content)

    def _in_time(self, *request: Any) -> Response:
        if time.monotonic() > self._until:
            raise TimeoutError("timed out")
        return self._https.request(*request)

    def _result(self, response: Response) -> Any:
        result = json.loads(response.body)
        return result["value"] if self.form.wrapped else result

    def _refusal(self, response: Response) -> VSphereError:
        """Return the error for a response with an error status. Its text is not shown: it may repeat the request."""
        server, status = self._session.endpoint, response.status
        if status == 401:
            return SessionLost(f"{server} ended the session of its REST API", "Try again")
        if status == 403:
            return PermissionDenied(
                f"The account '{printable(self._session.username, 80)}' on {server} lacks a privilege to "
                f"{self._purpose}",
                "Add the privilege System.Read on the VMs and on the tags to the account",
            )
        problem = f"The REST API of {server} responded with the HTTP status {status} to '{self._purpose}'"
        return VSphereFault(f"HTTP {status}", problem, "Check the service vmware-vapi-endpoint of the vCenter")


def _release(session: Session) -> tuple[int, ...]:
    """Return the release of the server, such as (7, 0, 3, 0)."""
    return tuple(int(part) for part in re.findall(r"\d{1,9}", str(session.content.about.apiVersion))[:4])
