# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a share may be withdrawn: which datastores it serves, and what is made of servers that do not answer."""

from __future__ import annotations

from contextlib import nullcontext
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    ConnectionFailed,
    DatastoreInUse,
    LoginRefused,
    VSphereError,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.nfs_datastore import served
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.nfs_datastore.served import Served, is_served
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credential
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.view import StorageHostView
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import Datastore
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.nas_mounts import RegisteredVm

SHARE = Served("/tank/vmware", "tank/vmware", {"/tank/vmware", "/tank/vmware/nested", "/tank"})
VIEW = StorageHostView(
    frozenset([ip_address("10.0.2.15")]),
    frozenset(["nas"]),
    resolved={"other": frozenset([ip_address("10.9.9.9")])},
    real_paths={"/link": "/tank/vmware"},
    pseudo_roots=("/tank",),
)


def datastore(path: str = "/tank/vmware", server: str = "10.0.2.15", kind: str = "NFS", moid: str = "d1") -> Datastore:
    return Datastore(moid, "ds1", "DC0", kind, (server,), path, True, "vc.lab")


@pytest.mark.parametrize(
    ("mounted", "named", "expected"),
    [
        (datastore(), False, True),
        (datastore("/tank/vmware/"), False, True),
        (datastore("/tank/vmware/web"), False, True),
        (datastore("/tank/vmware2"), False, False),
        (datastore("/tank/vmware/nested"), False, False),  # another export, which stays
        (datastore("/tank"), False, False),
        (datastore("/link"), False, True),
        (datastore("/vmware", kind="NFS41"), False, True),  # below the export with fsid=0
        (datastore("/vmware"), False, False),
        (datastore(server="NAS."), False, True),
        (datastore(server="other"), False, False),  # another filer with the same path
        (datastore(server="10.9.9.9"), False, False),
        (datastore(server="10.9.9.9"), True, True),  # unless its name stands in a credential
        (datastore(server="unresolved"), False, True),  # it may be this host
    ],
)
def test_which_datastores_a_share_serves(mounted: Datastore, named: bool, expected: bool) -> None:
    assert is_served(mounted, SHARE, VIEW, named) is expected


class Servers:
    """vCenters by name, each with the VMs on its one datastore of the share; None: it does not answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **vms: list[str] | None) -> None:
        self.vms = vms
        monkeypatch.setattr(served, "list_datastores", lambda session: [datastore()])
        monkeypatch.setattr(served, "read_vms", lambda session, moids: {moid: session.vms for moid in moids})
        monkeypatch.setattr(served, "observe", lambda *_unused: VIEW)

    def connect(self, endpoint: Any, username: str, password: Secret) -> Any:
        vms = self.vms[endpoint.hostname]
        if vms is None:
            raise ConnectionFailed(f"{endpoint.hostname} cannot be reached", "Look")
        return nullcontext(SimpleNamespace(endpoint=endpoint.hostname, vms=[RegisteredVm(vm, "", False) for vm in vms]))

    def refuse(self, share: Served = SHARE, **filesystems: str) -> None:
        stored = [Credential(name, "u", filesystems.get(name, "tank/vmware")) for name in self.vms]
        served.refuse_in_use(LocalHost(), share, stored, lambda one: Secret("x"), self.connect)


def test_registered_vms_keep_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatastoreInUse) as caught:
        Servers(monkeypatch, empty=[], vc=["web", "db"]).refuse()
    assert str(caught.value) == (
        "The datastore 'ds1' of vc has 2 registered VMs ('web', 'db'), so its share /tank/vmware was not"
        " withdrawn or restricted; move or unregister the VMs and unmount the datastore first, or set force if their"
        " ESXi hosts do not lose access."
    )
    assert [vm["name"] for vm in caught.value.details["vms"]] == ["web", "db"]
    Servers(monkeypatch, empty=[]).refuse()


@pytest.mark.parametrize("first", ["away", "vc"])
def test_vms_that_are_known_count_before_a_server_that_is_away(monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    vms: dict[str, list[str] | None] = {"away": None, "vc": ["web"]}
    with pytest.raises(DatastoreInUse):
        Servers(monkeypatch, **dict(sorted(vms.items(), key=lambda one: one[0] != first))).refuse()


@pytest.mark.parametrize(
    ("filesystem", "dataset", "kept"),
    [
        ("tank/vmware", "tank/vmware", True),
        ("tank", "tank/vmware", True),
        ("tank/vmware/nested", "tank/vmware", True),
        ("tank/other", "tank/vmware", False),
        ("tank/other", "", True),  # the share's dataset is not mounted
    ],
)
def test_a_server_that_cannot_be_asked_keeps_the_share_of_its_dataset(
    monkeypatch: pytest.MonkeyPatch, filesystem: str, dataset: str, kept: bool
) -> None:
    servers = Servers(monkeypatch, away=None)
    share = Served("/tank/vmware", dataset)
    if not kept:
        servers.refuse(share, away=filesystem)
        return
    with pytest.raises(VSphereError) as caught:
        servers.refuse(share, away=filesystem)
    assert str(caught.value).startswith(
        "It is not known whether VMs are registered on a datastore of /tank/vmware: away cannot be reached; nothing was"
    )


@pytest.mark.parametrize(
    ("others", "expected"), [({}, True), ({"empty": []}, True), ({"away": None}, False), ({"vc": ["web"]}, None)]
)
def test_that_nothing_but_a_login_was_refused_is_told(
    monkeypatch: pytest.MonkeyPatch, others: dict[str, list[str] | None], expected: bool | None
) -> None:
    """A play that brings a new password goes by it; VMs that are known count nevertheless."""
    servers = Servers(monkeypatch, old=[], **others)
    connect = servers.connect

    def refusing(endpoint: Any, username: str, password: Secret) -> Any:
        if endpoint.hostname == "old":
            raise LoginRefused("old refused the login", "Check the password")
        return connect(endpoint, username, password)

    monkeypatch.setattr(servers, "connect", refusing)
    with pytest.raises((VSphereError, DatastoreInUse)) as caught:
        servers.refuse()
    assert caught.value.details.get("login_refused") is expected
