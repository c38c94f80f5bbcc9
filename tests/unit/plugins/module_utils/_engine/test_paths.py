# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A path has one form."""

from __future__ import annotations

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.paths import ancestors, clean_path
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/tank/vm", "/tank/vm"),
        ("/tank/vm/", "/tank/vm"),
        ("//tank///vm//", "/tank/vm"),
        ("/tank/./vm", "/tank/vm"),
        ("tank/vm", "/tank/vm"),
        ("/", "/"),
        ("", "/"),
        ("//", "/"),
        ("/../tank", "/tank"),
    ],
)
def test_a_path_has_one_form(path: str, clean: str) -> None:
    assert clean_path(path) == clean


@given(st.text(alphabet="/.ab", max_size=20))
def test_a_clean_path_stays_as_it_is_and_its_ancestors_end_at_the_root(path: str) -> None:
    clean = clean_path(path)
    assert clean_path(clean) == clean
    steps = list(ancestors(clean))
    assert steps[0] == clean
    assert steps[-1] == "/"
    assert len(steps) == len([part for part in clean.split("/") if part]) + 1
