# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose the API version from what a server offers. tests/system/test_api_versions.py uses the oldest and the newest
pyVmomi with servers that offer only old or new versions.
"""

from __future__ import annotations

import sys
from typing import Any, Mapping

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    ApiUnsupported,
    ConnectionFailed,
    DependencyError,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import api_version, sdk
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.https import Response
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import Timeouts
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.vsphere import Vcenter, connect

NAMES = {
    "vim25/5.5": "vim.version.version9",
    "vim25/6.5": "vim.version.version11",
    "vim25/6.7": "vim.version.version12",
    "vim25/6.8.7": "vim.version.v6_8_7",
    "vim25/8.0.3.0": "vim.version.v8_0_3_0",
    "vim25/9.0.0.0": "vim.version.v9_0_0_0",
    "vim25/10.0.0.0": "vim.version.v10_0_0_0",
    "vim25/m5CA1EF4D": "vim.version.v9_1_0_1",
    "vsan/9.0.0.0": "vsan.version.v9_0_0_0",
}


class Server:
    """A server that returns this for its version file."""

    def __init__(self, body: str | bytes, status: int = 200) -> None:
        self.body, self.status = body.encode() if isinstance(body, str) else body, status
        self.closed = False

    def request(self, method: str, path: str, headers: Mapping[str, str]) -> Response:
        assert (method, path) == ("GET", "/sdk/vimServiceVersions.xml") and "Authorization" not in headers
        return Response(self.status, self.body)

    def close(self) -> None:
        self.closed = True


def file_of(*versions: str, name: str = "urn:vim25") -> str:
    """A version file as vCenter has it."""
    newest, *others = versions
    prior = "".join(f"\n    <version>{version}</version>" for version in others)
    return f"""<?xml version="1.0" encoding="UTF-8" ?>
<!-- Copyright -->
<namespaces version="1.0">
 <namespace>
  <name>urn:vim2</name>
  <version>2.0</version>
 </namespace>
 <namespace>
  <name>{name}</name>
  <version>{newest}</version>
  <priorVersions>{prior}
  </priorVersions>
 </namespace>
</namespaces>
"""


def choose(body: str | bytes, monkeypatch: pytest.MonkeyPatch, *left_out: str, status: int = 200) -> str:
    names = {key: name for key, name in NAMES.items() if key.partition("/")[2] not in left_out}
    monkeypatch.setattr("pyVmomi.VmomiSupport.versionMap", names)
    server = Server(body, status)
    try:
        return api_version.choose(server, "vcenter.lab")  # type: ignore[arg-type]
    finally:
        assert server.closed


@pytest.mark.parametrize(
    ("offered", "left_out", "chosen"),
    [
        (["6.5"], [], "vim.version.version11"),
        (["7.0.3.0", "6.7", "6.5", "5.5"], [], "vim.version.version11"),
        (["9.0.0.0"], [], "vim.version.v9_0_0_0"),
        (["9.1.0.0", "9.0.0.0", "8.0.3.0"], [], "vim.version.v8_0_3_0"),
        (["9.1.0.0", "9.0.0.0", "8.0.3.0"], ["8.0.3.0"], "vim.version.v9_0_0_0"),
        (["10.0.0.0", "9.0.0.0"], [], "vim.version.v9_0_0_0"),
        (["8.0.3.0", "6.7", "6.5"], ["6.5", "6.7"], "vim.version.v8_0_3_0"),
        ([" 9.0.0.0\n"], [], "vim.version.v9_0_0_0"),
    ],
)
def test_the_oldest_version_that_both_know(
    offered: list[str], left_out: list[str], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose(file_of(*offered), monkeypatch, *left_out) == chosen


@pytest.mark.parametrize(
    ("offered", "left_out", "told"),
    [
        (
            ["9.1.0.0", "9.0.0.0"], ["9.0.0.0", "10.0.0.0"],
            "vcenter.lab offers only vSphere API 9.0.0.0 to 9.1.0.0, and the Python library pyVmomi on this host knows "
            f"only vSphere API 6.5 to 8.0.3.0; update it with '{sys.executable} -m pip install --upgrade pyVmomi'.",
        ),
        (
            ["6.5"], ["6.5"],
            "vcenter.lab offers only vSphere API 6.5, and the Python library pyVmomi on this host knows only vSphere "
            "API 6.7 to 9.0.0.0; update the server, or install an older pyVmomi.",
        ),
        (
            ["6.0", "5.5"], [],
            "vcenter.lab offers only vSphere API 5.5 to 6.0, and this release of the collection supports 6.5 to 9; "
            "update the server.",
        ),
        (
            ["10.0.0.0"], [],
            "vcenter.lab offers only vSphere API 10.0.0.0, and this release of the collection supports 6.5 to 9; "
            "install a newer release of this collection.",
        ),
        (
            ["m5CA1EF4D"], [],
            "vcenter.lab does not offer the vSphere API; check that hostname and port belong to a vCenter or ESXi "
            "host.",
        ),
    ],
)  # fmt: skip
def test_nothing_in_common_is_one_sentence(
    offered: list[str], left_out: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ApiUnsupported) as caught:
        choose(file_of(*offered), monkeypatch, *left_out)
    assert str(caught.value) == told


def test_another_service_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ApiUnsupported, match="does not offer the vSphere API"):
        choose(file_of("9.0.0.0", name="urn:other"), monkeypatch)
    with pytest.raises(ApiUnsupported, match="does not offer the vSphere API"):
        choose("<namespaces version='1.0'/>", monkeypatch)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "body",
    [
        "", "<html>502</html>", "no XML", b"\xff\xfe\x00", "<namespaces", "\x00", "<a>" * 5000,
        BOMB + "<namespaces><namespace><name>urn:vim25</name><version>&b;</version></namespace></namespaces>",
        '<?xml version="1.0" encoding="no-such"?><namespaces/>',
        file_of(*["9.0.0.0"] * 100_000),
    ],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
def test_no_version_file_means_the_oldest_version(body: str | bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in earlier releases, which asked no server."""
    assert choose(body, monkeypatch) == "vim.version.version11"
    assert choose(body, monkeypatch, "6.5", "6.7") == "vim.version.v6_8_7"


