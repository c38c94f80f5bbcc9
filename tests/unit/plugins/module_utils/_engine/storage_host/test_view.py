# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the storage host is: addresses, names, mounts, NFS version 4 roots; and that nothing hangs while looking."""

from __future__ import annotations

import os
import socket
import threading
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.host import Ended
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import DependencyError, InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host import view as storage_host
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.mounts import Mount
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.resolver import resolve

HOST = LocalHost()
IP_ADDR = """\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    inet 127.0.0.1/8 scope host lo
       valid_lft forever preferred_lft forever
    inet 10.255.0.7/32 scope global lo
    inet6 ::1/128 scope host
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc pfifo_fast state UP group default qlen 1000
    link/ether 02:fc:00:00:00:01 brd ff:ff:ff:ff:ff:ff
    inet 10.0.2.15/24 brd 10.0.2.255 scope global eth0
    inet6 fe80::fc:ff:fe00:1/64 scope link
3: tun0: <POINTOPOINT,UP> mtu 1500
    inet 10.9.0.1 peer 10.9.0.2/32 scope global tun0
"""
IFCONFIG_BSD = """\
em0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> metric 0 mtu 1500
\tether 02:fc:00:00:00:01
\tinet 10.0.2.15 netmask 0xffffff00 broadcast 10.0.2.255
\tinet6 fe80::fc:ff:fe00:1%em0 prefixlen 64 scopeid 0x1
lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> metric 0 mtu 16384
\tinet6 ::1 prefixlen 128
\tinet 127.0.0.1 netmask 0xff000000
"""
IFCONFIG_OLD = """\
eth0      Link encap:Ethernet  HWaddr 02:fc:00:00:00:01
          inet addr:10.0.2.15  Bcast:10.0.2.255  Mask:255.255.255.0
          inet6 addr: fe80::fc:ff:fe00:1/64 Scope:Link
"""


@pytest.mark.parametrize("text", [IP_ADDR, IFCONFIG_BSD, IFCONFIG_OLD], ids=["ip", "ifconfig-bsd", "ifconfig-old"])
def test_addresses_are_read_from_either_command(text: str) -> None:
    found = storage_host.parse_addresses(text)
    assert {ip_address("10.0.2.15"), ip_address("fe80::fc:ff:fe00:1")} <= found
    assert not any(each.is_loopback for each in found)


def test_every_local_address_counts_but_no_peer_or_broadcast() -> None:
    assert {str(each) for each in storage_host.parse_addresses(IP_ADDR)} == {
        "10.255.0.7",
        "10.0.2.15",
        "fe80::fc:ff:fe00:1",
        "10.9.0.1",
    }


def test_the_addresses_of_this_machine_are_those_that_a_socket_can_bind_to() -> None:
    for found in storage_host.local_addresses(HOST):
        if found.is_link_local:
            continue  # needs the zone
        with socket.socket(socket.AF_INET if found.version == 4 else socket.AF_INET6) as probe:
            probe.bind((str(found), 0))


def test_the_command_is_found_on_a_path_without_the_administrators_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert storage_host.local_addresses(HOST)


def test_no_command_for_the_addresses_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(host: LocalHost, command: list[str], seconds: float) -> Ended:
        raise FileNotFoundError(command[0])

    monkeypatch.setattr(LocalHost, "run", run)
    with pytest.raises(DependencyError, match=r"has neither 'ip' nor 'ifconfig'; install iproute2"):
        storage_host.local_addresses(HOST)


def test_a_failing_command_for_the_addresses_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ip").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "ip").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(DependencyError, match=r"cannot be listed: .*exit status 3.*check why 'ip addr' fails"):
        storage_host.local_addresses(HOST)


ETAB = (
    "/srv/nfs4\t10.0.0.0/8(rw,sync,wdelay,hide,crossmnt,secure,root_squash,fsid=0,anonuid=65534,sec=sys,rw)\n"
    "/srv/nfs4\t192.168.0.0/16(ro,fsid=0)\n"
    "/srv/nfs4/vm\t10.0.0.0/8(rw,fsid=01)\n"
    "/srv/other\\040root/\t*(rw,fsid=0)\n"
    "/tank/vmware\t10.0.0.0/8(rw,sync)\n"
)


