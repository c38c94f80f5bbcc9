# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parse and normalize host names and IP addresses. Nothing here uses a resolver."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Sequence, Union

from .errors import InputError
from .text import printable

Address = Union[IPv4Address, IPv6Address]

# The last label is never a number, so that a mistyped address is not accepted as a name
_HOST_NAME = re.compile(r"(?!(.*\.)?\d+\Z)\w([\w.-]*\w)?")


def address(text: str) -> Address | None:
    """Parse an IP address, or return None. Removes brackets and zone. An IPv4-mapped IPv6 address becomes IPv4."""
    bare = text.strip().partition("%")[0].strip("[]")
    try:
        parsed = ip_address(bare)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


def host_name(text: str) -> str:
    """Normalize a host name for comparison: lower case, without the final dot."""
    return text.strip().rstrip(".").lower()


def is_host_name(text: str) -> bool:
    """Return whether a text is a valid host name. An address is not."""
    return _HOST_NAME.fullmatch(host_name(text)) is not None


def is_localhost(name: str) -> bool:
    """Return whether a name refers to the local machine (RFC 6761, and names that distributions put in /etc/hosts)."""
    labels = host_name(name).split(".")
    return labels[-1] in ("localhost", "localdomain", "ip6-localhost", "ip6-loopback")


def split_aliases(aliases: Sequence[str]) -> tuple[set[str], set[Address]]:
    """Split the aliases into host names and addresses. Raises InputError for one that is neither."""
    names: set[str] = set()
    addresses: set[Address] = set()
    for alias in aliases:
        parsed = address(alias)
        if parsed is not None:
            addresses.add(parsed)
        elif is_host_name(alias):
            names.add(host_name(alias))
        else:
            raise InputError(
                f"The alias '{printable(alias)}' is neither a host name nor an IP address",
                "Set each alias to one host name or one IP address",
            )
    return names, addresses
