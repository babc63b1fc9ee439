"""Whether predicted fractions mean what they say: the volunteers' against the predicted ones, in bins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from galvote.report.figures import GRID, INK, MUTED, VALIDATION, new_figure, save_figure, style_axes
from galvote.trees import DecisionTree

BINS = 10


@dataclass(frozen=True)
class Bin:
    """The answers whose predicted fraction lies between two edges.

    Parameters
    ----------
    lower, upper
        The edges, in [0, 1].
    predicted, voted
        Means of the fractions.
    low, high
        The voted fractions' 16th and 84th percentile.
    count
        How many answers, at least 1.
    """

    lower: float
    upper: float
    predicted: float
    voted: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Reliability:
    """Voted against predicted fractions of one question, in equal bins of the predicted fraction.

    Each answer of each galaxy whose vote is known counts once. Bins without any are absent.
    """

    bins: tuple[Bin, ...]

    @property
    def count(self) -> int:
        """How many answers all bins have."""
        return sum(each.count for each in self.bins)

    @property
    def error(self) -> float:
        """Mean distance between the bins' predicted and voted means, each as often as it has answers.

        For hard classes this is the expected calibration error (Naeini, Cooper & Hauskrecht 2015, AAAI 29,
        2901).
        """
        return sum(each.count * abs(each.predicted - each.voted) for each in self.bins) / self.count

    @property
    def worst(self) -> Bin:
        """The bin whose means are furthest apart."""
        return max(self.bins, key=lambda each: abs(each.predicted - each.voted))


def measure_reliability(
    predicted: Float[np.ndarray, "galaxy answer"],
    actual: Float[np.ndarray, "galaxy answer"],
    tree: DecisionTree,
    bins: int = BINS,
) -> dict[str, Reliability]:
    """Compare predicted and voted fractions question by question.

    Parameters
    ----------
    predicted
        Cumulative fractions in ``tree.columns`` order; beyond [0, 1] they are clipped.
    actual
        The volunteers' fractions, same order; NaN where unknown.
    bins
        How many equal bins [0, 1] is divided into.

    Returns
    -------
    By name, in tree order, the questions of which some vote is known.
    """
    found = {}
    for name, columns in tree.slices.items():
        known = np.isfinite(actual[:, columns])
        if known.any():
            across = np.clip(predicted[:, columns][known].astype(np.float64), 0, 1)
            found[name] = Reliability(_bins(across, actual[:, columns][known].astype(np.float64), bins))
    return found


def _bins(
    predicted: Float[np.ndarray, " answer"], voted: Float[np.ndarray, " answer"], bins: int
) -> tuple[Bin, ...]:
    places = np.minimum((predicted * bins).astype(int), bins - 1)  # 1 belongs to the last bin
    found = list[Bin]()
    for place in np.unique(places).tolist():
        inside = places == place
        low, high = np.percentile(voted[inside], [16, 84])
        found.append(
            Bin(
                lower=place / bins,
                upper=(place + 1) / bins,
                predicted=float(predicted[inside].mean()),
                voted=float(voted[inside].mean()),
                low=float(low),
                high=float(high),
                count=int(inside.sum()),
            )
        )
    return tuple(found)


def plot_reliability(reliabilities: Mapping[str, Reliability], path: str | Path) -> Path:
    """Draw a panel for each question as a PNG: means with the votes' middle 68 %, and counts below.

    Parameters
    ----------
    reliabilities
        From `measure_reliability`.
    path
        An existing file is replaced in one step.
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
