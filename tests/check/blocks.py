# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The code blocks of the documentation and how to validate them."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Iterator, Mapping

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import main as cli

from tests.lab import command_line

from .tools import ROOT, files

COLLECTION = "quiesce.vmware_zfs"
LANGUAGES = ("shell", "yaml", "text", "python", "{toctree}")
_FENCE = re.compile(r"^( *)```(\S*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_TEMPLATE = re.compile(r"\{\{.*\}\}", re.DOTALL)
_STAND_INS = {"int": 1, "float": 1.0, "bool": True, "list": [], "dict": {}}
# Let an Ansible program parse its arguments without running it. Use a separate process: after the Ansible controller
# has been imported, modules print their warnings instead of returning them.
_ANSIBLE_PARSER = """
import importlib, sys
program = sys.argv[1]
module = importlib.import_module("ansible.cli." + (program.removeprefix("ansible-") if "-" in program else "adhoc"))
(client,) = [
    each for name, each in vars(module).items()
    if isinstance(each, type) and name.endswith("CLI") and each.__module__ == module.__name__
]
interpreter = client(sys.argv[1:])
interpreter.init_parser()
interpreter.parser.parse_args(sys.argv[2:])
"""
# Programs of other projects: only their names are checked.
_OTHERS = {
    "ansible-vault", "curl", "dmesg", "exportfs", "grep", "midclt", "openssl", "sh", "zfs", "zpool", "base64", "cut",
    "python3", "sort", "tr", "cd", "export", "read", "git", "apt", "apt-get", "ls", "systemd-run",
}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A fenced block: its position, its language, and its text without the indentation of the fence."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of README.md, CONTRIBUTING.md, docs/ and the roles in these languages (default: all)."""
    found = []
    for page in files("README.md", "CONTRIBUTING.md", "docs/*.md", "roles/*/README.md"):
        text = (ROOT / page).read_text()
        for match in _FENCE.finditer(text):
            indent, language, inside = match.groups()
            lines = [line.removeprefix(indent) for line in inside.splitlines()]
            number = text.count("\n", 0, match.start()) + 1
            found.append(Block(page, number, language, "\n".join(lines) + "\n"))
    return [block for block in found if not languages or block.language in languages]


# ---- YAML


def plays(block: Block) -> list[dict[str, Any]]:
    """Return the plays of a block. Wrap a list of tasks in a play. Return an empty list for other blocks."""
    data = yaml.safe_load(block.text)
    if not isinstance(data, list):
        return []
    if all("hosts" in entry or "ansible.builtin.import_playbook" in entry for entry in data):
        return data
    if all("role" in entry for entry in data):
        return [{"name": "A play", "hosts": "storage", "roles": data}]
    return [{"name": "A play", "hosts": "storage", "tasks": data}]


def check_plays(found: list[dict[str, Any]]) -> list[str]:
    """Return the errors in the options of this collection's modules and in the variables of its roles."""
    wrong: list[str] = []
    for play in found:
        given = {**play.get("vars", {})}
        for role in play.get("roles", []):
            given.update({name: value for name, value in role.items() if name not in ("role", "tags", "when", "vars")})
            if role["role"].startswith(COLLECTION):
                wrong += check_role(role["role"].rpartition(".")[2], given)
        if "ansible.builtin.import_playbook" in play:
            wrong += [problem for role in ROLES for problem in check_role(role, given)]
            wrong += [f"no role has the variable {name}" for name in given if not role_of(name)]
        for task in tasks(play):
            for name, options in task.items():
                if name.startswith(f"{COLLECTION}.vmware"):
                    wrong += check_module(name.rpartition(".")[2], options or {})
    return wrong


def tasks(play: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for part in ("pre_tasks", "tasks", "post_tasks", "handlers", "block", "rescue", "always"):
        for task in play.get(part, []):
            yield task
            yield from tasks(task)


def check_module(name: str, options: Mapping[str, Any]) -> list[str]:
    """Return the errors from the argument spec of the module. A template counts as a value of the right type."""
    try:
        spec = importlib.import_module(f"ansible_collections.{COLLECTION}.plugins.modules.{name}").SPEC
    except ImportError:
        return [f"there is no module {name}"]
    validator = ArgumentSpecValidator(
        dict(spec.options),
        mutually_exclusive=spec.mutually_exclusive,
        required_one_of=spec.required_one_of,
        required_if=spec.required_if,
    )
    result = validator.validate(filled(options, spec.options))
    return [f"{name}: {message}" for message in result.error_messages]


ROLES: dict[str, dict[str, Any]] = {
    path.parent.parent.name: {
        name: option
        for point in yaml.safe_load(path.read_text())["argument_specs"].values()
        for name, option in point["options"].items()
    }
    for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))
}


