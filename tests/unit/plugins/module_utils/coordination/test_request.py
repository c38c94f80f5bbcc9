# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run is asked for: values that make no sense are refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.request import Limits, Policy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.errors import InputError


def test_the_defaults_make_sense() -> None:
    Policy().check()
    assert Policy().forbidden() == frozenset()
    assert Policy(on_quiesce_failure="fail", on_vm_failure="fail").forbidden() == {"quiesce", "vm"}


@pytest.mark.parametrize(
    "values",
    [
        {"on_quiesce_failure": "ignore"},
        {"on_vm_failure": "skip"},
        {"limits": Limits(0, 8)},
        {"limits": Limits(32, -1)},
        {"vm_timeout": 0.0},
        {"max_hold": -1.0},
        {"vm_timeout": float("nan")},
        {"max_hold": float("nan")},
        {"vm_timeout": float("inf"), "max_hold": float("inf")},
        {"vm_timeout": 10.0, "max_hold": 5.0},
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        Policy(**values).check()
    assert caught.value.remedy
