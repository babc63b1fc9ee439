"""Intervals of numbers: the means of answers' values."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from galvote.calibration.intervals import Intervals, Surprisal
from galvote.trees import DecisionTree, expected_numbers, number_ends

Fractions = Float[np.ndarray, "galaxy answer"]
Numbers = Float[np.ndarray, "galaxy number"]


@dataclass(frozen=True, eq=False)
class NumberIntervals:
    """Calibrated intervals of the numbers that one tree asks for.

    Parameters
    ----------
    tree, intervals
        Some of its questions have answers with values; of fractions of the way from the lowest value to the
        highest.
    """

    tree: DecisionTree
    intervals: Intervals

    @classmethod
    def fit(
        cls,
        tree: DecisionTree,
        predicted: Fractions,
        actual: Fractions,
        surprisal: Surprisal | None = None,
    ) -> "NumberIntervals":
        """Return intervals calibrated on galaxies that the model was not trained on; see `Intervals.fit`.

        Parameters
        ----------
        tree
            The questions.
        predicted, actual
            Cumulative fractions in [0, 1] of its answers; labels are NaN where unknown.
        surprisal
            Of the images.
        """
        way, given = (_to_way(tree, expected_numbers(tree, one)) for one in (predicted, actual))
        return cls(tree, Intervals.fit(np.nan_to_num(way), np.where(np.isnan(way), np.nan, given), surprisal))

    def ends(
        self, predicted: Fractions, level: float, surprisal: Surprisal | None = None
    ) -> tuple[Numbers, Numbers]:
        """Return the lower and upper ends of each number's interval, NaN where there is no prediction.

        No interval goes beyond the lowest and the highest value.

        Parameters
        ----------
        predicted
            Cumulative fractions in [0, 1]; NaN where there is no prediction.
        level
            Share of the numbers that the intervals are to hold, in (0, 1).
        surprisal
            Of the images.
        """
        way = _to_way(self.tree, expected_numbers(self.tree, predicted))
        bottom, top = number_ends(self.tree)
        low, high = (
            bottom + (top - bottom) * np.where(np.isnan(way), np.nan, end)
            for end in self.intervals.ends(np.nan_to_num(way), level, surprisal)
        )
        return low, high


def _to_way(tree: DecisionTree, numbers: Numbers) -> Numbers:
    bottom, top = number_ends(tree)
    return np.asarray(np.clip((numbers - bottom) / (top - bottom), 0, 1))
