# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the commands restore, mount, unmount and restores ask for, print, and end with."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import account as account_options
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import main as cli
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import restores as commands
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    InputError,
    QuiesceError,
    RestoreFailed,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import account as accounts
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import ending
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.account import Account
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.plan import Helper, RestorePlan
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.request import (
    RestoreRequest,
    parse_snapshot,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.result import (
    RestoreResult,
    VmRestored,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import (
    CLONE,
    DISK,
    ENDED,
    FOLDER,
    MOUNT,
    RestoreRecord,
    Restores,
)

SNAPSHOT = "tank/vmware@auto-2026-01-31_02-00"
LOGIN = ("--server", "vcenter.lab", "--username", "restorer")
MAIL = VmRestored("mail", "mail-restored-2026-01-31", level="filesystem", host="esx1", restored=True)


class Nothing:
    """A session that is not used."""

    def __enter__(self) -> Nothing:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class Shell:
    """Runs `vmware-zfs` with a real state database. Restores, plans, logins and ends are recorded."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.paths, self._capsys = Paths(folder / "state", folder / "key", folder / "locks"), capsys
        self.accounts: list[Any] = []
        self.asked: list[RestoreRequest] = []
        self.ended: list[str] = []
        self.answer = RestoreResult("r1", SNAPSHOT, FOLDER, [MAIL])
        self.failure: QuiesceError | None = None
        self.plan: Callable[[RestoreRequest], RestorePlan] = RestorePlan
        self.stays = ""
        with Database.open(self.paths):
            pass

    def run(self, *arguments: str) -> tuple[int, list[str], str]:
        """Return the exit status, the lines of the output, and what is on standard error."""
        code = cli.main(arguments)
        said = self._capsys.readouterr()
        assert "secret-4711" not in said.out + said.err
        return code, said.out.splitlines(), said.err

    def restore(self, *arguments: str) -> tuple[int, list[str], str]:
        return self.run("restore", SNAPSHOT, *arguments, *LOGIN)

    def journal(self, restore: str, way: str, host: str = "", state: str = "", **more: Any) -> None:
        with Database.open(self.paths) as database:
            restores = Restores(database)
            name = "" if way == MOUNT else "mail"
            restores.open(RestoreRecord(restore, SNAPSHOT, way, name, name and f"{name}-restored", "vcenter", 443, "u"))
            step = restores.intend(restore, "mount", {"host": host})
            if "note" in more:
                restores.note(step, more["note"])
                return
            restores.keep_result(restore, RestoreResult(restore, SNAPSHOT, way, **more).as_dict())
            restores.set_state(restore, "done")
            if state:
                restores.set_state(restore, state)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    shell = Shell(tmp_path, capsys)

    def open_session(_engine: Any, account: Account) -> Nothing:
        shell.accounts.append(account)
        return Nothing()

    def execute(engine: Any, _session: Any, request: RestoreRequest) -> RestoreResult:
        shell.asked.append(request)
        engine.report("Copying mail")
        if shell.failure is not None:
            raise shell.failure
        return shell.answer

    def make_plan(_session: Any, _zfs: Any, request: RestoreRequest) -> RestorePlan:
        shell.asked.append(request)
        return shell.plan(request)

    def stored(_engine: Any, dataset: str, hostname: str) -> str:
        return f"stored for {dataset} on {hostname or 'any server'}"

    def end(_engine: Any, restore: RestoreRecord, session: Callable[[], Any]) -> str:
        session()
        shell.ended.append(restore.id)
        return shell.stays

    for name, path in (("STATE_DIR", "state"), ("KEY_FILE", "key"), ("LOCK_DIR", "locks")):
        monkeypatch.setenv(f"VMWARE_ZFS_{name}", str(tmp_path / path))
    for name in ("VMWARE_HOST", "VMWARE_USER", "VMWARE_VALIDATE_CERTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VMWARE_PASSWORD", "secret-4711")
    for module in (commands, accounts):
        monkeypatch.setattr(module, "open_session", open_session)
    monkeypatch.setattr(account_options, "stored_account", stored)
    monkeypatch.setattr(accounts, "session_to_undo", lambda engine, restore: shell.accounts.append(restore.id))
    monkeypatch.setattr(commands, "execute", execute)
    monkeypatch.setattr(commands, "make_plan", make_plan)
    monkeypatch.setattr(ending, "end", end)
    return shell


# ---- What is asked


def test_the_options_become_the_request(shell: Shell) -> None:
    shell.restore(
        "mail", "web", "--instant", "--on", "esx1", "--network", "isolated", "--power-on", "--boot-timeout", "60",
        "--nfs-server", "nfs.lab", "--nfs-client", "10.0.0.7", "--nfs-client", "10.0.0.8", "--alias", "10.0.0.1",
    )  # fmt: skip
    assert shell.asked == [
        RestoreRequest(
            parse_snapshot(SNAPSHOT), ("mail", "web"), CLONE, host="esx1", network="isolated", power_on=True,
            server="nfs.lab", clients=("10.0.0.7", "10.0.0.8"), aliases=("10.0.0.1",), boot_timeout=60.0,
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "request_"),
    [
        ((), {}),
        (("--name", "other"), {"name": "other"}),
        (("--replace", "--force"), {"replace": True, "force": True}),
        (("--disk", "2", "--attach-to", "helper"), {"way": DISK, "disk": 2, "attach_to": "helper"}),
    ],
)
def test_without_options_the_defaults_of_a_request_are_used(
    shell: Shell, options: tuple[str, ...], request_: dict[str, Any]
) -> None:
    assert shell.restore("mail", *options)[0] == 0
    assert shell.asked == [RestoreRequest(parse_snapshot(SNAPSHOT), ("mail",), **request_)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("restore", "tank/vmware", "mail"),
            "'tank/vmware' is not the name of a ZFS snapshot; give it as dataset@name",
        ),
        (("restore", SNAPSHOT, "mail", "mail"), "A VM was named twice; name each VM once."),
        (("restore", SNAPSHOT, "mail", "--force"), "force has no effect without replace"),
        (("restore", SNAPSHOT, "mail", "--attach-to", "helper"), "The number of the disk is missing"),
        (("mount", "tank/vmware", "--on", "esx1"), "'tank/vmware' is not the name of a ZFS snapshot"),
        (("unmount", SNAPSHOT), f"{SNAPSHOT} is not mounted; list what is restored with 'vmware-zfs restores'."),
        (("unmount", SNAPSHOT, "--on", "esx1"), f"{SNAPSHOT} is not mounted on esx1; list"),
        (("restores", "--end", "r9"), "There is no restore with the id r9; list them with 'vmware-zfs restores'."),
    ],
)
def test_bad_input_is_one_line_and_nothing_happens(shell: Shell, arguments: tuple[str, ...], sentence: str) -> None:
    code, said, error = shell.run(*arguments, *LOGIN)
    assert code == 1 and said == [] and sentence in error and error.count("\n") == 1
    assert shell.asked == [] and shell.accounts == []


# ---- The account


def test_the_account_of_the_options_comes_first(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("HOST", "other.lab"), ("USER", "other"), ("VALIDATE_CERTS", "False")):
        monkeypatch.setenv(f"VMWARE_{name}", value)
    shell.restore("mail", "--port", "8443", "--ca-path", "/ca.pem", "--thumbprint", "ab")
    shell.run("restore", SNAPSHOT, "mail")
    first, second = shell.accounts
    assert (first.endpoint.hostname, first.endpoint.port, first.username) == ("vcenter.lab", 8443, "restorer")
    assert (first.endpoint.ca_path, first.endpoint.thumbprint) == ("/ca.pem", "ab")
    assert (second.endpoint.hostname, second.username, second.endpoint.validate_certs) == ("other.lab", "other", False)
    assert first.password.reveal() == second.password.reveal() == "secret-4711"


@pytest.mark.parametrize("options", [(), ("--server", "vc2.lab")])
def test_without_a_user_the_stored_account_is_used(shell: Shell, options: tuple[str, ...]) -> None:
    shell.run("restore", SNAPSHOT, "mail", *options)
    assert shell.accounts == [f"stored for tank/vmware on {options[1] if options else 'any server'}"]


def test_a_user_needs_a_server(shell: Shell) -> None:
    _code, _said, error = shell.run("restore", SNAPSHOT, "mail", "--username", "u")
    assert "A user was given, but no server; give --server as well, or set VMWARE_HOST." in error


def test_the_password_is_asked_for_on_a_terminal_only(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VMWARE_PASSWORD")
    monkeypatch.setattr(getpass, "getpass", lambda prompt: f"asked: {prompt}")
    _code, _said, error = shell.restore("mail")
    assert "No password was given; set VMWARE_PASSWORD" in error and shell.accounts == []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    assert shell.restore("mail")[0] == 0
    assert shell.accounts[0].password.reveal() == "asked: Password of restorer on vcenter.lab: "


# ---- What is printed


def test_a_restored_vm_is_shown_with_what_is_to_do(shell: Shell) -> None:
    code, said, error = shell.restore("mail")
    assert code == 0 and error == "" and said == [
        "Copying mail",
        "VM    restored as               level       state  ESXi host",
        "mail  mail-restored-2026-01-31  filesystem  off    esx1",
        "the network cards are disconnected; connect them in the vSphere client when the VM may use the network",
    ]  # fmt: skip


def test_a_vm_in_place_of_another_one_is_shown_with_the_name_of_the_other(shell: Shell) -> None:
    vm = VmRestored(
        "mail", "mail", level="still", host="esx1", restored=True, replaced="mail-replaced-2026-02-01",
        powered_on=True, heartbeat="green", address="10.0.0.9", warnings=["Its disks need consolidation."],
    )  # fmt: skip
    shell.answer = RestoreResult("r1", SNAPSHOT, FOLDER, [vm], warnings=["It was suspended."])
    _code, said, _error = shell.restore("mail", "--replace", "--power-on")
    assert "on, heartbeat green, address 10.0.0.9" in said[2]
    assert said[3:] == [
        "the original of 'mail' is now named 'mail-replaced-2026-02-01'",
        "warning: It was suspended.",
        "warning: 'mail': Its disks need consolidation.",
    ]


def test_a_restore_on_a_clone_says_how_to_end_it(shell: Shell) -> None:
    datastores = [{"moid": "datastore-1", "name": "restore-r1", "dataset": "tank/vmware", "clone": "c"}]
    shell.answer = RestoreResult("r1", SNAPSHOT, MOUNT, datastores=datastores)
    code, said, _error = shell.run("mount", SNAPSHOT, "--on", "esx1", *LOGIN)
    assert code == 0 and shell.asked == [RestoreRequest(parse_snapshot(SNAPSHOT), way=MOUNT, host="esx1")]
    assert said[1:] == [
        "the datastore restore-r1 is a clone of tank/vmware",
        "to end this restore: vmware-zfs restores --end r1",
    ]
    attached = {"vm": "helper", "moid": "vm-3", "file": "[restore-r1] mail/mail.vmdk"}
    shell.answer = RestoreResult("r1", SNAPSHOT, DISK, datastores=datastores, attached=attached)
    _code, said, _error = shell.restore("mail", "--disk", "1", "--attach-to", "helper")
    assert said[2:] == [
        "[restore-r1] mail/mail.vmdk is attached to 'helper'",
        "to end this restore: vmware-zfs restores --end r1",
    ]


def test_with_json_only_json_is_printed(shell: Shell) -> None:
    code, said, _error = shell.restore("mail", "--json")
    assert code == 0 and json.loads("\n".join(said)) == shell.answer.as_dict()


def test_of_several_vms_those_that_were_restored_are_shown_before_the_error(shell: Shell) -> None:
    vms = [MAIL, VmRestored("web", "web-restored-2026-01-31", error="No space.")]
    details = RestoreResult("r1", SNAPSHOT, FOLDER, vms).as_dict()
    shell.failure = RestoreFailed("1 VM of 2 failed", "Try again", **details)
    code, said, error = shell.restore("mail", "web")
    assert code == 1 and error == "vmware-zfs: 1 VM of 2 failed; try again.\n"
    assert [line.split()[:1] for line in said[2:4]] == [["mail"], ["web"]] and "not restored" in said[3]
    code, said, error = shell.restore("mail", "web", "--json")
    assert code == 1 and json.loads("\n".join(said)) == {**details, "error": "1 VM of 2 failed; try again."}


def test_a_failure_that_restored_nothing_is_one_line(shell: Shell) -> None:
    shell.failure = RestoreFailed("Nothing was restored: No", "Nothing was changed", refusals=["No."])
    assert shell.restore("mail") == (
        1,
        ["Copying mail"],
        "vmware-zfs: Nothing was restored: No; nothing was changed.\n",
    )
    shell.failure = InputError("There is no VM", "Check the name")
    assert shell.restore("mail")[2] == "vmware-zfs: There is no VM; check the name.\n"


@pytest.mark.parametrize("refusals", [(), ("No ESXi host can take the VM.",)])
def test_a_dry_run_shows_the_plan_and_its_status_says_whether_it_is_possible(
    shell: Shell, refusals: tuple[str, ...]
) -> None:
    helper = Helper("vm-3", "helper", "", "host-1")
    shell.plan = lambda request: RestorePlan(
        request, helper=helper, disk="mail/mail.vmdk", refusals=refusals, warnings=("It is suspended.",)
    )
    code, said, error = shell.restore("mail", "--disk", "1", "--attach-to", "helper", "--dry-run")
    assert (code, error) == (1 if refusals else 0, "")
    forbids = [f"not possible: {one}" for one in refusals]
    assert said == ["would attach mail/mail.vmdk to 'helper'", "warning: It is suspended.", *forbids]
    code, said, _error = shell.restore("mail", "--disk", "1", "--attach-to", "helper", "--dry-run", "--json")
    told = json.loads("\n".join(said))
    assert code == (1 if refusals else 0) and told["refusals"] == list(refusals) and told["restore_id"] == ""


# ---- The list and the end


def test_nothing_restored_is_said(shell: Shell) -> None:
    assert shell.run("restores") == (0, ["nothing is restored"], "")
    assert json.loads("\n".join(shell.run("restores", "--json")[1])) == {"restores": []}


def test_restores_are_listed_newest_first_with_their_problems(shell: Shell) -> None:
    shell.journal("r1", FOLDER)
    shell.journal("r2", MOUNT)
    shell.journal("r3", CLONE, state=ENDED)
    shell.journal("r4", CLONE, note="The VM 'mail' is powered on")
    code, said, _error = shell.run("restores")
    rows = [line.split("  ") for line in said[1:4]]
    assert code == 0 and [[cell for cell in row if cell][1].strip() for row in rows] == ["r4", "r2", "r1"]
    assert "interrupted" in said[1] and "restored" in said[2] and "mail-restored" in said[3]
    assert said[4:] == ["r4: The VM 'mail' is powered on"]


@pytest.mark.parametrize(("stays", "more"), [("", "; nothing of it is left"), (ending.STAYS, f". {ending.STAYS}")])
def test_a_restore_is_ended(shell: Shell, stays: str, more: str) -> None:
    shell.journal("r1", CLONE)
    shell.stays = stays
    assert shell.run("restores", "--end", "r1") == (0, [f"ended the restore r1{more}"], "")
    assert shell.ended == ["r1"] and shell.accounts == ["r1"]
    code, said, _error = shell.run("restores", "--end", "r1", "--json", *LOGIN)
    assert code == 0 and json.loads("\n".join(said)) == {"ended": ["r1"]}
    assert shell.accounts[1].username == "restorer"


def test_a_user_without_a_server_ends_a_restore_on_the_server_of_the_restore(shell: Shell) -> None:
    shell.journal("r1", CLONE)
    shell.run("restores", "--end", "r1", "--username", "u")
    assert shell.accounts[0].endpoint.hostname == "vcenter"


def test_a_snapshot_is_unmounted_from_one_host_or_from_all(shell: Shell) -> None:
    for number, host in enumerate(("esx1", "esx2"), 1):
        shell.journal(f"r{number}", MOUNT, host)
    shell.journal("r3", CLONE, "esx1")
    assert shell.run("unmount", SNAPSHOT, "--on", "esx1")[0] == 0 and shell.ended == ["r1"]
    shell.ended.clear()
    code, said, _error = shell.run("unmount", SNAPSHOT)
    assert code == 0 and shell.ended == ["r2", "r1"] and len(said) == 2
