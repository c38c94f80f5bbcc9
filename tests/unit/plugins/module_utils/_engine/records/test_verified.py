# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict of a drill on a ZFS snapshot: what is stored, and what counts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import RUN
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.verified import (
    KEY,
    Verified,
    VmVerdict,
    is_verified,
    verdict_in,
)

MAIL = VmVerdict("mail", "mail/mail.vmx", "verified", "2026-11-28T09:00:00Z")
DB = replace(MAIL, name="db", vmx="db/db.vmx")
VERDICT = Verified("run-1", "drill-1", "2026-11-28T09:00:00Z", 12.5, "verified", (MAIL,))


def properties(text: str, run: str = "run-1") -> dict[str, str]:
    return {KEY: text, RUN: run}


def test_what_is_stored_can_be_read() -> None:
    assert verdict_in(properties(VERDICT.text())) == VERDICT and is_verified(properties(VERDICT.text()))


@pytest.mark.parametrize(
    "text",
    [
        "", "yes", "[]", "null", "{}", VERDICT.text()[:-1], VERDICT.text().replace('"vms":[', '"vms":[1,'),
        VERDICT.text().replace("12.5", '"soon"'), VERDICT.text().replace('"verified"', '"excellent"'), "[" * 100_000,
    ],
)  # fmt: skip
def test_a_damaged_verdict_is_none(text: str) -> None:
    assert verdict_in(properties(text)) is None and not is_verified(properties(text))


def test_the_verdict_on_another_snapshot_does_not_count() -> None:
    assert verdict_in(properties(VERDICT.text(), "run-2")) is None
    assert verdict_in({KEY: VERDICT.text()}) is None


@pytest.mark.parametrize("result", ["booted", "inconclusive", "failed"])
def test_only_verified_is_verified(result: str) -> None:
    assert not is_verified(properties(replace(VERDICT, result=result).text()))


def test_another_drill_keeps_the_verdicts_on_other_vms() -> None:
    later = replace(VERDICT, drill="drill-2", vms=(DB,))
    both = later.after(VERDICT)
    assert both.vms == (DB, MAIL) and both.result == "verified" and both.drill == "drill-2"
    failed = replace(VERDICT, result="failed", vms=(replace(MAIL, verdict="failed"),))
    assert later.after(failed).result == "failed", "the VM that failed was not tried again"
    assert VERDICT.after(failed).result == "verified" and VERDICT.after(None) == VERDICT


def test_a_list_that_is_too_long_is_cut_and_names_what_failed() -> None:
    many = tuple(replace(MAIL, name=f"vm-{number}", vmx=f"{number}/vm.vmx") for number in range(500))
    bad = replace(MAIL, name="bad", vmx="bad/bad.vmx", verdict="failed")
    text = replace(VERDICT, result="failed", vms=(*many, bad)).text()
    assert len(text) <= 8191 and text.isascii()
    read = verdict_in(properties(text))
    assert read is not None and read.vms[0] == bad and len(read.vms) + read.more == 501 and read.result == "failed"


def test_a_name_cannot_imitate_other_properties() -> None:
    text = replace(VERDICT, vms=(replace(MAIL, name="a\tb\nc\udcff"),)).text()
    assert text.isprintable() and json.loads(text)["vms"][0]["name"] == "a\tb\nc\udcff"
