# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The validation rules of AWX for the objects that this collection creates. Each rule raises Refused."""

from __future__ import annotations

import operator
from typing import Any, Callable, Mapping

from dateutil.rrule import rrulestr
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

Object = dict[str, Any]
Find = Callable[[str, int], Object]

QUESTION_TYPES = {"text": str, "textarea": str, "password": str, "multiplechoice": str, "integer": int, "float": float}


class Refused(Exception):
    """AWX returns status 400 with this text."""


def refuse(condition: object, text: str) -> None:
    if condition:
        raise Refused(text)


def survey(spec: Mapping[str, Any]) -> None:
    """Validate a survey: all questions are complete, variables are unique, and defaults are valid answers."""
    refuse(
        {"name", "description", "spec"} - spec.keys(), "'name', 'description' and 'spec' are needed in a survey spec"
    )
    refuse(not isinstance(spec["spec"], list) or not spec["spec"], "'spec' must be a list of items that is not empty")
    variables = [question.get("variable") for question in spec["spec"]]
    refuse(len(set(variables)) != len(variables), f"a variable is duplicated in {variables}")
    for question in spec["spec"]:
        missing = {"variable", "type", "question_name", "required"} - question.keys()
        refuse(missing, f"{sorted(missing)} missing from survey question {question}")
        refuse(question["type"] not in QUESTION_TYPES, f"'{question['type']}' is not a question type")
        refuse(not str(question["variable"]).isidentifier(), f"'{question['variable']}' is not a variable")
        refuse(not isinstance(question["required"], bool), f"'required' is not a boolean in {question}")
        if question["type"] == "multiplechoice":
            refuse(not question.get("choices"), f"'{question['variable']}' has no choices")
            refuse(not all(isinstance(choice, str) for choice in question["choices"]), "choices are strings")
        if question.get("default") not in (None, ""):
            answer(question, question["default"])


def answer(question: Mapping[str, Any], value: Any) -> None:
    """Validate an answer to a survey question."""
    kind = QUESTION_TYPES[question["type"]]
    refuse(not isinstance(value, kind), f"Value {value!r} for '{question['variable']}' is no {kind.__name__}")
    size = value if kind is not str else len(value)
    bounded = question["type"] != "multiplechoice"
    for bound, wrong in (("min", operator.lt), ("max", operator.gt)):
        limit = question.get(bound)
        refuse(
            bounded and limit not in (None, "") and wrong(size, limit), f"'{question['variable']}' {bound} is {limit}"
        )
    refuse(not bounded and value not in question["choices"], f"{value!r} is not among {question['choices']}")


def answers(spec: Mapping[str, Any], given: Mapping[str, Any]) -> Object:
    """Return the variables of a launch with these answers, including defaults."""
    found: Object = {}
    known = {question["variable"] for question in spec["spec"]}
    refuse(given.keys() - known, f"Variables {sorted(given.keys() - known)} are not allowed on launch")
    for question in spec["spec"]:
        name = question["variable"]
        if name in given:
            answer(question, given[name])
            found[name] = given[name]
        elif question.get("default") not in (None, ""):
            found[name] = question["default"]
        else:
            refuse(question["required"], f"'{name}' value missing")
    return found


def credential_type(item: Mapping[str, Any], _find: Find) -> None:
    fields = item.get("inputs", {}).get("fields", [])
    names = [field.get("id") for field in fields]
    refuse([field for field in fields if not field.get("id") or not field.get("label")], "a field lacks id or label")
    refuse(set(item["inputs"].get("required", [])) - set(names), "'required' names an unknown field")
    injectors = item.get("injectors", {})
    refuse(injectors.keys() - {"env", "file", "extra_vars"}, f"unknown injectors {sorted(injectors)}")
    files = {name.partition(".")[2] for name in injectors.get("file", {})}
    inject(item, dict.fromkeys(names, "EXAMPLE"), dict.fromkeys(files, "EXAMPLE"), strict=True)


def inject(
    item: Mapping[str, Any], inputs: Mapping[str, Any], filenames: Mapping[str, str], strict: bool = False
) -> Object:
    """Render the injectors of a credential type: {"env": ..., "file": ..., "extra_vars": ...}."""
    environment = ImmutableSandboxedEnvironment(**({"undefined": StrictUndefined} if strict else {}))
    space = {**inputs, "tower": {"filename": dict(filenames)}}
    try:
        return {
            kind: {name: environment.from_string(template).render(space) for name, template in templates.items()}
            for kind, templates in item["injectors"].items()
        }
    except TemplateError as error:
        raise Refused(f"an injector uses an unknown field: {error}") from error


def credential(item: Mapping[str, Any], find: Find) -> None:
    kind = find("credential_types", item["credential_type"])
    fields = {field["id"]: field for field in kind["inputs"]["fields"]}
    refuse(item["inputs"].keys() - fields.keys(), f"unexpected inputs {sorted(item['inputs'].keys() - fields.keys())}")
    missing = [name for name in kind["inputs"].get("required", []) if not item["inputs"].get(name)]
    refuse(missing, f"required inputs {missing} are missing")
    refuse([value for value in item["inputs"].values() if not isinstance(value, str)], "inputs are strings")


def job_template(item: Mapping[str, Any], find: Find) -> None:
    project = find("projects", item["project"])
    find("inventories", item["inventory"])
    refuse(item["playbook"] not in project["playbooks"], f"Playbook {item['playbook']} not found for project")


def schedule(item: Mapping[str, Any], find: Find) -> None:
    template = find("unified_job_templates", item["unified_job_template"])
    refuse("DTSTART" not in item["rrule"], "Valid DTSTART required in rrule")
    refuse("INTERVAL" not in item["rrule"], "INTERVAL required in rrule")
    try:
        rrulestr(item["rrule"].replace(" ", "\n"))
    except ValueError as error:
        raise Refused(f"rrule parsing failed validation: {error}") from error
    answers(template["survey_spec"], item.get("extra_data") or {})


def node(item: Mapping[str, Any], find: Find) -> None:
    find("workflow_job_templates", item["workflow_job_template"])
    find("unified_job_templates", item["unified_job_template"])


RULES: dict[str, Callable[[Mapping[str, Any], Find], None]] = {
    "credential_types": credential_type,
    "credentials": credential,
    "job_templates": job_template,
    "schedules": schedule,
    "workflow_job_template_nodes": node,
}
