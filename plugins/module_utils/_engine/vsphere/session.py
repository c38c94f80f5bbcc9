# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session with a vCenter or ESXi host. Calls have time limits and raise typed errors."""

from __future__ import annotations

import functools
import http.client
import ssl
import threading
from dataclasses import dataclass
from functools import cached_property, partial
from types import TracebackType
from typing import Any, Callable, TypeVar

from ..errors import CertificateUntrusted, ConnectionFailed, QuiesceError, SessionLost, VSphereError, VSphereFault
from ..seconds import check_seconds
from ..secret import Secret
from ..text import printable
from . import api_version, faults, sdk, tls
from .https import Https
from .refusals import Refusals

CONNECTIONS = 32  # kept open by a session: the number of parallel calls that need no new connection
_LOCALE = "en_US"  # for the server's texts; not every server supports it (API SessionManager.Login, InvalidLocale)
_PARTS = ("about", "propertyCollector", "rootFolder", "searchIndex", "sessionManager", "viewManager")

# Raised when the code reads an invalid response: a part is missing, has a wrong type, or is nested without end.
MISREAD = (AttributeError, LookupError, TypeError, ValueError, RecursionError)

Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Endpoint:
    """A server's address and how its certificate is verified. If `thumbprint` (SHA-256) is set, only it counts."""

    hostname: str
    port: int = 443
    validate_certs: bool = True
    ca_path: str | None = None
    thumbprint: str | None = None

    def __str__(self) -> str:
        return self.hostname if self.port == 443 else f"{self.hostname}:{self.port}"


@dataclass(frozen=True)
class Timeouts:
    """Limits in seconds: `connect` for TCP and the TLS handshake, `call` for the response to each call."""

    connect: float = 15.0
    call: float = 60.0

    def check(self) -> None:
        """Raise InputError for an invalid limit."""
        check_seconds("connect_timeout", self.connect)
        check_seconds("call_timeout", self.call)


