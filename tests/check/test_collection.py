# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the consistency of the collection's files."""

from __future__ import annotations

import ast
import importlib
import re
from typing import Any, Iterator

import pytest
import yaml
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runtime import python_environment

from ..lab.installed import LOWEST_CORE
from .ansible_test import CORES
from .tools import ROOT, files

MODULES = sorted(name.rpartition("/")[2][: -len(".py")] for name in files("plugins/modules/*.py"))
ROLES = sorted({name.split("/")[1] for name in files("roles/*/meta/argument_specs.yml")})
GALAXY = yaml.safe_load((ROOT / "galaxy.yml").read_text())
REPOSITORY = GALAXY["repository"]
SPDX = "SPDX-License-Identifier" + ":"  # split, so that reuse does not treat it as the license of this file
CONNECTION = {"hostname", "port", "username", "password", "validate_certs", "ca_path", "thumbprint"}


def options(module: str) -> set[str]:
    """Return the options in the argument spec of a module."""
    spec = importlib.import_module(f"ansible_collections.quiesce.vmware_zfs.plugins.modules.{module}").SPEC
    return set(spec.options)


def test_the_action_group_holds_the_modules_that_take_the_connection_options() -> None:
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]
    with_connection = [module for module in MODULES if CONNECTION.issubset(options(module))]
    assert sorted(with_connection) == sorted(groups["vmware_zfs"])


