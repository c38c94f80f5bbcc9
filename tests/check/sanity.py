# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run `ansible-test sanity` on the tree, with nothing but a package index: python -m tests.check.sanity [OPTION ...]

ansible-test wants to live in an ansible_collections folder, so it gets a copy of the tree. It keeps an environment per
test below its home folder, which is one of its own in the cache. It brings pip into them with a script from the
internet; a stand-in takes that script's place and uses the pip that Python carries. Options go to ansible-test:
`--test pep8` for one test, `--prime-venvs` to make the environments ahead of time.
"""

from __future__ import annotations

import ast
import configparser
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .tools import BUILD, TOOLS, copy_tree

COPY = BUILD / "sanity" / "ansible_collections" / "quiesce" / "vmware_zfs"
PIP_BOOTSTRAPS = ("get_pip_24_2.py", "get_pip_25_2.py")  # the names that ansible-core 2.19 and 2.20 look for
PYTHONS = tuple(f"python3.{minor}" for minor in range(9, 15))

PIP_BOOTSTRAP = """\
import subprocess, sys
wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip"])
subprocess.check_call([sys.executable, "-m", "pip", "install", *wanted])
"""


def main(options: list[str]) -> int:
    home = _home()
    copy_tree(COPY)
    command = [str(TOOLS / "ansible-test"), "sanity", "--color", "no", *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
    path = os.pathsep.join(str(folder) for folder in (_interpreters(home), TOOLS, "/usr/bin", "/bin"))
    environment.update(HOME=str(home), PATH=path)
    return subprocess.run(command, cwd=COPY, env=environment, check=False).returncode


def _home() -> Path:
    """ansible-test's home folder: for its environments, its script for pip, and pip's settings."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quiesce-vmware-zfs"
    content = "\n".join([PIP_BOOTSTRAP, sys.version, os.path.realpath(sys.executable)])
    home = cache / f"sanity-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
    for name in PIP_BOOTSTRAPS:
        _write(home / ".ansible" / "test" / "cache" / name, PIP_BOOTSTRAP)
    _write_pip_settings(home / ".config" / "pip" / "pip.conf")
    return home


def _write_pip_settings(path: Path) -> None:
    """pip's settings of whoever runs this, index included: ansible-test keeps their environment from pip."""
    command = [sys.executable, "-m", "pip", "config", "list"]
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


def _interpreters(home: Path) -> Path:
    """A folder of links to real interpreters: the shims of a Python version manager do not work in the environments."""
    folder = home / "interpreters"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in PYTHONS:
        real = _real_interpreter(name)
        if real:
            (folder / name).symlink_to(real)
    own = _real_interpreter(sys.executable)
    for name in ("python3", "python"):
        (folder / name).symlink_to(own)
    return folder


def _real_interpreter(name: str) -> str:
    """The executable behind a name on PATH, outside of virtual environments; "" where there is none."""
    if not shutil.which(name):
        return ""
    code = "import os, sys; print(os.path.realpath(sys._base_executable))"
    done = subprocess.run([name, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
