# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The common style of the charts in docs/images. The same data gives the same file.

The drawings there that are written by hand (run.svg, architecture.svg) use the same colours and font. Every image has a
white background, so that it is readable on a page in dark mode.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

from tests.lab.places import ROOT

IMAGES = ROOT / "docs" / "images"
INK, GREY = "#1c262b", "#78868d"
BLUE, AMBER, GREEN = "#2a6ca8", "#d08a1d", "#2e7d32"
WIDTH = 8.0  # inches

_SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#d9e0e4",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.edgecolor": "#ffffff",
    "legend.framealpha": 1.0,
    "legend.fontsize": 9,
    "figure.facecolor": "#ffffff",
    "figure.constrained_layout.h_pad": 0.12,
    "figure.constrained_layout.w_pad": 0.12,
}


def new(height: float, charts: int = 1) -> tuple[Any, Any]:
    """A figure with one chart, or with several below each other, and its axes."""
    matplotlib.rcParams.update(_SETTINGS)
    return pyplot.subplots(charts, 1, figsize=(WIDTH, height), layout="constrained")


def save(figure: Any, path: Path) -> None:
    matplotlib.rcParams["svg.hashsalt"] = "quiesce.vmware_zfs"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
