# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A storage host that is not the machine that runs the engine: whatever the engine needs comes through the door."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Callable, Sequence

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.host import (
    Ended,
    Found,
    StorageHost,
    never,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.server import NfsServer
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.view import observe
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs

OPTIONS = {
    "path": "/tank/vmware", "networks": ["10.0.0.0/8"], "hosts": ["esx1"], "maproot_user": "vm", "maproot_group": None,
    "mapall_user": None, "mapall_group": None, "read_only": False, "security": ["sys"], "enabled": True,
}  # fmt: skip
ETAB = "/var/lib/nfs/etab"


class OtherHost(StorageHost):
    """Files by path, and the few programs that the engine runs. It keeps its exports as the real exportfs does."""

    def __init__(self) -> None:
        self.files = {
            "/proc/self/mountinfo": (
                "1 0 0:1 / / rw - ext4 /dev/vda1 rw\n2 1 0:2 / /tank/vmware rw - zfs tank/vmware rw\n"
            ),
            ETAB: "/srv/nfs4\t*(ro,fsid=0)\n",
        }

    def run(self, command: Sequence[str], seconds: float, stdin: str = "", hurry: Callable[[], bool] = never) -> Ended:
        if command[0] == "exportfs":
            options, clients = command[3], [word.partition(":") for word in command[4:]]
            self.files[ETAB] += "".join(f"{path}\t{client}({options})\n" for client, _colon, path in clients)
            return Ended(0, "", "")
        answers = {"ip": "    inet 198.51.100.7/24 scope global eth0\n", "zfs": "off\n"}
        if command[0] not in answers:
            raise FileNotFoundError(command[0])
        return Ended(0, answers[command[0]], "")

    def argument_limit(self) -> int:
        return 100_000

    def read(self, path: str) -> str:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    def read_regular(self, path: str, most: int) -> str:
        return self.read(path)[:most]

    def list_folder(self, path: str) -> list[str]:
        return sorted(name for folder, _slash, name in (file.rpartition("/") for file in self.files) if folder == path)

    def exists(self, path: str) -> bool:
        return path in self.files or self.is_folder(path)

    def is_folder(self, path: str) -> bool:
        return path == "/tank/vmware"

    def real_path(self, path: str) -> str:
        return path.replace("/link", "/tank")

    def replace_file(self, path: str, text: str, mode: int) -> None:
        self.files[path] = text

    def remove_file(self, path: str) -> None:
        self.files.pop(path, None)

    def tree(self, path: str) -> list[Found]:
        raise NotADirectoryError(path)

    def make_folder(self, path: str, mode: int) -> None:
        raise FileExistsError(path)

    def rename_new(self, path: str, new: str) -> None:
        raise FileExistsError(new)

    def copy_part(self, source: str, target: str, begin: int, most: int) -> int | None:
        raise FileNotFoundError(source)

    def copy_attributes(self, source: str, target: str) -> None:
        raise FileNotFoundError(source)

    def remove_tree(self, path: str, last: str = "") -> None:
        raise FileNotFoundError(path)

    def user(self, name: str) -> tuple[int, int]:
        return {"vm": (4000, 4001)}[name]

    def group(self, name: str) -> int:
        raise KeyError(name)

    def name(self) -> str:
        return "nas9"

    def full_name(self) -> str:
        return "nas9.example.com"

    def look_up(self, name: str) -> list[tuple[str, str]] | None:
        return {"esx1": [("10.0.0.1", "esx1.example.com")], "vip": [("203.0.113.9", "")]}.get(name, [])


def test_what_is_seen_is_the_other_host() -> None:
    view = observe(OtherHost(), ["vip"], ["esx1", "gone"], ["/link/vmware", "/none"])
    assert view.names == {"nas9", "nas9.example.com", "vip"}
    assert view.addresses == {ip_address("198.51.100.7"), ip_address("203.0.113.9")}
    assert [mount.source for mount in view.mounts] == ["/dev/vda1", "tank/vmware"] and view.pseudo_roots == (
        "/srv/nfs4",
    )
    assert view.resolved["esx1"] == {ip_address("10.0.0.1")} and view.resolved["gone"] == frozenset()
    assert view.real_paths == {"/link/vmware": "/tank/vmware"}


def test_a_share_is_exported_on_the_other_host() -> None:
    host = OtherHost()
    server = NfsServer(zfs=Zfs(host=host))
    server.carry_out(server.plan(OPTIONS))
    assert next(iter(server.shares().values())).clients == ("10.0.0.0/8", "esx1")
    assert "anonuid=4000,anongid=4001" in host.files[ETAB] and "/tank/vmware" in server.exported()
    assert not server.plan(OPTIONS).is_needed and server.dataset_of("/tank/vmware") == "tank/vmware"


def test_zfs_runs_on_the_other_host() -> None:
    assert Zfs(host=OtherHost()).run("get", "sharenfs") == "off\n"
