# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vmware_nfs_share and vmware_nfs_share_info through main(), with an exportfs that can be made to refuse."""

from __future__ import annotations

import json
import os
import socket
import sys
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Callable, Sequence

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.host import Ended
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports import server
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.exportfs import exportfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.share import Share, file_name
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.mounts import Mount
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_nfs_share, vmware_nfs_share_info
from ansible_collections.quiesce.vmware_zfs.tests.unit.module_arguments import patch_module_args

# Keeps the table in force as the real one does: `-i -o OPTIONS CLIENT:PATH...` has lines, `-u CLIENT:PATH...` takes
# them away; a host stands in it by its canonical name, which the file `canonical` has. Complains of krb5p, and goes on.
EXPORTFS = f"""#!{sys.executable}
import json, pathlib, re, sys
root = pathlib.Path(__file__).resolve().parent.parent
with open(root / "calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
names = json.loads((root / "canonical").read_text())
etab = root / "etab"
lines = dict(line.split("(", 1) for line in etab.read_text().splitlines())
words = sys.argv[1:]
assert words[0] in ("-u", "-i"), words
options = words[2] if words[:2] == ["-i", "-o"] else ""
for word in words[3 if options else 1:]:
    address, length, client, path = re.fullmatch(r"(?:\\[(.*?)\\](/\\d+)?|([^:]*)):(/.*)", word).groups()
    client = client or address + (length or "")
    key = path + "\\t" + names.get(client, client)
    if options:
        lines[key] = options + ")"
    elif lines.pop(key, None) is None:
        sys.exit("exportfs: Could not find '" + word + "' to unexport.")
etab.write_text("".join(key + "(" + value + "\\n" for key, value in lines.items()))
if "krb5p" in options:
    sys.exit('exportfs: unknown keyword "bad"')
"""
ZFS = '#!/bin/sh\ncat "$(dirname "$0")/sharenfs"\n'


class Host:
    """A storage host below a folder, whose dataset tank/vmware is mounted at `path`."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.path = str(folder / "tank")
        self.asked = {"path": self.path, "networks": ["10.0.0.0/8"], "maproot_user": "root"}
        self.files = folder / "etc" / "exports.d"
        for name in ("etc", "bin", "tank"):
            (folder / name).mkdir()
        (folder / "etab").write_text("")
        (folder / "canonical").write_text("{}")
        for name, text in (("exportfs", EXPORTFS), ("zfs", ZFS)):
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        self.sharenfs("off")

    def sharenfs(self, value: str) -> None:
        (self.folder / "bin" / "sharenfs").write_text(f"{value}\n")

    def run(self, module: Any = vmware_nfs_share, check: bool = False, **options: Any) -> dict[str, Any]:
        with patch_module_args({**options, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        assert "exception" not in result, result
        return result

    def share(self, check: bool = False, **options: Any) -> dict[str, Any]:
        return self.run(check=check, **{**self.asked, **options})

    def refused(self, **options: Any) -> str:
        """What a refusal says; check mode says the same unless exportfs is needed to know."""
        result = self.share(**options)
        assert result["failed"] and "\n" not in result["msg"]
        return str(result["msg"])

    def write(self, name: str, text: str) -> None:
        file = self.folder / "etc" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    @property
    def calls(self) -> int:
        calls = self.folder / "calls"
        return calls.read_text().count("\n") if calls.exists() else 0

    @property
    def clients(self) -> list[str]:
        """The clients that the path is exported to now."""
        lines = (self.folder / "etab").read_text().splitlines()
        return [line.split("\t")[1].partition("(")[0] for line in lines if line.startswith(f"{self.path}\t")]

    def export(self, line: str) -> None:
        """Export something without a file, as a cluster's resource does."""
        with (self.folder / "etab").open("a") as table:
            table.write(f"{line}\n")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    host = Host(tmp_path, capsys)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(server, "mount_table", lambda _unused: (Mount("tank/vmware", "/", host.path, "zfs"),))
    for module in (vmware_nfs_share, vmware_nfs_share_info):
        monkeypatch.setattr(module, "NfsServer", partial(server.NfsServer, tmp_path / "etc", tmp_path / "etab"))
    return host


