# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials: normalised, unique per server, user and dataset, and safe against sending a password elsewhere."""

from __future__ import annotations

import base64
import dataclasses
import sqlite3
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    CredentialNotFound,
    InputError,
    RegistryError,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import rotation
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import (
    PURPOSES,
    RESTORE,
    SNAPSHOT,
    Credential,
    Credentials,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import open_engine
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

CANARY = Secret("canary-password")
VCENTER = Credential("vcenter.example.com", "administrator@vsphere.local", "tank/vmware")
PIN = ":".join(["AB"] * 32)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "state", tmp_path / "etc" / "secret.key", tmp_path / "run")


@pytest.fixture
def credentials(paths: Paths) -> Iterator[Credentials]:
    with Credentials.open(paths) as opened:
        yield opened


def test_stored_and_read_again(paths: Paths) -> None:
    wanted = dataclasses.replace(
        VCENTER, port=8443, datastores=("ds1", "ds10"), validate_certs=False, ca_path="/ca.pem", thumbprint=PIN
    )
    with Credentials.open(paths) as credentials:
        stored = credentials.insert(wanted, CANARY)
    with Credentials.open(paths, read_only=True) as credentials:
        assert credentials.list_all() == [stored]
        assert credentials.password(stored) == CANARY
    assert dataclasses.replace(stored, id=0, created="", updated="") == wanted
    assert stored.id == 1 and stored.created == stored.updated != ""


def test_no_file_holds_the_password(paths: Paths) -> None:
    with Credentials.open(paths) as credentials:
        credentials.insert(VCENTER, CANARY)
        written = [path for folder in (paths.state_dir, paths.key_file.parent) for path in folder.iterdir()]
        assert len(written) == 4
        assert not [path for path in written if CANARY.reveal().encode() in path.read_bytes()]


def test_an_update_keeps_the_password_unless_it_gets_one(credentials: Credentials) -> None:
    stored = credentials.insert(VCENTER, CANARY)
    moved = credentials.update(stored.merged({"hostname": "vc2.example.com", "port": 444}))
    assert (moved.hostname, moved.port, moved.id, moved.created) == ("vc2.example.com", 444, stored.id, stored.created)
    assert credentials.password(credentials.get(stored.id)) == CANARY
    credentials.update(moved, Secret("another"))
    assert credentials.password(moved) == Secret("another")


@pytest.mark.parametrize(
    "change", [{"validate_certs": False}, {"ca_path": "/etc/ca.pem"}, {"thumbprint": PIN}, {"datastores": ["ds1"]}]
)
def test_a_password_stays_readable_when_its_settings_change(
    credentials: Credentials, paths: Paths, change: dict[str, Any]
) -> None:
    stored = credentials.insert(VCENTER, CANARY)
    changed = credentials.update(stored.merged(change))
    assert credentials.password(credentials.get(stored.id)) == CANARY
    rotation.rotate(paths, 0)
    assert credentials.password(credentials.get(stored.id)) == CANARY
    with pytest.raises(RegistryError) if "datastores" not in change else nullcontext():
        credentials.password(dataclasses.replace(VCENTER, id=changed.id))  # with its earlier settings


def test_one_credential_per_server_user_and_dataset(credentials: Credentials) -> None:
    first = credentials.insert(VCENTER, CANARY)
    with pytest.raises(InputError, match="The credential 1 already exists for administrator@vsphere"):
        credentials.insert(VCENTER, CANARY)
    others = [
        credentials.insert(dataclasses.replace(VCENTER, **change), CANARY)
        for change in ({"hostname": "b"}, {"port": 444}, {"username": "b"}, {"filesystem": "tank"})
    ]
    for other in others:
        assert credentials.find(other) == other
        with pytest.raises(InputError, match="The credential 1 already exists"):
            credentials.update(dataclasses.replace(VCENTER, id=other.id))
    assert credentials.list_all() == [first, *others]
    assert credentials.find(dataclasses.replace(VCENTER, username="c")) is None


def test_an_id_is_never_used_again(credentials: Credentials) -> None:
    credentials.delete(credentials.insert(VCENTER, CANARY).id)
    assert credentials.list_all() == []
    assert credentials.insert(VCENTER, CANARY).id == 2


