# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the engine as a separate program: it reads a job as JSON from standard input and prints its cost.

With --plan, it only plans. It measures the calls that the module makes. The start of Python and the imports are not
included; module_overhead.py measures those.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine import vm_policies
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Limits, Policy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runs import run
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credential
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import Engine, open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import sdk

from .memory import peak_mb
from .timed_zfs import TimedZfs


def main() -> None:
    job = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(Path(folder, "state"), Path(folder, "etc", "secret.key"), Path(folder, "run"))
        with open_engine(paths) as engine:
            print(json.dumps(_measure(engine, job)))


def _measure(engine: Engine, job: dict[str, Any]) -> dict[str, float]:
    for vcenter in job["vcenters"]:
        password = Secret(vcenter.pop("password"))
        for filesystem in job["filesystems"]:
            credential = Credential("", "", "").merged({**vcenter, "filesystem": filesystem})
            engine.credentials.insert(credential, password)
    policies = vm_policies.parse(job["policy"].pop("policies"))
    policy = Policy(limits=Limits(**job["limits"]), policies=policies, **job["policy"])
    request = Request(job["dataset"], job["snapshot"], recursive=True, aliases=tuple(job["aliases"]), policy=policy)
    sdk.require()  # loads pyVmomi
    step = run.preview if "--plan" in sys.argv else run.execute
    begun, cpu = time.monotonic(), time.process_time()
    zfs = TimedZfs()
    step(replace(engine, zfs=zfs), request)
    return {
        "seconds": time.monotonic() - begun,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": peak_mb(),
        "zfs_snapshot_seconds": zfs.seconds("snapshot"),
    }


if __name__ == "__main__":
    main()
