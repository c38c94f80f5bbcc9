# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of snapshots from a naming schema: strftime, with the parts that tell two minutes apart."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import count
from typing import Callable, Iterator

from ..errors import InputError
from ..text import printable

DEFAULT_SCHEMA = "auto-%Y-%m-%d_%H-%M"
REQUIRED = ("%Y", "%m", "%d", "%H", "%M")
_KNOWN = frozenset("YmdHMSsyjUWVGuzZabAB%fIp")  # directives that give the same on every platform


def check_schema(schema: str) -> str:
    """Return `schema` if every minute gets a name of its own: it holds %Y %m %d %H %M, or %s. Raises InputError."""
    directives = re.findall(r"%(.?)", schema)
    unknown = sorted({directive for directive in directives if directive not in _KNOWN or not directive})
    if unknown:
        raise InputError(
            f"The naming schema '{printable(schema, 80)}' holds %{unknown[0]}, which is no known part of a date",
            "Use the parts of strftime, e.g. auto-%Y-%m-%d_%H-%M",
        )
    missing = [part for part in REQUIRED if part[1] not in directives]
    if missing and "s" not in directives:
        raise InputError(
            f"The naming schema '{printable(schema, 80)}' lacks {' '.join(missing)}: two snapshots could get one name",
            "Add them, e.g. auto-%Y-%m-%d_%H-%M, or use %s",
        )
    return schema


def name_at(schema: str, moment: datetime) -> str:
    """The name that `schema` gives a snapshot taken at `moment` (with its time zone). Raises InputError."""
    seconds = str(int(moment.timestamp()))  # %s is not on every platform
    text = re.sub(r"%%|%s", lambda found: found[0] if found[0] == "%%" else seconds, check_schema(schema))
    return moment.strftime(text)


def unused_name(schema: str, moment: datetime, used: Callable[[str], bool]) -> str:
    """The name at `moment`; with the seconds since 1970 behind it when that is used, as after clocks went back or by
    another task, and then with a number as well.
    """
    return next(name for name in _names(schema, moment) if not used(name))


def _names(schema: str, moment: datetime) -> Iterator[str]:
    name = name_at(schema, moment)
    yield name
    yield f"{name}-{int(moment.timestamp())}"
    for number in count(2):
        yield f"{name}-{int(moment.timestamp())}-{number}"