def test_it_does_what_check_mode_said_and_then_nothing(host: Host) -> None:
    checked = host.share(check=True)
    assert checked["changed"] and not host.files.exists() and host.calls == 0
    first = host.share()
    assert first == checked and host.calls == 1
    (file,) = host.files.iterdir()
    assert (
        str(file) == first["file"]
        and file.read_text() == first["diff"]["after"]
        and file.stat().st_mode & 0o777 == 0o644
    )
    assert first["share"]["clients"] == ["10.0.0.0/8"] and first["dataset"] == "tank/vmware"
    for check in (True, False):
        again = host.share(check=check)
        assert not again["changed"] and again["diff"]["before"] == again["diff"]["after"] == file.read_text()
    assert host.calls == 1


def test_one_option_changed_then_disabled_then_gone(host: Host) -> None:
    host.share()
    changed = host.share(read_only=True)
    assert changed["changed"] and ",rw," in changed["diff"]["before"] and ",ro," in changed["diff"]["after"]
    assert not host.share(read_only=True)["changed"]
    disabled = host.share(enabled=False)
    assert disabled["changed"] and (host.folder / "etab").read_text() == ""
    assert not host.share(enabled=False)["changed"]
    assert host.run(check=True, path=host.path, state="absent")["changed"] and len(list(host.files.iterdir())) == 1
    gone = host.run(path=host.path, state="absent")
    assert gone["changed"] and gone["share"] is None and gone["diff"]["after"] == "" and not list(host.files.iterdir())
    assert not host.run(path=host.path, state="absent")["changed"]


def test_a_file_that_the_server_does_not_work_by_is_a_change(host: Host) -> None:
    host.share()
    (host.folder / "etab").write_text("")
    checked = host.share(check=True)
    assert checked["changed"] and host.calls == 1
    assert "does not change. The NFS server's active exports are updated" in checked["diff"]["prepared"]
    assert host.share()["changed"] and not host.share()["changed"]


FOREIGN = [
    "/srv/other\t10.9.0.0/16(rw,sync)",
    "/srv/ha\t*(ro)",
    "{path}\t172.16.0.0/12(sec=sys,rw,sync,no_root_squash)",
]


@pytest.fixture
def foreign(host: Host) -> list[str]:
    """Lines of the table in force that are in no file: other paths, and another client of the same path."""
    lines = [line.format(path=host.path) for line in FOREIGN]
    for line in lines:
        host.export(line)
    return lines


def kept(host: Host, lines: list[str]) -> bool:
    return set(lines) <= set((host.folder / "etab").read_text().splitlines())


def test_what_is_in_no_file_stays_whatever_becomes_of_the_share(host: Host, foreign: list[str]) -> None:
    networks = ["10.0.0.0/8", "192.168.0.0/16", "2001:db8::/64"]
    host.share(networks=networks)
    assert kept(host, foreign) and set(host.clients) == {*networks, "172.16.0.0/12"}
    host.share(networks=networks, security=["sys", "krb5"])
    assert kept(host, foreign) and "sec=sys:krb5" in (host.folder / "etab").read_text()
    host.share(networks=networks[1:])
    assert kept(host, foreign) and set(host.clients) == {*networks[1:], "172.16.0.0/12"}
    assert host.share(networks=networks[1:], security=["krb5p"])["failed"]
    assert kept(host, foreign) and set(host.clients) == {*networks[1:], "172.16.0.0/12"}
    host.share(networks=networks[1:], enabled=False)
    assert kept(host, foreign) and host.clients == ["172.16.0.0/12"]
    host.share(networks=networks[:1])
    host.run(path=host.path, state="absent")
    assert kept(host, foreign) and host.clients == ["172.16.0.0/12"]
    assert all(host.path in call for call in (host.folder / "calls").read_text().splitlines())


