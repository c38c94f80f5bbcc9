# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of VMs are read as ESXi writes them. A damaged or hostile one is refused with a sentence, never a crash."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import VmFileDamaged
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.disk_files import (
    PHYSICAL,
    VIRTUAL,
    chain_of,
    parse_descriptor,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.settings_text import (
    MOST_BYTES,
    parse_settings,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.vm_files import (
    DiskUse,
    NetworkCard,
    parse_configuration,
    parse_snapshots,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.hypervisor.inside import descriptors, settings
from tests.lab.hypervisor.inside.snapshot_tree import SnapshotTree

VMX = """\
.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "21"
displayName = "Möbel |22Nord|22"
vmci0.present = "TRUE"
scsi0.virtualDev = "pvscsi"
scsi0.present = "TRUE"
scsi0:0.deviceType = "scsi-hardDisk"
scsi0:0.fileName = "mail-000001.vmdk"
scsi0:0.present = "TRUE"
scsi0:10.fileName = "mail_2.vmdk"
scsi0:10.present = "TRUE"
scsi0:10.mode = "independent-persistent"
scsi0:9.fileName = "/vmfs/volumes/0bd30f68-5bf4a1a4/mail/mail_1.vmdk"
scsi0:9.present = "TRUE"
scsi0:3.fileName = "gone.vmdk"
scsi0:3.present = "FALSE"
scsi1.present = "FALSE"
scsi1:0.fileName = "off.vmdk"
scsi1:0.present = "TRUE"
scsi0:11.fileName = ""
scsi0:11.present = "TRUE"
scsi0:12.fileName = "/vmfs/devices/genscsi/naa.1"
scsi0:12.present = "TRUE"
scsi0:12.deviceType = "scsi-passthru"
NVMe0:0.FileName = "fast.vmdk"
nvme0:0.Present = "true"
sata0:0.deviceType = "cdrom-image"
sata0:0.fileName = "/usr/lib/vmware/isoimages/linux.iso"
sata0:0.present = "TRUE"
ide1:0.fileName = "old.iso"
ide1:0.present = "TRUE"
sched.swap.derivedName = "/vmfs/volumes/0bd30f68-5bf4a1a4/mail/mail-1e2f.vswp"
ethernet0.virtualDev = "vmxnet3"
ethernet0.networkName = "VM Network"
ethernet0.addressType = "vpx"
ethernet0.generatedAddress = "00:50:56:98:1E:83"
ethernet0.present = "TRUE"
ethernet2.addressType = "static"
ethernet2.address = "00:50:56:00:00:07"
ethernet2.dvs.portgroupId = "dvportgroup-75"
ethernet2.startConnected = "FALSE"
ethernet2.present = "TRUE"
ethernet1.present = "FALSE"
uuid.bios = "56 4d 69 5d 63 26 1b 9e-10 5d b7 a4 c4 33 13 b3"
vc.uuid = "52 C3 ba 06 20 09 6e 7b-eb d3 5e 6c 44 16 b3 56"
"""


def test_a_configuration_names_the_vm_its_disks_and_its_cards() -> None:
    found = parse_configuration(VMX, "mail.vmx")
    assert found.name == 'Möbel "Nord"'
    assert found.bios_uuid == "564d695d-6326-1b9e-105d-b7a4c43313b3"
    assert found.vc_uuid == "52c3ba06-2009-6e7b-ebd3-5e6c4416b356"
    assert [(disk.node, disk.file) for disk in found.disks] == [
        ("nvme0:0", "fast.vmdk"),
        ("scsi0:0", "mail-000001.vmdk"),
        ("scsi0:9", "/vmfs/volumes/0bd30f68-5bf4a1a4/mail/mail_1.vmdk"),
        ("scsi0:10", "mail_2.vmdk"),
    ]
    assert [disk.independent for disk in found.disks] == [False, False, False, True]
    assert [disk.absolute for disk in found.disks] == [False, False, True, False]
    assert [disk.in_folder for disk in found.disks] == [True, True, False, True]
    assert found.cards == (
        NetworkCard("Network adapter 1", "ethernet0", "00:50:56:98:1e:83", True, "VM Network", True),
        NetworkCard("Network adapter 3", "ethernet2", "00:50:56:00:00:07", False, "dvportgroup-75", False),
    )
    assert not (found.template or found.encrypted or found.vtpm or found.suspended or found.working_dir)
    assert parse_configuration('displayName = "a%2fb 100%25"\n', "a.vmx").name == "a/b 100%"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('encryption.keySafe = "vmware:key/list/(pair/(null/%3cVMWARE)"', "encrypted"),
        ('encryption.required = "TRUE"', "encrypted"),
        ('vTPM.present = "TRUE"', "vtpm"),
        ('encryption.required.vtpm = "TRUE"', "vtpm"),
        ('checkpoint.vmState = "mail-1e2f.vmss"', "suspended"),
        ('workingDir = "/vmfs/volumes/other/mail"', "working_dir"),
        ('workingDir = "/vmfs/volumes/other/mail"', "elsewhere"),
        ('nvram = "/vmfs/volumes/other/mail/mail.nvram"', "elsewhere"),
        ('nvram = "../mail.nvram"', "elsewhere"),
        ('serial0.fileType = "file"\nserial0.fileName = "/vmfs/volumes/other/console.txt"', "elsewhere"),
    ],
)
def test_what_makes_a_restore_special_is_seen(line: str, name: str) -> None:
    assert not getattr(parse_configuration(VMX, "mail.vmx"), name)
    assert getattr(parse_configuration(VMX + line + "\n", "mail.vmx"), name)


def test_values_that_mean_nothing_special() -> None:
    more = 'workingDir = "."\nnvram = "./mail.nvram"\nlog.fileName = "vmware.log"\n'
    more += 'serial0.fileType = "network"\nserial0.fileName = "tcp://10.0.0.7:4000"\n'
    more += 'encryption.required = "FALSE"\ncheckpoint.vmState = ""\nvtpm.present = "FALSE"\n'
    found = parse_configuration(VMX + more, "mail.vmx")
    assert not (found.encrypted or found.vtpm or found.suspended or found.elsewhere)


def test_a_template_is_known_by_its_file() -> None:
    assert parse_configuration(VMX, "golden.VMTX").template
    assert parse_configuration('config.version = "8"\n', "golden.vmtx").name == "golden"


def test_line_ends_comments_and_spaces_do_not_matter() -> None:
    head = '\ufeff#!/usr/bin/vmware\r\n\r\n  displayName="a"   # the name\r\n'
    text = head + 'guestOS = other-64\r\nannotation = "a=b # c"\r\n'
    assert parse_settings(text, "a.vmx").values == {"displayname": "a", "guestos": "other-64", "annotation": "a=b # c"}


def test_characters_that_other_programs_take_for_line_ends_end_no_line() -> None:
    text = 'displayName = "a\u2028b\x0bc\x85d"\nconfig.version = "8"\n'
    assert parse_configuration(text, "a.vmx").name == "a\u2028b\x0bc\x85d"


def test_a_value_in_another_encoding_is_decoded() -> None:
    raw = '.encoding = "windows-1252"\ndisplayName = "Büro"\n'.encode("cp1252")
    assert parse_configuration(raw.decode("utf-8", "surrogateescape"), "a.vmx").name == "Büro"
    raw = '.encoding = "Shift_JIS"\ndisplayName = "会計"\n'.encode("shift_jis")
    assert parse_configuration(raw.decode("utf-8", "surrogateescape"), "a.vmx").name == "会計"


@pytest.mark.parametrize("name", ["rot13", "unicode_escape", "hex", "idna", "no-such-codec", "cp99", "windows-0000"])
def test_an_unknown_encoding_is_not_used(name: str) -> None:
    assert parse_configuration(f'.encoding = "{name}"\ndisplayName = "a\\x41"\n', "a.vmx").name == "a\\x41"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\0\0\0\0", 'line 1 is not of the form key = "value"'),
        ('displayName = "a"\nnonsense\n', 'line 2 is not of the form key = "value"'),
        ('displayName = "a\n', 'line 1 is not of the form key = "value"'),
        ('displayName = "a"b"\n', 'line 1 is not of the form key = "value"'),
        ('displayName = a"b\n', 'line 1 is not of the form key = "value"'),
        (' = "a"\n', 'line 1 is not of the form key = "value"'),
        ('"displayName" = "a"\n', 'line 1 is not of the form key = "value"'),
        ('ide0:0.fileName = "a.vmdk"\nIDE0:0.filename = "b.vmdk"\n', "line 2 sets IDE0:0.filename again"),
        ("", "it is not the configuration of a VM"),
        ('guestinfo.x = "1"\n', "it is not the configuration of a VM"),
        ("#" * (MOST_BYTES + 1), "it has more than 4 MiB"),
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_configuration_is_refused_with_its_name(text: str, problem: str) -> None:
    with pytest.raises(VmFileDamaged) as caught:
        parse_configuration(text, "web.vmx")
    assert str(caught.value).startswith("The file web.vmx cannot be used: ") and problem in str(caught.value)


def test_a_hostile_line_takes_no_longer_than_others() -> None:
    begun = time.process_time()
    for line in ("a" + " " * 1_000_000, "a = b" + " " * 1_000_000 + '"', "\n" * 1_000_000, "|" * 1_000_000):
        with pytest.raises(VmFileDamaged):
            parse_configuration(line, "a.vmx")
        with pytest.raises(VmFileDamaged):
            parse_descriptor("# Disk DescriptorFile\n" + line + "\nRW 1 VMFS" + " " * 1_000_000 + '"', "a.vmdk")
    assert time.process_time() - begun < 10


# ---- VMware snapshots

VMSD = """\
.encoding = "UTF-8"
snapshot.lastUID = "18"
snapshot.current = "18"
snapshot0.uid = "15"
snapshot0.filename = "sql-Snapshot15.vmsn"
snapshot0.displayName = "before the update"
snapshot0.description = "two|0Alines"
snapshot0.createTimeHigh = "310880"
snapshot0.createTimeLow = "-365210110"
snapshot0.numDisks = "2"
snapshot0.disk0.fileName = "sql.vmdk"
snapshot0.disk0.node = "scsi0:0"
snapshot0.disk1.fileName = "/vmfs/volumes/other/sql/sql_1.vmdk"
snapshot0.disk1.node = "scsi0:1"
snapshot.numSnapshots = "2"
snapshot1.uid = "18"
snapshot1.filename = "sql-Snapshot18.vmsn"
snapshot1.parent = "15"
snapshot1.displayName = "vmware-zfs 20260131T020000-1f2e3d4c"
snapshot1.type = "1"
snapshot1.createTimeHigh = "310880"
snapshot1.createTimeLow = "-326194126"
snapshot1.numDisks = "1"
snapshot1.disk0.fileName = "sql-000002.vmdk"
snapshot1.disk0.node = "scsi0:0"
snapshot7.uid = "3"
"""


def test_snapshots_are_read_with_their_parents_times_and_disks() -> None:
    found = parse_snapshots(VMSD, "sql.vmsd")
    first, ours = found.all
    assert (found.current, first.uid, first.parent, first.name) == (18, 15, 0, "before the update")
    assert first.description == "two\nlines"
    assert first.created == datetime.fromtimestamp(((310880 << 32) + 2**32 - 365210110) / 1e6, timezone.utc)
    assert first.disks == (DiskUse("scsi0:0", "sql.vmdk"), DiskUse("scsi0:1", "/vmfs/volumes/other/sql/sql_1.vmdk"))
    assert found.named("vmware-zfs ") == (ours,) and ours.parent == 15
    assert found.has_children(15) and not found.has_children(18)


@pytest.mark.parametrize("text", ["", '.encoding = "UTF-8"\n', 'snapshot.numSnapshots = "0"\nsnapshot0.uid = "x"\n'])
def test_no_snapshots(text: str) -> None:
    assert parse_snapshots(text, "a.vmsd").all == ()


@pytest.mark.parametrize("high", ["9" * 19, "-" + "9" * 19, "2147483647"])
def test_a_time_that_no_clock_shows_is_unknown(high: str) -> None:
    text = VMSD.replace('snapshot0.createTimeHigh = "310880"', f'snapshot0.createTimeHigh = "{high}"')
    assert parse_snapshots(text, "a.vmsd").all[0].created is None


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('numSnapshots = "2"', 'numSnapshots = "many"', "'many', which is not a number"),
        ('numSnapshots = "2"', 'numSnapshots = "-1"', "it lists -1 VMware snapshots"),
        ('numSnapshots = "2"', 'numSnapshots = "1000000000"', "it lists 1000000000 VMware snapshots"),
        ('numSnapshots = "2"', 'numSnapshots = "3"', "snapshot2.uid is missing or invalid"),
        ('snapshot.numSnapshots = "2"\n', "", "it ends before the number of its VMware snapshots"),
        ('snapshot1.uid = "18"', 'snapshot1.uid = "15"', "two of its VMware snapshots have the same uid"),
        ('snapshot1.parent = "15"', 'snapshot1.parent = "16"', "refers to the VMware snapshot 16"),
        ('snapshot1.parent = "15"', 'snapshot1.parent = "18"', "the VMware snapshot 18 is its own ancestor"),
        ('snapshot.current = "18"', 'snapshot.current = "4"', "refers to the VMware snapshot 4"),
        ('snapshot0.numDisks = "2"', 'snapshot0.numDisks = "99999999"', "snapshot0 has 99999999 disks"),
        ('snapshot0.numDisks = "2"', 'snapshot0.numDisks = "3"', "snapshot0.disk2.fileName is missing"),
    ],
)  # fmt: skip
def test_a_damaged_list_of_snapshots_is_refused(old: str, new: str, problem: str) -> None:
    with pytest.raises(VmFileDamaged, match=r"^The file sql\.vmsd cannot be used: ") as caught:
        parse_snapshots(VMSD.replace(old, new), "sql.vmsd")
    assert problem in str(caught.value)


