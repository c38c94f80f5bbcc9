# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation of time limits."""

from __future__ import annotations

import threading

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.seconds import LONGEST, check_seconds


@pytest.mark.parametrize("value", [0.001, 15.0, 604800.0])
def test_what_can_be_waited(value: float) -> None:
    check_seconds("call_timeout", value)
    check_seconds("lock_timeout", value, zero=True)


@pytest.mark.parametrize("value", [-1.0, 604801.0, 1e300, float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("zero", [False, True])
def test_what_cannot_be_waited(value: float, zero: bool) -> None:
    with pytest.raises(InputError, match=f"lock_timeout is {value:g}; set it to ".replace("+", r"\+")):
        check_seconds("lock_timeout", value, zero)


def test_zero_is_a_time_only_where_nothing_is_waited_for() -> None:
    check_seconds("lock_timeout", 0, zero=True)
    with pytest.raises(InputError, match="call_timeout is 0; set it to more than zero seconds"):
        check_seconds("call_timeout", 0)


def test_the_longest_is_one_that_python_can_wait() -> None:
    assert LONGEST < threading.TIMEOUT_MAX
