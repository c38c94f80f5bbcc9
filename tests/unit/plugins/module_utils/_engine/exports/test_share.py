# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One share: what is refused, what its file says, what contradicts it, and what ESXi could not work with."""

from __future__ import annotations

import grp
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports import share as shares
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.share import Share, squash
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.table import parse
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.mounts import Mount

NOBODY = pwd.getpwnam("nobody")
NOTHING = {"maproot_user": None, "maproot_group": None, "mapall_user": None, "mapall_group": None}
ASKED = {
    **NOTHING, "path": "/tank/vmware", "networks": ["10.0.0.0/8"], "hosts": [], "maproot_user": "root",
    "read_only": False, "security": ["sys"], "enabled": True,
}  # fmt: skip


def ask(mountpoint: str = "/tank/vmware", **options: Any) -> Share:
    return shares.from_options(LocalHost(), {**ASKED, **options}, mountpoint, {})


def test_the_file_of_seeds_share() -> None:
    asked = ask(networks=["192.168.1.0/24"], maproot_group="wheel")
    assert asked.text == (
        "# Written by quiesce.vmware_zfs.vmware_nfs_share: what is changed here by hand is lost.\n"
        "# Share of /tank/vmware\n"
        "/tank/vmware 192.168.1.0/24(sec=sys,rw,sync,no_subtree_check,mountpoint,no_root_squash)\n"
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"enabled": False},
        {"path": "/tank/with blank #1", "networks": ["10.0.0.0/8", "2001:db8::/64"], "hosts": ["10.9.9.9"]},
        {"read_only": True, "security": ["krb5", "krb5i"], "maproot_user": "nobody", "enabled": False},
    ],
)
def test_a_share_comes_back_from_its_file(options: dict[str, Any]) -> None:
    asked = ask(**options)
    assert Share.read(asked.text) == asked
    assert bool(asked.entries("f")) is asked.enabled
    assert all(line.startswith("#") for line in asked.text.splitlines()) is not asked.enabled


def test_what_somebody_else_wrote_is_no_share() -> None:
    assert Share.read("/tank/vmware *(rw)\n") is None and Share.read("") is None


def test_each_path_has_a_file_of_its_own_that_exportfs_reads() -> None:
    paths = ["/tank/vmware", "/tank-vmware", "/tank/vmware/", "/tank/ö", "/tank/" + "x" * 300]
    found = [shares.file_name(path) for path in paths]
    assert len(set(found)) == len(paths)
    assert all(name.endswith(".exports") and not name.startswith(".") and len(name) < 120 for name in found)
    assert found[0].startswith("quiesce.vmware_zfs-tank-vmware-")


@pytest.mark.parametrize(
    ("path", "mountpoint", "expected"),
    [
        ("/tank/vmware", "/tank/vmware", ["mountpoint"]),
        ("/tank/vmware/win", "/tank/vmware", ["mountpoint=/tank/vmware"]),
        ("/tank/a,b", "/tank/a,b", ["mountpoint"]),
        ("/tank/a,b/win", "/tank/a,b", []),
        ("/srv/vm", "/", []),
    ],
)
def test_nothing_is_exported_while_the_dataset_is_not_mounted(path: str, mountpoint: str, expected: list[str]) -> None:
    options = ask(mountpoint, path=path).options
    assert [option for option in options if option.startswith("mountpoint")] == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "root_squash"),
        ({"maproot_user": "root"}, "no_root_squash"),
        ({"maproot_user": "root", "maproot_group": "wheel"}, "no_root_squash"),
        ({"maproot_user": "root", "maproot_group": "root"}, "no_root_squash"),
        ({"maproot_user": "root", "maproot_group": ""}, "no_root_squash"),
        (
            {"maproot_user": "root", "maproot_group": "daemon"},
            f"root_squash,anonuid=0,anongid={grp.getgrnam('daemon').gr_gid}",
        ),
        ({"maproot_user": "nobody"}, f"root_squash,anonuid={NOBODY.pw_uid},anongid={NOBODY.pw_gid}"),
        ({"mapall_user": "nobody", "mapall_group": "root"}, f"all_squash,anonuid={NOBODY.pw_uid},anongid=0"),
        ({"mapall_user": "root"}, "all_squash,anonuid=0,anongid=0"),
    ],
)
def test_whom_clients_work_as(options: dict[str, str], expected: str) -> None:
    assert ",".join(squash(LocalHost(), {**NOTHING, **options})) == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"networks": []}, "Without networks and hosts, the share of '/tank/vmware' would be exported to everyone"),
        ({"mapall_user": "nobody"}, "maproot and mapall cannot be used together"),
        ({"maproot_user": None, "maproot_group": "wheel"}, "maproot_group requires maproot_user"),
        ({"maproot_user": None, "mapall_group": "nogroup"}, "mapall_group requires mapall_user"),
        ({"maproot_user": "no-one"}, "The user 'no-one' does not exist on this storage host"),
        (
            {"maproot_user": "nobody", "maproot_group": "wheel-of-fortune"},
            "The group 'wheel-of-fortune' does not exist",
        ),
    ],
)
def test_what_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        ask(**options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "path", ["tank/vmware", "", "/", "/tank/vmware/", "/tank//vmware", "/tank/../etc", "/tank/a\nb"]
)
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(InputError, match="is not a valid path for a share; use a path such as /"):
        shares.check_path(path)


