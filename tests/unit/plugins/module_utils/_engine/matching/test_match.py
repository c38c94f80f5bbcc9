# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Matching of datastores and datasets: all forms in which a mount can name this storage host and a path on it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any, Iterable, Mapping

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.addresses import Address
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.matching import match as matching
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.matching.match import Match
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.paths import ancestors, clean_path
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.mounts import (
    Mount,
    parse_mountinfo,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.view import StorageHostView
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import Datastore
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st


def addresses(*texts: str) -> frozenset[Address]:
    return frozenset(ip_address(text) for text in texts)


def datastore(*hosts: str, path: str = "/tank/vmware", type: str = "NFS", moid: str = "datastore-1") -> Datastore:
    return Datastore(moid, "ds1", "DC0", type, hosts or ("10.0.2.15",), path, True, "vcenter.lab")


def dataset(name: str, mountpoint: str | None = "", mounted: bool = True, kind: str = "filesystem") -> Dataset:
    return Dataset(name, kind, (mountpoint if mountpoint != "" else f"/{name}") if mounted else None, mounted)


TANK = [dataset("tank"), dataset("tank/vmware"), dataset("tank/vmware/nested"), dataset("tank/other")]

# The mounts of a storage host with that pool: its own mounts, a bind mount of a directory, a bind mount of a dataset
# with the mounts below it, another file system in a dataset, a mounted snapshot, and a legacy mount.
MOUNTINFO = """\
20 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 20 0:30 / /tank rw,noatime shared:2 - zfs tank rw,xattr,noacl
31 30 0:31 / /tank/vmware rw,noatime shared:3 - zfs tank/vmware rw,xattr,noacl
32 31 0:32 / /tank/vmware/nested rw,noatime shared:4 - zfs tank/vmware/nested rw,xattr,noacl
33 30 0:33 / /tank/other rw,noatime shared:5 - zfs tank/other rw,xattr,noacl
40 20 0:31 /linux /export/linux rw,noatime shared:3 - zfs tank/vmware rw,xattr,noacl
41 20 0:31 / /srv/nfs4/vm rw,noatime shared:3 - zfs tank/vmware rw,xattr,noacl
42 41 0:32 / /srv/nfs4/vm/nested rw,noatime shared:4 - zfs tank/vmware/nested rw,xattr,noacl
43 30 8:1 / /tank/usb rw,relatime shared:6 - xfs /dev/sda1 rw
44 31 0:44 / /tank/vmware/.zfs/snapshot/daily ro,relatime shared:7 - zfs tank/vmware@daily ro,xattr,noacl
45 20 0:45 / /srv/legacy rw,noatime shared:8 - zfs tank/legacy rw,xattr,noacl
"""
EXISTING = (
    "/",
    "/tank",
    "/tank/vmware",
    "/tank/vmware/win",
    "/tank/vmware/nested",
    "/tank/vmware/.zfs/snapshot/daily",
    "/tank/other",
    "/tank/usb/vm",
    "/export/linux",
    "/export/linux/a",
    "/srv/nfs4/vm",
    "/srv/nfs4/vm/win",
    "/srv/legacy",
    "/home",
)
LINKS = {"/vm": "/tank/vmware", "/win": "/tank/vmware/win", "/exports/vm": "/srv/nfs4/vm"}


def view(**changes: Any) -> StorageHostView:
    seen = StorageHostView(
        addresses=addresses("10.0.2.15", "192.0.2.7", "2001:db8::7", "fe80::fc:ff:fe00:1"),
        names=frozenset({"nas", "nas.example.com"}),
        mounts=parse_mountinfo(MOUNTINFO),
        real_paths={**{path: path for path in EXISTING}, **LINKS},
    )
    return replace(seen, **changes)


def verdict(
    subject: Datastore,
    datasets: Iterable[Dataset] = (*TANK, dataset("tank/legacy", None)),
    seen: StorageHostView | None = None,
) -> Match:
    (match,) = matching.match([subject], datasets, seen or view())
    return match


# --- the server


@pytest.mark.parametrize(
    "server",
    [
        "10.0.2.15",
        "192.0.2.7",
        "::ffff:10.0.2.15",
        "2001:db8::7",
        "2001:0DB8:0:0:0:0:0:7",
        "[2001:db8::7]",
        "fe80::fc:ff:fe00:1%vmk0",
        "nas",
        "NAS.Example.COM.",
    ],
)
def test_every_way_to_write_this_storage_host_matches(server: str) -> None:
    assert verdict(datastore(server)).datasets == ("tank/vmware", "tank/vmware/nested")


def test_a_host_name_matches_by_the_address_that_it_resolves_to() -> None:
    seen = view(resolved={"storage-a": addresses("198.51.100.1", "192.0.2.7")})
    assert verdict(datastore("Storage-A"), seen=seen).datasets[:1] == ("tank/vmware",)


def test_a_name_that_this_machine_resolves_to_its_own_loopback_is_its_own() -> None:
    assert verdict(datastore("storage-a"), seen=view(resolved={"storage-a": addresses("127.0.1.1")})).datasets


def test_an_alias_matches_whether_name_or_address() -> None:
    seen = view(addresses=addresses("203.0.113.5", "127.0.0.9"), names=frozenset({"nat.example.com"}))
    assert verdict(datastore("203.0.113.5"), seen=seen).datasets
    assert verdict(datastore("nat.example.com"), seen=seen).datasets
    assert verdict(datastore("127.0.0.9"), seen=seen).datasets, "given in so many words, loopback is meant"


RESOLVED = {"nas9": addresses("10.1.1.9", "10.1.1.10"), "gone": frozenset[Address]()}


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (
            "10.1.1.1",
            "the server 10.1.1.1 is not an address of this storage host: "
            "add it to aliases if it is one (NAT, virtual address)",
        ),
        ("127.0.0.1", "the server 127.0.0.1 is the ESXi host itself, not this storage host"),
        ("::1", "the server ::1 is the ESXi host itself, not this storage host"),
        ("localhost", "the server localhost is the ESXi host itself, not this storage host"),
        (
            "nas9",
            "the server nas9 resolves to 10.1.1.10, 10.1.1.9, not to an address of this storage host: "
            "add nas9 to aliases if it is a name of this storage host",
        ),
        (
            "gone",
            "the server gone does not resolve on this storage host: "
            "add gone to aliases if it is a name of this storage host",
        ),
        (
            "slow",
            "the server slow was not resolved in time: check the name servers of this storage host, "
            "or add slow to aliases if it is a name of this storage host",
        ),
    ],
)
def test_a_server_that_is_not_this_storage_host_is_named_with_advice(server: str, reason: str) -> None:
    match = verdict(datastore(server), seen=view(resolved=RESOLVED))
    assert (match.datasets, match.relation, match.reason) == ((), "", reason)