@pytest.mark.parametrize("name", files("*.py", "*.go", "*.sh", "*.yml"))
def test_every_file_names_its_licence(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not text or f"{SPDX} GPL-3.0-or-later" in text[:600]


@pytest.mark.parametrize("name", files("plugins/module_utils/*.py"))
def test_the_engine_knows_nothing_of_ansible_and_imports_relatively(name: str) -> None:
    """The copy on a storage host has no Ansible and no package ansible_collections."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / name).read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level:
            imported.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Import):
            imported.update(alias.name.partition(".")[0] for alias in node.names)
    allowed = {"ansible"} if name.endswith("/_ansible.py") else set()
    assert imported & {"ansible", "ansible_collections"} <= allowed


@pytest.mark.parametrize("role", ROLES)
def test_a_roles_variables_have_the_same_names_and_defaults_everywhere(role: str) -> None:
    folder = ROOT / "roles" / role
    points = yaml.safe_load((folder / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    described = {name: option["default"] for point in points.values() for name, option in point["options"].items()}
    assert described == yaml.safe_load((folder / "defaults" / "main.yml").read_text())
    readme = (folder / "README.md").read_text()
    assert [name for name in described if not name.startswith(f"{role}_") or f"| `{name}` |" not in readme] == []


LISTS = {
    "credentials_credentials": "configure",
    "nfs_datastore_datastores": "entries",
    "nfs_share_shares": "configure",
    "snapshot_task_tasks": "configure",
    "snapshot_task_policies": "configure",
}


@pytest.mark.parametrize(("variable", "tasks"), LISTS.items())
def test_a_role_passes_every_option_of_an_entry_to_its_module(variable: str, tasks: str) -> None:
    role = variable.rpartition("_")[0]
    folder = ROOT / "roles" / role
    options = yaml.safe_load((folder / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    described = options[variable]["options"]
    loops = [task for task in yaml.safe_load((folder / "tasks" / f"{tasks}.yml").read_text()) if "loop" in task]
    called = [task for task in loops if variable in task["loop"]] if len(loops) > 1 else loops
    (passed,) = [value for task in called for name, value in task.items() if name.startswith(f"{GALAXY['namespace']}.")]
    for name, option in described.items():
        source = rf"(item|{role}_one)\.{name}"
        optional = "" if option.get("required") else r" \| default\(omit\)"
        assert re.fullmatch(rf"{{{{ {source}{optional} }}}}", passed.get(name, "")), f"{role} does not pass {name}"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_a_molecule_scenario(role: str) -> None:
    assert (ROOT / "extensions" / "molecule" / role / "converge.yml").exists()


def test_the_readmes_links_are_whole_and_lead_somewhere() -> None:
    """Galaxy and Automation Hub show the README outside the repository. Images are relative."""
    readme = (ROOT / "README.md").read_text()
    images = re.findall(r"!\[[^]]{80,}\]\(([^)]+)\)", readme)  # Galaxy shows the text of an image instead
    assert len(images) == readme.count("![") and all((ROOT / image).is_file() for image in images)
    links = re.findall(r"(?<!!)\[[^]]*\]\(([^)]+)\)", readme)
    anchors = {f"#{heading.lower().replace(' ', '-')}" for heading in re.findall(r"^#+ (.+)$", readme, re.MULTILINE)}
    assert links and all(link.startswith("https://") or link in anchors for link in links)
    ours = [link.removeprefix(f"{REPOSITORY}/blob/main/") for link in links if link.startswith(f"{REPOSITORY}/blob/")]
    assert [path for path in ours if not (ROOT / path).is_file()] == []


def test_the_changelog_lists_what_is_released() -> None:
    releases = yaml.safe_load((ROOT / "changelogs" / "changelog.yaml").read_text())["releases"]
    assert GALAXY["version"] in releases, "antsibull-changelog release has not been run, see CONTRIBUTING.md"
    listed = {module["name"] for release in releases.values() for module in release.get("modules", ())}
    added = {name for name in MODULES if documentation(name)["version_added"] in releases}
    assert sorted(added - listed) == [], "run antsibull-changelog release --update-existing --reload-plugins"


def documentation(module: str) -> dict[str, Any]:
    source = importlib.import_module(f"ansible_collections.quiesce.vmware_zfs.plugins.modules.{module}").DOCUMENTATION
    return dict(yaml.safe_load(source))


@pytest.mark.parametrize("module", MODULES)
def test_a_modules_documentation_says_what_reviewers_ask_for(module: str) -> None:
    told = documentation(module)
    assert told["version_added"] and told["author"] and told["seealso"]
    source = (ROOT / "plugins" / "modules" / f"{module}.py").read_text()
    assert f"quiesce.vmware_zfs.{module}:" in source.partition("EXAMPLES")[2], "examples name modules in full"


def test_the_lowest_ansible_core_is_one_that_is_tested() -> None:
    assert yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["requires_ansible"] == f">={LOWEST_CORE}.0"
    assert LOWEST_CORE in CORES


def test_every_series_of_ansible_core_from_the_lowest_on_is_tested() -> None:
    minors = sorted(int(re.findall(r"2\.(\d+)", core.requirement)[0]) for core in CORES.values())
    assert minors == list(range(int(LOWEST_CORE.partition(".")[2]), minors[-1] + 1))
    assert [core.series for core in CORES.values() if ">=" in core.requirement] == ["newest"]


def test_the_libraries_have_no_upper_bound() -> None:
    """Required for certification. On the storage host, the runtime selects a release that supports an old Python."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = dict(line.split(">=") for line in lines if line and not line.startswith("#"))
    assert wanted.keys() == python_environment.REQUIRED.keys()
    assert [version for version in wanted.values() if not re.fullmatch(r"[0-9.]+", version)] == []


@pytest.mark.parametrize("role", ROLES)
def test_a_roles_passwords_are_marked_as_such(role: str) -> None:
    """Ansible prints the values that fail the validation of a role."""
    points = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    assert [option for point in points.values() for option in unmarked(point["options"])] == []


def unmarked(options: dict[str, Any]) -> Iterator[str]:
    for name, option in options.items():
        if name.rpartition("_")[2] == "password" and "choices" not in option and not option.get("no_log"):
            yield name
        yield from unmarked(option.get("options", {}))


def test_no_finding_of_sanity_is_ignored() -> None:
    assert files("tests/sanity/ignore*") == []
