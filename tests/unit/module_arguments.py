# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a test gives a module its options, on every ansible-core that is supported."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import Any, Iterator
from unittest import mock

import pytest
from ansible.module_utils import basic

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:  # ansible-core 2.18

    @contextmanager
    def patch_module_args(args: dict[str, Any] | None = None) -> Iterator[None]:
        """Have the modules that are made in this context find these options."""
        with mock.patch.object(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": args or {}}).encode()):
            yield


def show_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What -vvv switches on, for modules that are given `_ansible_verbosity: 3` as well."""
    try:
        from ansible.module_utils._internal import _traceback
    except ImportError:  # ansible-core 2.18 asks for the verbosity each time
        return
    # Later ones remember the answer of the first module of a process.
    monkeypatch.setattr(_traceback, "is_traceback_enabled", lambda event: True)


__all__ = ["patch_module_args", "show_tracebacks"]
