# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names from vSphere are anybody's: what they may do to the plan, the journal, the record, a terminal and a log.

Nothing, that is: they come back as they were where they are data, and are one harmless line where they are shown.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import tempfile
import zlib
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator
from unittest import mock

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import main as cli
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError, QuiesceError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.matching.match import Match, match
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning import plan as planning
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.plan import Plan, make_plan
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.server_logins import ServerLogin
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Policy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.manifest import PREFIX
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots import look, result
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.quiesce import Hold
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import identity
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credential
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal_entries import Entry
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.view import StorageHostView
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import timers
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks.retire import Kept, Retirement
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks.turn_result import TurnResult
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.text import printable, table
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import inventory, vms
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import Datastore
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_snapshots import VmState
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import check_dataset, check_snapshot
from ansible_collections.quiesce.vmware_zfs.tests.unit.zfs_pool import Pool
from hypothesis import given, settings
from hypothesis import strategies as st
from pyVmomi import vim

NASTY = (
    "line\nbreak", "carriage\rreturn", "\x1b[2J\x1b]0;owned\x07", "\x9b31mred", "tab\tand\x0bmore", "null\x00byte",
    "'; rm -rf / #", '"quoted"', "$(reboot)`reboot`", "@", "web@one", "-rf", "--force", "%2f", "%25", "%ff%n%s",
    "../../etc/passwd", "\u202egnp.exe", "\u2028paragraph\u2029", "\u200b", "\x85next", "]]>&amp;<name/>",
    "\U0001d54f" * 80, "e\u0301" * 40, "\ufeffbom", "[vmware-zfs host=0123456789ab run=x snapshot=-r@y]", "", " ",
    "{{ lookup('env') }}", "x" * 80, "a\\b\\\\c", "vmware-zfs 20260101T000000-00000000", "\x7f",
)  # fmt: skip
NAMES = st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
STARTED = "20260131T020000-1f2e3d4c"
CHECKED = settings(max_examples=60)


def assert_shown(text: str, lines: int | None = None) -> None:
    """What goes to a terminal or a log: so many lines, and in them nothing but characters that show themselves."""
    assert text.endswith("\n") or text == ""
    found = text.split("\n")[:-1]
    assert all(line.isprintable() for line in found), ascii(text)
    assert lines is None or len(found) == lines, ascii(text)


def assert_sentence(text: str) -> None:
    assert text.isprintable() and len(text) <= 4000, ascii(text)


# ---- Text


@CHECKED
@given(name=NAMES, limit=st.integers(1, 200))
def test_printable_is_one_harmless_line(name: str, limit: int) -> None:
    shown = printable(name, limit)
    assert shown.isprintable() and len(shown) <= limit


@CHECKED
@given(rows=st.lists(st.tuples(NAMES, NAMES), max_size=5))
def test_a_table_has_a_line_for_each_row(rows: list[tuple[str, str]]) -> None:
    assert_shown(table(["one", "two"], rows) + "\n", len(rows) + 1)


@CHECKED
@given(name=NAMES)
def test_an_error_is_one_sentence_whatever_it_is_about(name: str) -> None:
    assert_sentence(str(QuiesceError(f"The VM '{name}' is odd", f"Rename '{name}'")))
    assert_sentence(str(QuiesceError(name * 1000, name)))


# ---- What vSphere hands out


@CHECKED
@given(name=NAMES)
def test_a_name_is_what_people_gave_the_vm(name: str) -> None:
    escaped = name.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")
    assert inventory.unescape(escaped) == name
    inventory.unescape(name).encode()  # what a server sends unescaped can be stored all the same


@CHECKED
@given(label=NAMES, name=NAMES, path=NAMES)
def test_a_vm_is_understood(label: str, name: str, path: str) -> None:
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
        fileName=f"[{name}] {path}", diskMode="independent_persistent", datastore=vim.Datastore("datastore-1", None)
    )
    disk = vim.vm.device.VirtualDisk(key=2000, backing=backing, deviceInfo=vim.Description(label=label))
    passthrough = vim.vm.device.VirtualPCIPassthrough(key=13000, deviceInfo=vim.Description(label=label))
    found = vms.vm_of("vm-1", {"name": name, "config.hardware.device": [disk, passthrough]})
    assert found.disks[0].label.isprintable() and all(reason.isprintable() for reason in found.obstacles)


def test_an_enormous_text_is_cut() -> None:
    assert len(inventory.bounded("x" * 10**6)) == 1024
    assert inventory.bounded("x" * 80) == "x" * 80 and inventory.bounded(True) is True


@CHECKED
@given(name=NAMES, server=NAMES, path=NAMES, kind=st.one_of(st.sampled_from(["NFS", "NFS41", "VMFS"]), NAMES))
def test_a_verdict_on_a_datastore_is_one_line(name: str, server: str, path: str, kind: str) -> None:
    odd = Datastore("datastore-1", name, name, kind, (server,), path, True, "vcenter.lab")
    (found,) = match([odd], [], StorageHostView(frozenset(), frozenset()))
    assert found.reason.isprintable() and found.datasets == ()
    json.dumps(found.as_dict()).encode()


