# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which datasets a snapshot takes."""

from __future__ import annotations

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.zfs.datasets import Dataset, list_datasets, select

NAMES = ["tank", "tank/vm", "tank/vm/a", "tank/vm/a/deep", "tank/vm/a2", "tank/vm2", "tank/volume"]
DATASETS = [Dataset(name, "filesystem", f"/{name}", True) for name in NAMES]


@pytest.mark.parametrize(
    ("root", "recursive", "exclude", "taken"),
    [
        ("tank/vm", False, (), ["tank/vm"]),
        ("tank/vm", True, (), ["tank/vm", "tank/vm/a", "tank/vm/a/deep", "tank/vm/a2"]),
        ("tank/vm", True, ("tank/vm/a",), ["tank/vm", "tank/vm/a2"]),
        ("tank/vm", True, ("tank/vm/a/deep",), ["tank/vm", "tank/vm/a", "tank/vm/a2"]),
        ("tank/vm", True, ("tank/vm/gone",), ["tank/vm", "tank/vm/a", "tank/vm/a/deep", "tank/vm/a2"]),
    ],
)
def test_selection(root: str, recursive: bool, exclude: tuple[str, ...], taken: list[str]) -> None:
    assert [dataset.name for dataset in select(DATASETS, root, recursive, exclude)] == taken


@pytest.mark.parametrize(
    ("recursive", "exclude"),
    [(True, "tank/vm"), (True, "tank/vm2"), (True, "tank"), (True, "a"), (True, "tank/vm/-r"), (False, "tank/vm/a")],
)
def test_an_exclusion_that_means_nothing_is_a_mistake(recursive: bool, exclude: str) -> None:
    with pytest.raises(InputError):
        select(DATASETS, "tank/vm", recursive, (exclude,))


class Listing(Zfs):
    def run(self, *arguments: str, timeout: float = 0.0) -> str:
        return (
            "tank\tfilesystem\t/tank\tyes\ntank/off\tfilesystem\t/tank/off\tno\ntank/old\tfilesystem\tlegacy\tyes\n"
            "tank/none\tfilesystem\tnone\tno\ntank/vol\tvolume\t-\t-\n"
        )


def test_a_mountpoint_counts_only_while_it_is_mounted() -> None:
    found = list_datasets(Listing())
    assert {dataset.name: dataset.mountpoint for dataset in found} == {
        "tank": "/tank", "tank/off": None, "tank/old": None, "tank/none": None, "tank/vol": None,
    }  # fmt: skip
    assert {dataset.pool for dataset in found} == {"tank"}