def test_a_longer_name_or_address_is_another_server() -> None:
    seen = view(resolved={"nas2": frozenset(), "nas.example.org": frozenset()})
    for server in ("nas2", "nas.example.org", "10.0.2.150", "10.0.2.1"):
        assert not verdict(datastore(server), seen=seen).datasets


def test_hostile_server_names_stay_on_one_line() -> None:
    reason = verdict(datastore("nas\n\x1b[31mok"), seen=view(resolved={"nas\n\x1b[31mok": frozenset()})).reason
    assert reason.isprintable()


def test_one_of_several_servers_is_enough_and_the_others_are_reported() -> None:
    match = verdict(datastore("10.1.1.1", "nas", "192.0.2.7", type="NFS41"))
    assert match.datasets[:1] == ("tank/vmware",)
    assert match.warnings == (
        "it has several servers, and the server 10.1.1.1 is not an address of this storage host: "
        "add it to aliases if it is one (NAT, virtual address)",
    )


def test_several_servers_that_are_all_ours_need_no_warning() -> None:
    assert verdict(datastore("10.0.2.15", "192.0.2.7", type="NFS41")).warnings == ()


def test_several_foreign_servers_are_all_named() -> None:
    reason = verdict(datastore("10.1.1.1", "10.1.1.2", type="NFS41")).reason
    assert "10.1.1.1" in reason
    assert "10.1.1.2" in reason


@pytest.mark.parametrize(("type", "shown"), [("VMFS", "VMFS"), ("vsan", "vsan"), ("CIFS", "CIFS"), ("", "unknown")])
def test_only_nfs_datastores_match(type: str, shown: str) -> None:
    assert verdict(datastore(type=type)).reason == f"it is not an NFS datastore; its type is {shown}"


