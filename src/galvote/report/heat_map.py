"""A number for each pair of settings, as colours with the numbers on them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from galvote.report.figures import GRID, INK, new_figure, save_figure, style_axes


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
    """Draw a table of numbers, of which lower ones are better, as a PNG; NaN (diverged or not run) is grey.

    Parameters
    ----------
    values
        One number for each cell.
    row_labels, column_labels
        As many as there are rows and columns.
    path
        The PNG; an existing one is replaced in one step, so that a sweep may redraw it as it goes.
    title, row_title, column_title
        What stands over the map and beside its axes.

    Returns
    -------
    The path.
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
    save_figure(figure, Path(path))
    return Path(path)
