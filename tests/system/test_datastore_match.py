# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the matching with the simulated vCenter and real OpenZFS, and with real mounts on the storage host."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import (
    Credential,
    Credentials,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import Datastore
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_datastore_match

from tests.lab.places import GUEST
from tests.lab.push import engine_files, push
from tests.lab.simulator import Simulator
from tests.lab.storage_host import StorageHost

INVENTORY: dict[str, Any] = {
    "datacenters": ["DC0", "DC1"],
    "datastores": [
        {"name": "vmware", "server": GUEST, "path": "/tank/vmware"},
        {"name": "vmware", "server": GUEST, "path": "//tank/other/", "datacenter": "DC1"},
        {"name": "nested", "server": f"::ffff:{GUEST}", "path": "/tank/vmware/nested/"},
        {"name": "part", "server": GUEST, "path": "/tank/vmware/win"},
        {"name": "gold/50%", "server": "STORAGE.lab.", "path": "/tank/other"},
        {"name": "two-ways", "type": "nfs41", "servers": ["192.0.2.77", GUEST], "path": "/tank/vmware"},
        {"name": "foreign", "server": "192.0.2.77", "path": "/tank/vmware"},
        {"name": "vmware10", "server": GUEST, "path": "/tank10/vmware"},
        {"name": "local", "type": "local"},
    ],
}
ALIASES = [GUEST, "storage.lab"]
Run = Callable[..., dict[str, Any]]
Verdicts = list[dict[str, tuple[list[str], "str | None", str, str]]]  # datasets, relation, path, reason; by mount


@pytest.fixture(scope="module")
def storage(storage_host: StorageHost) -> StorageHost:
    return storage_host


@pytest.fixture(scope="module")
def vcenter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator.start(INVENTORY, directory=tmp_path_factory.mktemp("vcenter")) as simulator:
        yield simulator


