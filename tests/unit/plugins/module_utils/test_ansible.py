# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from Ansible to the engine and back: merged specs, a Python that has the libraries."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from types import ModuleType

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils import _ansible
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import ArgumentSpec
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import DependencyError
from ansible_collections.quiesce.vmware_zfs.tests.unit.module_arguments import patch_module_args


def test_specs_merge_with_their_rules() -> None:
    first = ArgumentSpec({"a": {"type": "str"}, "b": {}}, mutually_exclusive=[["a", "b"]])
    second = ArgumentSpec({"a": {"type": "int"}, "c": {}}, required_if=[["c", 1, ["a"]]])
    merged = first + second
    assert merged.options == {"a": {"type": "int"}, "b": {}, "c": {}}
    assert merged.mutually_exclusive == [["a", "b"]] and merged.required_if == [["c", 1, ["a"]]]
    assert first.options["a"] == {"type": "str"}


def test_every_password_option_is_no_log() -> None:
    for spec in (_ansible.CONNECTION, _ansible.STORED_CONNECTION):
        assert [name for name, option in spec.options.items() if option.get("no_log")] == ["password"]


@pytest.mark.parametrize("how", ["respawn fails", "mitogen is there"])
def test_where_modules_cannot_start_again_the_message_says_what_to_do(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mitogen starts modules without what respawn_module() works with."""

    def fails(python: str) -> None:
        raise AttributeError("module '__main__' has no attribute '_module_fqn'")

    if how == "mitogen is there":
        monkeypatch.setitem(sys.modules, "mitogen", ModuleType("mitogen"))
    monkeypatch.setattr(_ansible, "respawn_module", fails)
    monkeypatch.setattr(_ansible, "has_respawned", lambda: False)
    monkeypatch.setattr(_ansible, "LIBRARIES", {"no_such_library": "pyvmomi"})
    monkeypatch.setenv("VMWARE_ZFS_PYTHON", sys.executable)
    with pytest.raises(DependencyError) as caught:
        _ansible.require_libraries(["no_such_library"])
    said = str(caught.value)
    assert "lacks the Python library pyvmomi, and the module cannot be restarted in" in said
    assert (
        f"set 'strategy: linear' in the play, or 'ansible_python_interpreter: {sys.executable}' for this host" in said
    )


@pytest.mark.parametrize(
    ("mitogen", "said"), [(True, "set 'strategy: linear' in the play"), (False, "please report it")]
)
def test_what_nobody_has_foreseen_is_told_apart_from_mitogen(
    mitogen: bool, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(module: object) -> dict[str, object]:
        raise ImportError("no module named fcntl")

    if mitogen:
        monkeypatch.setitem(sys.modules, "mitogen", ModuleType("mitogen"))
    with patch_module_args({}), pytest.raises(SystemExit):
        _ansible.run_module(ArgumentSpec(), breaks, libraries=())
    told = json.loads(capsys.readouterr().out)["msg"]
    assert said in told and ("Unexpected error" in told) != mitogen and "no module named fcntl" in told


def bare_python(folder: Path) -> str:
    """A Python without any library."""
    venv.create(folder, with_pip=False)
    return str(folder / "bin" / "python")


def run_module(python: str, runtime: str, tmp_path: Path) -> dict[str, object]:
    """What vmware_datastore_match says on localhost, run by ansible with `python` for the modules."""
    if importlib.util.find_spec("ansible.cli") is None:  # importing it would make this process a controller
        pytest.skip("ansible-test shows no more of ansible-core than a module sees")
    options = {"hostname": "127.0.0.2", "port": 1, "username": "root", "password": "canary-4711"}
    (tmp_path / "zfs").write_text("#!/bin/sh\nprintf 'tank\\tfilesystem\\t/tank\\tyes\\n'\n")
    (tmp_path / "zfs").chmod(0o755)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ansible.cli.adhoc", "localhost", "-i", "localhost,", "-c", "local"),
            *("-m", "quiesce.vmware_zfs.vmware_datastore_match", "-a", json.dumps(options)),
            *("-e", f"ansible_python_interpreter={python}"),
        ],
        env={
            **os.environ,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "VMWARE_ZFS_PYTHON": runtime,
            "VMWARE_ZFS_STATE_DIR": str(tmp_path / "state"),
            "ANSIBLE_LOCAL_TEMP": str(tmp_path / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "PYTHONPATH": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "canary-4711" not in done.stdout + done.stderr
    assert "=>" in done.stdout, done.stdout + done.stderr
    result: dict[str, object] = json.JSONDecoder().raw_decode(done.stdout.partition("=>")[2].lstrip())[0]
    return result


def test_a_module_moves_to_the_python_that_has_the_libraries(tmp_path: Path) -> None:
    """It gets as far as the server, where nobody answers: so pyVmomi was there."""
    said = run_module(bare_python(tmp_path / "bare"), sys.executable, tmp_path)["msg"]
    assert "127.0.0.2:1 could not be reached" in str(said)


@pytest.mark.parametrize("runtime", ["none", "bare as well"])
def test_without_the_libraries_a_module_says_what_brings_them(tmp_path: Path, runtime: str) -> None:
    python = bare_python(tmp_path / "bare")
    other = bare_python(tmp_path / "other") if runtime == "bare as well" else str(tmp_path / "none")
    said = str(run_module(python, other, tmp_path)["msg"])
    assert "lacks the Python library pyvmomi; apply the role quiesce.vmware_zfs.runtime" in said
    assert said.startswith(python if runtime == "none" else other)
    assert "\n" not in said
