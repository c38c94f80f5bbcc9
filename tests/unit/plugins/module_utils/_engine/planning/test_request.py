# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request of a run: invalid values are refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Limits, Policy


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("lock_timeout", -1.0, "lock_timeout is -1; set it to zero or more seconds"),
        ("lock_timeout", float("inf"), "lock_timeout is inf"),
        ("lock_timeout", float("nan"), "lock_timeout is nan"),
        ("aliases", ("nfs.example.com:/tank",), "is neither a host name nor an IP address"),
        ("aliases", ("10.0.0.0/24",), "is neither a host name nor an IP address"),
        ("aliases", ("10.0.0.300",), "is neither a host name nor an IP address"),
        ("aliases", ("",), "is neither a host name nor an IP address"),
        ("policy", Policy(exclude_vms=("db", " ")), "exclude_vms has an empty entry; set a VM"),
        ("policy", Policy(vm_timeout=1e300, max_hold=1e300), "vm_timeout is 1e"),
    ],
)
def test_what_cannot_be_meant_is_refused(option: str, value: Any, said: str) -> None:
    values = {"dataset": "tank/a", "snapshot": "one", option: value}
    with pytest.raises(InputError) as caught:
        Request(**values).check()
    assert said in str(caught.value) and caught.value.remedy


def test_what_can_be_meant_is_taken() -> None:
    Request("tank/a", "one", lock_timeout=0.0, aliases=("nfs.example.com", "10.0.0.1", "fd00::1")).check()


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