@pytest.fixture
def run(
    storage: StorageHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run the module with real ZFS and an empty registry. Return its result."""
    monkeypatch.setenv("PATH", f"{storage.path_dir}:{os.environ['PATH']}")
    monkeypatch.setenv("VMWARE_ZFS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("VMWARE_ZFS_KEY_FILE", str(tmp_path / "secret" / "key"))

    def run(**options: Any) -> dict[str, Any]:
        with patch_module_args(options), pytest.raises(SystemExit):
            vmware_datastore_match.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return run


def inline(vcenter: Simulator) -> dict[str, Any]:
    return {
        "hostname": vcenter.host,
        "port": vcenter.port,
        "username": vcenter.user,
        "password": vcenter.password,
        "ca_path": str(vcenter.ca_path),
        "aliases": ALIASES,
    }


def test_every_datastore_of_a_vcenter(run: Run, vcenter: Simulator) -> None:
    result = run(**inline(vcenter))
    assert "failed" not in result, result["msg"]
    found = {
        (one["datacenter"], one["name"]): (one["datasets"], one["relation"], one["path"])
        for one in result["datastores"]
    }
    carried = ["tank/vmware", "tank/vmware/nested"]
    assert found == {
        ("DC0", "vmware"): (carried, "root", ""),
        ("DC1", "vmware"): (["tank/other"], "root", ""),
        ("DC0", "nested"): (["tank/vmware/nested"], "root", ""),
        ("DC0", "part"): (["tank/vmware"], "subdirectory", "win"),
        ("DC0", "gold/50%"): (["tank/other"], "root", ""),
        ("DC0", "two-ways"): (carried, "root", ""),
        ("DC0", "foreign"): ([], None, ""),
        ("DC0", "vmware10"): ([], None, ""),
        ("DC0", "local"): ([], None, ""),
    }
    assert len({one["moid"] for one in result["datastores"]}) == len(INVENTORY["datastores"])
    said = {one["name"]: (one["reason"], one["warnings"]) for one in result["datastores"]}
    unknown = (
        "the server 192.0.2.77 is not an address of this storage host: "
        "add it to aliases if it is one (NAT, virtual address)"
    )
    assert said["foreign"] == (unknown, [])
    assert said["two-ways"][1] == [f"it has several servers, and {unknown}"]
    assert said["vmware10"][0] == (
        "no mounted dataset contains /tank10/vmware: the directory does not exist on this storage host"
    )
    assert said["local"][0] == "it is not an NFS datastore; its type is VMFS"
    assert {name: {one["name"] for one in carried} for name, carried in result["datasets"].items()} == {
        "tank/other": {"vmware", "gold/50%"},
        "tank/vmware": {"vmware", "part", "two-ways"},
        "tank/vmware/nested": {"vmware", "nested", "two-ways"},
    }


def test_a_stored_credential_serves_as_well(run: Run, vcenter: Simulator) -> None:
    wanted = Credential(
        vcenter.host, vcenter.user, "tank/vmware", port=vcenter.port, thumbprint=vcenter.thumbprint.replace(":", "")
    )
    with Credentials.open(Paths.from_environment()) as credentials:
        stored = credentials.insert(wanted, Secret(vcenter.password))
    result = run(id=stored.id, aliases=ALIASES, dataset="tank/other")
    assert "failed" not in result, result["msg"]
    assert {(one["datacenter"], one["name"]) for one in result["datastores"]} == {
        ("DC1", "vmware"),
        ("DC0", "gold/50%"),
    }


def test_the_number_of_calls_does_not_depend_on_the_datastores(run: Run, vcenter: Simulator) -> None:
    vcenter.clear_trace()
    run(**inline(vcenter))
    calls = [entry["method"] for entry in vcenter.trace() if entry["kind"] == "call"]
    assert calls.count("Login") == calls.count("Logout") == 1
    assert len(calls) <= 8, calls


def test_a_wrong_password_is_one_sentence(run: Run, vcenter: Simulator) -> None:
    vcenter.clear_trace()
    result = run(**{**inline(vcenter), "password": "canary-4711"})
    assert [entry["fault"] for entry in vcenter.trace() if entry.get("method") == "Login"] == ["InvalidLogin"]
    assert result["failed"] is True
    assert vcenter.user in result["msg"]
    assert "exception" not in result
    assert "canary" not in json.dumps(result)


def test_an_unknown_dataset_is_one_sentence_and_asks_nobody(run: Run, vcenter: Simulator) -> None:
    vcenter.clear_trace()
    result = run(**inline(vcenter), dataset="tank/none")
    assert result["msg"] == (
        "The dataset 'tank/none' does not exist on this storage host; check the name with 'zfs list'."
    )
    assert vcenter.trace() == []


@pytest.mark.parametrize("options", [{"api_version": "6.5"}, {"esxi": True}], ids=["vcenter-6.5", "esxi"])
def test_old_servers_and_single_hosts(run: Run, tmp_path: Path, options: dict[str, Any]) -> None:
    inventory = {"datastores": [{"name": "vmware", "server": GUEST, "path": "/tank/vmware"}]}
    with Simulator.start(inventory, directory=tmp_path / "vcenter", **options) as server:
        result = run(**inline(server))
    assert "failed" not in result, result["msg"]
    assert [(one["name"], one["relation"]) for one in result["datastores"] if one["datasets"]] == [("vmware", "root")]


# --- on the storage host

PLACE = "/run/match-test"

# Use a separate mount namespace, so that bind mounts, links, and a tmpfs that hides a dataset end with the test. Only
# the export with fsid=0 affects the whole host. It is withdrawn at the end.
STAGE = """
set -eu
mkdir -p /tank/vmware/win
trap 'exportfs -u 192.0.2.1:/srv/nfs4; umount /srv; rmdir /tank/vmware/win' EXIT
mount -t tmpfs stage /srv
mkdir -p /srv/win /srv/all /srv/nfs4/vm "/srv/with blank"
mount --bind /tank/vmware/win /srv/win
mount --rbind /tank/vmware /srv/all
mount --bind /tank/vmware/win /srv/nfs4/vm
mount --bind /tank/other '/srv/with blank'
ln -s /tank/vmware /srv/link
ln -s all/nested /srv/to-nested
exportfs -o rw,fsid=0,insecure,no_subtree_check 192.0.2.1:/srv/nfs4
python3 -c "$1"
mount -t tmpfs hides /tank/other
python3 -c "$1"
umount /tank/other
umount -R /srv/win /srv/all /srv/nfs4/vm '/srv/with blank'
"""

# Print a verdict for every datastore in the file next to the engine.
PROGRAM = f"""
import json, sys
sys.path.insert(0, "{PLACE}")
from engine.matching import match as matching
from engine.vsphere.datastores import Datastore
from engine.zfs.command import Zfs
from engine.zfs.datasets import list_datasets
with open("{PLACE}/datastores") as asked:
    datastores = [Datastore(**one) for one in json.load(asked)]
zfs = Zfs()
print(json.dumps([match.as_dict() for match in matching.match_on(zfs.host, datastores, list_datasets(zfs))]))
"""


@pytest.fixture(scope="module")
def on_the_host(storage: StorageHost) -> Verdicts:
    """Return the verdicts by "server:path" on the storage host: with the setup above, then with tank/other hidden."""
    mounts = [
        (GUEST, "/tank/vmware/"),
        ("storage", "/tank/vmware/nested"),
        (f"::ffff:{GUEST}", "/tank/vmware/win"),
        (GUEST, "/srv/win"),
        (GUEST, "/srv/all"),
        (GUEST, "/srv/with blank"),
        (GUEST, "/srv/link"),
        (GUEST, "/srv/to-nested/"),
        (GUEST, "/srv"),
        (GUEST, "/tank/other"),
        (GUEST, "/no/such"),
        ("NFS41", "/vm"),
        ("unknown.invalid", "/tank/vmware"),
        ("127.0.0.1", "/tank/vmware"),
    ]
    datastores = [
        Datastore(
            f"datastore-{number}",
            f"ds{number}",
            "DC0",
            "NFS41" if server == "NFS41" else "NFS",
            (GUEST if server == "NFS41" else server,),
            path,
            True,
            "vcenter.lab",
        )
        for number, (server, path) in enumerate(mounts)
    ]
    asked = json.dumps([asdict(one) for one in datastores]).encode()
    push(storage, {**engine_files(f"{PLACE}/engine"), f"{PLACE}/datastores": asked})
    try:
        done = storage.ssh(["unshare", "-m", "sh", "-c", STAGE, "stage", PROGRAM], check=False, timeout=300)
    finally:
        storage.ssh(["rm", "-rf", PLACE])
    assert done.returncode == 0, done.stderr
    return [
        {
            f"{server}:{path}": (one["datasets"], one["relation"], one["path"], one["reason"])
            for (server, path), one in zip(mounts, json.loads(line))
        }
        for line in done.stdout.splitlines()
    ]


@pytest.mark.parametrize(
    ("mount", "datasets", "relation", "path"),
    [
        (f"{GUEST}:/tank/vmware/", ["tank/vmware", "tank/vmware/nested"], "root", ""),
        ("storage:/tank/vmware/nested", ["tank/vmware/nested"], "root", ""),
        (f"::ffff:{GUEST}:/tank/vmware/win", ["tank/vmware"], "subdirectory", "win"),
        (f"{GUEST}:/srv/win", ["tank/vmware"], "bind", "win"),
        (f"{GUEST}:/srv/all", ["tank/vmware", "tank/vmware/nested"], "bind", ""),
        (f"{GUEST}:/srv/with blank", ["tank/other"], "bind", ""),
        (f"{GUEST}:/srv/link", ["tank/vmware", "tank/vmware/nested"], "symlink", ""),
        (f"{GUEST}:/srv/to-nested/", ["tank/vmware/nested"], "symlink", ""),
        ("NFS41:/vm", ["tank/vmware"], "bind", "win"),
        (f"{GUEST}:/tank/other", ["tank/other"], "root", ""),
    ],
)
def test_real_mounts_links_and_exports(
    on_the_host: Verdicts, mount: str, datasets: list[str], relation: str, path: str
) -> None:
    assert on_the_host[0][mount][:3] == (datasets, relation, path)


@pytest.mark.parametrize(
    ("stage", "mount", "reason"),
    [
        (0, f"{GUEST}:/srv", "no mounted dataset contains /srv: it is on the tmpfs file system mounted at /srv"),
        (
            0,
            f"{GUEST}:/no/such",
            "no mounted dataset contains /no/such: the directory does not exist on this storage host",
        ),
        (0, "127.0.0.1:/tank/vmware", "the server 127.0.0.1 is the ESXi host itself, not this storage host"),
        (
            0,
            "unknown.invalid:/tank/vmware",
            "the server unknown.invalid does not resolve on this storage host: "
            "add unknown.invalid to aliases if it is a name of this storage host",
        ),
        (
            1,
            f"{GUEST}:/tank/other",
            "no mounted dataset contains /tank/other: it is on the tmpfs file system mounted at /tank/other",
        ),
    ],
)
def test_real_reasons(on_the_host: Verdicts, stage: int, mount: str, reason: str) -> None:
    datasets, relation, _unused, said = on_the_host[stage][mount]
    assert (datasets, relation, said) == ([], None, reason)
