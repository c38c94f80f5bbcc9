# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test vmware_nfs_datastore with the simulated vCenter. Read the mounts directly from its inventory."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.server import NfsServer
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.share import Share, file_name
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_nfs_share

from tests.lab.places import GUEST
from tests.lab.simulator import Simulator

from .conftest import StartVcenter
from .scene import answer, calls, open_scene, run_module, start_module, struck

PATH = "/tank/vmware"
CLUSTER = ["DC0_C0_H0", "DC0_C0_H1", "DC0_C0_H2"]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def vcenter(start_vcenter: StartVcenter) -> Simulator:
    """Two datacenters, each with a cluster of three hosts and a standalone host, without NFS datastores."""
    return start_vcenter({"name": "local", "type": "local"}, datacenters=("DC0", "DC1"))


@pytest.fixture
def run(vcenter: Simulator) -> Run:
    return runner(vcenter)


def runner(server: Simulator) -> Run:
    """Run the module for a server, by default with tank/vmware on the cluster DC0_C0."""
    usual = {
        "hostname": server.host, "port": server.port, "username": server.user, "password": server.password,
        "ca_path": str(server.ca_path), "name": "vmware", "servers": [GUEST], "path": PATH, "cluster": "DC0_C0",
    }  # fmt: skip

    def run(check: bool = False, diff: bool = False, apart: bool = False, **options: Any) -> dict[str, Any]:
        given = {**usual, **options}
        if options.keys() & {"hosts", "datacenter"}:
            given["cluster"] = options.get("cluster")
        given = {name: value for name, value in given.items() if value is not None}
        if apart:  # in a separate process without the warnings of earlier runs
            return answer(start_module("vmware_nfs_datastore", given, check=check, diff=diff))
        return run_module("vmware_nfs_datastore", given, check=check, diff=diff)

    return run


def warnings(result: dict[str, Any]) -> list[str]:
    return [said if isinstance(said, str) else said["event"]["msg"] for said in result.get("warnings", [])]


def mounts(server: Simulator, name: str = "vmware") -> dict[str, tuple[list[str], str, str, str]]:
    """Return (servers, path, type, access mode) of a datastore on each host, from the simulator."""
    return {
        host["name"]: (mount["servers"], mount["path"], mount["type"], mount["access"])
        for host in server.hosts()
        for mount in host["mounts"]
        if mount["datastore"] == name
    }


def actions(result: dict[str, Any]) -> dict[str, str]:
    return {host["name"]: host["action"] for host in result["hosts"]}


def drift(result: dict[str, Any], host: str = "DC0_C0_H0") -> dict[str, tuple[str, str]]:
    """Return the differences on a host: (requested, actual) by property."""
    (told,) = (one for one in result["hosts"] if one["name"] == host)
    return {each["property"]: (each["wanted"], each["found"]) for each in told["drift"]}


def succeeds(result: dict[str, Any], changed: bool) -> dict[str, Any]:
    assert "failed" not in result, result["msg"]
    assert result["changed"] is changed, result
    return result


def fails(result: dict[str, Any]) -> str:
    """Return the one-sentence error."""
    assert result.get("failed"), result
    said: str = result["msg"]
    assert said.endswith(".") and "\n" not in said, said
    return said


def changing_calls(server: Simulator) -> int:
    return sum(calls(server)[method] for method in ("CreateNasDatastore", "RemoveDatastore"))