# ---- Disks

BASE = """\
# Disk DescriptorFile
version=3
encoding="UTF-8"
CID=1ddd5c91
parentCID=ffffffff
isNativeSnapshot="no"
createType="vmfs"

# Extent description
RW 41943040 VMFS "mail-flat.vmdk"

# Change Tracking File
changeTrackPath="mail-ctk.vmdk"

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "2610"
"""
DELTA = """\
# Disk DescriptorFile\r
version=1\r
CID=3729b687\r
parentCID=1ddd5c91\r
createType="seSparse"\r
parentFileNameHint="mail.vmdk"\r
# Extent description\r
RW 41943040 SESPARSE "mail-000001-sesparse.vmdk"\r
"""


def test_a_chain_goes_down_to_the_base_disk() -> None:
    chain = chain_of("mail-000001.vmdk", {"mail-000001.vmdk": DELTA, "mail.vmdk": BASE}.__getitem__)
    assert chain.files == ("mail-000001.vmdk", "mail-000001-sesparse.vmdk", "mail.vmdk", "mail-flat.vmdk")
    assert chain.base is not None and chain.base.file == "mail.vmdk" and chain.base.sectors == 41943040
    assert not (chain.outside or chain.foreign or chain.rdm)


@pytest.mark.parametrize("parent", ["/vmfs/volumes/501d996c-86c66169/golden/golden.vmdk", "../golden/golden.vmdk"])
def test_a_parent_in_another_folder_is_a_linked_clone(parent: str) -> None:
    chain = chain_of("clone.vmdk", lambda file: DELTA.replace("mail.vmdk", parent))
    assert chain.outside == parent and chain.foreign == (parent,) and len(chain.descriptors) == 1


