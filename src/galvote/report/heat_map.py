"""A number for each pair of settings, as colours with the numbers on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.patches import Rectangle

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
    value_title: str = "validation RMSE",
) -> Path:
    """Draw `values` as a PNG; the lowest is framed, NaN (diverged, pruned or not run) is hatched.

    Parameters
    ----------
    values
        One number for each cell, lower is better.
    row_labels, column_labels
        As many as there are rows and columns.
    path
        The PNG; an existing one is replaced in one step, so that a sweep may redraw it as it goes.
    """
    path = Path(path)
    known = np.isfinite(values)
    rows, columns = values.shape
    figure = new_figure(2.6 + 0.95 * columns, 1.7 + 0.62 * rows)
    axes = figure.add_subplot()
    style_axes(axes, title, column_title, row_title)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks(range(columns), column_labels)
    axes.set_yticks(range(rows), row_labels)

    lowest, highest = (values[known].min(), values[known].max()) if known.any() else (0.0, 1.0)
    # Runs that diverged would leave all others one colour, so the scale ends at twice the lowest value.
    top = max(min(highest, 2 * lowest), lowest + 1e-6)
    image = axes.imshow(
        np.where(known, values, np.nan), cmap="viridis_r", vmin=lowest, vmax=top, aspect="auto"
    )
    for row, column in np.ndindex(rows, columns):
        value, corner = values[row, column], (column - 0.5, row - 0.5)
        if not known[row, column]:
            axes.add_patch(
                Rectangle(corner, 1, 1, hatch="////", linewidth=0, facecolor=GRID, edgecolor="#c3cad3")
            )
            continue
        number = f"{value:.4f}" if value < 10 else f"{value:.1e}"
        # viridis_r is light in its lower half.
        ink = INK if value < (lowest + top) / 2 else "white"
        weight = "bold" if value == lowest else "normal"
        axes.text(column, row, number, ha="center", va="center", fontsize=9, color=ink, fontweight=weight)
        if value == lowest:
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=INK, linewidth=2.2, zorder=3))
    for edge in range(1, columns):
        axes.axvline(edge - 0.5, color="white", linewidth=2)
    for edge in range(1, rows):
        axes.axhline(edge - 0.5, color="white", linewidth=2)
    if known.any():
        bar = figure.colorbar(image, ax=axes, pad=0.02, extend="max" if highest > top else "neither")
        bar.set_label(value_title, color=MUTED)
        bar.ax.tick_params(colors=MUTED, length=0)
        bar.ax.spines["outline"].set_visible(False)
    if not known.all():
        figure.text(0.01, 0.005, "hatched: diverged, pruned or not run", color=MUTED, fontsize=8, va="bottom")
    save_figure(figure, path)
    return path
