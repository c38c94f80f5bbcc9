# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-test of any supported ansible-core on the tree. Only a package index is required:
python -m tests.check.ansible_test [--core 2.18] sanity|units|integration [OPTION ...]

ansible-test must run in an ansible_collections folder, so it runs in a copy of the tree. It creates an environment
for each sanity test in its home folder, which is a separate folder in the cache. It installs pip with a script from
the internet. This script is replaced by one that uses the pip bundled with Python. Further options are passed to
ansible-test, such as `--test pep8` to run one sanity test. tests/system/test_ansible_test.py runs the integration
targets. VMWARE_ZFS_INTEGRATION_CONFIG is the path of their settings, and the lab's `zfs` is the first on PATH.
"""

from __future__ import annotations

import argparse
import ast
import configparser
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..lab.cache import product_path
from ..lab.installed import LOWEST_CORE
from ..lab.python_environments import development_python, virtual_environment
from .pythons import interpreter, real_path
from .tools import BUILD, ROOT, TOOLS, copy_tree

LOWEST_MINOR = 9  # the lowest Python 3 minor version on a storage host
UNIT_REQUIREMENTS = ROOT / "tests" / "unit" / "requirements.txt"
UNIT_TOOLS = ("pytest>=8", "pytest-xdist>=3", "PyYAML>=6")  # required by ansible-test and its plugins
PIP_BOOTSTRAPS = ("get_pip_24_2.py", "get_pip_25_2.py")  # the script names that ansible-core uses since 2.18 and 2.20
PIP_BOOTSTRAP = """\
import subprocess, sys
wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip"])
subprocess.check_call([sys.executable, "-m", "pip", "install", *wanted])
"""


class NoPython(Exception):
    """No Python on this machine can run this ansible-core."""


@dataclass(frozen=True)
class Core:
    """A series of ansible-core."""

    series: str
    requirement: str
    minors: tuple[int, ...]  # the supported Python versions; the first one found is used

    def python(self) -> str:
        """Raises NoPython."""
        found = next(filter(None, map(interpreter, self.minors)), "")
        if not found:
            versions = ", ".join(f"3.{minor}" for minor in self.minors)
            raise NoPython(f"ansible-core {self.series} needs Python {versions}, and none of them is here")
        return found

    def tools(self) -> Path:
        """The folder of the commands in an environment with the requirements of the unit tests."""
        if self.series == DEVELOPMENT:
            return TOOLS
        return unit_environment(self.python(), self.requirement) / "bin"


DEVELOPMENT = "2.19"  # the series in tests/requirements.txt
CORES = {
    core.series: core
    for core in (
        Core("2.18", "ansible-core==2.18.*", (11, 12, 13)),
        Core("2.19", "ansible-core==2.19.*", (11, 12, 13)),
        Core("2.20", "ansible-core==2.20.*", (12, 13, 14)),
        Core("newest", "ansible-core>=2.21", (14, 13, 12)),
    )
}


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.check.ansible_test")
    parser.add_argument("--core", choices=CORES, default=DEVELOPMENT)
    parser.add_argument("command", choices=("sanity", "units", "integration"))
    given, options = parser.parse_known_args(words)
    return run_ansible_test(CORES[given.core], given.command, *options)


def run_ansible_test(core: Core, command: str, *options: str) -> int:
    """Return the exit status of ansible-test. Raises NoPython."""
    tools = core.tools()
    own = real_path(str(tools / "python"))
    lowest = interpreter(LOWEST_MINOR)
    home = _home(own, lowest)
    copy = BUILD / "ansible-test" / f"{command}-{core.series}" / "ansible_collections" / "quiesce" / "vmware_zfs"
    copy_tree(copy)
    if command == "units":  # with an interpreter that has the libraries installed
        minor = _minor(own)
        folder = tools
        if core.series == LOWEST_CORE and lowest:  # to combine the lowest versions, if this Python is installed
            minor, folder = LOWEST_MINOR, unit_environment(lowest) / "bin"
        options = (*options, "--python", f"3.{minor}")
    else:
        folder = home / "interpreters"
    path = [folder, tools, Path("/usr/bin"), Path("/bin")]
    if command == "integration":
        config = Path(os.environ["VMWARE_ZFS_INTEGRATION_CONFIG"]).read_text()
        _write(copy / "tests" / "integration" / "integration_config.yml", config)
        path = [tools, *map(Path, os.environ["PATH"].split(os.pathsep))]
        options = ("--allow-unsupported", "--local", *options)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
    environment.update(HOME=str(home), PATH=os.pathsep.join(map(str, path)))
    words = [str(tools / "ansible-test"), command, "--color", "no", *options]
    return subprocess.run(words, cwd=copy, env=environment, check=False).returncode


def unit_environment(python: str, *requirements: str) -> Path:
    """Return an environment for the unit tests with these additional requirements."""
    return virtual_environment("unit-venv", UNIT_REQUIREMENTS, *requirements, *UNIT_TOOLS, python=python)


def _minor(python: str) -> int:
    """Return the minor version, such as 11 for Python 3.11."""
    command = [python, "-I", "-c", "import sys; print(sys.version_info.minor)"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _home(own: str, lowest: str) -> Path:
    """Return the home folder of ansible-test: environments, pip script, pip settings, and links to interpreters.

    Link only real interpreters, because the shims of a version manager do not work in the environments of ansible-test.
    """
    home = product_path("ansible-test", PIP_BOOTSTRAP, sys.version, own, lowest)
    for name in PIP_BOOTSTRAPS:
        _write(home / ".ansible" / "test" / "cache" / name, PIP_BOOTSTRAP)
    _write_pip_settings(home / ".config" / "pip" / "pip.conf")
    folder = home / "interpreters"
    folder.mkdir(exist_ok=True)
    names = {"python": own, "python3": own, Path(own).name: own}
    if lowest:
        names[f"python3.{LOWEST_MINOR}"] = lowest
    for name, target in names.items():
        if not (folder / name).exists():
            (folder / name).symlink_to(target)
    return home


def _write_pip_settings(path: Path) -> None:
    """Copy the pip settings of the user, including the index, because ansible-test removes the user's environment."""
    command = [development_python(), "-m", "pip", "config", "list"]
    settings = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    parser = configparser.RawConfigParser()
    for line in settings.splitlines():
        name, _equals, value = line.partition("=")
        section, _dot, option = name.rpartition(".")
        section = "global" if section == ":env:" else section
        if not parser.has_section(section):
            parser.add_section(section)
        parser.set(section, option, ast.literal_eval(value))
    _write(path, "")
    with path.open("w") as file:
        parser.write(file)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
