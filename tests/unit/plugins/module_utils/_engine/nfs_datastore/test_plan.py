# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is planned for each host, as a pure function of what was seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import DatastoreInUse, InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.nfs_datastore.plan import (
    Step,
    plan_absent,
    plan_present,
    plan_purge,
    refuse_in_use,
    spare_in_use,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.nfs_datastore.request import (
    Wanted,
    same_servers,
    wanted,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.hosts import Host, Scope, select
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.nas_mounts import (
    Export,
    Mount,
    MountedDatastore,
    RegisteredVm,
)

EXPORT = Export(("nfs",), "/tank/vmware", "3")
WANTED = Wanted("vmware", EXPORT)
A, B = (Host(f"host-{n}", f"esx{n}", "C0", "DC0", "dc-1", "connected", False, f"system-{n}") for n in (1, 2))


def datastore(
    name: str, export: Export | None = EXPORT, *hosts: Host, access_mode: str = "readWrite"
) -> MountedDatastore:
    """A datastore that hosts mount; without an export a VMFS one."""
    kind = "VMFS" if export is None else {"3": "NFS", "4.1": "NFS41"}[export.version]
    mounts = tuple(Mount(host.moid, access_mode, True, export) for host in hosts)
    return MountedDatastore(f"moid-{name}", name, kind, True, export, mounts)


def actions(steps: list[Step]) -> list[str]:
    return [step.action for step in steps]


def properties(step: Step) -> list[str]:
    return [each.property for each in step.drift]


def test_a_host_without_it_mounts_and_one_that_has_it_does_nothing() -> None:
    steps = plan_present(WANTED, [A, B], [datastore("vmware", EXPORT, B)])
    assert actions(steps) == ["mount", "nothing"]
    assert (steps[0].before, steps[0].after) == ((), ("vmware: nfs:/tank/vmware (NFS 3), readWrite",))
    assert steps[1].before == steps[1].after != ()


@pytest.mark.parametrize(
    ("servers", "path"),
    [(("NFS.",), "/tank/vmware"), (("nfs",), "//tank/vmware/"), (("Nfs",), "/tank/./vmware")],
)
def test_a_host_that_joins_is_given_the_spelling_of_the_others(servers: tuple[str, ...], path: str) -> None:
    known = Export(servers, path, "3")
    joining, there = plan_present(WANTED, [A, B], [datastore("vmware", known, B)])
    assert (joining.action, joining.export, there.action) == ("mount", known, "nothing")


@pytest.mark.parametrize(
    ("one", "other"),
    [("fd00::a", "FD00:0:0::000A"), ("[fd00::a]", "fd00::a%vmk1"), ("::ffff:10.0.2.15", "10.0.2.15"), ("nfs.", "NFS")],
)
def test_servers_are_compared_by_what_they_mean(one: str, other: str) -> None:
    assert same_servers(Export((one,), "/", "3"), Export((other,), "/", "3"))


def test_a_4_1_server_list_may_have_grown_but_not_shrunk() -> None:
    two, three = Export(("a", "b"), "/x", "4.1"), Export(("b", "c", "a"), "/x", "4.1")
    assert same_servers(two, three) and not same_servers(three, two)
    assert plan_present(Wanted("x", two), [A], [datastore("x", three, A)])[0].action == "nothing"
    assert plan_present(Wanted("x", three), [A], [datastore("x", two, A)])[0].drift[0].property == "servers"


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (datastore("vmware", replace(EXPORT, servers=("nas",)), A), ["servers"]),
        (datastore("vmware", replace(EXPORT, path="/tank"), A), ["path"]),
        (datastore("vmware", replace(EXPORT, version="4.1"), A), ["version"]),
        (datastore("vmware", EXPORT, A, access_mode="readOnly"), ["access_mode"]),
        (datastore("vmware", Export(("nas",), "/tank", "4.1"), A, access_mode="readOnly"),
         ["servers", "path", "version", "access_mode"]),
        (datastore("old", EXPORT, A), ["name"]),
        (datastore("old", replace(EXPORT, version="4.1"), A), ["name", "version"]),
    ],
)  # fmt: skip
def test_what_a_host_mounts_otherwise_is_drift(there: MountedDatastore, expected: list[str]) -> None:
    (step,) = plan_present(WANTED, [A], [there])
    assert (step.action, properties(step), step.export) == ("drift", expected, None)
    assert not step.changes and step.before == step.after != ()
    (mended,) = plan_present(WANTED, [A], [there], remount=True)
    assert (mended.action, properties(mended), mended.unmount) == ("remount", expected, (there.moid,))
    assert (mended.export, mended.after) == (EXPORT, ("vmware: nfs:/tank/vmware (NFS 3), readWrite",))


