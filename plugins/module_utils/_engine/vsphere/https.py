# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTPS requests to a vSphere server that are not SOAP calls: for its tags and its version file."""

from __future__ import annotations

import http.client
import ssl
from dataclasses import dataclass
from typing import Mapping

LARGEST = 16 * 1024 * 1024  # bytes of a response; limits the memory that a response needs


@dataclass(frozen=True)
class Response:
    """A server's response to one request."""

    status: int
    body: bytes


class Https:
    """A connection to one server. It opens itself with the first request, and again after it was closed.

    It verifies the server with `context`, which also limits the time for each request. It uses no proxy, follows no
    redirection and keeps no cookies. All methods except close() raise OSError, HTTPException or ValueError.
    """

    def __init__(self, hostname: str, port: int, context: ssl.SSLContext, connect_timeout: float) -> None:
        self._connection = http.client.HTTPSConnection(hostname, port, timeout=connect_timeout, context=context)

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        """Make one request. Raises ValueError for a response that is larger than any real one."""
        try:
            self._connection.request(method, path, body, dict(headers))
            response = self._connection.getresponse()
            content = response.read(LARGEST + 1)
        except BaseException:
            self.close()  # what is left of the response must not be taken for the next one
            raise
        if len(content) > LARGEST:
            self.close()
            raise ValueError("the response is too large")
        return Response(response.status, content)

    def close(self) -> None:
        self._connection.close()
