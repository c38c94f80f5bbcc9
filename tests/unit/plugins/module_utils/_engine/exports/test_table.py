# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The language of exports(5), as exportfs 2.6 reads it: it was asked about every text here."""

from __future__ import annotations

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.table import effect, escaped, parse
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.paths import unescaped
from hypothesis import given
from hypothesis import strategies as st

ETAB = (
    "/tank/vmware\t10.0.2.0/24(ro,sync,wdelay,hide,nocrossmnt,secure,no_root_squash,all_squash,no_subtree_check,"
    "secure_locks,acl,no_pnfs,anonuid=7,anongid=65534,sec=sys,rw,secure,no_root_squash,all_squash,"
    "sec=krb5,ro,secure,no_root_squash,all_squash)\n"
    "/tank/other/a\\040b\\043c\\042d\\134e\t::1(ro,sync)\n"
)


def read(text: str) -> list[tuple[str, str, str, int]]:
    return [(entry.path, entry.client, ",".join(entry.options), entry.line) for entry in parse(text, "f")]


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", []),
        ("# /a b(rw)\n\n  # more\n", []),
        ("/a 10.0.0.0/8(rw,sync) esx(ro)\n", [("/a", "10.0.0.0/8", "rw,sync", 1), ("/a", "esx", "ro", 1)]),
        ("\n/a  esx # esx2(rw)\n/b\tesx(ro)", [("/a", "esx", "", 2), ("/b", "esx", "ro", 3)]),
        (
            "/a esx(rw) \\\n  esx2(ro)\n/b esx\n",
            [("/a", "esx", "rw", 1), ("/a", "esx2", "ro", 1), ("/b", "esx", "", 3)],
        ),
        (
            "/a -ro,all_squash esx *.lab(rw)",
            [("/a", "esx", "ro,all_squash", 1), ("/a", "*.lab", "ro,all_squash,rw", 1)],
        ),
        ("/a", [("/a", "*", "", 1)]),
        ("/a (rw)", [("/a", "*", "rw", 1)]),
        ("/a -ro", [("/a", "*", "ro", 1)]),
        ('"/a b" esx(rw)\n/a\\040b esx(ro)', [("/a b", "esx", "rw", 1), ("/a b", "esx", "ro", 2)]),
        ("no path(rw)", []),
    ],
)
def test_entries(text: str, entries: list[tuple[str, str, str, int]]) -> None:
    assert read(text) == entries


def test_the_table_in_force_is_in_the_same_language() -> None:
    assert [entry[:2] for entry in read(ETAB)] == [("/tank/vmware", "10.0.2.0/24"), ('/tank/other/a b#c"d\\e', "::1")]
    written = parse("/tank/vmware -ro,all_squash,anonuid=7 10.0.2.0/24(sec=sys,rw,no_root_squash,sec=krb5,ro)", "f")
    assert effect(written[0].options) == effect(parse(ETAB, "etab")[0].options)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("", "ro,sync,secure,root_squash,sec=sys,nocrossmnt,anonuid=65534", True),
        ("rw", "ro", False),
        ("rw", "rw,wdelay,acl,mountpoint,no_subtree_check", True),
        ("no_root_squash", "root_squash", False),
        ("no_root_squash,anonuid=7", "no_root_squash", True),
        ("root_squash,anonuid=7", "root_squash", False),
        ("all_squash,no_root_squash", "all_squash", True),
        ("sync", "async", False),
        ("insecure", "secure", False),
        ("crossmnt", "", False),
        ("fsid=root", "fsid=0", True),
        ("fsid=0", "", False),
        ("rw,sec=sys:krb5", "sec=krb5:sys,rw", True),
        ("rw,sec=sys", "rw,sec=krb5", False),
        ("sec=sys,rw,sec=krb5,ro", "sec=sys:krb5,rw", False),
    ],
)
def test_what_options_come_to(one: str, other: str, same: bool) -> None:
    assert (effect(one.split(",")) == effect(other.split(","))) is same


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20).map(lambda text: f"/{text}")
)
def test_every_path_comes_back_from_its_line(path: str) -> None:
    line = f"{escaped(path)} 10.0.0.0/8(rw)"
    assert "\n" not in line and unescaped(escaped(path)) == path
    assert [(entry.path, entry.client) for entry in parse(line, "f")] == [(path, "10.0.0.0/8")]
