# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run playbooks/awx.yml with the real modules of awx.awx: AWX accepts all objects, a second run changes nothing, and
the workflow has the correct branches.
"""

from __future__ import annotations

import re

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.levels import LEVELS

from . import rules
from .api import Awx
from .define import SECRET, define


def recap(said: str) -> tuple[int, int]:
    found = re.search(r"changed=(\d+) .*failed=(\d+)", said)
    assert found, said
    return int(found[1]), int(found[2])


def after(awx: Awx, identifier: str, outcome: str) -> list[str]:
    """Return the workflow nodes that follow `identifier` on this outcome."""
    node = awx.named("workflow_job_template_nodes", identifier, "identifier")
    numbers = awx.linked[f"{node['url']}{outcome}_nodes/"]
    return [awx.find("workflow_job_template_nodes", number)["identifier"] for number in numbers]


def test_awx_accepts_every_definition_and_a_second_run_changes_nothing(defined: Awx) -> None:
    """The fixture already ran it once."""
    names = {
        kind: {item["name"] for item in items.values() if "name" in item} for kind, items in defined.objects.items()
    }
    assert len(names["job_templates"]) == 8 and len(names["schedules"]) == 3
    assert {item["playbook"] for item in defined.objects["job_templates"].values()} == set(defined.playbooks)
    again = define(defined)
    assert recap(again.stdout) == (0, 0), again.stdout
    assert SECRET not in again.stdout


def test_the_workflow_branches_on_consistency(defined: Awx) -> None:
    assert after(defined, "snapshot", "success") == ["consistency"]
    assert after(defined, "snapshot", "failure") == ["recover"]
    assert after(defined, "consistency", "success") == ["follow-up"]
    assert after(defined, "consistency", "failure") == ["status"]
    assert after(defined, "recover", "always") == ["status"]
    survey = defined.named("workflow_job_templates", "VMware ZFS - snapshot and act on it")["survey_spec"]
    (question,) = [each for each in survey["spec"] if each["variable"] == "required_consistency"]
    assert tuple(question["choices"]) == LEVELS


def test_only_the_site_job_gets_the_password_of_vcenter(defined: Awx) -> None:
    vcenter = defined.named("credentials", "VMware ZFS vCenter")["id"]
    having = [
        item["name"]
        for item in defined.objects["job_templates"].values()
        if vcenter in defined.linked[f"{item['url']}credentials/"]
    ]
    assert having == ["VMware ZFS - site"]


def test_the_restore_jobs_have_an_account_of_their_own(defined: Awx) -> None:
    """Its privileges exceed those of the account for snapshots."""
    own = defined.named("credentials", "restores")["id"]
    having = [
        item["name"]
        for item in defined.objects["job_templates"].values()
        if own in defined.linked[f"{item['url']}credentials/"]
    ]
    assert having == ["VMware ZFS - restore VM", "VMware ZFS - restore drill", "VMware ZFS - mount snapshot"]


def test_what_awx_would_refuse_is_refused(defined: Awx) -> None:
    question = {"variable": "a", "type": "multiplechoice", "question_name": "A", "required": True, "choices": ["x"]}
    wrong: rules.Object
    for wrong in ({"default": "y"}, {"choices": []}, {"variable": "a b"}, {"type": "list"}):
        with pytest.raises(rules.Refused):
            rules.survey({"name": "", "description": "", "spec": [{**question, **wrong}]})
    with pytest.raises(rules.Refused, match="unknown field"):
        rules.credential_type({"inputs": {"fields": []}, "injectors": {"env": {"A": "{{ b }}"}}}, defined.find)
    recover = defined.named("job_templates", "VMware ZFS - recover")["id"]
    good = {"unified_job_template": recover, "rrule": "DTSTART:20260101T010000Z RRULE:FREQ=DAILY;INTERVAL=1"}
    rules.schedule(good, defined.find)
    for wrong in ({"rrule": good["rrule"].replace("DAILY", "NIGHTLY")}, {"extra_data": {"recover_scan": "perhaps"}}):
        with pytest.raises(rules.Refused):
            rules.schedule({**good, **wrong}, defined.find)
