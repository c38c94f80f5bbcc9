# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the exports of vmware_nfs_share with NFS clients: real exportfs, kernel server and clients, real ZFS.

The clients are network namespaces on the storage host: `esx` is in the networks of the share, `stranger` is not. The
engine uses the PATH of cron. In addition to each share, there are exports of a cluster resource that are not in a file.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any, Callable, Iterator

import pytest

from tests.lab.push import engine_files, push
from tests.lab.storage_host import StorageHost

PLACE = "/run/nfs-share-test"
PATH, OTHER = "/tank/vmware", "/tank/other"  # the first has the child dataset tank/vmware/nested
NETWORKS = ["10.99.1.0/24", "fd00:99:1::/64"]
# The exports of `ocf:heartbeat:exportfs` of Pacemaker: another path, and another client of the same path.
FOREIGN = ["10.99.9.0/24:/tank/vmware/nested", f"10.99.8.0/24:{PATH}"]
EXPORT_FOREIGN = f"exportfs -i -o rw,sync,no_subtree_check {' '.join(FOREIGN)}"
SET_UP = """
echo '10.99.1.2 esx1.example.com esx1' >>/etc/hosts
for pair in esx:1 stranger:2; do
    client=${pair%:*} number=${pair#*:}
    ip netns add $client
    ip link add to-$client type veth peer name eth0 netns $client
    ip address add 10.99.$number.1/24 dev to-$client
    ip address add fd00:99:$number::1/64 dev to-$client nodad
    ip link set to-$client up
    ip -n $client address add 10.99.$number.2/24 dev eth0
    ip -n $client address add fd00:99:$number::2/64 dev eth0 nodad
    ip -n $client link set lo up
    ip -n $client link set eth0 up
done
"""
# One engine call: plan and apply the options on standard input, and print the result.
PROGRAM = f"""
import json, sys
sys.path.insert(0, "{PLACE}")
from engine.errors import QuiesceError
from engine.exports.server import NfsServer
options, server = json.load(sys.stdin), NfsServer()
try:
    plan = server.plan(options) if options["state"] == "present" else server.plan_removal(options["path"])
    if plan.is_needed:
        server.carry_out(plan)
    print(json.dumps({{"changed": plan.is_needed, "file": str(plan.file), "text": plan.after}}))
except QuiesceError as error:
    print(json.dumps({{"refused": str(error)}}))
"""
# A client mounts and runs a script in the mount. The mount ends with it: `ip netns exec` has a mount namespace.
CLIENT = 'mount -t nfs -o "$1",nolock,retry=0,timeo=50,retrans=2 "$2" /mnt && cd /mnt && sh -ec "$3"'

Share = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def host() -> Iterator[StorageHost]:
    """A separate host with the engine and two clients, because the NFS server keeps datasets busy for some time."""
    host = StorageHost("exports")
    host.reset()
    push(host, engine_files(f"{PLACE}/engine"))
    host.ssh(["sh", "-ec", f"{SET_UP}\n{EXPORT_FOREIGN}"])
    yield host
    host.down()


@pytest.fixture(autouse=True)
def what_is_in_no_file_stays(host: StorageHost) -> Iterator[None]:
    """Assert that a test does not change these exports, and remove all shares afterwards."""
    before = foreign(host)
    assert len(before) == len(FOREIGN)
    yield
    after = foreign(host)
    remove = "rm -f /etc/exports.d/quiesce.vmware_zfs-* /etc/exports.d/theirs.exports; exportfs -ra"
    host.ssh(["sh", "-c", f"{remove}; {EXPORT_FOREIGN}"])
    assert after == before


def foreign(host: StorageHost) -> list[str]:
    """Return the active exports that are not in a file."""
    table = host.ssh(["cat", "/var/lib/nfs/etab"]).stdout.splitlines()
    return sorted(line for line in table if "10.99.8.0/24(" in line or "10.99.9.0/24(" in line)


