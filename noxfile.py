# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of a reviewer: `nox` runs all of them, `nox --list` shows them, `nox --session mypy` runs one.

antsibull-nox.toml describes the sessions that antsibull-nox knows. The sessions here use the tools of the Python that
runs nox. Install them with `make setup` or with `pip install -r tests/requirements.txt`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

try:
    import antsibull_nox
except ImportError:
    print("antsibull-nox is missing in the Python that runs nox; install it there with pip")
    sys.exit(1)

CORES = ("2.18", "2.19", "2.20", "newest")  # as in tests/check/ansible_test.py

# antsibull-nox also calls ansible-galaxy.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

nox.options.envdir = "build/nox"
nox.options.reuse_venv = "yes"

antsibull_nox.load_antsibull_nox_toml()


def run(session: nox.Session, tool: str, *arguments: str) -> None:
    """Run a tool of the Python that runs nox."""
    session.run(tool, *arguments, *session.posargs, external=True)


@nox.session(venv_backend="none")
def mypy(session: nox.Session) -> None:
    """Check the types of the engine, the modules, the tests and the benchmarks."""
    run(session, "mypy")


@nox.session(venv_backend="none")
def changelog(session: nox.Session) -> None:
    """Check the changelog and its fragments."""
    run(session, "antsibull-changelog", "lint")


@nox.session(venv_backend="none")
def site(session: nox.Session) -> None:
    """Build the documentation as a site, in build/docs/html; a warning is an error."""
    run(session, "python", "-m", "tests.check.site")


@nox.session(venv_backend="none")
@nox.parametrize("core", CORES)
def sanity(session: nox.Session, core: str) -> None:
    """Run ansible-test sanity of one ansible-core."""
    run(session, "python", "-m", "tests.check.ansible_test", "--core", core, "sanity")


@nox.session(venv_backend="none")
@nox.parametrize("core", CORES)
def units(session: nox.Session, core: str) -> None:
    """Run the unit tests with ansible-test of one ansible-core."""
    run(session, "python", "-m", "tests.check.ansible_test", "--core", core, "units")


if __name__ == "__main__":
    nox.main()
