# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two machines never use one identity, and the earlier identities of a machine are known."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import RegistryError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import host_identity, identity
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.host_identity import identities
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.identity import StorageHost

ID_OF_1_0_0 = "7784c0dc6511"  # for the machine ID "a"


class Machine:
    """A machine with a disk that can be moved to another machine."""

    def __init__(self, folder: Path) -> None:
        self.paths = Paths(folder / "state", folder / "etc" / "secret.key", folder / "run")
        self.machine_id, self.product_uuid = folder / "machine-id", folder / "product_uuid"
        self.file = folder / "etc" / "host-identity.json"

    def is_now(self, machine_id: str, product_uuid: str) -> None:
        """Set the values of the machine; an empty text means that it has none."""
        for path, text in ((self.machine_id, machine_id), (self.product_uuid, product_uuid)):
            path.unlink(missing_ok=True)
            if text:
                path.write_text(text + "\n", encoding="ascii")

    def ids(self) -> list[str]:
        return [one.id for one in identities(self.paths)]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(host_identity, "_MACHINE_ID", made.machine_id)
    monkeypatch.setattr(host_identity, "_PRODUCT_UUID", made.product_uuid)
    made.is_now("a", "4C4C4544-0001")
    return made


def test_it_is_made_once_and_stays(machine: Machine) -> None:
    (first,) = machine.ids()
    machine.is_now("a", "4c4c4544-0001")  # as other kernels show it
    assert machine.ids() == [first] and len(first) == 12
    assert stat.S_IMODE(machine.file.stat().st_mode) == 0o600
    assert "4c4c4544" not in machine.file.read_text().lower(), "the machine's own numbers are no one else's business"


def test_two_hosts_of_one_image_that_never_ran_differ(machine: Machine) -> None:
    (here,) = machine.ids()
    machine.file.unlink()
    assert machine.ids() != [here]


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (("a", "4c-1"), ("a", "4c-2")),  # the disk was cloned
        (("a", "4c-1"), ("b", "4c-1")),  # the clone has a new machine ID
        (("a", ""), ("b", "")),
        (("", "4c-1"), ("", "4c-2")),
        (("a", "4c-1"), ("b", "")),
    ],
)
def test_on_another_machine_a_new_one_is_made_and_the_former_is_known(
    machine: Machine, then: tuple[str, str], now: tuple[str, str]
) -> None:
    machine.is_now(*then)
    (former,) = machine.ids()
    machine.is_now(*now)
    today, *others = machine.ids()
    assert today != former and others == [former]
    assert machine.ids() == [today, former]
    assert former in StorageHost.here(machine.paths).former


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (("a", "4c-1"), ("a", "")),
        (("a", ""), ("a", "4c-1")),
        (("", ""), ("", "")),
        (("uninitialized", "4c"), ("a", "4c")),
    ],
)
def test_what_a_machine_does_not_tell_is_no_difference(
    machine: Machine, then: tuple[str, str], now: tuple[str, str]
) -> None:
    machine.is_now(*then)
    ids = machine.ids()
    machine.is_now(*now)
    assert machine.ids() == ids


def test_what_was_not_told_at_first_is_compared_once_it_is(machine: Machine) -> None:
    machine.is_now("a", "")
    machine.ids()
    machine.is_now("a", "4c-1")
    machine.ids()
    machine.is_now("a", "4c-2")
    assert len(machine.ids()) == 2


def test_reading_alone_makes_none(machine: Machine) -> None:
    (made,) = identities(machine.paths, read_only=True)
    assert len(made.id) == 12 and not machine.file.parent.exists()
    stored = machine.ids()
    machine.is_now("a", "another")
    before = machine.file.read_bytes()
    assert [one.id for one in identities(machine.paths, read_only=True)][1:] == stored
    assert machine.file.read_bytes() == before


def test_it_survives_the_loss_of_the_database(machine: Machine) -> None:
    ids = machine.ids()
    assert not machine.file.is_relative_to(machine.paths.state_dir) and machine.ids() == ids


def test_several_processes_make_one(machine: Machine) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: tuple(machine.ids()), range(8)))
    assert len(set(made)) == 1


def test_the_id_of_release_1_0_0_is_a_former_one(machine: Machine) -> None:
    host = StorageHost.here(machine.paths)
    assert host.former == {ID_OF_1_0_0} and host.machine == ID_OF_1_0_0
    machine.file.unlink()
    machine.is_now("", "4c4c4544-0001")
    assert StorageHost.here(machine.paths).machine == "", "a machine without an ID shares none with others"


@pytest.mark.parametrize("content", ["", "[]", '{"identities": [{"id": "../x"}]}', '{"identities": 5}', "\xff"])
def test_a_damaged_file_is_a_sentence(machine: Machine, content: str) -> None:
    machine.ids()
    machine.file.write_text(content, encoding="latin-1")
    with pytest.raises(RegistryError, match="identity, is damaged; restore it from a backup"):
        machine.ids()


def test_it_is_a_copy_for_an_hour_by_either_clock(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    host = StorageHost.here(machine.paths)
    monkeypatch.setattr(identity, "time", SimpleNamespace(monotonic=lambda: 4000.0))
    assert host.copied_just_now()
    old = StorageHost(host.name, host.id, made=identity.begun("20200101T000000-0") or host.made)
    assert not old.copied_just_now()
    ahead = StorageHost(host.name, host.id, made=identity.begun("29990101T000000-0") or host.made)
    assert not ahead.copied_just_now(), "a clock that was ahead is not waited for"
    monkeypatch.setattr(identity, "time", SimpleNamespace(monotonic=lambda: 60.0))
    assert old.copied_just_now(), "its clock may just have been set"
