# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS connections with verified or pinned certificates, to a local server."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import CertificateUntrusted, InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import tls
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ADDRESS = "127.0.0.2"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.2 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vcenter.lab")])
    now = datetime.datetime(2024, 1, 1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now).not_valid_after(now + datetime.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ADDRESS))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture(scope="module")
def thumbprint(certificate: Path) -> str:
    der = ssl.PEM_cert_to_DER_cert("-----BEGIN CERT" + certificate.read_text().split("-----BEGIN CERT")[1])
    return hashlib.sha256(der).hexdigest()


class Server(threading.Thread):
    """A server that makes a TLS handshake on each connection and records what it receives."""

    def __init__(self, certificate: Path) -> None:
        super().__init__(daemon=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.listener = socket.create_server((ADDRESS, 0))
        self.heard: list[bytes] = []
        self.answers: list[tuple[float, bytes]] = []  # (seconds before the answer, answer), one for each word
        self.answered = 0

    def run(self) -> None:
        while True:
            try:
                plain, _unused = self.listener.accept()
            except OSError:
                return
            try:
                with self.context.wrap_socket(plain, server_side=True) as connection:
                    self.heard.append(connection.recv(100))
                    for pause, answer in self.answers:
                        time.sleep(pause)
                        connection.sendall(answer)
                        self.answered += 1
                        if answer.endswith(b"."):
                            connection.recv(100)
            except OSError:
                self.heard.append(b"")


@pytest.fixture
def server(certificate: Path) -> Iterator[Server]:
    made = Server(certificate)
    made.start()
    yield made
    made.listener.shutdown(socket.SHUT_RDWR)
    made.listener.close()
    made.join()


def connect(server: Server, context: tls.VerifyingContext) -> tls.TimedSocket:
    plain = socket.create_connection(server.listener.getsockname())
    try:
        return context.wrap_socket(plain, server_hostname=ADDRESS)
    finally:
        plain.close()


def speak(server: Server, context: tls.VerifyingContext) -> float | None:
    """Send a word with this time limit of the connection."""
    with connect(server, context) as connection:
        connection.sendall(b"password")
        return connection.limit


def make(server: Server, **trust: object) -> tls.VerifyingContext:
    given: dict[str, Any] = {"validate_certs": True, "ca_path": None, "thumbprint": None, "call_timeout": 7.0, **trust}
    return tls.make_context("vcenter.lab", **given)


def test_an_unknown_certificate_is_refused(server: Server) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        speak(server, make(server))
    assert b"password" not in server.heard


def test_a_known_authority_is_trusted_and_calls_have_a_time_limit(server: Server, certificate: Path) -> None:
    assert speak(server, make(server, ca_path=str(certificate))) == 7.0


def test_no_verification_when_nobody_wants_it(server: Server) -> None:
    assert speak(server, make(server, validate_certs=False)) == 7.0


@pytest.mark.parametrize("validate_certs", [True, False])
def test_the_pin_alone_decides(server: Server, thumbprint: str, validate_certs: bool) -> None:
    assert speak(server, make(server, thumbprint=thumbprint, validate_certs=validate_certs)) == 7.0
    other = "0" * 64
    with pytest.raises(CertificateUntrusted) as caught:
        speak(server, make(server, thumbprint=other, validate_certs=validate_certs))
    said = str(caught.value)
    assert tls.normalise_thumbprint(thumbprint) in said and tls.normalise_thumbprint(other) in said
    assert server.heard.count(b"password") == 1  # nothing was sent to the wrong server


def test_a_server_that_answers_drop_by_drop_is_not_waited_for(server: Server, certificate: Path) -> None:
    """Each byte arrives within the limit, but all 400 would take 20 seconds."""
    server.answers = [(0.05, b"x")] * 400
    with connect(server, make(server, ca_path=str(certificate), call_timeout=0.5)) as connection:
        connection.sendall(b"word")
        with pytest.raises(socket.timeout), connection.makefile("rb") as answer:
            answer.read()
    assert 0 < server.answered < 100


def test_every_request_has_the_whole_limit(server: Server, certificate: Path) -> None:
    server.answers = [(1.5, b"one."), (1.5, b"two.")]
    context = make(server, ca_path=str(certificate), call_timeout=2.5)
    with connect(server, context) as connection, connection.makefile("rb") as answer:
        for expected in (b"one.", b"two."):
            connection.sendall(b"word")
            assert answer.read(4) == expected


@pytest.mark.parametrize(
    "text",
    [
        "ab" * 32,
        "AB:" * 31 + "ab",
        " ".join(["aB"] * 32),
        "ab-" * 31 + "AB",
        "sha256 Fingerprint=" + "AB:" * 31 + "AB\n",
    ],
)
def test_thumbprints_are_read_in_every_common_form(text: str) -> None:
    assert tls.normalise_thumbprint(text) == ":".join(["AB"] * 32)


@pytest.mark.parametrize("text", ["", "ab" * 20, "xy" * 32, "ab" * 33, "sha256:" + "ab" * 32])
def test_other_thumbprints_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a SHA-256 thumbprint"):
        tls.normalise_thumbprint(text)


def test_authorities_that_cannot_be_read_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for path in (tmp_path / "none.pem", tmp_path / "empty.pem"):
        with pytest.raises(InputError, match="does not contain usable certificate authorities"):
            tls.make_context("vcenter.lab", True, str(path), None, 1.0)
