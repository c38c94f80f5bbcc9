# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host names and addresses have one form each."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.addresses import address, is_localhost
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.2.15", "10.0.2.15"),
        (" 10.0.2.15 ", "10.0.2.15"),
        ("::ffff:10.0.2.15", "10.0.2.15"),
        ("::FFFF:0a00:020f", "10.0.2.15"),
        ("[2001:DB8:0:0:0:0:0:1]", "2001:db8::1"),
        ("fe80::1%vmk0", "fe80::1"),
        ("[fe80::1%25vmk0]", "fe80::1"),
        ("[fe80::1]%vmk0", "fe80::1"),
    ],
)
def test_an_address_has_one_form(text: str, expected: str) -> None:
    assert address(text) == ip_address(expected)


@pytest.mark.parametrize("text", ["", "nas", "10.0.2", "10.0.2.256", "10.0.2.15:2049", "2001:db8::1::2", "[]"])
def test_what_is_no_address(text: str) -> None:
    assert address(text) is None


@given(st.ip_addresses(v=6), st.sampled_from(["", "%eth0", "%25vmk1"]), st.booleans(), st.booleans(), st.booleans())
def test_every_spelling_of_an_ipv6_address_is_the_same(
    found: IPv6Address, zone: str, exploded: bool, upper: bool, brackets: bool
) -> None:
    text = found.exploded if exploded else str(found)
    text = (text.upper() if upper else text) + zone
    expected = found.ipv4_mapped or found
    assert address(f"[{text}]" if brackets else text) == expected


@given(st.ip_addresses(v=4))
def test_an_ipv4_mapped_address_is_the_ipv4_address(found: IPv4Address) -> None:
    assert address(f"::ffff:{found}") == address(str(found)) == found


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "localhost.localdomain", "ip6-loopback", "x.localhost"])
def test_names_that_mean_whoever_says_them(name: str) -> None:
    assert is_localhost(name)


@pytest.mark.parametrize("name", ["localhost.example.com", "mylocalhost", "nas"])
def test_names_that_mean_one_machine(name: str) -> None:
    assert not is_localhost(name)
