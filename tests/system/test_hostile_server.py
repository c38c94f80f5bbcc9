# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test a server with arbitrary names and responses: real ZFS, real SOAP, and one-sentence errors.

tests/unit/plugins/module_utils/_engine/test_hostile_names.py tests many more names with the same code,
without a server.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
from collections import Counter
from contextlib import redirect_stdout
from typing import Any, Callable

import pytest
import yaml
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import main as cli
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import QuiesceError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery import recover
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runs import run
from pyVmomi import SoapAdapter

from tests.lab.places import GUEST, ROOT
from tests.unit.plugins.module_utils._engine.test_hostile_names import NASTY, assert_shown

from .conftest import StartVcenter
from .scene import Scene, nfs, run_module

# The encoder of the server replaces characters that are not allowed in XML.
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
SEEDS = int(os.environ.get("HOSTILE_SEEDS", "16"))  # runs with distorted responses


def test_a_run_over_vms_and_datastores_with_any_names(
    scene: Scene, start_vcenter: StartVcenter, tree: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [name for name in NASTY if name.strip()]
    vms = [{"name": name, "annotation": "\u202e\n]]>" * 50_000} for name in names]
    vcenter = start_vcenter(
        nfs("-rf \u202e\n@'\"", tree, *vms), nfs("%2f%25", f"{tree}/nested", {"name": "other", "tools": "not_running"})
    )
    scene.enrol(vcenter)
    vcenter.rule(method="CreateSnapshot.*", vm=re.escape(names[0]), effect="task_fault",
                 fault="ApplicationQuiesceFault", message="\u202eno\n\x85freeze\u2028")  # fmt: skip
    result = run_module(
        "vmware_coordinated_snapshot", {"dataset": tree, "recursive": True, "aliases": [GUEST], "name": "any-names"}
    )
    assert result.get("changed"), result
    arrived = {_NO_XML.sub("\ufffd", name).replace("\r", "\n") for name in names} | {"other"}
    told = {vm["name"] for vm in result["vms"]}
    assert len(told & arrived) >= len(arrived) - 2 and len(result["vms"]) == len(names) + 1  # XML folds some spaces
    assert Counter(vm["level"] for vm in result["vms"])["filesystem"] == len(names) - 1
    assert all(text.isprintable() for vm in result["vms"] for text in (vm["reason"], *vm["spans"]))
    scene.assert_released(vcenter)

    # The record on the ZFS snapshot is readable, and each property is within the limits of ZFS.
    recorded = {name: [vm["name"] for vm in scene.record(name).vms] for name in result["zfs_snapshots"]}
    assert recorded[f"{tree}/nested@any-names"] == ["other"]
    assert sorted(vm for vms in recorded.values() for vm in vms) == sorted(vm["name"] for vm in result["vms"])
    for snapshot in result["zfs_snapshots"]:
        rows = scene.engine.zfs.rows("get", "-H", "-p", "-o", "property,value", "all", snapshot)
        assert all(len(value) <= 8192 and value.isprintable() for _unused, value in rows)
    # The command shows each VM on a separate line.
    cli.main(["show", result["run_id"]])
    assert_shown(capsys.readouterr().out, 2 + len(names) + 1)
    cli.main(["status"])
    assert_shown(capsys.readouterr().out)


def test_the_playbook_shows_names_without_what_a_terminal_obeys() -> None:
    """Ansible prints non-ASCII characters unchanged."""
    (play,) = yaml.safe_load((ROOT / "playbooks" / "snapshot_now.yml").read_text())
    (controls,) = [task["vars"]["controls"] for task in play["tasks"] if "controls" in task.get("vars", {})]
    assert [ascii(name) for name in NASTY if not re.sub(controls, "?", name).isprintable()] == []


# ---- Invalid responses

Answer = Callable[[bytes, random.Random], bytes]


def _cut(answer: bytes, draw: random.Random) -> bytes:
    return answer[: draw.randrange(len(answer))]


def _swap_bytes(answer: bytes, draw: random.Random) -> bytes:
    changed = bytearray(answer)
    for _unused in range(draw.randint(1, 8)):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def _drop_element(answer: bytes, draw: random.Random) -> bytes:
    """Return well-formed XML with a missing element."""
    leaves = list(re.finditer(rb"<([A-Za-z]+)( [^<>]*)?>[^<>]*</\1>", answer))
    gone = draw.choice(leaves) if leaves else None
    return answer[: gone.start()] + answer[gone.end() :] if gone else answer


def _change_text(answer: bytes, draw: random.Random) -> bytes:
    texts = list(re.finditer(rb">([^<>]+)<", answer))
    if not texts:
        return answer
    at = draw.choice(texts)
    other = draw.choice([b"", b"-1", b"99999999999999999999", b"nan", b"x" * 100_000, "\u202e\x85".encode(), b"true"])
    return answer[: at.start(1)] + other + answer[at.end(1) :]


def _change_type(answer: bytes, draw: random.Random) -> bytes:
    types = list(re.finditer(rb"type=\"([^\"]+)\"", answer))
    if not types:
        return answer
    at = draw.choice(types)
    other = draw.choice(
        [b"xsd:string", b"xsd:int", b"ManagedEntity", b"NoSuchType", b"VirtualMachine", b"ArrayOfString"]
    )
    return answer[: at.start(1)] + other + answer[at.end(1) :]


def _repeat_element(answer: bytes, draw: random.Random) -> bytes:
    leaves = list(re.finditer(rb"<([A-Za-z]+)( [^<>]*)?>[^<>]*</\1>", answer))
    again = draw.choice(leaves) if leaves else None
    return answer[: again.end()] + again.group(0) + answer[again.end() :] if again else answer


def _something_else(answer: bytes, draw: random.Random) -> bytes:
    return draw.choice([b"", b"<html><body>502 Bad Gateway</body></html>", b"\x00\xff\xfe", b"<a/>", answer + answer])


DISTORTIONS: tuple[Answer, ...] = (
    _cut, _swap_bytes, _drop_element, _change_text, _change_type, _repeat_element, _something_else,
)  # fmt: skip


class Distorted:
    """Replace some responses before the parser of pyVmomi reads them."""

    def __init__(self, seed: int, share: float) -> None:
        self.draw, self.share = random.Random(seed), share
        self.struck: Counter[str] = Counter()

    def __call__(self, real: Any) -> Any:
        def deserialize(parser: Any, response: Any, *arguments: Any, **options: Any) -> Any:
            answer = response.read()
            if self.draw.random() < self.share:
                distort = self.draw.choice(DISTORTIONS)
                self.struck[distort.__name__] += 1
                answer = distort(answer, self.draw)
            return real(parser, io.BytesIO(answer), *arguments, **options)

        return deserialize


def test_answers_that_are_none_end_in_one_sentence_and_leave_nothing(
    scene: Scene, start_vcenter: StartVcenter, tree: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vcenter = start_vcenter(
        nfs("vmware", tree, {"name": "web"}, {"name": "db", "guest": "windows"}),
        create_seconds=0.02, remove_seconds=0.02,
    )  # fmt: skip
    scene.enrol(vcenter)
    real = SoapAdapter.SoapResponseDeserializer.Deserialize
    struck: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for seed in range(SEEDS):
        distorted = Distorted(seed, share=(0.15, 0.5)[seed % 2])
        with monkeypatch.context() as patch:
            patch.setattr(SoapAdapter.SoapResponseDeserializer, "Deserialize", distorted(real))
            patch.setattr("time.sleep", lambda seconds: None)
            try:
                done = run.preview if seed % 3 == 0 else run.execute
                result = done(scene.engine, scene.request(snapshot=f"odd-{seed}", vm_timeout=1.0, max_hold=4.0))
                said = [*result.problems, *(vm.reason for vm in result.vms)]
                ends[str(result.consistency)] += 1
            except QuiesceError as error:
                said = [str(error), *error.details.get("problems", ())]
                ends[type(error).__name__] += 1
            assert all(text.isprintable() and "Traceback" not in text for text in said), (seed, said)
            output = io.StringIO()
            with redirect_stdout(output):
                cli.main(["status"])
            assert_shown(output.getvalue())
        struck += distorted.struck
        recover.recover(scene.engine)
        scene.assert_released(vcenter)
    assert set(struck) == {distort.__name__ for distort in DISTORTIONS} and sum(struck.values()) > SEEDS, struck
    assert {"filesystem", "crash"} <= set(ends), ends


def test_a_module_says_one_sentence_about_an_answer_that_is_none(
    scene: Scene, start_vcenter: StartVcenter, tree: str
) -> None:
    vcenter = start_vcenter(nfs("vmware", tree, {"name": "web"}))
    scene.enrol(vcenter)
    for effect in ("malformed", "truncated"):
        vcenter.rule(method="RetrievePropertiesEx", effect=effect)
        for module in ("vmware_dataset_vms_info", "vmware_datastore_match"):
            login = {
                "hostname": vcenter.host, "port": vcenter.port, "username": vcenter.user,
                "password": vcenter.password, "ca_path": str(vcenter.ca_path), "aliases": [GUEST],
            }  # fmt: skip
            asked = {**login, "dataset": tree} if module == "vmware_dataset_vms_info" else login
            result = run_module(module, asked)
            assert (
                result["failed"]
                and "did not return a valid vSphere response" in result["msg"]
                and "\n" not in result["msg"]
            ), result
            assert vcenter.password not in json.dumps(result)
        vcenter.clear_rules()
