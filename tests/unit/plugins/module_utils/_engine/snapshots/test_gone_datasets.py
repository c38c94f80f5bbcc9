# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Datasets that are destroyed while the VMs are held. See test_scenarios.py for complete runs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import DatasetNotFound
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.plan import Plan
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots import gone_datasets

ZFS: Any = None
ERROR = DatasetNotFound("There is no dataset tank/new")


@pytest.mark.parametrize("there", [{"tank"}, {"tank", "tank/new", "tank/other"}], ids=["none", "all"])
def test_a_run_of_which_none_or_all_are_there_ends_with_what_zfs_said(
    monkeypatch: pytest.MonkeyPatch, there: set[str]
) -> None:
    """A second try of a turn may have a single dataset: the one that the first try did not snapshot."""
    monkeypatch.setattr(gone_datasets, "existing", lambda zfs, root, timeout: there)
    plan = Plan("tank", ("tank/new@one", "tank/other@one"), (), (), ())
    with pytest.raises(DatasetNotFound, match="no dataset tank/new"):
        gone_datasets.without_gone(ZFS, plan, [], ERROR, 1.0)


def test_what_is_gone_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gone_datasets, "existing", lambda zfs, root, timeout: {"tank", "tank/other"})
    left = gone_datasets.without_gone(ZFS, Plan("tank", ("tank/new@one", "tank/other@one"), (), (), ()), [], ERROR, 1.0)
    assert left.snapshots == ("tank/other@one",) and "tank/new was destroyed" in left.warnings[0]
