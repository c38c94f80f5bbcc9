# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An AWX that playbooks/awx.yml has configured once for all tests in this folder."""

from __future__ import annotations

from copy import deepcopy
from typing import Iterator

import pytest

from .api import Awx, serve
from .define import define, playbooks


@pytest.fixture(scope="session")
def defined() -> Iterator[Awx]:
    with serve(playbooks()) as awx:
        first = define(awx)
        assert first.returncode == 0, first.stdout
        yield awx


@pytest.fixture
def awx(defined: Awx) -> Awx:
    """Return a copy of the objects for a test that changes them."""
    return deepcopy(defined)
