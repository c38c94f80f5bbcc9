# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The datastores of a credential's server. A datastore is left out of a run only if that is certainly right."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import ConnectionFailed, RegistryError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.matching import match as matching
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.matching.match import Match, disk_datasets
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning import (
    preflight,
    selection,
    server_logins,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.problem import Problem, texts
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.selection import datasets_around
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.server_logins import (
    ServerLogin,
    open_logins,
    unknown_volumes,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credential
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.mounts import Mount
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.view import StorageHostView
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import inventory
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import Datastore
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import Dataset
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.zfs import Storage

CREDENTIAL = Credential("vcenter.lab", "root", "tank/vmware", id=7)
DATASETS = [
    Dataset(name, "filesystem", f"/{name}" if mounted else None, mounted)
    for name, mounted in (
        ("tank", True),
        ("tank/vmware", True),
        ("tank/vmware/vm1", True),
        ("tank/vmware/off", False),
        ("tank/vmware/deep", False),
        ("tank/other", True),
    )
]
DOUBT = "the server nas was not resolved in time: check the name servers"


def test_named_datastores_that_are_not_there_are_told_before_they_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    session: Any = type("Session", (), {"endpoint": "vcenter.lab"})()
    monkeypatch.setattr(preflight, "list_datastores", lambda session: [GOOD.datastore])
    said = preflight.missing_datastores(session, replace(CREDENTIAL, datastores=("good", "godo")))
    assert said == [
        "datastores has 'godo', which vcenter.lab does not have; every run reports this as a problem until the "
        "datastore exists."
    ]


def match(name: str, *datasets: str, unresolved: str = "", possible_datasets: tuple[str, ...] = ()) -> Match:
    datastore = Datastore(f"ds-{name}", name, "DC0", "NFS", ("nas",), "/x", True, "vcenter.lab")
    folders = tuple((f"{number}" if number else "", dataset) for number, dataset in enumerate(datasets))
    return Match(
        datastore,
        "",
        "root" if datasets else "",
        "",
        folders,
        unresolved=unresolved,
        possible_datasets=possible_datasets,
    )


GOOD = match("good", "tank/vmware")


def problems_of(
    *matches: Match, credentials: tuple[Credential, ...] = (CREDENTIAL,)
) -> tuple[ServerLogin, list[Problem]]:
    session: Any = type("Session", (), {"endpoint": "vcenter.lab"})()
    login = ServerLogin(session, list(credentials))
    return login, login.judge(matches, DATASETS)


def judged(*matches: Match, credentials: tuple[Credential, ...] = (CREDENTIAL,)) -> tuple[ServerLogin, list[str]]:
    """The same, with the texts of the problems."""
    login, problems = problems_of(*matches, credentials=credentials)
    return login, texts(problems)


def test_zfs_is_asked_about_the_pool_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """zfs would wait for a suspended pool. The mount table shows what is mounted from other pools."""
    zfs = Storage(["tank", "tank/vm"])
    mounts = (
        Mount("tank2/share", "/", "/srv", "zfs"),
        Mount("tank/vm", "/", "/srv/vm", "zfs"),
        Mount("tank2/share", "/sub", "/bound", "zfs"),
        Mount("tank2/share@old", "/", "/srv/.zfs/snapshot/old", "zfs"),
        Mount("tank2/hidden", "/", "/hidden", "zfs", visible=False),
        Mount("/dev/sda1", "/", "/", "ext4"),
    )
    monkeypatch.setattr(selection, "mount_table", lambda host: mounts)
    around = datasets_around(zfs, "tank")
    assert [(one.name, one.mountpoint) for one in around[2:]] == [("tank2/share", "/srv")]
    assert [one.name for one in around[:2]] == ["tank", "tank/vm"] and zfs.processes == 1
    # The folder vm of a datastore on the other pool is a dataset of this pool. It must be found.
    datastore = Datastore("ds-1", "all", "DC0", "NFS", ("nas",), "/srv", True, "vcenter.lab")
    view = StorageHostView(frozenset(), frozenset(["nas"]), mounts, real_paths={"/srv": "/srv"})
    (found,) = matching.match([datastore], around, view)
    assert found.datasets == ("tank2/share", "tank/vm") and not found.unresolved


def test_a_datastore_that_lies_elsewhere_is_no_problem() -> None:
    assert judged(GOOD, match("elsewhere"), match("other", "tank/other"))[1] == []


def test_a_server_without_a_datastore_of_the_credential_is_one() -> None:
    (problem,) = judged(match("elsewhere"))[1]
    assert problem.startswith("No datastore of vcenter.lab is on tank/vmware (credential 7); ")


@pytest.mark.parametrize("possible_datasets", [("tank/vmware",), ("tank/vmware/deep",), ("tank", "tank/other"), ()])
def test_one_that_may_lie_here_is_one_although_another_lies_here(possible_datasets: tuple[str, ...]) -> None:
    login, problems = judged(GOOD, match("unsure", unresolved=DOUBT, possible_datasets=possible_datasets))
    assert problems == [f"It is unknown whether the datastore 'unsure' of vcenter.lab is on tank/vmware: {DOUBT}."]
    assert login.datastores_on(["tank/vmware"]) == ["ds-good"]
    assert judged(match("unsure", unresolved=DOUBT, possible_datasets=possible_datasets))[1] == problems, (
        "that no datastore lies here is not known"
    )


@pytest.mark.parametrize("possible_datasets", [("tank/other",), ("tank/vmware2", "tank/vmware2/deep"), ("dozer",)])
def test_one_that_may_lie_on_another_dataset_is_none(possible_datasets: tuple[str, ...]) -> None:
    assert judged(GOOD, match("unsure", unresolved=DOUBT, possible_datasets=possible_datasets))[1] == []


def test_one_that_lies_here_as_far_as_is_known_is_a_problem_as_well() -> None:
    login, problems = judged(match("slow", "tank/vmware", unresolved="its path does not answer"))
    assert len(problems) == 1 and "its path does not answer." in problems[0]
    assert login.datastores_on(["tank/vmware"]) == ["ds-slow"]


def test_who_names_it_has_decided() -> None:
    login, problems = judged(
        match("unsure", unresolved=DOUBT), credentials=(replace(CREDENTIAL, datastores=("unsure",)),)
    )
    assert problems == [] and login.datastores_on(["tank/vmware"]) == ["ds-unsure"]


def test_one_that_is_named_may_reach_every_dataset_below() -> None:
    """It is unknown which of its folders is on which dataset. A run of any of them must find its VMs."""
    login, problems = judged(match("nat"), credentials=(replace(CREDENTIAL, datastores=("nat",)),))
    assert problems == [] and login.datastores_on(["tank/vmware/vm1"]) == ["ds-nat"]
    assert disk_datasets(login.matches["ds-nat"], "[nat] web/web.vmdk") == ("tank/vmware", "tank/vmware/vm1")
    assert login.datastores_on(["tank/vmware/off"]) == [] == login.datastores_on(["tank/other"])


def test_two_credentials_tell_one_doubt_once() -> None:
    twice = (CREDENTIAL, replace(CREDENTIAL, id=8))
    assert len(judged(GOOD, match("unsure", unresolved=DOUBT), credentials=twice)[1]) == 1


# ---- Volumes

VOLUMES = [Dataset(name, "volume", None, False) for name in ("tank/vmware/lun1", "tank/vmware/lun2", "tank/swap")]


def of_type(name: str, kind: str) -> Match:
    return Match(Datastore(f"ds-{name}", name, "DC0", kind, (), "", True, "vcenter.lab"), "")


def accounted(*matches: Match, filesystem: str = "tank/vmware", volumes: int = 1) -> tuple[ServerLogin, list[str]]:
    """A login whose credential names all the datastores, and the volumes that remain unknown."""
    credential = replace(CREDENTIAL, filesystem=filesystem, datastores=tuple(one.datastore.name for one in matches))
    session: Any = type("Session", (), {"endpoint": "vcenter.lab"})()
    login, there = ServerLogin(session, [credential]), [*DATASETS, *VOLUMES[:volumes]]
    login.judge(matches, there)
    return login, [name for one in unknown_volumes(there, [login]) for name in one.datasets or ()]


def test_a_volume_is_accounted_for_by_a_datastore_that_is_named() -> None:
    login, unknown = accounted(of_type("lun", "VMFS"))
    assert unknown == [] and login.datastores_on(["tank/vmware/lun1"]) == ["ds-lun"]
    assert accounted(of_type("lun", "VMFS"), filesystem="tank/vmware/lun1", volumes=3)[1] == [
        "tank/vmware/lun2",
        "tank/swap",
    ]


@pytest.mark.parametrize("kind", ["NFS", "NFS41"])
def test_no_nfs_datastore_lies_on_a_volume(kind: str) -> None:
    login, unknown = accounted(of_type("nfs", kind))
    assert unknown == ["tank/vmware/lun1"] and login.datastores_on(["tank/vmware/lun1"]) == []


def test_with_fewer_datastores_than_volumes_none_is_accounted_for() -> None:
    login, unknown = accounted(of_type("lun", "VMFS"), volumes=2)
    assert unknown == ["tank/vmware/lun1", "tank/vmware/lun2"]
    assert login.datastores_on(["tank/vmware/lun2"]) == ["ds-lun"], "it may be on either"
    assert accounted(of_type("lun", "VMFS"), of_type("more", "VMFS"), volumes=2)[1] == []


def test_datastores_of_one_name_are_one_for_the_credential() -> None:
    """Two datacenters may use the same name. The credential means only one of the datastores."""
    lun = of_type("lun", "VMFS")
    elsewhere = replace(lun, datastore=replace(lun.datastore, moid="ds-lun-2", datacenter="DC1"))
    assert accounted(lun, elsewhere, volumes=2)[1] == ["tank/vmware/lun1", "tank/vmware/lun2"]
    assert accounted(lun, elsewhere, volumes=1)[1] == []


def test_a_volume_without_any_server_is_a_problem_of_its_own_dataset() -> None:
    (problem,) = unknown_volumes([*DATASETS, VOLUMES[2]], [])
    assert problem.datasets == frozenset({"tank/swap"})
    assert "tank/swap" in problem.text and "exclude the volume" in problem.text


# ---- The datasets that a problem affects

# The credential's file system with its parents and children.
HERE = frozenset({"tank", "tank/vmware", "tank/vmware/vm1", "tank/vmware/off", "tank/vmware/deep"})


def test_a_server_without_a_datastore_concerns_the_credentials_filesystem() -> None:
    (problem,) = problems_of(match("elsewhere"))[1]
    assert problem.datasets == HERE


def test_a_datastore_that_is_named_and_not_there_concerns_the_credentials_filesystem() -> None:
    credential = replace(CREDENTIAL, datastores=("gone",))
    problem = problems_of(GOOD, credentials=(credential,))[1][0]
    assert "names the datastore 'gone'" in problem.text and problem.datasets == HERE


@pytest.mark.parametrize(
    ("possible_datasets", "datasets"),
    [((), HERE), (("tank/vmware",), HERE), (("tank/vmware", "tank/other"), HERE | {"tank/other"})],
)
def test_a_doubt_concerns_also_where_the_datastore_may_lie(
    possible_datasets: tuple[str, ...], datasets: frozenset[str]
) -> None:
    (problem,) = problems_of(GOOD, match("unsure", unresolved=DOUBT, possible_datasets=possible_datasets))[1]
    assert problem.datasets == datasets


def test_what_concerns_no_dataset_of_this_host_may_concern_all() -> None:
    (problem,) = problems_of(match("elsewhere"), credentials=(replace(CREDENTIAL, filesystem="dozer"),))[1]
    assert problem.datasets is None and problem.concerns("tank/other")


def test_each_server_that_is_away_concerns_its_credentials_filesystems() -> None:
    """The snapshots of other datasets stay complete, because no VM of this server is expected there."""
    credentials = [CREDENTIAL, replace(CREDENTIAL, hostname="b.lab", filesystem="tank/other", id=8)]

    def away(endpoint: Any, username: str, password: Any) -> Any:
        raise ConnectionFailed(f"{endpoint} cannot be reached", "Check the network")

    with ExitStack() as stack:
        logins, problems = open_logins(
            stack, credentials, lambda credential: Secret("x"), DATASETS, LocalHost(), (), away
        )
    assert logins == []
    assert sorted(problems, key=lambda problem: problem.text) == [
        Problem("b.lab cannot be reached; check the network.", frozenset({"tank", "tank/other"})),
        Problem("vcenter.lab cannot be reached; check the network.", frozenset(HERE)),
    ]


@pytest.mark.parametrize(
    ("kind", "vcenter", "concerned"),
    [("HostAgent", "10.0.0.5", HERE), ("HostAgent", "", set()), ("VirtualCenter", "x", set())],
)
def test_an_esxi_host_does_not_take_part_while_a_vcenter_manages_it(
    monkeypatch: pytest.MonkeyPatch, kind: str, vcenter: str, concerned: set[str]
) -> None:
    """It does not know the VMs of other hosts, and loses a VM that moves to another host."""
    found = {"ha-host": {"summary.managementServerIp": vcenter} if vcenter else {}}
    monkeypatch.setattr(inventory, "read_all", lambda *_unused: found)
    monkeypatch.setattr(server_logins, "list_datastores", lambda session: [])

    def connect(endpoint: Any, username: str, password: Any) -> Any:
        content = SimpleNamespace(about=SimpleNamespace(apiType=kind))
        return SimpleNamespace(endpoint=endpoint, content=content, close=lambda: None)

    with ExitStack() as stack:
        opened, problems = open_logins(
            stack, [CREDENTIAL], lambda credential: Secret("x"), DATASETS, LocalHost(), (), connect
        )
    managed = [problem for problem in problems if "is managed by the vCenter 10.0.0.5" in problem.text]
    assert [problem.datasets for problem in managed] == ([frozenset(concerned)] if concerned else [])
    assert len(opened) == (not concerned)


def test_a_password_that_cannot_be_read_concerns_the_credentials_filesystem() -> None:
    def unreadable(credential: Credential) -> Secret:
        raise RegistryError("The key file is missing", "Restore it")

    never: Any = None  # no connection is tried
    with ExitStack() as stack:
        logins, problems = open_logins(stack, [CREDENTIAL], unreadable, DATASETS, LocalHost(), (), never)
    assert logins == [] and problems == [Problem("The key file is missing; restore it.", HERE)]


def test_a_datastore_is_found_by_its_name() -> None:
    """Two datacenters may use the same name."""
    login = judged(GOOD, match("other", "tank/other"))[0]
    assert login.datastores_named("good") == {"ds-good"} and login.datastores_named("none") == set()
    twin = Match(replace(GOOD.datastore, moid="ds-twin"), "")
    assert judged(GOOD, twin)[0].datastores_named("good") == {"ds-good", "ds-twin"}
    assert login.datasets == {"tank/vmware", "tank/other"}


def test_a_hostile_name_stays_on_one_line() -> None:
    (problem,) = judged(GOOD, match("x\n\x1b[31m", unresolved=DOUBT))[1]
    assert problem.isprintable()