def test_a_disk_elsewhere_is_not_opened() -> None:
    chain = chain_of("/vmfs/volumes/other/a.vmdk", {"": ""}.__getitem__)
    assert chain.outside == "/vmfs/volumes/other/a.vmdk" and chain.descriptors == () and chain.base is None


def test_data_in_another_folder_is_seen() -> None:
    chain = chain_of("mail.vmdk", lambda file: BASE.replace("mail-flat", "/vmfs/volumes/x/mail-flat"))
    assert chain.foreign == ("/vmfs/volumes/x/mail-flat.vmdk",) and not chain.outside


@pytest.mark.parametrize(
    ("kind", "extent", "rdm"),
    [
        ("vmfsRawDeviceMap", "VMFSRDM", VIRTUAL),
        ("vmfsPassthroughRawDeviceMap", "VMFSRDM", PHYSICAL),
        ("custom", "VMFSRDM", VIRTUAL),
        ("vmfs", "VMFS", ""),
    ],
)
def test_raw_device_mappings_are_known_by_their_type(kind: str, extent: str, rdm: str) -> None:
    text = BASE.replace('createType="vmfs"', f'createType="{kind}"').replace(" VMFS ", f" {extent} ")
    assert parse_descriptor(text, "mail.vmdk").rdm == rdm
    delta = {"mail.vmdk": text, "mail-000001.vmdk": DELTA}
    assert chain_of("mail-000001.vmdk", delta.__getitem__).rdm == rdm


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is not a disk descriptor"),
        ("KDMV\0\1", "it is not a disk descriptor"),
        (BASE + "\0", "it is not a disk descriptor"),
        (BASE.replace('RW 41943040 VMFS "mail-flat.vmdk"', ""), "it names no file with the data"),
        (DELTA.replace('parentFileNameHint="mail.vmdk"', ""), "does not name its parent disk"),
        (DELTA + 'parentFileNameHint="other.vmdk"\n', "it sets parentFileNameHint again"),
        (DELTA + 'parentFileNameHint="other"x"\n', "it has a line that is not of the form"),
    ],
    ids=["empty", "sparse", "null", "no extent", "no parent", "two parents", "quotes"],
)
def test_a_damaged_descriptor_is_refused(text: str, problem: str) -> None:
    with pytest.raises(VmFileDamaged) as caught:
        parse_descriptor(text, "mail.vmdk")
    assert problem in str(caught.value)


