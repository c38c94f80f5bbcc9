# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two looks of a run at each server, and how they change what the run knows about its VMs."""

from __future__ import annotations

from typing import AbstractSet, Sequence

from ..errors import PolicyRefused, VSphereError
from ..planning.plan import Plan
from ..planning.problem import Problem, texts
from ..planning.server_logins import ServerLogin
from ..policy import Policy
from ..records.levels import CRASH
from ..text import vm_on
from .look import Look, Sight, first_look, second_look
from .quiesce import Hold, holds_of

_UNKNOWN = "it is unknown whether it was held until the ZFS snapshot was taken: "


class Looks:
    """The looks, and the problems that they add to those of the plan.

    `first` and `second` look at a login from any thread and change nothing. `take_first` and `take_second` apply the
    findings to the holds and to `problems`. They take None for a server that did not answer in time.
    """

    def __init__(self, plan: Plan, holds: Sequence[Hold], name: str) -> None:
        self.problems, self._planned = list(plan.problems), len(plan.problems)
        self.datasets: AbstractSet[str] = frozenset(plan.datasets)
        self._members, self._holds, self._name = plan.members, holds, name
        self._first: dict[int, Look] = {}  # by id() of the login

    def first(self, login: ServerLogin) -> Look:
        return self._look(login, None)

    def second(self, login: ServerLogin) -> Look:
        return self._look(login, self._first[id(login)])

    def take_first(self, login: ServerLogin, look: Look | None) -> None:
        if look is None:
            look = self._no_answer(login, f"{login.server} did not answer before the ZFS snapshot")
        self._first[id(login)] = look
        self._apply(login, look, look.failure)

    def take_second(self, login: ServerLogin, look: Look | None) -> None:
        if look is None:
            look = self._no_answer(login, f"{login.server} did not answer")
        self._apply(login, look, look.failure and _UNKNOWN + look.failure)

    def require_allowed(self, policy: Policy) -> None:
        """Raise PolicyRefused if the policy forbids what the looks found."""
        refusals = texts(self.problems[self._planned :]) if "vm" in policy.forbidden() else []
        refusals += [
            f"the {vm_on(hold.member.name, hold.member.server)}: {hold.reason}"
            for hold in self._holds
            if hold.hindrance in hold.member.treatment.forbidden
        ]
        if refusals:
            reasons = "; ".join(refusals).rstrip(".")
            remedy = "Fix the cause, or relax on_vm_failure, on_quiesce_failure or the policy of the VM"
            raise PolicyRefused(reasons, remedy)

    def _look(self, login: ServerLogin, first: Look | None) -> Look:
        holds = holds_of(login, self._holds)
        try:
            now = login.watch.states() if login.watch is not None else {}
        except VSphereError as error:
            return Look(failure=error.problem, problems=[Problem(str(error), self._datasets_of(login))])
        sight = Sight(login, now, self.datasets, holds, self._members, self._name)
        return first_look(sight) if first is None else second_look(sight, first)

    def _no_answer(self, login: ServerLogin, reason: str) -> Look:
        text = (
            f"{login.server} did not answer when the run read the state of its VMs, so the run may have missed new VMs."
        )
        return Look(failure=reason, problems=[Problem(text, self._datasets_of(login))])

    def _datasets_of(self, login: ServerLogin) -> frozenset[str] | None:
        return frozenset(self.datasets & login.datasets) or None

    def _apply(self, login: ServerLogin, look: Look, failure: str) -> None:
        self.problems += look.problems
        for hold in holds_of(login, self._holds):
            hold.was_seen_on(look.datasets.get(hold.member.moid, frozenset()))
            if failure:
                if hold.level != CRASH:
                    hold.leave_behind("vm", failure)
            elif hold.member.moid in look.findings:
                finding = look.findings[hold.member.moid]
                hold.level, hold.reason, hold.hindrance = finding.level, finding.reason, finding.hindrance
