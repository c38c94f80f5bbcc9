# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meaning of a fault does not depend on the language of its text."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import VSphereFault
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import sdk
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.faults import (
    is_of_quiescing,
    translate,
)

GERMAN = "Beim Stilllegen der virtuellen Maschine ist ein Fehler aufgetreten."
QUIESCING = "msg.snapshot.error-QUIESCINGERROR"


def fault(kind: str, said: str = GERMAN, **fields: Any) -> Any:
    made = getattr(sdk.vim.fault, kind)(**fields)
    made.msg = said
    return made


def message(key: str, *arguments: Any) -> Any:
    values = [sdk.vmodl.KeyAnyValue(key=str(number), value=value) for number, value in enumerate(arguments, 1)]
    return sdk.vmodl.LocalizableMessage(key=key, arg=values, message=GERMAN)


def of_quiescing(made: Any) -> bool:
    error = translate(made, "vc", "complete the task")
    assert isinstance(error, VSphereFault)
    return is_of_quiescing(error)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"faultMessage": [message(QUIESCING)]}, True),
        ({"faultMessage": [message("msg.snapshot.quiesce.vmerr", "2", "script")]}, True),
        ({"faultMessage": [message("msg.checkpoint.save.fail2.std3", QUIESCING)]}, True),
        ({"faultMessage": [message("msg.a"), message(QUIESCING)]}, True),
        ({"faultMessage": [message("msg.fileio.lock", "[ds] quiescent/quiescent.vmdk", 7)]}, False),
        ({"faultMessage": []}, False),
        ({}, False),
    ],
)
def test_a_generic_fault_is_known_by_the_key_of_its_message(fields: dict[str, Any], expected: bool) -> None:
    assert of_quiescing(fault("GenericVmConfigFault", reason="x", **fields)) == expected


def test_a_fault_is_known_by_what_caused_it() -> None:
    assert of_quiescing(fault("GenericVmConfigFault", faultCause=fault("ApplicationQuiesceFault")))
    keyed = fault("FileFault", file="x", faultMessage=[message(QUIESCING)])
    assert of_quiescing(fault("GenericVmConfigFault", faultCause=fault("FileFault", faultCause=keyed)))
    assert not of_quiescing(fault("GenericVmConfigFault", faultCause=fault("FileFault", file="x")))


@pytest.mark.parametrize("kind", ["ApplicationQuiesceFault", "FilesystemQuiesceFault", "ToolsUnavailable"])
def test_a_fault_of_the_guest_needs_no_text(kind: str) -> None:
    assert of_quiescing(fault(kind))


def test_english_text_still_tells() -> None:
    assert of_quiescing(fault("GenericVmConfigFault", "Failed to quiesce the virtual machine."))
    assert not of_quiescing(fault("FileLocked", "The file is locked."))
