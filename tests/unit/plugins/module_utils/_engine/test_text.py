# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Untrusted text is made safe to print."""

from __future__ import annotations

import pickle

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import QuiesceError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.text import (
    counted,
    printable,
    shortened,
    table,
)
from hypothesis import given
from hypothesis import strategies as st


@given(st.text(), st.integers(1, 50))
def test_whatever_comes_is_one_line_of_bounded_length(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit and shown.isprintable()


def test_control_characters_are_shown_not_obeyed() -> None:
    assert printable("a\nb\x1b[2J\u202ec") == "a\\nb\\x1b[2J\\u202ec"
    assert printable("x" * 9, 5) == "xxxx…" and printable("Zürich 50%") == "Zürich 50%"


LONG = " ".join(["a reason that goes on and on"] * 20) + " (ApplicationQuiesceFault)"


def test_a_table_cuts_nothing() -> None:
    shown = table(["VM", "why no more"], [["web", LONG], ["x" * 300, ""]])
    assert LONG in shown and "x" * 300 in shown and len(shown.splitlines()) == 3
    assert printable(LONG, None) == LONG


@pytest.mark.parametrize("width", [5, 40, 80, 132])
def test_a_table_on_a_terminal_goes_on_below_itself(width: int) -> None:
    shown = table(["VM", "why no more"], [["web", LONG], ["app", "-"]], width).splitlines()
    assert " ".join(line[5:].strip() for line in shown[1:-1]) == LONG
    assert all(line.startswith(" " * 5) for line in shown[2:-1]) and shown[-1] == "app  -"
    assert max(map(len, shown)) <= max(width, 5 + len("(ApplicationQuiesceFault)"))


def test_a_word_that_people_copy_stays_in_one_piece() -> None:
    assert "0123456789abcdef" * 3 in table(["run"], [["0123456789abcdef" * 3]], 10)


@given(st.lists(st.lists(st.text(), min_size=3, max_size=3)), st.none() | st.integers(1, 200))
def test_every_table_can_be_shown(rows: list[list[str]], width: int | None) -> None:
    shown = table(["a", "", ""], rows, width)
    assert all(line.isprintable() for line in shown.split("\n"))
    for row in rows:
        for cell in row:
            assert all(word in shown for word in printable(cell, None).split())


def test_numbers_take_their_nouns() -> None:
    assert [counted(number, "VM") for number in (0, 1, 2)] == ["0 VMs", "1 VM", "2 VMs"]


def test_an_error_is_one_sentence() -> None:
    assert str(QuiesceError("It is broken", "Fix it")) == "It is broken; fix it."
    assert str(QuiesceError("It is broken")) == "It is broken."


def test_a_very_long_error_still_says_what_to_do() -> None:
    said = str(QuiesceError("It is broken " * 1000, "Run 'vmware-zfs recover'"))
    assert len(said) == 4000 and said.endswith("…; run 'vmware-zfs recover'.")


@given(st.text(), st.sampled_from(["", " (FileLocked)", " (" + "x" * 60 + ")"]), st.integers(100, 200))
def test_what_is_shortened_keeps_the_kind_of_fault(text: str, kind: str, limit: int) -> None:
    short = shortened(text * 20 + kind, limit)
    assert len(short) <= limit and short.endswith(kind) and short[:20] == (text * 20 + kind)[:20]
    assert len(text * 20 + kind) > limit or short == text * 20 + kind


def test_a_secret_shows_nowhere() -> None:
    secret = Secret("canary")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", repr([secret]), repr({"a": secret})]
    assert not any("canary" in text for text in shown) and secret.reveal() == "canary"
    assert secret == Secret("canary") and secret != Secret("other") and secret != "canary"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