@pytest.mark.parametrize("status", [204, 301, 403, 404, 500])
def test_a_refused_version_file_means_the_oldest_version(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(file_of("9.0.0.0"), monkeypatch, status=status) == "vim.version.version11"


def test_a_pyvmomi_without_a_supported_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyVmomi.VmomiSupport.versionMap", {"vim25/6.0": "vim.version.version10"})
    with pytest.raises(DependencyError, match="pyVmomi on this host is too old"):
        sdk.require()


def test_what_is_a_version() -> None:
    assert sdk.number("8.0.3.0") == (8, 0, 3, 0)
    assert [sdk.number(text) for text in ("", "m5CA1EF4D", "6.", ".5", "6.5x", "\u0666.5", "1" * 20)] == [()] * 7
    versions = ("6.0", "6.5", "6.8.7", "9", "9.9.9.9", "10.0", "x")
    assert [version for version in versions if sdk.is_supported(version)] == ["6.5", "6.8.7", "9", "9.9.9.9"]


# ---- In a session


def start(**rule: Any) -> Vcenter:
    server = Vcenter({"datastores": []})
    if rule:
        server.rule(method="VersionFile", **rule)
    return server


def test_a_session_asks_once_and_before_the_login() -> None:
    server = start()
    server.api_versions = ["9.0.0.0"]
    session = connect(server.endpoint, server.user, Secret(server.password))
    assert session.stub.version == "vim.version.v9_0_0_0"
    server.expire_sessions()
    session.call("log in again", session.content.viewManager.CreateContainerView,
                 container=session.content.rootFolder, type=[sdk.vim.Folder], recursive=True)  # fmt: skip
    assert server.calls["VersionFile"] == 1 and server.calls["Login"] == 2
    server.stop()


def test_no_password_goes_to_a_server_without_a_common_version() -> None:
    server = start()
    server.api_versions = ["6.0"]
    with pytest.raises(ApiUnsupported):
        connect(server.endpoint, server.user, Secret(server.password))
    assert server.calls == {"VersionFile": 1}
    server.stop()


@pytest.mark.parametrize(
    ("effect", "told"), [("drop_before", "could not be reached to log in"), ("black_hole", "no response within")]
)
def test_a_version_file_that_does_not_come_is_an_unreachable_server(effect: str, told: str) -> None:
    server = start(effect=effect)
    with pytest.raises(ConnectionFailed, match=told):
        connect(server.endpoint, server.user, Secret(server.password), Timeouts(call=0.05))
    assert "Login" not in server.calls
    server.stop()