def test_a_chain_without_an_end_is_refused() -> None:
    with pytest.raises(VmFileDamaged, match="its own parent"):
        chain_of("mail.vmdk", lambda file: DELTA)
    with pytest.raises(VmFileDamaged, match="more than 255 parents"):
        chain_of("0.vmdk", lambda file: DELTA.replace("mail.vmdk", f"{int(file[:-5]) + 1}.vmdk"))


# ---- Any text, and what the lab's hypervisor writes

FRAGMENTS = st.sampled_from(
    ("scsi0:0.", "snapshot0.", "fileName", "uid", "present", "snapshot.numSnapshots", "displayName", ' = "', '"', "=",
     "TRUE", "1", "|22", "|", "\n", "\r\n", "# Disk DescriptorFile\n", "RW 1 VMFS ", "parentFileNameHint", "\ud800")
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(st.one_of(FRAGMENTS, st.text(max_size=3))).map("".join)))
def test_no_text_crashes_the_parser(text: str) -> None:
    for parse in (parse_configuration, parse_snapshots, parse_descriptor):
        try:
            parse(text, "a.vmx")
        except VmFileDamaged as error:
            assert str(error).startswith("The file a.vmx cannot be used: ")


VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
KEYS = st.from_regex(r"[a-z][a-z0-9:.]{0,20}", fullmatch=True)