def test_what_is_no_nfs_is_never_unmounted_because_that_would_destroy_it() -> None:
    local = datastore("vmware", None, A)
    for steps in (
        plan_present(WANTED, [A], [local]),
        plan_present(WANTED, [A], [local], remount=True),
        plan_absent(WANTED, [A], [local]),
        plan_absent(Wanted("vmware"), [A], [local]),
    ):
        (step,) = steps
        assert (step.action, properties(step), step.unmount, step.changes) == ("drift", ["type"], (), False)
    assert plan_purge(set(), lambda server: True, [A], [local]) == []


def test_two_datastores_in_the_way_are_both_told() -> None:
    seen = [datastore("vmware", replace(EXPORT, path="/tank"), A), datastore("old", EXPORT, A)]
    (step,) = plan_present(WANTED, [A], seen)
    assert properties(step) == ["path", "name"]
    assert plan_present(WANTED, [A], seen, remount=True)[0].unmount == ("moid-vmware", "moid-old")


@pytest.mark.parametrize(
    ("elsewhere", "expected"),
    [
        (datastore("vmware", replace(EXPORT, path="/tank"), B), ["name"]),  # the name is taken in the datacenter
        (datastore("vmware", None, B), ["name"]),
        (datastore("old", EXPORT, B), ["name"]),  # vCenter knows the export by another name
        (datastore("old", replace(EXPORT, version="4.1"), B), ["version"]),  # locks of two versions
        (datastore("vmware", replace(EXPORT, version="4.1"), B), ["name"]),
        (datastore("old", replace(EXPORT, path="/tank/vmware/"), B), []),  # to vCenter another export
        (datastore("old", replace(EXPORT, path="/tank"), B), []),
    ],
)
def test_what_other_hosts_of_the_datacenter_mount(elsewhere: MountedDatastore, expected: list[str]) -> None:
    (step,) = plan_present(WANTED, [A], [elsewhere])
    assert properties(step) == expected and step.action == ("drift" if expected else "mount")
    # Remounting A cannot change what B mounts.
    (again,) = plan_present(WANTED, [A], [elsewhere], remount=True)
    assert again == step


def test_remounting_all_hosts_frees_the_name_for_all() -> None:
    seen = [datastore("old", EXPORT, A, B)]
    assert actions(plan_present(WANTED, [A, B], seen)) == ["drift", "drift"]
    assert actions(plan_present(WANTED, [A, B], seen, remount=True)) == ["remount", "remount"]
    # As long as B is not in scope, or not connected, its mount stays and the datastore keeps its name.
    assert actions(plan_present(WANTED, [A], seen, remount=True)) == ["drift"]
    away = replace(B, connection="disconnected")
    assert actions(plan_present(WANTED, [A, away], seen, remount=True)) == ["drift", "skipped"]


def test_hosts_that_are_not_connected_are_skipped_and_maintenance_is_no_obstacle() -> None:
    away, repaired = replace(A, connection="notResponding"), replace(B, maintenance=True)
    skipped, done = plan_present(WANTED, [away, repaired], [])
    assert (skipped.action, skipped.reason, done.action) == ("skipped", "it does not respond to vCenter", "mount")
    (known,) = plan_absent(WANTED, [away], [datastore("vmware", EXPORT, A)])
    assert known.mounted and known.reason.endswith("according to vCenter, it mounts the datastore")


def test_unmounting_asks_for_the_export_only_where_one_is_given() -> None:
    other = datastore("vmware", replace(EXPORT, path="/tank"), A, access_mode="readOnly")
    assert properties(plan_absent(WANTED, [A], [other])[0]) == ["path"]
    (step,) = plan_absent(Wanted("vmware"), [A], [other])
    assert (step.action, step.unmount, step.after) == ("unmount", (other.moid,), ())
    right = datastore("vmware", EXPORT, A, access_mode="readOnly")
    assert actions(plan_absent(WANTED, [A, B], [right])) == ["unmount", "nothing"]
    assert properties(plan_absent(WANTED, [A], [datastore("old", EXPORT, A)])[0]) == ["name"]
    assert actions(plan_absent(Wanted("vmware"), [A], [datastore("old", EXPORT, A)])) == ["nothing"]


WEB, GOLDEN = RegisteredVm("web", A.moid, False), RegisteredVm("golden", "host-9", True)


def test_a_datastore_with_vms_is_never_unmounted_also_when_they_are_on_another_host() -> None:
    seen = [datastore("vmware", EXPORT, A, B)]
    steps = plan_absent(WANTED, [B], seen)
    refuse_in_use(steps, {"moid-vmware": []})
    with pytest.raises(DatastoreInUse, match=r"1 registered VM \('web'\)"):
        refuse_in_use(steps, {"moid-vmware": [WEB]})
    remounted = plan_present(Wanted("vmware", EXPORT, "readOnly"), [A, B], seen, remount=True)
    with pytest.raises(DatastoreInUse, match=r"2 registered VMs \('web' on esx1, the template 'golden'\)") as caught:
        refuse_in_use(remounted, {"moid-vmware": [WEB, GOLDEN]})
    assert caught.value.details["vms"][0] == {"name": "web", "host": "esx1", "template": False}


