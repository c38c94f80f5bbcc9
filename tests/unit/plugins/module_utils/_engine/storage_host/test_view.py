# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the storage host is: addresses, names, mounts, NFS version 4 roots; and that nothing hangs while looking."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import DependencyError, InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host import view as storage_host
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.2.15", "10.0.2.15"),
        (" 10.0.2.15 ", "10.0.2.15"),
        ("::ffff:10.0.2.15", "10.0.2.15"),
        ("::FFFF:0a00:020f", "10.0.2.15"),
        ("[2001:DB8:0:0:0:0:0:1]", "2001:db8::1"),
        ("fe80::1%vmk0", "fe80::1"),
        ("[fe80::1%25vmk0]", "fe80::1"),
        ("[fe80::1]%vmk0", "fe80::1"),
    ],
)
def test_an_address_has_one_form(text: str, expected: str) -> None:
    assert storage_host.address(text) == ip_address(expected)


@pytest.mark.parametrize("text", ["", "nas", "10.0.2", "10.0.2.256", "10.0.2.15:2049", "2001:db8::1::2", "[]"])
def test_what_is_no_address(text: str) -> None:
    assert storage_host.address(text) is None


@given(st.ip_addresses(v=6), st.sampled_from(["", "%eth0", "%25vmk1"]), st.booleans(), st.booleans(), st.booleans())
def test_every_spelling_of_an_ipv6_address_is_the_same(
    found: IPv6Address, zone: str, exploded: bool, upper: bool, brackets: bool
) -> None:
    text = found.exploded if exploded else str(found)
    text = (text.upper() if upper else text) + zone
    expected = found.ipv4_mapped or found
    assert storage_host.address(f"[{text}]" if brackets else text) == expected


@given(st.ip_addresses(v=4))
def test_an_ipv4_mapped_address_is_the_ipv4_address(found: IPv4Address) -> None:
    assert storage_host.address(f"::ffff:{found}") == storage_host.address(str(found)) == found


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
    for found in storage_host.local_addresses():
        if found.is_link_local:
            continue  # needs the zone
        with socket.socket(socket.AF_INET if found.version == 4 else socket.AF_INET6) as probe:
            probe.bind((str(found), 0))


def test_the_command_is_found_on_a_path_without_the_administrators_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert storage_host.local_addresses()


def test_no_command_for_the_addresses_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_unused, **__: None)
    with pytest.raises(DependencyError, match=r"has neither 'ip' nor 'ifconfig'; install iproute2"):
        storage_host.local_addresses()


def test_a_failing_command_for_the_addresses_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ip").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "ip").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(DependencyError, match=r"cannot be listed: .*exit status 3.*check why 'ip addr' fails"):
        storage_host.local_addresses()


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/tank/vm", "/tank/vm"),
        ("/tank/vm/", "/tank/vm"),
        ("//tank///vm//", "/tank/vm"),
        ("/tank/./vm", "/tank/vm"),
        ("tank/vm", "/tank/vm"),
        ("/", "/"),
        ("", "/"),
        ("//", "/"),
        ("/../tank", "/tank"),
    ],
)
def test_a_path_has_one_form(path: str, clean: str) -> None:
    assert storage_host.clean_path(path) == clean


@given(st.text(alphabet="/.ab", max_size=20))
def test_a_clean_path_stays_as_it_is_and_its_ancestors_end_at_the_root(path: str) -> None:
    clean = storage_host.clean_path(path)
    assert storage_host.clean_path(clean) == clean
    steps = list(storage_host.ancestors(clean))
    assert steps[0] == clean
    assert steps[-1] == "/"
    assert len(steps) == len([part for part in clean.split("/") if part]) + 1


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "localhost.localdomain", "ip6-loopback", "x.localhost"])
def test_names_that_mean_whoever_says_them(name: str) -> None:
    assert storage_host.is_localhost(name)


