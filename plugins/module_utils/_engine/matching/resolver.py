# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the dataset of a path on the storage host."""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from dataclasses import dataclass
from itertools import takewhile
from typing import Iterable

from ..paths import ancestors, clean_path
from ..storage_host.mounts import Mount
from ..storage_host.view import StorageHostView
from ..zfs.datasets import Dataset
from ..zfs.names import is_path_of_restores


@dataclass(frozen=True)
class ResolvedPath:
    """The location of a path on the storage host. `dataset` is "" if it is not on a dataset of interest."""

    asked: str
    real: str
    exists: bool
    late: bool  # the file system did not respond in time, so only the name of the path was used
    mount: Mount | None
    dataset: str = ""
    path: str = ""  # the path in the dataset


class PathResolver:
    """Finds the dataset that contains a path, from the list of mounted file systems."""

    def __init__(self, datasets: Iterable[Dataset], view: StorageHostView) -> None:
        self._datasets = {dataset.name: dataset for dataset in datasets}
        self._real_paths, self._late = view.real_paths, view.late_paths
        self._known = known = {mount.source for mount in view.mounts if mount.fstype == "zfs"}
        # Prefer the mount table. Use zfs only for datasets that are not in it, for example if it is of another machine.
        from_zfs = [
            Mount(dataset.name, "/", dataset.mountpoint, "zfs")
            for dataset in self._datasets.values()
            if dataset.mounted and dataset.mountpoint and dataset.name not in known
        ]
        self._mounts = {mount.mountpoint: mount for mount in [*view.mounts, *from_zfs] if mount.visible}
        self._sorted = sorted(self._mounts)
        self._homes: dict[str, str] = {}  # dataset -> its mountpoint; other mounts of it are bind mounts
        for mount in self._mounts.values():
            dataset = self._dataset(mount)
            if dataset is None or mount.root != "/":
                continue
            if mount.mountpoint == dataset.mountpoint or dataset.name not in self._homes:
                self._homes[dataset.name] = mount.mountpoint

    def _dataset(self, mount: Mount) -> Dataset | None:
        return self._datasets.get(mount.source) if mount.fstype == "zfs" else None

    def find(self, path: str) -> ResolvedPath:
        real = self._real_paths.get(path, path)
        exists, late = path in self._real_paths, path in self._late
        mount = next((self._mounts[step] for step in ancestors(real) if step in self._mounts), None)
        # A path that does not exist always resolves to "/", which means nothing if a dataset is mounted there. The path
        # of a clone that is not mounted is in the dataset above it, which has none of its files.
        if (
            mount is None
            or is_path_of_restores(real)
            or self._dataset(mount) is None
            or (mount.mountpoint == "/" and not exists)
        ):
            return ResolvedPath(path, real, exists, late, mount)
        within = posixpath.join(mount.root, posixpath.relpath(real, mount.mountpoint))
        return ResolvedPath(path, real, exists, late, mount, mount.source, clean_path(within).strip("/"))

    def is_home(self, mount: Mount | None) -> bool:
        return mount is not None and self._homes.get(mount.source) == mount.mountpoint

    def below(self, real: str) -> list[tuple[str, str]]:
        """Return (path relative to `real`, dataset) for every dataset mounted below `real`."""
        above = real.rstrip("/") + "/"
        later = self._sorted[bisect_right(self._sorted, above) :]
        return [
            (mountpoint[len(above) :], self._mounts[mountpoint].source)
            for mountpoint in takewhile(lambda mountpoint: mountpoint.startswith(above), later)
            if self._dataset(self._mounts[mountpoint])
        ]

    def folders(self, found: ResolvedPath) -> tuple[tuple[str, str], ...]:
        """Return (folder, dataset) for the dataset of the path, whose folder is "", and the datasets mounted below."""
        return (("", found.dataset), *self.below(found.real))

    def possible(self, found: ResolvedPath) -> list[str]:
        """Return the datasets at the path if the server may be this host; empty if this host does not have the path."""
        # Whether the path exists does not matter if the datasets are those of another machine.
        if not found.dataset or not (found.exists or found.late or found.dataset not in self._known):
            return []
        return [dataset for _unused, dataset in self.folders(found)]

    def unmounted(self, found: ResolvedPath) -> str:
        """Return the unmounted dataset that, by its name, would contain the path if it were mounted, or ""."""
        expected = f"/{found.dataset}/{found.path}" if found.dataset else found.real
        for step in ancestors(clean_path(expected)):
            dataset = self._datasets.get(step.strip("/"))
            if dataset and dataset.kind == "filesystem" and not dataset.mounted:
                return dataset.name
            if step.strip("/") == found.dataset:  # parents do not have to be mounted
                break
        return ""