def test_a_cluster_mounts_once_and_unmounts_once(run: Run, vcenter: Simulator) -> None:
    shown = succeeds(run(check=True, diff=True), True)
    assert mounts(vcenter) == {} and changing_calls(vcenter) == 0
    assert shown["datastore"] is None and set(actions(shown).values()) == {"mount"}
    assert shown["diff"] == {
        "before": {host: [] for host in CLUSTER},
        "after": {host: [f"vmware: {GUEST}:{PATH} (NFS 3), readWrite"] for host in CLUSTER},
    }

    made = succeeds(run(diff=True), True)
    assert mounts(vcenter) == dict.fromkeys(CLUSTER, ([GUEST], PATH, "NFS", "readWrite"))
    assert made["diff"] == shown["diff"]
    assert [host["mounted"] for host in made["hosts"]] == [True] * 3
    facts = made["datastore"]
    assert (facts["name"], facts["datacenter"], facts["type"]) == ("vmware", "DC0", "NFS")
    assert (facts["servers"], facts["path"], facts["accessible"]) == ([GUEST], PATH, True)
    (moid,) = {mount["moid"] for host in vcenter.hosts() for mount in host["mounts"] if mount["datastore"] == "vmware"}
    assert facts["moid"] == moid

    vcenter.clear_trace()
    again = succeeds(run(), False)
    assert set(actions(again).values()) == {"nothing"} and again["datastore"] == facts
    assert changing_calls(vcenter) == 0
    assert succeeds(run(check=True), False)["hosts"] == again["hosts"]

    assert succeeds(run(state="absent", check=True), True) and len(mounts(vcenter)) == 3
    gone = succeeds(run(state="absent"), True)
    assert mounts(vcenter) == {} and gone["datastore"] is None
    assert [(host["action"], host["mounted"]) for host in gone["hosts"]] == [("unmount", False)] * 3
    succeeds(run(state="absent"), False)


@pytest.mark.parametrize(
    "spelled",
    [
        {"servers": ["NFS.Example.com."]},
        {"path": "/tank//vmware/"},
        {"servers": ["nfs.example.com"], "path": "/tank/vmware/."},
    ],
)
def test_spelling_is_no_drift_and_a_host_that_joins_takes_the_spelling(
    run: Run, vcenter: Simulator, spelled: dict[str, Any]
) -> None:
    succeeds(run(servers=["nfs.example.com"], hosts=CLUSTER[:1]), True)
    succeeds(run(**{"servers": ["nfs.example.com"], **spelled}), True)
    assert mounts(vcenter) == dict.fromkeys(CLUSTER, (["nfs.example.com"], PATH, "NFS", "readWrite"))
    succeeds(run(**{"servers": ["nfs.example.com"], **spelled}), False)


def test_an_ipv6_server_in_any_spelling(run: Run, vcenter: Simulator) -> None:
    succeeds(run(servers=["[FD00:0::0a]"]), True)
    assert set(mounts(vcenter)["DC0_C0_H0"][0]) == {"FD00:0::0a"}
    succeeds(run(servers=["fd00::a"]), False)


@pytest.mark.parametrize(
    ("there", "found", "sentence"),
    [
        ({"servers": ["192.0.2.9"]}, {"servers": (GUEST, "192.0.2.9")}, "mounts 'vmware' from 192.0.2.9, not from 10."),
        ({"path": "/tank/other"}, {"path": (PATH, "/tank/other")}, f"mounts 'vmware' at /tank/other, not {PATH}"),
        ({"version": "4.1"}, {"version": ("3", "4.1")}, "mounts 'vmware' with NFS 4.1, not 3"),
        ({"access_mode": "readOnly"}, {"access_mode": ("readWrite", "readOnly")}, "mounts 'vmware' readOnly, not "),
        ({"name": "old"}, {"name": ("vmware", "old")}, f"mounts {GUEST}:{PATH} (NFS 3) as 'old', not as 'vmware'"),
    ],
)  # fmt: skip
def test_every_kind_of_drift_stops_before_the_first_change(
    run: Run, vcenter: Simulator, there: dict[str, Any], found: dict[str, Any], sentence: str
) -> None:
    succeeds(run(**{"hosts": CLUSTER[:1], **there}), True)
    before = vcenter.hosts()
    vcenter.clear_trace()

    result = run()
    assert fails(result).startswith(f"DC0_C0_H0 {sentence}")
    assert drift(result) == found

    shown = succeeds(run(check=True, apart=True), False)
    assert drift(shown) == found and actions(shown)["DC0_C0_H0"] == "drift"
    assert any(warning.startswith(f"DC0_C0_H0 {sentence}") for warning in warnings(shown))
    assert any("Outside check mode, this fails" in warning for warning in warnings(shown))
    assert vcenter.hosts() == before and changing_calls(vcenter) == 0

    mended = succeeds(run(on_drift="remount"), True)
    assert mounts(vcenter) == dict.fromkeys(CLUSTER, ([GUEST], PATH, "NFS", "readWrite"))
    assert actions(mended) == {"DC0_C0_H0": "remount", "DC0_C0_H1": "mount", "DC0_C0_H2": "mount"}
    assert drift(mended) == found
    succeeds(run(), False)