def test_a_mount_of_which_vsphere_says_nothing() -> None:
    bare = replace(datastore(), remote_hosts=())
    assert verdict(bare).reason == "vSphere does not show which server and path it mounts"
    assert verdict(datastore(path="")).reason == "vSphere does not show which server and path it mounts"


# --- the path


@pytest.mark.parametrize(
    ("path", "relation", "within", "datasets", "reason"),
    [
        (
            "/tank/vmware",
            "root",
            "",
            ("tank/vmware", "tank/vmware/nested"),
            "/tank/vmware is the mountpoint of tank/vmware",
        ),
        (
            "//tank/vmware//",
            "root",
            "",
            ("tank/vmware", "tank/vmware/nested"),
            "/tank/vmware is the mountpoint of tank/vmware",
        ),
        (
            "/tank/vmware/nested/",
            "root",
            "",
            ("tank/vmware/nested",),
            "/tank/vmware/nested is the mountpoint of tank/vmware/nested",
        ),
        (
            "/tank",
            "root",
            "",
            ("tank", "tank/other", "tank/vmware", "tank/vmware/nested"),
            "/tank is the mountpoint of tank",
        ),
        (
            "/tank/vmware/win/",
            "subdirectory",
            "win",
            ("tank/vmware",),
            "/tank/vmware/win is the directory win of tank/vmware",
        ),
        (
            "/export/linux",
            "bind",
            "linux",
            ("tank/vmware",),
            "/export/linux is on a bind mount of the directory linux of tank/vmware",
        ),
        (
            "/export/linux/a",
            "bind",
            "linux/a",
            ("tank/vmware",),
            "/export/linux/a is on a bind mount of the directory linux/a of tank/vmware",
        ),
        (
            "/srv/nfs4/vm",
            "bind",
            "",
            ("tank/vmware", "tank/vmware/nested"),
            "/srv/nfs4/vm is on a bind mount of tank/vmware",
        ),
        (
            "/vm",
            "symlink",
            "",
            ("tank/vmware", "tank/vmware/nested"),
            "/vm leads through a symbolic link to /tank/vmware on tank/vmware",
        ),
        (
            "/win",
            "symlink",
            "win",
            ("tank/vmware",),
            "/win leads through a symbolic link to /tank/vmware/win on the directory win of tank/vmware",
        ),
        (
            "/exports/vm",
            "symlink",
            "",
            ("tank/vmware", "tank/vmware/nested"),
            "/exports/vm leads through a symbolic link to /srv/nfs4/vm on tank/vmware",
        ),
        ("/srv/legacy", "root", "", ("tank/legacy",), "/srv/legacy is the mountpoint of tank/legacy"),
    ],
)
def test_where_a_path_leads(path: str, relation: str, within: str, datasets: tuple[str, ...], reason: str) -> None:
    match = verdict(datastore(path=path))
    assert (match.relation, match.path, match.datasets, match.reason) == (relation, within, datasets, reason)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/foo", "no mounted dataset contains /foo: the directory does not exist on this storage host"),
        ("/home", "no mounted dataset contains /home: it is on the ext4 file system mounted at /"),
        ("/", "no mounted dataset contains /: it is on the ext4 file system mounted at /"),
        (
            "/tank/usb/vm",
            "no mounted dataset contains /tank/usb/vm: it is on the xfs file system mounted at /tank/usb",
        ),
        (
            "/tank/vmware/.zfs/snapshot/daily",
            "no mounted dataset contains /tank/vmware/.zfs/snapshot/daily: "
            "it is in the ZFS snapshot tank/vmware@daily, which cannot change",
        ),
        (
            "/tank/vmware-zfs-restores/r1/0",
            "/tank/vmware-zfs-restores/r1/0 is a clone that belongs to a restore, so runs leave it out",
        ),
    ],
)
def test_why_a_path_leads_to_no_dataset(path: str, reason: str) -> None:
    match = verdict(datastore(path=path))
    assert (match.datasets, match.reason) == ((), reason)