def test_the_roots_of_nfs_version_4_are_read_from_the_exports_in_force() -> None:
    assert storage_host.pseudo_roots(ETAB) == ("/srv/nfs4", "/srv/other root")
    assert storage_host.pseudo_roots("") == ()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A resolver with a table that the test fills; any other name is unknown."""
    table: dict[str, list[str]] = {}

    def getaddrinfo(name: str, *_unused: object, **__: object) -> list[tuple[object, ...]]:
        if name not in table:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in table[name]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "gethostname", lambda: "Nas1")
    monkeypatch.setattr(socket, "getfqdn", lambda name: "nas1.example.com")
    return table


def test_a_name_resolves_to_addresses_in_one_form(names: dict[str, list[str]]) -> None:
    names["nas"] = ["10.0.2.15", "::ffff:10.0.2.15", "fe80::1%eth0"]
    assert resolve(HOST, "nas") == {"nas": {ip_address("10.0.2.15"), ip_address("fe80::1")}}
    assert resolve(HOST, "elsewhere") == {"elsewhere": frozenset()}


def test_a_name_brings_its_canonical_one(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = (socket.AF_INET, socket.SOCK_STREAM, 6, "NAS.example.com.", ("10.0.2.15", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_unused, **__: [answer])
    found = frozenset([ip_address("10.0.2.15")])
    assert resolve(HOST, "nas") == {"nas": found, "nas.example.com": found}


@pytest.mark.parametrize("name", ["a..b", "x" * 300, "nul\0nul"])
def test_what_the_resolver_refuses_does_not_resolve(name: str) -> None:
    assert resolve(HOST, name) == {name: frozenset()}


def test_observing_gathers_own_names_aliases_and_what_was_asked(names: dict[str, list[str]], tmp_path: Path) -> None:
    names.update({"vip.example.com": ["203.0.113.9", "127.0.0.1"], "nas9": ["198.51.100.9"]})
    (tmp_path / "link").symlink_to(tmp_path)
    view = storage_host.observe(
        HOST,
        ["VIP.example.com.", "[2001:DB8::0:7]"],
        names=["nas9", "nas8", "10.1.1.1"],
        paths=[f"/{tmp_path}/link/", "/no/such/place", "/null\0byte"],
    )
    assert view.names == {"nas1", "nas1.example.com", "vip.example.com"}
    assert {ip_address("203.0.113.9"), ip_address("2001:db8::7")} <= view.addresses
    assert storage_host.local_addresses(HOST) <= view.addresses
    assert not any(each.is_loopback for each in view.addresses)
    assert view.resolved["nas9"] == {ip_address("198.51.100.9")}
    assert view.resolved["nas8"] == frozenset()
    assert "10.1.1.1" not in view.resolved, "an address is not a name to resolve"
    assert view.real_paths == {f"{tmp_path}/link": str(tmp_path)}
    assert any(mount.mountpoint == "/" for mount in view.mounts)


def test_observing_looks_at_paths_below_the_roots_of_nfs_version_4(
    names: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vm").mkdir()
    monkeypatch.setattr(LocalHost, "read", lambda host, path: f"{tmp_path}\t*(fsid=0)\n" if "etab" in path else "")
    view = storage_host.observe(HOST, paths=["/vm"])
    assert view.pseudo_roots == (str(tmp_path),)
    assert view.real_paths == {f"{tmp_path}/vm": f"{tmp_path}/vm"}


def test_a_dead_name_server_does_not_hang_observing(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(socket, "getfqdn", lambda name: name)

    def getaddrinfo(*_unused: object, **__: object) -> list[object]:
        never.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        began = time.monotonic()
        view = storage_host.observe(HOST, ["vip.example.com"], names=["nas9"], limit=0.2)
        assert time.monotonic() - began < 5
    finally:
        never.set()
    assert "nas9" not in view.resolved
    assert "vip.example.com" in view.names and view.late_aliases == {"vip.example.com"}


def test_an_alias_that_the_resolver_cannot_tell_for_now_is_late_and_one_without_an_address_is_not(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = socket.getaddrinfo

    def getaddrinfo(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "later":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return known(name, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    view = storage_host.observe(HOST, ["later", "nowhere"])
    assert view.late_aliases == {"later"} and view.resolved == {"later": frozenset(), "nowhere": frozenset()}
    assert resolve(HOST, "later") == {}


def test_a_path_that_does_not_answer_in_time_is_told_from_one_that_is_not_there(
    names: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    real_path = os.path.realpath
    monkeypatch.setattr(os.path, "realpath", lambda path: never.wait() if "hangs" in path else real_path(path))
    try:
        view = storage_host.observe(HOST, paths=[str(tmp_path), "/no/such/place", "/it/hangs/"], limit=0.5)
    finally:
        never.set()
    assert view.real_paths == {str(tmp_path): str(tmp_path)} and view.late_paths == {"/it/hangs"}


def test_a_mountpoint_is_not_asked_where_it_is(names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool that is mounted there may be suspended."""
    monkeypatch.setattr(
        storage_host,
        "mount_table",
        lambda host: (
            Mount("tank2/vm", "/", "/vm", "zfs"),
            Mount("tank2/x", "/", "/x", "zfs", visible=False),
        ),
    )
    asked: list[str] = []

    def real_path(path: str) -> str:
        asked.append(path)
        return path

    monkeypatch.setattr(os.path, "realpath", real_path)
    view = storage_host.observe(HOST, paths=["/vm/", "/vm/sub", "/x"])
    assert view.real_paths["/vm"] == "/vm" and sorted(asked) == ["/vm/sub", "/x"]


def test_a_machine_that_has_no_name_yet_is_not_called_localhost(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    monkeypatch.setattr(socket, "getfqdn", lambda name: "localhost.localdomain")
    assert storage_host.observe(HOST).names == frozenset()


@pytest.mark.parametrize("alias", ["", " ", "10.0.2.300", "10.0.2.0/24", "nas:/tank", "a b", "-x", "a\nb", ".."])
def test_an_alias_that_is_no_name_and_no_address_is_refused(alias: str) -> None:
    with pytest.raises(InputError, match="is neither a host name nor an IP address; set each alias to one"):
        storage_host.observe(HOST, [alias])
