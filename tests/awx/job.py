# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a job template that playbooks/awx.yml created with ansible-runner, in a private data directory, as AWX does.

The directory has the same layout as in AWX: env/extravars with the survey answers (marked !unsafe to prevent
templating), env/settings, env/cmdline, env/envvars with the variables that the credentials inject, inventory/hosts,
project/, and a file for each file that a credential injects. The inventory contains the connection to the host of the
lab.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

import ansible_runner
import yaml

from . import rules
from .api import Awx
from .define import PROJECT


class _Unsafe(str):
    """A survey answer as written by AWX."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", str(text)))


@dataclass(frozen=True)
class Done:
    """The result of a finished job: status, output, artifacts from set_stats, and events."""

    status: str
    stdout: str
    artifacts: dict[str, Any]
    events: list[dict[str, Any]]

    @property
    def lines(self) -> str:
        """Return the output without quotes and colors."""
        return self.stdout.replace('"', "")


def launch(
    awx: Awx,
    folder: Path,
    template: str,
    hosts: Mapping[str, Any],
    answers: Mapping[str, Any] | None = None,
    artifacts: Mapping[str, Any] | None = None,
    project: Path = PROJECT,
) -> Done:
    """Run a job template. `hosts` are hosts with variables, `artifacts` those of the previous workflow node."""
    item = awx.named("job_templates", template)
    given = rules.answers(item["survey_spec"], answers or {})
    unsafe = {name: _Unsafe(value) if isinstance(value, str) else value for name, value in given.items()}
    private = folder / f"awx_{len(list(folder.glob('awx_*'))) + 1}"
    shutil.copytree(project, private / "project")
    environment, extra_vars = _inject(awx, item, private)
    _write(
        private / "env" / "extravars",
        yaml.dump({**extra_vars, **unsafe, **(artifacts or {}), "awx_job_id": 1}, Dumper=_Dumper),
    )
    _write(private / "env" / "settings", json.dumps({"idle_timeout": 0, "job_timeout": 600, "pexpect_timeout": 5}))
    _write(private / "env" / "cmdline", "--forks 5 -u root")
    _write(private / "env" / "envvars", json.dumps({
        "ANSIBLE_FORCE_COLOR": "True", "ANSIBLE_HOST_KEY_CHECKING": "False", "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True", "ANSIBLE_SSH_CONTROL_PATH_DIR": str(private / "cp"),
        "AWX_PRIVATE_DATA_DIR": str(private), "JOB_ID": "1",
        "ANSIBLE_COLLECTIONS_PATH": os.environ["ANSIBLE_COLLECTIONS_PATH"],
        "ANSIBLE_PIPELINING": "True",  # for the lab, because its host is slow
        **environment,
    }))  # fmt: skip
    inventory = {"all": {"hosts": list(hosts), "children": ["storage"]}, "storage": {"hosts": list(hosts)}}
    listing = json.dumps({**inventory, "_meta": {"hostvars": dict(hosts)}})
    _write(private / "inventory" / "hosts", f"#!/usr/bin/env python3\nprint(r'''{listing}''')\n", 0o700)
    run = ansible_runner.run(
        private_data_dir=str(private),
        playbook=item["playbook"],
        ident="1",
        quiet=True,
        cancel_callback=lambda: False,  # otherwise it handles SIGINT and SIGTERM, and pytest cannot be stopped
        envvars={"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )
    events = list(run.events)
    stats = [event["event_data"] for event in events if event["event"] == "playbook_on_stats"]
    assert stats, Path(run.config.artifact_dir, "stdout").read_text()
    found = stats[-1].get("artifact_data", {})
    return Done(run.status, Path(run.config.artifact_dir, "stdout").read_text(), found, events)


def _inject(awx: Awx, template: Mapping[str, Any], private: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Write the files of the job's credentials. Return their environment and extra variables."""
    environment: dict[str, str] = {}
    extra_vars: dict[str, str] = {}
    for number in awx.linked[f"{template['url']}credentials/"]:
        credential = awx.find("credentials", number)
        kind = awx.find("credential_types", credential["credential_type"])
        files = {name.partition(".")[2]: private / f"credential_{name}" for name in kind["injectors"].get("file", {})}
        made = rules.inject(kind, credential["inputs"], {name: str(path) for name, path in files.items()})
        for name, path in files.items():
            _write(path, made["file"][f"template.{name}"])
        environment.update(made.get("env", {}))
        extra_vars.update(made.get("extra_vars", {}))
    return environment, extra_vars


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text)
    path.chmod(mode)
