# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual environment for development, and the wheels that go into the storage host."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from .archive import Archive
from .cache import product, product_path
from .commands import output, run
from .places import BUILD, LOGS, ROOT, LabError

LOG = LOGS / "python.log"
REQUIREMENTS = ROOT / "tests" / "requirements.txt"
OLDEST = (3, 11)
_COMPILE = (  # the package ansible has thousands of modules that are copied to hosts, not imported
    "import compileall, re, sys; "
    "compileall.compile_dir(sys.argv[1], quiet=2, workers=2, rx=re.compile('ansible_collections'))"
)
GUEST_WHEELS = ("pyVmomi>=8.0.3", "cryptography>=42")


def development_python() -> str:
    """Return the first interpreter that ansible-core 2.19 supports: the current one, or one on PATH."""
    if sys.version_info[:2] >= OLDEST:
        return sys.executable
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        found = shutil.which(name)
        if found and _is_recent(found):
            return found
    raise LabError(
        "The tests need Python 3.11 or later and no python3, python3.11, python3.12 or python3.13 here is; install one"
    )


def distribution_python() -> str:
    """Return the interpreter of the distribution, as on storage hosts. Otherwise, return the development interpreter.

    Manually compiled interpreters are often not optimized and take 50% longer.
    """
    shipped = "/usr/bin/python3"
    usable = Path(shipped).exists() and _is_recent(shipped) and has_ensurepip(shipped)
    return shipped if usable else development_python()


def _is_recent(python: str) -> bool:
    question = f"import sys; sys.exit(sys.version_info[:2] < {OLDEST})"
    return subprocess.run([python, "-c", question], capture_output=True, check=False).returncode == 0


def has_ensurepip(python: str) -> bool:
    """Return whether the interpreter can create virtual environments with pip. Debian has a separate package."""
    return subprocess.run([python, "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode == 0


def virtual_environment(kind: str, file: Path, *requirements: str, python: str = "") -> Path:
    """Return a virtual environment in the cache with the requirements file and these requirements."""
    python = python or development_python()
    version = output([python, "-c", "import sys; print(sys.version, sys.executable)"])
    path = product_path(kind, file.read_text(), *requirements, version)

    def build(folder: Path) -> None:
        # A virtual environment contains its path, so it is created at its final path. The product only marks it as
        # complete.
        place = path.with_name(path.name + ".place")
        run([python, "-m", "venv", "--clear", str(place)], LOG)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--only-binary", ":all:", "--no-compile", "-r", str(file), *requirements], LOG)
        # Compile once, because processes that cannot write bytecode files would compile on each start.
        for packages in place.glob("lib/python*/site-packages"):
            run([str(place / "bin" / "python"), "-c", _COMPILE, str(packages)], LOG)
        (folder / "place").symlink_to(place)

    return (product(path, build) / "place").resolve()


def development_environment() -> Path:
    """Return the virtual environment of tests/requirements.txt. It is also linked as build/venv."""
    place = virtual_environment("venv", REQUIREMENTS)
    BUILD.mkdir(exist_ok=True)
    link = BUILD / "venv"
    if not link.is_symlink() or link.resolve() != place:
        fresh = BUILD / "venv.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(place)
        fresh.rename(link)
    return place


def library(*requirements: str) -> Path:
    """Return a folder with these libraries and their dependencies. On PYTHONPATH, it hides those of the environment."""

    def build(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--prefer-binary", "--target", str(folder), *requirements], LOG)

    return product(product_path("library", sys.version, *requirements), build)


def guest_wheels(archive: Archive) -> Path:
    """Return a folder of wheels for the Python of the guest."""
    version = ".".join(archive.version("python3").split(".")[:2])

    def build(folder: Path) -> None:
        tool = folder / "tool"
        run([development_python(), "-m", "venv", str(tool)], LOG)
        run(
            [
                str(tool / "bin" / "python"),
                "-m",
                "pip",
                "download",
                "--quiet",
                "--disable-pip-version-check",
                "--only-binary",
                ":all:",
                "--python-version",
                version,
                "--implementation",
                "cp",
                *(
                    part
                    for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
                    for part in ("--platform", f"{tag}_x86_64")
                ),
                "--dest",
                str(folder),
                *GUEST_WHEELS,
            ],
            LOG,
        )
        shutil.rmtree(tool)

    return product(product_path("wheels", version, *GUEST_WHEELS), build)