# ---- A run


class Session:
    endpoint, server_id = "vcenter.lab", "1234"


def planned(name: str, label: str, datastore: str, **changes: Any) -> Plan:
    disks = (
        vms.Disk(printable(label, 80), (("ds-1", "web/web.vmdk"),), True),
        vms.Disk("Hard disk 2", (("ds-2", f"{name}/{label}"),), False),
    )
    odd = vms.Vm(
        moid="vm-1", name=name, instance_uuid="5029-1", vmx_path=f"[{datastore}] {name}.vmx", host_moid="host-1",
        power="poweredOn", template=False, connected=True, readable=True, guest="linux", tools="running", disks=disks,
        consolidation_needed=False, obstacles=(),
    )  # fmt: skip
    place = Datastore("ds-1", datastore, "DC0", "NFS", ("10.0.2.15",), "/ds-1", True, "vcenter.lab")
    elsewhere = replace(place, moid="ds-2", name=label)
    matches = {"ds-1": Match(place, "", "root", "", (("", "tank/a"),)), "ds-2": Match(elsewhere, "")}
    session: Any = Session()
    login = ServerLogin(session, [Credential("vcenter.lab", "root", "tank/a", id=7)], matches=matches)
    watch = mock.Mock(vms=lambda: [replace(odd, **changes)])
    with mock.patch.object(planning, "VmWatch", lambda session, datastores, more: watch):
        return make_plan(Request("tank/a", "one", policy=Policy(on_vm_failure="fail")), ["tank/a"], [login], [])


@CHECKED
@given(name=NAMES, label=NAMES, datastore=NAMES)
def test_a_plan_keeps_names_and_explains_in_lines(name: str, label: str, datastore: str) -> None:
    plan = planned(name, label, datastore)
    (member,) = plan.members
    assert member.name == name and member.vmx_path == f"[{datastore}] {name}.vmx"
    assert member.reason.isprintable() and all(place.isprintable() for place in member.spans)
    refused = planned(name, label, datastore, connected=False)
    assert len(refused.refusals) == 1 and refused.refusals[0].isprintable()
    json.dumps(result.of_plan(plan).as_dict()).encode()


def stored(properties: dict[str, str]) -> record.Record:
    """The record of a snapshot with these properties."""
    pool = Pool()
    pool.add("tank/a@one", properties)
    return record.read(pool, ["tank/a@one"])["tank/a@one"]


@CHECKED
@given(name=NAMES, path=NAMES, reason=NAMES, times=st.sampled_from([1, 1, 1, 300]))
def test_the_record_on_the_zfs_snapshot_survives_every_name(name: str, path: str, reason: str, times: int) -> None:
    plan = planned(name, path, path)
    hold = Hold(plan.members[0], snapshot_moid=path, level="filesystem", reason=reason)
    written = record.Record(
        run=STARTED, host="0123456789ab", consistency="filesystem", complete=True, sealed=True,
        vmware_snapshot=identity.snapshot_name(STARTED), problems=[reason],
        vms=[{**result.manifest_entry(hold), "moid": f"vm-{number}"} for number in range(times)],
    )  # fmt: skip
    properties = {**written.first(), **dict(written.seal())}
    for key, value in properties.items():
        assert re.fullmatch(r"[a-z0-9:_.]+", key) and re.fullmatch(r"[A-Za-z0-9+/=. :_-]+", value)
        assert len(key) < 256 and len(value) < 8192
    assert stored(properties) == written


@CHECKED
@given(name=NAMES, datastore=NAMES)
def test_a_stranger_with_any_name_is_reported_in_one_line(name: str, datastore: str) -> None:
    state = VmState("poweredOn", False, (), disks=None, vmx_path=f"[{datastore}] {name}")
    (member,) = planned("web", "label", "ds").members
    session: Any = Session()
    place = Datastore("ds-1", datastore, "DC0", "NFS", ("10.0.2.15",), "/ds-1", True, "vcenter.lab")
    login = ServerLogin(session, [], matches={"ds-1": Match(place, "", "root", "", (("", "tank/a"),))})
    sight = look.Sight(login, {name: state}, {"tank/a"}, [], [member], "vmware-zfs x")
    (problem,) = look.first_look(sight).problems
    assert_sentence(problem.text)


def bomb() -> list[str]:
    """The parts of a manifest that is much longer when it is unpacked."""
    text = base64.b64encode(zlib.compress(b" " * (80 * 2**20), 9)).decode()
    return [text[at : at + 8000] for at in range(0, len(text), 8000)]


def test_a_record_that_somebody_else_made_does_not_fill_the_memory() -> None:
    """Also with a seal that matches: there is nothing secret in one."""
    one, parts = record.Record(STARTED, "h", "", "application", True, run_consistency="application"), bomb()
    with mock.patch.object(record, "encode", lambda manifest: parts):
        properties = {**one.first(), **dict(one.seal())}
    assert sum(":manifest." in key for key in properties) > 5
    found = stored(properties)
    assert found.consistency == "crash" and "is damaged" in found.problems[0]
    of_1_0_0 = {key: value for key, value in properties.items() if not key.endswith("sealed")}
    found = stored({**of_1_0_0, PREFIX + "held_until": str(2**40)})
    assert found.consistency == "crash" and "is damaged" in found.problems[0]


