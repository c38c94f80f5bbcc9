# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the molecule scenarios one after another on one storage host. See extensions/molecule/README.md.

`make test` applies the same roles in the demo and in the jobs of AWX, and test_nfs_share.py uses all export options.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.lab.commands import ask
from tests.lab.places import BUILD, ROOT

SCENARIOS = sorted(path.parent.name for path in (ROOT / "extensions" / "molecule").glob("*/molecule.yml"))


@pytest.mark.check
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str) -> None:
    tools = Path(sys.executable).parent
    done = ask(
        [str(tools / "molecule"), "test", "--scenario-name", scenario],
        cwd=ROOT,
        seconds=1800,
        PATH=f"{tools}{os.pathsep}{os.environ['PATH']}",
        MOLECULE_EPHEMERAL_DIRECTORY=str(BUILD / "molecule" / scenario),  # not shared between checkouts
        NO_COLOR="1",
    )
    assert done.returncode == 0, done.stdout
    assert "Missing playbook" not in done.stdout, done.stdout
