# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python for the modules of the peers, like that of a user who installs `ansible` and its requirements."""

from __future__ import annotations

from pathlib import Path

from tests.lab.python_environments import distribution_python, virtual_environment

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def peers_environment() -> Path:
    """The folder of the virtual environment. The first call takes a few minutes."""
    return virtual_environment("peers", REQUIREMENTS, python=distribution_python())


if __name__ == "__main__":
    print(peers_environment())