def test_another_file_system_whose_source_is_called_like_a_dataset_is_no_dataset() -> None:
    shared = (Mount("tank", "/", "/tank", "virtiofs"), Mount("tank/vmware", "/", "/tank/vmware", "tmpfs"))
    match = verdict(datastore(path="/tank/vmware"), [dataset("tank", None)], view(mounts=shared))
    assert (
        match.reason
        == "no mounted dataset contains /tank/vmware: it is on the tmpfs file system mounted at /tank/vmware"
    )
    assert verdict(datastore(path="/tank"), [dataset("tank", None)], view(mounts=shared)).datasets == ()


def test_a_prefix_ends_at_a_slash() -> None:
    datasets = [dataset("tank", None), dataset("tank/vm1"), dataset("tank/vm10"), dataset("tank/vm1/a")]
    seen = view(mounts=(), real_paths={})
    assert verdict(datastore(path="/tank/vm10"), datasets, seen).datasets == ("tank/vm10",)
    assert verdict(datastore(path="/tank/vm1"), datasets, seen).datasets == ("tank/vm1", "tank/vm1/a")
    assert verdict(datastore(path="/tank/vm100"), datasets, seen).datasets == ()


def test_a_dataset_that_was_not_looked_at_is_named() -> None:
    match = verdict(datastore(path="/tank/other"), [dataset("tank/vmware")])
    assert match.reason == (
        "no mounted dataset contains /tank/other: it is on tank/other, which is not one of the given datasets"
    )


def test_zfs_alone_is_believed_where_the_mount_table_does_not_know_the_pool() -> None:
    elsewhere = (Mount("/dev/vda1", "/", "/", "ext4"),)
    seen = view(mounts=elsewhere, real_paths={"/": "/"})
    assert verdict(datastore(path="/tank/vmware/win"), TANK, seen).relation == "subdirectory"
    assert verdict(datastore(), TANK, seen).datasets == ("tank/vmware", "tank/vmware/nested")


def test_the_mount_table_knows_better_than_the_mountpoint_property() -> None:
    hidden = MOUNTINFO + "50 20 8:2 / /tank rw - xfs /dev/sdb1 rw\n"
    match = verdict(datastore(), TANK, view(mounts=parse_mountinfo(hidden)))
    assert match.reason == "no mounted dataset contains /tank/vmware: it is on the xfs file system mounted at /tank"


def test_a_dataset_mounted_away_from_its_mountpoint_is_found_where_it_is() -> None:
    moved = "20 1 254:1 / / rw - ext4 /dev/vda1 rw\n30 20 0:30 / /mnt/x rw - zfs tank/x rw\n"
    seen = view(mounts=parse_mountinfo(moved), real_paths={"/mnt/x": "/mnt/x", "/tank/x": "/tank/x"})
    assert verdict(datastore(path="/mnt/x"), [dataset("tank/x")], seen).relation == "root"
    assert verdict(datastore(path="/tank/x"), [dataset("tank/x")], seen).datasets == ()


def test_an_unmounted_dataset_leaves_its_files_on_the_parent() -> None:
    datasets = [dataset("tank"), dataset("tank/vmware", mounted=False)]
    mounts = (Mount("/dev/vda1", "/", "/", "ext4"), Mount("tank", "/", "/tank", "zfs"))
    match = verdict(datastore(path="/tank/vmware/win"), datasets, view(mounts=mounts))
    assert (match.datasets, match.relation, match.path) == (("tank",), "subdirectory", "vmware/win")
    assert match.warnings == (
        "the dataset tank/vmware is not mounted, so the files are on tank: "
        "if this is not intended, mount it with 'zfs mount tank/vmware'",
    )


def test_an_unmounted_pool_is_named() -> None:
    datasets = [dataset("tank", mounted=False), dataset("tank/vmware", mounted=False)]
    match = verdict(datastore(path="/tank/vmware"), datasets, view(mounts=(Mount("/dev/vda1", "/", "/", "ext4"),)))
    assert match.reason == (
        "no mounted dataset contains /tank/vmware: "
        "the dataset tank/vmware is not mounted, mount it with 'zfs mount tank/vmware'"
    )


def test_what_is_above_the_dataset_need_not_be_mounted() -> None:
    datasets = [dataset("tank", mounted=False), dataset("tank/vmware")]
    mounts = (Mount("tank/vmware", "/", "/tank/vmware", "zfs"),)
    assert verdict(datastore(path="/tank/vmware/win"), datasets, view(mounts=mounts)).warnings == ()


