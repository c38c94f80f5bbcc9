# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session with a vCenter or ESXi host: log in, call with time limits and typed errors, log out."""

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
from . import faults, sdk, tls
from .refusals import Refusals

CONNECTIONS = 32  # that a session keeps open, so calls that can be made side by side without connecting anew
_LOCALE = "en_US"  # of the texts that a server sends; not every one has it (API SessionManager.Login, InvalidLocale)
_PARTS = ("about", "propertyCollector", "rootFolder", "searchIndex", "sessionManager", "viewManager")

# What Python raises where an answer is read that lacks what belongs there, holds another type, or never ends nesting.
MISREAD = (AttributeError, LookupError, TypeError, ValueError, RecursionError)

Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Endpoint:
    """Where a server is and how its certificate is trusted. A thumbprint (SHA-256) decides alone when it is given."""

    hostname: str
    port: int = 443
    validate_certs: bool = True
    ca_path: str | None = None
    thumbprint: str | None = None

    def __str__(self) -> str:
        return self.hostname if self.port == 443 else f"{self.hostname}:{self.port}"


@dataclass(frozen=True)
class Timeouts:
    """Limits in seconds: `connect` for TCP and the TLS handshake, `call` for the answer to any one call."""

    connect: float = 15.0
    call: float = 60.0

    def check(self) -> None:
        """Raise InputError for a limit that no connection can have."""
        check_seconds("connect_timeout", self.connect)
        check_seconds("call_timeout", self.call)


