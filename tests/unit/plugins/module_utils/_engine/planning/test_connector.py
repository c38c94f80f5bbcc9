# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rejected password is not sent again in the same run, so that no account is locked."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils import _ansible
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    CertificateUntrusted,
    ConnectionFailed,
    LoginRefused,
    RegistryError,
    VSphereError,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.connector import Connector
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.server_logins import open_logins
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery import recover
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runs.run import preview
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import (
    Credential,
    Credentials,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal_entries import Entry
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import sdk
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.faults import translate
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import Endpoint, Session
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import Dataset
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_dataset_vms_info, vmware_nfs_share
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.model import TREE, Expected, Scenario, nfs, vm
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.play import Stage
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes import vsphere
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.vsphere import Vcenter
from ansible_collections.quiesce.vmware_zfs.tests.unit.module_arguments import patch_module_args

PLAIN = Scenario("plain", ((nfs(vm("web")),),), Expected({"web": "filesystem"}))
GOOD = Secret(Vcenter.password)
OLD = Secret("of last year")
TANK = Dataset("tank", "filesystem", "/tank", True)


class Server(Vcenter):
    """Counts the rejected logins."""

    refused = 0

    def _Login(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        self.refused += given["password"] != self.password
        return super()._Login(stub, reference, given)


@pytest.fixture
def server() -> Any:
    started = Server({"datastores": [nfs(vm("app"), vm("web"))]})
    yield started
    started.stop()


def opened(server: Vcenter, *passwords: Secret | Exception, connect: Any = vsphere.connect) -> tuple[Any, ...]:
    """Open the logins for credentials of one account, the newest last. Returns logins, problems and reports."""
    credentials = [
        Credential(server.host, server.user, f"tank/{number}", server.port, id=number, updated=f"2026-01-0{number}")
        for number in range(1, len(passwords) + 1)
    ]

    def password(credential: Credential) -> Secret:
        found = passwords[credential.id - 1]
        if isinstance(found, Exception):
            raise found
        return found

    reports: list[str] = []
    with ExitStack() as stack:
        logins, problems = open_logins(stack, credentials, password, [], LocalHost(), (), connect, reports.append)
    others = [problem.text for problem in problems if "No datastore of" not in problem.text]
    return logins, others, reports


# ---- Several credentials of one account


def test_the_newest_password_is_tried_first(server: Server) -> None:
    logins, problems, reports = opened(server, OLD, GOOD)
    assert len(logins) == 1 and len(logins[0].credentials) == 2 and problems == reports == [] and server.refused == 0


def test_when_it_is_refused_the_other_one_is_tried(server: Server) -> None:
    logins, problems, reports = opened(server, GOOD, OLD, OLD)
    assert len(logins) == 1 and problems == [] and server.refused == 1
    assert ["refused the password of credential 3" in reports[0], "of credential 2" in reports[1]] == [True, True]


def test_when_both_are_refused_each_was_tried_once(server: Server) -> None:
    logins, problems, _unused = opened(server, OLD, Secret("wrong"), OLD)
    assert logins == [] and server.refused == 2 and len(problems) == 1 and "refused the login" in problems[0]
    assert server.calls["Login"] == 2


def test_one_that_cannot_be_read_does_not_take_the_account_away(server: Server) -> None:
    unreadable = RegistryError("The key of the credential 2 is missing", "Store it again")
    logins, problems, reports = opened(server, GOOD, unreadable)
    assert len(logins) == 1 and problems == [] and reports == [str(unreadable)]
    assert opened(server, unreadable)[1] == [str(unreadable)]


@pytest.mark.parametrize("error", [CertificateUntrusted("another certificate"), ConnectionFailed("away")])
def test_only_a_refusal_leads_on_to_the_next_password(server: Server, error: Exception) -> None:
    """No second password is sent to a server that is not the expected one."""
    tried = []

    def connect(endpoint: Endpoint, username: str, password: Secret) -> Session:
        tried.append(password)
        raise error

    logins, problems, _unused = opened(server, GOOD, OLD, connect=connect)
    assert logins == [] and problems == [f"{error}"] and tried == [OLD]


# ---- One run


def test_a_session_that_is_refused_does_not_ask_again(server: Server) -> None:
    with vsphere.connect(server.endpoint, server.user, GOOD) as session:
        server.password = "another one"
        server.expire_sessions()
        for _unused in range(3):
            with pytest.raises(LoginRefused, match="refused the login"):
                session.call("look", session.content.searchIndex.FindAllByUuid, uuid="", vmSearch=True,
                             instanceUuid=True)  # fmt: skip
        assert server.refused == 1


def test_threads_that_lose_their_session_together_are_refused_once(server: Server) -> None:
    connect = Connector(vsphere.connect)
    sessions = [connect(server.endpoint, server.user, GOOD) for _unused in range(4)]
    server.password = "another one"
    server.expire_sessions()
    errors: list[str] = []

    def work(session: Session) -> None:
        try:
            session.call("look", session.content.searchIndex.FindAllByUuid, uuid="", vmSearch=True, instanceUuid=True)
        except LoginRefused as error:
            errors.append(str(error))

    threads = [threading.Thread(target=work, args=(session,)) for session in sessions * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 12 and server.refused == 1


def test_what_was_refused_stays_so_for_the_run_and_another_password_is_not(server: Server) -> None:
    connect = Connector(vsphere.connect)
    for username in (server.user, server.user.upper()):
        with pytest.raises(LoginRefused):
            connect(server.endpoint, username, OLD)
    assert server.refused == 1
    assert connect(server.endpoint, server.user, GOOD).username == server.user
    with pytest.raises(LoginRefused):
        Connector(vsphere.connect)(server.endpoint, server.user, OLD)  # another run
    assert server.refused == 2


def test_a_server_that_is_away_is_asked_again(server: Server) -> None:
    connect = Connector(vsphere.connect)
    server.rule(effect="drop_before", method="Login", count=1)
    with pytest.raises(ConnectionFailed):
        connect(server.endpoint, server.user, GOOD)
    assert connect(server.endpoint, server.user, GOOD).logins == 1


@pytest.mark.parametrize("kind", ["InvalidLogin", "PasswordExpired"])
def test_every_kind_of_refusal_is_one(kind: str) -> None:
    """An expired password (API PasswordExpired) is a kind of InvalidLogin."""
    assert isinstance(translate(getattr(sdk.vim.fault, kind)(), "vc", "log in", "x"), LoginRefused)


@pytest.mark.parametrize("left", [False, True])
def test_a_run_with_its_recovery_is_refused_once(tmp_path: Path, left: bool) -> None:
    """The account has two credentials. The newer credential has an old password."""
    with Stage(PLAIN, lambda number, config: Server(config), vsphere.connect, tmp_path) as stage:
        server: Any = stage.servers[0]
        stage.engine.credentials.insert(
            Credential("", "", "").merged(
                {"hostname": server.host, "port": server.port, "username": server.user, "filesystem": "tank"}
            ),
            OLD,
        )
        if left:
            stage.engine.journal.intend([Entry("20260101T020000-1", server.host, server.port, "vm-9", "", "x", "y")])
        outcome = stage.run()
        assert outcome.error is None and outcome.result["consistency"] == "filesystem" and outcome.result["complete"]
        assert server.refused == 1
        if left:
            recover.recover(stage.engine)
            assert server.refused == 2, "another recovery, which finds its password by itself"


def test_a_preview_is_refused_once(tmp_path: Path) -> None:
    """The account has two credentials whose usernames differ in case, with one old password."""
    with Stage(PLAIN, lambda number, config: Server(config), vsphere.connect, tmp_path) as stage:
        server: Any = stage.servers[0]
        server.password = "another one"
        (stored,) = stage.engine.credentials.list_all()
        stage.engine.credentials.insert(
            replace(stored, id=0, username=stored.username.upper()), stage.engine.credentials.password(stored)
        )
        preview(stage.engine, Request(TREE, "one", recursive=True))
        assert server.refused == 1


def test_the_vms_of_a_dataset_are_asked_for_with_one_refused_login(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [Credential(server.host, username, "tank", server.port) for username in ("root", "ROOT")]

    def log_in(endpoint: Any, username: str, password: Any, timeouts: Any) -> Any:
        return vsphere.connect(endpoint, username, password)

    monkeypatch.setattr(vmware_dataset_vms_info, "accounts", lambda *_unused: (both, lambda credential: OLD))
    monkeypatch.setattr(vmware_dataset_vms_info, "connect", log_in)
    monkeypatch.setattr(vmware_dataset_vms_info, "list_datasets", lambda *_unused: [TANK])
    monkeypatch.setattr(vmware_dataset_vms_info, "datasets_around", lambda *_unused: [TANK])
    with patch_module_args({"dataset": "tank"}), pytest.raises(SystemExit):
        vmware_dataset_vms_info.main()
    assert "refused the login" in json.loads(capsys.readouterr().out)["msg"] and server.refused == 1


def test_a_share_is_asked_for_with_one_refused_login(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [Credential(server.host, username, "tank", server.port) for username in ("root", "ROOT")]
    stored = SimpleNamespace(list_all=lambda: both, password=lambda credential: OLD)
    monkeypatch.setattr(Credentials, "open", lambda *_unused, **_options: nullcontext(stored))
    monkeypatch.setattr(_ansible, "conceal", lambda module, password: password)
    monkeypatch.setattr(vmware_nfs_share, "connect", vsphere.connect)
    module = SimpleNamespace(params={"path": "/tank", "aliases": []})
    shares: Any = SimpleNamespace(dataset_of=lambda path: "tank", exported=set, host=LocalHost())
    with pytest.raises(VSphereError, match="refused the login"):
        vmware_nfs_share.ask_vsphere(module, shares)
    assert server.refused == 1


def test_it_asks_for_english(server: Server) -> None:
    with vsphere.connect(server.endpoint, server.user, GOOD):
        assert server.locales == ["en_US"]
    server.rule(effect="call_fault", method="Login", fault="InvalidLocale", count=1)
    with vsphere.connect(server.endpoint, server.user, GOOD):
        assert server.locales == ["en_US", None]


def test_a_wrong_password_is_sent_once_whatever_the_locale(server: Server) -> None:
    server.rule(effect="call_fault", method="Login", fault="InvalidLocale", count=1)
    with pytest.raises(LoginRefused):
        vsphere.connect(server.endpoint, server.user, OLD)
    assert server.refused == 1