@pytest.mark.parametrize("line", ["10.0.0.0/8(ro,sync)", "10.1.0.0/16(ro)", "*(rw)", "10.0.0.0/8(rw,no_root_squash)"])
def test_what_is_in_no_file_may_not_contradict_and_its_client_is_not_taken_over(host: Host, line: str) -> None:
    host.export(f"{host.path}\t{line}")
    said = host.refused()
    assert said.startswith(f"{host.folder}/etab line 1 has '{host.path} {line}', which ")
    command = f"exportfs -u {line.partition('(')[0]}:{host.path}"
    assert (
        f"; no file contains the entry: remove the client from this share, or run '{command}' if nothing uses it"
        in said
    )
    assert host.calls == 0


@pytest.mark.parametrize("before", [True, False])
def test_when_exportfs_refuses_all_is_what_it_was(host: Host, before: bool) -> None:
    if before:
        host.share(networks=["10.0.0.0/8", "192.168.0.0/16"])
    was = {file.name: file.read_text() for file in host.files.glob("*")}
    table = (host.folder / "etab").read_text()
    said = host.refused(security=["krb5p"])
    assert said == (
        'exportfs refused the share: exportfs: unknown keyword "bad"; fix the cause; the exports are unchanged.'
    )
    assert {file.name: file.read_text() for file in host.files.glob("*")} == was
    assert sorted((host.folder / "etab").read_text().splitlines()) == sorted(table.splitlines())


REPLACED = [
    ({"networks": ["10.1.0.0/16"]}, {"networks": ["10.0.0.0/8"]}),
    ({"networks": ["10.0.0.0/8"]}, {"networks": ["10.1.0.0/16"], "security": ["sys", "krb5"]}),
    ({"networks": [], "hosts": ["10.1.0.5"]}, {"networks": ["10.1.0.0/16"]}),
    ({"networks": ["10.1.0.0/16", "192.168.0.0/16"]}, {"networks": ["192.168.0.0/16"], "hosts": ["10.1.0.5"]}),
]


def serves(host: Host) -> bool:
    """Whether 10.1.0.5 is exported to now."""
    return any(ip_address("10.1.0.5") in ip_network(client) for client in host.clients)


