# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time limits as a user gives them, in seconds."""

from __future__ import annotations

from .errors import InputError

LONGEST = 604_800.0  # a week; what sockets and locks are told has to stay far below what a C integer takes


def check_seconds(name: str, value: float, zero: bool = False) -> None:
    """Raise InputError unless the option `name` has a time that can be waited: above zero, or also 0 with `zero`."""
    if value > LONGEST:
        raise InputError(f"{name} is {value:g}", f"Give a number of seconds up to {LONGEST:.0f}, which is a week")
    if not (value > 0 or (zero and value == 0)):  # nan is neither
        raise InputError(f"{name} is {value:g}", f"Give a number of seconds {'from zero on' if zero else 'above zero'}")
