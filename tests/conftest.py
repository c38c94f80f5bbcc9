# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the collection importable under its full name, here and in what the tests start, from any checkout; and lets a
test that calls a module in this process see what a process of its own would show. With `-n 2 --dist loadgroup` two
processes share the parts of the tests."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterator

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.collection_path import collections_path


def _prepend(variable: str, path: str) -> None:
    paths = os.environ.get(variable, "").split(os.pathsep)
    os.environ[variable] = os.pathsep.join([path, *(other for other in paths if other and other != path)])


_COLLECTIONS = str(collections_path())
sys.path.insert(0, _COLLECTIONS)
_prepend("PYTHONPATH", _COLLECTIONS)
_prepend("ANSIBLE_COLLECTIONS_PATH", _COLLECTIONS)

_MEMORY = Path("/dev/shm")
_ENOUGH = 2 * 2**30  # bytes; the tests need some hundred MiB


def _is_usable(folder: Path) -> bool:
    """Return whether tests can use the folder for temporary files and programs."""
    if "TMPDIR" in os.environ or not os.access(folder, os.W_OK):
        return False
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >= _ENOUGH and not found.f_flag & os.ST_NOEXEC


if _is_usable(_MEMORY):  # the databases of the tests flush each transaction, which takes a third of the time on a disk
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)

# A test does not fail because the machine is busy.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
# ansible-test repeats the unit tests with other versions of Python and Ansible. A few drawn values show that they work.
hypothesis.settings.register_profile("repeated", max_examples=10, deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.hasplugin("ansible_forked"):
        hypothesis.settings.load_profile("repeated")


# One process runs all tests of a part, because they share a storage host or a folder. The longest parts come first, so
# that both processes end at about the same time. The longest prefix of a test's ID counts.
_PARTS = (
    "tests/check/test_tools.py",
    "tests/",  # most system tests: they share one storage host
    "tests/system/test_runtime_role.py",
    "tests/awx/",
    "tests/chaos/",
    "tests/check/test_readme.py",
    "tests/system/test_scheduled.py",
    "tests/system/test_scenarios.py",
    "tests/check/",
    "tests/lab/",
    "tests/unit/",
    "tests/system/test_canary.py",
    "tests/system/test_ansible_test.py",
    "tests/system/test_nfs_share.py",
    "tests/benchmarks/",
)
_SHARED = "tests"  # the storage host of most system tests; a session leaves it running for the next one


def _part(test: str) -> int:
    """The place of a test's part in their order, by the test's ID."""
    return _PARTS.index(max(filter(test.startswith, _PARTS), key=len, default="tests/"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _part(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A process that has done a part takes the next one."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Parts(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return str(_part(nodeid))

    config.option.loadscopereorder = False  # in our order, not by how many tests a part has
    return Parts(config, log)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """After `make test` no storage host is left running."""
    if session.config.getoption("dist", "no") != "no" and not hasattr(session.config, "workerinput"):
        from tests.lab.storage_host import StorageHost

        StorageHost(_SHARED).down()


@pytest.fixture(autouse=True)
def _no_warnings_of_other_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ansible gathers warnings for the whole process: a test would see those of the tests before it, and none at all
    once Ansible's controller was imported, because they go to its screen then."""
    from ansible.module_utils.common import warnings

    for gathered in ("_global_warnings", "_global_deprecations"):
        monkeypatch.setattr(warnings, gathered, type(getattr(warnings, gathered))())
    yield
    assert "ansible._internal" not in sys.modules, "Ansible's controller needs a process of its own"