@pytest.mark.parametrize(("before", "after"), REPLACED)
@pytest.mark.parametrize("refused", [False, True])
def test_a_client_that_is_covered_before_and_after_never_loses_the_export(
    host: Host, before: dict[str, Any], after: dict[str, Any], refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor on the way back, when exportfs refuses what is new after it took it."""
    host.share(**before)
    (file,) = host.files.iterdir()
    was = file.read_text()
    served: list[bool] = []

    def watched(*arguments: Any) -> Any:
        done = exportfs(*arguments)
        served.append(serves(host))
        return done

    monkeypatch.setattr(server, "exportfs", watched)
    if refused:
        assert "krb5p" not in was and host.share(**{**after, "security": ["krb5p"]})["failed"]
        assert file.read_text() == was and not host.share(**before)["changed"]
    else:
        assert host.share(**after)["changed"] and not host.share(**after)["changed"]
        assert "10.0.0.0/8" not in set(host.clients) - set(after["networks"])
    assert len(served) >= 2 and all(served)


@pytest.mark.parametrize("last", range(4))
@pytest.mark.parametrize("then", ["after", "before", "gone"])
@pytest.mark.parametrize(("before", "after"), REPLACED[1:3])
def test_a_change_that_was_killed_at_any_point_is_ended_the_next_time(
    host: Host,
    before: dict[str, Any],
    after: dict[str, Any],
    then: str,
    last: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file names whom the server may still export to: whatever is asked for next, nobody else is left."""
    host.share(**before)
    steps = iter(range(10))

    def mortal(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            if next(steps) == last:
                os._exit(9)
            return function(*arguments)

        return step

    with monkeypatch.context() as patch:
        for room, name in ((server, "exportfs"), (LocalHost, "replace_file")):
            patch.setattr(room, name, mortal(getattr(room, name)))
        child = os.fork()
        if not child:
            host.share(**after)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert serves(host)
    if then == "gone":
        host.run(path=host.path, state="absent")
        assert host.clients == [] and not list(host.files.iterdir())
        return
    wanted = after if then == "after" else before
    assert host.share(**wanted)["changed"] or (then, last) == ("before", 0)
    assert sorted(host.clients) == sorted([*wanted["networks"], *wanted.get("hosts", [])])
    assert not host.share(**wanted)["changed"] and ("krb5" in (host.folder / "etab").read_text()) is (
        "security" in wanted
    )


@pytest.mark.parametrize(
    ("before", "after", "less"),
    [
        *((before, after, False) for before, after in REPLACED[:1] + REPLACED[2:3]),
        *((before, after, True) for before, after in REPLACED[1:2] + REPLACED[3:]),
        ({}, {"networks": ["172.16.0.0/12"]}, True),
        ({}, {"networks": ["10.0.0.0/9", "10.128.0.0/9"]}, False),
        ({}, {"networks": ["10.0.0.0/9", "10.128.0.0/10"]}, True),
        ({"networks": ["10.0.0.0/8", "2001:db8::/64"]}, {"networks": ["10.0.0.0/8", "2001:db8::/65"]}, True),
        ({"networks": ["2001:db8::/64"]}, {"networks": ["2001:db8::/32"]}, False),
        ({}, {"read_only": True}, True),
        ({"read_only": True}, {}, False),
        ({}, {"security": ["krb5"]}, True),
        ({}, {"security": ["krb5", "sys"]}, False),
        ({"security": ["krb5", "sys"]}, {"security": ["sys"]}, True),
        ({"security": ["krb5", "sys"]}, {"security": ["sys"], "networks": ["10.0.0.0/7"]}, True),
        ({}, {"maproot_user": None}, True),
        ({"maproot_user": None}, {}, False),
        ({"enabled": False}, {"networks": ["172.16.0.0/12"]}, False),
        ({}, {"enabled": False}, True),
        ({}, {"state": "absent"}, True),
        ({"enabled": False}, {"state": "absent"}, False),
    ],
)
def test_whoever_may_lose_access_is_asked_about_unless_forced(
    host: Host, before: dict[str, Any], after: dict[str, Any], less: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a share that is exported at the next start of the NFS server only."""
    host.share(**before)
    asked: list[bool] = []
    monkeypatch.setattr(vmware_nfs_share, "ask_vsphere", lambda *_unused: asked.append(True))
    for _in_force in (True, False):
        assert host.share(check=True, **after)["changed"] and bool(asked) is less
        asked.clear()
        assert host.share(check=True, force=True, **after)["changed"] and not asked
        (host.folder / "etab").write_text("")


def test_what_others_wrote_stops_nobody(host: Host) -> None:
    host.write("exports.d/theirs.exports", "/srv/bad *(rw)\n/srv/krb5p *(nonsense\n")
    assert host.share()["changed"] and not host.share()["changed"]
    assert host.run(path=host.path, state="absent")["changed"]


def test_an_exportfs_that_does_nothing_is_noticed(host: Host) -> None:
    (host.folder / "bin" / "exportfs").write_text("#!/bin/sh\n")
    assert "nothing, but the NFS server does not export it to 10.0.0.0/8" in host.refused()
    assert not list(host.files.iterdir())


# ---- Names


@pytest.fixture
def resolver(host: Host, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has names stand for addresses, and for a canonical name; None: the resolver does not answer."""
    table: dict[str, tuple[str, list[str] | None]] = {}

    def getaddrinfo(name: str, *_unused: object, **__: object) -> list[tuple[Any, ...]]:
        canonical, addresses = table.get(name.lower().rstrip("."), ("", []))
        if not addresses:
            raise socket.gaierror(socket.EAI_AGAIN if addresses is None else socket.EAI_NONAME, "no")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, canonical, (each, 0)) for each in addresses]

    def add(canonical: str, addresses: list[str] | None, *aliases: str) -> None:
        table.update(dict.fromkeys((canonical.lower(), *aliases), (canonical, addresses)))
        (host.folder / "canonical").write_text(
            json.dumps({name: canonical for name, (canonical, _unused) in table.items()})
        )

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return add


@pytest.mark.parametrize("given", ["esx1", "ESX1.", "esx1.example.com", "vmk1.example.com"])
@pytest.mark.parametrize("canonical", ["esx1.example.com", "ESX1.Example.COM"])
def test_a_host_is_known_by_its_canonical_name(
    host: Host, resolver: Callable[..., None], given: str, canonical: str
) -> None:
    resolver(canonical, ["10.0.0.1", "2001:db8::1"], "esx1", "vmk1.example.com")
    asked: dict[str, Any] = {"networks": [], "hosts": [given]}
    assert host.share(**asked)["changed"] and host.clients == [canonical]
    assert not host.share(**asked)["changed"]
    assert host.share(**asked, read_only=True)["changed"] and host.clients == [canonical]
    assert host.run(path=host.path, state="absent")["changed"] and host.clients == []


def test_a_host_that_the_table_knows_by_the_name_in_another_entry_is_there(
    host: Host, resolver: Callable[..., None]
) -> None:
    """exportfs takes an address for the host that another entry has it in."""
    resolver("esx1.example.com", ["10.0.0.1"])
    (host.folder / "canonical").write_text(json.dumps({"10.0.0.1": "esx1.example.com"}))
    host.export("/srv/other\tesx1.example.com(ro)")
    assert host.share(networks=[], hosts=["10.0.0.1"])["changed"] and host.clients == ["esx1.example.com"]
    assert not host.share(networks=[], hosts=["10.0.0.1"])["changed"]


@pytest.mark.parametrize("theirs", ["*.example.com", "@esx", "*", "10.0.0.0/8", "2001:db8::/32"])
def test_a_host_has_an_entry_of_its_own_beside_wider_ones(
    host: Host, resolver: Callable[..., None], theirs: str
) -> None:
    resolver("esx1.example.com", ["10.0.0.1", "2001:db8::1"], "esx1")
    options = "sec=sys,rw,sync,no_subtree_check,mountpoint,no_root_squash"
    host.write("exports", f"{host.path} {theirs}({options})\n")
    host.export(f"{host.path}\t{theirs}({options})")
    assert host.share(networks=[], hosts=["esx1"])["changed"] and host.clients == [theirs, "esx1.example.com"]
    assert not host.share(networks=[], hosts=["esx1"])["changed"]
    host.run(path=host.path, state="absent")
    assert host.clients == [theirs]


def test_a_host_by_two_names_in_two_files_is_one_client(host: Host, resolver: Callable[..., None]) -> None:
    resolver("esx1.example.com", ["10.0.0.1"], "esx1")
    host.write("exports", f"{host.path} esx1.example.com(sec=sys,rw,sync,no_subtree_check,mountpoint,no_root_squash)\n")
    assert ", which repeats '" in host.refused(networks=[], hosts=["esx1"])


def test_a_name_of_others_that_cannot_be_resolved_now_stops_what_would_drop_its_export(
    host: Host, resolver: Callable[..., None]
) -> None:
    resolver("later.example.com", None)
    host.export("/srv/other\tlater.example.com(rw)")
    said = host.refused()
    assert said.startswith(
        "The NFS server exports /srv/other to 'later.example.com', a host name that currently cannot"
    )
    assert host.calls == 0 and not host.files.exists()


def test_a_name_of_others_that_is_no_more_is_told(host: Host, resolver: Callable[..., None]) -> None:
    host.export("/srv/other\tgone.example.com(rw)")
    said = str(host.share()["warnings"])
    assert "exportfs drops /srv/other for 'gone.example.com', because this name no longer exists" in said


def test_a_host_whose_name_is_no_more_can_be_taken_out(host: Host, resolver: Callable[..., None]) -> None:
    resolver("esx1.example.com", ["10.0.0.1"], "esx1")
    resolver("esx2.example.com", ["10.0.0.2"], "esx2")
    host.share(networks=[], hosts=["esx1", "esx2"])
    resolver("esx2.example.com", [], "esx2")
    assert "The host name 'esx2' does not resolve" in host.refused(networks=[], hosts=["esx1", "esx2"])
    assert host.share(networks=[], hosts=["esx1"])["changed"] and host.clients == ["esx1.example.com"]


def test_a_contradicting_entry_is_named_with_its_place_and_so_is_the_share(host: Host) -> None:
    host.write("exports", f"# theirs\n\n{host.path} 10.1.0.0/16(ro,sync)\n")
    said = host.refused()
    ours = host.share(check=True)  # the same in check mode
    assert ours["msg"] == said and not host.files.exists() and host.calls == 0
    assert said.startswith(
        f"{host.folder}/etc/exports line 3 has '{host.path} 10.1.0.0/16(ro,sync)', which conflicts with "
        f"'{host.path} 10.0.0.0/8(sec=sys,rw,sync,no_subtree_check,mountpoint,no_root_squash)' in {host.files}/quiesce"
    )
    assert said.endswith(".exports line 3; remove that entry, or request the same options.")
    assert host.share(networks=["192.168.0.0/16"])["changed"]


def test_an_entry_for_a_link_to_the_path_or_for_the_same_client_counts(host: Host) -> None:
    (host.folder / "link").symlink_to("tank")
    host.write("exports.d/theirs.exports", f"{host.folder}/link *(rw)\n")
    assert "/exports.d/theirs.exports line 1 has" in host.refused()
    host.write("exports.d/theirs.exports", f"{host.path} 10.0.0.0/8(rw,no_root_squash)\n")
    assert ", which repeats '" in host.refused()
    assert host.share(enabled=False)["changed"], "what is not exported contradicts nothing"


def test_sharenfs_is_refused(host: Host) -> None:
    host.sharenfs("on")
    said = host.refused()
    assert "The property sharenfs of tank/vmware is 'on'" in said and said.endswith(
        "run 'zfs set sharenfs=off tank/vmware'."
    )
    host.write("exports.d/zfs.exports", f"{host.path} *(sec=sys,rw,crossmnt)\n")
    assert "zfs.exports line 1 has" in host.refused() and "'zfs set sharenfs=off tank/vmware'" in host.refused()


def test_a_file_of_somebody_elses_is_left_alone(host: Host) -> None:
    host.share()
    (file,) = host.files.iterdir()
    file.write_text("/srv *(rw)\n")
    for options in ({}, {"state": "absent"}):
        said = f"{file} was not written by vmware_nfs_share; move the file to another directory."
        assert host.refused(**options) == said
    assert file.read_text() == "/srv *(rw)\n"


def test_a_host_without_an_nfs_server_is_told_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    real = LocalHost.run

    def run(host: LocalHost, command: Sequence[str], *arguments: Any) -> Ended:
        if command[0] == "exportfs":
            raise FileNotFoundError(command[0])
        return real(host, command, *arguments)

    monkeypatch.setattr(LocalHost, "run", run)
    assert "command exportfs is not installed on this storage host; install the NFS server" in host.refused()
    assert not list(host.files.iterdir())


def test_esxi_cannot_work_without_root(host: Host) -> None:
    assert "warnings" not in host.share(check=True)
    assert "set maproot_user to root" in str(host.share(maproot_user="", check=True)["warnings"])


def test_info_lists_ours_alone(host: Host) -> None:
    assert host.run(vmware_nfs_share_info)["shares"] == []
    share = host.share()
    host.write("exports.d/theirs.exports", "/srv *(rw)\n")
    host.write("exports.d/quiesce.vmware_zfs-by-hand.exports", "/srv *(rw)\n")
    clone = "/tank/vmware-zfs-restores/r1/0"
    text = Share(clone, ("10.0.0.1",), ("rw",)).text
    host.write(f"exports.d/{file_name(clone)}", text)  # of a restore, which a purge of the role must not withdraw
    assert host.run(vmware_nfs_share_info)["shares"] == [{**share["share"], "file": share["file"]}]
