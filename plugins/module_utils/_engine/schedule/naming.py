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
from ..zfs.names import check_snapshot

DEFAULT_SCHEMA = "auto-%Y-%m-%d_%H-%M"
REQUIRED = ("%Y", "%m", "%d", "%H", "%M")
_KNOWN = frozenset("YmdHMSsyjUWVGuzZabAB%fIp")  # directives that give the same on every platform


def check_schema(schema: str, dataset: str = "") -> str:
    """Return `schema` if it gives every minute a name of its own, all year, that a snapshot of `dataset` can have.

    It holds %Y %m %d %H %M, or %s. Raises InputError.
    """
    shown = f"The naming schema '{printable(schema, 80)}'"
    directives = re.findall(r"%(.?)", schema)
    unknown = sorted({directive for directive in directives if directive not in _KNOWN or not directive})
    if unknown:
        raise InputError(
            f"{shown} holds %{unknown[0]}, which is no known part of a date",
            "Use the parts of strftime, e.g. auto-%Y-%m-%d_%H-%M",
        )
    missing = [part for part in REQUIRED if part[1] not in directives]
    if missing and "s" not in directives:
        raise InputError(
            f"{shown} lacks {' '.join(missing)}: two snapshots could get one name",
            "Add them, e.g. auto-%Y-%m-%d_%H-%M, or use %s",
        )
    if "z" in directives:  # also where it is a '-' here: the same schema fails in another time zone
        raise InputError(
            f"{shown} holds %z, which is written with a '+' at and east of Greenwich, and ZFS takes none in a name",
            "Leave %z out, as an hour that clocks repeat gets other names anyway, or use %s, the seconds since 1970",
        )
    try:
        for name in _samples(schema):
            check_snapshot(dataset, name)
    except InputError as error:
        raise InputError(
            f"{shown} makes names that ZFS refuses: {error.problem}",
            "Write only letters, digits and '_-.: ' around the parts of a date, e.g. auto-%Y-%m-%d_%H-%M",
        ) from None
    return schema


def _samples(schema: str) -> Iterator[str]:
    """Names of this year: each month, day of the week, half of the day and time zone of this host is in one of them."""
    if not (schema.isascii() and schema.isprintable()):
        yield schema  # ZFS takes no such name, and strftime may fail on it
        return
    year = datetime.now().year
    for month in range(1, 13):
        for day in range(22, 29):
            for hour in (3, 15):
                yield name_at(schema, datetime(year, month, day, hour, 59, 59, 999999).astimezone())


def name_at(schema: str, moment: datetime) -> str:
    """The name that `schema`, which check_schema() has seen, gives a snapshot taken at `moment` (with its zone)."""
    seconds = str(int(moment.timestamp()))  # %s is not on every platform
    return moment.strftime(re.sub(r"%%|%s", lambda found: found[0] if found[0] == "%%" else seconds, schema))


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
