# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Powers VMs on and off, shuts guests down, and answers the question whether a VM was moved or copied."""

from __future__ import annotations

from . import sdk
from .session import Session, understands
from .vm_now import Question

# The labels of the answers to msg.uuid.altered.
MOVED = "button.uuid.movedTheVM"
COPIED = "button.uuid.copiedTheVM"


@understands
def start_power_on(session: Session, vm_moid: str) -> str:
    """Start to power a VM on. Returns the task's managed object ID. The task waits while the VM has a question."""
    machine = session.managed_object(sdk.vim.VirtualMachine, vm_moid)
    return str(session.call("power on a VM", machine.PowerOnVM_Task, repeatable=False)._moId)


@understands
def start_power_off(session: Session, vm_moid: str) -> str:
    """Start to power a VM off without shutting its guest down. Returns the task's managed object ID."""
    machine = session.managed_object(sdk.vim.VirtualMachine, vm_moid)
    return str(session.call("power off a VM", machine.PowerOffVM_Task, repeatable=False)._moId)


@understands
def shut_down_guest(session: Session, vm_moid: str) -> None:
    """Ask the guest to shut down. Returns at once. Needs VMware Tools, otherwise raises the fault ToolsUnavailable."""
    machine = session.managed_object(sdk.vim.VirtualMachine, vm_moid)
    session.call("shut down the guest of a VM", machine.ShutdownGuest, repeatable=False)


@understands
def answer(session: Session, vm_moid: str, question: Question, label: str) -> bool:
    """Answer a question with the choice that has this label. Returns False if it has no such choice."""
    key = question.choices.get(label)
    if key is None:
        return False
    machine = session.managed_object(sdk.vim.VirtualMachine, vm_moid)
    session.call("answer a question of a VM", machine.AnswerVM, questionId=question.id, answerChoice=key,
                 repeatable=False)  # fmt: skip
    return True