def test_drift_can_be_reported_and_the_other_hosts_done(run: Run, vcenter: Simulator) -> None:
    succeeds(run(hosts=CLUSTER[1:2], access_mode="readOnly"), True)
    reported = succeeds(run(on_drift="report", apart=True), True)
    assert actions(reported) == {"DC0_C0_H0": "mount", "DC0_C0_H1": "drift", "DC0_C0_H2": "mount"}
    assert warnings(reported) == ["DC0_C0_H1 mounts 'vmware' readOnly, not readWrite."]
    assert {host: mount[3] for host, mount in mounts(vcenter).items()} == {
        "DC0_C0_H0": "readWrite", "DC0_C0_H1": "readOnly", "DC0_C0_H2": "readWrite",
    }  # fmt: skip
    assert warnings(succeeds(run(on_drift="report", apart=True), False)) == warnings(reported)


def test_what_other_hosts_of_the_datacenter_mount_is_seen_before(run: Run, vcenter: Simulator) -> None:
    succeeds(run(hosts=["DC0_H0"], path="/tank/other"), True)  # outside the cluster
    taken = fails(run())
    assert "because in the datacenter DC0 this name is 10.0.2.15:/tank/other (NFS 3) on other hosts" in taken
    assert "2 more hosts (DC0_C0_H1, DC0_C0_H2) differ too" in taken
    assert "other hosts mount it as 'vmware'" in fails(run(name="second", path="/tank/other"))
    mixed = fails(run(name="second", path="/tank/other", version="4.1"))
    assert "other hosts mount it with NFS 3 as 'vmware', and NFS 3 and NFS 4.1 do not share locks" in mixed
    for options in ({}, {"state": "absent"}, {"state": "absent", "servers": None, "path": None}):
        assert "of type VMFS, which is not changed" in fails(run(name="local", on_drift="remount", **options))
    assert "remounting cannot fix this" in fails(run(on_drift="remount"))
    assert len(mounts(vcenter)) == 1


def test_a_second_name_beside_the_right_one_is_told(run: Run, vcenter: Simulator) -> None:
    succeeds(run(), True)
    vcenter_mount(vcenter, "DC0_C0_H0", "twin", f"{PATH}/")
    told = succeeds(run(apart=True), False)
    assert warnings(told) == ["DC0_C0_H0: it also mounts the same export as 'twin'."]


def vcenter_mount(server: Simulator, host: str, name: str, path: str) -> None:
    """Mount without the checks of the module, as a user could."""
    from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
    from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import hosts, nas_mounts, session

    endpoint = session.Endpoint(server.host, server.port, ca_path=str(server.ca_path))
    with session.connect(endpoint, server.user, Secret(server.password)) as connected:
        (found,) = hosts.hosts_in_scope(connected, hosts.Scope(hosts=(host,)))
        nas_mounts.mount(connected, found, name, nas_mounts.Export((GUEST,), path, "3"), "readWrite")