def mounts(folder: Path) -> list[Mount]:
    tank = str(folder / "tank")
    return [
        Mount("/dev/sda", "/", "/", "ext4"),
        Mount("tank", "/", tank, "zfs"),
        Mount("tank/vmware", "/", f"{tank}/vmware", "zfs"),
        Mount("tmpfs", "/", f"{tank}/vmware/tmp", "tmpfs"),
        Mount("tank/vmware@a", "/", f"{tank}/vmware/.zfs/snapshot/a", "zfs"),
        Mount("tank/hidden", "/", f"{tank}/vmware/hidden", "zfs", visible=False),
    ]


def test_the_dataset_of_a_path(tmp_path: Path) -> None:
    for name in ("vmware/win", "vmware/tmp", "vmware/hidden", "vmware/.zfs/snapshot/a"):
        (tmp_path / "tank" / name).mkdir(parents=True)
    (tmp_path / "tank" / "link").symlink_to("vmware")

    def lies_on(path: str) -> str:
        return shares.dataset_at(LocalHost(), str(tmp_path / path), mounts(tmp_path)).source

    def refused(path: str) -> str:
        with pytest.raises(InputError) as caught:
            lies_on(path)
        return str(caught.value)

    assert [lies_on(path) for path in ("tank", "tank/vmware", "tank/vmware/win")] == [
        "tank",
        "tank/vmware",
        "tank/vmware",
    ]
    assert lies_on("tank/vmware/hidden") == "tank/vmware", "what lies below another mount is not there"
    assert "is on a tmpfs file system, not on a mounted dataset" in refused("tank/vmware/tmp")
    assert "is on the snapshot tank/vmware@a" in refused("tank/vmware/.zfs/snapshot/a")
    assert "is on a ext4 file system" in refused("")
    assert "does not exist on this storage host" in refused("tank/none")
    assert refused("tank/link/win").endswith(
        f"symbolic link to '{tmp_path}/tank/vmware/win'; use {tmp_path}/tank/vmware/win."
    )


@pytest.mark.parametrize(
    ("other", "contradicts"),
    [
        ("10.1.0.0/16(ro,sync)", True),
        ("*(rw)", True),
        ("*.lab(rw)", True),
        ("10.1.2.3(rw,sync,no_root_squash,insecure)", True),
        ("192.168.0.0/16(ro,sync)", False),
        ("10.1.0.0/16(rw,sync,no_root_squash)", False),
        ("10.0.0.0/8(rw,sync,no_root_squash)", True),  # exportfs refuses the same client twice
    ],
)
def test_what_contradicts_a_share(other: str, contradicts: bool) -> None:
    theirs = parse(f"/tank/vmware {other}", "/etc/exports")
    found = shares.contradiction(ask().entries("ours"), theirs, {})
    assert (found is not None) is contradicts
    if found:
        assert (found[0].place, found[1].place) == ("ours line 3", "/etc/exports line 1")


@pytest.mark.parametrize(
    ("options", "exports", "said"),
    [
        ({}, "/srv/nfs4/x *(ro)", []),
        (
            {"maproot_user": None},
            "",
            ["maps root to the user ID 65534, and ESXi accesses the share as root: set maproot_user to root"],
        ),
        ({"maproot_user": "nobody"}, "", [f"maps root to the user ID {NOBODY.pw_uid}"]),
        ({"maproot_user": None, "mapall_user": "nobody"}, "", [f"maps root to the user ID {NOBODY.pw_uid}"]),
        ({"maproot_user": None, "mapall_user": "root"}, "", []),
        ({"maproot_user": "root", "maproot_group": "daemon"}, "", []),
        ({"security": ["krb5p"]}, "", ["ESXi cannot mount a share that only allows the security krb5p"]),
        ({"security": ["krb5", "krb5p"], "maproot_user": None}, "", []),
        ({}, "/srv/nfs4 *(ro,fsid=0)", ["/srv/nfs4 is exported with fsid=0"]),
        ({}, "/tank *(ro,fsid=root)", []),
    ],
)
def test_what_esxi_cannot_work_with(options: dict[str, Any], exports: str, said: list[str]) -> None:
    found = shares.warnings(ask(**options), parse(exports, "/etc/exports"))
    assert len(found) == len(said) and all(part in text for part, text in zip(said, found))