class Session:
    """A login on a server. `call()` makes every vSphere call and raises only the engine's own errors.

    It is thread-safe. It is a context manager that logs out at the end.
    """

    def __init__(self, endpoint: Endpoint, username: str, password: Secret, timeouts: Timeouts) -> None:
        sdk.require()
        self.endpoint = endpoint
        self.username, self.password, self.timeouts = username, password, timeouts
        self._lock = threading.Lock()
        self._context = tls.make_context(
            str(endpoint), endpoint.validate_certs, endpoint.ca_path, endpoint.thumbprint, timeouts.call
        )
        self.stub = sdk.SoapStubAdapter(
            host=endpoint.hostname,
            port=endpoint.port,
            version=self.call_once("log in", api_version.choose, self.https(), str(endpoint)),
            sslContext=self._context,
            httpConnectionTimeout=timeouts.connect,
            poolSize=CONNECTIONS,
        )
        self.logins = 0  # number of logins; objects that the server keeps for a session are lost when this increases
        self._log_in(seen=0)

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Log out and close the connections. Never raises, because a failed logout does not matter."""
        try:
            self.call_once("log out", self._send_logout)
        except VSphereError:
            pass
        self.stub.DropConnections()

    def open_connections(self, calls: int) -> None:
        """Open connections in advance for this many parallel calls, so that none has to wait for a TLS handshake.

        Never raises. A call opens a missing connection itself and reports an error if that fails.
        """
        opened: list[Any] = []
        try:
            while len(opened) < min(calls, CONNECTIONS):
                opened.append(self.stub.GetConnection())
                if opened[-1].sock is None:  # pyVmomi 8 connects only with the first request
                    opened[-1].connect()
        except Exception:  # pyVmomi can raise any exception, see call_once
            pass
        for connection in opened:
            self.stub.ReturnConnection(connection)

    @cached_property
    def refusals(self) -> Refusals:
        """The refused logins. Sessions that are opened together share one such object."""
        return Refusals()

    @property
    def server_id(self) -> str:
        """Identifies the server independently of its name: a vCenter's instance UUID (API AboutInfo), else its name."""
        return str(self.content.about.instanceUuid or self.endpoint)

    def https(self) -> Https:
        """Return a connection for other requests than SOAP calls, with the same verification and time limits."""
        return Https(self.endpoint.hostname, self.endpoint.port, self._context, self.timeouts.connect)

    def managed_object(self, kind: Any, moid: str) -> Any:
        """Return the pyVmomi object for a managed object ID, without a call."""
        return kind(moid, self.stub)

    def call(
        self, purpose: str, function: Callable[..., Result], *arguments: Any, repeatable: bool = True, **options: Any
    ) -> Result:
        """Call a vSphere method and return its result.

        `purpose` names the call in messages ("list the datastores"). If the session has expired, log in again and
        repeat the call once; the server did not carry out the first one. After a broken connection, repeat the call
        once only if `repeatable`. Raises ConnectionFailed, CertificateUntrusted, LoginRefused, SessionLost,
        PermissionDenied or VSphereFault.
        """
        logins = self.logins
        try:
            return self.call_once(purpose, function, *arguments, **options)
        except SessionLost:
            self._log_in(seen=logins)
        except ConnectionFailed:
            if not repeatable:
                raise
        return self.call_once(purpose, function, *arguments, **options)

    def _log_in(self, seen: int) -> None:
        with self._lock:
            if self.logins != seen:
                return  # another thread has already logged in
            self.refusals.once(str(self.endpoint), self.username, self.password, self._begin)
            self.logins += 1

    def _begin(self) -> None:
        self.stub.SetSessionId(None)
        instance = self.managed_object(sdk.vim.ServiceInstance, "ServiceInstance")
        purpose = "log in"
        self.content = self.call_once(purpose, instance.RetrieveServiceContent)
        if any(getattr(self.content, part, None) is None for part in _PARTS):
            raise self.no_answer(purpose, ValueError("a part of the response is missing"))
        try:
            self.call_once(purpose, partial(self._send_login, locale=_LOCALE))
        except VSphereFault as fault:
            if fault.kind != "InvalidLocale":
                raise
            self.call_once(purpose, self._send_login)

    def _send_login(self, locale: str | None = None) -> None:
        self.content.sessionManager.Login(userName=self.username, password=self.password.reveal(), locale=locale)

    def _send_logout(self) -> None:
        self.content.sessionManager.Logout()

    def call_once(self, purpose: str, function: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        """Do what `call` does, but never repeat the call. `function` may also make a request that is not SOAP."""
        try:
            return function(*arguments, **options)
        except QuiesceError:
            raise
        except sdk.vmodl.MethodFault as fault:
            raise faults.translate(fault, str(self.endpoint), purpose, self.username) from None
        except ssl.SSLCertVerificationError as error:
            raise CertificateUntrusted(
                f"The certificate of {self.endpoint} could not be verified: {error.verify_message}",
                "Set ca_path or thumbprint, or in a lab set validate_certs to false",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionFailed(
                f"{self.endpoint} could not be reached to {purpose}: {_reason(error)}",
                "Check the name, the port and the network between this host and the server",
            ) from None
        except Exception as error:  # pyVmomi's parser can raise any exception: expat errors, TypeError ...
            raise self.no_answer(purpose, error) from None

    def no_answer(self, purpose: str, error: BaseException) -> ConnectionFailed:
        """Return the error for a response that caused `error` because it is not a valid vSphere response."""
        return ConnectionFailed(
            f"{self.endpoint} did not return a valid vSphere response to '{purpose}': {_reason(error)}",
            "Check that hostname and port belong to a vCenter or ESXi host",
        )


def understands(function: Function) -> Function:
    """Decorate a function with a session as its first argument: invalid responses raise ConnectionFailed."""

    @functools.wraps(function)
    def understanding(session: Session, *arguments: Any, **options: Any) -> Any:
        try:
            return function(session, *arguments, **options)
        except MISREAD as error:
            raise session.no_answer(function.__name__.strip("_").replace("_", " "), error) from None

    return understanding  # type: ignore[return-value]


def connect(endpoint: Endpoint, username: str, password: Secret, timeouts: Timeouts | None = None) -> Session:
    """Log in and return the session.

    Raises DependencyError, ConnectionFailed, CertificateUntrusted, ApiUnsupported or LoginRefused.
    """
    return Session(endpoint, username, password, timeouts or Timeouts())


Connect = Callable[[Endpoint, str, Secret], Session]


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError) or "timed out" in str(error):
        return "no response within the time limit"
    return printable(getattr(error, "strerror", None) or str(error) or type(error).__name__, 200)