def test_vms_keep_their_datastore(run: Run, vcenter: Simulator) -> None:
    succeeds(run(), True)
    vcenter.deploy(
        "vmware", {"name": "web", "host": "DC0_C0_H1"}, {"name": "golden", "template": True, "host": "DC0_C0_H2"}
    )
    vcenter.clear_trace()
    for check in (False, True):
        # DC0_C0_H0 runs no VM, but a VM could be moved to it or restarted on it.
        said = fails(run(state="absent", hosts=["DC0_C0_H0"], check=check))
        assert "'vmware' has 2 registered VMs (the template 'golden', 'web')" in said
    said = fails(run(state="absent"))
    assert "(the template 'golden' on DC0_C0_H2, 'web' on DC0_C0_H1)" in said
    assert "'web' on DC0_C0_H1" in fails(run(access_mode="readOnly", on_drift="remount"))
    assert len(mounts(vcenter)) == 3 and changing_calls(vcenter) == 0
    succeeds(run(), False)

    vcenter.unregister("web|golden")
    succeeds(run(state="absent"), True)
    assert mounts(vcenter) == {}


def test_a_vm_that_only_uses_it_for_a_cd_keeps_it_too(run: Run, vcenter: Simulator) -> None:
    succeeds(run(), True)
    vcenter.deploy("local", {"name": "reader", "iso": "vmware", "host": "DC0_H0"})
    assert "'reader'" in fails(run(state="absent"))


def test_the_same_name_in_two_datacenters(run: Run, vcenter: Simulator) -> None:
    succeeds(run(), True)
    other = succeeds(run(datacenter="DC1", path="/tank/other"), True)
    assert set(actions(other)) == {"DC1_H0", "DC1_C0_H0", "DC1_C0_H1", "DC1_C0_H2"}
    assert other["datastore"]["datacenter"] == "DC1"
    assert {mount[1] for host, mount in mounts(vcenter).items() if host.startswith("DC1")} == {"/tank/other"}
    succeeds(run(), False)
    succeeds(run(datacenter="DC1", path="/tank/other", state="absent"), True)
    assert set(mounts(vcenter)) == set(CLUSTER)


def test_nfs_4_1_with_two_servers(run: Run, vcenter: Simulator) -> None:
    both = {"version": "4.1", "servers": [GUEST, "10.0.3.15"]}
    assert "NFS 3 supports only one server" in fails(run(servers=both["servers"]))
    succeeds(run(**both), True)
    assert mounts(vcenter) == dict.fromkeys(CLUSTER, ([GUEST, "10.0.3.15"], PATH, "NFS41", "readWrite"))
    created = [entry["args"] for entry in vcenter.trace() if entry.get("method") == "CreateNasDatastore"]
    assert {args["securityType"] for args in created} == {"AUTH_SYS"}
    succeeds(run(version="4.1", servers=["10.0.3.15", GUEST]), False)
    # The NFS 4.1 client adds servers itself, so additional servers are not drift. A missing server is drift.
    succeeds(run(version="4.1"), False)
    result = run(version="4.1", servers=[GUEST, "10.0.4.15"])
    assert drift(result, "DC0_C0_H2") == {"servers": (f"{GUEST}, 10.0.4.15", f"{GUEST}, 10.0.3.15")}


def test_hosts_of_one_datastore_may_have_different_servers(run: Run, vcenter: Simulator) -> None:
    succeeds(run(hosts=CLUSTER[:1], version="4.1"), True)
    both = {"version": "4.1", "servers": [GUEST, "10.0.3.15"]}
    succeeds(run(hosts=CLUSTER[1:], **both), True)
    result = run(**both)
    assert fails(result).startswith(f"DC0_C0_H0 mounts 'vmware' from {GUEST}, not from {GUEST}, 10.0.3.15;")
    assert drift(result, "DC0_C0_H1") == {}


