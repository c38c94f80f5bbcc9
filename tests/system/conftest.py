# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: one storage host for all system tests, and a vCenter and an engine for each test."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from tests.lab.guest_door import GuestDoor
from tests.lab.hypervisor.host import Hypervisor
from tests.lab.hypervisor.share import share
from tests.lab.simulator import Simulator
from tests.lab.storage_host import StorageHost

from .scene import Scene, meanwhile, nfs, open_scene

# Destroys a tree with its holds, clones and mounted clones. It is that of a killed session.
FORGET = """
zfs list -H -o name,userrefs -t snapshot -r "$1" | while read -r name count; do
    [ "$count" = 0 ] || zfs holds -H "$name" | while IFS="	" read -r held tag date; do zfs release "$tag" "$held"; done
done
zfs destroy -R "$1"
"""

StartVcenter = Callable[..., Simulator]


@pytest.fixture(scope="session")
def storage_host() -> Iterator[StorageHost]:
    """The running host of the lab. It is not the host that a user starts. It keeps running for the next session.
    `make clean` stops it.
    """
    host = StorageHost("tests")
    host.up()
    yield host


@pytest.fixture(scope="module")
def door(storage_host: StorageHost) -> Iterator[GuestDoor]:
    """The storage host as the engine reaches it: files and programs there, without an ssh for each call."""
    opened = GuestDoor(storage_host)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def zfs_on_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the zfs of the storage host first on PATH, only for tests that use the host: ssh to it takes time."""
    if "storage_host" in request.fixturenames:
        host: StorageHost = request.getfixturevalue("storage_host")
        monkeypatch.setenv("PATH", f"{host.path_dir}:{os.environ['PATH']}")


@pytest.fixture(scope="module")
def hypervisor(storage_host: StorageHost, tree: str) -> Iterator[Hypervisor]:
    """A hypervisor for VMs with real disks on the dataset `tree`, which is exported to it."""
    started = Hypervisor(storage_host)
    try:
        started.up()
        share(storage_host, f"/{tree}")
        yield started
    finally:
        started.down()


@pytest.fixture(scope="module")
def tree(storage_host: StorageHost) -> Iterator[str]:
    """The dataset of a file of tests, with the children `nested`, `ds1` and `ds10`. Remove those of killed sessions.

    A new one for each file, because every test leaves ZFS snapshots, and each query takes longer with each of them.
    """
    listed = storage_host.ssh(["zfs", "list", "-H", "-o", "name", "-d", "1", "tank"]).stdout.splitlines()
    for name in listed:
        owner = name.removeprefix("tank/session-")
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            storage_host.ssh(["sh", "-c", FORGET, "forget", name])
    root = f"tank/session-{os.getpid()}"
    names = [root, *(f"{root}/{child}" for child in ("nested", "ds1", "ds10"))]
    storage_host.ssh(["sh", "-ec", "for name; do zfs create $name; done", "create", *names])
    yield root
    storage_host.ssh(["zfs", "destroy", "-r", root])


@pytest.fixture
def scene(tree: str) -> Iterator[Scene]:
    """The datasets of the session and an engine without servers."""
    with open_scene(tree) as opened:
        yield opened


@pytest.fixture
def start_vcenter(tmp_path: Path) -> Iterator[StartVcenter]:
    """Start simulators with the given datastores. They end with the test."""
    started: list[Simulator] = []

    def start(*datastores: dict[str, Any], datacenters: tuple[str, ...] = ("DC0",), **options: Any) -> Simulator:
        config = {"datacenters": list(datacenters), "datastores": list(datastores)}
        options = {"create_seconds": 0.1, "remove_seconds": 0.1, **options}
        started.append(Simulator.start(config, directory=tmp_path / f"vcenter-{len(started)}", **options))
        return started[-1]

    yield start
    for simulator in started:
        simulator.stop()


@pytest.fixture
def vcenter(tree: str, start_vcenter: StartVcenter, scene: Scene) -> Simulator:
    """A vCenter with three running VMs on the dataset of the session. Its credential is stored in the engine."""
    simulator = start_vcenter(nfs("vmware", tree, {"name": "web"}, {"name": "db", "guest": "windows"}, {"name": "app"}))
    scene.enrol(simulator)
    return simulator


@pytest.fixture
def before_zfs(tmp_path: Path, scene: Scene) -> Callable[[str], Path]:
    """Wrap the zfs command of the engine in a shell script that runs on each call. The real command is "$zfs"."""
    real = scene.engine.zfs.binary

    def put(script: str) -> Path:
        path = tmp_path / "zfs"
        path.write_text(f"#!/bin/sh\nzfs={real}\ncd {tmp_path}\n{script}\n", encoding="ascii")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        scene.engine.zfs.binary = str(path)
        return tmp_path

    return put


def during_zfs(before_zfs: Callable[[str], Path], event: Callable[[], Any]) -> threading.Thread:
    """Trigger `event` after the last check and before the ZFS snapshot, which waits for it."""
    folder = before_zfs('[ "$1" = snapshot ] && { echo >reached; read line <go; }\nexec $zfs "$@"')
    for name in ("reached", "go"):
        os.mkfifo(folder / name)

    def work() -> None:
        (folder / "reached").read_text()
        event()
        (folder / "go").write_text("\n")

    return meanwhile(work)