def test_a_volume_of_the_right_name_is_no_unmounted_dataset() -> None:
    datasets = [dataset("tank"), dataset("tank/vmware", mounted=False, kind="volume")]
    mounts = (Mount("tank", "/", "/tank", "zfs"),)
    assert verdict(datastore(), datasets, view(mounts=mounts)).warnings == ()


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_datasets_with_one_mountpoint_the_mounted_one_counts(reverse: bool) -> None:
    datasets = [dataset("tank/new", "/tank/vmware"), dataset("tank/vmware", mounted=False)]
    seen = view(mounts=(), real_paths={})
    match = verdict(datastore(), datasets[::-1] if reverse else datasets, seen)
    assert match.datasets == ("tank/new",)


def test_of_two_mounted_on_each_other_the_upper_one_counts() -> None:
    stacked = MOUNTINFO + "51 33 0:51 / /tank/other rw - zfs tank/upper rw\n"
    datasets = [*TANK, dataset("tank/upper", "/tank/other")]
    seen = view(mounts=parse_mountinfo(stacked))
    assert verdict(datastore(path="/tank/other"), datasets, seen).datasets == ("tank/upper",)


def test_on_a_root_pool_what_does_not_exist_is_on_no_dataset() -> None:
    root = "20 1 0:20 / / rw - zfs rpool/ROOT rw\n"
    seen = view(mounts=parse_mountinfo(root), real_paths={"/srv/vm": "/srv/vm"})
    datasets = [dataset("rpool/ROOT", "/")]
    assert verdict(datastore(path="/srv/vm"), datasets, seen).path == "srv/vm"
    assert verdict(datastore(path="/foo"), datasets, seen).reason == (
        "no mounted dataset contains /foo: the directory does not exist on this storage host"
    )


# --- NFS version 4


def test_a_version_4_path_begins_at_the_root_of_the_exports() -> None:
    seen = view(pseudo_roots=("/srv/nfs4",))
    match = verdict(datastore(path="/vm/win", type="NFS41"), seen=seen)
    assert (match.datasets, match.relation, match.path) == (("tank/vmware",), "bind", "win")
    assert match.reason == "/srv/nfs4/vm/win is on a bind mount of the directory win of tank/vmware"


def test_a_version_3_path_does_not() -> None:
    seen = view(pseudo_roots=("/srv/nfs4",))
    assert verdict(datastore(path="/vm/win"), seen=seen).datasets == ()


def test_a_version_4_path_is_also_taken_literally() -> None:
    seen = view(pseudo_roots=("/srv/nfs4",))
    assert verdict(datastore(path="/tank/vmware", type="NFS41"), seen=seen).relation == "root"
    assert "/srv/nfs4/foo" in verdict(datastore(path="/foo", type="NFS41"), seen=seen).reason


def test_the_reading_that_exists_wins() -> None:
    """Otherwise a root pool, or an export root that is a dataset, would match every literal path."""
    seen = view(pseudo_roots=("/tank",), real_paths={"/tank/vmware": "/tank/vmware"})
    match = verdict(datastore(path="/tank/vmware", type="NFS41"), seen=seen)
    assert (match.datasets[0], match.relation) == ("tank/vmware", "root")
    match = verdict(datastore(path="/vmware", type="NFS41"), seen=seen)
    assert (match.datasets[0], match.relation) == ("tank/vmware", "root")


# --- many


def test_equal_names_in_two_datacenters_are_two_datastores() -> None:
    first = datastore(moid="datastore-1")
    second = replace(datastore(path="/tank/other", moid="datastore-2"), datacenter="DC1")
    matches = matching.match([first, second], TANK, view())
    assert [(match.datastore.moid, match.datasets[0]) for match in matches] == [
        ("datastore-1", "tank/vmware"),
        ("datastore-2", "tank/other"),
    ]
    found = matching.by_dataset(matches)
    assert {name: [match.datastore.moid for match in carried] for name, carried in found.items()} == {
        "tank/other": ["datastore-2"],
        "tank/vmware": ["datastore-1"],
        "tank/vmware/nested": ["datastore-1"],
    }