def test_a_host_that_fails_keeps_no_other_from_being_done(run: Run, vcenter: Simulator) -> None:
    vcenter.rule(
        method="CreateNasDatastore", vm="DC0_C0_H1", effect="call_fault", fault="PlatformConfigFault",
        message="An error occurred during host configuration.", fields={"Text": "Unable to connect to NFS server"},
    )  # fmt: skip
    result = run()
    assert struck(vcenter, "call_fault") == 1
    said = fails(result)
    assert "could not mount the datastore on DC0_C0_H1: An error" in said and "Unable to connect to NFS server" in said
    assert result["changed"] is True
    assert actions(result) == {"DC0_C0_H0": "mount", "DC0_C0_H1": "failed", "DC0_C0_H2": "mount"}
    assert {host["name"]: host["mounted"] for host in result["hosts"]} == {
        "DC0_C0_H0": True, "DC0_C0_H1": False, "DC0_C0_H2": True,
    }  # fmt: skip
    assert set(mounts(vcenter)) == {"DC0_C0_H0", "DC0_C0_H2"}
    vcenter.clear_rules()
    assert actions(succeeds(run(), True))["DC0_C0_H1"] == "mount"

    vcenter.rule(method="RemoveDatastore", vm="DC0_C0_H0", effect="call_fault", fault="ResourceInUse")
    gone = run(state="absent")
    assert "could not unmount the datastore from DC0_C0_H0" in fails(gone) and struck(vcenter, "call_fault") == 2
    assert set(mounts(vcenter)) == {"DC0_C0_H0"}


@pytest.mark.parametrize(("effect", "done"), [("drop_after", True), ("drop_before", False)])
def test_an_answer_that_was_lost_is_looked_up(run: Run, vcenter: Simulator, effect: str, done: bool) -> None:
    vcenter.rule(method="CreateNasDatastore", vm="DC0_C0_H1", effect=effect, count=1)
    result = run()
    assert struck(vcenter, effect) == 1 and len(mounts(vcenter)) == 2 + done
    if done:
        succeeds(result, True)
    else:
        assert "to mount the datastore on DC0_C0_H1" in fails(result) and actions(result)["DC0_C0_H2"] == "mount"


def test_a_vcenter_that_goes_away_ends_it(run: Run, vcenter: Simulator) -> None:
    vcenter.rule(method="CreateNasDatastore", vm="DC0_C0_H1", effect="drop_before")
    vcenter.rule(method="RetrievePropertiesEx|Login", effect="drop_before", skip=calls_until_mount(run, vcenter))
    result = run(connect_timeout=2)
    assert "to mount the datastore on DC0_C0_H1" in fails(result) and "1 more host (DC0_C0_H2)" in result["msg"]
    assert result["hosts"][2]["reason"].startswith("Not tried, because")
    assert actions(result) == {"DC0_C0_H0": "mount", "DC0_C0_H1": "failed", "DC0_C0_H2": "failed"}


def calls_until_mount(run: Run, vcenter: Simulator) -> int:
    """Return the number of reads and logins before the first change."""
    vcenter.clear_trace()
    run(check=True)
    made = calls(vcenter)
    return made["RetrievePropertiesEx"] + made["Login"]


def test_a_missing_privilege_is_named(run: Run, vcenter: Simulator) -> None:
    vcenter.deny("Host.Config.Storage", "DC0_C0_H2")
    assert "lacks the privilege Host.Config.Storage" in fails(run())
    assert set(mounts(vcenter)) == {"DC0_C0_H0", "DC0_C0_H1"}


