# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and install the missing packages of the machine in one call of apt."""

from __future__ import annotations

import subprocess
from typing import Callable

from .archive import Archive
from .commands import as_root, output, run
from .places import LOGS, LabError
from .python_environments import development_python, has_ensurepip

LOG = LOGS / "machine-packages.log"
# OpenZFS is intentionally not included, because the kernel of the machine must not change.
NEEDED = (
    "e2fsprogs",
    "eatmydata",
    "golang-github-vmware-govmomi-dev",
    "golang-go",
    "mmdebstrap",
    "openssh-client",
    "qemu-system-x86",
    "qemu-utils",
)


def _missing(packages: list[str]) -> list[str]:
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Status}\n", *packages], capture_output=True, text=True, check=False
    )
    there = {line.split()[0] for line in asked.stdout.splitlines() if line.endswith(" install ok installed")}
    return [package for package in packages if package not in there]


def install_missing(archive: Archive, say: Callable[[str], None]) -> None:
    """Install the missing packages from the configured archive of the machine."""
    packages = list(NEEDED)
    python = development_python()
    if not has_ensurepip(python):
        packages.append(_venv_package(python))
    missing = _missing(packages)
    if not missing:
        return
    say(f"installing {' '.join(missing)}")
    run(
        as_root(
            [
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                *archive.options(packages_of_machine=True),
                "-o",
                "DPkg::Lock::Timeout=600",
                "-o",
                "Dpkg::Options::=--force-unsafe-io",
                "-o",
                "Dpkg::Use-Pty=0",
                "--yes",
                "--no-install-recommends",
                "install",
                *missing,
            ]
        ),
        LOG,
    )
    if not has_ensurepip(python):
        raise LabError(
            f"{python} cannot make a virtual environment (it lacks ensurepip); install the package that brings it"
        )


def _venv_package(python: str) -> str:
    return "python" + output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip() + "-venv"