def test_every_datastore_gets_its_verdict_in_order() -> None:
    subjects = [datastore(moid=f"datastore-{n}", path=f"/{n}") for n in range(5)]
    assert [match.datastore for match in matching.match(subjects, TANK, view())] == subjects
    assert matching.by_dataset(matching.match(subjects, TANK, view())) == {}


def test_matching_here_asks_only_for_what_nfs_datastores_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def observe(host: object, aliases: object, names: object, paths: object) -> StorageHostView:
        asked.extend((host, aliases, names, paths))
        return view()

    monkeypatch.setattr(matching, "observe", observe)
    subjects = [datastore("nas"), datastore("esx", path="/vmfs", type="VMFS")]
    host = LocalHost()
    matches = matching.match_on(host, subjects, TANK, ["alias"])
    assert asked == [host, ["alias"], {"nas"}, {"/tank/vmware"}]
    assert [match.relation for match in matches] == ["root", ""]


# --- the files of a VM


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("[ds1] win/win.vmdk", ("tank/vmware",)),
        ("win/win.vmdk", ("tank/vmware",)),
        ("[ds1] nested/win.vmdk", ("tank/vmware", "tank/vmware/nested")),
        ("nested/win/win.vmdk", ("tank/vmware", "tank/vmware/nested")),
        ("nested//win.vmdk", ("tank/vmware", "tank/vmware/nested")),
        ("[ds1] nested2/win.vmdk", ("tank/vmware",)),
        ("[ds1] win/nested/win.vmdk", ("tank/vmware",)),
        ("/vmfs/volumes/1b2c/win/win.vmdk", ("tank/vmware", "tank/vmware/nested")),
        ("ds:///vmfs/volumes/1b2c/win/win.vmdk", ("tank/vmware", "tank/vmware/nested")),
    ],
)
def test_the_datasets_on_which_a_disk_may_lie(file: str, expected: tuple[str, ...]) -> None:
    assert matching.disk_datasets(verdict(datastore()), file) == expected


def test_the_disks_of_an_unmatched_datastore_lie_on_no_dataset() -> None:
    assert matching.disk_datasets(verdict(datastore(path="/foo")), "[ds1] win/win.vmdk") == ()


# --- unresolved servers and paths


@pytest.mark.parametrize(
    ("path", "possible_datasets"),
    [
        ("/tank/vmware", ("tank/vmware", "tank/vmware/nested")),
        ("/tank", ("tank", "tank/other", "tank/vmware", "tank/vmware/nested")),
        ("/win", ("tank/vmware",)),  # a symbolic link
        ("/export/linux", ("tank/vmware",)),
        ("/home", ()),
        ("/volume1/esx", ()),
        ("/tank/vmware/.zfs/snapshot/daily", ()),
        ("/tank/backup", ()),  # below a dataset but missing: another host has a pool with the same name
    ],
)
@pytest.mark.parametrize("server", ["slow", "gone"])
def test_a_server_that_may_be_this_host_leaves_a_doubt_where_its_path_is_here(
    server: str, path: str, possible_datasets: tuple[str, ...]
) -> None:
    """A name that was not resolved in time, or that only the ESXi hosts can resolve, may be this storage host."""
    match = verdict(datastore("10.1.1.1", server, path=path, type="NFS41"), seen=view(resolved=RESOLVED))
    assert (match.datasets, match.possible_datasets) == ((), possible_datasets)
    assert bool(match.unresolved) == bool(possible_datasets)
    assert not match.unresolved or match.unresolved.startswith(f"the server {server} ")


def test_a_server_that_is_another_for_certain_leaves_none() -> None:
    for server in ("10.1.1.1", "nas9", "localhost", "127.0.0.1"):
        match = verdict(datastore(server), seen=view(resolved=RESOLVED, late_paths=frozenset({"/tank/vmware"})))
        assert (match.datasets, match.unresolved, match.possible_datasets) == ((), "", ())


def test_an_alias_that_was_not_resolved_may_have_been_any_address() -> None:
    seen = view(resolved=RESOLVED, late_aliases=frozenset({"vip"}))
    for server in ("10.1.1.1", "nas9"):
        match = verdict(datastore(server), seen=seen)
        assert match.possible_datasets == ("tank/vmware", "tank/vmware/nested")
        assert match.unresolved == (
            "the alias vip was not resolved in time: check the name servers of this storage host, "
            "or add its address to aliases as well"
        )
    assert not verdict(datastore("localhost"), seen=seen).unresolved
    assert not verdict(datastore(path="/home"), seen=seen).unresolved


