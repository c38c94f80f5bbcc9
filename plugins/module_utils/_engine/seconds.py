# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validates time limits, which users give in seconds."""

from __future__ import annotations

from .errors import InputError

LONGEST = 604_800.0  # a week; timeouts of sockets and locks must stay far below the maximum of a C integer


def check_seconds(name: str, value: float, zero: bool = False) -> None:
    """Raise InputError unless the option `name` is a valid time limit: above zero, or zero if `zero` is true."""
    if value > LONGEST:
        raise InputError(f"{name} is {value:g}", f"Set it to at most {LONGEST:.0f} seconds (a week)")
    if not (value > 0 or (zero and value == 0)):  # nan is neither
        raise InputError(f"{name} is {value:g}", f"Set it to {'zero or more' if zero else 'more than zero'} seconds")