def role_of(variable: str) -> str:
    return next((role for role, options in ROLES.items() if variable in options), "")


def check_role(role: str, given: Mapping[str, Any]) -> list[str]:
    """Return the errors that the argument spec of the role reports for the variables of the role."""
    own = {name: value for name, value in given.items() if name.startswith(f"{role}_")}
    described = {name: option for name, option in ROLES[role].items() if name in own or option.get("required")}
    result = ArgumentSpecValidator(described).validate(filled(own, described))
    return [f"role {role}: {message}" for message in result.error_messages]


def filled(given: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Replace each template in `given` by a value of the right type, at all levels that the options describe."""
    return {name: _filled(value, options.get(name, {})) for name, value in given.items()}


def _filled(value: Any, option: Mapping[str, Any]) -> Any:
    if isinstance(value, str) and _TEMPLATE.search(value):
        return option.get("choices", [_STAND_INS.get(option.get("type", "str"), "x")])[0]
    if isinstance(value, dict) and option.get("options"):
        return filled(value, option["options"])
    if isinstance(value, list) and option.get("options"):
        return [filled(each, option["options"]) if isinstance(each, dict) else each for each in value]
    return value


# ---- Shell


def check_command(line: str) -> str:
    """Return the error in one simple command, or "" if no error was found."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    if words and words[0] == "sudo":
        words.pop(0)
    if not words:
        return ""
    program, *arguments = words
    if program == "make":
        known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        unknown = [word for word in arguments if "=" not in word and word not in known]
        return f"make has no {unknown}" if unknown else ""
    if program in ("vmware-zfs", "/usr/local/bin/vmware-zfs"):
        return _parse(cli._parser(), arguments)
    if program == "tests/lab/lab":
        said = _parse(command_line._parser(), arguments)
        inside = arguments[arguments.index("ssh") + 1 :] if "ssh" in arguments else []
        inside = inside[1:] if inside[:1] == ["-t"] else inside
        return said or (check_command(shlex.join(inside)) if inside else "")
    if program in ("systemctl", "journalctl"):
        return _units(arguments)
    if program.endswith(("ansible-playbook", "ansible-galaxy", "ansible-doc", "ansible")):
        return _ansible(program.rpartition("/")[2], arguments)
    if program.startswith("build/venv/bin/"):
        paths = [word for word in arguments if word.startswith("tests/")]
        missing = [word for word in paths if not (ROOT / word.partition("::")[0]).exists()]
        return f"there is no {missing}" if missing else ""
    return "" if program in _OTHERS else f"'{program}' is not known"


def _parse(parser: Any, arguments: list[str]) -> str:
    given = ["1" if word == "TASK" else word for word in arguments]
    parser.exit_on_error = False
    try:
        parser.parse_args(given)
    except SystemExit as end:
        return "" if end.code in (0, None) else f"{parser.prog} does not understand {arguments}"
    except Exception as error:
        return f"{parser.prog} does not understand {arguments}: {error}"
    return ""


def _units(arguments: list[str]) -> str:
    there = {path.name.removesuffix(".j2") for path in ROOT.glob("roles/runtime/templates/*.service.j2")}
    there |= {path.name.removesuffix(".j2") for path in ROOT.glob("roles/runtime/templates/*.timer.j2")}
    there.add("vmware-zfs-task@.timer")  # the engine writes the timers of the tasks
    named = [word for word in arguments if word.startswith("vmware-zfs")]
    plain = {re.sub(r"@[^.]*", "@", word) for word in named}
    unknown = [word for word in plain if not any(unit.startswith(word.removesuffix("*")) for unit in there)]
    return f"no unit is called {unknown}" if unknown else ""


def _ansible(program: str, arguments: list[str]) -> str:
    for word in arguments:
        if word.startswith(f"{COLLECTION}."):
            name = word.rpartition(".")[2]
            places = (f"playbooks/{name}.yml", f"plugins/modules/{name}.py", f"roles/{name}/tasks/main.yml")
            if not any((ROOT / place).exists() for place in places):
                return f"there is no {word}"
    command = [sys.executable, "-c", _ANSIBLE_PARSER, program, *arguments]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if asked.returncode == 0 else f"{program} does not understand {arguments}: {asked.stderr.strip()}"


def commands(block: Block) -> list[str]:
    """Return the simple commands of a shell block, without shell syntax."""
    joined = block.text.replace("\\\n", " ")
    if "'\n" in joined:  # a quoted script
        return []
    parts = [part for line in joined.splitlines() for part in re.split(r"\|\|?|&&", line)]
    return [re.sub(r"\s\d?[<>]\S+", "", part).strip() for part in parts if part.strip()]