LATE = (
    "the location of /tank/vmware could not be determined in time: "
    "check which file system of this storage host does not respond there"
)


def test_a_path_that_did_not_answer_in_time_may_lead_anywhere() -> None:
    seen = view(real_paths={}, late_paths=frozenset({"/tank/vmware", "/mnt/vm"}), resolved=RESOLVED)
    match = verdict(datastore(), seen=seen)
    assert (match.datasets[0], match.unresolved, match.possible_datasets, match.warnings) == (
        "tank/vmware",
        LATE,
        (),
        (LATE,),
    )
    match = verdict(datastore(path="/mnt/vm"), seen=seen)
    assert (match.datasets, match.possible_datasets) == ((), ())
    assert match.unresolved in match.reason and match.unresolved != match.reason
    assert "no such directory" not in match.reason
    match = verdict(datastore("slow", path="/mnt/vm"), seen=seen)
    assert match.possible_datasets == () and match.unresolved.startswith("the server slow was not resolved in time")


def test_of_the_two_readings_of_a_version_4_path_none_may_be_missing() -> None:
    seen = view(pseudo_roots=("/srv/nfs4",), late_paths=frozenset({"/srv/nfs4/tank/vmware"}))
    match = verdict(datastore(path="/tank/vmware", type="NFS41"), seen=seen)
    assert match.datasets[0] == "tank/vmware" and "/srv/nfs4/tank/vmware" in match.unresolved
    seen = view(pseudo_roots=("/srv/nfs4",), resolved=RESOLVED)
    assert verdict(datastore("gone", path="/vm", type="NFS41"), seen=seen).possible_datasets[0] == "tank/vmware"


def test_where_zfs_speaks_for_another_machine_what_is_not_here_says_nothing() -> None:
    elsewhere = (Mount("/dev/vda1", "/", "/", "ext4"),)
    seen = view(mounts=elsewhere, real_paths={"/": "/"}, resolved=RESOLVED)
    assert verdict(datastore("gone"), TANK, seen).possible_datasets == ("tank/vmware", "tank/vmware/nested")
    assert not verdict(datastore("gone", path="/foo"), TANK, seen).unresolved


def test_results_are_of_the_same_shape_with_a_doubt() -> None:
    sure, unsure = verdict(datastore()), verdict(datastore("gone"), seen=view(resolved=RESOLVED))
    assert unsure.unresolved and unsure.as_dict().keys() == sure.as_dict().keys()


# --- any tree of datasets

PARTS = st.lists(st.sampled_from(["a", "a1", "a10", "b", "."]), min_size=1, max_size=4)


@given(
    st.sets(PARTS.map("/".join).map(lambda path: clean_path(path).strip("/")), max_size=8),
    PARTS,
    st.sampled_from(["", "/", "//"]),
)
def test_the_longest_mountpoint_on_the_way_wins(names: set[str], parts: list[str], end: str) -> None:
    names = {name for name in names if name}
    path = "/" + "//".join(parts) + end
    match = verdict(datastore(path=path), [dataset(name) for name in sorted(names)], view(mounts=(), real_paths={}))
    clean = clean_path(path)
    expected = next((step.strip("/") for step in ancestors(clean) if step.strip("/") in names), None)
    below = sorted(name for name in names if f"/{name}".startswith(clean.rstrip("/") + "/"))
    if expected is None:
        assert match.datasets == ()
    else:
        assert match.datasets == (expected, *below)
        assert clean_path(f"/{expected}/{match.path}") == clean
        assert match.relation == ("subdirectory" if match.path else "root")


@given(
    st.dictionaries(st.text(max_size=8), st.frozensets(st.ip_addresses(), max_size=2), max_size=3),
    st.text(max_size=8),
    st.text(max_size=8),
)
def test_whatever_vsphere_says_there_is_one_printable_sentence(
    resolved: Mapping[str, frozenset[Address]], server: str, path: str
) -> None:
    match = verdict(datastore(server, path=path), seen=view(resolved=resolved))
    assert match.reason
    assert all(text.isprintable() for text in (match.reason, match.unresolved, *match.warnings))