# ---- The journal and what the command line shows of it


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as environment:
        environment.setenv("VMWARE_ZFS_STATE_DIR", f"{folder}/state")
        environment.setenv("VMWARE_ZFS_KEY_FILE", f"{folder}/etc/secret.key")
        environment.setenv("VMWARE_ZFS_LOCK_DIR", f"{folder}/run")
        yield Path(folder)


def say(*arguments: str) -> tuple[str, str]:
    """What the command puts out, and what it complains of."""
    output, complaint = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(complaint):
        cli.main(arguments)
    return output.getvalue(), complaint.getvalue()


def shown(name: str, reason: str) -> dict[str, tuple[str, str]]:
    """A registry with one run that left a VMware snapshot, as every command shows it."""
    paths = Paths.from_environment()
    paths.database.unlink(missing_ok=True)
    vm = {"name": name, "level": "crash", "hold_seconds": 1.0, "reason": reason, "server": "vcenter.lab"}
    with Database.open(paths) as database:
        journal = Journal(database)
        journal.open_run(STARTED, "", "tank/a", ["tank/a@one"])
        entry = Entry(STARTED, "vcenter.lab", 443, reason, name, name, identity.snapshot_name(STARTED))
        (number,) = journal.intend([entry])
        journal.note({number: reason})
        journal.end_run(STARTED, {"consistency": "crash", "complete": False, "problems": [reason], "vms": [vm]})
        (stored,) = journal.open_entries()
        assert (stored.vm_name, stored.instance_uuid, stored.vm_moid, stored.note) == (name, name, reason, reason)
        found = journal.run(STARTED)
        assert found is not None and found.result["vms"] == [vm]
    commands = {"status": (), "show": (STARTED,), "recover": ("--dry-run",)}
    return {command: say(command, *more) for command, more in commands.items()}


@settings(max_examples=25)
@given(name=NAMES, reason=NAMES)
def test_the_journal_keeps_every_name_and_the_command_shows_it_in_one_line(
    folder: Path, name: str, reason: str
) -> None:
    usual = shown("web", "because")
    for command, (output, complaint) in shown(name, reason).items():
        assert_shown(output, usual[command][0].count("\n"))
        assert_shown(complaint, usual[command][1].count("\n"))
    for command in ("status", "recover"):
        more = ["--dry-run"] if command == "recover" else []
        text = say(command, "--json", *more)[0]
        assert text.isascii()
        assert json.loads(text)["left"][0]["vm"] == name
    snapshot = {
        "vms": [{"name": name, "server": "vcenter.lab", "level": "crash", "reason": reason}],
        "problems": [reason], "zfs_snapshots": ["tank/a@one"], "consistency": "crash",
    }  # fmt: skip
    turn = TurnResult(1, False, snapshot=snapshot, retired=Retirement([], [Kept("tank/a@old", reason)]))
    screen = io.StringIO()
    with redirect_stdout(screen):
        cli._print_turn(turn, False)
    assert_shown(screen.getvalue(), 4)


def test_a_terminal_that_cannot_show_a_name_is_no_reason_to_fail(folder: Path) -> None:
    shown("\U0001d54f\u20ac", "\u2026")
    raw = io.BytesIO()
    with mock.patch("sys.stdout", io.TextIOWrapper(raw, encoding="iso-8859-1")) as output:
        assert cli.main(["show", STARTED]) == 0
        output.flush()
    assert b"\\u20ac" in raw.getvalue()


# ---- What comes back from outside, and goes into commands and files


@CHECKED
@given(dataset=NAMES, snapshot=NAMES)
def test_a_forged_mark_names_no_option_and_no_impossible_snapshot(dataset: str, snapshot: str) -> None:
    here = identity.StorageHost("storage", "0123456789ab")
    text = f"[vmware-zfs host={here.id} run={STARTED} snapshot={dataset}@{snapshot}]"
    origin = identity.origin_of(here, identity.snapshot_name(STARTED), text)
    if origin is not None:
        left, _unused, right = origin.snapshot.partition("@")
        assert check_snapshot(check_dataset(left), right) == origin.snapshot and not left.startswith("-")


@CHECKED
@given(name=NAMES)
def test_a_unit_file_takes_only_names_that_zfs_takes(name: str) -> None:
    try:
        text = timers.wanted(check_dataset(name), ["*-*-* 00:00:00"], 0, True).text
    except InputError as error:
        assert_sentence(str(error))
        return
    usual = timers.wanted("tank", ["*-*-* 00:00:00"], 0, True).text
    assert text.count("\n") == usual.count("\n") and "%" not in text
    assert_shown(text)


def test_the_names_are_nasty_enough() -> None:
    """Shown as they are, they would be several lines and escapes: the tests above can fail."""
    assert sum(not name.isprintable() for name in NASTY) >= 10
    assert any(os.linesep in name for name in NASTY) and any("\x1b" in name for name in NASTY)
