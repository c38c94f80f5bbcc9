# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The charts of docs/benchmarks.md."""

from __future__ import annotations

from typing import Any

from matplotlib.patches import Patch

from . import style
from .cases import ENGINE, PEERS, SEQUENTIAL
from .figures import Figures

_COLOURS = dict(
    zip((ENGINE, SEQUENTIAL, *PEERS), (style.BLUE, style.GREY, style.AMBER, "#f0c987", style.GREEN, "#9ccc9f"))
)


def limit_chart(held: dict[str, Figures]) -> None:
    """The hold window of each case as a multiple of its minimum."""
    names = list(held)
    figure, axes = style.new(0.3 * len(names) + 1.4)
    bars = axes.barh(names, [held[name]["of_limit"] for name in names], height=0.7, color=style.BLUE)
    axes.bar_label(bars, fmt="%.2f", padding=4, fontsize=9)
    axes.axvline(1.0, color=style.INK, linewidth=1, linestyle="--")
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(
        title="Hold window and its minimum",
        xlabel="hold window / minimum (1.0: the shortest possible)",
        xlim=(0, max(held[name]["of_limit"] for name in names) * 1.1),
    )
    style.save(figure, style.IMAGES / "benchmarks-limit.svg")


def peer_chart(results: dict[Any, Any]) -> None:
    """The hold window of each system in each case. A hatched bar is a lower bound of a system that was not run."""
    measured = {key: one["figures"]["hold_window_seconds"] for key, one in results.items() if _has_window(one)}
    cases = [case for case, system in measured if system == SEQUENTIAL]
    rows: list[tuple[str, str]] = []  # case and system, from top to bottom; without a system it is a note
    for case in cases:
        rows += [(case, system) for system in _COLOURS if (case, system) in measured]
        if not any((case, system) in measured for system in PEERS):
            rows.append((case, ""))
    tops = {row: place + cases.index(row[0]) for place, row in enumerate(rows)}  # one free row between two cases
    shortest = min(measured[row] for row in rows if row[1]) / 2
    figure, axes = style.new(0.19 * (len(rows) + len(cases)) + 1.8)
    for row, top in tops.items():
        text = "Ansible modules: not measured in this case"
        if row[1]:
            colour, bound = _COLOURS[row[1]], results[row]["computed"]
            axes.barh(
                top, measured[row], 0.85, facecolor="white" if bound else colour, edgecolor=colour, hatch="////" * bound
            )
            text = f"{'at least ' * bound}{_seconds(measured[row])}"
        place = (measured[row] if row[1] else shortest, top)
        axes.annotate(text, place, (4, 0), textcoords="offset points", va="center", fontsize=8)
    middles = [
        sum(each) / len(each) for case in cases if (each := [top for row, top in tops.items() if row[0] == case])
    ]
    axes.set_yticks(middles, cases)
    axes.set(
        title="Hold window compared with other systems",
        xlabel="hold window, seconds (logarithmic scale). Hatched: not run, computed lower bound",
        xscale="log",
        xlim=(shortest, max(measured[row] for row in rows if row[1]) * 4),
        ylim=(max(tops.values()) + 0.7, -0.7),
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(visible=False, axis="y")
    handles = [Patch(color=colour, label=system) for system, colour in _COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    style.save(figure, style.IMAGES / "benchmarks-peers.svg")


def _has_window(result: dict[str, Any]) -> bool:
    return "hold_window_seconds" in result["figures"]


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:.2g} s"
