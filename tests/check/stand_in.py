# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the playbooks and roles of the collection with ansible-playbook on this machine. The modules are replaced by
stand-ins that record their arguments and return configured results. In roles that inspect the machine, only the tasks
with modules of the collection are kept. The tests change nothing and have no requirements."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any, Mapping

import yaml

from ..lab.commands import ask
from .tools import ROOT, TOOLS, files

_MODULE = """\
#!/usr/bin/python
# WANT_JSON
import json, sys
with open(sys.argv[1]) as file:
    given = json.load(file)
options = {name: value for name, value in given.items() if not name.startswith("_ansible_")}
with open(FOLDER + "/calls", "a") as file:
    file.write(json.dumps([NAME, given["_ansible_check_mode"], options]) + "\\n")
with open(FOLDER + "/answers.json") as file:
    print(json.dumps({"changed": False, **json.load(file).get(NAME, {})}))
"""
# The facts that the role runtime gathers with the Python of a storage host.
_PYTHON = """\
#!/bin/sh
echo '{"root": true, "systemd": true, "python": true, "venv": true, "zfs": true}'
"""


class StandIn:
    """The collection in `folder`. `calls` contains (module, check mode, options) of each call in order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        collection = self._collections / "ansible_collections" / "quiesce" / "vmware_zfs"
        for name in files("meta/runtime.yml", "playbooks", "roles"):
            (collection / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, collection / name)
        for file in ("runtime/tasks/configure", "nfs_share/tasks/preflight", "nfs_share/tasks/configure"):
            path = collection / "roles" / f"{file}.yml"
            tasks = [task for task in yaml.safe_load(path.read_text()) if any(_is_ours(word) for word in task)]
            path.write_text(yaml.safe_dump(tasks))
        modules = collection / "plugins" / "modules"
        modules.mkdir(parents=True)
        for name in files("plugins/modules/*.py"):
            text = _MODULE.replace("FOLDER", repr(str(folder))).replace("NAME", repr(Path(name).stem))
            (modules / Path(name).name).write_text(text)
        (folder / "python").write_text(_PYTHON)
        (folder / "python").chmod(0o755)

    @property
    def _collections(self) -> Path:
        return self._folder / "collections"

    @property
    def calls(self) -> list[tuple[str, bool, dict[str, Any]]]:
        path = self._folder / "calls"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def called(self) -> list[str]:
        return [name for name, _check, _options in self.calls]

    def play(
        self, playbook: str, *options: str, answers: Mapping[str, Any] | None = None, fails: bool = False, **given: Any
    ) -> str:
        """Run a playbook of the collection, or a role in a play, with variables. Return the output as one line."""
        (self._folder / "answers.json").write_text(json.dumps(answers or {}))
        (self._folder / "calls").unlink(missing_ok=True)
        name = f"quiesce.vmware_zfs.{playbook}"
        if not (ROOT / "playbooks" / f"{playbook}.yml").exists():
            role = {"name": "A play", "hosts": "storage", "gather_facts": False, "roles": [{"role": name}]}
            (self._folder / "play.json").write_text(json.dumps([role]))
            name = str(self._folder / "play.json")
        variables = {
            "ansible_connection": "local",
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "runtime_python": str(self._folder / "python"),
            **given,
        }
        done = ask(
            [str(TOOLS / "ansible-playbook"), "--inventory=storage,", f"-e{json.dumps(variables)}", *options, name],
            ANSIBLE_COLLECTIONS_PATH=str(self._collections),
            ANSIBLE_LOCALHOST_WARNING="false",
            ANSIBLE_NOCOLOR="true",
            COLUMNS="80",
        )
        assert (done.returncode != 0) is fails, done.stdout
        return " ".join(done.stdout.split())


def _is_ours(word: str) -> bool:
    return word.startswith("quiesce.vmware_zfs.")
