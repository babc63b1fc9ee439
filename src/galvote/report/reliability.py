"""The figure of reliability: the volunteers' fractions against the predicted ones, in bins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from galvote.metrics import Reliability
from galvote.report.figures import GRID, INK, MUTED, VALIDATION, new_figure, save_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_reliability(reliabilities: Mapping[str, Reliability], path: str | Path) -> Path:
    """Draw a panel for each question as a PNG: means with the votes' middle 68 %, and counts below.

    Parameters
    ----------
    reliabilities
        From `measure_reliability`.
    path
        An existing file is replaced in one step.

    Returns
    -------
    The path.
    """
    path = Path(path)
    across = min(4, len(reliabilities))
    down = -(-len(reliabilities) // across)
    figure = new_figure(0.4 + 2.7 * across, 0.3 + 3.3 * down)
    grid = figure.add_gridspec(2 * down, across, height_ratios=[3.2, 1] * down)
    for number, (name, reliability) in enumerate(reliabilities.items()):
        row, column = divmod(number, across)
        main = figure.add_subplot(grid[2 * row, column])
        _draw_means(main, name.replace("_", " "), reliability)
        strip = figure.add_subplot(grid[2 * row + 1, column], sharex=main)
        _draw_counts(strip, reliability)
        if column == 0:
            main.set_ylabel("voted", color=MUTED)
            strip.set_ylabel("answers", color=MUTED)
    save_figure(figure, path)
    return path


def _draw_means(axes: Axes, title: str, reliability: Reliability) -> None:
    style_axes(axes, title, "", "")
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    axes.tick_params(labelbottom=False)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    for each in reliability.bins:
        axes.vlines(each.predicted, each.low, each.high, color=VALIDATION, alpha=0.35, linewidth=3)
        axes.plot(each.predicted, each.voted, "o", color=VALIDATION, markersize=5, clip_on=False)
    axes.text(0.04, 0.9, f"off by {reliability.error:.3f}", color=INK, fontsize=9)


def _draw_counts(axes: Axes, reliability: Reliability) -> None:
    for each in reliability.bins:
        centre, width = (each.lower + each.upper) / 2, 0.85 * (each.upper - each.lower)
        axes.bar(centre, each.count, width=width, color=VALIDATION, alpha=0.5)
    axes.set_yscale("log")
    axes.set_ylim(0.8, 2.5 * max(each.count for each in reliability.bins))
    axes.set_xlabel("predicted", color=MUTED)
    axes.tick_params(colors=MUTED, length=0, labelsize=8)
    axes.minorticks_off()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