def test_drift_that_is_left_alone_does_not_ask_for_vms() -> None:
    steps = plan_present(Wanted("vmware", EXPORT, "readOnly"), [A], [datastore("vmware", EXPORT, A)])
    refuse_in_use(steps, {"moid-vmware": [WEB]})
    assert actions(steps) == ["drift"]


def test_purging_takes_only_what_is_wholly_ours_and_not_kept() -> None:
    ours = {"nfs", "nfs2"}
    seen = [
        datastore("kept", EXPORT, A, B),
        datastore("old", EXPORT, A),
        datastore("both", Export(("nfs", "nfs2"), "/x", "4.1"), A),
        datastore("half", Export(("nfs", "foreign"), "/x", "4.1"), A),
        datastore("foreign", replace(EXPORT, servers=("foreign",)), A),
        datastore("unknown", replace(EXPORT, servers=()), A),
        datastore("local", None, A),
        datastore("elsewhere", EXPORT, replace(B, moid="host-9")),
    ]
    steps = plan_purge({"kept"}, ours.__contains__, [A, B], seen)
    assert [(step.datastore, step.host.name, step.action) for step in steps] == [
        ("old", "esx1", "unmount"), ("both", "esx1", "unmount"),
    ]  # fmt: skip
    spared = spare_in_use(steps, {"moid-old": [WEB], "moid-both": []})
    assert [(step.action, step.unmount) for step in spared] == [("in_use", ()), ("unmount", ("moid-both",))]
    assert spared[0].reason == "it has 1 registered VM ('web' on esx1)" and spared[0].before == spared[0].after


def test_a_purge_leaves_the_datastores_of_restores() -> None:
    clone = datastore("restore-1", replace(EXPORT, path="/tank/vmware-zfs-restores/r1/0"), A)
    steps = plan_purge(set(), lambda server: True, [A], [datastore("old", EXPORT, A), clone])
    assert [step.datastore for step in steps] == ["old"]


def test_names_from_outside_are_printed_in_one_line() -> None:
    evil = datastore("x\ny\u202e", EXPORT, A)
    (step,) = plan_present(WANTED, [A], [evil])
    assert "\\n" in step.drift[0].message and "\n" not in step.drift[0].message + "".join(step.before)


def test_the_scope_is_one_datacenter() -> None:
    other = replace(A, moid="host-3", name="esx3", datacenter="DC1", datacenter_moid="dc-2")
    hosts = [B, A, other]

    def names(scope: Scope, esxi: bool = False) -> list[str]:
        return [host.name for host in select(hosts, scope, esxi, "vcenter.lab")]

    assert names(Scope(datacenter="DC0")) == ["esx1", "esx2"]
    assert names(Scope(cluster="C0", datacenter="DC1")) == ["esx3"]
    assert names(Scope(hosts=("ESX1.", "esx1"))) == ["esx1"]
    assert select([A], Scope(), True, "esx1") == [A]
    for scope, sentence in (
        (Scope(), "no hosts were selected"),
        (Scope(cluster="C0"), "in several datacenters"),
        (Scope(hosts=()), "is empty"),
        (Scope(hosts=("esx1",), datacenter="DC1"), "has no host 'esx1'"),
        (Scope(datacenter=""), "has no datacenter ''"),
        (Scope(cluster=""), "has no cluster ''"),
    ):
        with pytest.raises(InputError, match=sentence):
            names(scope)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("", ["nfs"], "/x", "3"), "not a valid datastore name"),
        (("a\nb", ["nfs"], "/x", "3"), "not a valid datastore name"),
        (("x" * 43, ["nfs"], "/x", "3"), "not a valid datastore name"),
        (("x", ["nfs"], "", "3"), "one of them is not set"),
        (("x", [], "/x", "3"), "one of them is not set"),
        (("x", ["nfs"], "x", "3"), "absolute path"),
        (("x", ["nfs", "nfs2"], "/x", "3"), "NFS 3 supports only one server"),
        (("x", ["::1"], "/x", "3"), "refers to the ESXi host itself"),
        (("x", ["LocalHost."], "/x", "3"), "refers to the ESXi host itself"),
        (("x", ["localhost.localdomain"], "/x", "3"), "refers to the ESXi host itself"),
        (("x", ["0.0.0.0"], "/x", "3"), "refers to the ESXi host itself"),
        (("x", ["nfs:/x"], "/x", "3"), "neither a host name nor an IP address"),
        (("x", [" "], "/x", "3"), "neither a host name nor an IP address"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: tuple[str, list[str], str, str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        wanted(*given, "readWrite")


def test_a_server_given_twice_is_one() -> None:
    assert wanted("x", ["NFS.", "nfs"], "/x", "3", "readOnly").export == Export(("nfs",), "/x", "3")
    assert wanted("x", ["[fd00::1]"], "/x", "3", "readOnly").export == Export(("fd00::1",), "/x", "3")
    assert wanted("x", [], "", "3", "readOnly").export is None