@given(st.dictionaries(KEYS, VALUES))
def test_settings_that_the_lab_writes_are_read_again(values: dict[str, str]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.vmx"
        settings.write(path, values)
        read = parse_settings(path.read_bytes().decode("utf-8", "surrogateescape"), "a.vmx")
    assert read.values == {".encoding": "UTF-8", **values}


@given(st.lists(st.tuples(VALUES, VALUES), max_size=6), st.data())
def test_snapshots_that_the_lab_writes_are_read_again(names: list[tuple[str, str]], data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        tree = SnapshotTree(Path(folder) / "a.vmsd")
        for number, (name, description) in enumerate(names):
            if tree.snapshots:
                tree.current = data.draw(st.sampled_from([0, *(one.uid for one in tree.snapshots)]))
            tree.add(name, description, {"scsi0:0": f"a-{number:06}.vmdk", "nvme0:1": f"b-{number:06}.vmdk"})
        tree.write()
        read = parse_snapshots(tree.path.read_bytes().decode("utf-8", "surrogateescape"), "a.vmsd")
    assert read.current == tree.current
    assert [(one.uid, one.parent, one.name, one.description) for one in read.all] == [
        (one.uid, one.parent, one.name, one.description) for one in tree.snapshots
    ]
    assert [{use.node: use.file for use in one.disks} for one in read.all] == [one.disks for one in tree.snapshots]
    for one, made in zip(read.all, tree.snapshots):
        assert one.created is not None and round(one.created.timestamp() * 1e6) == made.created


def test_descriptors_that_the_lab_writes_are_read_again(tmp_path: Path) -> None:
    base = descriptors.Descriptor(tmp_path / "a.vmdk", 2048, tmp_path / "a-flat.vmdk")
    delta = descriptors.Descriptor(tmp_path / "a-000001.vmdk", 2048, tmp_path / "a-000001-delta.vmdk", base.path)
    for one in (base, delta):
        one.write()
    chain = chain_of("a-000001.vmdk", lambda file: (tmp_path / file).read_text())
    assert [(one.file, one.sectors, one.parent) for one in chain.descriptors] == [
        ("a-000001.vmdk", 2048, "a.vmdk"),
        ("a.vmdk", 2048, ""),
    ]
    assert not chain.foreign
