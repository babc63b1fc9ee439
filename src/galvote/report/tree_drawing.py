"""The decision tree as a drawing, with one galaxy's votes flowing down it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from galvote.errors import FractionError
from galvote.report.pages import fill_template
from galvote.report.tree_layout import BAR, TreeLayout
from galvote.trees import DecisionTree, decision_path, describe_path

WIDE, NARROW = 820, 336
"""Widths in pixels for a desktop's column and for a phone. Letters are as large in both."""

_LEAST_BAND = 0.8  # pixels, so that few votes are seen to be some


def draw_tree(
    tree: DecisionTree,
    fractions: Float[np.ndarray, " answer"],
    low: Float[np.ndarray, " answer"] | None = None,
    high: Float[np.ndarray, " answer"] | None = None,
    *,
    voted: Float[np.ndarray, " answer"] | None = None,
    width: int = WIDE,
) -> str:
    """Draw the tree from the top down as an ``<svg>``, questions as bars and answers as bands of votes.

    The width of a bar or a band is the share of all volunteers. Under each answer stand its fraction and its
    interval, in numbers and on a scale from 0 to 1, with a mark where volunteers ``voted``. The bands of the
    decision path are of the class ``likely``; answers are groups of the class ``answer`` with
    ``data-question`` and ``data-answer`` (the column). Colours are the style sheet's. A drawing becomes
    wider, and is of the class ``wider``, if the answers of one question need more than its width in pixels.
    """
    for given in (fractions, low, high, voted):
        if given is not None and given.shape != (len(tree),):
            raise FractionError(
                f"The tree {tree.name!r} has {len(tree)} answers, so a drawing needs as many fractions, not "
                f"{given.shape}."
            )
    unknown = np.full(len(tree), np.nan)
    # As Python's own numbers, which are quick to write
    values = [(unknown if each is None else each).tolist() for each in (fractions, low, high, voted)]
    shown = [_Shown(*each) for each in zip(*values, strict=True)]
    shares = np.nan_to_num(np.asarray(fractions, np.float64)).clip(0, 1)
    layout = TreeLayout(tree, shares, [(answer.value, answer.ends) for answer in shown], width)
    places = [(place, y) for row, y in zip(layout.rows, layout.heights, strict=True) for place in row]
    path, words = decision_path(tree, fractions), describe_path(decision_path(tree, fractions, low, high))
    likely = {step.answer.column for step in path}
    bands = [answer for place, _ in places for answer in place.answers if answer.share > 0]
    return fill_template(
        "tree.svg",
        layout=layout,
        wider=layout.width > width,
        bar=BAR,
        path=words,
        steps=", ".join(f"{step.answer.phrase} ({step.fraction:.0%} of those asked)" for step in path),
        likely=likely,
        asked={step.question.name for step in path},
        shown=shown,
        questions=[(place, y) for place, y in places if place.question],
        bands=[
            (answer.answer.column, _outline(answer.points, max(layout.unit * answer.share, _LEAST_BAND)))
            for answer in sorted(bands, key=lambda answer: answer.answer.column in likely)
        ],
    )


@dataclass(frozen=True)
class _Shown:
    """The numbers of one answer, NaN where unknown, and how they are written."""

    fraction: float
    low: float
    high: float
    voted: float

    @property
    def value(self) -> str:
        return _percent(self.fraction)

    @property
    def ends(self) -> str:
        """The interval in per cent, empty if there is none."""
        known = math.isfinite(self.low + self.high)
        return f"{100 * self.low:.0f}–{100 * self.high:.0f}" if known else ""

    @property
    def words(self) -> str:
        """All numbers in words, for those who point at the answer or do not see it."""
        if not math.isfinite(self.fraction):
            return "unknown"
        words = f"{self.value} of all volunteers"
        if self.ends:
            words += f", interval {self.low:.0%} to {self.high:.0%}"
        if math.isfinite(self.voted):
            words += f"; {_percent(self.voted)} voted so"
        return words


def _percent(fraction: float) -> str:
    if not math.isfinite(fraction):
        return "–"
    return "<1%" if 0 < fraction < 0.005 else f"{fraction:.0%}"


def _outline(points: Sequence[tuple[float, float]], across: float) -> str:
    """Return the outline of a band of some width: down its left edge, and up its right one."""
    return f"M{_curve(points)}L{_curve([(x + across, y) for x, y in reversed(points)])}Z"


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """Return a path through these points, upright at each."""
    path = f"{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x, y), (to_x, to_y) in pairwise(points):
        if abs(x - to_x) < 0.05:
            path += f"V{to_y:.1f}"
        else:
            middle = (y + to_y) / 2
            path += f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"
    return path
