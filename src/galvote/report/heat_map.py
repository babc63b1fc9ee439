"""A number for each pair of settings, as colours with the numbers on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from galvote.report.figures import GRID, INK, MUTED, new_figure, save_figure, style_axes


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
    """Draw numbers as a PNG, the lowest in bold; cells that are NaN (diverged, pruned or not run) stay grey.

    Parameters
    ----------
    values
        One number for each cell, lower is better.
    row_labels, column_labels
        As many as there are rows and columns.
    path
        An existing file is replaced in one step, so that a sweep may redraw it as it goes.
    title, row_title, column_title
        Of the figure and its axes.

    Returns
    -------
    The path.
    """
    known = np.isfinite(values)
    rows, columns = values.shape
    figure = new_figure(2.6 + 0.95 * columns, 1.7 + 0.62 * rows)
    axes = figure.add_subplot(facecolor=GRID)
    style_axes(axes, title, column_title, row_title)
    axes.grid(visible=False)
    axes.set_xticks(range(columns), column_labels)
    axes.set_yticks(range(rows), row_labels)
    lowest, highest = (values[known].min(), values[known].max()) if known.any() else (0.0, 1.0)
    # Runs that diverged would leave all others one colour, so the scale ends at twice the lowest value.
    top = max(min(highest, 2 * lowest), lowest + 1e-6)
    axes.imshow(np.where(known, values, np.nan), cmap="viridis_r", vmin=lowest, vmax=top, aspect="auto")
    for row, column in np.argwhere(known):
        value = values[row, column]
        number = f"{value:.4f}" if value < 10 else f"{value:.1e}"
        ink = INK if value < (lowest + top) / 2 else "white"  # viridis_r is light in its lower half
        weight = "bold" if value == lowest else "normal"
        axes.text(column, row, number, ha="center", va="center", fontsize=9, color=ink, fontweight=weight)
    if not known.all():
        figure.supxlabel("grey: diverged, pruned or not run", color=MUTED, fontsize=8, x=0.01, ha="left")
    save_figure(figure, Path(path))
    return Path(path)