@pytest.mark.parametrize("name", ["localhost.example.com", "mylocalhost", "nas"])
def test_names_that_mean_one_machine(name: str) -> None:
    assert not storage_host.is_localhost(name)


MOUNTINFO = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
40 27 0:40 / /tank rw,noatime shared:2 master:7 - zfs tank rw,xattr,noacl
41 40 0:41 / /tank/vmware rw,noatime shared:3 - zfs tank/vmware rw,xattr,noacl
42 27 0:41 /win\0402022 /export/win\0402022 rw,noatime shared:3 - zfs tank/vmware rw,xattr,noacl
43 27 0:43 / /srv/a rw - zfs tank/hidden rw
44 27 8:1 / /srv rw - xfs /dev/sda1 rw
45 27 0:45 / /data rw - zfs tank/below rw
46 45 0:46 / /data rw - zfs tank/above rw
47 43 0:47 / /srv/a/b rw - zfs tank/hidden/b rw
48 27 0:48 / /mnt rw - tmpfs  rw
"""


def test_mountinfo_is_read_with_its_escapes_and_optional_fields() -> None:
    mounts = {mount.mountpoint: mount for mount in storage_host.parse_mountinfo(MOUNTINFO) if mount.visible}
    assert mounts["/"] == storage_host.Mount("/dev/vda1", "/", "/", "ext4")
    assert mounts["/tank/vmware"] == storage_host.Mount("tank/vmware", "/", "/tank/vmware", "zfs")
    assert mounts["/export/win 2022"] == storage_host.Mount("tank/vmware", "/win 2022", "/export/win 2022", "zfs")
    assert mounts["/mnt"] == storage_host.Mount("", "/", "/mnt", "tmpfs")


def test_a_mount_to_which_no_path_leads_is_not_visible() -> None:
    visible = {mount.source: mount.visible for mount in storage_host.parse_mountinfo(MOUNTINFO)}
    assert not visible["tank/hidden"], "a later mount on the directory above hides it"
    assert not visible["tank/hidden/b"], "and what is mounted below it"
    assert not visible["tank/below"], "mounted over"
    assert visible["tank/above"]
    assert visible["tank/vmware"]


def test_mounts_are_visible_without_a_mounted_root_as_in_a_chroot() -> None:
    (mount,) = storage_host.parse_mountinfo("41 40 0:41 / /tank rw - zfs tank rw\n")
    assert mount.visible


def test_the_mounts_of_this_machine_are_those_that_the_kernel_shows() -> None:
    mounts = storage_host.parse_mountinfo(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    visible = [mount.mountpoint for mount in mounts if mount.visible]
    assert len(visible) == len(set(visible))
    assert "/" in visible
    assert all(os.path.ismount(path) for path in visible if os.path.isdir(path) and os.access(path, os.X_OK))


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


def test_questions_are_answered_side_by_side() -> None:
    gate = threading.Barrier(5, timeout=10)
    assert storage_host.ask_all(lambda number: number + gate.wait() * 0, range(5), 10) == {n: n for n in range(5)}


def test_more_questions_than_threads_are_all_answered() -> None:
    count = storage_host.LOOKUP_THREADS * 3
    assert storage_host.ask_all(str, range(count), 10) == {number: str(number) for number in range(count)}


def test_a_question_that_hangs_delays_nobody_beyond_the_limit() -> None:
    never = threading.Event()
    try:
        began = time.monotonic()
        answers = storage_host.ask_all(lambda name: never.wait() if name == "dead" else "alive", ["dead", "nas"], 0.2)
        assert answers == {"nas": "alive"}
        assert time.monotonic() - began < 5
    finally:
        never.set()


def test_a_question_that_hangs_does_not_keep_the_process_alive() -> None:
    program = (
        "import threading\n"
        f"from {storage_host.__name__} import ask_all\n"
        "print(ask_all(lambda question: threading.Event().wait(), [1], 0.1))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "{}\n"


def test_no_questions_need_no_time() -> None:
    assert storage_host.ask_all(str, [], 60) == {}


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
    assert storage_host.resolve("nas") == {"nas": {ip_address("10.0.2.15"), ip_address("fe80::1")}}
    assert storage_host.resolve("elsewhere") == {"elsewhere": frozenset()}


def test_a_name_brings_its_canonical_one(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = (socket.AF_INET, socket.SOCK_STREAM, 6, "NAS.example.com.", ("10.0.2.15", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_unused, **__: [answer])
    found = frozenset([ip_address("10.0.2.15")])
    assert storage_host.resolve("nas") == {"nas": found, "nas.example.com": found}


@pytest.mark.parametrize("name", ["a..b", "x" * 300, "nul\0nul"])
def test_what_the_resolver_refuses_does_not_resolve(name: str) -> None:
    assert storage_host.resolve(name) == {name: frozenset()}


def test_observing_gathers_own_names_aliases_and_what_was_asked(names: dict[str, list[str]], tmp_path: Path) -> None:
    names.update({"vip.example.com": ["203.0.113.9", "127.0.0.1"], "nas9": ["198.51.100.9"]})
    (tmp_path / "link").symlink_to(tmp_path)
    view = storage_host.observe(
        ["VIP.example.com.", "[2001:DB8::0:7]"],
        names=["nas9", "nas8", "10.1.1.1"],
        paths=[f"/{tmp_path}/link/", "/no/such/place", "/null\0byte"],
    )
    assert view.names == {"nas1", "nas1.example.com", "vip.example.com"}
    assert {ip_address("203.0.113.9"), ip_address("2001:db8::7")} <= view.addresses
    assert storage_host.local_addresses() <= view.addresses
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
    monkeypatch.setattr(storage_host, "_read", lambda path: f"{tmp_path}\t*(fsid=0)\n" if "etab" in path else "")
    view = storage_host.observe(paths=["/vm"])
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
        view = storage_host.observe(["vip.example.com"], names=["nas9"], limit=0.2)
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
    view = storage_host.observe(["later", "nowhere"])
    assert view.late_aliases == {"later"} and view.resolved == {"later": frozenset(), "nowhere": frozenset()}
    assert storage_host.resolve("later") == {}


def test_a_path_that_does_not_answer_in_time_is_told_from_one_that_is_not_there(
    names: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    real_path = os.path.realpath
    monkeypatch.setattr(os.path, "realpath", lambda path: never.wait() if "hangs" in path else real_path(path))
    try:
        view = storage_host.observe(paths=[str(tmp_path), "/no/such/place", "/it/hangs/"], limit=0.5)
    finally:
        never.set()
    assert view.real_paths == {str(tmp_path): str(tmp_path)} and view.late_paths == {"/it/hangs"}


def test_a_mountpoint_is_not_asked_where_it_is(names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool that is mounted there may be suspended."""
    monkeypatch.setattr(
        storage_host,
        "mount_table",
        lambda: (
            storage_host.Mount("tank2/vm", "/", "/vm", "zfs"),
            storage_host.Mount("tank2/x", "/", "/x", "zfs", visible=False),
        ),
    )
    asked: list[str] = []
    monkeypatch.setattr(os.path, "realpath", lambda path: asked.append(path) or path)
    view = storage_host.observe(paths=["/vm/", "/vm/sub", "/x"])
    assert view.real_paths["/vm"] == "/vm" and sorted(asked) == ["/vm/sub", "/x"]


def test_a_machine_that_has_no_name_yet_is_not_called_localhost(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    monkeypatch.setattr(socket, "getfqdn", lambda name: "localhost.localdomain")
    assert storage_host.observe().names == frozenset()


@pytest.mark.parametrize("alias", ["", " ", "10.0.2.300", "10.0.2.0/24", "nas:/tank", "a b", "-x", "a\nb", ".."])
def test_an_alias_that_is_no_name_and_no_address_is_refused(alias: str) -> None:
    with pytest.raises(InputError, match="is neither a host name nor an IP address; set each alias to one"):
        storage_host.observe([alias])
