# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The charts of docs/benchmarks.md. The same data always gives the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from tests.lab.places import ROOT

from .cases import ENGINE, PEERS, SEQUENTIAL
from .figures import Figures

IMAGES = ROOT / "docs" / "images"
matplotlib.rcParams["svg.hashsalt"] = "benchmarks"


def limit_chart(held: dict[str, Figures]) -> None:
    names = list(held)
    figure, axes = plt.subplots(figsize=(8, 0.35 * len(names) + 1))
    axes.barh(names, [held[name]["of_limit"] for name in names], color="#3a7ca5")
    axes.axvline(1.0, color="#444444", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("hold window / minimum")
    _save(figure, "benchmarks-limit.svg")


def peer_chart(results: dict[Any, Any]) -> None:
    measured = {
        key: result["figures"]["hold_window_seconds"]
        for key, result in results.items()
        if not result["computed"] and "hold_window_seconds" in result["figures"]
    }
    names = [name for name, system in measured if system == SEQUENTIAL]
    systems = [system for system in (ENGINE, SEQUENTIAL, *PEERS) if any((name, system) in measured for name in names)]
    figure, axes = plt.subplots(figsize=(8, 0.6 * len(names) + 1.5))
    height = 0.85 / max(1, len(systems))
    for number, system in enumerate(systems):
        places = [place for place, name in enumerate(names) if (name, system) in measured]
        seconds = [measured[names[place], system] for place in places]
        axes.barh([place + number * height for place in places], seconds, height, label=system)
    axes.set_yticks([place + 0.4 for place in range(len(names))], names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("hold window in seconds (logarithmic)")
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=3)
    _save(figure, "benchmarks-peers.svg")


def _save(figure: Any, name: str) -> None:
    figure.tight_layout()
    figure.savefig(Path(IMAGES, name), metadata={"Date": None})
    plt.close(figure)