def test_an_unknown_id_says_so(credentials: Credentials) -> None:
    ghost = dataclasses.replace(VCENTER, id=7)
    attempts = (
        lambda: credentials.get(7),
        lambda: credentials.delete(7),
        lambda: credentials.update(ghost),
        lambda: credentials.password(ghost),
    )
    for attempt in attempts:
        with pytest.raises(CredentialNotFound, match="There is no credential with the id 7; list them with"):
            attempt()


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE credential SET password = (SELECT password FROM credential WHERE id = 2) WHERE id = 1",
        "UPDATE credential SET hostname = 'evil.example.com' WHERE id = 1",
        "UPDATE credential SET port = 8443 WHERE id = 1",
        "UPDATE credential SET username = 'other' WHERE id = 1",
        "UPDATE credential SET password = '' WHERE id = 1",
        "UPDATE credential SET validate_certs = 0 WHERE id = 1",
        "UPDATE credential SET ca_path = '/tmp/ca.pem' WHERE id = 1",
        "UPDATE credential SET ca_path = '' WHERE id = 1",
        f"UPDATE credential SET thumbprint = '{PIN}' WHERE id = 1",
        "UPDATE credential SET purpose = 'restore' WHERE id = 1",
    ],
)
def test_a_password_is_not_read_through_a_row_that_was_tampered_with(
    credentials: Credentials, paths: Paths, tampering: str
) -> None:
    credentials.insert(VCENTER, CANARY)
    credentials.insert(dataclasses.replace(VCENTER, filesystem="tank"), Secret("another"))
    with sqlite3.connect(paths.database) as connection:
        assert connection.execute(tampering).rowcount == 1
    connection.close()
    with pytest.raises(RegistryError, match="set the credential's password again"):
        credentials.password(credentials.get(1))
    mended = credentials.update(credentials.get(1), CANARY)
    assert credentials.password(mended) == CANARY


@pytest.mark.parametrize(
    ("asked", "concerned"),
    [
        (["tank"], ["tank", "tank/vm1", "tank/vm1/a", "tank/vm10"]),
        (["tank/vm1"], ["tank", "tank/vm1", "tank/vm1/a"]),
        (["tank/vm1/a/b"], ["tank", "tank/vm1", "tank/vm1/a"]),
        (["tank/vm10", "other"], ["tank", "tank/vm10", "other"]),
        (["tank/v"], ["tank"]),
        (["none"], []),
        ([], []),
    ],
)
def test_a_snapshot_concerns_credentials_above_and_below(
    credentials: Credentials, asked: list[str], concerned: list[str]
) -> None:
    for filesystem in ("tank", "tank/vm1", "tank/vm1/a", "tank/vm10", "other"):
        credentials.insert(dataclasses.replace(VCENTER, filesystem=filesystem), CANARY)
    assert [credential.filesystem for credential in credentials.find_for_datasets(asked)] == concerned


def test_runs_never_see_a_credential_for_restores(credentials: Credentials) -> None:
    """The same account can be stored for both purposes, with its own password for each."""
    both = [dataclasses.replace(VCENTER, purpose=purpose) for purpose in PURPOSES]
    ids = [credentials.insert(one, Secret(one.purpose)).id for one in both]
    assert [one.id for one in credentials.list_all()] == ids == [credentials.find(one).id for one in both]  # type: ignore[union-attr]
    assert [one.id for one in credentials.for_snapshots()] == ids[:1]
    assert [one.id for one in credentials.find_for_datasets(["tank"])] == ids[:1]
    assert [one.id for one in credentials.find_for_datasets(["tank/vmware/a"], RESTORE)] == ids[1:]
    assert [credentials.password(credentials.get(one)).reveal() for one in ids] == list(PURPOSES)
    with pytest.raises(InputError, match=r"The credential 2 already exists for .* \(for restores\)"):
        credentials.insert(both[1], CANARY)
    with pytest.raises(InputError, match="already exists"):
        credentials.update(dataclasses.replace(credentials.get(1), purpose=RESTORE))
    changed = credentials.update(dataclasses.replace(credentials.get(1), filesystem="tank/b", purpose=RESTORE))
    assert credentials.password(changed).reveal() == SNAPSHOT and credentials.for_snapshots() == []


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "hostname": st.sampled_from(["A.example.COM.", "a", "::1", "[2001:DB8:0::1]", "10.0.0.1"]),
        "port": st.integers(1, 65535),
        "purpose": st.sampled_from(PURPOSES),
        "username": st.sampled_from(["root", "DOM\\user", "a@b", "with space"]),
        "filesystem": st.sampled_from(["tank", "tank/a b/c"]),
        "datastores": st.lists(st.text(min_size=1).filter(str.strip), max_size=4),
        "validate_certs": st.booleans(),
        "ca_path": st.sampled_from(["", "/etc/ca.pem"]),
        "thumbprint": st.sampled_from(["", "ab" * 32, PIN, PIN.replace(":", " ").lower()]),
        "unknown": st.just(1),
    },
)


