# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores policies for datasets. They hold for every run that has VMs with files on the dataset or its children."""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Iterator

from ..vm_policies import VmPolicy, parse_stored, plain
from ..zfs.names import check_dataset
from .database import Database, Paths, utc_now


@dataclass(frozen=True)
class DatasetPolicies:
    """The policies of a dataset. `created` and `updated` are UTC in ISO 8601, or "" if they are not stored."""

    dataset: str
    policies: tuple[VmPolicy, ...]
    created: str = ""
    updated: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results: JSON types."""
        return {
            "dataset": self.dataset,
            "policies": plain(self.policies),
            "created": self.created or None,
            "updated": self.updated or None,
        }


class StoredPolicies:
    """The policies of datasets in a state database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @contextmanager
    def open(cls, paths: Paths, read_only: bool = False) -> Iterator["StoredPolicies"]:
        """Open the database of `paths`, and close it at the end. Raises RegistryError."""
        with Database.open(paths, read_only) as database:
            yield cls(database)

    def list_all(self) -> list[DatasetPolicies]:
        """List the policies of all datasets, by name. Those that this release cannot read are marked as unusable."""
        return [_from_row(row) for row in self._database.rows("SELECT * FROM dataset_policies ORDER BY dataset")]

    def find(self, dataset: str) -> DatasetPolicies | None:
        """Return the policies that are stored for the dataset itself, or None."""
        return next((one for one in self.list_all() if one.dataset == dataset), None)

    def put(self, dataset: str, policies: tuple[VmPolicy, ...]) -> DatasetPolicies:
        """Store the policies of a dataset in place of those before. Raises InputError for an invalid name."""
        check_dataset(dataset)
        now = utc_now()
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO dataset_policies (dataset, policies, created, updated) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (dataset) DO UPDATE SET policies = excluded.policies, updated = excluded.updated",
                (dataset, json.dumps(plain(policies)), now, now),
            )
        return self.find(dataset) or DatasetPolicies(dataset, policies)

    def delete(self, dataset: str) -> None:
        """Remove the policies of a dataset."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM dataset_policies WHERE dataset = ?", (dataset,))


def _from_row(row: sqlite3.Row) -> DatasetPolicies:
    return DatasetPolicies(row["dataset"], parse_stored(_decoded(row["policies"])), row["created"], row["updated"])


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # unusable as a whole
