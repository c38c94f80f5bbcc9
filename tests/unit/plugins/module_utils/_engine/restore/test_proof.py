# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that a copy uses only its own files."""

from __future__ import annotations

import posixpath
from dataclasses import replace

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.proof import CopyPlace, objections
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_devices import (
    Backing,
    Configuration,
)
from hypothesis import given
from hypothesis import strategies as st

FOLDER = CopyPlace("datastore-1", "vmware", "mail-restored")
CLONE = CopyPlace("datastore-7", "restore-1")


def backing(file: str, datastore: str = "datastore-1") -> Backing:
    return Backing("Hard disk 1", datastore, file)


@pytest.mark.parametrize(
    "file",
    [
        "[vmware] mail-restored/mail.vmdk",
        "[vmware] mail-restored/disks/mail.vmdk",
        "[vmware] mail-restored/",
        "[vmware] mail-restored",
    ],
)
def test_files_of_the_folder_are_in_the_copy(file: str) -> None:
    assert objections([Configuration("", (backing(file), backing(file, "")))], [FOLDER]) == []


@pytest.mark.parametrize(
    "file",
    [
        "[vmware] mail/mail.vmdk",
        "[vmware] mail-restored-2/mail.vmdk",
        "[vmware] mail-restored/../mail/mail.vmdk",
        "[vmware] ./mail-restored/mail.vmdk",
        "[vmware] /mail-restored/mail.vmdk",
        "[vmware] Mail-restored/mail.vmdk",
        "[vmware] ",
        "[other] mail-restored/mail.vmdk",
        "[] /vmfs/volumes/vmware/mail/mail.vmdk",
        "/vmfs/volumes/vmware/mail-restored/mail.vmdk",
        "mail-restored/mail.vmdk",
        "",
    ],
)
def test_any_other_file_is_an_objection(file: str) -> None:
    found = objections([Configuration("", (backing(file),))], [FOLDER])
    assert [(one.label, one.snapshot, one.file) for one in found] == [("Hard disk 1", "", file)]


def test_the_managed_object_id_counts_and_not_only_the_name() -> None:
    """Two datacenters can have a datastore of one name."""
    found = objections([Configuration("", (backing("[vmware] mail-restored/mail.vmdk", "datastore-2"),))], [FOLDER])
    assert [one.reason for one in found] == ["is not in the copy"]


def test_every_file_of_a_cloned_datastore_is_in_the_copy() -> None:
    there = Configuration("", (backing("[restore-1] mail/mail.vmdk", "datastore-7"), backing("[restore-1] ", "")))
    assert objections([there], [FOLDER, CLONE]) == []
    assert len(objections([there], [FOLDER])) == 2


def test_the_files_of_a_vmware_snapshot_count() -> None:
    """A revert uses them: one path to the living disk in a snapshot is enough to damage it."""
    good = backing("[vmware] mail-restored/mail.vmdk")
    found = objections(
        [Configuration("", (good,)), Configuration("before\nupgrade", (good, backing("[vmware] mail/mail_1.vmdk")))],
        [FOLDER],
    )
    assert [str(one) for one in found] == [
        "Hard disk 1 in its VMware snapshot 'before\\nupgrade' ('[vmware] mail/mail_1.vmdk') is not in the copy"
    ]


def test_a_lun_is_never_in_the_copy() -> None:
    mapping = replace(backing("[vmware] mail-restored/mail.vmdk"), lun=True)
    found = objections([Configuration("", (mapping,))], [FOLDER])
    assert [one.reason for one in found] == ["refers to a LUN, which the snapshot does not contain"]


def test_nothing_is_proven_by_what_was_not_read() -> None:
    assert [one.reason for one in objections([], [FOLDER])] == ["cannot be read"]
    assert [one.reason for one in objections([Configuration("", None)], [FOLDER])] == ["cannot be read"]
    unread = objections([Configuration("", ()), Configuration("ours", None)], [FOLDER])
    assert [(one.snapshot, one.reason) for one in unread] == [("ours", "cannot be read")]
    assert objections([Configuration("", ())], [FOLDER]) == []  # a VM without disks


_PARTS = st.sampled_from(["mail", "mail-restored", "a", "..", ".", "", "mail.vmdk", "x] y", "[vmware]"])
_PATHS = st.lists(_PARTS, max_size=4).map("/".join)
_DATASTORES = st.sampled_from([("vmware", "datastore-1"), ("vmware", "datastore-2"), ("other", "datastore-1")])


@given(_DATASTORES, _PATHS, st.sampled_from(["mail", "mail-restored", "mail/a", ""]), st.booleans())
def test_what_passes_is_below_the_folder_after_all_dots_are_resolved(
    datastore: tuple[str, str], path: str, folder: str, with_id: bool
) -> None:
    name, moid = datastore
    place = CopyPlace("datastore-1", "vmware", folder)
    file = Backing("Hard disk 1", moid if with_id else "", f"[{name}] {path}")
    passes = not objections([Configuration("", (file,))], [place])
    resolved = posixpath.normpath(posixpath.join("/", path))
    below = resolved == posixpath.join("/", folder) or resolved.startswith(posixpath.join("/", folder, ""))
    right = name == "vmware" and (not with_id or moid == "datastore-1")
    if passes:
        assert right and below
    elif right and below and "]" not in path:
        assert {"", ".", ".."} & set(path.rstrip("/").split("/")) or path.endswith("//")
