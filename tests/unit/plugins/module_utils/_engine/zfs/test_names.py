# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names are validated by the rules of ZFS before they are passed to zfs."""

from __future__ import annotations

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import (
    SnapshotName,
    check_dataset,
    check_snapshot,
    is_within,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize("name", ["tank", "tank/vm", "tank/a b/c-d_e.f:g", "tank/1", "t/" + "a" * 253, "tank/a..b"])
def test_good_dataset_names(name: str) -> None:
    assert check_dataset(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "-r", "--", "tank/", "/tank", "tank//vm", "tank/-r", "1tank", "tank/.", "tank/../x", "tank@one",
        "tank/vm@one", "tank/a#b", "tank/ä", "tank/a%b", "tank/a\n", "tank\n", "tank/$(id)", "t/" + "a" * 254,
        "tank/\x1b[2J",
    ],
)  # fmt: skip
def test_bad_dataset_names(name: str) -> None:
    with pytest.raises(InputError) as caught:
        check_dataset(name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["one", "auto-2026-01-31_02-00", "a b", ".", "1", "a" * 250])
def test_good_snapshot_names(name: str) -> None:
    assert check_snapshot("tank", name) == f"tank@{name}"


@pytest.mark.parametrize("name", ["", "-r", "a@b", "a/b", "a%b", "a,b", "ä", "a\n", "$(id)", "a" * 251])
def test_bad_snapshot_names(name: str) -> None:
    with pytest.raises(InputError) as caught:
        check_snapshot("tank", name)
    assert str(caught.value).isprintable()


@given(st.text(max_size=300))
def test_no_name_that_passes_can_be_an_option_or_another_snapshot(name: str) -> None:
    try:
        checked = check_snapshot("tank", name)
    except InputError:
        return
    assert not name.startswith("-") and checked.count("@") == 1 and checked.isascii() and len(checked) < 256


def test_within_goes_by_components() -> None:
    assert is_within("tank/vm1", "tank/vm1") and is_within("tank/vm1/a", "tank/vm1") and is_within("tank/vm1", "tank")
    assert not is_within("tank/vm10", "tank/vm1") and not is_within("tank", "tank/vm1")


@pytest.mark.parametrize("full", ["tank@one", "tank/a b@auto-2026-01-31_02-00"])
def test_a_snapshot_name_has_two_parts(full: str) -> None:
    dataset, name = SnapshotName.of(full)
    assert f"{dataset}@{name}" == full == str(SnapshotName(dataset, name))
    assert "@" not in dataset and name
