# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check that commands and YAML blocks in the documentation are valid, errors are explained, and the site builds."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.quiesce.vmware_zfs.plugins import module_utils
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import QuiesceError

from . import site
from .blocks import (
    LANGUAGES,
    Block,
    blocks,
    check_command,
    check_module,
    check_plays,
    check_role,
    commands,
    plays,
    role_of,
    tasks,
)
from .tools import ROOT, files, run

SHELL = blocks("shell")
YAML = blocks("yaml")
UNWRITTEN = {ROOT / "docs" / name for name in ("benchmarks.md",)}
AWX_VARIABLES = re.findall(r"^(awx_\w+):", (ROOT / "playbooks" / "vars" / "awx.yml").read_text(), re.MULTILINE)


def test_every_block_says_what_it_is() -> None:
    assert [f"{block}: {block.language}" for block in blocks() if block.language not in LANGUAGES] == []
    assert len(SHELL) > 25 and len(YAML) > 20  # ensure that blocks are found


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_a_shell_block_is_understood_and_its_commands_exist(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    assert [said for command in commands(block) if (said := check_command(command))] == []


def test_a_wrong_command_is_noticed() -> None:
    wrong = [
        "make demonstration", "vmware-zfs run --dry-run", "vmware-zfs list", "tests/lab/lab destroy",
        "tests/lab/lab ssh vmware-zfs stat", "ansible-playbook quiesce.vmware_zfs.sight",
        "ansible-galaxy role remove -x",
        "journalctl -u vmware-zfs-recovery.service", "systemctl status vmware-zfs-job@1.service", "frobnicate",
        "build/venv/bin/python -m pytest tests/nowhere", "ansible-playbook --chek site.yml",
    ]  # fmt: skip
    assert [command for command in wrong if not check_command(command)] == []


@pytest.mark.parametrize(
    "command", ["read -rs SECRET", "git clone https://example.com/a.git", "sudo apt install a", "apt-get update"]
)
def test_a_program_of_others_may_be_used(command: str) -> None:
    assert check_command(command) == ""


@pytest.mark.parametrize("block", YAML, ids=str)
def test_the_options_and_variables_of_a_yaml_block_exist(block: Block, tmp_path: Path) -> None:
    data = yaml.safe_load(block.text)
    found = plays(block)
    if found:
        assert check_plays(found) == []
    elif all(isinstance(value, dict) and "hosts" in value for value in data.values()):
        inventory = tmp_path / "inventory.yml"
        inventory.write_text(block.text)
        listed = json.loads(run("ansible-inventory", "--inventory", str(inventory), "--list").stdout)
        assert listed["_meta"]["hostvars"] or listed["all"]["children"]
    else:
        assert [name for name in data if not role_of(name) and name not in AWX_VARIABLES] == []
        for role in {role_of(name) for name in data} - {""}:
            assert check_role(role, data) == []


def test_ansible_understands_every_playbook(tmp_path: Path) -> None:
    """Check all playbooks in one call, because starting Ansible takes longer than parsing them."""
    playbooks = []
    for number, block in enumerate(YAML):
        if plays(block):
            playbooks.append(tmp_path / f"{number}.yml")
            playbooks[-1].write_text(yaml.safe_dump(plays(block)))
    run("ansible-playbook", "--syntax-check", *map(str, playbooks))


@pytest.mark.parametrize("name", files("plugins/modules/*.py"))
def test_the_examples_of_a_module_are_understood(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text())
    (examples,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "EXAMPLES"
    ]
    assert check_plays([{"tasks": yaml.safe_load(examples)}]) == []


def test_wrong_options_and_variables_are_noticed() -> None:
    def task(module: str, **options: object) -> list[str]:
        return check_module(module, options)

    assert task("vmware_coordinated_snapshot", dataset="a", recursiv=True)
    assert task("vmware_coordinated_snapshot", dataset="a", on_vm_failure="ignore")
    assert task("vmware_coordinated_snapshot", dataset="a", name="b", naming_schema="c")
    assert task("vmware_coordinated_snapshot") and task("vmware_snapshot_destroy", dataset="a")
    assert not task("vmware_coordinated_snapshot", dataset="{{ a }}", recursive="{{ b }}", vm_timeout="{{ c }}")
    assert check_role("snapshot_task", {"snapshot_task_tasks": [{"dataset": "a", "lifetime": 1}]})
    assert check_role("runtime", {"runtime_pyton": "/usr/bin/python3"})


def errors() -> set[str]:
    """Return the names of all error classes of the engine."""
    found = {QuiesceError}
    for module in pkgutil.walk_packages(module_utils.__path__, f"{module_utils.__name__}."):
        members = vars(importlib.import_module(module.name)).values()
        found |= {each for each in members if inspect.isclass(each) and issubclass(each, QuiesceError)}
    return {each.__name__ for each in found}


def test_every_kind_of_error_is_explained_and_nothing_else_is() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    explained = re.findall(r"^### (\w+)$", page, re.MULTILINE)
    assert sorted(explained) == sorted(errors())


def test_the_messages_that_are_explained_are_messages() -> None:
    """Each text between placeholders in the message tables must exist in the engine."""
    said = []
    for name in files("plugins/module_utils/*.py"):
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                said.append(node.value)
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    tables = re.findall(r"^\| the message says \|.*?\n\n", page, re.DOTALL | re.MULTILINE)
    rows = [row for table in tables for row in table.strip().splitlines()[2:]]
    quoted = [text for row in rows for text in re.findall(r"`([^`]+)`", row.split("|")[1])]
    pieces = [piece.strip() for text in quoted for piece in text.split("...") if piece.strip()]
    assert len(pieces) > 15 and [piece for piece in pieces if not any(piece in text for text in said)] == []


@pytest.mark.parametrize("page", files("*.md"))
def test_a_link_leads_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in link]
    there = [(ROOT / page).parent.joinpath(link).resolve() for link in links]
    assert [str(path) for path in there if not path.exists() and path not in UNWRITTEN] == []


def test_the_site_builds_and_needs_nothing_from_the_network() -> None:
    first = site.build()
    pages = list(first.parent.rglob("*.html"))
    names = {page.relative_to(first.parent).as_posix() for page in pages}
    for module in files("plugins/modules/*.py"):
        assert f"reference/{Path(module).stem}_module.html" in names
    for page in files("docs/*.md"):
        assert f"{page.removeprefix('docs/').removesuffix('.md')}.html" in names
    loaded = re.compile(r"<(?:script|link|img)[^>]+(?:src|href)=\"(?:https?:)?//[^\"]+\.(?:js|css|woff2?|png|svg)")
    assert [page.name for page in pages if loaded.search(page.read_text())] == []


def test_what_the_tutorial_says_is_what_the_lab_has() -> None:
    """tests/lab/test_tour.py follows docs/start/lab.md. This test checks only that its names exist in the lab."""
    playbook, policies = [block for block in YAML if block.page == "docs/start/lab.md"]
    used = set(re.findall(r"\{\{ (vcenter_\w+) \}\}", playbook.text))
    assert used == set(re.findall(r"\"(vcenter_\w+)\":", (ROOT / "tests" / "lab" / "by_hand.py").read_text()))
    assert list(tasks(plays(playbook)[0])) == []
    assert list(yaml.safe_load(policies.text)) == ["snapshot_task_policies"]
