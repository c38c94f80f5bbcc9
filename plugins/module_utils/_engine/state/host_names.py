# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validates and normalises the host name of a server."""

from __future__ import annotations

import ipaddress
import re

from ..errors import InputError
from ..text import printable

# DNS labels. The last label must not be a number, so that a mistyped address is not accepted as a name.
_HOST_NAME = re.compile(r"(?!-)(?!(.*\.)?[0-9]+\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\Z")
_LONGEST_NAME = 253


def canonical_host(hostname: str) -> str:
    """Return a host name in lower case without final dot, or an IP address in its shortest form. Raises InputError."""
    try:
        found = ipaddress.ip_address(hostname.strip("[]"))
    except ValueError:
        name = hostname.rstrip(".").lower()
        if _HOST_NAME.match(name) and len(name) <= _LONGEST_NAME:
            return name
    else:
        if not (found.is_unspecified or found.is_multicast):
            return str(found)
    raise InputError(
        f"'{printable(hostname, 80)}' is not a host name or IP address of a server",
        "Set only the name or address; use the option port for a port",
    )
