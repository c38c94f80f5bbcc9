# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest: that of a received snapshot is decoded or refused, and does not fill the memory."""

from __future__ import annotations

import base64
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import manifest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.manifest import (
    DAMAGED,
    MOST_BYTES,
    PART,
    decode,
    encode,
    parts_in,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.snapshots import MAX_PROPERTY_VALUE

GOOD: dict[str, Any] = {"version": 2, "vmware_snapshot": "a", "vms": [{"level": "still"}], "problems": ["b"]}


def pack(text: bytes) -> str:
    return base64.b64encode(zlib.compress(text, 9)).decode()


WHOLE = pack(json.dumps(GOOD).encode())


def test_what_is_encoded_is_decoded() -> None:
    assert decode("".join(encode(GOOD)), (2,)) == GOOD


def test_parts_are_as_long_as_a_property_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_PROPERTY_VALUE == 8191
    monkeypatch.setattr(manifest, "MAX_PROPERTY_VALUE", 7)
    parts = encode(GOOD)
    assert {len(part) for part in parts[:-1]} == {7} and 0 < len(parts[-1]) <= 7
    assert decode("".join(parts), (2,)) == GOOD


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [((), ""), ((0,), "0"), ((1, 2), ""), ((0, 1, 2), "012"), ((0, 2), "0"), ((0, 1, 10), "01")],
)
def test_parts_are_read_up_to_the_first_that_is_missing(numbers: tuple[int, ...], expected: str) -> None:
    assert "".join(parts_in({f"{PART}{number}": str(number) for number in numbers})) == expected
    assert parts_in({f"{PART}0": "a", f"{PART}1": "", f"{PART}2": "c"}) == ["a"]


def test_only_a_version_that_is_asked_for_is_understood() -> None:
    text = "".join(encode(GOOD))
    assert decode(text, (1, 2))["version"] == 2
    with pytest.raises(ValueError, match="the version of the manifest is unknown"):
        decode(text, (1,))


@pytest.mark.parametrize(
    "text",
    [
        "", "!", "AAAA", "é", "\udcff", pack(b""), pack(b"{"), pack(b"\xff"), pack(b"[" * 100_000), pack(b"9" * 10_000),
        WHOLE[:-4], WHOLE + "A", WHOLE[4:],
        pack(json.dumps({**GOOD, "version": [2]}).encode()), pack(json.dumps({**GOOD, "vms": [7]}).encode()),
        pack(json.dumps({**GOOD, "vms": [{"level": ["still"]}]}).encode()),
        pack(json.dumps({key: GOOD[key] for key in ("version", "vms", "problems")}).encode()),
    ],
)  # fmt: skip
def test_what_is_damaged_raises_nothing_else(text: str) -> None:
    with pytest.raises(DAMAGED):
        decode(text, (2,))


def test_problems_are_sentences_whatever_they_were() -> None:
    assert decode("".join(encode({**GOOD, "problems": [7, None, "x"]})), (2,))["problems"] == ["7", "None", "x"]


@pytest.mark.parametrize("times", [1, 3])
def test_a_long_one_is_not_unpacked(times: int) -> None:
    text = pack(b" " * (MOST_BYTES * times + 1))
    tracemalloc.start()
    with pytest.raises(ValueError, match="is incomplete or too long"):
        decode(text, (2,))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * MOST_BYTES


def test_one_of_the_greatest_length_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    length = len(json.dumps(GOOD, separators=(",", ":")))
    monkeypatch.setattr(manifest, "MOST_BYTES", length)
    assert decode("".join(encode(GOOD)), (2,)) == GOOD
    monkeypatch.setattr(manifest, "MOST_BYTES", length - 1)
    with pytest.raises(ValueError, match="too long"):
        decode("".join(encode(GOOD)), (2,))