@given(OPTIONS)
def test_the_same_options_again_change_nothing(options: dict[str, Any]) -> None:
    once = VCENTER.merged(options)
    assert once.merged(options).settings() == once.settings()
    assert once.merged({}) == once
    assert once.merged(dict.fromkeys(options)) == once


@pytest.mark.parametrize(
    ("given_as", "canonical"),
    [
        ("VCenter.Example.COM.", "vcenter.example.com"),
        ("[2001:DB8::0:1]", "2001:db8::1"),
        ("2001:0db8:0000::1", "2001:db8::1"),
        ("10.0.2.2", "10.0.2.2"),
    ],
)
def test_one_form_per_host(given_as: str, canonical: str) -> None:
    assert VCENTER.merged({"hostname": given_as}).hostname == canonical


def test_empty_values_clear() -> None:
    full = VCENTER.merged({"ca_path": "/ca.pem", "thumbprint": PIN, "datastores": ["b", "a", "b"]})
    assert full.datastores == ("a", "b") and full.thumbprint == PIN
    assert full.merged({"ca_path": "", "thumbprint": "", "datastores": []}) == VCENTER


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("hostname", "", "'' is not a host name or IP address"),
        ("hostname", "https://vc.example.com", "is not a host name"),
        ("hostname", "vc.example.com:8443", "use the option port for a port"),
        ("hostname", "-vc", "is not a host name"),
        ("hostname", "vc\n", "is not a host name"),
        ("hostname", "a..b", "is not a host name"),
        ("port", 0, "The port 0 is invalid"),
        ("port", 65536, "The port 65536 is invalid"),
        ("username", "", "The username is empty"),
        ("username", "a\nb", "contains control characters"),
        ("filesystem", "-r", "is not a valid dataset name"),
        ("filesystem", "tank@snap", "is not a valid dataset name"),
        ("purpose", "backup", "The purpose 'backup' is unknown; set one of snapshot, restore"),
        ("ca_path", "ca.pem", "is not an absolute path"),
        ("thumbprint", "AB:CD", "is not a SHA-256 thumbprint"),
        ("thumbprint", "AB" * 20, "is not a SHA-256 thumbprint"),
    ],
)
def test_what_cannot_be_meant_is_refused(option: str, value: Any, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        VCENTER.merged({option: value})
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


# A password that release 1.0.0 stored: the context was without the TLS settings.
FORMER_KEY = bytes(range(32))
FORMER_CONTEXT = '["credential", 1, "vcenter.example.com", 443, "administrator@vsphere.local"]'


def store_like_1_0_0(paths: Paths, key: bytes = FORMER_KEY) -> None:
    with Credentials.open(paths) as credentials:
        credentials.insert(dataclasses.replace(VCENTER, thumbprint=PIN), Secret("replaced below"))
    paths.key_file.write_text(f"0a0b0c0d {FORMER_KEY.hex()}\n")
    blob = bytes(12) + AESGCM(key).encrypt(bytes(12), CANARY.reveal().encode(), FORMER_CONTEXT.encode())
    with closing(sqlite3.connect(paths.state_dir / "state.db", isolation_level=None)) as database:
        database.execute("UPDATE credential SET password = ?", (f"v1:0a0b0c0d:{base64.b64encode(blob).decode()}",))


def test_a_password_of_1_0_0_is_read_and_then_bound_to_the_tls_settings(paths: Paths) -> None:
    store_like_1_0_0(paths)
    with Credentials.open(paths, read_only=True) as credentials:
        stored = credentials.get(1)
        assert credentials.password(stored) == CANARY
        assert credentials.ciphertext(stored).startswith("v1:")
    with open_engine(paths) as engine:
        assert engine.credentials.ciphertext(stored).startswith("v2:")
        assert engine.credentials.password(stored) == CANARY
        with pytest.raises(RegistryError, match="belongs to another credential"):
            engine.credentials.password(dataclasses.replace(stored, thumbprint=None))


def test_a_damaged_password_of_1_0_0_does_not_keep_the_engine_from_starting(paths: Paths) -> None:
    store_like_1_0_0(paths, key=bytes(32))
    with open_engine(paths) as engine, pytest.raises(RegistryError, match="damaged or belongs to another"):
        engine.credentials.password(engine.credentials.get(1))


def test_a_password_of_today_is_never_read_in_the_context_of_1_0_0(paths: Paths) -> None:
    store_like_1_0_0(paths)
    with closing(sqlite3.connect(paths.state_dir / "state.db", isolation_level=None)) as database:
        database.execute("UPDATE credential SET password = 'v2' || substr(password, 3)")
    with Credentials.open(paths) as credentials, pytest.raises(RegistryError, match="damaged or belongs to another"):
        credentials.password(credentials.get(1))
