# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text from outside is fit to print."""

from __future__ import annotations

import pickle

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.errors import QuiesceError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.text import counted, printable
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(deadline=None)
@given(st.text(), st.integers(1, 50))
def test_whatever_comes_is_one_line_of_bounded_length(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit and shown.isprintable()


def test_control_characters_are_shown_not_obeyed() -> None:
    assert printable("a\nb\x1b[2J\u202ec") == "a\\nb\\x1b[2J\\u202ec"
    assert printable("x" * 9, 5) == "xxxx…" and printable("Zürich 50%") == "Zürich 50%"


def test_numbers_take_their_nouns() -> None:
    assert [counted(number, "VM") for number in (0, 1, 2)] == ["0 VMs", "1 VM", "2 VMs"]


def test_an_error_is_one_sentence() -> None:
    assert str(QuiesceError("It is broken", "Mend it")) == "It is broken; mend it."
    assert str(QuiesceError("It is broken")) == "It is broken."


def test_a_secret_shows_nowhere() -> None:
    secret = Secret("canary")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", repr([secret]), repr({"a": secret})]
    assert not any("canary" in text for text in shown) and secret.reveal() == "canary"
    assert secret == Secret("canary") and secret != Secret("other") and secret != "canary"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
