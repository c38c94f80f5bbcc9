# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the collection importable under its full name, here and in what the tests start, from any checkout."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.collection_path import collections_path


def _prepend(variable: str, path: str) -> None:
    paths = os.environ.get(variable, "").split(os.pathsep)
    os.environ[variable] = os.pathsep.join([path, *(other for other in paths if other and other != path)])


_COLLECTIONS = str(collections_path())
sys.path.insert(0, _COLLECTIONS)
_prepend("PYTHONPATH", _COLLECTIONS)
_prepend("ANSIBLE_COLLECTIONS_PATH", _COLLECTIONS)
