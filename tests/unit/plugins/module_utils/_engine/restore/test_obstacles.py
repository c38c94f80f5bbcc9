# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a VM show what forbids to restore it, before anything is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.contents import read_vm
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.obstacles import obstacles
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import CLONE, FOLDER

from tests.lab.hypervisor.inside import descriptors, settings

LIVING = "/vmfs/volumes/0bd30f68-5bf4a1a4/mail"
FIRST = {"displayName": "mail", "scsi0.present": "TRUE", "scsi0:0.present": "TRUE", "scsi0:0.fileName": "mail.vmdk"}
RDM = '# Disk DescriptorFile\ncreateType="vmfsRawDeviceMap"\nRW 1 VMFSRDM "mail-rdm.vmdk"\n'


def found(root: Path, way: str, vmsd: str = "", **more: str) -> list[str]:
    """Return the obstacles of the VM `mail`. `more` are settings of its configuration."""
    folder = root / "mail"
    folder.mkdir()
    settings.write(folder / "mail.vmx", {**FIRST, **more})
    descriptors.Descriptor(folder / "mail.vmdk", 2048, folder / "mail-flat.vmdk").write()
    (folder / "rdm.vmdk").write_text(RDM)
    (folder / "mail.vmsd").write_text(vmsd)
    files = sorted(one.name for one in folder.iterdir())
    return obstacles(read_vm(LocalHost(), str(root), "mail", "mail.vmx", files), way)


def test_an_ordinary_vm_can_be_restored(tmp_path: Path) -> None:
    assert found(tmp_path, FOLDER, nvram="mail.nvram", workingDir=".", **{"log.fileName": "./vmware.log"}) == []


@pytest.mark.parametrize("way", [FOLDER, CLONE])
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"scsi0:0.fileName": f"{LIVING}/mail.vmdk"}, "which is a file of the original VM and not of the copy"),
        ({"scsi0:0.fileName": "rdm.vmdk"}, "is a raw device mapping, and its LUN is not in the snapshot"),
        ({"scsi0:0.fileName": "gone.vmdk"}, "The disk scsi0:0 cannot be used: The file mail/gone.vmdk cannot be used"),
        ({"workingDir": LIVING}, f"Its setting workingDir is {LIVING}, so the restored VM would write there"),
        ({"nvram": f"{LIVING}/mail.nvram"}, "Its setting nvram is "),
        ({"serial0.fileType": "file", "serial0.fileName": "../console.txt"}, "Its setting serial0.fileName is "),
    ],
)
def test_a_vm_that_would_use_files_outside_of_its_copy_is_refused(
    more: dict[str, str], message: str, way: str, tmp_path: Path
) -> None:
    (said,) = found(tmp_path, way, **more)
    assert message in said


@pytest.mark.parametrize(("way", "number"), [(FOLDER, 1), (CLONE, 0)])
def test_a_disk_in_a_folder_next_to_it_needs_a_clone(way: str, number: int, tmp_path: Path) -> None:
    said = found(tmp_path, way, **{"scsi0:0.fileName": "../golden/golden.vmdk"})
    assert len(said) == number and all("restore the VM from a clone instead" in one for one in said)


def test_a_vmware_snapshot_with_a_disk_elsewhere_forbids_the_revert(tmp_path: Path) -> None:
    vmsd = (
        'snapshot.numSnapshots = "1"\nsnapshot.current = "1"\nsnapshot0.uid = "1"\nsnapshot0.displayName = "a"\n'
        f'snapshot0.numDisks = "1"\nsnapshot0.disk0.node = "scsi0:0"\nsnapshot0.disk0.fileName = "{LIVING}/mail.vmdk"\n'
    )
    (said,) = found(tmp_path, CLONE, vmsd)
    assert said.startswith("Its VMware snapshot 'a' keeps the disk scsi0:0 outside of the folder of the VM")
