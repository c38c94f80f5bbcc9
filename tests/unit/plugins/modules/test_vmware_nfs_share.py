# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vmware_nfs_share and vmware_nfs_share_info through main(), with an exportfs that can be made to refuse."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.exports import server
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.storage_host import Mount
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_nfs_share, vmware_nfs_share_info
from ansible_collections.quiesce.vmware_zfs.tests.unit.module_arguments import patch_module_args

# Puts every entry into the table in force; complains of the path "bad" and of krb5p, and goes on, as the real one does.
EXPORTFS = r"""#!/bin/sh
cd "$(dirname "$0")/.."
echo >>calls
: >etab
for file in etc/exports etc/exports.d/*.exports; do
    [ -f "$file" ] || continue
    grep -v '^#' "$file" | grep / | sed 's/ /\t/' >>etab
    if grep -q 'bad\|krb5p' "$file"; then echo "exportfs: $file:1: unknown keyword \"bad\"" >&2; failed=1; fi
done
exit $failed
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


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    host = Host(tmp_path, capsys)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(server, "mount_table", lambda: (Mount("tank/vmware", "/", host.path, "zfs"),))
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
    assert checked["changed"] and "does not export it, is told to" in checked["diff"]["prepared"] and host.calls == 1
    assert host.share()["changed"] and not host.share()["changed"]


@pytest.mark.parametrize("before", [True, False])
def test_when_exportfs_refuses_the_old_file_is_put_back(host: Host, before: bool) -> None:
    if before:
        host.share()
    was = {file.name: file.read_text() for file in host.files.glob("*")}
    table = (host.folder / "etab").read_text() if before else ""
    said = host.refused(security=["krb5p"])
    assert said.startswith("exportfs refuses the share: exportfs: etc/exports.d/quiesce.vmware_zfs-")
    assert said.endswith('unknown keyword "bad"; mend what it names; the exports are what they were.')
    assert {file.name: file.read_text() for file in host.files.glob("*")} == was
    assert (host.folder / "etab").read_text() == table


def test_what_exportfs_says_of_others_stops_nobody(host: Host) -> None:
    host.write("exports.d/theirs.exports", "/srv/bad *(rw)\n")
    assert host.share()["changed"] and not host.share()["changed"]
    assert host.run(path=host.path, state="absent")["changed"]


def test_an_exportfs_that_does_nothing_is_noticed(host: Host) -> None:
    (host.folder / "bin" / "exportfs").write_text("#!/bin/sh\n")
    assert "it does not export it either" in host.refused() and not list(host.files.iterdir())


def test_a_contradicting_entry_is_named_with_its_place_and_so_is_the_share(host: Host) -> None:
    host.write("exports", f"# theirs\n\n{host.path} 10.1.0.0/16(ro,sync)\n")
    said = host.refused()
    ours = host.share(check=True)  # the same in check mode
    assert ours["msg"] == said and not host.files.exists() and host.calls == 0
    assert said.startswith(
        f"{host.folder}/etc/exports line 3 says '{host.path} 10.1.0.0/16(ro,sync)', which contradicts "
        f"'{host.path} 10.0.0.0/8(sec=sys,rw,sync,no_subtree_check,mountpoint,no_root_squash)' of {host.files}/quiesce"
    )
    assert said.endswith(".exports line 3; remove that entry, or ask for the same options.")
    assert host.share(networks=["192.168.0.0/16"])["changed"]


def test_an_entry_for_a_link_to_the_path_or_for_the_same_client_counts(host: Host) -> None:
    (host.folder / "link").symlink_to("tank")
    host.write("exports.d/theirs.exports", f"{host.folder}/link *(rw)\n")
    assert "/exports.d/theirs.exports line 1 says" in host.refused()
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
    assert "zfs.exports line 1 says" in host.refused() and "'zfs set sharenfs=off tank/vmware'" in host.refused()


def test_a_file_of_somebody_elses_is_left_alone(host: Host) -> None:
    host.share()
    (file,) = host.files.iterdir()
    file.write_text("/srv *(rw)\n")
    for options in ({}, {"state": "absent"}):
        assert host.refused(**options) == f"{file} was not written by vmware_nfs_share; move it away."
    assert file.read_text() == "/srv *(rw)\n"


def test_a_host_without_an_nfs_server_is_told_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.shutil, "which", lambda *given, **more: None)
    assert "no command exportfs; install its NFS server" in host.refused() and not list(host.files.iterdir())


def test_esxi_cannot_work_without_root(host: Host) -> None:
    assert "warnings" not in host.share(check=True)
    assert "set maproot_user to root" in str(host.share(maproot_user="", check=True)["warnings"])


def test_info_lists_ours_alone(host: Host) -> None:
    assert host.run(vmware_nfs_share_info)["shares"] == []
    share = host.share()
    host.write("exports.d/theirs.exports", "/srv *(rw)\n")
    host.write("exports.d/quiesce.vmware_zfs-by-hand.exports", "/srv *(rw)\n")
    assert host.run(vmware_nfs_share_info)["shares"] == [{**share["share"], "file": share["file"]}]
