# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifies the TLS certificate of a vCenter or ESXi host by certificate authorities or a pinned SHA-256 thumbprint.

pyVmomi does not verify localhost, and some releases (9.1.1) ignore its thumbprint option. Therefore all connections use
the TLS context of this module.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import time
from typing import Any, cast

from ..errors import CertificateUntrusted, InputError


class TimedSocket(ssl.SSLSocket):
    """A connection with a limit of `limit` seconds for each request together with its response.

    Python's timeout applies to each single read, so a server that sends a few bytes at a time could block a call
    forever. A request begins with the first byte that is sent after a response was read.
    """

    limit: float | None = None
    _answering = True
    _deadline = 0.0

    def send(self, *arguments: Any, **options: Any) -> int:
        if self._answering and self.limit is not None:
            self._answering, self._deadline = False, time.monotonic() + self.limit
        self._allow_what_is_left()
        return super().send(*arguments, **options)

    def recv_into(self, *arguments: Any, **options: Any) -> int:
        self._answering = True
        self._allow_what_is_left()
        return super().recv_into(*arguments, **options)

    def _allow_what_is_left(self) -> None:
        if self.limit is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self.settimeout(left)


class VerifyingContext(ssl.SSLContext):
    """Checks the pinned thumbprint after the handshake, before the first request, and sets the call timeout."""

    pin: str | None = None
    call_timeout: float | None = None
    peer: str = ""
    sslsocket_class = TimedSocket

    def wrap_socket(self, *arguments: Any, **options: Any) -> TimedSocket:
        connection = cast(TimedSocket, super().wrap_socket(*arguments, **options))
        try:
            if self.pin is not None:
                check_pin(self.pin, connection.getpeercert(binary_form=True) or b"", self.peer)
            connection.limit = self.call_timeout
        except BaseException:
            connection.close()
            raise
        return connection


def make_context(
    peer: str, validate_certs: bool, ca_path: str | None, thumbprint: str | None, call_timeout: float | None
) -> VerifyingContext:
    """Return the context for connections to `peer` (used in messages).

    If a thumbprint is given, only the thumbprint counts. Otherwise the certificate is verified by the authorities in
    `ca_path` (a file or folder) or the system's authorities. Raises InputError for invalid arguments.
    """
    context = VerifyingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # vSphere 6.5 supports it
    context.peer, context.call_timeout = peer, call_timeout
    if thumbprint is not None:
        context.pin = normalise_thumbprint(thumbprint)
    if thumbprint is not None or not validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_path is None:
        context.load_default_certs()
    else:
        _load_authorities(context, ca_path)
    return context


def _load_authorities(context: ssl.SSLContext, ca_path: str) -> None:
    try:
        if os.path.isdir(ca_path):
            context.load_verify_locations(capath=ca_path)
        else:
            context.load_verify_locations(cafile=ca_path)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"ca_path '{ca_path}' does not contain usable certificate authorities: {error}",
            "Set it to a readable PEM file, or to a folder prepared with 'openssl rehash'",
        ) from error


def normalise_thumbprint(thumbprint: str) -> str:
    """Return a SHA-256 thumbprint as 32 upper-case pairs with colons.

    Accepts the line that openssl prints, too: `sha256 Fingerprint=53:75:...`. Raises InputError for anything else,
    including SHA-1.
    """
    without_label = re.sub(r"(?i)^\s*sha-?256 fingerprint=", "", thumbprint)
    digits = re.sub(r"[:\s-]", "", without_label).upper()
    if not re.fullmatch(r"[0-9A-F]{64}", digits):
        raise InputError(
            f"The thumbprint '{thumbprint[:100]}' is not a SHA-256 thumbprint (64 hexadecimal digits)",
            "Read it with 'openssl x509 -noout -fingerprint -sha256'",
        )
    return ":".join(digits[at : at + 2] for at in range(0, 64, 2))


def check_pin(pin: str, certificate: bytes, peer: str) -> None:
    """Raise CertificateUntrusted with both thumbprints unless the DER `certificate` has the thumbprint `pin`."""
    presented = normalise_thumbprint(hashlib.sha256(certificate).hexdigest())
    if presented != pin:
        raise CertificateUntrusted(
            f"The certificate of {peer} has the thumbprint {presented}, but {pin} is pinned",
            "If the certificate was replaced on purpose, set the new thumbprint; if not, find out which server answers",
        )
