"""What the figures share: their look, and how they reach the disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from galvote.io.atomic import atomic_file
from galvote.report.style import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = (palette()[name] for name in ("ink", "muted", "line"))
VALIDATION, TRAINING = palette()["model"], palette()["mean"]


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches, with some room at its edges."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    return figure


def style_axes(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    """Give axes a title at the left, quiet spines and light horizontal lines; texts may be empty."""
    axes.set_title(title, loc="left", color=INK, fontsize=12, fontweight="bold", pad=12)
    axes.set_xlabel(x_label, color=MUTED)
    axes.set_ylabel(y_label, color=MUTED)
    axes.tick_params(colors=MUTED, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def save_figure(figure: Figure, path: Path, *, unique: bool = False) -> None:
    """Write a PNG, whole or not at all; see `atomic_file`."""
    with atomic_file(path, unique=unique) as partial:
        figure.savefig(partial, format="png", dpi=150, facecolor="white")
