"""Loss and RMSE of training and validation against the epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from galvote.report.figures import INK, TRAINING, VALIDATION, new_figure, save_figure, style_axes


def plot_curves(history: Sequence[Mapping[str, Any]], directory: str | Path) -> tuple[Path, Path]:
    """Draw ``loss.png`` and ``rmse.png`` of a training run, and return their paths.

    Each file is replaced in one step, so training may redraw them after every epoch while someone looks.

    Parameters
    ----------
    history
        Of each epoch: ``epoch``, ``training_loss``, ``validation_loss``, ``training_rmse``,
        ``validation_rmse``. Values that are absent or not finite leave gaps.
    directory
        Where the figures go; made if it is not there.

    Returns
    -------
    The paths of both figures.
    """
    directory = Path(directory)
    loss, rmse = directory / "loss.png", directory / "rmse.png"
    _plot(history, "loss", "Loss", loss)
    _plot(history, "rmse", "RMSE of the vote fractions", rmse)
    return loss, rmse


def _plot(history: Sequence[Mapping[str, Any]], quantity: str, title: str, path: Path) -> None:
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
    if axes.lines:
        axes.legend(frameon=False, labelcolor=INK, loc="best")
    else:
        axes.text(0.5, 0.5, "no epoch finished yet", transform=axes.transAxes, ha="center", color=INK)
    save_figure(figure, path)


def _column(history: Sequence[Mapping[str, Any]], name: str) -> Float[np.ndarray, " epoch"]:
    return np.array([row.get(name, np.nan) for row in history], dtype=np.float64)