def theirs(host: StorageHost, text: str) -> None:
    """Write an exports file of another user and export it."""
    script = f"mkdir -p /etc/exports.d; cat >/etc/exports.d/theirs.exports; exportfs -ra; {EXPORT_FOREIGN}"
    host.ssh(["sh", "-c", script], input=text)


@pytest.fixture
def share(host: StorageHost) -> Share:
    """Create, change or remove a share with the engine on the storage host."""

    def share(path_before: str = "", **options: Any) -> dict[str, Any]:
        asked = {
            "state": "present", "path": PATH, "networks": NETWORKS, "hosts": [], "maproot_user": "root",
            "maproot_group": "wheel", "mapall_user": None, "mapall_group": None, "read_only": False,
            "security": ["sys"], "enabled": True, **options,
        }  # fmt: skip
        command = ["env", f"PATH={path_before}/usr/bin:/bin", "python3", "-c", PROGRAM]
        answer: dict[str, Any] = json.loads(host.ssh(command, input=json.dumps(asked)).stdout)
        return answer

    return share


def client(
    host: StorageHost, name: str, path: str, script: str, version: str = "4.1", server: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Mount the share on a client and run a script in it."""
    source = f"{server or {'esx': '10.99.1.1', 'stranger': '10.99.2.1'}[name]}:{path}"
    words = ["ip", "netns", "exec", name, "sh", "-c", CLIENT, "client", f"vers={version}", source, script]
    return host.ssh(words, check=False)


def exported(host: StorageHost, path: str) -> list[str]:
    """Return the active exports of a path, except the one that is not in a file."""
    table = host.ssh(["cat", "/var/lib/nfs/etab"]).stdout.splitlines()
    return sorted(line for line in table if line.startswith(f"{path}\t") and "\t10.99.8.0/24(" not in line)


@pytest.mark.parametrize(("version", "server"), [("3", ""), ("4.1", ""), ("4.1", "[fd00:99:1::1]")])
def test_esxi_works_as_root_and_a_client_outside_the_networks_is_refused(
    host: StorageHost, share: Share, version: str, server: str
) -> None:
    host.ssh(["sh", "-ec", f"echo flat >{PATH}/vm.vmdk; chmod 600 {PATH}/vm.vmdk; echo below >{PATH}/nested/below"])
    assert share()["changed"] and not share()["changed"]

    read = client(host, "esx", PATH, "cat vm.vmdk; echo more >>vm.vmdk; ls nested", version, server)
    assert (read.returncode, read.stdout) == (0, "flat\n"), read.stderr  # and nothing from the child dataset
    assert host.ssh(["cat", f"{PATH}/vm.vmdk"]).stdout == "flat\nmore\n"

    refused = client(host, "stranger", PATH, "cat vm.vmdk", version, server.replace(":1::", ":2::"))
    assert refused.returncode != 0 and refused.stdout == ""
    assert "access denied by server" in refused.stderr


def test_each_option_is_what_the_client_meets(host: StorageHost, share: Share) -> None:
    host.ssh(["sh", "-ec", f"echo flat >{PATH}/vm.vmdk; chmod 600 {PATH}/vm.vmdk"])
    share(read_only=True)
    done = client(host, "esx", PATH, "cat vm.vmdk; touch new")
    assert done.stdout == "flat\n" and "Read-only file system" in done.stderr
    share(maproot_user=None, maproot_group=None)
    assert "Permission denied" in client(host, "esx", PATH, "cat vm.vmdk").stderr
    share(maproot_user=None, maproot_group=None, mapall_user="daemon")
    host.ssh(["chown", "daemon", f"{PATH}/vm.vmdk"])
    assert client(host, "esx", PATH, "cat vm.vmdk").stdout == "flat\n"
    share(networks=[], hosts=["ESX1."])  # an alias in /etc/hosts, which is exported with its canonical name
    assert [line.split("\t")[1].partition("(")[0] for line in exported(host, PATH)] == ["esx1.example.com"]
    assert client(host, "esx", PATH, "cat vm.vmdk").stdout == "flat\n"
    assert not share(networks=[], hosts=["esx1"])["changed"]
    share(enabled=False)
    assert exported(host, PATH) == [] and client(host, "esx", PATH, "cat vm.vmdk").returncode != 0


def test_nothing_is_exported_while_the_dataset_is_not_mounted(host: StorageHost, share: Share) -> None:
    host.ssh(["sh", "-ec", f"echo flat >{OTHER}/vm.vmdk"])
    share(path=OTHER)
    host.ssh(["zfs", "unmount", "tank/other"])
    try:
        assert client(host, "esx", OTHER, "ls -a").returncode != 0
    finally:
        host.ssh(["sh", "-c", f"zfs mount tank/other; {EXPORT_FOREIGN}"])  # zfs calls exportfs -ra
    assert client(host, "esx", OTHER, "cat vm.vmdk").stdout == "flat\n"


def test_an_entry_that_contradicts_is_named_and_nothing_is_changed(host: StorageHost, share: Share) -> None:
    theirs(host, f"# theirs\n{PATH} \\\n  10.99.0.0/16(ro,sync,no_subtree_check)\n")
    said = share()["refused"]
    assert said.startswith(
        f"/etc/exports.d/theirs.exports line 2 has '{PATH} 10.99.0.0/16(ro,sync,no_subtree_check)', "
        f"which conflicts with '{PATH} 10.99.1.0/24(sec=sys,rw,sync,no_subtree_check,mountpoint,no_root_squash)' in "
        "/etc/exports.d/quiesce."
    )
    assert [line.split("\t")[1].partition("(")[0] for line in exported(host, PATH)] == ["10.99.0.0/16"]


def test_what_zfs_exports_by_itself_contradicts_too(host: StorageHost, share: Share) -> None:
    host.ssh(["zfs", "set", "sharenfs=on", "tank/other"])
    try:
        said = share(path=OTHER)["refused"]
    finally:
        host.ssh(["sh", "-c", f"zfs set sharenfs=off tank/other; {EXPORT_FOREIGN}"])
    assert said.startswith("/etc/exports.d/zfs.exports line ") and "'zfs set sharenfs=off tank/other'" in said
    assert share(path=OTHER)["changed"]


def test_when_exportfs_refuses_the_exports_are_what_they_were(host: StorageHost, share: Share) -> None:
    before = share(networks=["10.99.7.0/24", NETWORKS[1]], hosts=["esx1", "fd00:99:3::2"])
    was = exported(host, PATH)
    host.ssh(["sh", "-c", f"exportfs -ra; {EXPORT_FOREIGN}"])
    assert exported(host, PATH) == was and len(was) == 4, "what is exported is what the file says"
    refusing = '#!/bin/sh\n/usr/sbin/exportfs "$@"\ncase "$*" in *krb5p*) echo "exportfs: no" >&2; exit 1;; esac\n'
    host.ssh(
        ["sh", "-c", f"mkdir {PLACE}/bin; cat >{PLACE}/bin/exportfs; chmod 755 {PLACE}/bin/exportfs"], input=refusing
    )
    said = share(f"{PLACE}/bin:", networks=["10.99.7.0/24", "10.99.1.0/24"], security=["krb5p"])["refused"]
    assert said == "exportfs refused the share: exportfs: no; fix the cause; the exports are unchanged."
    assert host.ssh(["cat", before["file"]]).stdout == before["text"]
    assert exported(host, PATH) == was


def test_an_entry_of_somebody_else_that_is_broken_stops_nobody(host: StorageHost, share: Share) -> None:
    theirs(host, "/no/such/folder 10.99.1.0/24(rw,no_subtree_check)\n")
    assert share()["changed"] and len(exported(host, PATH)) == 2
    assert share(state="absent")["changed"] and exported(host, PATH) == []
