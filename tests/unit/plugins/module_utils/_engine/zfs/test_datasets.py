# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The datasets that a snapshot includes."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import (
    Dataset,
    list_datasets,
    select,
)

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


RESTORES = "tank/vmware-zfs-restores"


def test_the_clones_of_restores_are_left_out() -> None:
    more = [f"{RESTORES}/r1/0", RESTORES, "tank/vm/vmware-zfs-restores/r1", "tank/vmware-zfs-restores2"]
    datasets = [*DATASETS, *(Dataset(name, "filesystem", f"/{name}", True) for name in more)]
    assert [one.name for one in select(datasets, "tank", True)] == [*NAMES, "tank/vmware-zfs-restores2"]
    for root in (RESTORES, f"{RESTORES}/r1/0"):
        with pytest.raises(InputError, match=r"No snapshots of tank/vmware-zfs-restores.* the name .* is reserved"):
            select(datasets, root, True)
    zfs = Listing(*((name, "filesystem", f"/{name}", "yes") for name in ("tank", *more)))
    assert [one.name for one in list_datasets(zfs)] == ["tank", "tank/vmware-zfs-restores2"]
    assert zfs.processes == 1


class Listing(Zfs):
    """A zfs that lists datasets (name, type, mountpoint, mounted) like the real one: mountpoints are not escaped."""

    def __init__(self, *rows: tuple[str, str, str, str]) -> None:
        super().__init__()
        self._rows = rows

    def run(self, *arguments: str, timeout: float = 0.0, hurry: Any = None, script: str = "") -> str:
        self.processes += 1
        columns = arguments[arguments.index("-o") + 1].split(",")
        rows = [
            {**dict(zip(("name", "type", "mountpoint", "mounted"), row)), "inconsistent": "0"} for row in self._rows
        ]
        return "".join("\t".join(row[column] for column in columns) + "\n" for row in rows)


POOL = (
    ("tank", "filesystem", "/tank", "yes"),
    ("tank/off", "filesystem", "/tank/off", "no"),
    ("tank/old", "filesystem", "legacy", "yes"),
    ("tank/none", "filesystem", "none", "no"),
    ("tank/vol", "volume", "-", "-"),
)


def test_a_mountpoint_counts_only_while_it_is_mounted() -> None:
    zfs = Listing(*POOL)
    found = list_datasets(zfs)
    assert {dataset.name: dataset.mountpoint for dataset in found} == {
        "tank": "/tank", "tank/off": None, "tank/old": None, "tank/none": None, "tank/vol": None,
    }  # fmt: skip
    assert all(dataset.name.split("/")[0] == "tank" for dataset in found) and zfs.processes == 1


@pytest.mark.parametrize("mounted", ["yes", "no"])
@pytest.mark.parametrize(
    "mountpoint",
    [
        "/evil\tno\ttank/evil\ntank/more\tfilesystem\t/tank/more",
        "/evil\tno\ttank/evil\ntank/more\tfilesystem\t/m\tyes\ttank/more\ntank/evil\tfilesystem\t/evil",
        "/evil\tno\ttank/evil\ntank\tvolume\t-\t-\ttank\ntank/evil\tfilesystem\t/evil",
        "/evil\tno\ttank/evil\njunk",
        "/evil\ttab",
        "/evil\nline",
        "/evil\n\n",
    ],
)
def test_a_mountpoint_makes_and_hides_no_dataset(mountpoint: str, mounted: str) -> None:
    found = list_datasets(Listing(*POOL, ("tank/evil", "filesystem", mountpoint, mounted)))
    told = [(each.name, each.kind, "yes" if each.mounted else "no") for each in found]
    assert told[:-1] == [(name, kind, is_mounted.replace("-", "no")) for name, kind, _unused, is_mounted in POOL]
    assert told[-1] == ("tank/evil", "filesystem", mounted)
    assert found[0].mountpoint in ("/tank", None) and not any(each.mountpoint for each in found[1:5])


def test_what_ends_a_line_elsewhere_is_part_of_a_mountpoint() -> None:
    path = "/a\rb\x85c\u2028d\x0ce f"
    zfs = Listing(("tank", "filesystem", path, "yes"))
    assert [dataset.mountpoint for dataset in list_datasets(zfs)] == [path] and zfs.processes == 1
