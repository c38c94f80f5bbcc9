# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of snapshots from a naming schema."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.schedule.naming import check_schema, name_at

MOMENT = datetime(2026, 1, 31, 2, 5, 9, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ("auto-%Y-%m-%d_%H-%M", "auto-2026-01-31_02-05"),
        ("%Y%m%d%H%M%S", "20260131020509"),
        ("hour-%s", "hour-1769817909"),
        ("%%s-%Y-%m-%d_%H-%M", "%s-2026-01-31_02-05"),
        ("%s-%%", "1769817909-%"),
    ],
)
def test_names(schema: str, name: str) -> None:
    assert name_at(schema, MOMENT) == name


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("auto-%Y-%m-%d", "lacks %H %M"),
        ("auto", "lacks %Y %m %d %H %M"),
        ("", "lacks"),
        ("%%Y-%m-%d_%H-%M", "lacks %Y"),
        ("%%s", "lacks"),
        ("%Y-%m-%d_%H-%M%", "holds %,"),
        ("%Y-%m-%d_%H-%M-%Q", "holds %Q"),
        ("%-d-%Y-%m-%d_%H-%M", "holds %-"),
    ],
)
def test_schemas_that_could_give_two_minutes_one_name(schema: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        check_schema(schema)
    assert (said in str(caught.value) and "use" in str(caught.value)) or "add" in str(caught.value)
