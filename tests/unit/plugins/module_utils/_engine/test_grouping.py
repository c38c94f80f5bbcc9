# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grouping values by a key."""

from __future__ import annotations

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.grouping import grouped


def test_keys_and_values_keep_their_order() -> None:
    groups = grouped([("b", 2), ("a", 1), ("b", 1), ("b", 2)])
    assert groups == {"b": [2, 1, 2], "a": [1]} and list(groups) == ["b", "a"]


def test_nothing_has_no_groups() -> None:
    assert grouped([]) == {}
