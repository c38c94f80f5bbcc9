# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of snapshots from a naming schema with strftime date codes. Every minute must have a different name."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import count
from typing import Callable, Iterator

from ..errors import InputError
from ..text import printable
from ..zfs.names import check_snapshot

DEFAULT_SCHEMA = "auto-%Y-%m-%d_%H-%M"
REQUIRED = ("%Y", "%m", "%d", "%H", "%M")
_KNOWN = frozenset("YmdHMSsyjUWVGuzZabAB%fIp")  # date codes with the same result on every platform


def check_schema(schema: str, dataset: str = "") -> str:
    """Return `schema` if it produces a unique and valid snapshot name of `dataset` for every minute of the year.

    It must contain %Y %m %d %H %M, or %s. Raises InputError.
    """
    shown = f"The naming schema '{printable(schema, 80)}'"
    directives = re.findall(r"%(.?)", schema)
    unknown = sorted({directive for directive in directives if directive not in _KNOWN or not directive})
    if unknown:
        raise InputError(
            f"{shown} contains %{unknown[0]}, which is not a supported date code",
            "Use date codes of strftime, for example auto-%Y-%m-%d_%H-%M",
        )
    missing = [part for part in REQUIRED if part[1] not in directives]
    if missing and "s" not in directives:
        raise InputError(
            f"{shown} lacks {' '.join(missing)}, so two snapshots could get the same name",
            "Add them, for example auto-%Y-%m-%d_%H-%M, or use %s",
        )
    if (
        "z" in directives
    ):  # also if the offset starts with '-' here, because it may start with '+' in summer or elsewhere
        raise InputError(
            f"{shown} contains %z, which produces a '+' in time zones at or east of Greenwich, and ZFS does not allow "
            "'+' in names",
            "Remove %z, because names in a repeated hour are unique without it, or use %s, the seconds since 1970",
        )
    try:
        for name in _samples(schema):
            check_snapshot(dataset, name)
    except InputError as error:
        raise InputError(
            f"{shown} produces names that ZFS does not accept: {error.problem}",
            "Use only letters, digits and '_-.: ' around the date codes, for example auto-%Y-%m-%d_%H-%M",
        ) from None
    return schema


def _samples(schema: str) -> Iterator[str]:
    """Yield names of this year that cover each month, day of the week, half of the day and time zone of this host."""
    if not (schema.isascii() and schema.isprintable()):
        yield schema  # ZFS does not accept such a name, and strftime may fail
        return
    year = datetime.now().year
    for month in range(1, 13):
        for day in range(22, 29):
            for hour in (3, 15):
                yield name_at(schema, datetime(year, month, day, hour, 59, 59, 999999).astimezone())


def name_at(schema: str, moment: datetime) -> str:
    """Return the name for a snapshot taken at `moment` (with time zone). `schema` must have passed check_schema()."""
    seconds = str(int(moment.timestamp()))  # strftime does not support %s on every platform
    return moment.strftime(re.sub(r"%%|%s", lambda found: found[0] if found[0] == "%%" else seconds, schema))


def unused_name(schema: str, moment: datetime, used: Callable[[str], bool]) -> str:
    """Return the name at `moment`. If it is in use, by another task or because the clock was set back, the seconds
    since 1970 are appended, and then a number.
    """
    return next(name for name in _names(schema, moment) if not used(name))


def _names(schema: str, moment: datetime) -> Iterator[str]:
    name = name_at(schema, moment)
    yield name
    yield f"{name}-{int(moment.timestamp())}"
    for number in count(2):
        yield f"{name}-{int(moment.timestamp())}-{number}"
