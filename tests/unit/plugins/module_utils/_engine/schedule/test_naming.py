# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of snapshots from a naming schema."""

from __future__ import annotations

import time
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from typing import Callable, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.naming import check_schema, name_at
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import check_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

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


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def live_in(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield live_in
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("place", ["UTC", "Europe/Berlin", "Europe/London", "America/New_York"])
@pytest.mark.parametrize("schema", ["auto-%Y-%m-%d_%H-%M%z", "%s%z"])
def test_the_offset_from_utc_is_refused_wherever_the_host_is(
    place: str, schema: str, zone: Callable[[str], None]
) -> None:
    """West of Greenwich it would work, until the host or the playbook moves."""
    zone(place)
    with pytest.raises(InputError, match=r"contains %z.*; remove %z, .* or use %s, the seconds since 1970"):
        check_schema(schema)


def test_a_stored_schema_of_an_older_release_still_makes_names(zone: Callable[[str], None]) -> None:
    zone("America/New_York")
    assert name_at("%s%z", datetime.fromtimestamp(1769817909).astimezone()) == "1769817909-0500"


@pytest.mark.parametrize(
    ("place", "works"), [("Europe/Berlin", True), ("America/Sao_Paulo", True), ("Asia/Dubai", False), ("GMT0BST", True)]
)
def test_the_name_of_the_time_zone_is_as_good_as_the_names_of_a_whole_year(
    place: str, works: bool, zone: Callable[[str], None]
) -> None:
    zone(place)
    with nullcontext() if works else pytest.raises(InputError, match="only letters, digits"):
        check_schema("in%Z-%s")


def test_a_zone_whose_name_is_good_in_one_half_of_the_year(zone: Callable[[str], None]) -> None:
    zone("AAA3<+02>2,M3.5.0,M10.5.0")
    with pytest.raises(InputError, match=r"'in[+]02-[0-9]+' is not a valid snapshot name"):
        check_schema("in%Z-%s")


@pytest.mark.parametrize(
    "schema",
    [
        "a/%s",
        "a@%s",
        "a+%s",
        "it's-%s",
        "100%%-%s",
        "früh-%s",
        "%s\n",
        "%s\x00",
        "\udcff%s",
        "%s,%s",
        "#%s",
        "-%s",
        "(%s)",
    ],
)
def test_a_name_that_zfs_refuses_is_refused_before_it_is_stored(schema: str) -> None:
    with pytest.raises(
        InputError, match=r"produces names that ZFS does not accept: .* is not a valid snapshot name"
    ) as caught:
        check_schema(schema)
    assert "; use only letters, digits" in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize("schema", ["auto-%Y-%m-%d_%H-%M", "a b:%s.c", "%A_%B_%j_%p_%f-%Y%m%d%H%M", "%s"])
def test_what_zfs_takes_is_taken(schema: str) -> None:
    assert check_schema(schema, "tank/vmware") == schema


def test_the_longest_name_of_the_year_has_to_fit() -> None:
    """September is longer than May, and a task that is stored in May has to work then, too."""
    longest = len("tank@September-2026-01-01_00-00")
    check_schema("%B-%Y-%m-%d_%H-%M" + "x" * (255 - longest), "tank")
    with pytest.raises(InputError, match="it has 256 characters; the maximum is 255"):
        check_schema("%B-%Y-%m-%d_%H-%M" + "x" * (256 - longest), "tank")


@given(st.text(max_size=20), st.sampled_from(["%s", "%Y-%m-%d_%H-%M", "%z%s", "%Z%s", "%%s"]), st.text(max_size=20))
@settings(max_examples=200)
def test_every_schema_is_refused_or_works(before: str, parts: str, behind: str) -> None:
    schema = before + parts + behind
    try:
        check_schema(schema, "tank/vmware")
    except InputError as error:
        assert str(error).isprintable() and error.remedy
    else:
        check_snapshot("tank/vmware", name_at(schema, MOMENT.astimezone()))


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("auto-%Y-%m-%d", "lacks %H %M"),
        ("auto", "lacks %Y %m %d %H %M"),
        ("", "lacks"),
        ("%%Y-%m-%d_%H-%M", "lacks %Y"),
        ("%%s", "lacks"),
        ("%Y-%m-%d_%H-%M%", "contains %,"),
        ("%Y-%m-%d_%H-%M-%Q", "contains %Q"),
        ("%-d-%Y-%m-%d_%H-%M", "contains %-"),
    ],
)
def test_schemas_that_could_give_two_minutes_one_name(schema: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        check_schema(schema)
    assert (said in str(caught.value) and "use" in str(caught.value)) or "add" in str(caught.value)