class Session:
    """One login. Every call goes through `call()`, which turns whatever happens into one of our errors.

    Safe for use by several threads. A context manager: leaving it logs out.
    """

    def __init__(self, endpoint: Endpoint, username: str, password: Secret, timeouts: Timeouts) -> None:
        sdk.require()
        self.endpoint = endpoint
        self.username, self._password = username, password
        self._lock = threading.Lock()
        context = tls.make_context(
            str(endpoint), endpoint.validate_certs, endpoint.ca_path, endpoint.thumbprint, timeouts.call
        )
        self.stub = sdk.SoapStubAdapter(
            host=endpoint.hostname,
            port=endpoint.port,
            version=sdk.stub_version(),
            sslContext=context,
            httpConnectionTimeout=timeouts.connect,
            poolSize=CONNECTIONS,
        )
        self.logins = 0  # how often it logged in: what a server keeps for a session is lost when this rises
        self._log_in(seen=0)

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Log out and close the connections. Never raises: what the server says to a good-bye changes nothing."""
        try:
            self._call_once("log out", self._send_logout)
        except VSphereError:
            pass
        self.stub.DropConnections()

    def open_connections(self, calls: int) -> None:
        """Connect beforehand for so many calls side by side, so that none of them waits for a handshake. Never raises:
        a connection that is missing is opened by the call that needs it, which reports what is wrong."""
        opened: list[Any] = []
        try:
            while len(opened) < min(calls, CONNECTIONS):
                opened.append(self.stub.GetConnection())
                if opened[-1].sock is None:  # pyVmomi 8 leaves that to the first request
                    opened[-1].connect()
        except Exception:  # as in _call_once: whatever pyVmomi raises
            pass
        for connection in opened:
            self.stub.ReturnConnection(connection)

    @cached_property
    def refusals(self) -> Refusals:
        """The logins that were refused; who opens several sessions has them share one."""
        return Refusals()

    @property
    def server_id(self) -> str:
        """Tells servers apart, however they are called: a vCenter's instance UUID (API AboutInfo), else its name."""
        return str(self.content.about.instanceUuid or self.endpoint)

    def managed_object(self, kind: Any, moid: str) -> Any:
        """The pyVmomi object for a managed object ID; no call is made."""
        return kind(moid, self.stub)

    def call(
        self, purpose: str, function: Callable[..., Result], *arguments: Any, repeatable: bool = True, **options: Any
    ) -> Result:
        """Call a vSphere method and return its result.

        `purpose` names the call in messages ("list the datastores"). A session that the server no longer knows is
        re-established once and the call made again: the server refused it unseen. After a broken connection the call
        is made again once only if `repeatable`. Raises ConnectionFailed, CertificateUntrusted, LoginRefused,
        SessionLost, PermissionDenied or VSphereFault.
        """
        logins = self.logins
        try:
            return self._call_once(purpose, function, *arguments, **options)
        except SessionLost:
            self._log_in(seen=logins)
        except ConnectionFailed:
            if not repeatable:
                raise
        return self._call_once(purpose, function, *arguments, **options)

    def _log_in(self, seen: int) -> None:
        with self._lock:
            if self.logins != seen:
                return  # another thread was faster
            self.refusals.once(str(self.endpoint), self.username, self._password, self._begin)
            self.logins += 1

    def _begin(self) -> None:
        self.stub.SetSessionId(None)
        instance = self.managed_object(sdk.vim.ServiceInstance, "ServiceInstance")
        purpose = "log in"
        self.content = self._call_once(purpose, instance.RetrieveServiceContent)
        if any(getattr(self.content, part, None) is None for part in _PARTS):
            raise self.no_answer(purpose, ValueError("a part is missing"))
        try:
            self._call_once(purpose, partial(self._send_login, locale=_LOCALE))
        except VSphereFault as fault:
            if fault.kind != "InvalidLocale":
                raise
            self._call_once(purpose, self._send_login)

    def _send_login(self, locale: str | None = None) -> None:
        self.content.sessionManager.Login(userName=self.username, password=self._password.reveal(), locale=locale)

    def _send_logout(self) -> None:
        self.content.sessionManager.Logout()

    def _call_once(self, purpose: str, function: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        try:
            return function(*arguments, **options)
        except QuiesceError:
            raise
        except sdk.vmodl.MethodFault as fault:
            raise faults.translate(fault, str(self.endpoint), purpose, self.username) from None
        except ssl.SSLCertVerificationError as error:
            raise CertificateUntrusted(
                f"The certificate of {self.endpoint} cannot be verified: {error.verify_message}",
                "Give ca_path or thumbprint, or set validate_certs to false in a lab",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionFailed(
                f"{self.endpoint} cannot be reached to {purpose}: {_reason(error)}",
                "Check the name, the port and the network between this host and it",
            ) from None
        except Exception as error:  # pyVmomi's parser raises what it likes: expat errors, TypeError, AttributeError ...
            raise self.no_answer(purpose, error) from None

    def no_answer(self, purpose: str, error: BaseException) -> ConnectionFailed:
        """The error for an answer that `error` was met in, because it is none of vSphere's."""
        return ConnectionFailed(
            f"{self.endpoint} answered something that is no vSphere answer to '{purpose}': {_reason(error)}",
            "Check that hostname and port are those of a vCenter or ESXi host",
        )


def understands(function: Function) -> Function:
    """For functions that read answers, with the session as the first argument: what they trip over is no answer."""

    @functools.wraps(function)
    def understanding(session: Session, *arguments: Any, **options: Any) -> Any:
        try:
            return function(session, *arguments, **options)
        except MISREAD as error:
            raise session.no_answer(function.__name__.strip("_").replace("_", " "), error) from None

    return understanding  # type: ignore[return-value]


def connect(endpoint: Endpoint, username: str, password: Secret, timeouts: Timeouts | None = None) -> Session:
    """Log in and return the session; raises DependencyError, ConnectionFailed, CertificateUntrusted or LoginRefused."""
    return Session(endpoint, username, password, timeouts or Timeouts())


Connect = Callable[[Endpoint, str, Secret], Session]


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError) or "timed out" in str(error):
        return "no answer within the time limit"
    return printable(getattr(error, "strerror", None) or str(error) or type(error).__name__, 200)
