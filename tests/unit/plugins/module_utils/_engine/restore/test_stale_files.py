# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks and swap files of the living VMs disappear from a clone, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import RestoreFailed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.stale_files import remove_stale

KEPT = ["mail/mail.vmx", "mail/mail-flat.vmdk", "mail/vmware.log", "web/web.vmdk", "web/x.lck-1", "top.vmx"]
STALE = ["mail/.lck-000000000000002f", "mail/mail-a1b2c3d4.vswp", "web/.nfs0000000000000001", ".lck-1"]


def fill(root: Path, files: list[str]) -> None:
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


def test_stale_files_go_and_all_others_stay(tmp_path: Path) -> None:
    fill(tmp_path, [*KEPT, *STALE])
    for _twice in range(2):
        remove_stale(LocalHost(), str(tmp_path))
        found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
        assert found == sorted(KEPT)


def test_a_link_out_of_the_clone_is_not_followed(tmp_path: Path) -> None:
    fill(tmp_path / "living", [".lck-1", "mail.vswp"])
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "mail").symlink_to(tmp_path / "living")
    remove_stale(LocalHost(), str(tmp_path / "clone"))
    assert sorted(path.name for path in (tmp_path / "living").iterdir()) == [".lck-1", "mail.vswp"]


def test_a_file_that_stays_stops_the_restore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, STALE)
    host = LocalHost()

    def refuse(path: str) -> None:
        raise OSError(5, "Input/output error", path)

    monkeypatch.setattr(host, "remove_file", refuse)
    with pytest.raises(RestoreFailed, match="could not be removed: Input/output error"):
        remove_stale(host, str(tmp_path))