def test_hosts_that_are_not_connected(run: Run, vcenter: Simulator) -> None:
    vcenter.change_host("DC0_C0_H1", connection="notResponding")
    vcenter.change_host("DC0_C0_H2", maintenance=True)
    result = succeeds(run(apart=True), True)
    assert actions(result) == {"DC0_C0_H0": "mount", "DC0_C0_H1": "skipped", "DC0_C0_H2": "mount"}
    assert warnings(result) == ["DC0_C0_H1 was skipped: it does not respond to vCenter."]
    assert actions(succeeds(run(state="absent"), True))["DC0_C0_H1"] == "skipped"

    vcenter.change_host(".*", connection="connected")
    succeeds(run(), True)
    vcenter.change_host("DC0_C0_H1", connection="disconnected")
    said = fails(run(state="absent"))
    assert "DC0_C0_H1: it is disconnected from vCenter; according to vCenter, it mounts the datastore" in said
    assert len(mounts(vcenter)) == 3

    vcenter.change_host(".*", connection="disconnected")
    assert fails(run()).startswith("No host can mount the datastore: DC0_C0_H0: it is disconnected from vCenter")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"cluster": None}, "is a vCenter, but no hosts were selected"),
        ({"cluster": "none"}, "has no cluster 'none'"),
        ({"datacenter": "none"}, "has no datacenter 'none'"),
        ({"datacenter": "DC1", "cluster": "DC0_C0"}, "has no cluster 'DC0_C0'"),
        ({"hosts": ["DC0_H0", "none"]}, "has no host 'none'"),
        ({"hosts": []}, "The list of hosts is empty"),
        ({"hosts": ["DC0_H0", "DC1_H0"]}, "are in several datacenters ('DC0' and 'DC1')"),
        ({"path": "tank/vmware"}, "is not an absolute path"),
        ({"servers": ["localhost"]}, "refers to the ESXi host itself"),
        ({"servers": ["127.0.0.1"]}, "refers to the ESXi host itself"),
        ({"servers": ["10.0.2.300"]}, "is neither a host name nor an IP address"),
        ({"servers": []}, "one of them is not set"),
        ({"name": "x" * 43}, "not a valid datastore name"),
        ({"state": "absent", "path": None}, "one of them is not set"),
        ({"password": "canary-4711"}, "refused the login"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    run: Run, vcenter: Simulator, options: dict[str, Any], sentence: str
) -> None:
    result = run(**options)
    assert sentence in fails(result) and "canary" not in str(result)
    assert changing_calls(vcenter) == 0


def test_hosts_by_name_in_any_case(run: Run, vcenter: Simulator) -> None:
    succeeds(run(hosts=["dc0_h0.", "DC0_C0_H1"]), True)
    assert set(mounts(vcenter)) == {"DC0_H0", "DC0_C0_H1"}


def test_a_single_esxi_host(start_vcenter: StartVcenter) -> None:
    server = start_vcenter({"name": "local", "type": "local"}, esxi=True)
    run = runner(server)
    result = succeeds(run(cluster=None), True)
    assert actions(result) == {"localhost.localdomain": "mount"} and len(mounts(server)) == 1
    succeeds(run(cluster=None), False)
    server.deploy("vmware", {"name": "web"})
    assert "'web' on localhost.localdomain" in fails(run(cluster=None, state="absent"))
    server.unregister("web")
    succeeds(run(cluster=None, state="absent"), True)
    assert mounts(server) == {}
    assert "has no cluster 'DC0_C0'" in fails(run())


def test_a_vcenter_that_speaks_the_oldest_api(start_vcenter: StartVcenter) -> None:
    run = runner(start_vcenter(api_version="6.5"))
    succeeds(run(), True)
    succeeds(run(version="4.1", servers=["10.0.3.15"], path="/tank/other", name="other"), True)
    succeeds(run(), False)


def test_unmounting_asks_for_the_same_export(run: Run, vcenter: Simulator) -> None:
    succeeds(run(path="/tank/other"), True)
    assert "at /tank/other, not /tank/vmware" in fails(run(state="absent"))
    assert "as 'vmware', not as 'other'" in fails(run(state="absent", name="other", path="/tank/other"))
    assert len(mounts(vcenter)) == 3
    succeeds(run(state="absent", servers=None, path=None), True)


