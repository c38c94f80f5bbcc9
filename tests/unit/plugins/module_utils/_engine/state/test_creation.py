# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status of a creation determines how its absence is verified."""

from __future__ import annotations

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.creation import Creation

RUNS = set(Creation) - {Creation.MADE}


@pytest.mark.parametrize("creation", Creation)
def test_only_one_that_succeeded_cannot_be_under_way(creation: Creation) -> None:
    assert creation.may_run() == (creation in RUNS)


@pytest.mark.parametrize(
    ("creation", "unseen", "seen"),
    [
        (Creation.UNASKED, False, False),
        (Creation.ASKED, True, False),
        (Creation.MADE, False, False),
        (Creation.FAILED, False, False),
        (Creation.UNANSWERED, True, False),
        (Creation.REPEATED, True, True),  # one of two was seen
        (Creation.OVERDUE, False, False),
    ],
)
def test_what_nobody_saw_end_may_still_come(creation: Creation, unseen: bool, seen: bool) -> None:
    assert creation.may_come(seen=False) == unseen and creation.may_come(seen=True) == seen


def test_the_names_are_what_the_journal_stores() -> None:
    """Existing databases contain these values, so they must not change."""
    assert [str(creation.value) for creation in Creation] == [
        "unasked", "asked", "made", "failed", "unanswered", "repeated", "overdue",
    ]  # fmt: skip
    assert Creation("repeated") is Creation.REPEATED
