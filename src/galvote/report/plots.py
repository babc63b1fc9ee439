"""The figures: curves of a training run, a sweep's heat map, and how reliable predictions are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from galvote.metrics import Reliability
from galvote.report.figures import GRID, INK, MUTED, TRAINING, VALIDATION, new_figure, save_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = ("loss.png", "rmse.png")
"""The figures of a training run."""


def plot_curves(
    history: Sequence[Mapping[str, Any]], directory: str | Path, mean_rmse: float | None = None
) -> tuple[Path, Path]:
    """Draw ``loss.png`` and ``rmse.png`` of a training run, and return their paths.

    Each file is replaced in one step, so training may redraw them after every epoch while someone looks.

    Parameters
    ----------
    history
        Of each epoch: ``epoch``, ``training_loss``, ``validation_loss``, ``training_rmse``,
        ``validation_rmse``. Values that are absent or not finite leave gaps.
    directory
        Where the figures go; made if it is not there.
    mean_rmse
        The mean predictor's RMSE on the validation galaxies, drawn as a line where known.
    """
    loss, rmse = (Path(directory) / name for name in CURVES)
    _plot(history, "loss", "Loss", loss)
    _plot(history, "rmse", "RMSE of the vote fractions", rmse, mean_rmse)
    return loss, rmse


def _plot(
    history: Sequence[Mapping[str, Any]], quantity: str, title: str, path: Path, mean: float | None = None
) -> None:
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(7.2, 4.2)
    axes = figure.add_subplot()
    style_axes(axes, title, "epoch", "")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    epochs = _column(history, "epoch")
    for part, colour in (("training", TRAINING), ("validation", VALIDATION)):
        values = _column(history, f"{part}_{quantity}")
        known = np.isfinite(values)
        if not known.any():
            continue
        best = int(np.nanargmin(np.where(known, values, np.nan)))
        label = f"{part}, lowest {values[best]:.4f} in epoch {epochs[best]:g}"
        # Gaps stay visible only between lines, so a curve with few points has marks as well.
        marker = "." if known.sum() < 30 else ""
        axes.plot(
            epochs, np.where(known, values, np.nan), color=colour, linewidth=1.8, marker=marker, label=label
        )
        axes.plot(epochs[best], values[best], "o", color=colour, markersize=7, markeredgecolor="white")
    if mean is not None and np.isfinite(mean):
        label = f"mean predictor {mean:.4f}"
        axes.axhline(mean, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label=label)
    if axes.lines:
        axes.legend(frameon=False, labelcolor=INK, loc="best")
    else:
        axes.text(0.5, 0.5, "no epoch finished yet", transform=axes.transAxes, ha="center", color=INK)
    save_figure(figure, path)


def _column(history: Sequence[Mapping[str, Any]], name: str) -> Float[np.ndarray, " epoch"]:
    return np.array([row.get(name, np.nan) for row in history], dtype=np.float64)


def plot_heat_map(
    values: Float[np.ndarray, "row column"],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    path: str | Path,
    *,
    title: str,
    row_title: str = "",
    column_title: str = "",
) -> Path:
    """Draw a table of numbers as a PNG, and return its path; NaN (diverged or not run) is grey.

    Parameters
    ----------
    values
        One number for each cell, lower is better.
    row_labels, column_labels
        As many as there are rows and columns.
    path
        An existing file is replaced in one step, so that a sweep may redraw it as it goes.
    title, row_title, column_title
        What stands over the map and beside its axes.
    """
    rows, columns = values.shape
    figure = new_figure(2.2 + 0.95 * columns, 1.7 + 0.62 * rows)
    axes = figure.add_subplot(facecolor=GRID)
    style_axes(axes, title, column_title, row_title)
    axes.grid(visible=False)
    axes.set_xticks(range(columns), column_labels)
    axes.set_yticks(range(rows), row_labels)
    lowest = float(np.min(values, where=np.isfinite(values), initial=np.inf))
    lowest = lowest if np.isfinite(lowest) else 1.0
    # Runs that diverged would leave all others one colour, so the scale ends at twice the lowest value.
    axes.imshow(values, cmap="viridis_r", vmin=lowest, vmax=2 * lowest or 1.0, aspect="auto")
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        number, ink = (
            f"{value:.4f}" if value < 10 else f"{value:.1e}",
            INK if value < 1.5 * lowest else "white",
        )
        weight = "bold" if value == lowest else "normal"
        axes.text(column, row, number, ha="center", va="center", color=ink, fontweight=weight)
    save_figure(figure, Path(path), unique=True)  # by several workers of a sweep
    return Path(path)


def plot_reliability(reliabilities: Mapping[str, Reliability], path: str | Path) -> Path:
    """Draw a panel for each question as a PNG, and return its path.

    It has the means with the votes' middle 68 %, and counts below.

    Parameters
    ----------
    reliabilities, path
        From `measure_reliability`; an existing file is replaced in one step.
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