def test_purging_takes_what_is_ours_and_not_wanted(run: Run, vcenter: Simulator) -> None:
    def purge(**options: Any) -> dict[str, Any]:
        nothing = {"name": None, "servers": None, "path": None}
        return run(**{"state": "purged", "keep": ["vmware"], "aliases": [GUEST], **nothing, **options})

    ours = {"old": "/tank/old", "used": "/tank/used"}
    for name, path in {"vmware": PATH, **ours}.items():
        succeeds(run(name=name, path=path), True)
    succeeds(run(name="foreign", servers=["192.0.2.77"], path="/tank/old"), True)
    succeeds(run(name="half", servers=[GUEST, "192.0.2.77"], version="4.1", path="/tank/half"), True)
    succeeds(run(name="outside", path="/tank/outside", hosts=["DC0_H0"]), True)
    succeeds(run(name="old", path="/tank/old", datacenter="DC1"), True)
    vcenter.deploy("used", {"name": "web"})
    vcenter.clear_trace()

    for shown in (purge(check=True), purge(check=True, diff=True)):
        assert {(host["datastore"], host["action"]) for host in succeeds(shown, True)["hosts"]} == {
            ("old", "unmount"), ("used", "in_use"),
        }  # fmt: skip
    assert changing_calls(vcenter) == 0
    assert purge(aliases=[])["changed"] is False  # the address is not known as an alias

    done = succeeds(purge(apart=True), True)
    assert [host["name"] for host in done["hosts"] if host["action"] == "unmount"] == CLUSTER
    assert any("keeps the datastore 'used': it has 1 registered VM ('web'" in said for said in warnings(done))
    left = {mount["datastore"] for host in vcenter.hosts() if host["name"] in CLUSTER for mount in host["mounts"]}
    assert left == {"local", "vmware", "used", "foreign", "half"}
    assert len(mounts(vcenter, "outside")) == 1 and len(mounts(vcenter, "old")) == 4

    succeeds(purge(), False)
    vcenter.unregister("web")
    succeeds(purge(), True)
    assert "state is purged but all of the following are missing: keep" in purge(keep=None)["msg"]


def test_the_number_of_reads_does_not_depend_on_the_hosts(start_vcenter: StartVcenter) -> None:
    vcenter = start_vcenter({"name": "local", "type": "local", "vms": [{"name": "web", "count": 200}]})
    runner(vcenter)(check=True)
    made = calls(vcenter)
    assert sum(made.values()) <= 24, made


def test_a_share_is_not_withdrawn_while_vms_are_registered_on_its_datastore(
    vcenter: Simulator, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vmware_nfs_share asks the vCenters of the stored credentials, in check mode too."""
    share = Share(PATH, ("10.0.2.0/24",), ("rw",))
    file, etab = tmp_path / "exports.d" / file_name(PATH), tmp_path / "etab"
    file.parent.mkdir()
    (tmp_path / "exportfs").write_text(f"#!/bin/sh\n: >{etab}\n")
    (tmp_path / "exportfs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(vmware_nfs_share, "NfsServer", partial(NfsServer, tmp_path, etab))

    def withdraw(**options: Any) -> dict[str, Any]:
        file.write_text(share.text)
        etab.write_text(f"{PATH}\t10.0.2.0/24(rw)\n")
        asked = {"path": PATH, "state": "absent", "aliases": [GUEST], **options}
        checked = run_module("vmware_nfs_share", asked, check=True)
        done = run_module("vmware_nfs_share", asked)
        assert checked.get("msg") == done.get("msg") and file.exists() is bool(done.get("failed"))
        return done

    assert withdraw()["changed"], "nobody can be asked"
    succeeds(run(), True)
    vcenter.deploy("vmware", {"name": "web"}, {"name": "golden", "template": True})
    with open_scene("tank/vmware") as scene:
        scene.enrol(vcenter)
        said = fails(withdraw())
        assert said.startswith(f"The datastore 'vmware' of {vcenter.host}") and "has 2 registered VMs" in said
        assert withdraw(force=True)["changed"]
        for vm in ("web", "golden"):
            vcenter.unregister(vm)
        assert withdraw()["changed"]
        vcenter.stop()
        assert fails(withdraw(aliases=[])).startswith("It is not known whether VMs are registered")
        assert withdraw(force=True)["changed"]
