# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vmware_snapshot_task through main(): what is stored, and what is refused before it is; and what it and
vmware_snapshot_task_info document of what they return.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import journal_entries as journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import (
    SnapshotTask,
    SnapshotTasks,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import timers
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import turn as turns
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_snapshot_task, vmware_snapshot_task_info
from ansible_collections.quiesce.vmware_zfs.tests.unit.module_arguments import patch_module_args

TASK = yaml.safe_load(vmware_snapshot_task.RETURN)["task"]["contains"]
LAST_RUN = yaml.safe_load(vmware_snapshot_task_info.RETURN)["tasks"]["contains"]["last_run"]["contains"]


def unsaid(returned: dict[str, Any], documented: dict[str, Any]) -> list[str]:
    """What is null and is not said to be."""
    assert returned.keys() == documented.keys()
    empty = [name for name, value in returned.items() if value is None]
    assert empty
    return [name for name in empty if "V(null)" not in "".join(documented[name]["description"])]


def test_a_task_that_check_mode_would_create() -> None:
    assert unsaid(SnapshotTask("tank/a").as_dict(), TASK) == []


def test_a_run_that_has_not_ended() -> None:
    run = journal.RunRecord("r1", "key", "tank/a", ("tank/a@one",), journal.QUIESCING, "2026-01-31", "", {})
    assert unsaid(turns.summary(run), LAST_RUN) == []


def test_every_state_of_a_run() -> None:
    states = (journal.QUIESCING, journal.RELEASING, journal.ENDED)
    assert [state for state in states if f"V({state})" not in "".join(LAST_RUN["state"]["description"])] == []


# A zfs that knows a pool with two file systems and a volume, and a systemctl that does as it is told.
ZFS = r"""#!/bin/sh
for last; do :; done
row() { printf '%s\t%s\t/%s\tyes\t%s\n' "$1" "$2" "$1" "$1"; }
case "$last" in
    tank/a) row tank/a filesystem; row tank/a/b filesystem ;;
    tank/volume) row tank/volume volume ;;
    *) echo "cannot open '$last': dataset does not exist" >&2; exit 1 ;;
esac
"""
SYSTEMCTL = """#!/bin/sh
case $1 in
    enable) echo UnitFileState=enabled >{0}; echo ActiveState=active >>{0} ;;
    disable) rm -f {0} ;;
    show) cat {0} 2>/dev/null || true ;;
esac
"""
BASE: dict[str, Any] = {"dataset": "tank/a"}
# Another value than the default for each option that is stored, those that tell one task from another aside.
OTHER_VALUES: dict[str, Any] = {
    "recursive": True, "exclude": ["tank/a/b"], "lifetime_value": 5, "lifetime_unit": "DAY", "schedule": {"hour": "2"},
    "jitter": 60, "enabled": False, "allow_empty": False, "vmware_sync": False, "on_quiesce_failure": "fail",
    "on_vm_failure": "fail", "exclude_vms": ["db"],
    "policies": [{"match": {"name": "fw*"}, "accept": "crash"}], "vm_timeout": 60.0, "max_hold": 600.0, "wave_size": 5,
    "limit_per_vcenter": 4, "limit_per_host": 2, "lock_timeout": 60.0, "aliases": ["nfs.lab"], "connect_timeout": 5.0,
    "call_timeout": 30.0, "tolerate_incomplete": True,
}  # fmt: skip
WITH = {"exclude": {"recursive": True}}  # what an option needs beside it


class Host:
    """A storage host: a zfs, a systemd, a place for the registry."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.paths, self.units, self._capsys = Paths(folder / "state", folder / "key"), folder / "units", capsys

    def run(self, check: bool = False, **options: Any) -> dict[str, Any]:
        wanted = {**options, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(wanted), pytest.raises(SystemExit):
            vmware_snapshot_task.main()
        result: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return result

    def task(self, check: bool = False, **options: Any) -> dict[str, Any]:
        result = self.run(check, **options)
        assert not result.get("failed"), result["msg"]
        return result

    def refuses(self, **options: Any) -> str:
        before = self.stored(), sorted(path.name for path in self.units.iterdir())
        said = set()
        for check in (True, False):
            result = self.run(check, **options)
            assert result.get("failed") and not result.get("exception"), result
            said.add(str(result["msg"]))
        assert (self.stored(), sorted(path.name for path in self.units.iterdir())) == before
        assert len(said) == 1
        return said.pop()

    def stored(self) -> list[dict[str, Any]]:
        with SnapshotTasks.open(self.paths, read_only=True) as tasks:
            return [task.settings() for task in tasks.list_all()]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Host:
    host = Host(tmp_path, capsys)
    for folder in (tmp_path / "bin", host.units):
        folder.mkdir()
    (host.units / timers.SERVICE).touch()
    for name, text in (("zfs", ZFS), ("systemctl", SYSTEMCTL.format(tmp_path / "active"))):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("VMWARE_ZFS_STATE_DIR", str(host.paths.state_dir))
    monkeypatch.setenv("VMWARE_ZFS_KEY_FILE", str(host.paths.key_file))
    monkeypatch.setattr(timers.Timers.__init__, "__defaults__", (host.units, "systemctl"))
    return host


def test_every_option_is_in_the_list() -> None:
    assert OTHER_VALUES.keys() == SnapshotTask("tank/a").settings().keys() - {"dataset", "naming_schema"}


@pytest.mark.parametrize("option", sorted(OTHER_VALUES))
def test_what_a_playbook_no_longer_names_takes_its_default(option: str, host: Host) -> None:
    """`enabled: false` that stays where nobody sees it is a night without a snapshot, and then another."""
    default = host.task(**BASE)["task"]
    named = {**BASE, option: OTHER_VALUES[option], **WITH.get(option, {})}
    changed = host.task(**named)
    assert changed["changed"] and changed["task"]["id"] == default["id"] and changed["task"][option] != default[option]
    assert not host.task(**named)["changed"]

    predicted = host.task(check=True, **BASE)
    assert predicted["changed"] and host.stored() == [SnapshotTask("").merged(named).settings()]
    back = host.task(**BASE)
    assert back["changed"] and back["diff"] == predicted["diff"]
    assert (back["diff"]["before"][option], back["diff"]["after"][option]) == (changed["task"][option], default[option])
    assert {**back["task"], "updated": ""} == {**default, "updated": ""}
    assert back["diff"]["after"]["timer"]["active"], "a task that is enabled again has no timer"
    assert not host.task(**BASE)["changed"] and not host.task(check=True, **BASE)["changed"]


@pytest.mark.parametrize("option", sorted(OTHER_VALUES))
def test_by_id_only_what_is_given_changes(option: str, host: Host) -> None:
    everything = {**BASE, **OTHER_VALUES}
    task = host.task(**everything)["task"]
    assert not host.task(id=task["id"])["changed"]
    default = SnapshotTask("tank/a").as_dict()[option]
    more: dict[str, Any] = {"exclude": []} if option == "recursive" else {}
    changed = host.task(id=task["id"], **{option: default}, **more)
    assert changed["changed"] and changed["task"][option] == default
    rest = {name: value for name, value in changed["task"].items() if name not in (option, *more, "updated")}
    assert rest == {name: task[name] for name in rest}


def test_a_schedule_is_one_value(host: Host) -> None:
    """`{hour: 2}` over a stored `*/5` would be twelve runs in an hour."""
    host.task(**BASE, schedule={"minute": "*/5", "begin": "08:00"})
    wanted = {"minute": "00", "hour": "2", "dom": "*", "month": "*", "dow": "*", "begin": "00:00", "end": "23:59"}
    for how in (BASE, {"id": 1}):
        host.task(**BASE, schedule={"minute": "*/5", "begin": "08:00"})
        predicted = host.task(check=True, **how, schedule={"hour": "2"})
        done = host.task(**how, schedule={"hour": "2"})
        assert done["changed"] and done["task"]["schedule"] == wanted and done["diff"] == predicted["diff"]
        assert "OnCalendar=*-*-* 02:00:00\n" in (host.units / "vmware-zfs-task@1.timer").read_text()
        assert not host.task(**how, schedule={"hour": "2"})["changed"]


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"naming_schema": "auto-%Y-%m-%d_%H-%M%z"}, "remove %z"),
        ({"naming_schema": "vm/%Y-%m-%d_%H-%M"}, "only letters, digits and '_-.: ' are allowed"),
        ({"naming_schema": "%%-%s"}, "only letters, digits"),
        ({"naming_schema": "ä-%s"}, "only letters, digits"),
        ({"naming_schema": ""}, "lacks %Y"),
        # with tank/a it would fit, with tank/a/b it does not
        ({"naming_schema": "x" * (255 - len("tank/a@1769817909")) + "%s", "recursive": True}, "the maximum is 255"),
        ({"lifetime_value": 0}, "lifetime_value is 0; set lifetime_value to at least 1"),
        ({"lifetime_value": 10**15}, "lifetime_value is 1000000000000000; set lifetime_value to at most"),
        ({"schedule": {"end": "1439"}}, "use HH:MM in quotes"),
        ({"schedule": {"minute": ""}}, "is not valid in cron syntax"),
        ({"jitter": -1}, "jitter is -1 s"),
        ({"exclude": ["tank/b"], "recursive": True}, "exclude names 'tank/b', which is not below 'tank/a'"),
        ({"exclude": ["tank/a/b"]}, "(recursive is false)"),
        ({"exclude_vms": ["db", ""]}, "exclude_vms has an empty entry"),
        ({"aliases": ["nfs.lab:/tank"]}, "is neither a host name nor an IP address"),
        ({"vm_timeout": 0}, "vm_timeout is 0; set it to more than zero seconds"),
        ({"vm_timeout": NAN}, "vm_timeout is nan"),
        ({"max_hold": INF}, "max_hold is inf"),
        ({"vm_timeout": 900.5}, "longer than max_hold"),
        ({"lock_timeout": -1}, "lock_timeout is -1"),
        ({"lock_timeout": INF}, "lock_timeout is inf"),
        ({"connect_timeout": 0}, "connect_timeout is 0"),
        ({"call_timeout": -5}, "call_timeout is -5"),
        ({"call_timeout": 1e300}, "call_timeout is 1e+300"),
        ({"wave_size": -1}, "wave_size is -1"),
        ({"limit_per_host": 0}, "below 1"),
        ({"limit_per_vcenter": 0}, "below 1"),
        ({"dataset": "tank/none"}, "The dataset 'tank/none' does not exist"),
        ({"dataset": "tank/volume"}, "'tank/volume' is a volume"),
    ],
    ids=str,
)
def test_what_could_not_work_is_refused_before_anything_changes(options: dict[str, Any], said: str, host: Host) -> None:
    assert said in host.refuses(**{**BASE, **options})
    host.task(**BASE)
    assert said in host.refuses(id=1, **options)


def test_a_schema_that_an_older_release_has_stored_can_be_removed(host: Host) -> None:
    host.task(**BASE)
    with SnapshotTasks.open(host.paths) as tasks, tasks._database.transaction() as connection:
        stored = "naming_schema = 'auto-%s%z', settings = json_set(settings, '$.naming_schema', 'auto-%s%z')"
        connection.execute(f"UPDATE task SET {stored}")
    assert not host.task(**BASE, state="absent")["changed"]
    assert host.task(**BASE, naming_schema="auto-%s%z", state="absent")["changed"] and host.stored() == []


def test_an_excluded_dataset_that_is_not_there_is_warned_of(host: Host) -> None:
    wanted = {**BASE, "recursive": True, "exclude": ["tank/a/b", "tank/a/scartch"]}
    for check in (True, False):
        warned = json.dumps(host.task(check, **wanted)["warnings"])  # with those of calls before, in older releases
        assert "exclude names the dataset 'tank/a/scartch', which does not exist; correct or remove it." in warned
